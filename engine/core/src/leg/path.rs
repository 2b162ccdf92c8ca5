//! A leg's way to its peer: its ports, the peer's address, encryption and handshake, and when each point of the set-up was
//! reached.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_srtp::{KeyingMaterial, Unprotected};
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtcp::Compound;
use trestle_wire::rtp::{self, Header};

use super::address_proof::AddressProof;
use super::latch::{Flow, Latch, Novelty, SecuredPacket};
use super::risks::RiskMonitor;
use super::srtp::{KeyState, OpenedPacket, RetiredSrtp, Srtp, open_retired};
use super::timeline::Timeline;
use super::webrtc::{DtlsIdentity, WebRtc, WebRtcOutput};
use crate::output::Outbox;
use crate::plan::Transport;
use crate::{CommandError, Discard, EventKind, LegFailure, LegId, LegPlan, Milestone, PortPair, Risk, limits};

/// The ports of a leg, and what leads from them to the peer.
#[derive(Debug)]
pub(crate) struct Path {
    ports: PortPair,
    /// DSCP byte of outgoing packets.
    tos: Option<u8>,
    rtcp_mux: bool,
    link: Link,
    /// The contexts of the link before, while packets under its keys may be on their way.
    retired: Option<Box<RetiredSrtp>>,
    /// The RTP address of the peer's offer that is not answered, if it is another one.
    proposed_rtp: Option<SocketAddr>,
    /// The peer's address was learnt: [`Milestone::Latched`] is reached.
    is_latched: bool,
    pub(super) proof: AddressProof,
    /// How long an address without proof gets media; `None` for no limit.
    probe_time: Option<Duration>,
    /// The last failure of ICE or DTLS, until it has recovered.
    failed: Option<LegFailure>,
    pub(super) timeline: Timeline,
}

/// How packets are secured, and how the peer's address is found.
#[derive(Debug)]
pub(super) enum Link {
    Plain(Latch),
    Sdes { latch: Latch, srtp: Srtp },
    WebRtc { webrtc: Box<WebRtc>, srtp: Srtp },
}

impl Path {
    pub(crate) fn new(
        now: Instant,
        ports: PortPair,
        plan: &LegPlan,
        identity: &DtlsIdentity,
        probe_time: Option<Duration>,
    ) -> Result<Self, CommandError> {
        let link = Link::new(now, ports.rtp_addr, &plan.transport, identity)?;
        let mut timeline = Timeline::default();
        timeline.reach(Milestone::Opened, now);
        let (tos, rtcp_mux) = (plan.tos, plan.rtcp_mux);
        let proof = AddressProof::Given;
        let mut path = Self {
            ports,
            tos,
            rtcp_mux,
            link,
            retired: None,
            proposed_rtp: None,
            is_latched: false,
            proof,
            probe_time,
            failed: None,
            timeline,
        };
        path.await_proof(plan);
        Ok(path)
    }

    /// Makes what `plan` needs and can fail: a new link on the same ports, for another kind of transport (a re-offer without SRTP,
    /// for example).
    ///
    /// # Errors
    /// [`CommandError::BadPlan`] if the address of the ports cannot be used for that.
    pub(super) fn prepare(
        &self,
        now: Instant,
        plan: &LegPlan,
        identity: &DtlsIdentity,
    ) -> Result<Option<Link>, CommandError> {
        if self.link.is_of(&plan.transport) {
            return Ok(None);
        }
        Link::new(now, self.ports.rtp_addr, &plan.transport, identity).map(Some)
    }

    /// Brings the path to `plan`, for which `link` was made. Packets under the keys of the link before are taken for a while; plain
    /// packets are not taken by a secured link.
    pub(super) fn apply(&mut self, now: Instant, plan: &LegPlan, link: Option<Link>) {
        match link {
            Some(link) => {
                let before = std::mem::replace(&mut self.link, link);
                self.failed = None;
                self.retired = before.into_srtp().map(|srtp| Box::new(RetiredSrtp::new(now, srtp)));
            }
            None => self.link.apply(now, &plan.transport),
        }
        let proposed = plan.receive.proposed.as_ref();
        self.proposed_rtp = proposed.and_then(|proposed| proposed.rtp);
        self.link.propose_key(proposed.and_then(|proposed| proposed.key.as_ref()));
        (self.tos, self.rtcp_mux) = (plan.tos, plan.rtcp_mux);
        self.await_proof(plan);
    }

