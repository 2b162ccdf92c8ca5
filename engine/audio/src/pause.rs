//! Distinguishes pauses from speech, in blocks of ten milliseconds.

/// Milliseconds of a block.
pub const BLOCK_MS: usize = 10;

/// A block below this level is a pause whatever the noise of the line: -60 dBov, as mean square.
const QUIET: f32 = mean_square(32.8);
/// A block above this level is never a pause, however long it lasts: -40 dBov.
const LOUD: f32 = mean_square(328.0);
/// A pause is at most 6 dB above the noise of the line.
const ABOVE_NOISE: f32 = 4.0;
/// Factor a block by which the noise estimate rises: 3 dB a second, in case the line has become noisier. The estimate is
/// the power of the quietest block so far.
const FORGET: f32 = 1.007;

/// Detects pauses, adapted to the noise of one line.
#[derive(Debug, Clone)]
pub struct PauseDetector {
    noise: f32,
}

impl Default for PauseDetector {
    /// Before the noise of the line is known, a block below -46 dBov is a pause.
    fn default() -> Self {
        Self { noise: LOUD / 16.0 }
    }
}

impl PauseDetector {
    /// True if `block` is a pause. Updates the noise estimate; `block` should have [`BLOCK_MS`], but any length works.
    pub fn process(&mut self, block: &[i16]) -> bool {
        let energy = energy(block);
        self.noise = if energy < self.noise { energy } else { (self.noise * FORGET).clamp(1.0, LOUD) };
        self.is_pause(energy)
    }

    /// True if `block` is a pause, without an update of the noise estimate.
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

/// Mean square of the samples.
fn energy(block: &[i16]) -> f32 {
    let sum: u64 = block.iter().map(|sample| i64::from(*sample).pow(2).unsigned_abs()).sum();
    sum as f32 / block.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tone;

    const BLOCK_SAMPLES: usize = 80;

    fn blocks(hz: f64, amplitude: i16, n: usize) -> Vec<Vec<i16>> {
        let mut tone = Tone::sine(hz, amplitude);
        let mut block = || {
            let mut pcm = vec![0; BLOCK_SAMPLES];
            tone.fill(&mut pcm, 8_000);
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
    fn on_a_noisy_line_the_noise_is_a_pause_once_its_level_is_known() {
        let mut detector = PauseDetector::default();
        let noise = blocks(1_111.0, 350, 400);
        let verdicts: Vec<bool> = noise.iter().map(|block| detector.process(block)).collect();
        assert!(!verdicts[0], "nothing is known of the line yet");
        assert!(verdicts[200..].iter().all(|pause| *pause));
        assert!(!detector.process(&blocks(300.0, 2_000, 1)[0]));
    }

    #[test]
    fn continuous_sound_never_becomes_a_pause() {
        let mut detector = PauseDetector::default();
        assert!(blocks(300.0, 2_000, 3_000).iter().all(|block| !detector.process(block)));
    }
}
