//! Why an SDP was not negotiated.

use std::net::SocketAddr;

use trestle_sdp::{MediaDescription, RemoteError};

/// A refused offer or answer. The session is as it was before.
///
/// `Display` gives the words that ng callers know, a colon, and what is wrong in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NegotiationError {
    /// The party's SDP cannot be used.
    Sdp(RemoteError),
    /// The flags contradict each other, the environment or the SDP.
    Flags(String),
    /// No party of the call has this tag.
    UnknownTag {
        /// As given.
        tag: String,
        /// Tags that the call has.
        known: Vec<String>,
    },
    /// The message cannot belong to what the call has seen so far.
    OutOfPlace(String),
    /// Somebody wants to change what was agreed with WhatsApp, which cannot be changed.
    WhatsappIsFixed(String),
    /// A party names the very address and port that it is to send to.
    OwnAddress(SocketAddr),
    /// The call has as many legs as a call may have.
    TooManyLegs,
}

impl NegotiationError {
    /// The part that signalling proxies compare.
    pub fn contract(&self) -> &'static str {
        match self {
            Self::Sdp(error) => error.contract(),
            Self::Flags(_) | Self::WhatsappIsFixed(_) | Self::OwnAddress(_) => "Error rewriting SDP",
            Self::UnknownTag { .. } | Self::OutOfPlace(_) | Self::TooManyLegs => "Invalid dialogue association",
        }
    }
}

impl std::fmt::Display for NegotiationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Self::Sdp(error) = self {
            return write!(f, "{error}");
        }
        write!(f, "{}: ", self.contract())?;
        match self {
            Self::Sdp(_) => Ok(()),
            Self::Flags(reason) | Self::OutOfPlace(reason) | Self::WhatsappIsFixed(reason) => f.write_str(reason),
            Self::UnknownTag { tag, known } => {
                write!(f, "the call has no tag \"{}\"; it has", tag.escape_debug())?;
                known.iter().try_for_each(|tag| write!(f, " \"{}\"", tag.escape_debug()))
            }
            Self::OwnAddress(said) => {
                write!(f, "{said} is our own port for this party; its own SDP is needed, not the one that it was told")
            }
            Self::TooManyLegs => f.write_str("the call has as many legs as a call may have"),
        }
    }
}

impl std::error::Error for NegotiationError {}

impl<E: Into<RemoteError>> From<E> for NegotiationError {
    fn from(error: E) -> Self {
        Self::Sdp(error.into())
    }
}

/// An error about the `m=` line.
pub(crate) fn unbridgeable(media: &MediaDescription, reason: impl Into<String>) -> NegotiationError {
    NegotiationError::Sdp(RemoteError::Unbridgeable(media.line.error(reason)))
}
