//! One decoder and one encoder for every codec the bridge speaks, with 8 kHz mono PCM between them.

#[cfg(test)]
mod tests;

use crate::g711::Law;
use crate::opus::{self, EncoderSettings, OpusError};
use crate::{BRIDGE_RATE_HZ, Concealer, Pcm};

/// A codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodecKind {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Opus.
    Opus,
}

impl CodecKind {
    /// How long a payload's sound is, in samples at 8 kHz; `None` if it is no payload of this codec, or one of more
    /// than 120 ms.
    pub fn duration_samples(self, payload: &[u8]) -> Option<usize> {
        match self {
            Self::Pcmu | Self::Pcma => (1..=Pcm::CAPACITY).contains(&payload.len()).then_some(payload.len()),
            Self::Opus => opus::packet_duration_samples(payload, BRIDGE_RATE_HZ),
        }
    }

    /// True if a payload can be made of exactly so many samples at 8 kHz. G.711 takes up to 120 ms; Opus has frames of
    /// 10, 20, 40 and 60 ms (and some that telephony does not use), but none of 30 or 50 ms.
    pub fn has_frame_of(self, samples: usize) -> bool {
        match self {
            Self::Pcmu | Self::Pcma => (1..=Pcm::CAPACITY).contains(&samples),
            Self::Opus => opus::is_frame(samples, BRIDGE_RATE_HZ),
        }
    }
}

/// Why a payload was not decoded or a frame not encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not a payload of this codec, or longer than 120 ms. The decoder's state is as before.
    #[error("{0} bytes that are no payload of this codec")]
    Malformed(usize),
    /// No frame of so many samples exists, or the payload would not fit into the buffer given for it.
    #[error("no frame of {0} samples")]
    Samples(usize),
    /// Opus refused.
    #[error(transparent)]
    Opus(#[from] OpusError),
}

/// Decodes one stream to 8 kHz mono PCM, and fills its holes.
#[derive(Debug)]
pub enum Decoder {
    /// G.711 mu-law and its concealment.
    Pcmu(Box<Concealer>),
    /// G.711 A-law and its concealment.
    Pcma(Box<Concealer>),
    /// Opus, which conceals by itself.
    Opus(opus::OpusDecoder),
}

impl Decoder {
    /// A decoder that has heard nothing yet.
    pub fn new(kind: CodecKind) -> Result<Self, OpusError> {
        Ok(match kind {
            CodecKind::Pcmu => Self::Pcmu(Box::default()),
            CodecKind::Pcma => Self::Pcma(Box::default()),
            CodecKind::Opus => Self::Opus(opus::OpusDecoder::new(BRIDGE_RATE_HZ)?),
        })
    }

    /// Which codec it decodes.
    pub fn kind(&self) -> CodecKind {
        match self {
            Self::Pcmu(_) => CodecKind::Pcmu,
            Self::Pcma(_) => CodecKind::Pcma,
            Self::Opus(_) => CodecKind::Opus,
        }
    }

    /// How long a payload's sound is, in samples at 8 kHz. See [`CodecKind::duration_samples`].
    pub fn duration_samples(&self, payload: &[u8]) -> Option<usize> {
        self.kind().duration_samples(payload)
    }

    /// Decodes a payload; `pcm` becomes its sound. On an error `pcm` is empty and the decoder unchanged: conceal then.
    pub fn decode(&mut self, payload: &[u8], pcm: &mut Pcm) -> Result<(), CodecError> {
        pcm.clear();
        let samples = self.duration_samples(payload).ok_or(CodecError::Malformed(payload.len()))?;
        pcm.resize(samples);
        let (law, concealer) = match self {
            Self::Pcmu(concealer) => (Law::Mu, concealer),
            Self::Pcma(concealer) => (Law::A, concealer),
            Self::Opus(decoder) => {
                return match decoder.decode(payload, pcm.as_mut_slice()) {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        pcm.clear();
                        Err(error.into())
                    }
                };
            }
        };
        law.decode(payload, pcm.as_mut_slice());
        concealer.good(pcm.as_mut_slice());
        Ok(())
    }

    /// Invents `samples` (120 ms at most) in place of what did not arrive; `pcm` becomes that.
    pub fn conceal(&mut self, samples: usize, pcm: &mut Pcm) {
        pcm.resize(samples);
        match self {
            Self::Pcmu(concealer) | Self::Pcma(concealer) => concealer.conceal(pcm.as_mut_slice()),
            Self::Opus(decoder) => decoder.conceal(pcm.as_mut_slice()),
        }
    }

    /// Restores the `samples` lost right before `next_payload` from the copy in it. False, with nothing changed, if
    /// it carries none: conceal then. Decode `next_payload` afterwards in either case.
    pub fn recover(&mut self, next_payload: &[u8], samples: usize, pcm: &mut Pcm) -> bool {
        let Self::Opus(decoder) = self else { return false };
        if !opus::packet_has_fec(next_payload) || samples > Pcm::CAPACITY {
            return false;
        }
        pcm.resize(samples);
        decoder.decode_fec(next_payload, pcm.as_mut_slice()).is_ok()
    }
}

/// Encodes 8 kHz mono PCM.
#[derive(Debug)]
pub enum Encoder {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Opus.
    Opus(opus::OpusEncoder),
}

impl Encoder {
    /// An encoder; `settings` matter to Opus only.
    pub fn new(kind: CodecKind, settings: EncoderSettings) -> Result<Self, OpusError> {
        Ok(match kind {
            CodecKind::Pcmu => Self::Pcmu,
            CodecKind::Pcma => Self::Pcma,
            CodecKind::Opus => Self::Opus(opus::OpusEncoder::new(BRIDGE_RATE_HZ, settings)?),
        })
    }

    /// Which codec it encodes.
    pub fn kind(&self) -> CodecKind {
        match self {
            Self::Pcmu => CodecKind::Pcmu,
            Self::Pcma => CodecKind::Pcma,
            Self::Opus(_) => CodecKind::Opus,
        }
    }

    /// One frame to one payload; returns its bytes. See [`CodecKind::has_frame_of`] for the lengths.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let law = match self {
            Self::Pcmu => Law::Mu,
            Self::Pcma => Law::A,
            Self::Opus(encoder) => return Ok(encoder.encode(pcm, out)?),
        };
        if !self.kind().has_frame_of(pcm.len()) || out.len() < pcm.len() {
            return Err(CodecError::Samples(pcm.len()));
        }
        law.encode(pcm, out);
        Ok(pcm.len())
    }

    /// Packet loss that the peer is seen to suffer, percent: steers Opus' FEC, nothing else.
    pub fn set_expected_loss_percent(&mut self, percent: u8) -> Result<(), OpusError> {
        match self {
            Self::Pcmu | Self::Pcma => Ok(()),
            Self::Opus(encoder) => encoder.set_expected_loss_percent(percent),
        }
    }

    /// How much CPU Opus may take for its quality, 0 to 10; nothing to the others.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), OpusError> {
        match self {
            Self::Pcmu | Self::Pcma => Ok(()),
            Self::Opus(encoder) => encoder.set_complexity(complexity),
        }
    }
}
