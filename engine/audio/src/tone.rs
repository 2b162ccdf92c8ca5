//! Generates tones: a sine, or the two sines of a DTMF digit.

use std::f64::consts::TAU;

/// Peak of each of a digit's two sines: -14.3 dBov each, the level that phones send.
pub const DTMF_AMPLITUDE: i16 = 9_000;

/// Level of a sine that fills the scale, in dBm0 (G.711, A-law).
#[expect(clippy::approx_constant, reason = "G.711 has nothing to do with circles")]
pub const FULL_SCALE_DBM0: f64 = 3.14;

const DTMF_LOW_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const DTMF_HIGH_HZ: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// The two frequencies of a digit's event code, 0 to 15 (RFC 4733 section 3.2; ITU-T Q.23), the low one first. `None` for
/// another code.
pub fn dtmf_frequencies_hz(event: u8) -> Option<(f64, f64)> {
    // Row and column of each of 0-9 * # A B C D on the keypad.
    const KEYS: [(usize, usize); 16] = [
        (3, 1),
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
        (3, 0),
        (3, 2),
        (0, 3),
        (1, 3),
        (2, 3),
        (3, 3),
    ];
    let (row, column) = *KEYS.get(usize::from(event))?;
    Some((DTMF_LOW_HZ[row], DTMF_HIGH_HZ[column]))
}

/// Generates a tone that continues from one `fill` to the next.
#[derive(Debug, Clone)]
pub struct Tone {
    sines: [Sine; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Sine {
    hz: f64,
    amplitude: f64,
    /// Position of the next sample in its period, 0 to 1.
    phase: f64,
}

impl Tone {
    /// A sine; `amplitude` is its peak (level in dBov: 20 log10(amplitude / 32768) - 3).
    pub fn sine(hz: f64, amplitude: i16) -> Self {
        Self { sines: [Sine { hz, amplitude: amplitude.into(), phase: 0.0 }, Sine::default()] }
    }

    /// A digit by its event code, 0 to 15; `None` for another code.
    pub fn dtmf(event: u8) -> Option<Self> {
        Self::digit(event, DTMF_AMPLITUDE.into())
    }

    /// A digit by its event code, 0 to 15, with each of its two sines at `dbm0`; `None` for another code.
    pub fn dtmf_at(event: u8, dbm0: f64) -> Option<Self> {
        Self::digit(event, 32_768.0 * 10f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0))
    }

    fn digit(event: u8, amplitude: f64) -> Option<Self> {
        let (low, high) = dtmf_frequencies_hz(event)?;
        Some(Self { sines: [low, high].map(|hz| Sine { hz, amplitude, phase: 0.0 }) })
    }

    /// Overwrites `pcm` with the next samples of the tone, at `rate_hz`.
    pub fn fill(&mut self, pcm: &mut [i16], rate_hz: u32) {
        for sample in pcm {
            let mut sum = 0.0;
            for sine in &mut self.sines {
                sum += sine.amplitude * (TAU * sine.phase).sin();
                sine.phase = (sine.phase + sine.hz / f64::from(rate_hz)).fract();
            }
            *sample = sum.round() as i16;
        }
    }
}
