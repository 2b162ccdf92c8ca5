//! Audio: PCM, G.711, Opus, concealment, repacking, pauses, shortening, tones, detection of digits, and measurements.
//!
//! PCM is `i16`, mono. Rates are in Hz, lengths in samples unless a name states another unit (at 8000 Hz, 20 ms are 160
//! samples). [`Codec`] and [`CODECS`] are the only list of codecs in Trestle.
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

pub use codec::{BRIDGE_RATE_MAX_HZ, CODECS, Codec, CodecError, CodecInfo, Decoder, Encoder, Impairment, PtAssignment};
pub use dtmf::{DigitDetection, DigitDetector};
pub use listen::GapCounter;
pub use opus::{EncoderSettings, OpusError};
pub use packer::Packer;
pub use pause::PauseDetector;
pub use pcm::Pcm;
pub use plc::Concealer;
pub use tone::Tone;
