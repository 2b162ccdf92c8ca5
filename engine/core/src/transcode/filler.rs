//! What a listener hears when nobody says anything.

use std::f32::consts::TAU;

use trestle_audio::{BRIDGE_RATE_HZ, Pcm};

use crate::plan::Filler;

/// Noise this faint is felt more than heard: -65 dBov.
const NOISE_PEAK: i32 = 32;

/// Hold beeps: two of 100 ms at 425 Hz, 100 ms apart, every 5 s, after 2 s without a source.
const BEEP_HZ: f32 = 425.0;
const BEEP_PEAK: f32 = 1_500.0;
const BEEP_SAMPLES: u64 = BRIDGE_RATE_HZ as u64 / 10;
const BEEPS_EVERY: u64 = 5 * BRIDGE_RATE_HZ as u64;
const BEEPS_AFTER: u64 = 2 * BRIDGE_RATE_HZ as u64;
/// Beeps rise and fall within 5 ms, so that they do not click.
const RAMP_SAMPLES: u64 = BRIDGE_RATE_HZ as u64 / 200;

/// Makes the sound of a [`Filler`].
#[derive(Debug, Default)]
pub struct FillerSound {
    filler: Filler,
    dice: u32,
}

impl FillerSound {
    /// Makes `filler` from now on.
    pub fn set(&mut self, filler: Filler) {
        self.filler = filler;
    }

    /// True if the listener is never left without a frame.
    pub fn is_unbroken(&self) -> bool {
        self.filler != Filler::Nothing
    }

    /// Writes `samples` of it to `pcm`; `after_us` is how long nothing has been said before.
    pub fn fill(&mut self, samples: usize, after_us: i64, pcm: &mut Pcm) {
        pcm.clear();
        pcm.resize(samples);
        let at = u64::try_from(after_us).unwrap_or(0) * u64::from(BRIDGE_RATE_HZ) / 1_000_000;
        for (n, sample) in (at..).zip(pcm.as_mut_slice()) {
            *sample = match self.filler {
                Filler::Nothing | Filler::Silence => return,
                Filler::ComfortNoise => self.noise(),
                Filler::HoldTone => beep(n),
            };
        }
    }

    /// White noise; a linear congruential generator is random enough for the ear.
    fn noise(&mut self) -> i16 {
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.dice >> 16) as i32 % (2 * NOISE_PEAK + 1) - NOISE_PEAK) as i16
    }
}

fn beep(sample: u64) -> i16 {
    let Some(at) = sample.checked_sub(BEEPS_AFTER).map(|at| at % BEEPS_EVERY) else { return 0 };
    let (beep, into) = (at / BEEP_SAMPLES, at % BEEP_SAMPLES);
    if beep != 0 && beep != 2 {
        return 0;
    }
    let ramp = into.min(BEEP_SAMPLES - 1 - into).min(RAMP_SAMPLES) as f32 / RAMP_SAMPLES as f32;
    (BEEP_PEAK * ramp * (TAU * BEEP_HZ * into as f32 / BRIDGE_RATE_HZ as f32).sin()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use trestle_audio::listen::{dominant_tone, level_dbov};

    fn sound(filler: Filler, from_ms: i64, ms: usize) -> Vec<i16> {
        let (mut sound, mut pcm, mut whole) = (FillerSound::default(), Pcm::new(), Vec::new());
        sound.set(filler);
        for n in 0..ms as i64 / 20 {
            sound.fill(160, (from_ms + n * 20) * 1_000, &mut pcm);
            whole.extend_from_slice(pcm.as_slice());
        }
        whole
    }

    #[test]
    fn silence_is_silent_and_noise_is_faint() {
        assert!(sound(Filler::Silence, 0, 200).iter().all(|sample| *sample == 0));
        let level = level_dbov(&sound(Filler::ComfortNoise, 0, 1_000));
        assert!((-70.0..-60.0).contains(&level), "{level} dBov");
    }

    #[test]
    fn hold_beeps_twice_every_five_seconds_after_two() {
        let sound = sound(Filler::HoldTone, 0, 10_000);
        let beeps: Vec<usize> = (0..100).filter(|n| level_dbov(&sound[n * 800..][..800]) > -40.0).collect();
        assert_eq!(beeps, [20, 22, 70, 72]);
        let tone = dominant_tone(&sound[16_000..16_800], BRIDGE_RATE_HZ).unwrap();
        assert!((tone.hz - 425.0).abs() < 10.0, "{tone:?}");
    }
}
