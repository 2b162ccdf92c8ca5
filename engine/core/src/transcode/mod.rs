//! The transcoder: audio of one source decoded, repaired and encoded for one listener, one frame per packet time.
//!
//! Packets of the listener's codec do not come here: [`crate::stream::StreamTx::forward`] passes them on at once. For all
//! others:
//!
//! ```text
//!   packet > Playout (JitterBuffer: order; PlayoutDelay: how long to wait) > SourceDecoder (decode | recover | conceal)
//!          > Backlog, while the listener cannot be sent to > FrameEncoder (repack, encode) > EncodedFrame
//! ```
//!
//! The folder has the name of what its types do together. [`Transcoder`] owns one of each of the others;
//! [`PlayoutDelay`] also serves [`crate::leg`], which decides with it when a forwarded source has stopped.

pub mod backlog;
pub mod filler;
mod frame_encoder;
pub mod jitter;
pub mod playout;
pub mod playout_delay;
mod preroll;
mod source_decoder;
pub mod transcoder;

pub use frame_encoder::{EncodedFrame, FRAME_BYTES_MAX};
pub use jitter::JitterBuffer;
pub use playout::{Playout, PlayoutOutput};
pub use playout_delay::PlayoutDelay;
pub use transcoder::{Transcoder, TranscoderCounts};
