//! Why a datagram went no further. A datagram never produces an error, only one of these, counted.

/// Reasons, in the order in which a packet meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Discard {
    /// No leg owns the socket.
    Unroutable,
    /// Neither STUN nor DTLS nor RTP nor RTCP, or not what it claims to be.
    Malformed,
    /// A kind of datagram that this leg does not speak: STUN on a plain leg, media before keys.
    NotConnected,
    /// From an address that the leg does not believe.
    ForeignSource,
    /// The ICE agent or the DTLS machine did not accept it.
    HandshakeRefused,
    /// The SRTP tag is wrong.
    AuthFailed,
    /// The SRTP index was seen before.
    Replay,
    /// From a second SSRC that has not proved itself yet.
    ForeignSsrc,
    /// A payload type that was not negotiated.
    UnknownPt,
    /// The peer said it would not send.
    NotReceiving,
    /// A sequence number far from the last one; believed when the next packet follows it (RFC 3550 A.1).
    SequenceJump,
    /// The same packet again.
    Duplicate,
    /// Its turn is over; the frame was concealed.
    Late,
    /// The jitter buffer is full.
    Overflow,
    /// Nobody listens to this leg, or the listener is not ready.
    NoListener,
    /// The decoder refused the payload.
    Undecodable,
}

impl Discard {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::Unroutable,
        Self::Malformed,
        Self::NotConnected,
        Self::ForeignSource,
        Self::HandshakeRefused,
        Self::AuthFailed,
        Self::Replay,
        Self::ForeignSsrc,
        Self::UnknownPt,
        Self::NotReceiving,
        Self::SequenceJump,
        Self::Duplicate,
        Self::Late,
        Self::Overflow,
        Self::NoListener,
        Self::Undecodable,
    ];

    /// Name in metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unroutable => "unroutable",
            Self::Malformed => "malformed",
            Self::NotConnected => "not_connected",
            Self::ForeignSource => "foreign_source",
            Self::HandshakeRefused => "handshake_refused",
            Self::AuthFailed => "auth_failed",
            Self::Replay => "replay",
            Self::ForeignSsrc => "foreign_ssrc",
            Self::UnknownPt => "unknown_pt",
            Self::NotReceiving => "not_receiving",
            Self::SequenceJump => "sequence_jump",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Overflow => "overflow",
            Self::NoListener => "no_listener",
            Self::Undecodable => "undecodable",
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
