//! Calls on one shard and their peers, without sockets, in a time of their own: what the benches time, what the instruction
//! counts count, and what the tests of memory hold the engine to.
//!
//! ```text
//! Peer (one per leg) --datagram--> Shard --datagram--> counted, or back to the peer if it is STUN or DTLS
//! ```
//!
//! Everything that is not the engine's own work happens outside of what is measured: a [`Meter`] gets the work in pieces, each
//! one datagram or one timer with all that follows from it.

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

/// The time between two packets of a stream.
pub const PACKET_TIME: std::time::Duration = std::time::Duration::from_millis(20);

/// What a piece of the engine's work is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// A packet of audio, from the moment it came until what follows from it has left.
    Audio,
    /// A telephone-event packet.
    Event,
    /// A report of the peer.
    Rtcp,
    /// STUN or DTLS.
    Handshake,
    /// Something was due: a missing frame, a report of ours, a repeated digit.
    Timer,
}

/// Gets the engine's work, piece by piece, and must do each once; the piece then returns what it was.
pub type Meter<'a> = dyn FnMut(&mut dyn FnMut() -> Work) + 'a;

/// Does the work and nothing else.
pub fn unmetered(piece: &mut dyn FnMut() -> Work) {
    piece();
}
