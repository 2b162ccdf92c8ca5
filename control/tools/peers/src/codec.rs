//! The codecs of the peers, at the sample rate of the peer.

use trestle_audio::g711::Law;
use trestle_audio::opus::{self, EncoderSettings, PACKET_BYTES_MAX};

/// An audio codec of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
    /// Opus.
    Opus,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 3] = [Self::Pcma, Self::Pcmu, Self::Opus];

    /// RTP clock rate.
    pub fn clock_hz(self) -> u32 {
        if self == Self::Opus { 48_000 } else { 8_000 }
    }

    /// The encoding in `a=rtpmap`, after the payload type.
    pub(crate) fn rtpmap(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA/8000",
            Self::Pcmu => "PCMU/8000",
            Self::Opus => "opus/48000/2",
        }
    }
}

pub(crate) enum PeerEncoder {
    /// The law, and the number of samples at the peer's rate for each G.711 sample.
    G711(Law, usize),
    Opus(Box<opus::OpusEncoder>),
}

impl PeerEncoder {
    /// For PCM at `sample_hz`, a multiple of 8,000. With `is_simple`, Opus takes the least time that it can: enough for a tone.
    pub(crate) fn new(codec: Codec, sample_hz: u32, is_simple: bool) -> Self {
        match codec {
            Codec::Pcma => Self::G711(Law::A, sample_hz as usize / 8_000),
            Codec::Pcmu => Self::G711(Law::Mu, sample_hz as usize / 8_000),
            Codec::Opus => {
                let default = EncoderSettings::default();
                let complexity = if is_simple { 0 } else { default.complexity };
                let encoder = opus::OpusEncoder::new(sample_hz, EncoderSettings { complexity, ..default });
                Self::Opus(Box::new(encoder.expect("libopus has memory for an encoder at a peer's rate")))
            }
        }
    }

    /// One packet's payload.
    pub(crate) fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::G711(law, ratio) => {
                // The mean is low-pass enough for a peer.
                let mean = |chunk: &[i16]| (chunk.iter().map(|s| i32::from(*s)).sum::<i32>() / *ratio as i32) as i16;
                let narrow: Vec<i16> = samples.chunks_exact(*ratio).map(mean).collect();
                let mut payload = vec![0; narrow.len()];
                law.encode(&narrow, &mut payload);
                payload
            }
            Self::Opus(encoder) => {
                let mut payload = vec![0; PACKET_BYTES_MAX];
                let len = encoder.encode(samples, &mut payload).expect("a peer's ptime is an Opus frame");
                payload.truncate(len);
                payload
            }
        }
    }
}

pub(crate) enum PeerDecoder {
    /// The law, and the number of samples at the peer's rate for each G.711 sample.
    G711(Law, usize),
    Opus {
        decoder: Box<opus::OpusDecoder>,
        sample_hz: u32,
    },
}

impl PeerDecoder {
    /// To PCM at `sample_hz`, a multiple of 8,000.
    pub(crate) fn new(codec: Codec, sample_hz: u32) -> Self {
        match codec {
            Codec::Pcma => Self::G711(Law::A, sample_hz as usize / 8_000),
            Codec::Pcmu => Self::G711(Law::Mu, sample_hz as usize / 8_000),
            Codec::Opus => {
                let decoder =
                    opus::OpusDecoder::new(sample_hz).expect("libopus has memory for a decoder at a peer's rate");
                Self::Opus { decoder: Box::new(decoder), sample_hz }
            }
        }
    }

    pub(crate) fn decode(&mut self, payload: &[u8]) -> Option<Vec<i16>> {
        match self {
            Self::G711(law, ratio) => {
                let mut narrow = vec![0; payload.len()];
                law.decode(payload, &mut narrow);
                Some(narrow.iter().flat_map(|sample| std::iter::repeat_n(*sample, *ratio)).collect())
            }
            Self::Opus { decoder, sample_hz } => {
                // A packet holds 120 ms at most (RFC 6716 3.2.5).
                let mut samples = vec![0; *sample_hz as usize / 1_000 * 120];
                let len = decoder.decode(payload, &mut samples).ok()?;
                samples.truncate(len);
                Some(samples)
            }
        }
    }
}

/// Duration of the audio in a payload, in tenths of a millisecond; `None` if the payload does not have it.
pub(crate) fn duration_tenths_ms(codec: Codec, payload: &[u8]) -> Option<u32> {
    if codec != Codec::Opus {
        return Some(payload.len() as u32 * 10 / 8);
    }
    // The TOC byte: configuration, stereo, number of frames (RFC 6716 3.1).
    let toc = *payload.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [100, 200, 400, 600][usize::from(config & 3)],
        config @ 12..=15 => [100, 200][usize::from(config & 1)],
        config => [25, 50, 100, 200][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    Some(frame * frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_long_as_its_payload() {
        for ms in [10u32, 20, 40, 60] {
            for codec in Codec::ALL {
                let payload = PeerEncoder::new(codec, 8_000, false).encode(&vec![0; 8 * ms as usize]);
                assert_eq!(duration_tenths_ms(codec, &payload), Some(ms * 10), "{codec:?}, {ms} ms");
                let samples = PeerDecoder::new(codec, 8_000).decode(&payload).unwrap();
                assert_eq!(samples.len(), 8 * ms as usize);
            }
        }
        assert_eq!(duration_tenths_ms(Codec::Opus, &[]), None);
        assert_eq!(duration_tenths_ms(Codec::Opus, &[3]), None);
    }
}
