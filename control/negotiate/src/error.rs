//! Why an offer or an answer was refused.

use std::net::SocketAddr;

use trestle_core::AddressRefusal;
use trestle_sdp::Protocol;
use trestle_sdp::{MediaDescription, PeerDescriptionError};

/// A refused offer or answer. The session is as it was before.
///
/// `Display` gives the words that ng callers compare, a colon, and the detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NegotiationError {
    /// The party's SDP cannot be used.
    Sdp(PeerDescriptionError),
    /// The flags contradict each other, the environment or the SDP.
    Flags(FlagsError),
    /// No party of the call has this tag.
    UnknownTag {
        /// As given.
        tag: String,
        /// Tags of the call.
        known: Vec<String>,
    },
    /// The message does not fit the exchanges of the call so far.
    OutOfPlace(OutOfPlace),
    /// The WhatsApp party sends another SDP than before; what was agreed with WhatsApp cannot be changed.
    WhatsappIsFixed(DescriptionKind),
    /// The call has as many legs as a call may have.
    TooManyLegs,
}

/// Which half of an exchange a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptionKind {
    /// An offer.
    Offer,
    /// An answer.
    Answer,
}

/// Flags that cannot be satisfied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagsError {
    /// `direction` or `interface`, and the configuration has no interface at all.
    #[error("no interface is configured")]
    NoInterface,
    /// `direction` or `interface` names an interface that is not configured.
    #[error("no interface \"{}\" is configured; there is {}", name.escape_debug(), known.join(", "))]
    UnknownInterface {
        /// As given.
        name: String,
        /// Names of the configured interfaces.
        known: Vec<String>,
    },
    /// The interface has no address of the leg's family.
    #[error("the interface has no {} address", if *ipv6 { "IPv6" } else { "IPv4" })]
    NoAddress {
        /// The missing family is IPv6.
        ipv6: bool,
    },
    /// `reject-ICE` for an offer with DTLS.
    #[error("reject-ICE leaves DTLS without a transport; {}", .0.as_str())]
    IceRejected(Protocol),
    /// A protocol with DTLS, and flags that forbid DTLS or ICE.
    #[error("{} needs DTLS and ICE, but the flags have DTLS=off or ICE=remove", .0.as_str())]
    DtlsForbidden(Protocol),
    /// A secure protocol, and flags that forbid every way to exchange keys.
    #[error(
        "SDES=off and DTLS=off (or ICE=remove) leave {} without keys; for plain RTP set transport-protocol=RTP/AVP",
        .0.as_str()
    )]
    NoKeyExchange(Protocol),
    /// `profile=whatsapp` with a transport that Meta refuses.
    #[error(
        "WhatsApp takes UDP/TLS/RTP/SAVPF with DTLS or RTP/SAVP with SDES, not {} as the flags have it", .0.as_str()
    )]
    NotForWhatsapp(Protocol),
    /// `profile=webrtc` without DTLS.
    #[error("profile webrtc needs DTLS-SRTP, but the flags ask for {}", .0.as_str())]
    NotForWebrtc(Protocol),
    /// The SDES flags remove every suite.
    #[error("the SDES flags leave no suite to offer")]
    NoSuite,
    /// A flag gives an address that Trestle does not send to.
    #[error("{key} gives the peer the address {address}: {refusal}")]
    Address {
        /// The flag.
        key: &'static str,
        /// The address, with the port of the SDP.
        address: SocketAddr,
        /// What is wrong with it.
        refusal: AddressRefusal,
    },
    /// `media-address` is no address that one peer could send to.
    #[error("media-address {0} cannot be sent to: it is {class}", class = trestle_core::AddressClass::of(*.0))]
    MediaAddress(std::net::IpAddr),
    /// The codec flags remove every codec.
    #[error("the codec flags take every codec off and transcode to none")]
    NoCodec,
}

/// A message that does not fit the exchanges of the call so far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfPlace {
    /// The party of from-tag has made no offer.
    #[error("nothing was offered")]
    NothingOffered,
    /// The party has got no description yet.
    #[error("no description was sent to this party yet")]
    NothingSent,
    /// Both tags of an answer name the same party.
    #[error("from-tag and to-tag name the same party; from-tag is the offerer, to-tag the answerer")]
    SameParty,
    /// No party has got an offer of the party of from-tag.
    #[error("no party was offered the SDP of \"{}\"; the offer comes first", offerer.escape_debug())]
    NoOffer {
        /// from-tag
        offerer: String,
    },
    /// The party of to-tag has got no offer of the party of from-tag.
    #[error("\"{}\" was offered nothing by \"{}\"", answerer.escape_debug(), offerer.escape_debug())]
    NotOfferedBy {
        /// to-tag
        answerer: String,
        /// from-tag
        offerer: String,
    },
    /// An answer to an offer whose leg was removed for a newer one.
    #[error("the leg of via-branch \"{}\" was removed, as the call had too many; delete branches that have failed", branch.escape_debug())]
    BranchRemoved {
        /// via-branch
        branch: String,
    },
    /// `create` for a party that has answered.
    #[error("\"{}\" has answered; use offer to offer again", tag.escape_debug())]
    HasAnswered {
        /// from-tag
        tag: String,
    },
    /// `create answer` for a party that was not made by `create`.
    #[error("\"{}\" was not made by create; use answer", tag.escape_debug())]
    NotCreated {
        /// from-tag
        tag: String,
    },
}

impl NegotiationError {
    /// The part that signalling proxies compare.
    pub fn contract(&self) -> &'static str {
        match self {
            Self::Sdp(error) => error.contract(),
            Self::Flags(_) | Self::WhatsappIsFixed(_) => "Error rewriting SDP",
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
            Self::Flags(error) => write!(f, "{error}"),
            Self::OutOfPlace(error) => write!(f, "{error}"),
            Self::WhatsappIsFixed(kind) => {
                let verb = match kind {
                    DescriptionKind::Offer => "offers",
                    DescriptionKind::Answer => "answers",
                };
                write!(
                    f,
                    "the WhatsApp party {verb} other SDP than before, but what was agreed with WhatsApp cannot be changed; \
                     repeat the known SDP, change the other side instead (offer and answer there), or use another call-id \
                     for another call"
                )
            }
            Self::UnknownTag { tag, known } => {
                write!(f, "the call has no tag \"{}\"; it has", tag.escape_debug())?;
                known.iter().try_for_each(|tag| write!(f, " \"{}\"", tag.escape_debug()))
            }
            Self::TooManyLegs => f.write_str("the call has as many legs as a call may have"),
        }
    }
}

impl std::error::Error for NegotiationError {}

impl<E: Into<PeerDescriptionError>> From<E> for NegotiationError {
    fn from(error: E) -> Self {
        Self::Sdp(error.into())
    }
}

/// An error about the `m=` line.
pub(crate) fn unbridgeable(media: &MediaDescription, reason: impl Into<String>) -> NegotiationError {
    NegotiationError::Sdp(PeerDescriptionError::Unbridgeable(media.line.error(reason)))
}
