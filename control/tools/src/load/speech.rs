//! What the streams say, encoded once: real speech with pauses, as payloads of 20 ms that are sent round and round.

use anyhow::Context as _;
use trestle_audio::g711::Law;
use trestle_audio::opus::{EncoderSettings, OpusEncoder, PACKET_BYTES_MAX};
use trestle_peers::speech;

use super::workload::LoadCodec;

/// Frames of 20 ms in the loop.
const FRAMES: usize = 1_000;
/// A pause, and the speech between two, are so many frames long together.
const SPURT: usize = 100;

/// Payloads of 20 ms each, to be repeated.
#[derive(Debug)]
pub struct SpeechLoop {
    frames: Vec<Box<[u8]>>,
}

impl SpeechLoop {
    /// Speech in `codec` of which `silence` (0 to 1) is pauses, with hardly a noise in them.
    ///
    /// # Errors
    /// libopus has no memory.
    pub fn encode(codec: LoadCodec, silence: f64) -> anyhow::Result<Self> {
        let (clip, hz) = match codec {
            LoadCodec::Opus => (speech::caller(), speech::CALLER_HZ),
            LoadCodec::Pcma => (speech::agent(), speech::AGENT_HZ),
        };
        let samples = hz as usize / 50;
        let mut encoder = OpusEncoder::new(hz, EncoderSettings::default()).context("no Opus encoder")?;
        let mut spoken = clip.chunks_exact(samples).cycle();
        let mut frames = Vec::with_capacity(FRAMES);
        for n in 0..FRAMES {
            let pause = (n % SPURT) as f64 >= (1.0 - silence) * SPURT as f64;
            let frame = if pause { noise(n, samples) } else { spoken.next().unwrap_or_default().to_vec() };
            let mut payload = [0; PACKET_BYTES_MAX];
            let len = match codec {
                LoadCodec::Opus => encoder.encode(&frame, &mut payload)?,
                LoadCodec::Pcma => {
                    Law::A.encode(&frame, &mut payload[..samples]);
                    samples
                }
            };
            frames.push(payload[..len].into());
        }
        Ok(Self { frames })
    }

    /// The payload of frame `n`.
    pub fn frame(&self, n: u64) -> &[u8] {
        &self.frames[(n % self.frames.len() as u64) as usize]
    }
}

/// What is left of a quiet room behind a noise suppressor: some 85 dB below full scale.
fn noise(frame: usize, samples: usize) -> Vec<i16> {
    let mut state = frame as u32 * 2 + 1;
    let mut sample = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i16 / 10_000
    };
    (0..samples).map(|_| sample()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_costs_opus_less_than_speech_and_pcma_the_same() {
        let size = |codec, silence| {
            let speech = SpeechLoop::encode(codec, silence).unwrap();
            (0..FRAMES as u64).map(|n| speech.frame(n).len()).sum::<usize>()
        };
        assert_eq!(size(LoadCodec::Pcma, 0.0), FRAMES * 160);
        assert_eq!(size(LoadCodec::Pcma, 0.5), FRAMES * 160);
        let (talk, half) = (size(LoadCodec::Opus, 0.0), size(LoadCodec::Opus, 0.5));
        assert!(half < talk * 9 / 10, "{half} bytes of {talk}");
        // 20 kbit/s is 50 bytes a frame.
        assert!((30..60).contains(&(talk / FRAMES)), "{talk} bytes");
    }

    #[test]
    fn the_loop_goes_round() {
        let speech = SpeechLoop::encode(LoadCodec::Pcma, 0.3).unwrap();
        assert_eq!(speech.frame(3), speech.frame(3 + FRAMES as u64));
        assert_ne!(speech.frame(3), speech.frame(40));
    }
}
