//! RTP streams: what one SSRC of the peer has sent us, and the one line of numbers that we send.

pub mod rx;
pub mod ssrc;
pub mod tx;

pub use rx::StreamRx;
pub use ssrc::{Admit, SsrcGate};
pub use tx::StreamTx;