    /// Limits media to a peer that has sent nothing, unless its SDP announces that it sends nothing. ICE is a proof of its own.
    fn await_proof(&mut self, plan: &LegPlan) {
        let is_proven = !plan.receive.enabled || self.link.has_received();
        match self.probe_time.filter(|_| !is_proven) {
            None => self.proof = AddressProof::Given,
            Some(time) if self.proof.is_given() => self.proof = AddressProof::awaited(time),
            // The same address as before. A new one has no more right to media.
            Some(_) => {}
        }
    }

    /// A valid packet has come from the peer.
    fn note_received(&mut self) {
        if !self.proof.is_given() && self.link.has_received() {
            self.proof = AddressProof::Given;
        }
    }

    /// Reaches [`Milestone::RemoteKnown`] if `transport` has the peer's address or ICE credentials.
    pub(crate) fn note_remote(&mut self, now: Instant, transport: &Transport) {
        let known = match transport {
            Transport::Plain(peer) | Transport::Sdes { peer, .. } => peer.rtp.is_some(),
            Transport::WebRtc(webrtc) => webrtc.remote.is_some(),
        };
        if known {
            self.timeline.reach(Milestone::RemoteKnown, now);
        }
    }

    pub(crate) fn ports(&self) -> PortPair {
        self.ports
    }

