//! Tells a pause from sound, ten milliseconds at a time.

use crate::BRIDGE_RATE_HZ;

/// Samples that are judged at once: 10 ms.
pub const BLOCK_SAMPLES: usize = BRIDGE_RATE_HZ as usize / 100;

/// Quieter than this is a pause whatever the line's noise: -60 dBov, as mean square.
const QUIET: f32 = mean_square(32.8);
/// Louder than this is never one, however long it lasts: -40 dBov.
const LOUD: f32 = mean_square(328.0);
/// A pause is at most 6 dB above the noise of the line.
const ABOVE_NOISE: f32 = 4.0;
/// The noise is the quietest that was heard; that is forgotten by 3 dB a second, in case the line has become noisier.
const FORGET: f32 = 1.007;

/// Knows how noisy a line is, and so what a pause sounds like on it.
#[derive(Debug, Clone)]
pub struct PauseDetector {
    noise: f32,
}

impl Default for PauseDetector {
    /// A line of which nothing is known: quieter than -46 dBov is a pause.
    fn default() -> Self {
        Self { noise: LOUD / 16.0 }
    }
}

impl PauseDetector {
    /// True if `block` is a pause. Any length will do; the line's noise is learnt from [`BLOCK_SAMPLES`] at a time.
    pub fn process(&mut self, block: &[i16]) -> bool {
        let energy = energy(block);
        self.noise = if energy < self.noise { energy } else { (self.noise * FORGET).clamp(1.0, LOUD) };
        self.is_pause(energy)
    }

    /// True if `block` would be a pause, without learning from it.
    pub fn is_like_pause(&self, block: &[i16]) -> bool {
        self.is_pause(energy(block))
    }

    fn is_pause(&self, energy: f32) -> bool {
        energy <= QUIET || energy <= (self.noise * ABOVE_NOISE).min(LOUD)
    }
}

const fn mean_square(rms: f32) -> f32 {
    rms * rms
}

/// Mean square.
fn energy(block: &[i16]) -> f32 {
    let sum: u64 = block.iter().map(|sample| i64::from(*sample).pow(2).unsigned_abs()).sum();
    sum as f32 / block.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tone;

    fn blocks(hz: f64, amplitude: i16, n: usize) -> Vec<Vec<i16>> {
        let mut tone = Tone::sine(hz, amplitude);
        let mut block = || {
            let mut pcm = vec![0; BLOCK_SAMPLES];
            tone.fill(&mut pcm, BRIDGE_RATE_HZ);
            pcm
        };
        (0..n).map(|_| block()).collect()
    }

    #[test]
    fn speech_levels_are_sound_and_silence_is_a_pause_at_once() {
        let mut detector = PauseDetector::default();
        assert!(detector.process(&[0; BLOCK_SAMPLES]));
        for block in blocks(300.0, 1_000, 5) {
            assert!(!detector.process(&block));
        }
        assert!(detector.process(&[2; BLOCK_SAMPLES]));
    }

    #[test]
    fn a_noisy_line_pauses_at_its_own_level_once_that_is_known() {
        let mut detector = PauseDetector::default();
        let noise = blocks(1_111.0, 350, 400);
        let verdicts: Vec<bool> = noise.iter().map(|block| detector.process(block)).collect();
        assert!(!verdicts[0], "nothing is known of the line yet");
        assert!(verdicts[200..].iter().all(|pause| *pause));
        assert!(!detector.process(&blocks(300.0, 2_000, 1)[0]));
    }

    #[test]
    fn a_sound_that_lasts_never_becomes_a_pause() {
        let mut detector = PauseDetector::default();
        assert!(blocks(300.0, 2_000, 3_000).iter().all(|block| !detector.process(block)));
    }
}
