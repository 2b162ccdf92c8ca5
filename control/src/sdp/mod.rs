//! Session descriptions (RFC 8866): a reader that keeps every line in its place, typed views of the lines that
//! negotiation needs, and a writer.
//!
//! An [`Sdp`] is what somebody said, unchanged: written again it is the same bytes. What we say ourselves is put together
//! by [`crate::negotiate`], never by editing a parsed description.

pub mod candidate;
pub mod codec;
pub mod crypto;
pub mod fingerprint;
pub mod limits;
mod parse;
mod types;
mod write;

#[cfg(test)]
pub(crate) mod tests;

pub use candidate::Candidate;
pub use codec::{Format, FormatKind};
pub use crypto::Crypto;
pub use types::{Attribute, Connection, Direction, Line, MediaDescription, Sdp, SdpError, Setup};
