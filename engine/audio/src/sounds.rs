//! Signals for tests, and measures of the result.

use std::f64::consts::TAU;

use crate::Tone;

/// A sine at 8 kHz, at -15.3 dBov.
pub(crate) fn sine(hz: f64, samples: usize) -> Vec<i16> {
    let mut pcm = vec![0; samples];
    Tone::sine(hz, 8_000).fill(&mut pcm, 8_000);
    pcm
}

/// A voice of constant pitch: harmonics up to 3.4 kHz, the n-th 1 / n as strong as the first.
pub(crate) fn voiced(pitch_hz: f64, samples: usize) -> Vec<i16> {
    harmonics(samples, 8_000, |_| (pitch_hz, 1.0))
}

/// Like speech: a voice whose pitch glides between 90 and 160 Hz, in syllables of a quarter of a second with pauses.
pub(crate) fn speech(samples: usize, rate_hz: u32) -> Vec<i16> {
    harmonics(samples, rate_hz, |seconds| {
        let pitch_hz = 125.0 + 35.0 * (TAU * 1.3 * seconds).sin();
        let loudness = (TAU * 2.0 * seconds).sin().max(0.0).sqrt();
        (pitch_hz, loudness)
    })
}

/// White noise with a peak of 2048 from the generator state `seed`.
pub(crate) fn noise(seed: u32, samples: usize) -> Vec<i16> {
    let mut chance = Chance(seed);
    (0..samples).map(|_| (chance.next() >> 16) as i16 / 16).collect()
}

/// A linear congruential generator; its high bits are good enough for tests.
pub(crate) struct Chance(pub(crate) u32);

impl Chance {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }

    /// 0 to `below` - 1.
    pub(crate) fn below(&mut self, below: u32) -> u32 {
        ((u64::from(self.next()) * u64::from(below)) >> 32) as u32
    }
}

/// Power of `wanted` over the power of its difference from `received`, in dB.
pub(crate) fn snr_db(wanted: &[i16], received: &[i16]) -> f64 {
    let signal: f64 = wanted.iter().map(|w| f64::from(*w).powi(2)).sum();
    let noise: f64 = wanted.iter().zip(received).map(|(w, h)| (f64::from(*w) - f64::from(*h)).powi(2)).sum();
    10.0 * (signal / noise.max(1.0)).log10()
}

fn harmonics(samples: usize, rate_hz: u32, voice: impl Fn(f64) -> (f64, f64)) -> Vec<i16> {
    let mut phase = 0.0;
    (0..samples)
        .map(|n| {
            let (pitch_hz, loudness) = voice(n as f64 / f64::from(rate_hz));
            phase = (phase + pitch_hz / f64::from(rate_hz)) % 1.0;
            let sum: f64 = (1..=(3_400.0 / pitch_hz) as i32).map(f64::from).map(|n| (TAU * n * phase).sin() / n).sum();
            (6_000.0 * loudness * sum).round() as i16
        })
        .collect()
}
