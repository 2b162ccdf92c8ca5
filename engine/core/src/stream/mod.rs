//! RTP streams: one SSRC that is received from the peer, and the one stream that is sent to it.

pub mod own_ssrcs;
pub mod rx;
pub mod ssrc_filter;
pub mod tx;

pub use own_ssrcs::OwnSsrcs;
pub use rx::StreamRx;
pub use ssrc_filter::{SsrcFilter, SsrcStatus};
pub use tx::StreamTx;
