//! Audio that a listener gets while its source is silent.

use std::f32::consts::TAU;

use trestle_audio::Pcm;

use crate::plan::Filler;

/// Peak of the comfort noise: -65 dBov, hardly audible.
const NOISE_PEAK: i32 = 32;

/// Hold beeps: two of 100 ms at 425 Hz, 100 ms apart, every 5 s, after 2 s without a source.
const BEEP_HZ: f32 = 425.0;
const BEEP_PEAK: f32 = 1_500.0;
const BEEP_MS: u64 = 100;
const BEEPS_EVERY_MS: u64 = 5_000;
const BEEPS_AFTER_MS: u64 = 2_000;
/// Beeps rise and fall within this time, so that they do not click.
const RAMP_MS: u64 = 5;

/// Generates the audio of a [`Filler`].
#[derive(Debug, Default)]
pub struct FillerSound {
    filler: Filler,
    /// State of the noise generator.
    random: u32,
}

impl FillerSound {
    /// Generates `filler` from now on.
    pub fn set(&mut self, filler: Filler) {
        self.filler = filler;
    }

    /// True if the listener gets a frame each packet time, whether or not the source sends.
    pub fn is_unbroken(&self) -> bool {
        self.filler != Filler::Nothing
    }

    /// Writes `samples` of audio at `rate_hz` to `pcm`. `after_us` is how long the source had been silent before them.
    pub fn fill(&mut self, rate_hz: u32, samples: usize, after_us: i64, pcm: &mut Pcm) {
        pcm.clear();
        pcm.resize(samples);
        let at = u64::try_from(after_us).unwrap_or(0) * u64::from(rate_hz) / 1_000_000;
        for (n, sample) in (at..).zip(pcm.as_mut_slice()) {
            *sample = match self.filler {
                Filler::Nothing | Filler::Silence => return,
                Filler::ComfortNoise => self.noise(),
                Filler::HoldTone => beep(n, rate_hz),
            };
        }
    }

    /// White noise from a linear congruential generator: its period is not audible.
    fn noise(&mut self) -> i16 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.random >> 16) as i32 % (2 * NOISE_PEAK + 1) - NOISE_PEAK) as i16
    }
}

/// The hold tone's sample number `sample` after the source fell silent.
fn beep(sample: u64, rate_hz: u32) -> i16 {
    let samples = |ms: u64| ms * u64::from(rate_hz) / 1_000;
    let (length, ramp_length) = (samples(BEEP_MS), samples(RAMP_MS));
    let Some(at) = sample.checked_sub(samples(BEEPS_AFTER_MS)).map(|at| at % samples(BEEPS_EVERY_MS)) else { return 0 };
    let (beep, into) = (at / length, at % length);
    if beep != 0 && beep != 2 {
        return 0;
    }
    let ramp = into.min(length - 1 - into).min(ramp_length) as f32 / ramp_length as f32;
    (BEEP_PEAK * ramp * (TAU * BEEP_HZ * into as f32 / rate_hz as f32).sin()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use trestle_audio::listen::{dominant_tone, level_dbov};

    fn sound(filler: Filler, rate_hz: u32, from_ms: i64, ms: usize) -> Vec<i16> {
        let (mut sound, mut pcm, mut whole) = (FillerSound::default(), Pcm::new(), Vec::new());
        sound.set(filler);
        for n in 0..ms as i64 / 20 {
            sound.fill(rate_hz, rate_hz as usize / 50, (from_ms + n * 20) * 1_000, &mut pcm);
            whole.extend_from_slice(pcm.as_slice());
        }
        whole
    }

    #[test]
    fn silence_is_silent_and_noise_is_faint() {
        assert!(sound(Filler::Silence, 8_000, 0, 200).iter().all(|sample| *sample == 0));
        let level = level_dbov(&sound(Filler::ComfortNoise, 8_000, 0, 1_000));
        assert!((-70.0..-60.0).contains(&level), "{level} dBov");
    }

    #[test]
    fn hold_beeps_twice_every_five_seconds_after_two() {
        for rate_hz in [8_000, 16_000] {
            let sound = sound(Filler::HoldTone, rate_hz, 0, 10_000);
            let tenth = rate_hz as usize / 10;
            let beeps: Vec<usize> = (0..100).filter(|n| level_dbov(&sound[n * tenth..][..tenth]) > -40.0).collect();
            assert_eq!(beeps, [20, 22, 70, 72]);
            let tone = dominant_tone(&sound[20 * tenth..21 * tenth], rate_hz).unwrap();
            assert!((tone.hz - 425.0).abs() < 10.0, "{tone:?}");
        }
    }
}
