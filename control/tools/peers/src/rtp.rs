//! A peer's RTP session without ICE: plain or under SDES keys, RTCP beside it or on the next port.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::{Header, RtpPacket};
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};

use crate::Transmit;
use crate::listener::{Listener, ReceivedRtp};
use crate::rtcp::{self, Schedule, Sent};
use crate::srtp::Keys;
use crate::talker::Talker;

/// Where the other side listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemoteAddress {
    pub(crate) rtp: SocketAddr,
    /// The same address if RTCP is multiplexed.
    pub(crate) rtcp: Option<SocketAddr>,
}

pub(crate) struct RtpSession {
    pub(crate) talker: Talker,
    pub(crate) listener: Listener,
    pub(crate) keys: Keys,
    /// Our own addresses; the same one twice if RTCP is multiplexed.
    pub(crate) local_rtp: SocketAddr,
    pub(crate) local_rtcp: SocketAddr,
    remote: Option<RemoteAddress>,
    created_at: Instant,
    reports: Option<Schedule>,
    cname: &'static str,
    outbox: VecDeque<Transmit>,
}

impl RtpSession {
    pub(crate) fn new(now: Instant, local_rtp: SocketAddr, keys: Keys, talker: Talker, sample_hz: u32) -> Self {
        Self {
            talker,
            listener: Listener::new(sample_hz),
            keys,
            local_rtp,
            local_rtcp: local_rtp,
            remote: None,
            created_at: now,
            reports: None,
            cname: "peer@trestle",
            outbox: VecDeque::new(),
        }
    }

    /// Sends there from now on; reports begin with the first address.
    pub(crate) fn set_remote(&mut self, now: Instant, remote: Option<RemoteAddress>) {
        self.remote = remote;
        self.reports = self.reports.or_else(|| remote.map(|_| Schedule::new(now)));
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) {
        let expected = |source: &RemoteAddress| source.rtp == remote || source.rtcp == Some(remote);
        let kind = DatagramKind::of(datagram);
        match kind {
            Some(DatagramKind::Rtp | DatagramKind::Rtcp) if self.remote.as_ref().is_some_and(expected) => {}
            _ => {
                self.listener.report.strays += 1;
                return;
            }
        }
        if self.listener.gate_closed {
            self.listener.report.early_packets += 1;
        }
        let is_rtcp = kind == Some(DatagramKind::Rtcp);
        let is_copy = self.listener.recent.is_copy(datagram);
        let Some(packet) = self.keys.unprotect(datagram, is_rtcp) else {
            self.listener.report.auth_failures += 1;
            self.listener.report.copies += u64::from(is_copy);
            return;
        };
        if is_rtcp {
            self.listener.receive_rtcp(now, &packet, self.talker.ssrc);
            return;
        }
        let Ok(parsed) = RtpPacket::parse(&packet) else {
            self.listener.report.strays += 1;
            return;
        };
        let Header { marker, pt, seq, time, ssrc } = parsed.header;
        self.listener.receive(
            now,
            ReceivedRtp {
                ssrc: ssrc.0,
                seq: seq.0,
                time: time.0,
                pt: pt.get(),
                marker,
                payload: &packet[parsed.payload],
            },
        );
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.talker.handle_timeout(now);
        let Some(remote) = self.remote else {
            while self.talker.poll_packet().is_some() {}
            return;
        };
        while let Some(packet) = self.talker.poll_packet() {
            let Some(pt) = Pt::new(packet.pt) else { continue };
            let header = Header {
                marker: packet.marker,
                pt,
                seq: Seq(packet.seq as u16),
                time: RtpTime(packet.time),
                ssrc: Ssrc(self.talker.ssrc),
            };
            let bytes = [&header.write()[..], &packet.payload].concat();
            if let Some(bytes) = self.keys.protect(bytes, false) {
                self.outbox.push_back(Transmit { local: self.local_rtp, remote: remote.rtp, bytes });
            }
        }
        if self.reports.as_mut().is_some_and(|reports| reports.due(now)) {
            self.send_report(now, remote.rtcp);
        }
    }

    fn send_report(&mut self, now: Instant, remote: Option<SocketAddr>) {
        let sent = Sent {
            ssrc: self.talker.ssrc,
            time: self.talker.time_at(now),
            packets: self.talker.packets,
            bytes: self.talker.bytes,
        };
        let ntp = rtcp::ntp(now.saturating_duration_since(self.created_at));
        let packet = rtcp::compound(&sent, ntp, self.listener.block(now), self.cname);
        if let (Some(remote), Some(bytes)) = (remote, self.keys.protect(packet, true)) {
            self.outbox.push_back(Transmit { local: self.local_rtcp, remote, bytes });
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let report = self.reports.map(|reports| reports.next_at);
        [self.talker.poll_timeout(), report].into_iter().flatten().min()
    }
}
