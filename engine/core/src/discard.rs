//! Why a datagram was discarded. A datagram never produces an error, only a counted reason.

/// Reasons, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Discard {
    /// No leg owns the socket.
    Unroutable,
    /// Neither STUN nor DTLS nor RTP nor RTCP, or malformed.
    Malformed,
    /// A kind of datagram that this leg cannot take: STUN on a leg without ICE, media before there are keys.
    NotConnected,
    /// From a source address that Trestle sends nothing to ([`crate::AddressPolicy`]): one of its own sockets, loopback,
    /// link-local, an address of `media-deny`.
    ForbiddenSource,
    /// From a source address that the leg does not accept.
    ForeignSource,
    /// The ICE agent or the DTLS machine did not accept it.
    HandshakeRefused,
    /// The SRTP tag is wrong.
    AuthFailed,
    /// The SRTP index was seen before.
    Replay,
    /// From a second SSRC that has not shown two packets in order yet.
    ForeignSsrc,
    /// A payload type that was not negotiated.
    UnknownPt,
    /// The peer has announced that it sends nothing.
    NotReceiving,
    /// A sequence number far from the last one; accepted when the next packet follows it (RFC 3550 A.1).
    SequenceJump,
    /// A sequence number that has been received already.
    Duplicate,
    /// More audio than a call has: the budget of the leg is used up.
    OverBudget,
    /// Media of Trestle's own that comes back: a ring of calls, or a leg that receives what another leg of its call sends.
    Ring,
    /// Media for a peer without ICE from which no packet has ever come: the probe is over.
    Unproven,
    /// Too late: its frame was concealed, or its sequence number is used.
    Late,
    /// Audio that waited for longer than [`crate::limits::WAITED_AUDIO_MAX`] before Trestle read it.
    Stale,
    /// The jitter buffer is full.
    Overflow,
    /// Audio of the source in whose place this leg is sent something else: a digit, or silence, because the source is muted.
    Replaced,
    /// No leg has this one as its source, or the one that has cannot be sent to.
    NoListener,
    /// The decoder refused the payload.
    Undecodable,
    /// The encoder of the listener refused a frame, or the frame is longer than any of a known codec.
    Unencodable,
    /// A digit for a peer to which too many digits wait already ([`crate::limits::DIGITS_WAITING_MAX`]).
    DigitQueueFull,
}

impl Discard {
    /// Every reason.
    pub const ALL: [Self; 24] = [
        Self::Unroutable,
        Self::Malformed,
        Self::NotConnected,
        Self::ForbiddenSource,
        Self::ForeignSource,
        Self::HandshakeRefused,
        Self::AuthFailed,
        Self::Replay,
        Self::ForeignSsrc,
        Self::UnknownPt,
        Self::NotReceiving,
        Self::SequenceJump,
        Self::Duplicate,
        Self::OverBudget,
        Self::Ring,
        Self::Unproven,
        Self::Late,
        Self::Stale,
        Self::Overflow,
        Self::Replaced,
        Self::NoListener,
        Self::Undecodable,
        Self::Unencodable,
        Self::DigitQueueFull,
    ];

    /// Name in metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unroutable => "unroutable",
            Self::Malformed => "malformed",
            Self::NotConnected => "not_connected",
            Self::ForbiddenSource => "forbidden_source",
            Self::ForeignSource => "foreign_source",
            Self::HandshakeRefused => "handshake_refused",
            Self::AuthFailed => "auth_failed",
            Self::Replay => "replay",
            Self::ForeignSsrc => "foreign_ssrc",
            Self::UnknownPt => "unknown_pt",
            Self::NotReceiving => "not_receiving",
            Self::SequenceJump => "sequence_jump",
            Self::Duplicate => "duplicate",
            Self::OverBudget => "over_budget",
            Self::Ring => "ring",
            Self::Unproven => "unproven",
            Self::Late => "late",
            Self::Stale => "stale",
            Self::Overflow => "overflow",
            Self::Replaced => "replaced",
            Self::NoListener => "no_listener",
            Self::Undecodable => "undecodable",
            Self::Unencodable => "unencodable",
            Self::DigitQueueFull => "digit_queue_full",
        }
    }
}

/// A counter per reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discards([u64; Discard::ALL.len()]);

impl Discards {
    /// Counts one.
    pub fn add(&mut self, reason: Discard) {
        self.add_n(reason, 1);
    }

    /// Counts `n`.
    pub fn add_n(&mut self, reason: Discard, n: u64) {
        self.0[reason as usize] += n;
    }

    /// How many there were.
    pub fn get(&self, reason: Discard) -> u64 {
        self.0[reason as usize]
    }

    /// Adds another set of counters to this one.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Reasons with a count.
    pub fn nonzero(&self) -> Vec<(Discard, u64)> {
        Discard::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, n)| *n > 0).collect()
    }
}
