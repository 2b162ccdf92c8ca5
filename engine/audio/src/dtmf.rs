//! Detects DTMF digits in PCM of 8 kHz: the tones of ITU-T Q.23, within the limits of Q.24.
//!
//! ```text
//!   every 6.4 ms   the latest 12.75 ms: do they have one row and one column frequency, and hardly any other power?
//!   4 in a row     the same digit, on its frequencies: it begins (32 ms of tone; less is not a digit)
//!   4 without      it ends (a pause of 10 ms does not end it, one of 30 ms does)
//! ```
//!
//! Time is counted in samples. Lost audio is skipped: it counts neither for a digit nor against it.

#[cfg(test)]
mod tests;

use std::f32::consts::{PI, TAU};

/// Rate of the PCM that digits are detected in, in Hz.
pub const RATE_HZ: u32 = 8_000;

/// The keypad by row and column, as event codes (RFC 4733 section 3.2).
const KEYPAD: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];
/// Rows, then columns (Q.23).
const HZ: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// A window of this length separates neighbours of 73 Hz and still fits three times into 40 ms.
const WINDOW: usize = 102;
const HOP: usize = WINDOW / 2;
/// Windows in a row that make a digit. With 40 ms of tone, four fit wherever they begin.
const HITS: u32 = 4;
/// Windows in a row without it that end one.
const MISSES: u32 = 4;
/// A window that touches the end of a tone counts if the tone fills most of it: on average the measured duration is so much
/// longer than the tone.
const EXCESS_SAMPLES: u64 = 24;
/// A loss of more than this may contain the pause between two digits.
const SKIP_MAX: usize = 320;

/// Level of a sine that fills the scale, in dBm0.
const FULL_SCALE_DBM0: f32 = crate::tone::FULL_SCALE_DBM0 as f32;
/// Least level of each tone, in dBm0. Q.24 has -25 to -27 at the weakest, after the loss of the line.
const LEVEL_MIN_DBM0: f32 = -32.0;
/// Share of all power that the two tones have, for a digit that begins and for one that continues.
const SHARE_BEGIN: f32 = 0.70;
const SHARE_GO_ON: f32 = 0.5;
/// How much stronger the column may be than the row, and the row than the column: 4 and 8 dB in Q.24, plus 1.5 dB that a
/// frequency error costs.
const COLUMN_OVER_ROW_MAX: f32 = 3.55;
const ROW_OVER_COLUMN_MAX: f32 = 8.9;
/// How much stronger each tone is than the others of its group: 6 dB.
const PEAK: f32 = 4.0;
/// Largest frequency error of a tone: 1.5 % and 2 Hz must be accepted, 3.5 % must not (Q.24).
const OFF_MAX: f32 = 0.025;

/// A detected change of a digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitDetection {
    /// It began, some 35 ms ago.
    Began {
        /// Event code, 0 to 15.
        event: u8,
        /// Power of both tones, in -dBm0.
        volume: u8,
    },
    /// It ended, some 35 ms ago.
    Ended {
        /// Event code, 0 to 15.
        event: u8,
        /// Power of both tones, in -dBm0.
        volume: u8,
        /// Its duration in samples, to about 8 ms.
        samples: u64,
    },
}

/// Detects the digits of one stream. Never allocates.
#[derive(Debug, Clone)]
pub struct DigitDetector {
    /// The latest samples as shares of full scale, the oldest at `at`.
    ring: [f32; WINDOW],
    at: usize,
    /// Samples until the ring is full again, or has moved by a hop.
    until_hop: usize,
    /// Samples processed and skipped.
    position: u64,
    bins: [Bin; 8],
    /// Hann's window, for the columns: a strong row must not spread over a weak column. Rows are too close to each other for
    /// it.
    taper: [f32; WINDOW],
    candidate: Option<DigitCandidate>,
    down: Option<ActiveDigit>,
}

/// Goertzel's recursion for one frequency.
#[derive(Debug, Clone, Copy)]
struct Bin {
    cos: f32,
    sin: f32,
    /// How far the phase of a tone on the exact frequency advances from one window to the next.
    step: f32,
}

/// One window's strongest row and column.
#[derive(Debug, Clone, Copy)]
struct WindowPeaks {
    row: usize,
    column: usize,
    phases: [f32; 2],
    power: f32,
}

/// A digit that may be about to begin.
#[derive(Debug, Clone, Copy)]
struct DigitCandidate {
    row: usize,
    column: usize,
    hits: u32,
    began_at: u64,
    /// Phases of the window before; `None` after a loss.
    phases: Option<[f32; 2]>,
    /// How far the phases advanced beyond the frequencies, in radians, over so many steps.
    ahead: [f32; 2],
    steps: u32,
    power: f32,
}

