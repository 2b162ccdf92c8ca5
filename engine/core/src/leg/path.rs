//! A leg's way to its peer: its ports, the peer's address, encryption and handshake, and when each point of the set-up was
//! reached.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_srtp::{KeyingMaterial, SrtpContext, UnprotectError, Unprotected};
use trestle_wire::Ssrc;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtcp::Compound;
use trestle_wire::rtp::{self, Header};

use super::address_proof::AddressProof;
use super::latch::{Flow, Latch, Novelty, SecuredPacket};
use super::risks::RiskMonitor;
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

/// The SRTP contexts of a secured leg. A key that returns after others continues with its own context: roll-over counters and
/// replay windows stay (RFC 3711 3.3.1), and no index is encrypted twice under a key.
#[derive(Debug, Default)]
pub(crate) struct Srtp {
    send: Keyring,
    receive: Keyring,
}

/// A context for each key of one direction; the last one is in use.
#[derive(Debug, Default)]
struct Keyring {
    contexts: Vec<(KeyingMaterial, Box<SrtpContext>)>,
}

/// Keys of one direction that are kept. We use one per crypto suite, six at most, so none of ours is ever dropped; a peer that
/// changes its key more often loses only the replay window of the oldest.
const KEYS_MAX: usize = 16;

impl Keyring {
    fn current(&mut self) -> Option<&mut SrtpContext> {
        self.contexts.last_mut().map(|(_, context)| &mut **context)
    }

    /// Makes `key` the current one; true if another one was. A new key gets the context that `make` derives from the context in
    /// use before.
    fn activate(&mut self, key: &KeyingMaterial, make: impl FnOnce(Option<&SrtpContext>) -> SrtpContext) -> bool {
        if let Some(position) = self.contexts.iter().position(|(known, _)| known == key) {
            self.contexts[position..].rotate_left(1);
            return position + 1 < self.contexts.len();
        }
        let context = make(self.contexts.last().map(|(_, context)| &**context));
        if self.contexts.len() == KEYS_MAX {
            self.contexts.remove(0);
        }
        self.contexts.push((key.clone(), Box::new(context)));
        true
    }
}

impl Srtp {
    pub(crate) fn set_send_key(&mut self, key: &KeyingMaterial) {
        self.send.activate(key, |_| SrtpContext::new(key));
    }

    /// True if another key was in use.
    pub(crate) fn set_receive_key(&mut self, key: &KeyingMaterial, mki_len: u8) -> bool {
        self.receive.activate(key, |before| {
            let context = SrtpContext::new(key).with_mki_len(usize::from(mki_len));
            // Some peers keep their roll-over counter under a new key.
            match before.and_then(|old| old.ssrcs().filter_map(|ssrc| old.rtp_index(ssrc)).max()) {
                Some(index) => context.with_roc_hint((index >> 16) as u32),
                None => context,
            }
        })
    }

    fn is_ready(&self) -> bool {
        !self.send.contexts.is_empty()
    }

    fn unprotect(&mut self, kind: DatagramKind, datagram: &mut [u8]) -> Result<Unprotected, Discard> {
        let context = self.receive.current().ok_or(Discard::NotConnected)?;
        let plain = match kind {
            DatagramKind::Rtcp => context.unprotect_rtcp(datagram),
            _ => context.unprotect_rtp(datagram),
        };
        plain.map_err(|error| match error {
            UnprotectError::Malformed => Discard::Malformed,
            UnprotectError::AuthFailed => Discard::AuthFailed,
            UnprotectError::Replay => Discard::Replay,
            UnprotectError::TooManySsrcs => Discard::ForeignSsrc,
        })
    }

    /// SSRC and index of a replayed packet, if it is a true copy of one of the last packets.
    fn replayed(&mut self, kind: DatagramKind, datagram: &[u8]) -> Option<(Ssrc, u64)> {
        let context = self.receive.current()?;
        match kind {
            DatagramKind::Rtcp => context.replayed_rtcp(datagram),
            _ => context.replayed_rtp(datagram),
        }
    }

