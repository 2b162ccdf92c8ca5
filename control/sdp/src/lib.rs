//! Session descriptions (RFC 8866): a parser that keeps all lines and their order, typed values of the lines that negotiation
//! needs, and a writer.
//!
//! An [`Sdp`] is a peer's description, unchanged: if its lines end with CR LF, it is written as the same bytes. `negotiate` builds
//! Trestle's own descriptions; it does not edit a parsed description.
//!
//! A description is refused only for a fault that leaves no way to bridge the call. Other faults cost the line or the item that has
//! them: see [`Skipped`].

pub mod candidate;
pub mod codec;
pub mod crypto;
pub mod fingerprint;
pub mod limits;
pub mod lint;
mod parse;
mod peer_description;
mod protocol;
mod skipped;
mod types;
mod write;

#[cfg(test)]
#[path = "../../../tests/vectors/meta/samples.rs"]
mod meta_samples;
#[cfg(test)]
mod tests;

pub use candidate::Candidate;
pub use codec::{Format, FormatKind};
pub use crypto::Crypto;
pub use peer_description::{PeerAddresses, PeerDescription, PeerDescriptionError, PeerIce, Security};
pub use protocol::Protocol;
pub use skipped::Skipped;
pub use types::{Attribute, Connection, Direction, Line, MediaDescription, Sdp, SdpError, Setup};