#[derive(Debug, Clone, Copy)]
struct ActiveDigit {
    row: usize,
    column: usize,
    began_at: u64,
    /// End of the last window that contained it.
    seen_until: u64,
    misses: u32,
    power: f32,
}

impl Default for DigitDetector {
    fn default() -> Self {
        Self {
            ring: [0.0; WINDOW],
            at: 0,
            until_hop: WINDOW,
            position: 0,
            bins: HZ.map(Bin::new),
            // Doubled, so that a tone has the same power with it as without.
            taper: std::array::from_fn(|n| 1.0 - (TAU * (n as f32 + 0.5) / WINDOW as f32).cos()),
            candidate: None,
            down: None,
        }
    }
}

impl DigitDetector {
    /// Processes the next audio; calls `report` for each change of a digit.
    pub fn process(&mut self, pcm: &[i16], mut report: impl FnMut(DigitDetection)) {
        for sample in pcm {
            self.ring[self.at] = f32::from(*sample) / 32_768.0;
            self.at = (self.at + 1) % WINDOW;
            self.position += 1;
            self.until_hop -= 1;
            if self.until_hop == 0 {
                self.until_hop = HOP;
                self.look(&mut report);
            }
        }
    }

    /// Skips `samples` that were lost.
    pub fn skip(&mut self, samples: usize, mut report: impl FnMut(DigitDetection)) {
        self.position += samples as u64;
        self.until_hop = WINDOW;
        if let Some(candidate) = &mut self.candidate {
            candidate.phases = None;
        }
        if samples > SKIP_MAX {
            self.finish(&mut report);
        }
    }

    /// Ends the audio: a digit that is down ends.
    pub fn finish(&mut self, mut report: impl FnMut(DigitDetection)) {
        self.candidate = None;
        self.until_hop = WINDOW;
        if let Some(down) = self.down.take() {
            report(down.ended());
        }
    }

    /// True while a digit is down.
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    fn look(&mut self, report: &mut impl FnMut(DigitDetection)) {
        let mut window = [0.0; WINDOW];
        let (newer, older) = self.ring.split_at(self.at);
        window[..older.len()].copy_from_slice(older);
        window[older.len()..].copy_from_slice(newer);
        let total = window.iter().map(|sample| sample * sample).sum::<f32>() / WINDOW as f32;
        let least = power_of(LEVEL_MIN_DBM0);
        // Most audio of a call is too quiet for a tone.
        let sights = (total >= 2.0 * least).then(|| self.listen(&mut window));
        let goes_on = match (&mut self.down, &sights) {
            (Some(down), Some(sights)) => down.goes_on(sights, total, self.position),
            _ => false,
        };
        if !goes_on && let Some(down) = &mut self.down {
            down.misses += 1;
            if down.misses == MISSES {
                report(down.ended());
                self.down = None;
            }
        }
        let sight = sights.and_then(|sights| WindowPeaks::of(&sights, total, least)).filter(|_| !goes_on);
        self.candidate = sight.map(|sight| self.follow(sight));
        if let Some(candidate) = self.candidate.filter(DigitCandidate::is_digit) {
            // Another digit without a pause.
            if let Some(down) = self.down.take() {
                report(down.ended());
            }
            let down = ActiveDigit::from(candidate, self.position);
            report(DigitDetection::Began { event: down.event(), volume: down.volume() });
            self.down = Some(down);
            self.candidate = None;
        }
    }

    /// Real and imaginary part of each frequency in a window, rotated by an angle that is the same for every window.
    fn listen(&self, window: &mut [f32; WINDOW]) -> [(f32, f32); 8] {
        let mut sights = [(0.0, 0.0); 8];
        let ((rows, columns), (row_bins, column_bins)) = (sights.split_at_mut(4), self.bins.split_at(4));
        rows.iter_mut().zip(row_bins).for_each(|(sight, bin)| *sight = bin.listen(window));
        window.iter_mut().zip(&self.taper).for_each(|(sample, weight)| *sample *= weight);
        columns.iter_mut().zip(column_bins).for_each(|(sight, bin)| *sight = bin.listen(window));
        sights
    }

    fn follow(&self, sight: WindowPeaks) -> DigitCandidate {
        let same = |candidate: &DigitCandidate| (candidate.row, candidate.column) == (sight.row, sight.column);
        let Some(mut candidate) = self.candidate.filter(same) else {
            return DigitCandidate {
                row: sight.row,
                column: sight.column,
                hits: 1,
                began_at: self.position - WINDOW as u64,
                phases: Some(sight.phases),
                ahead: [0.0; 2],
                steps: 0,
                power: sight.power,
            };
        };
        candidate.hits += 1;
        candidate.power = candidate.power.max(sight.power);
        if let Some(before) = candidate.phases.replace(sight.phases) {
            let steps = [self.bins[sight.row].step, self.bins[4 + sight.column].step];
            for tone in 0..2 {
                candidate.ahead[tone] += wrapped(sight.phases[tone] - before[tone] - steps[tone]);
            }
            candidate.steps += 1;
        }
        candidate
    }
}

