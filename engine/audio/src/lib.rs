//! Sound: PCM, G.711, Opus, concealment, repacking, pauses, shortening, tones, and an ear for tests.
//!
//! Shapes and units in this crate: PCM is `i16`, mono; rates are in Hz; lengths are samples (at 8 kHz, 20 ms = 160).
//! Between two codecs sound always travels at [`BRIDGE_RATE_HZ`]: G.711 lives there, and libopus decodes to it and
//! encodes from it without a resampler.
//!
//! Nothing here allocates after construction, reads a clock or draws a random number.

pub mod codec;
pub mod dtmf;
pub mod g711;
pub mod listen;
pub mod opus;
pub mod packer;
pub mod pause;
pub mod pcm;
pub mod plc;
pub mod shorten;
#[cfg(test)]
mod sounds;
pub mod tone;

pub use codec::{CodecError, CodecKind, Decoder, Encoder};
pub use dtmf::{DigitDetection, DigitDetector};
pub use listen::GapCounter;
pub use opus::{EncoderSettings, OpusError};
pub use packer::Packer;
pub use pause::PauseDetector;
pub use pcm::Pcm;
pub use plc::Concealer;
pub use tone::Tone;

/// The rate of PCM between a decoder and an encoder.
pub const BRIDGE_RATE_HZ: u32 = 8_000;
