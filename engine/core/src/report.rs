//! Counters and timelines, as plain data for `query`, `delete`, metrics and the demo.

use std::net::SocketAddr;
use std::time::Duration;

use trestle_wire::Ssrc;

use crate::discard::{Discard, Discards};
use crate::{LegId, Milestone, SocketId};

/// Packets and octets of payload-carrying datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Datagrams.
    pub packets: u64,
    /// Octets of UDP payload.
    pub bytes: u64,
}

impl Count {
    /// Counts one datagram of `len` octets.
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

/// What is known of one leg.
#[derive(Debug, Clone)]
pub struct LegReport {
    /// The leg.
    pub leg: LegId,
    /// One line for people: the leg's transport and its route, e.g. `webrtc opus/48000 pt 111 <- PCMA/8000 via 12 ms hold`.
    pub description: String,
    /// Our bound RTP address.
    pub local: SocketAddr,
    /// Where we send to, once known.
    pub remote: Option<SocketAddr>,
    /// SSRC of the peer's stream, once seen.
    pub remote_ssrc: Option<Ssrc>,
    /// Our SSRC.
    pub local_ssrc: Ssrc,
    /// Milestones and when they were reached, since the call was opened, in order of time.
    pub timeline: Vec<(Milestone, Duration)>,
    /// Media taken from the peer (after authentication).
    pub rtp_in: Count,
    /// Media sent to the peer.
    pub rtp_out: Count,
    /// RTCP taken from the peer.
    pub rtcp_in: Count,
    /// RTCP sent to the peer.
    pub rtcp_out: Count,
    /// Datagrams that went no further, by reason; reasons with a count only.
    pub discards: Vec<(Discard, u64)>,
    /// Packets of the peer's stream that never came (RFC 3550 A.3); may be negative with duplicates.
    pub lost: i64,
    /// Interarrival jitter of the peer's stream (RFC 3550 A.8).
    pub jitter: Duration,
    /// Round-trip time from the last receiver report.
    pub round_trip: Option<Duration>,
    /// Loss that the peer reports of our stream, in 1/256.
    pub remote_fraction_lost: Option<u8>,
    /// Frames concealed on the way to this leg.
    pub concealed_frames: u64,
    /// How long a missing frame on the way to this leg is waited for at present.
    pub hold: Duration,
    /// What was kept for the peer before it could be sent.
    pub preroll: Preroll,
    /// Frames that the peer got because there was nothing to pass on.
    pub filled_frames: u64,
    /// Digits received from the peer, in order.
    pub digits_in: String,
    /// Digits sent to the peer, in order.
    pub digits_out: String,
}

/// The story of audio that came before it could be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Preroll {
    /// Kept when the first of it was played.
    pub kept: Duration,
    /// Sound, pauses left aside, that was lost because more came than is kept, or because it was thrown away.
    pub clipped: Duration,
    /// From the first packet out until the call was at its normal delay. `None` while it is not, or if nothing was kept.
    pub caught_up: Option<Duration>,
}

/// What is known of one call.
#[derive(Debug, Clone)]
pub struct CallReport {
    /// How long the call has existed.
    pub age: Duration,
    /// Since a media packet was last taken from any leg; `None` if none ever was.
    pub last_media: Option<Duration>,
    /// Its legs.
    pub legs: Vec<LegReport>,
}

/// A shard's counters since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls there are.
    pub calls: u64,
    /// Legs there are.
    pub legs: u64,
    /// Calls there have ever been.
    pub calls_total: u64,
    /// Media received and taken.
    pub rtp_in: Count,
    /// Media sent.
    pub rtp_out: Count,
    /// RTCP received and taken.
    pub rtcp_in: Count,
    /// RTCP sent.
    pub rtcp_out: Count,
    /// Datagrams that went no further, by reason.
    pub discards: Discards,
    /// Digits taken from peers.
    pub digits: u64,
    /// Frames concealed.
    pub concealed_frames: u64,
    /// Frames transcoded.
    pub transcoded_frames: u64,
    /// Opus' present complexity.
    pub opus_complexity: u8,
    /// Steps that it has gone down because the shard was late...
    pub opus_steps_down: u64,
    /// ...and up again.
    pub opus_steps_up: u64,
    /// Calls ended by a caught panic.
    pub calls_failed: u64,
    /// Legs on which we sent a ClientHello although the peer was to send one and did not.
    pub dtls_roles_hedged: u64,
}

/// A bound pair of sockets that the edge hands to a shard, RTP on the even port and RTCP on the next.
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
