//! The interface between controller and shard: commands, replies and events. It has no SDP, no JSON and no strings to parse.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use trestle_wire::telephone_event::Digit;

use crate::report::{CallReport, Totals};
use crate::{CallId, LegId, LegPlan, RequestId};

/// A request of the controller to a shard.
#[derive(Debug, Clone)]
pub enum Command {
    /// Opens the call and each listed leg that does not exist yet, and brings every listed leg to its plan. All or nothing: after
    /// an error the call is as before, and a call that would have been created does not exist.
    Apply {
        /// The call; created if unknown.
        call: CallId,
        /// Legs to open or change. Legs not listed stay as they are.
        legs: Vec<(LegId, LegPlan)>,
    },
    /// Removes one leg. Legs whose source it was have no source then.
    RemoveLeg {
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
    },
    /// Announces to each peer that its leg ends: an RTCP BYE (RFC 3550 6.6), and close_notify on a DTLS association (RFC 6347
    /// 4.2.8). The call continues; [`Command::Delete`] is to follow.
    AnnounceEnd {
        /// The call.
        call: CallId,
    },
    /// Ends the call and releases its ports.
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
        /// Its duration; 100 ms is usual.
        duration: Duration,
        /// Power in -dBm0, 0 to 63; 10 is usual.
        volume: u8,
    },
    /// Gives ports back for other shards: up to so many pairs of each interface that no leg uses. Applied by the edge of the shard.
    FreePorts {
        /// Pairs of each interface and address family.
        pairs: usize,
    },
    /// This machine has these addresses now, each with its network ([`crate::AddressPolicy::machine`]). Sources are checked again.
    SetMachineAddresses(Vec<IpNet>),
    /// Reports the shard's counters.
    Totals,
}

/// The result of a [`Command`].
#[derive(Debug, Clone)]
pub enum EngineReply {
    /// The ports of every leg that was listed.
    Applied(Vec<(LegId, LegPorts)>),
    /// [`Command::RemoveLeg`], [`Command::AnnounceEnd`], [`Command::PlayDigit`], [`Command::FreePorts`] or
    /// [`Command::SetMachineAddresses`] is done.
    Done,
    /// The call has ended; its last report.
    Deleted(Box<CallReport>),
    /// The call's report.
    Report(Box<CallReport>),
    /// The shard's counters.
    Totals(Box<Totals>),
}

/// The bound addresses of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegPorts {
    /// RTP (and RTCP, if multiplexed). It may differ from the advertised address.
    pub rtp: SocketAddr,
    /// RTCP if not multiplexed.
    pub rtcp: SocketAddr,
}

/// Why a command was refused. The controller words the error for its clients.
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
    /// The formats of the leg's peer are not known yet, so no digit can be sent to it.
    #[error("leg takes no digits yet")]
    NoFormat,
    /// The leg's gate is shut: no media may be sent yet.
    #[error("gate is shut")]
    GateShut,
    /// Digits of [`crate::limits::DIGITS_WAITING_MAX`] wait for the peer.
    #[error("too many digits wait")]
    DigitQueueFull,
    /// A bug in Trestle: the command caused a panic. A call that it was changing no longer exists.
    #[error("internal error")]
    Failed,
    /// A plan cannot be taken: the address of its interface cannot be an ICE candidate, or two plans are for one leg.
    #[error("bad plan: {0}")]
    BadPlan(&'static str),
}

/// A report that is no reply to a command.
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
    /// The peer of a leg has pressed and released a digit. One event per press.
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
    /// No media has arrived on any leg for the configured time. The call goes on; the controller decides whether to end it.
    MediaTimeout,
    /// A leg's transport has failed.
    LegFailed {
        /// The leg.
        leg: LegId,
        /// Why.
        reason: LegFailure,
    },
    /// A leg has a fault that may end the call if it lasts. Sent again at each further step of the risk.
    AtRisk {
        /// The leg.
        leg: LegId,
        /// The fault.
        risk: Risk,
        /// How long it has lasted.
        lasted: Duration,
        /// The last point of the leg's set-up that was reached.
        reached: Milestone,
    },
    /// A fault of a leg is over.
    Recovered {
        /// The leg.
        leg: LegId,
        /// The fault.
        risk: Risk,
    },
    /// A bug in Trestle ended the call (a panic was caught); its ports are released.
    CallFailed,
}

/// Points of a leg's timeline, each reached once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Milestone {
    /// The leg was opened.
    Opened,
    /// The peer's SDP is known.
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
    /// The leg's gate was opened: media may be sent.
    GateOpened,
    /// The pre-roll has been sent, and its delay worked off.
    CaughtUp,
}

/// A fault of a leg that may end the call if it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// The gate is open and no media is sent to the peer.
    NothingSent,
    /// The path is up and no media has ever come from the peer.
    NothingReceived,
    /// Media came from the peer and has stopped.
    FellSilent,
    /// The peer's SDP is known and no connectivity check has succeeded. [`EventKind::Recovered`] with this risk is also sent when
    /// consent was lost ([`LegFailure::IceDisconnected`]) and an ICE restart has succeeded.
    IceStuck,
    /// There is a path and the DTLS handshake does not complete.
    DtlsStuck,
    /// The peer sends more audio than a call has; what is too much is discarded.
    Flood,
    /// Media of Trestle's own comes back from the peer as in a ring; it is discarded.
    Ring,
    /// No packet has ever come from a peer without ICE, and media to its address is limited to one packet a second.
    Unproven,
}

/// Why a leg's transport failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LegFailure {
    /// Consent to send expired or was never given (RFC 7675).
    #[error("ICE consent lost")]
    IceDisconnected,
    /// The peer's certificate does not match its `a=fingerprint`.
    #[error("certificate does not match a=fingerprint")]
    FingerprintMismatch,
    /// The DTLS handshake did not complete.
    #[error("DTLS handshake failed")]
    DtlsFailed,
    /// The peer sent close_notify.
    #[error("peer closed DTLS")]
    DtlsClosed,
}

/// The result of the command with this id.
pub type CommandReply = (RequestId, Result<EngineReply, CommandError>);