    fn protect(&mut self, kind: DatagramKind, buf: &mut [u8], len: usize) -> Option<usize> {
        let context = self.send.current()?;
        let protected = match kind {
            DatagramKind::Rtcp => context.protect_rtcp(buf, len),
            _ => context.protect_rtp(buf, len),
        };
        // Only a bug in Trestle leads here (an index used twice, a buffer too small): the packet is not sent.
        protected.inspect_err(|error| tracing::error!(%error, "packet not encrypted, not sent")).ok()
    }
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
        let mut path =
            Self { ports, tos, rtcp_mux, link, is_latched: false, proof, probe_time, failed: None, timeline };
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

    /// Brings the path to `plan`, for which `link` was made.
    pub(super) fn apply(&mut self, now: Instant, plan: &LegPlan, link: Option<Link>) {
        match link {
            Some(link) => self.link = link,
            None => self.link.apply(now, &plan.transport),
        }
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
        let packet = self.link.receive_rtp(now, source, datagram)?;
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
                    srtp.set_receive_key(&keys.1, 0);
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
                    && srtp.set_receive_key(key, *receive_mki_len)
                {
                    latch.forget_indexes();
                }
            }
            (Self::WebRtc { webrtc, .. }, Transport::WebRtc(plan)) => webrtc.apply(now, plan),
            _ => unreachable!("a link of this kind of transport was prepared"),
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
        datagram: &mut [u8],
    ) -> Result<rtp::RtpPacket, Discard> {
        let parse = |bytes: &[u8]| rtp::RtpPacket::parse(bytes).map_err(|_| Discard::Malformed);
        if let Self::Plain(latch) = self {
            // Only a well-formed packet may fix the address.
            let packet = parse(datagram)?;
            let accepted = latch.admit_plain(now, Flow::Rtp, source, Some((packet.header.ssrc, packet.header.seq)));
            return if accepted { Ok(packet) } else { Err(Discard::ForeignSource) };
        }
        let len = self.authenticate(now, Flow::Rtp, source, DatagramKind::Rtp, datagram)?;
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
        self.authenticate(now, flow, source, DatagramKind::Rtcp, datagram)
    }

    /// Decrypts a packet of a secured path, and learns the peer's address from it.
    fn authenticate(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        kind: DatagramKind,
        datagram: &mut [u8],
    ) -> Result<usize, Discard> {
        match self {
            Self::Plain(_) => Ok(datagram.len()),
            Self::Sdes { latch, srtp } => {
                if !latch.may_authenticate(flow, source) {
                    return Err(Discard::ForeignSource);
                }
                let is_rtcp = kind == DatagramKind::Rtcp;
                match srtp.unprotect(kind, datagram) {
                    Ok(Unprotected { len, ssrc, index, is_newest }) => {
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
                Ok(srtp.unprotect(kind, datagram)?.len)
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

#[cfg(test)]
mod tests {
    use super::*;
    use trestle_srtp::Profile;

    fn key(byte: u8) -> KeyingMaterial {
        KeyingMaterial::from_key_and_salt(Profile::AesCm128HmacSha1_80, &[byte; 30]).unwrap()
    }

    #[test]
    fn a_key_that_comes_back_goes_on_where_it_was_left() {
        let mut srtp = Srtp::default();
        let packet = |seq: u16| {
            let mut buf = [0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].to_vec();
            buf[2..4].copy_from_slice(&seq.to_be_bytes());
            buf.extend_from_slice(&[7; 20 + trestle_srtp::OVERHEAD_MAX]);
            buf
        };
        let send = |srtp: &mut Srtp, seq: u16| srtp.protect(DatagramKind::Rtp, &mut packet(seq), 32);
        srtp.set_send_key(&key(1));
        assert!(send(&mut srtp, 5).is_some());
        srtp.set_send_key(&key(2));
        assert!(send(&mut srtp, 6).is_some());
        srtp.set_send_key(&key(1));
        assert!(send(&mut srtp, 5).is_none(), "this index was encrypted under this key before");
        assert!(send(&mut srtp, 7).is_some());
    }
}
