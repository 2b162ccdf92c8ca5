//! The adaptive playout delay of one stream: how long a missing frame is waited for.
//!
//! A frame is expected when the fastest path of the last ten seconds delivers it. How much later frames arrive is kept as a
//! histogram; the delay is its 99th percentile plus a margin of 5 ms, within 10 to 200 ms. A frame later than the delay raises
//! it at once; it takes seconds to fall again.
//!
//! The window of ten seconds lets the expectation follow a source whose clock drifts, and a path that has become longer.
//! All times are microseconds on the clock of the owner; transit is arrival minus media time, and may be negative.

/// Least delay: the jitter of a timer.
pub const DELAY_MIN_US: i64 = 10_000;
/// Largest delay: more is too much for a conversation.
pub const DELAY_MAX_US: i64 = 200_000;

/// Before the jitter is known.
const DELAY_INITIAL_US: i64 = 40_000;
const MARGIN_US: i64 = 5_000;
const BIN_US: i64 = 5_000;
const BINS: usize = (DELAY_MAX_US / BIN_US) as usize;
/// Frames after which old lateness counts half: 10 s at 20 ms.
const HALF_LIFE_FRAMES: u32 = 512;
/// Frames before the measured delay replaces the initial one.
const LEARNT_FRAMES: u32 = 50;
/// A delay raised by a late frame loses this fraction of itself with every frame.
const PEAK_DECAY: i64 = 512;
const WINDOWS: usize = 4;
const WINDOW_US: i64 = 2_500_000;

/// Adaptive playout delay of one stream: the 99th percentile of lateness plus 5 ms, 10 to 200 ms.
#[derive(Debug, Clone)]
pub struct PlayoutDelay {
    /// Least transit of each part of the window, the present one first.
    least: [i64; WINDOWS],
    window_began_us: i64,
    late: [u16; BINS],
    /// Sum of `late`.
    total: u32,
    /// The highest bin that is not empty.
    top: usize,
    frames: u32,
    /// Frames until the histogram is halved.
    until_halving: u32,
    peak_us: i64,
    delay_us: i64,
}

impl Default for PlayoutDelay {
    fn default() -> Self {
        Self {
            least: [0; WINDOWS],
            window_began_us: 0,
            late: [0; BINS],
            total: 0,
            top: 0,
            frames: 0,
            until_halving: HALF_LIFE_FRAMES,
            peak_us: DELAY_INITIAL_US,
            delay_us: DELAY_INITIAL_US,
        }
    }
}

impl PlayoutDelay {
    /// Restarts with a new relation of media time to arrival; the measured jitter stays.
    pub fn restart(&mut self, now_us: i64, media_us: i64) {
        self.least = [now_us - media_us; WINDOWS];
        self.window_began_us = now_us;
    }

    /// All frames are expected `us` later: the owner was not called for this time, and neither was the listener.
    pub fn shift(&mut self, us: i64) {
        self.least.iter_mut().for_each(|least| *least += us);
    }

    /// True once the jitter is known.
    pub fn is_learnt(&self) -> bool {
        self.frames >= LEARNT_FRAMES
    }

    /// Notes the arrival of a frame.
    pub fn observe(&mut self, now_us: i64, media_us: i64) {
        let transit = now_us - media_us;
        if now_us - self.window_began_us >= WINDOW_US {
            // One part at a time, however long no frame came: an old expectation is better than one from a single frame.
            self.least.rotate_right(1);
            self.least[0] = transit;
            self.window_began_us = now_us;
        }
        self.least[0] = self.least[0].min(transit);
        self.learn(transit - self.transit_us());
    }

    fn learn(&mut self, late_us: i64) {
        self.frames = self.frames.saturating_add(1);
        self.peak_us -= self.peak_us / PEAK_DECAY;
        if self.frames == LEARNT_FRAMES {
            self.peak_us = self.peak_us.min(self.quantile_us());
        }
        // Frames later than the largest delay are not waited for.
        if late_us < DELAY_MAX_US {
            if late_us > self.delay_us {
                self.peak_us = late_us + MARGIN_US;
            }
            // A bin counts at most two half lives of frames.
            let at = (late_us / BIN_US) as usize;
            self.late[at] += 1;
            self.total += 1;
            self.top = self.top.max(at);
            self.until_halving -= 1;
            if self.until_halving == 0 {
                self.late.iter_mut().for_each(|count| *count /= 2);
                self.total = self.late.iter().map(|count| u32::from(*count)).sum();
                self.top = self.late.iter().rposition(|count| *count > 0).unwrap_or(0);
                self.until_halving = HALF_LIFE_FRAMES;
            }
        }
        let measured = if self.frames < LEARNT_FRAMES { 0 } else { self.quantile_us() };
        self.delay_us = measured.max(self.peak_us).clamp(DELAY_MIN_US, DELAY_MAX_US);
    }

