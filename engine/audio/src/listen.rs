//! Measurements of PCM for tests and the demo: which tone, which level, how many gaps. Not for the packet path.

#[cfg(test)]
mod tests;

use std::f64::consts::TAU;

/// Level of silence: 0 dBov is a full-scale square wave (RFC 6464), the least a sample can be is -90.3.
pub const SILENCE_DBOV: f64 = -100.0;

/// Mean power of the part of `pcm` at `hz`, as a share of full scale (Goertzel's algorithm): a sine of peak 32768 has
/// 0.5, whatever the length, if `pcm` holds a few periods of it.
pub fn power_at(pcm: &[i16], rate_hz: u32, hz: f64) -> f64 {
    if pcm.is_empty() {
        return 0.0;
    }
    let coefficient = 2.0 * (TAU * hz / f64::from(rate_hz)).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in pcm {
        let s0 = f64::from(*sample) / 32_768.0 + coefficient * s1 - s2;
        (s2, s1) = (s1, s0);
    }
    let magnitude_squared = s1 * s1 + s2 * s2 - coefficient * s1 * s2;
    2.0 * magnitude_squared / (pcm.len() as f64).powi(2)
}

/// Mean power of `pcm` as a share of full scale.
pub fn power(pcm: &[i16]) -> f64 {
    let sum: f64 = pcm.iter().map(|sample| (f64::from(*sample) / 32_768.0).powi(2)).sum();
    sum / pcm.len().max(1) as f64
}

/// Level of `pcm`, in dBov; [`SILENCE_DBOV`] for digital silence.
pub fn level_dbov(pcm: &[i16]) -> f64 {
    to_dbov(power(pcm))
}

/// A share of full-scale power in dBov.
pub fn to_dbov(power: f64) -> f64 {
    (10.0 * power.log10()).max(SILENCE_DBOV)
}

/// The dominant tone of some audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredTone {
    /// Its frequency in Hz, to about 2 Hz.
    pub hz: f64,
    /// Its level in dBov.
    pub dbov: f64,
    /// Its share of all power, 0 to 1.
    pub share: f64,
}

/// The strongest tone of 100 to 3600 Hz, if it has at least half of all power. Reliable for 100 ms or more.
pub fn dominant_tone(pcm: &[i16], rate_hz: u32) -> Option<MeasuredTone> {
    let total = power(pcm);
    if total == 0.0 {
        return None;
    }
    let strongest = |candidates: &mut dyn Iterator<Item = f64>| {
        candidates.map(|hz| (hz, power_at(pcm, rate_hz, hz))).max_by(|a, b| a.1.total_cmp(&b.1))
    };
    // A window of n samples has a resolution of rate / n Hz, so the first pass steps by half of that.
    let step = (f64::from(rate_hz) / pcm.len() as f64 / 2.0).min(50.0);
    let steps = (3_500.0 / step) as u32;
    let (near, _) = strongest(&mut (0..=steps).map(|n| 100.0 + step * f64::from(n)))?;
    let fine = step / 25.0;
    let (hz, power) = strongest(&mut (-25..=25).map(|n| near + fine * f64::from(n)))?;
    let share = power / total;
    (share >= 0.5).then(|| MeasuredTone { hz, dbov: to_dbov(power), share })
}

/// Event code of the digit whose two tones make up most of `pcm` (RFC 4733 section 3.2).
pub fn dtmf_event(pcm: &[i16], rate_hz: u32) -> Option<u8> {
    let total = power(pcm);
    (0..16).find(|event| {
        let Some((low_hz, high_hz)) = crate::tone::dtmf_frequencies_hz(*event) else { return false };
        let (low, high) = (power_at(pcm, rate_hz, low_hz), power_at(pcm, rate_hz, high_hz));
        total > 0.0 && low + high >= 0.7 * total && low.min(high) >= 0.15 * total
    })
}

/// Samples at either end of the scale: more than a few mean clipping.
pub fn clipped(pcm: &[i16]) -> usize {
    pcm.iter().filter(|sample| sample.unsigned_abs() >= 32_767).count()
}

/// Counts the gaps of a stream: intervals below a level between two above it.
#[derive(Debug, Clone)]
pub struct GapCounter {
    window_samples: usize,
    gap_samples_min: usize,
    threshold_power: f64,
    square_sum: f64,
    in_window: usize,
    quiet_samples: usize,
    voiced: bool,
    gaps: usize,
    gap_samples: usize,
}

impl GapCounter {
    /// Each window of `window_samples` (5 ms is a good value) is sound if it reaches `threshold_dbov`, else quiet; a quiet
    /// interval of `gap_samples_min` or more is a gap.
    pub fn new(window_samples: usize, gap_samples_min: usize, threshold_dbov: f64) -> Self {
        Self {
            window_samples: window_samples.max(1),
            gap_samples_min,
            threshold_power: 10f64.powf(threshold_dbov / 10.0),
            square_sum: 0.0,
            in_window: 0,
            quiet_samples: 0,
            voiced: false,
            gaps: 0,
            gap_samples: 0,
        }
    }

    /// Processes the next audio.
    pub fn process(&mut self, pcm: &[i16]) {
        for sample in pcm {
            self.square_sum += (f64::from(*sample) / 32_768.0).powi(2);
            self.in_window += 1;
            if self.in_window == self.window_samples {
                self.end_window();
            }
        }
    }

    /// Gaps so far. Silence before the first sound and after the last is not a gap.
    pub fn gaps(&self) -> usize {
        self.gaps
    }

    /// Samples in these gaps.
    pub fn gap_samples(&self) -> usize {
        self.gap_samples
    }

    /// True once any window was sound.
    pub fn has_sound(&self) -> bool {
        self.voiced
    }

    fn end_window(&mut self) {
        let sound = self.square_sum / self.window_samples as f64 >= self.threshold_power;
        if !sound {
            self.quiet_samples += self.window_samples;
        } else {
            if self.voiced && self.quiet_samples >= self.gap_samples_min {
                self.gaps += 1;
                self.gap_samples += self.quiet_samples;
            }
            self.voiced = true;
            self.quiet_samples = 0;
        }
        self.square_sum = 0.0;
        self.in_window = 0;
    }
}
