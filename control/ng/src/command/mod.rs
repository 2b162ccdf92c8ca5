//! Operations: what a request asks for, typed. No bytes, no dictionaries beyond this point.

pub mod codec_spec;
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
pub use flag_table::{Switch, Switches};
pub use flags::Flags;
pub use media::{Block, Connect, GateRequest, PlayDigit, Subject, TargetParty};
pub use request::{OpError, Request};
pub use subscribe::Subscribe;

/// Longest call-id, tag or label, in bytes. SIP sets no limit; real ones stay under 150.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest SDP, in bytes. A full WebRTC description with a dozen candidates has 3 kB.
pub const SDP_BYTES_MAX: usize = 16 * 1024;

/// A request, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
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
        /// Most call-ids to return; 32 by default.
        limit: usize,
    },
    /// `statistics`
    Statistics,
    /// `play DTMF`
    PlayDigit(PlayDigit),
    /// `block DTMF`, `block media`, `silence media` and what undoes them.
    Block(Block),
    /// `connect`
    Connect(Connect),
    /// `gate`
    Gate(GateRequest),
    /// `subscribe events`
    Subscribe(Subscribe),
    /// `create`; its `sdp` is empty.
    Create(Box<Signal>),
    /// `create answer`
    CreateAnswer(Box<Signal>),
}

impl Op {
    /// Every operation's name.
    pub const NAMES: [&str; 19] = [
        "ping",
        "offer",
        "answer",
        "delete",
        "query",
        "list",
        "statistics",
        "play DTMF",
        "block DTMF",
        "unblock DTMF",
        "block media",
        "unblock media",
        "silence media",
        "unsilence media",
        "connect",
        "create",
        "create answer",
        "gate",
        "subscribe events",
    ];

    /// Its name in requests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Offer(_) => "offer",
            Self::Answer(_) => "answer",
            Self::Delete(_) => "delete",
            Self::Query(_) => "query",
            Self::List { .. } => "list",
            Self::Statistics => "statistics",
            Self::PlayDigit(_) => "play DTMF",
            Self::Block(Block { subject, on, .. }) => match (subject, on) {
                (Subject::Digits, true) => "block DTMF",
                (Subject::Digits, false) => "unblock DTMF",
                (Subject::Media, true) => "block media",
                (Subject::Media, false) => "unblock media",
                (Subject::Audio, true) => "silence media",
                (Subject::Audio, false) => "unsilence media",
            },
            Self::Connect(_) => "connect",
            Self::Gate(_) => "gate",
            Self::Subscribe(_) => "subscribe events",
            Self::Create(_) => "create",
            Self::CreateAnswer(_) => "create answer",
        }
    }

    /// The call that it is about.
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
            // A subscription is not about a call: it waits for none, and none need be there.
            Self::Ping | Self::List { .. } | Self::Statistics | Self::Subscribe(_) => None,
        }
    }

    /// The second call that it is about.
    pub fn other_call_id(&self) -> Option<&str> {
        match self {
            Self::Connect(connect) => connect.to_call_id.as_deref(),
            _ => None,
        }
    }
}

/// An `offer` or an `answer`: one SDP on its way from one party to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The call: the Call-ID of the dialogue.
    pub call_id: String,
    /// In an offer the party whose SDP this is; in an answer the party that offered.
    pub from_tag: String,
    /// In an answer the party whose SDP this is; in an offer the receiver, if it is known (re-offers).
    pub to_tag: Option<String>,
    /// Distinguishes branches of a forked or retried request.
    pub via_branch: Option<String>,
    /// The SDP as received.
    pub sdp: String,
    /// What to do with it.
    pub flags: Flags,
    /// Where the signalling came from. Acted on only with [`Switch::SipSourceAddress`].
    pub received_from: Option<IpAddr>,
}

/// A `delete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The call.
    pub call_id: String,
    /// If given, the call must have a party of that tag. OpenSIPS gives none.
    pub from_tag: Option<String>,
    /// Looked at only with the flag `to-tag`.
    pub to_tag: Option<String>,
    /// If given and the call knows its branches, it must know this one.
    pub via_branch: Option<String>,
    /// How long the call is kept for `query` and `list`; `None` for the configured time.
    pub delay: Option<Duration>,
    /// A call that is not there is an error rather than a warning.
    pub fatal: bool,
    /// No statistics in the reply.
    pub fast: bool,
}

/// A `query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The call.
    pub call_id: String,
    /// If given, the call must have a party of that tag.
    pub from_tag: Option<String>,
    /// If given, the call must have a party of that tag.
    pub to_tag: Option<String>,
    /// Everything that is known, even if the reply grows beyond 1,200 bytes.
    pub verbose: bool,
    /// What the call was like and why it ended, in full, and nothing else; of calls that ended some time ago, too.
    pub verdict: bool,
}