    /// `RTP`, `SDES-SRTP` or `DTLS-SRTP`.
    pub(crate) fn transport_name(&self) -> &'static str {
        match &self.link {
            Link::Plain(_) => "RTP",
            Link::Sdes { .. } => "SDES-SRTP",
            Link::WebRtc { .. } => "DTLS-SRTP",
        }
    }

    /// True if received packets are authenticated.
    pub(crate) fn is_secured(&self) -> bool {
        !matches!(self.link, Link::Plain(_))
    }

    /// Where RTP goes, once that is known and there are keys.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.link.destination(Flow::Rtp)
    }

    /// True once a path to the peer was found, or if the transport needs none.
    pub(crate) fn has_pair(&self) -> bool {
        match &self.link {
            Link::Plain(_) | Link::Sdes { .. } => true,
            // A pair that was lost again is reported as a failure of the leg.
            Link::WebRtc { webrtc, .. } => self.timeline.has(Milestone::IceConnected) || webrtc.selected().is_some(),
        }
    }

    /// True once there are keys, or if the transport needs none and the address is known.
    pub(crate) fn has_keys(&self) -> bool {
        match &self.link {
            Link::Plain(_) | Link::Sdes { .. } => self.destination().is_some(),
            Link::WebRtc { .. } => self.timeline.has(Milestone::DtlsConnected),
        }
    }

    /// True once Trestle has sent a ClientHello because the peer, whose turn it was, had sent none.
    pub(crate) fn is_role_hedged(&self) -> bool {
        matches!(&self.link, Link::WebRtc { webrtc, .. } if webrtc.is_role_hedged())
    }

    /// Authenticates an RTP packet and checks its source. `datagram` then begins with the plain packet.
    pub(crate) fn receive_rtp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<rtp::RtpPacket, Discard> {
        if let Some(len) = open_retired(&mut self.retired, now, DatagramKind::Rtp, datagram) {
            return rtp::RtpPacket::parse(&datagram[..len]).map_err(|_| Discard::Malformed);
        }
        let packet = self.link.receive_rtp(now, source, self.proposed_rtp, datagram)?;
        self.note_received();
        if !self.is_latched && self.link.is_latched() {
            self.is_latched = true;
            self.timeline.reach(Milestone::Latched, now);
        }
        Ok(packet)
    }

    /// The same for an RTCP packet. Gives the length of the plain packet that `datagram` then begins with.
    pub(crate) fn receive_rtcp(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<usize, Discard> {
        if let Some(len) = open_retired(&mut self.retired, now, DatagramKind::Rtcp, datagram) {
            return Ok(len);
        }
        let len = self.link.receive_rtcp(now, flow, source, datagram)?;
        self.note_received();
        Ok(len)
    }

    /// Takes a STUN or DTLS datagram.
    pub(crate) fn receive_handshake(
        &mut self,
        now: Instant,
        source: SocketAddr,
        kind: DatagramKind,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        let Link::WebRtc { webrtc, .. } = &mut self.link else { return Err(Discard::NotConnected) };
        webrtc.handle_datagram(now, source, kind, datagram)
    }

    /// Encrypts and queues one RTP packet. Gives its length; `None` if it cannot be sent.
    pub(crate) fn send_rtp(&mut self, outbox: &mut Outbox, header: Header, payload: &[u8]) -> Option<usize> {
        let remote = self.link.destination(Flow::Rtp)?;
        let link = &mut self.link;
        outbox.datagram(self.ports.rtp, remote, self.tos, |buf| {
            let len = Header::LEN + payload.len();
            buf[..Header::LEN].copy_from_slice(&header.write());
            buf.get_mut(Header::LEN..len)?.copy_from_slice(payload);
            link.protect(DatagramKind::Rtp, buf, len)
        })
    }

    /// Where RTCP goes, once that is known and there are keys.
    pub(crate) fn rtcp_destination(&self) -> Option<SocketAddr> {
        self.link.destination(if self.rtcp_mux { Flow::Rtp } else { Flow::Rtcp })
    }

    /// Encrypts and queues the RTCP packet that `write` makes. Gives its length; `None` if it cannot be sent.
    pub(crate) fn send_rtcp(
        &mut self,
        outbox: &mut Outbox,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let remote = self.rtcp_destination()?;
        let socket = if self.rtcp_mux { self.ports.rtp } else { self.ports.rtcp };
        let link = &mut self.link;
        outbox.datagram(socket, remote, self.tos, |buf| {
            let len = write(buf)?;
            link.protect(DatagramKind::Rtcp, buf, len)
        })
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Link::WebRtc { webrtc, .. } = &mut self.link {
            webrtc.handle_timeout(now);
        }
    }

    /// Ends the DTLS association, if there is one.
    pub(super) fn close_handshake(&mut self, now: Instant) {
        if let Link::WebRtc { webrtc, .. } = &mut self.link {
            webrtc.close(now);
        }
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        match &mut self.link {
            Link::WebRtc { webrtc, .. } => webrtc.poll_timeout(),
            Link::Plain(_) | Link::Sdes { .. } => None,
        }
    }

    /// True if ICE or DTLS may have something to send, or a milestone has not been reported yet.
    pub(crate) fn needs_poll(&self) -> bool {
        self.timeline.has_unreported() || matches!(&self.link, Link::WebRtc { webrtc, .. } if webrtc.needs_poll())
    }

    /// Sends what ICE and DTLS have ready, and takes their keys. Gives one event at a time; call until `None`.
    pub(super) fn drain_handshake(
        &mut self,
        leg: LegId,
        now: Instant,
        outbox: &mut Outbox,
        risks: &mut RiskMonitor,
    ) -> Option<EventKind> {
        let Link::WebRtc { webrtc, srtp } = &mut self.link else { return None };
        if !webrtc.needs_poll() {
            return None;
        }
        let mut buf = [0; limits::DATAGRAM_BYTES_MAX];
        while let Some(output) = webrtc.poll_output(now, &mut buf) {
            match output {
                WebRtcOutput::Transmit { to, len } => {
                    outbox.datagram(self.ports.rtp, to, self.tos, |out| {
                        out[..len].copy_from_slice(&buf[..len]);
                        Some(len)
                    });
                    if webrtc.has_checked() {
                        self.timeline.reach(Milestone::FirstCheck, now);
                    }
                }
                WebRtcOutput::Milestone(milestone) => {
                    self.timeline.reach(milestone, now);
                    risks.recheck_at(now);
                    if self.failed.take_if(|failed| *failed == LegFailure::IceDisconnected).is_some() {
                        return Some(EventKind::Recovered { leg, risk: Risk::IceStuck });
                    }
                }
                WebRtcOutput::Keys(keys) => {
                    self.failed = None;
                    risks.recheck_at(now);
                    srtp.set_send_key(&keys.0);
                    srtp.set_receive_key(now, &keys.1, 0);
                    self.timeline.reach(Milestone::DtlsConnected, now);
                }
                WebRtcOutput::Failed(reason) => {
                    if self.failed.replace(reason) != Some(reason) {
                        return Some(EventKind::LegFailed { leg, reason });
                    }
                }
            }
        }
        None
    }
}

