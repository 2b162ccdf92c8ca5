//! Why an SDP was not negotiated.

use std::net::SocketAddr;

use crate::sdp::SdpError;

/// A refused offer or answer. The session is as it was before.
///
/// `Display` gives the words that ng callers know, a colon, and what is wrong in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NegotiationError {
    /// The text is no SDP, or a line that we need is malformed.
    Malformed(SdpError),
    /// Something that a call needs is not there.
    Incomplete(SdpError),
    /// Sound SDP that we cannot bridge.
    Unbridgeable(SdpError),
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
            Self::Malformed(_) => "Failed to parse SDP",
            Self::Incomplete(_) => "Incomplete SDP specification",
            Self::Unbridgeable(_) | Self::Flags(_) | Self::WhatsappIsFixed(_) | Self::OwnAddress(_) => {
                "Error rewriting SDP"
            }
            Self::UnknownTag { .. } | Self::OutOfPlace(_) | Self::TooManyLegs => "Invalid dialogue association",
        }
    }
}

impl std::fmt::Display for NegotiationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.contract())?;
        match self {
            Self::Malformed(error) | Self::Incomplete(error) | Self::Unbridgeable(error) => write!(f, "{error}"),
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

impl From<SdpError> for NegotiationError {
    fn from(error: SdpError) -> Self {
        Self::Malformed(error)
    }
}
