//! The engine's whole verb set: commands in, replies and events out. No SDP, no JSON, no strings to parse.

use std::net::SocketAddr;
use std::time::Duration;

use trestle_wire::telephone_event::Digit;

use crate::report::{CallReport, Totals};
use crate::{CallId, LegId, LegPlan, RequestId};

/// What a controller can ask of a shard.
#[derive(Debug, Clone)]
pub enum Command {
    /// Opens the call and any leg not there yet, and brings every listed leg to its plan. All or nothing: on an error
    /// the call is as it was before, and a call that this would have created does not exist.
    Apply {
        /// The call; created if unknown.
        call: CallId,
        /// Legs to open or change. Legs not listed stay as they are.
        legs: Vec<(LegId, LegPlan)>,
    },
    /// Takes one leg out of the call; whoever heard it hears nothing.
    RemoveLeg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
    },
    /// Ends the call and gives its ports back.
    Delete {
        /// The call.
        call: CallId,
    },
    /// Reports on a call without changing it.
    Query {
        /// The call.
        call: CallId,
    },
    /// Sends one digit to the peer of `leg`, as if it had been pressed on the other side.
    PlayDigit {
        /// The call.
        call: CallId,
        /// The leg whose peer shall receive the digit.
        leg: LegId,
        /// The digit.
        digit: Digit,
        /// How long; 100 ms if in doubt.
        duration: Duration,
        /// Power in -dBm0, 0 to 63; 10 if in doubt.
        volume: u8,
    },
    /// Reports the shard's counters.
    Totals,
}

/// Answer to a [`Command`].
#[derive(Debug, Clone)]
pub enum Reply {
    /// The ports of every leg that was listed.
    Applied(Vec<(LegId, LegPorts)>),
    /// The leg or digit command is done.
    Done,
    /// The call has ended; its last report.
    Deleted(Box<CallReport>),
    /// The call's report.
    Report(Box<CallReport>),
    /// The shard's counters.
    Totals(Box<Totals>),
}

/// Where a leg listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegPorts {
    /// RTP (and RTCP, if multiplexed): the bound address, not the advertised one.
    pub rtp: SocketAddr,
    /// RTCP if not multiplexed.
    pub rtcp: SocketAddr,
}

/// Why a command was refused. Data; words are the controller's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such call on this shard.
    #[error("unknown call")]
    UnknownCall,
    /// No such leg in the call.
    #[error("unknown leg")]
    UnknownLeg,
    /// The interface has no free port.
    #[error("ran out of ports")]
    NoPorts,
    /// The shard carries [`crate::limits::CALLS_MAX`] calls.
    #[error("too many calls")]
    TooManyCalls,
    /// The call has [`crate::limits::LEGS_PER_CALL_MAX`] legs.
    #[error("too many legs")]
    TooManyLegs,
    /// What the leg's peer takes is not known yet, so no digit can be sent to it.
    #[error("leg takes no digits yet")]
    NoFormat,
    /// The leg's gate is shut: nothing leaves yet.
    #[error("gate is shut")]
    GateShut,
    /// A bug: what the command asked for panicked. The call, if there was one, is gone.
    #[error("internal error")]
    Failed,
    /// A candidate, credential or key in a plan is unusable.
    #[error("bad plan: {0}")]
    BadPlan(&'static str),
}

/// Something happened that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The call.
    pub call: CallId,
    /// What happened.
    pub kind: EventKind,
}

/// Kinds of [`Event`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A leg reached a point of its timeline for the first time.
    Milestone {
        /// The leg.
        leg: LegId,
        /// The point.
        milestone: Milestone,
    },
    /// The peer of a leg pressed a digit, and has released it. Exactly one event per press.
    Digit {
        /// The leg it came from.
        leg: LegId,
        /// The digit.
        digit: Digit,
        /// How long it was pressed.
        duration: Duration,
        /// Power in -dBm0, 0 to 63.
        volume: u8,
        /// Where the packets came from.
        source: SocketAddr,
    },
    /// No media has arrived on any leg for the configured time. The call goes on; ending it is the controller's choice.
    MediaTimeout,
    /// A leg's transport is lost for good.
    LegFailed {
        /// The leg.
        leg: LegId,
        /// Why.
        reason: LegFailure,
    },
    /// Something is wrong with a leg that may end the call if it lasts. Told again each time it has lasted for another of
    /// its steps.
    AtRisk {
        /// The leg.
        leg: LegId,
        /// What is wrong.
        risk: Risk,
        /// For how long.
        lasted: Duration,
        /// The last point of the leg's set-up that was reached.
        reached: Milestone,
    },
    /// What was wrong with a leg is not any more.
    Recovered {
        /// The leg.
        leg: LegId,
        /// What was wrong.
        risk: Risk,
    },
    /// A bug ended the call (a panic was caught); its ports are back in the pool.
    CallFailed,
}

/// Points of a leg's timeline, each reached once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Milestone {
    /// The leg was opened.
    Opened,
    /// The peer's description is known.
    RemoteKnown,
    /// The first connectivity check was sent.
    FirstCheck,
    /// An ICE pair is nominated and the nomination is answered.
    IceConnected,
    /// DTLS is up and the peer's certificate is the announced one.
    DtlsConnected,
    /// The peer's address has been learnt from its packets.
    Latched,
    /// The first media packet was taken from the peer.
    FirstMediaIn,
    /// The first media packet was sent to the peer.
    FirstMediaOut,
    /// Media was allowed to leave: the leg's gate was opened.
    GateOpened,
    /// What had been kept while the gate was shut has been played, and the delay worked off.
    CaughtUp,
}

/// What may end a call if it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// The gate is open and the peer gets no media from us.
    NothingSent,
    /// The path is up and no media has ever come from the peer.
    NothingReceived,
    /// Media came from the peer and has stopped.
    FellSilent,
    /// The peer's description is known and no connectivity check has succeeded. That it has recovered is also told when
    /// consent was lost ([`LegFailure::IceDisconnected`]) and has come back with an ICE restart.
    IceStuck,
    /// There is a path and the DTLS handshake does not come to an end.
    DtlsStuck,
}

/// Why a leg is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LegFailure {
    /// Consent to send expired or was never given (RFC 7675).
    #[error("ICE consent lost")]
    IceDisconnected,
    /// The peer's certificate does not match its `a=fingerprint`.
    #[error("certificate does not match a=fingerprint")]
    FingerprintMismatch,
    /// The DTLS handshake did not come to an end.
    #[error("DTLS handshake failed")]
    DtlsFailed,
    /// The peer sent close_notify.
    #[error("peer closed DTLS")]
    DtlsClosed,
}

/// A reply together with the command it answers.
pub type Answer = (RequestId, Result<Reply, CommandError>);