impl Link {
    fn new(
        now: Instant,
        local: SocketAddr,
        transport: &Transport,
        identity: &DtlsIdentity,
    ) -> Result<Self, CommandError> {
        let mut link = match transport {
            Transport::Plain(peer) => Self::Plain(Latch::new(peer)),
            Transport::Sdes { peer, .. } => Self::Sdes { latch: Latch::new(peer), srtp: Srtp::default() },
            Transport::WebRtc(plan) => {
                Self::WebRtc { webrtc: Box::new(WebRtc::new(now, local, plan, identity)?), srtp: Srtp::default() }
            }
        };
        link.apply(now, transport);
        Ok(link)
    }

    /// True if [`Link::apply`] takes `transport`.
    fn is_of(&self, transport: &Transport) -> bool {
        matches!(
            (self, transport),
            (Self::Plain(_), Transport::Plain(_))
                | (Self::Sdes { .. }, Transport::Sdes { .. })
                | (Self::WebRtc { .. }, Transport::WebRtc(_))
        )
    }

    fn apply(&mut self, now: Instant, transport: &Transport) {
        match (&mut *self, transport) {
            (Self::Plain(latch), Transport::Plain(peer)) => latch.apply(peer),
            (Self::Sdes { latch, srtp }, Transport::Sdes { peer, send_key, receive_key, receive_mki_len }) => {
                latch.apply(peer);
                send_key.iter().for_each(|key| srtp.set_send_key(key));
                if let Some(key) = receive_key
                    && srtp.set_receive_key(now, key, *receive_mki_len)
                {
                    latch.forget_indexes();
                }
            }
            (Self::WebRtc { webrtc, .. }, Transport::WebRtc(plan)) => webrtc.apply(now, plan),
            _ => unreachable!("a link of this kind of transport was prepared"),
        }
    }

    fn into_srtp(self) -> Option<Srtp> {
        match self {
            Self::Plain(_) => None,
            Self::Sdes { srtp, .. } | Self::WebRtc { srtp, .. } => Some(srtp),
        }
    }

    /// The key of the peer's offer that is not answered, with the length of its MKI.
    fn propose_key(&mut self, key: Option<&(KeyingMaterial, u8)>) {
        if let Self::Sdes { srtp, .. } = self {
            srtp.propose_receive_key(key);
        }
    }

    /// Where `flow` is sent to, once the address is known and there are keys.
    fn destination(&self, flow: Flow) -> Option<SocketAddr> {
        let latched = |latch: &Latch| match flow {
            Flow::Rtp => latch.rtp(),
            Flow::Rtcp => latch.rtcp(),
        };
        match self {
            Self::Plain(latch) => latched(latch),
            Self::Sdes { latch, srtp } => latched(latch).filter(|_| srtp.is_ready()),
            Self::WebRtc { webrtc, srtp } => webrtc.selected().filter(|_| srtp.is_ready()),
        }
    }

    /// True once a valid packet has come from the peer, or if ICE finds its address.
    fn has_received(&self) -> bool {
        match self {
            Self::Plain(latch) | Self::Sdes { latch, .. } => latch.has_received(),
            Self::WebRtc { .. } => true,
        }
    }

