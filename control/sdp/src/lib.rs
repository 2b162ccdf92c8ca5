//! Session descriptions (RFC 8866): a reader that keeps every line in its place, typed views of the lines that
//! negotiation needs, and a writer.
//!
//! An [`Sdp`] is a peer's description, unchanged: written again it is the same bytes. Trestle's own descriptions are put together
//! by the negotiation, never by editing a parsed description.

pub mod candidate;
pub mod codec;
pub mod crypto;
pub mod fingerprint;
pub mod limits;
pub mod lint;
mod parse;
mod peer_description;
mod protocol;
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
pub use types::{Attribute, Connection, Direction, Line, MediaDescription, Sdp, SdpError, Setup};
