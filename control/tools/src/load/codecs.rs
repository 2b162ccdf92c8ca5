//! What Opus alone costs on this machine: the part of a bridged call that no engine is spared.

use anyhow::Context as _;
use serde::Serialize;
use trestle_audio::opus::{EncoderSettings, OpusDecoder, OpusEncoder, PACKET_BYTES_MAX};

use super::sockets;
use super::speech::SpeechLoop;
use super::workload::LoadCodec;

/// Sample rate of the telephone side.
const NARROW_HZ: u32 = 8_000;
/// Frames of 20 ms that are measured each way.
const FRAMES: u64 = 5_000;

/// Processor time, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CodecReport {
    /// One frame of 20 ms decoded to 8 kHz.
    pub decode_us: f64,
    /// One frame of 20 ms encoded from 8 kHz, as Trestle does by itself.
    pub encode_us: f64,
    /// Of each packet of a bridged call: one of two is decoded, the other encoded.
    pub us_per_packet: f64,
    /// The encoder's complexity.
    pub complexity: u8,
}

/// Measures it with the speech of a load.
///
/// # Errors
/// libopus has no memory, or cannot read what it wrote.
pub fn run(silence: f64) -> anyhow::Result<CodecReport> {
    let (opus, pcma) = (SpeechLoop::encode(LoadCodec::Opus, silence)?, SpeechLoop::encode(LoadCodec::Pcma, silence)?);
    let settings = EncoderSettings::default();
    let mut decoder = OpusDecoder::new(NARROW_HZ).context("no Opus decoder")?;
    let mut encoder = OpusEncoder::new(NARROW_HZ, settings).context("no Opus encoder")?;
    let mut pcm = [0; NARROW_HZ as usize / 50];
    let start = sockets::own_cpu_s();
    for n in 0..FRAMES {
        decoder.decode(opus.frame(n), &mut pcm)?;
    }
    let decoded = sockets::own_cpu_s();
    let mut packet = [0; PACKET_BYTES_MAX];
    for n in 0..FRAMES {
        trestle_audio::g711::Law::A.decode(pcma.frame(n), &mut pcm);
        encoder.encode(&pcm, &mut packet)?;
    }
    let encoded = sockets::own_cpu_s();
    let us = |from: f64, to: f64| (to - from) * 1e6 / FRAMES as f64;
    let (decode_us, encode_us) = (us(start, decoded), us(decoded, encoded));
    let us_per_packet = f64::midpoint(decode_us, encode_us);
    Ok(CodecReport { decode_us, encode_us, us_per_packet, complexity: settings.complexity })
}

impl CodecReport {
    /// For people.
    pub fn table(&self) -> String {
        let Self { decode_us, encode_us, us_per_packet, complexity } = self;
        format!(
            "Opus alone, 8 kHz, complexity {complexity}: {decode_us:.1} us to decode a frame, {encode_us:.1} us to encode one, \
             {us_per_packet:.1} us for each packet of a bridged call\n"
        )
    }
}
