//! Requests as typed values: the verb ([`Verb`]) with its arguments, and the flags ([`Flags`]) of an SDP.
//!
//! [`Request::read`] turns a dictionary into a [`Request`]. Bytes and dictionaries are not used beyond this point.

pub mod codec_spec;
mod drain;
mod flag_string;
pub mod flag_table;
pub mod flags;
pub mod media;
pub mod published;
pub mod request;
mod subscribe;
pub mod words;

#[cfg(test)]
pub(crate) mod captured;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

pub use codec_spec::{CodecList, CodecSpec};
pub use drain::Drain;
pub use flag_table::{Switch, Switches};
pub use flags::Flags;
pub use media::{BlockRequest, Connect, GateRequest, MediaKind, PlayDigit, TargetParty};
pub use request::{Request, RequestError, verb_names};
pub use subscribe::Subscribe;

/// Longest call-id, tag or label, in bytes. SIP sets no limit; call-ids in use are shorter than 150 bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest SDP, in bytes. A WebRTC description with a dozen candidates has 3 kB.
pub const SDP_BYTES_MAX: usize = 16 * 1024;

/// The action that a request asks for, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// `ping`
    Ping,
    /// `offer`
    Offer(Box<Signal>),
    /// `answer`
    Answer(Box<Signal>),
    /// `delete`
    Delete(Delete),
    /// `query`
    Query(Query),
    /// `list`
    List {
        /// Most call-ids to return; 32 if the request has no `limit`.
        limit: usize,
    },
    /// `statistics`
    Statistics,
    /// `play DTMF`
    PlayDigit(PlayDigit),
    /// `block DTMF`, `block media`, `silence media`, and the verbs that end them.
    Block(BlockRequest),
    /// `connect`
    Connect(Connect),
    /// `gate`
    Gate(GateRequest),
    /// `subscribe events`
    Subscribe(Subscribe),
    /// `drain`
    Drain(Drain),
    /// `create`; its `sdp` is empty.
    Create(Box<Signal>),
    /// `create answer`
    CreateAnswer(Box<Signal>),
}

impl Verb {
    /// The call-id of the call that the request acts on.
    pub fn call_id(&self) -> Option<&str> {
        match self {
            Self::Offer(signal) | Self::Answer(signal) | Self::Create(signal) | Self::CreateAnswer(signal) => {
                Some(&signal.call_id)
            }
            Self::Delete(delete) => Some(&delete.call_id),
            Self::Query(query) => Some(&query.call_id),
            Self::PlayDigit(play) => Some(&play.call_id),
            Self::Block(block) => Some(&block.call_id),
            Self::Connect(connect) => Some(&connect.call_id),
            Self::Gate(gate) => Some(&gate.call_id),
            // A subscription filters by call-id. The call need not exist, and the request does not wait for it.
            Self::Ping | Self::List { .. } | Self::Statistics | Self::Subscribe(_) | Self::Drain(_) => None,
        }
    }

    /// The call-id of the second call that the request acts on: only `connect` has one.
    pub fn other_call_id(&self) -> Option<&str> {
        match self {
            Self::Connect(connect) => connect.to_call_id.as_deref(),
            _ => None,
        }
    }
}

/// The arguments of `offer`, `answer`, `create` and `create answer`: one SDP on its way from one party to the other. `Debug` does not
/// show the SDP, which has keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Signal {
    /// The call. With SIP, the Call-ID of the dialogue.
    pub call_id: String,
    /// In an offer the party that sent this SDP; in an answer the party that sent the offer.
    pub from_tag: String,
    /// In an answer the party that sent this SDP; in a re-offer the party that receives it.
    pub to_tag: Option<String>,
    /// Distinguishes branches of a forked or retried request.
    pub via_branch: Option<String>,
    /// The SDP as received.
    pub sdp: String,
    /// How to rewrite the SDP, and how the legs behave.
    pub flags: Flags,
    /// Source address of the signalling. Has an effect only with [`Switch::SipSourceAddress`].
    pub received_from: Option<IpAddr>,
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signal")
            .field("call_id", &self.call_id)
            .field("from_tag", &self.from_tag)
            .field("to_tag", &self.to_tag)
            .field("sdp_bytes", &self.sdp.len())
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// The arguments of `delete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The call.
    pub call_id: String,
    /// If present, the call must have a party with this tag. OpenSIPS does not send it.
    pub from_tag: Option<String>,
    /// If present, the call must have a party with this tag. Read only with the flag `to-tag`.
    pub to_tag: Option<String>,
    /// If present, and the call has branches, it must have this one.
    pub via_branch: Option<String>,
    /// How long `query` and `list` still report the call; `None` for the configured time.
    pub delay: Option<Duration>,
    /// An unknown call is an error, not a warning.
    pub fatal: bool,
    /// The reply has no statistics.
    pub fast: bool,
}

/// The arguments of `query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The call.
    pub call_id: String,
    /// If present, the call must have a party with this tag.
    pub from_tag: Option<String>,
    /// If present, the call must have a party with this tag.
    pub to_tag: Option<String>,
    /// All known values, even if the reply is longer than 1,200 bytes.
    pub verbose: bool,
    /// Only the verdict, in full. Also for the last calls that have ended.
    pub verdict: bool,
}
