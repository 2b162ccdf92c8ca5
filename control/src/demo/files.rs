//! What each side heard, as WAV.

use std::path::Path;

use anyhow::Context;

use super::hearing::Track;

/// Writes mono, 16 bit.
pub(crate) fn write_wav(path: &Path, track: &Track) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: track.sample_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || -> Result<(), hound::Error> {
        let mut wav = hound::WavWriter::create(path, spec)?;
        for sample in &track.pcm {
            wav.write_sample(*sample)?;
        }
        wav.finalize()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
