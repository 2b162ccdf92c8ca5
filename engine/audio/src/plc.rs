//! Packet loss concealment for G.711 at 8 kHz, modelled on ITU-T G.711 Appendix I.
//!
//! A gap is filled with the last pitch period, then with the last two, then with the last three, at a falling level until
//! silence; the first samples after the gap are blended with what the repetition would have been.
//!
//! The appendix delays every frame by 3.75 ms to smooth the beginning of a gap too. This does not: audio without loss has no
//! delay, and the step at the beginning of a gap is added to the repetition and decays there.

#[cfg(test)]
mod tests;

/// Range of pitch periods, in samples: 200 to 66 Hz, as in the appendix. For a higher voice two or three periods are found.
const PITCH_MIN: usize = 40;
const PITCH_MAX: usize = 120;

/// Length of the latest audio that is compared with earlier audio to find its period: 20 ms.
const COMPARED: usize = 160;

/// Periods that are repeated at most. More would repeat audio that is too old, fewer would buzz.
const PERIODS_MAX: usize = 3;

/// Audio stored: the longest loop, and what is blended into its end.
const HISTORY: usize = PITCH_MAX * PERIODS_MAX + PITCH_MAX / 4;

/// Concealment has the level of the audio before it for 10 ms, ...
const FULL: usize = 80;
/// ... and falls evenly to silence at 60 ms.
const SILENT: usize = 480;

/// Length of the blend after a gap: a quarter of a pitch period, 4 ms more for each 10 ms of gap after the first,
/// 10 ms at most.
const BLEND_STEP: usize = 32;
const BLEND_MAX: usize = 80;

/// Conceals the gaps in one stream of 8 kHz PCM. Never allocates, adds no delay.
#[derive(Debug, Clone)]
pub struct Concealer {
    /// The latest audio before the gap, newest last.
    history: [i16; HISTORY],
    /// `None` while frames arrive.
    hole: Option<Hole>,
    /// Output in the gap, until it becomes silent.
    played: [i16; SILENT],
}

/// A gap that is being filled; the history does not change meanwhile.
#[derive(Debug, Clone, Copy)]
struct Hole {
    /// Period of the audio before it.
    pitch: usize,
    /// Samples filled.
    filled: usize,
    /// Next sample of the history to repeat.
    position: usize,
    /// Where the loop begins when `position` reaches the end of the history.
    next_start: usize,
    /// Periods in the loop that begins there.
    next_periods: usize,
    /// The step between the last sample of the output and the first of the repetition.
    step: f32,
}

impl Concealer {
    /// A concealer before its first frame: it conceals with silence.
    pub fn new() -> Self {
        Self { history: [0; HISTORY], hole: None, played: [0; SILENT] }
    }

    /// Takes a frame that arrived. After a gap its first samples are blended with the concealment.
    pub fn good(&mut self, pcm: &mut [i16]) {
        if let Some(mut hole) = self.hole.take() {
            let filled = hole.filled;
            let further = (filled / FULL).saturating_sub(1) * BLEND_STEP;
            let blend = (hole.pitch / 4 + further).min(BLEND_MAX).min(pcm.len());
            for (n, sample) in pcm[..blend].iter_mut().enumerate() {
                let weight = (n + 1) as f32 / (blend + 1) as f32;
                let invented = hole.next(&self.history);
                *sample = round(invented + (f32::from(*sample) - invented) * weight);
            }
            let played = self.played;
            self.remember(&played[..filled.min(SILENT)]);
            self.remember(&[0; HISTORY][..filled.saturating_sub(SILENT).min(HISTORY)]);
        }
        self.remember(pcm);
    }

    /// Fills `pcm` in place of a frame that did not arrive. Silent after 60 ms of gap.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        let hole = self.hole.get_or_insert_with(|| Hole::new(&self.history));
        for sample in pcm {
            let at = hole.filled;
            *sample = round(hole.next(&self.history));
            if let Some(played) = self.played.get_mut(at) {
                *played = *sample;
            }
        }
    }

    fn remember(&mut self, pcm: &[i16]) {
        let pcm = &pcm[pcm.len().saturating_sub(HISTORY)..];
        self.history.copy_within(pcm.len().., 0);
        self.history[HISTORY - pcm.len()..].copy_from_slice(pcm);
    }
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Hole {
    fn new(history: &[i16; HISTORY]) -> Self {
        let pitch = pitch(history);
        let start = HISTORY - pitch;
        Self {
            pitch,
            filled: 0,
            position: start,
            next_start: HISTORY - 2 * pitch,
            next_periods: 2,
            step: f32::from(history[HISTORY - 1]) - f32::from(history[start - 1]),
        }
    }

    /// The next sample of the repetition, faded.
    fn next(&mut self, history: &[i16; HISTORY]) -> f32 {
        let at = self.filled;
        self.filled += 1;
        let gain = match at {
            0..FULL => 1.0,
            FULL..SILENT => (SILENT - at) as f32 / (SILENT - FULL) as f32,
            _ => return 0.0,
        };

        let quarter = self.pitch / 4;
        let mut sample = f32::from(history[self.position]);
        let left = HISTORY - self.position;
        if left <= quarter {
            // The end of the loop is blended with what comes before its next beginning.
            let lead = f32::from(history[self.next_start - left]);
            sample += (lead - sample) * (quarter + 1 - left) as f32 / (quarter + 1) as f32;
        }
        if at < quarter {
            sample += self.step * (quarter - at) as f32 / (quarter + 1) as f32;
        }

        self.position += 1;
        if self.position == HISTORY {
            self.position = self.next_start;
            self.next_periods = (self.next_periods + 1).min(PERIODS_MAX);
            self.next_start = HISTORY - self.next_periods * self.pitch;
        }
        sample * gain
    }
}

/// The lag at which the latest audio is most similar to the audio before it: the peak of the normalised cross-correlation.
/// Every lag is tried, since one sample of error becomes three in a loop of three periods; it is done once per gap.
fn pitch(history: &[i16; HISTORY]) -> usize {
    let square = |index: usize| i64::from(history[index]) * i64::from(history[index]);
    let now = &history[HISTORY - COMPARED..];
    let first = HISTORY - COMPARED - PITCH_MIN;
    let mut energy: i64 = (first..first + COMPARED).map(square).sum();
    let mut best = (PITCH_MAX, 0.0);
    for lag in PITCH_MIN..=PITCH_MAX {
        let start = HISTORY - COMPARED - lag;
        let then = &history[start..start + COMPARED];
        let product: i64 = now.iter().zip(then).map(|(a, b)| i64::from(i32::from(*a) * i32::from(*b))).sum();
        // A negative correlation is no similarity.
        let likeness = product.max(0) as f64 / (energy.max(1) as f64).sqrt();
        if likeness > best.1 {
            best = (lag, likeness);
        }
        // The next lag's window is one sample earlier.
        energy += square(start - 1) - square(start + COMPARED - 1);
    }
    best.0
}

/// To the nearest sample; the blends overshoot the scale at most at a seam, and `as` saturates.
fn round(sample: f32) -> i16 {
    sample.round() as i16
}
