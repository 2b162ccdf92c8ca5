//! What a peer noticed about the stream it received and about the agent that sent it.

use std::time::{Duration, Instant};

/// One packet's arrival, for the picture of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// When it came.
    pub at: Instant,
    /// How much later than its RTP timestamp promised, in milliseconds; negative is early. Against the first packet.
    pub late_ms: f64,
}

/// A digit as it arrived (RFC 4733).
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedDigit {
    /// `0`-`9`, `*`, `#`, `A`-`D`; `?` for an event that is no digit.
    pub digit: char,
    /// When its first packet came.
    pub at: Instant,
    /// Its longest duration field, in the clock of its payload type.
    pub duration_ms: f64,
    /// Packets without the E bit.
    pub updates: u32,
    /// Packets with the E bit; three are usual.
    pub ends: u32,
    /// Packets with the marker bit; the first should have it.
    pub markers: u32,
    /// How far its RTP timestamp is ahead, in the audio clock, of the wall clock since the stream's first packet,
    /// in milliseconds. Far from 0 means that the event is not on the audio's time line.
    pub off_line_ms: f64,
}

/// What one peer received. Times are of the clock that drives the peer.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// RTP packets that were authenticated, where there is anything to authenticate.
    pub packets: u64,
    /// Payload bytes of these.
    pub bytes: u64,
    /// First RTP packet.
    pub first_rtp_at: Option<Instant>,
    /// Last RTP packet.
    pub last_rtp_at: Option<Instant>,
    /// Last RTCP packet.
    pub last_rtcp_at: Option<Instant>,
    /// Longest time between two packets that follow each other in time.
    pub longest_gap: Duration,
    /// Distinct SSRCs. One is right.
    pub ssrcs: Vec<u32>,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets of a payload type that was not negotiated.
    pub unknown_pt: u64,
    /// Audio packets whose duration is not the negotiated ptime.
    pub ptime_violations: u64,
    /// Packets of audio whose payload the decoder refused.
    pub undecodable: u64,
    /// RTP timestamp minus wall clock since the first packet, at the last audio packet, in milliseconds.
    pub drift_ms: f64,
    /// The largest such difference, in either direction.
    pub max_drift_ms: f64,
    /// Interarrival jitter (RFC 3550 6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// Sender reports received.
    pub sender_reports: u64,
    /// Receiver reports and SRs with a report block about us.
    pub reception_reports: u64,
    /// Cumulative number of packets lost, from the last report block that the peer received.
    pub reported_lost: Option<i32>,
    /// How far the last SR's RTP timestamp was ahead of the wall clock on the line of the received audio, in
    /// milliseconds.
    pub sr_off_line_ms: Option<f64>,
    /// Goodbyes received.
    pub byes: u64,
    /// SRTP or SRTCP packets that did not authenticate, or came twice.
    pub auth_failures: u64,
    /// Of those, exact copies of a packet that came shortly before. The network makes such copies, too.
    pub copies: u64,
    /// Datagrams that are no RTP, RTCP, STUN or DTLS, or came from an address that is not the peer's.
    pub strays: u64,
    /// RTP and RTCP packets before [`crate::Meta::accepted`].
    pub early_packets: u64,
    /// Digits in the order of their first packets.
    pub digits: Vec<ReceivedDigit>,
}

impl Report {
    /// The digits as one word, for example `159#`.
    pub fn digits_received(&self) -> String {
        self.digits.iter().map(|digit| digit.digit).collect()
    }
}

/// What a strict ICE-lite agent noticed about the ICE agent on the other side.
#[derive(Debug, Clone, Default)]
pub struct IceReport {
    /// Binding requests received.
    pub checks: u64,
    /// When the first came.
    pub first_check_at: Option<Instant>,
    /// Every check claimed the controlling role. `None` before the first.
    pub controlling: Option<bool>,
    /// The first check on the pair that was nominated came without USE-CANDIDATE. `None` before nomination.
    pub regular_nomination: Option<bool>,
    /// When USE-CANDIDATE came first.
    pub nominated_at: Option<Instant>,
    /// How often USE-CANDIDATE moved to another pair afterwards.
    pub switches: u64,
    /// DTLS, RTP or RTCP datagrams before nomination. They were dropped.
    pub media_before_nomination: u64,
    /// ClientHellos received while it was the DTLS client itself. Its handshake cannot be completed then.
    pub hellos_to_client: u64,
    /// RTP packets after nomination and before the DTLS handshake was complete. They were dropped.
    pub media_before_keys: u64,
    /// Checks that came more than 5.1 s after the last: a missed consent (RFC 7675 5.1).
    pub consent_gaps: u64,
}

/// What [`crate::Meta`] noticed.
#[derive(Debug, Clone, Default)]
pub struct MetaReport {
    /// The received stream.
    pub stream: Report,
    /// ICE; `None` in the SDES flavour.
    pub ice: Option<IceReport>,
    /// When the DTLS handshake was through.
    pub dtls_connected_at: Option<Instant>,
    /// What Meta may not like in the SDP it was handed; one sentence each. Harder faults are refused.
    pub sdp_remarks: Vec<String>,
    /// The one SSRC received is the one that `a=ssrc` announced. `None` before the first packet or without the line.
    pub ssrc_as_signalled: Option<bool>,
}
