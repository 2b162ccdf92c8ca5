//! Counters and timelines as plain data, for `query`, `delete`, metrics and the demo.

use std::net::SocketAddr;
use std::time::Duration;

use trestle_wire::Ssrc;

use crate::discard::{Discard, Discards};
use crate::{LegId, Milestone, SocketId};

/// Number and octets of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Datagrams.
    pub packets: u64,
    /// Octets of UDP payload.
    pub bytes: u64,
}

impl Count {
    /// Counts one datagram of `len` octets.
    #[inline]
    pub fn add(&mut self, len: usize) {
        self.packets += 1;
        self.bytes += len as u64;
    }

    /// Adds another count to this one.
    pub fn merge(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// The state and counters of one leg.
#[derive(Debug, Clone)]
pub struct LegReport {
    /// The leg.
    pub leg: LegId,
    /// The leg in one line, for people: transport, source, send format, and what happens to the audio. For example
    /// `DTLS-SRTP, from leg 1, opus pt 111 transcoded, playout delay 12 ms`.
    pub description: String,
    /// The leg's bound RTP address.
    pub local: SocketAddr,
    /// Where media is sent to, once known.
    pub remote: Option<SocketAddr>,
    /// SSRC of the peer's stream, once received.
    pub remote_ssrc: Option<Ssrc>,
    /// SSRC that Trestle sends.
    pub local_ssrc: Ssrc,
    /// Milestones reached, each with the time since the call was opened, in order.
    pub timeline: Vec<(Milestone, Duration)>,
    /// Media packets accepted from the peer.
    pub rtp_in: Count,
    /// Media packets sent to the peer.
    pub rtp_out: Count,
    /// RTCP packets accepted from the peer.
    pub rtcp_in: Count,
    /// RTCP packets sent to the peer.
    pub rtcp_out: Count,
    /// Discarded datagrams by reason; only reasons with a count.
    pub discards: Vec<(Discard, u64)>,
    /// Packets of the peer's stream that were lost (RFC 3550 A.3); negative if duplicates outnumber them.
    pub lost: i64,
    /// Interarrival jitter of the peer's stream (RFC 3550 A.8).
    pub jitter: Duration,
    /// Round-trip time from the last receiver report.
    pub round_trip: Option<Duration>,
    /// Loss of our stream that the peer reports, in 1/256.
    pub remote_fraction_lost: Option<u8>,
    /// Frames of 20 ms or less that were concealed on the way to this leg.
    pub concealed_frames: u64,
    /// The present playout delay: how long a missing frame on the way to this leg is waited for.
    pub playout_delay: Duration,
    /// Audio that was kept until it could be sent to the peer.
    pub preroll: Preroll,
    /// Pieces of filler, of 20 ms or less, that were sent because the source sent nothing.
    pub filled_frames: u64,
    /// Digits received from the peer, in order.
    pub digits_in: String,
    /// Digits sent to the peer, in order.
    pub digits_out: String,
}

/// Audio that arrived before it could be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preroll {
    /// How much was kept when the first of it was sent.
    pub kept: Duration,
    /// Sound without pauses that was dropped, because there was more than is kept or because the gate was closed.
    pub clipped: Duration,
    /// From the first packet sent until the call had its normal delay. `None` before that, or if nothing was kept.
    pub caught_up: Option<Duration>,
}

/// The state of one call, with a report per leg.
#[derive(Debug, Clone)]
pub struct CallReport {
    /// How long the call has existed.
    pub age: Duration,
    /// Time since the last media packet from any leg; `None` before the first.
    pub last_media: Option<Duration>,
    /// Its legs.
    pub legs: Vec<LegReport>,
}

/// A shard's counters since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Present calls.
    pub calls: u64,
    /// Present legs.
    pub legs: u64,
    /// Calls opened since the start.
    pub calls_total: u64,
    /// Media packets accepted.
    pub rtp_in: Count,
    /// Media packets sent.
    pub rtp_out: Count,
    /// RTCP packets accepted.
    pub rtcp_in: Count,
    /// RTCP packets sent.
    pub rtcp_out: Count,
    /// Discarded datagrams, by reason.
    pub discards: Discards,
    /// Digits received from peers.
    pub digits: u64,
    /// Frames of 20 ms or less that were concealed.
    pub concealed_frames: u64,
    /// Frames encoded.
    pub transcoded_frames: u64,
    /// The present complexity of Opus encoders.
    pub opus_complexity: u8,
    /// How often complexity was lowered because the shard was late.
    pub opus_steps_down: u64,
    /// How often it was raised again.
    pub opus_steps_up: u64,
    /// Calls ended by a caught panic.
    pub calls_failed: u64,
    /// Legs on which Trestle sent a ClientHello because the peer, whose turn it was, had sent none.
    pub dtls_roles_hedged: u64,
}

/// A pair of bound sockets for one leg: RTP on the even port and RTCP on the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortPair {
    /// RTP socket.
    pub rtp: SocketId,
    /// RTCP socket.
    pub rtcp: SocketId,
    /// Bound RTP address.
    pub rtp_addr: SocketAddr,
    /// Bound RTCP address.
    pub rtcp_addr: SocketAddr,
}
