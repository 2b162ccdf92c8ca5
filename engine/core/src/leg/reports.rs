//! RTCP of a leg: our own reports out, the peer's reports in. Nothing of one leg's RTCP passes to another (RFC 3550 7.1).

use std::time::{Duration, Instant};

use trestle_wire::demux::Kind;
use trestle_wire::rtcp::{Compound, Packet, Report, SenderInfo};

use super::latch::Flow;
use super::{Leg, Received};
use crate::Discard;
use crate::output::Outbox;
use crate::time::Epoch;

/// Reports go out at random intervals between these: 5 s is RFC 3550's minimum for the long run (6.2), and some peers
/// count RTCP as a sign of life that they want to see every few seconds.
const INTERVAL_MIN: Duration = Duration::from_millis(2_500);
const INTERVAL_MAX: Duration = Duration::from_millis(5_000);

/// When the next report goes, and what the peer's reports said.
#[derive(Debug)]
pub(crate) struct RtcpSchedule {
    epoch: Epoch,
    next_at: Instant,
    /// State of a small generator for the intervals; nothing secret depends on it.
    dice: u64,
    packets_at_last: u32,
    round_trip: Option<Duration>,
    remote_fraction_lost: Option<u8>,
}

impl RtcpSchedule {
    pub(crate) fn new(now: Instant, epoch: Epoch, seed: u64) -> Self {
        let mut schedule =
            Self { epoch, next_at: now, dice: seed, packets_at_last: 0, round_trip: None, remote_fraction_lost: None };
        schedule.throw(now);
        schedule
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next_at)
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) fn remote_fraction_lost(&self) -> Option<u8> {
        self.remote_fraction_lost
    }

    /// Random intervals keep the reports of many legs from falling on one instant (RFC 3550 6.3.1).
    fn throw(&mut self, now: Instant) {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let spread_ms = (INTERVAL_MAX - INTERVAL_MIN).as_millis() as u64;
        self.next_at = now + INTERVAL_MIN + Duration::from_millis((z ^ z >> 31) % (spread_ms + 1));
    }
}

impl Leg {
    pub(super) fn receive_rtcp(&mut self, now: Instant, bytes: &[u8]) -> Result<Received, Discard> {
        // Reduced-size packets are taken from anybody: refusing them would only lose reports (RFC 5506).
        let compound = Compound::parse_reduced_size(bytes).map_err(|_| Discard::Malformed)?;
        for packet in compound.packets() {
            let (sender, reports) = match packet {
                Packet::SenderReport { ssrc, sender, reports } => (Some((ssrc, sender)), reports),
                Packet::ReceiverReport { reports, .. } => (None, reports),
                // A BYE ends nothing: signalling ends calls, and anybody on a plain path can forge one.
                Packet::SourceDescription { .. } | Packet::Bye { .. } | Packet::Other(_) => continue,
            };
            if let (Some((ssrc, sender)), Some(rx)) = (sender, &mut self.rx)
                && rx.ssrc() == ssrc
            {
                rx.sender_report(now, sender.ntp);
            }
            if let Some(block) = reports.about(self.plan.ssrc) {
                self.rtcp.round_trip = block.round_trip(self.rtcp.epoch.ntp_at(now)).or(self.rtcp.round_trip);
                self.rtcp.remote_fraction_lost = Some(block.fraction_lost);
                if let Some(transcoder) = &mut self.transcoder {
                    transcoder.set_remote_loss(block.fraction_lost);
                }
            }
        }
        Ok(Received::Nothing)
    }

    pub(super) fn rtcp_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        if self.rtcp.next_at <= now {
            self.rtcp.throw(now);
            self.send_report(now, outbox);
        }
    }

    /// Sends SR if we have sent media since the last report, else RR (RFC 3550 6.4), each with our CNAME.
    fn send_report(&mut self, now: Instant, outbox: &mut Outbox) {
        let (flow, socket) =
            if self.plan.rtcp_mux { (Flow::Rtp, self.ports.rtp) } else { (Flow::Rtcp, self.ports.rtcp) };
        let reception = self.rx.as_mut().and_then(|rx| rx.report(now));
        let packets = self.tx.packets();
        // Nothing heard and nothing said: no report is owed, and none may leave before media does.
        let Some(remote) =
            self.path.destination(flow).filter(|_| self.may_speak() && (packets > 0 || reception.is_some()))
        else {
            return;
        };
        let sender = (packets != self.rtcp.packets_at_last).then(|| SenderInfo {
            ntp: self.rtcp.epoch.ntp_at(now),
            rtp_time: self.tx.time_at(now),
            packets,
            octets: self.tx.octets(),
        });
        self.rtcp.packets_at_last = packets;
        let report =
            Report { ssrc: self.plan.ssrc, sender, reports: reception.as_slice(), cname: &self.plan.cname, bye: false };
        let path = &mut self.path;
        let sent = outbox.datagram(socket, remote, self.plan.tos, |buf| {
            let len = report.write(buf)?;
            path.protect(Kind::Rtcp, buf, len)
        });
        if let Some(len) = sent {
            self.counters.rtcp_out.add(len);
        }
    }
}
