//! RTP streams: what one SSRC of the peer has sent us, and the one line of numbers that we send.

pub mod rx;
pub mod ssrc_filter;
pub mod tx;

pub use rx::StreamRx;
pub use ssrc_filter::{SsrcFilter, SsrcStatus};
pub use tx::StreamTx;
