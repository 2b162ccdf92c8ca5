//! From what one leg says to what another hears.
//!
//! ```text
//!   same codec        StreamTx::forward, at once
//!   otherwise         Transcoder: Playout (JitterBuffer: order; Hold: patience) > decode | recover | conceal | fill > Backlog > pack > encode
//! ```

pub mod backlog;
pub mod filler;
pub mod jitter;
pub mod playout;
pub mod playout_delay;
pub mod transcoder;

pub use jitter::JitterBuffer;
pub use playout::{Playout, PlayoutOutput};
pub use playout_delay::PlayoutDelay;
pub use transcoder::{EncodedFrame, FRAME_BYTES_MAX, Transcoder};

use trestle_audio::{BRIDGE_RATE_HZ, CodecKind};
use trestle_wire::Ptime;

use crate::plan::Codec;

/// The packet time of a payload; `None` if it is no payload of `codec`, or has a length that SDP cannot name.
pub fn packet_ptime(codec: Codec, payload: &[u8]) -> Option<Ptime> {
    let samples = codec_kind(codec).duration_samples(payload)? as u32;
    let samples_per_ms = BRIDGE_RATE_HZ / 1_000;
    samples.is_multiple_of(samples_per_ms).then(|| Ptime::new(samples / samples_per_ms))?
}

/// The audio crate's name of a codec.
pub(crate) fn codec_kind(codec: Codec) -> CodecKind {
    match codec {
        Codec::Pcmu => CodecKind::Pcmu,
        Codec::Pcma => CodecKind::Pcma,
        Codec::Opus => CodecKind::Opus,
    }
}