    /// When a frame of this media time is expected.
    pub fn expected_us(&self, media_us: i64) -> i64 {
        media_us + self.transit_us()
    }

    /// Transit of the fastest path of the window.
    pub fn transit_us(&self) -> i64 {
        self.least.iter().copied().fold(i64::MAX, i64::min)
    }

    /// How long a missing frame is waited for after its expected arrival.
    pub fn delay_us(&self) -> i64 {
        self.delay_us
    }

    /// Lateness of 99 percent of the frames, plus the margin.
    fn quantile_us(&self) -> i64 {
        let mut above = self.total / 100;
        for (bin, count) in self.late[..=self.top].iter().enumerate().rev() {
            match above.checked_sub((*count).into()) {
                Some(rest) => above = rest,
                None => return (bin as i64 + 1) * BIN_US + MARGIN_US,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_US: i64 = 20_000;

    /// Frames of 20 ms, each `late_us(n)` late on a path of 50 ms.
    fn feed(delay: &mut PlayoutDelay, frames: std::ops::Range<i64>, late_us: impl Fn(i64) -> i64) {
        for n in frames {
            delay.observe(n * FRAME_US + 50_000 + late_us(n), n * FRAME_US);
        }
    }

    fn started() -> PlayoutDelay {
        let mut delay = PlayoutDelay::default();
        delay.restart(50_000, 0);
        delay
    }

    #[test]
    fn the_delay_follows_the_jitter() {
        // Lateness spread evenly from zero.
        let table = [(0, 10_000), (8_000, 15_000), (20_000, 25_000), (50_000, 55_000), (100_000, 105_000)];
        for (spread, expected) in table.into_iter().chain([(400_000, DELAY_MAX_US)]) {
            let mut delay = started();
            feed(&mut delay, 0..5_000, |n| (n * 7_919) % 1_009 * spread / 1_009);
            assert!((delay.delay_us() - expected).abs() <= 5_000, "{spread} us of jitter: {} us", delay.delay_us());
        }
    }

    #[test]
    fn a_late_frame_raises_the_delay_at_once_and_it_falls_slowly() {
        let mut delay = started();
        feed(&mut delay, 0..1_000, |_| 0);
        assert_eq!(delay.delay_us(), DELAY_MIN_US);
        feed(&mut delay, 1_000..1_001, |_| 90_000);
        assert_eq!(delay.delay_us(), 95_000);
        feed(&mut delay, 1_001..1_100, |_| 0);
        assert!((70_000..95_000).contains(&delay.delay_us()), "{} after 2 s", delay.delay_us());
        feed(&mut delay, 1_100..2_500, |_| 0);
        assert_eq!(delay.delay_us(), DELAY_MIN_US, "after 30 s");
    }

    #[test]
    fn a_frame_later_than_the_largest_delay_does_not_raise_it() {
        let mut delay = started();
        feed(&mut delay, 0..1_000, |_| 0);
        feed(&mut delay, 1_000..1_001, |_| 900_000);
        assert_eq!(delay.delay_us(), DELAY_MIN_US);
    }

    #[test]
    fn the_expectation_follows_a_drifting_clock_and_a_longer_path() {
        for ppm in [-100, 100] {
            let mut delay = started();
            // An hour.
            feed(&mut delay, 0..180_000, |n| n * FRAME_US / 1_000_000 * ppm);
            let behind = 50_000 + 180_000 * FRAME_US / 1_000_000 * ppm - delay.transit_us();
            assert!(behind.abs() <= 2_000, "{ppm} ppm: {behind} us behind");
            assert_eq!(delay.delay_us(), DELAY_MIN_US);
        }
        let mut delay = started();
        feed(&mut delay, 0..500, |_| 0);
        feed(&mut delay, 500..1_100, |_| 60_000);
        assert_eq!(delay.transit_us(), 110_000);
    }

    #[test]
    fn a_faster_path_is_expected_at_once_and_remembered_through_silence() {
        let mut delay = started();
        feed(&mut delay, 0..10, |_| 0);
        feed(&mut delay, 10..11, |_| -30_000);
        assert_eq!(delay.transit_us(), 20_000);
        feed(&mut delay, 30_000..30_001, |_| 0);
        assert_eq!(delay.transit_us(), 20_000, "ten minutes later");
    }
}