impl Bin {
    fn new(hz: f32) -> Self {
        let radians = TAU * hz / RATE_HZ as f32;
        Self { cos: radians.cos(), sin: radians.sin(), step: radians * HOP as f32 }
    }

    fn listen(self, window: &[f32; WINDOW]) -> (f32, f32) {
        let (mut s1, mut s2) = (0.0, 0.0);
        for sample in window {
            let s0 = sample + 2.0 * self.cos * s1 - s2;
            (s2, s1) = (s1, s0);
        }
        (s1 - s2 * self.cos, s2 * self.sin)
    }
}

impl WindowPeaks {
    /// The digit of a window, if the window contains nothing else.
    fn of(sights: &[(f32, f32); 8], total: f32, least: f32) -> Option<Self> {
        let powers = sights.map(power);
        let (row, row_power) = strongest(&powers[..4])?;
        let (column, column_power) = strongest(&powers[4..])?;
        let is_digit = row_power.min(column_power) >= least
            && row_power + column_power >= SHARE_BEGIN * total
            && column_power <= COLUMN_OVER_ROW_MAX * row_power
            && row_power <= ROW_OVER_COLUMN_MAX * column_power;
        is_digit.then(|| Self {
            row,
            column,
            phases: [phase(sights[row]), phase(sights[4 + column])],
            power: row_power + column_power,
        })
    }
}

impl DigitCandidate {
    fn is_digit(&self) -> bool {
        let on_frequency = |tone: usize, hz: f32| {
            let off_hz = self.ahead[tone] / self.steps.max(1) as f32 * RATE_HZ as f32 / (TAU * HOP as f32);
            off_hz.abs() <= OFF_MAX * hz
        };
        self.hits >= HITS && on_frequency(0, HZ[self.row]) && on_frequency(1, HZ[4 + self.column])
    }
}

impl ActiveDigit {
    fn from(candidate: DigitCandidate, now: u64) -> Self {
        let DigitCandidate { row, column, began_at, power, .. } = candidate;
        Self { row, column, began_at, seen_until: now, misses: 0, power }
    }

    /// True if the window continues this digit; it may be noisier than one that begins.
    fn goes_on(&mut self, sights: &[(f32, f32); 8], total: f32, now: u64) -> bool {
        let both = power(sights[self.row]) + power(sights[4 + self.column]);
        let weaker = power(sights[self.row]).min(power(sights[4 + self.column]));
        // A digit that was interrupted must continue as clean as it began.
        let share = if self.misses == 0 { SHARE_GO_ON } else { SHARE_BEGIN };
        let goes_on = both >= share * total && weaker >= both / (2.0 * ROW_OVER_COLUMN_MAX);
        if goes_on {
            (self.seen_until, self.misses) = (now, 0);
            self.power = self.power.max(both);
        }
        goes_on
    }

    fn event(&self) -> u8 {
        KEYPAD[self.row][self.column]
    }

    fn volume(&self) -> u8 {
        let dbm0 = 10.0 * (2.0 * self.power).log10() + FULL_SCALE_DBM0;
        // `as` saturates: louder than 0 dBm0 is 0.
        (-dbm0).round().min(63.0) as u8
    }

    fn ended(&self) -> DigitDetection {
        let samples = (self.seen_until - self.began_at).saturating_sub(EXCESS_SAMPLES);
        DigitDetection::Ended { event: self.event(), volume: self.volume(), samples }
    }
}

/// The strongest of a group and its power, if it exceeds the others enough.
fn strongest(group: &[f32]) -> Option<(usize, f32)> {
    let (index, most) = group.iter().copied().enumerate().max_by(|one, other| one.1.total_cmp(&other.1))?;
    let stands_out = group.iter().enumerate().all(|(other, power)| other == index || power * PEAK <= most);
    stands_out.then_some((index, most))
}

/// Mean power of the sine that a window's sum belongs to.
fn power((re, im): (f32, f32)) -> f32 {
    2.0 * (re * re + im * im) / (WINDOW * WINDOW) as f32
}

fn phase((re, im): (f32, f32)) -> f32 {
    im.atan2(re)
}

/// Mean power of a sine of this level.
fn power_of(dbm0: f32) -> f32 {
    0.5 * 10f32.powf((dbm0 - FULL_SCALE_DBM0) / 10.0)
}

/// An angle between -pi and pi.
fn wrapped(radians: f32) -> f32 {
    (radians + PI).rem_euclid(TAU) - PI
}