    /// True once the peer's address was learnt from its packets, or found by ICE.
    fn is_latched(&self) -> bool {
        match self {
            Self::Plain(latch) | Self::Sdes { latch, .. } => latch.is_latched(),
            Self::WebRtc { webrtc, .. } => webrtc.selected().is_some(),
        }
    }

    fn receive_rtp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        proposed: Option<SocketAddr>,
        datagram: &mut [u8],
    ) -> Result<rtp::RtpPacket, Discard> {
        // A packet from there is taken, and moves nothing.
        let is_proposed = proposed == Some(source) && self.destination(Flow::Rtp) != proposed;
        let parse = |bytes: &[u8]| rtp::RtpPacket::parse(bytes).map_err(|_| Discard::Malformed);
        if let Self::Plain(latch) = self {
            // Only a well-formed packet may fix the address.
            let packet = parse(datagram)?;
            let stream = Some((packet.header.ssrc, packet.header.seq));
            let accepted = is_proposed || latch.admit_plain(now, Flow::Rtp, source, stream);
            return if accepted { Ok(packet) } else { Err(Discard::ForeignSource) };
        }
        let len = self.authenticate(now, Flow::Rtp, source, is_proposed, DatagramKind::Rtp, datagram)?;
        parse(&datagram[..len])
    }

    fn receive_rtcp(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<usize, Discard> {
        if let Self::Plain(latch) = self {
            Compound::parse_reduced_size(datagram).map_err(|_| Discard::Malformed)?;
            let accepted = latch.admit_plain(now, flow, source, None);
            return if accepted { Ok(datagram.len()) } else { Err(Discard::ForeignSource) };
        }
        self.authenticate(now, flow, source, false, DatagramKind::Rtcp, datagram)
    }

    /// Decrypts a packet of a secured path, and learns the peer's address from it. Neither a packet from a proposed address nor one
    /// under a key that is not in use moves it: the latter's indexes do not compare.
    fn authenticate(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        is_proposed: bool,
        kind: DatagramKind,
        datagram: &mut [u8],
    ) -> Result<usize, Discard> {
        match self {
            Self::Plain(_) => Ok(datagram.len()),
            Self::Sdes { latch, srtp } => {
                if !is_proposed && !latch.may_authenticate(flow, source) {
                    return Err(Discard::ForeignSource);
                }
                let is_rtcp = kind == DatagramKind::Rtcp;
                match srtp.unprotect(now, kind, datagram) {
                    Ok(OpenedPacket { packet, by }) if is_proposed || by == KeyState::NotInUse => Ok(packet.len),
                    Ok(OpenedPacket { packet: Unprotected { len, ssrc, index, is_newest }, .. }) => {
                        let novelty = if is_newest { Novelty::Newest } else { Novelty::Late };
                        latch.observe_authenticated(now, flow, source, SecuredPacket { is_rtcp, ssrc, index, novelty });
                        Ok(len)
                    }
                    Err(Discard::Replay) if latch.needs_replay(flow, source) => {
                        if let Some((ssrc, index)) = srtp.replayed(kind, datagram) {
                            let novelty = Novelty::Replay;
                            let packet = SecuredPacket { is_rtcp, ssrc, index, novelty };
                            latch.observe_authenticated(now, flow, source, packet);
                        }
                        Err(Discard::Replay)
                    }
                    Err(reason) => Err(reason),
                }
            }
            Self::WebRtc { webrtc, srtp } => {
                if !webrtc.is_valid_source(source) {
                    return Err(Discard::ForeignSource);
                }
                Ok(srtp.unprotect(now, kind, datagram)?.packet.len)
            }
        }
    }

    /// Encrypts the plain packet `buf[..len]` in place, if the leg is secured. `None` if it must not be sent.
    fn protect(&mut self, kind: DatagramKind, buf: &mut [u8], len: usize) -> Option<usize> {
        match self {
            Self::Plain(_) => Some(len),
            Self::Sdes { srtp, .. } | Self::WebRtc { srtp, .. } => srtp.protect(kind, buf, len),
        }
    }
}
