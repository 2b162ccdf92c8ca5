//! Calls on one shard and their peers, without sockets, in virtual time. The benches, the instruction counts and the memory test use
//! them.
//!
//! ```text
//! Peer (one per leg) --datagram--> Shard --datagram--> counted, or back to the peer if it is STUN or DTLS
//! ```
//!
//! Only the work of the engine is measured. A [`Meter`] gets it in pieces: a piece is one datagram or one timer, and all that the
//! engine does because of it.

mod call;
mod engine;
mod peer;
mod scenario;
mod side;
pub mod signalling;

pub use call::{Calls, Prepared};
pub use engine::{Engine, Sent};
pub use peer::{Datagram, Peer, Script};
pub use scenario::{Scenario, scenarios};
pub use side::{Security, Side};

/// Time between two packets of a stream.
pub const PACKET_TIME: std::time::Duration = std::time::Duration::from_millis(20);

/// The kind of a piece of the engine's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// An audio packet, from its arrival until the engine has sent the resulting packets.
    Audio,
    /// A telephone-event packet.
    Event,
    /// An RTCP packet of the peer.
    Rtcp,
    /// A STUN or DTLS datagram.
    Handshake,
    /// A timer that is due, for example for a missing frame, an RTCP report, or a repeated telephone-event packet.
    Timer,
}

/// Is called with each piece of the engine's work, and must call the piece once. The piece returns its kind.
pub type Meter<'a> = dyn FnMut(&mut dyn FnMut() -> Work) + 'a;

/// A [`Meter`] that measures nothing.
pub fn unmetered(piece: &mut dyn FnMut() -> Work) {
    piece();
}
