//! What the peers say: two short clips, made by the commands in `assets/README.md`.

use std::sync::Arc;

/// Sample rate of [`caller`].
pub const CALLER_HZ: u32 = 16_000;
/// Sample rate of [`agent`].
pub const AGENT_HZ: u32 = 8_000;

/// The speech of the WhatsApp user: mono, 6.9 s, at [`CALLER_HZ`]. The first word begins 100 ms in.
pub fn caller() -> Arc<[i16]> {
    samples(include_bytes!("../assets/caller_16k.wav"), CALLER_HZ)
}

/// The speech of the agent at the phone: mono, 6.2 s, at [`AGENT_HZ`]. The first word begins 100 ms in.
pub fn agent() -> Arc<[i16]> {
    samples(include_bytes!("../assets/agent_8k.wav"), AGENT_HZ)
}

fn samples(wav: &'static [u8], sample_hz: u32) -> Arc<[i16]> {
    let reader = hound::WavReader::new(wav).expect("the clip is a WAV file");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, sample_hz));
    reader.into_samples::<i16>().map(|sample| sample.expect("the clip has 16 bits a sample")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ear;

    #[test]
    fn both_clips_are_clean_speech_that_begins_after_a_breath() {
        for (clip, hz) in [(caller(), CALLER_HZ), (agent(), AGENT_HZ)] {
            let level = ear::level_dbov(&clip);
            assert!((-22.0..-19.0).contains(&level), "{level} dBov");
            assert_eq!(ear::clipped_peaks(&clip), 0);
            assert_eq!(ear::silences(&clip, hz, -50.0, 90)[0], (0, 100));
        }
    }
}
