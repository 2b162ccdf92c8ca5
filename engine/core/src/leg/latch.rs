//! The peer's addresses of a leg without ICE: which sources are accepted, and how its address is learnt from its packets.
//!
//! A relay that follows any packet sends the call to the first stranger that sends one. So a plain leg follows only the signalled
//! address, and a secured leg follows only packets that are authenticated with the peer's key and were not copied
//! ([`follower`]). Decision 0014 has the table of all cases.

mod follower;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_wire::{Seq, Ssrc};

use self::follower::Follower;
pub(crate) use self::follower::{Novelty, SecuredPacket};
use crate::plan::{LatchPolicy, RtpPeer};

/// With [`LatchPolicy::Any`]: the longest time between the two packets that prove a stream.
const PROOF_WINDOW: Duration = Duration::from_millis(200);

/// Another port of the peer's host is followed if no packet came from the learnt port for this time: three packets of 20 ms.
const PORT_SILENCE: Duration = Duration::from_millis(60);

/// With [`LatchPolicy::Delayed`]: how long a stream must come from elsewhere before its source is followed.
const DELAY: Duration = Duration::from_secs(3);

/// RTCP packets without authentication that decide on an address that was not signalled. One such packet is sent too easily,
/// and a peer that sends no RTCP from the signalled address never corrects the error.
const RTCP_PACKETS: u8 = 3;

/// The peer's addresses as signalled and as learnt.
#[derive(Debug, Clone)]
pub(crate) struct Latch {
    policy: LatchPolicy,
    strict_source: bool,
    /// Nothing is sent: hold with 0.0.0.0 (RFC 3264 section 8.4). The peer may send, from where it did before.
    on_hold: bool,
    rtp: Follower,
    rtcp: Follower,
    proof: Option<(SocketAddr, Ssrc, Seq, Instant)>,
    /// When a stream in order began to come from the source of `proof`.
    proved_since: Option<Instant>,
    /// The last source of plain RTCP that was not signalled, and how many packets it has sent in succession.
    rtcp_proof: Option<(Flow, SocketAddr, u8)>,
}

/// Which of the leg's two flows a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Rtp,
    /// RTCP on its own port.
    Rtcp,
}

impl Latch {
    pub(crate) fn new(peer: &RtpPeer) -> Self {
        Self {
            policy: peer.latch,
            strict_source: peer.strict_source,
            on_hold: false,
            rtp: Follower::new(peer.rtp),
            rtcp: Follower::new(peer.rtcp),
            proof: None,
            proved_since: None,
            rtcp_proof: None,
        }
    }

    /// Takes newly signalled addresses. Learnt addresses are dropped only if the signalled ones differ: a re-offer that repeats
    /// the old address must not cut off a peer behind NAT. Hold with 0.0.0.0 changes no address: it states where not to send, and the
    /// peer may send music.
    pub(crate) fn apply(&mut self, peer: &RtpPeer) {
        self.strict_source = peer.strict_source;
        self.on_hold = peer.rtp.is_none() && self.rtp.signalled().is_some();
        if self.on_hold {
            return;
        }
        if (self.policy, self.rtp.signalled(), self.rtcp.signalled()) != (peer.latch, peer.rtp, peer.rtcp) {
            *self = Self::new(peer);
        }
    }

    /// Where RTP goes.
    pub(crate) fn rtp(&self) -> Option<SocketAddr> {
        self.destination(&self.rtp)
    }

    /// Where RTCP goes if it has its own port.
    pub(crate) fn rtcp(&self) -> Option<SocketAddr> {
        self.destination(&self.rtcp)
    }

    fn destination(&self, flow: &Follower) -> Option<SocketAddr> {
        let learnt = flow.learnt().filter(|_| self.policy != LatchPolicy::Asymmetric);
        learnt.or(flow.signalled()).filter(|_| !self.on_hold)
    }

    /// True once the peer's RTP address was learnt from its packets.
    pub(crate) fn is_latched(&self) -> bool {
        self.rtp.learnt().is_some()
    }

    /// True once a valid packet has come from the peer since its address was signalled.
    pub(crate) fn has_received(&self) -> bool {
        self.rtp.learnt().is_some() || self.rtcp.learnt().is_some()
    }

    /// True if a plain packet from `source` is accepted. The first one fixes the peer's address. `stream` is the packet's SSRC
    /// and sequence number, for RTP.
    #[inline]
    pub(crate) fn admit_plain(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        stream: Option<(Ssrc, Seq)>,
    ) -> bool {
        let known = self.flow(flow);
        if known.learnt() == Some(source) {
            known.note_alive(now);
            return true;
        }
        self.admit_other(now, flow, source, stream)
    }

