//! RTCP of a leg: Trestle's reports to the peer, and the peer's reports. RTCP of one leg never passes to another (RFC 3550 7.1).

use std::time::{Duration, Instant};

use trestle_wire::rtcp::{Compound, RtcpPacket, RtcpReport, SenderInfo};

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::path::Path;
use crate::Discard;
use crate::output::Outbox;
use crate::report::Count;
use crate::time::Epoch;

/// Reports are sent at random intervals between these. The minimum of RFC 3550 6.2 is 5 s in the long run; some peers take RTCP for
/// a sign of life and expect it every few seconds.
const INTERVAL_MIN: Duration = Duration::from_millis(2_500);
const INTERVAL_MAX: Duration = Duration::from_millis(5_000);

/// Sends reports at random intervals, and keeps the figures of the peer's.
#[derive(Debug)]
pub(super) struct RtcpReporter {
    epoch: Epoch,
    cname: String,
    next_at: Instant,
    /// State of the generator of intervals. It is no secret.
    random: u64,
    packets_at_last: u32,
    round_trip: Option<Duration>,
    remote_fraction_lost: Option<u8>,
    received: Count,
    sent: Count,
}

impl RtcpReporter {
    pub(super) fn new(now: Instant, epoch: Epoch, seed: u64) -> Self {
        let mut reporter = Self {
            epoch,
            cname: String::new(),
            next_at: now,
            random: seed,
            packets_at_last: 0,
            round_trip: None,
            remote_fraction_lost: None,
            received: Count::default(),
            sent: Count::default(),
        };
        reporter.draw_interval(now);
        reporter
    }

    pub(super) fn set_cname(&mut self, cname: String) {
        self.cname = cname;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next_at)
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Loss of our stream as the peer reports it, in 1/256.
    pub(super) fn remote_fraction_lost(&self) -> Option<u8> {
        self.remote_fraction_lost
    }

    /// Datagrams received and sent.
    pub(super) fn counts(&self) -> (Count, Count) {
        (self.received, self.sent)
    }

    /// Random intervals keep the reports of many legs from falling on one instant (RFC 3550 6.3.1).
    fn draw_interval(&mut self, now: Instant) {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let spread_ms = (INTERVAL_MAX - INTERVAL_MIN).as_millis() as u64;
        self.next_at = now + INTERVAL_MIN + Duration::from_millis((z ^ z >> 31) % (spread_ms + 1));
    }

    /// Takes a compound packet that came in a datagram of `datagram_len` octets. Reduced-size packets are accepted
    /// (RFC 5506): to refuse them would only lose reports.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        bytes: &[u8],
        datagram_len: usize,
        incoming: &mut Incoming,
        outgoing: &mut Outgoing,
    ) -> Result<(), Discard> {
        self.received.add(datagram_len);
        let compound = Compound::parse_reduced_size(bytes).map_err(|_| Discard::Malformed)?;
        for packet in compound.packets() {
            let (sender, reports) = match packet {
                RtcpPacket::SenderReport { ssrc, sender, reports } => (Some((ssrc, sender)), reports),
                RtcpPacket::ReceiverReport { reports, .. } => (None, reports),
                // A BYE ends nothing: signalling ends calls, and on a plain path a BYE is easily forged.
                RtcpPacket::SourceDescription { .. } | RtcpPacket::Bye { .. } | RtcpPacket::Other(_) => continue,
            };
            if let (Some((ssrc, sender)), Some(rx)) = (sender, incoming.rx_mut())
                && rx.ssrc() == ssrc
            {
                rx.sender_report(now, sender.ntp);
            }
            if let Some(block) = reports.about(outgoing.tx.ssrc()) {
                self.round_trip = block.round_trip(self.epoch.ntp_at(now)).or(self.round_trip);
                self.remote_fraction_lost = Some(block.fraction_lost);
                if let Some(transcoder) = outgoing.mode.transcoder_mut() {
                    transcoder.set_remote_loss(block.fraction_lost);
                }
            }
        }
        Ok(())
    }

    /// True if a report is due. The next one is due after an interval from now.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.next_at <= now;
        if is_due {
            self.draw_interval(now);
        }
        is_due
    }

    /// Sends SR if media was sent since the last report, else RR (RFC 3550 6.4), each with our CNAME, and with a BYE if `bye`.
    pub(super) fn send_report(
        &mut self,
        now: Instant,
        path: &mut Path,
        incoming: &mut Incoming,
        outgoing: &Outgoing,
        outbox: &mut Outbox,
        bye: bool,
    ) {
        let reception = incoming.rx_mut().and_then(|rx| rx.report(now));
        let packets = outgoing.tx.packets();
        // Without media in either direction there is nothing to report, and no report may be the first packet. A BYE is sent unless neither
        // media nor a report was ever sent (RFC 3550 6.3.7).
        let is_empty = packets == 0 && if bye { self.sent.packets == 0 } else { reception.is_none() };
        if path.rtcp_destination().is_none() || outgoing.plan.is_gate_shut() || is_empty {
            return;
        }
        let sender = (packets != self.packets_at_last).then(|| SenderInfo {
            ntp: self.epoch.ntp_at(now),
            rtp_time: outgoing.tx.time_at(now),
            packets,
            octets: outgoing.tx.octets(),
        });
        self.packets_at_last = packets;
        let (ssrc, cname) = (outgoing.tx.ssrc(), &self.cname);
        let report = RtcpReport { ssrc, sender, reports: reception.as_slice(), cname, bye };
        if let Some(len) = path.send_rtcp(outbox, |buf| report.write(buf)) {
            self.sent.add(len);
        }
    }
}
