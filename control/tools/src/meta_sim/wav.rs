//! Speech from and to WAV files.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

/// Writes mono, 16 bit.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, pcm: &[i16], sample_hz: u32) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: sample_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || -> Result<(), hound::Error> {
        let mut wav = hound::WavWriter::create(path, spec)?;
        for sample in pcm {
            wav.write_sample(*sample)?;
        }
        wav.finalize()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads mono, 16 bit, at 8, 16 or 48 kHz, and gives it at 16 kHz.
///
/// # Errors
/// The file cannot be read, or is something else.
pub fn read_16k(path: &Path) -> anyhow::Result<Arc<[i16]>> {
    let reader = hound::WavReader::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let spec = reader.spec();
    if spec.channels != 1 || spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        bail!("{}: mono with 16 bits a sample is needed", path.display());
    }
    let samples: Result<Vec<i16>, hound::Error> = reader.into_samples::<i16>().collect();
    let samples = samples.with_context(|| format!("cannot read {}", path.display()))?;
    let mean = |chunk: &[i16]| (chunk.iter().map(|s| i32::from(*s)).sum::<i32>() / chunk.len() as i32) as i16;
    Ok(match spec.sample_rate {
        8_000 => {
            let next = samples.iter().skip(1).chain(samples.last());
            samples.iter().zip(next).flat_map(|(a, b)| [*a, mean(&[*a, *b])]).collect()
        }
        16_000 => samples.into(),
        48_000 => samples.chunks(3).map(mean).collect(),
        other => bail!("{}: {other} Hz; 8000, 16000 or 48000 are read", path.display()),
    })
}