    /// The same for a source that is not the learnt one.
    #[cold]
    fn admit_other(&mut self, now: Instant, flow: Flow, source: SocketAddr, stream: Option<(Ssrc, Seq)>) -> bool {
        let is_signalled = self.flow(flow).signalled() == Some(source);
        if let Some(learnt) = self.flow(flow).learnt() {
            // Packets from the signalled address are the peer's: an earlier stray packet from another port of the same host must
            // not exclude them. An asymmetric peer is the exception: it sends from another address than the signalled one.
            let returns = self.policy != LatchPolicy::Asymmetric && is_signalled;
            let follows = returns || self.follows_port(now, flow, learnt, source, stream.is_some());
            if follows {
                self.flow(flow).learn(now, source);
            }
            return follows;
        }
        let accepted = match self.policy {
            LatchPolicy::Exact => is_signalled,
            LatchPolicy::SameIp | LatchPolicy::Asymmetric => {
                self.flow(flow).signalled().map(|signalled| signalled.ip()) == Some(source.ip())
            }
            LatchPolicy::Ip(ip) => ip == source.ip(),
            LatchPolicy::SameIpOr(ip) => {
                ip == source.ip() || self.flow(flow).signalled().map(|signalled| signalled.ip()) == Some(source.ip())
            }
            LatchPolicy::Delayed => {
                self.flow(flow).signalled().map(|signalled| signalled.ip()) == Some(source.ip())
                    || self.prove_for(now, flow, source, stream, DELAY)
            }
            LatchPolicy::Any => self.prove_for(now, flow, source, stream, Duration::ZERO),
        };
        let accepted = accepted
            && (stream.is_some() || is_signalled || self.is_beside_rtp(source) || self.prove_rtcp(flow, source));
        if accepted {
            self.flow(flow).learn(now, source);
        }
        accepted
    }

    /// True if plain packets from another port of the learnt host replace the learnt port: the peer has opened a new socket, or its
    /// NAT a new mapping. RTP moves when the old port is silent; RTCP goes with RTP.
    fn follows_port(&self, now: Instant, flow: Flow, learnt: SocketAddr, source: SocketAddr, is_rtp: bool) -> bool {
        if self.strict_source || self.policy == LatchPolicy::Exact || learnt.ip() != source.ip() {
            return false;
        }
        match flow {
            Flow::Rtp => is_rtp && self.rtp.is_silent(now, PORT_SILENCE),
            Flow::Rtcp => self.is_beside_rtp(source) && !self.is_beside_rtp(learnt),
        }
    }

    /// Whether a secured packet from `source` is worth authenticating.
    pub(crate) fn may_authenticate(&self, flow: Flow, source: SocketAddr) -> bool {
        self.policy != LatchPolicy::Exact || self.flow_ref(flow).signalled() == Some(source)
    }

    /// Notes a packet that was authenticated with the peer's key.
    pub(crate) fn observe_authenticated(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        packet: SecuredPacket,
    ) {
        self.flow(flow).observe(now, source, packet);
    }

    /// Whether a replayed packet from `source` decides something, if it is a true copy of a packet of the peer.
    pub(crate) fn needs_replay(&self, flow: Flow, source: SocketAddr) -> bool {
        self.flow_ref(flow).needs_replay(source)
    }

    /// The peer has a new key, under which its indexes begin anew.
    pub(crate) fn forget_indexes(&mut self) {
        self.rtp.forget_indexes();
        self.rtcp.forget_indexes();
    }

    fn flow(&mut self, flow: Flow) -> &mut Follower {
        match flow {
            Flow::Rtp => &mut self.rtp,
            Flow::Rtcp => &mut self.rtcp,
        }
    }

    fn flow_ref(&self, flow: Flow) -> &Follower {
        match flow {
            Flow::Rtp => &self.rtp,
            Flow::Rtcp => &self.rtcp,
        }
    }

    /// True after two packets of one stream in order (RFC 3550 A.1, MIN_SEQUENTIAL), close together, if such a stream has come for
    /// `time`. RTCP is accepted only from the IP address of RTP.
    fn prove_for(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        stream: Option<(Ssrc, Seq)>,
        time: Duration,
    ) -> bool {
        let (Flow::Rtp, Some((ssrc, seq))) = (flow, stream) else {
            return self.rtp.learnt().map(|rtp| rtp.ip()) == Some(source.ip());
        };
        let (proved, began) = match self.proof {
            Some((from, of, last, at)) if from == source && of == ssrc && now.duration_since(at) <= PROOF_WINDOW => {
                (last.next() == seq, self.proved_since.unwrap_or(at))
            }
            _ => (false, now),
        };
        self.proof = Some((source, ssrc, seq, now));
        self.proved_since = Some(began);
        proved && now.duration_since(began) >= time
    }

    /// True for the port of RTP as it was learnt, and the one above it (RFC 3550 section 11): there a peer behind NAT is most likely.
    fn is_beside_rtp(&self, source: SocketAddr) -> bool {
        self.rtp.learnt().is_some_and(|rtp| {
            rtp.ip() == source.ip() && (rtp.port()..=rtp.port().saturating_add(1)).contains(&source.port())
        })
    }

    /// True with the third of successive RTCP packets of one source.
    fn prove_rtcp(&mut self, flow: Flow, source: SocketAddr) -> bool {
        let packets = match self.rtcp_proof {
            Some((of, from, packets)) if (of, from) == (flow, source) => packets.saturating_add(1),
            _ => 1,
        };
        self.rtcp_proof = Some((flow, source, packets));
        packets >= RTCP_PACKETS
    }
}

#[cfg(test)]
mod tests;
