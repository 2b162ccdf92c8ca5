//! The peer's addresses of a leg without ICE: which sources are accepted, and how its address is learnt from its packets.
//!
//! A relay that follows any packet gives the call to the first stranger that sends one. So a plain leg follows only the signalled
//! address, and a secured leg follows only packets that are authenticated with the peer's key.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_wire::{Seq, Ssrc};

use crate::plan::{LatchPolicy, RtpPeer};

/// An authenticated peer is followed to a new address after this many packets from there ...
const MOVE_PACKETS: u8 = 3;
/// ... and this much silence from the old one. So two live sources do not make the address alternate.
const MOVE_SILENCE: Duration = Duration::from_millis(300);
/// With [`LatchPolicy::Any`]: the longest time between the two packets that prove a stream.
const PROOF_WINDOW: Duration = Duration::from_millis(200);

/// The peer's addresses as signalled and as learnt.
#[derive(Debug, Clone)]
pub(crate) struct Latch {
    policy: LatchPolicy,
    signalled_rtp: Option<SocketAddr>,
    signalled_rtcp: Option<SocketAddr>,
    learnt_rtp: Option<SocketAddr>,
    learnt_rtcp: Option<SocketAddr>,
    last_from_learnt: Option<Instant>,
    moving: Option<(SocketAddr, u8)>,
    proof: Option<(SocketAddr, Ssrc, Seq, Instant)>,
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
            signalled_rtp: peer.rtp,
            signalled_rtcp: peer.rtcp,
            learnt_rtp: None,
            learnt_rtcp: None,
            last_from_learnt: None,
            moving: None,
            proof: None,
        }
    }

    /// Takes newly signalled addresses. Learnt addresses are dropped only if the signalled ones differ: a re-offer that repeats
    /// the old address must not cut off a peer behind NAT.
    pub(crate) fn apply(&mut self, peer: &RtpPeer) {
        if (self.policy, self.signalled_rtp, self.signalled_rtcp) != (peer.latch, peer.rtp, peer.rtcp) {
            *self = Self::new(peer);
        }
    }

    /// Where RTP goes.
    pub(crate) fn rtp(&self) -> Option<SocketAddr> {
        self.followed(self.learnt_rtp).or(self.signalled_rtp)
    }

    /// Where RTCP goes if it has its own port.
    pub(crate) fn rtcp(&self) -> Option<SocketAddr> {
        self.followed(self.learnt_rtcp).or(self.signalled_rtcp)
    }

    /// A learnt address, if media is sent to it as well.
    fn followed(&self, learnt: Option<SocketAddr>) -> Option<SocketAddr> {
        learnt.filter(|_| self.policy != LatchPolicy::Asymmetric)
    }

    /// True once the peer's RTP address was learnt from its packets.
    pub(crate) fn is_latched(&self) -> bool {
        self.learnt_rtp.is_some()
    }

    /// True if a plain packet from `source` is accepted. The first one fixes the peer's address. `stream` is the packet's SSRC
    /// and sequence number, for RTP.
    pub(crate) fn admit_plain(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        stream: Option<(Ssrc, Seq)>,
    ) -> bool {
        let learnt = match flow {
            Flow::Rtp => self.learnt_rtp,
            Flow::Rtcp => self.learnt_rtcp,
        };
        if let Some(learnt) = learnt {
            // Packets from the signalled address are the peer's: an earlier stray packet from another port of the same host must
            // not exclude them. An asymmetric peer is the exception: it sends from another address than the signalled one.
            let signalled =
                self.policy != LatchPolicy::Asymmetric && learnt != source && self.signalled(flow) == Some(source);
            if signalled {
                self.learn(flow, source);
            }
            return signalled || learnt == source;
        }
        let accepted = match self.policy {
            LatchPolicy::Exact => self.signalled(flow) == Some(source),
            LatchPolicy::SameIp | LatchPolicy::Asymmetric => {
                self.signalled(flow).map(|signalled| signalled.ip()) == Some(source.ip())
            }
            LatchPolicy::Ip(ip) => ip == source.ip(),
            LatchPolicy::Any => self.prove(now, flow, source, stream),
        };
        if accepted {
            self.learn(flow, source);
        }
        accepted
    }

    /// Whether a secured packet from `source` is worth authenticating.
    pub(crate) fn may_authenticate(&self, flow: Flow, source: SocketAddr) -> bool {
        self.policy != LatchPolicy::Exact || self.signalled(flow) == Some(source)
    }

    /// Notes the source of a packet that was authenticated with the peer's key.
    pub(crate) fn observe_authenticated(&mut self, now: Instant, flow: Flow, source: SocketAddr) {
        if flow == Flow::Rtcp {
            self.learnt_rtcp = Some(source);
            return;
        }
        match self.learnt_rtp {
            None => self.learnt_rtp = Some(source),
            Some(learnt) if learnt == source => self.moving = None,
            Some(_) => {
                let packets = match self.moving {
                    Some((from, packets)) if from == source => packets.saturating_add(1),
                    _ => 1,
                };
                self.moving = Some((source, packets));
                let silent = self.last_from_learnt.is_none_or(|last| now.duration_since(last) >= MOVE_SILENCE);
                if packets < MOVE_PACKETS || !silent {
                    return;
                }
                self.learnt_rtp = Some(source);
                self.moving = None;
            }
        }
        self.last_from_learnt = Some(now);
    }

    fn signalled(&self, flow: Flow) -> Option<SocketAddr> {
        match flow {
            Flow::Rtp => self.signalled_rtp,
            Flow::Rtcp => self.signalled_rtcp,
        }
    }

    fn learn(&mut self, flow: Flow, source: SocketAddr) {
        match flow {
            Flow::Rtp => self.learnt_rtp = Some(source),
            Flow::Rtcp => self.learnt_rtcp = Some(source),
        }
    }

    /// True after two packets of one stream in order (RFC 3550 A.1, MIN_SEQUENTIAL), close together. RTCP is accepted only from
    /// the IP address of RTP.
    fn prove(&mut self, now: Instant, flow: Flow, source: SocketAddr, stream: Option<(Ssrc, Seq)>) -> bool {
        let (Flow::Rtp, Some((ssrc, seq))) = (flow, stream) else {
            return self.learnt_rtp.map(|rtp| rtp.ip()) == Some(source.ip());
        };
        let proved = self.proof.is_some_and(|(from, of, last, at)| {
            from == source && of == ssrc && last.next() == seq && now.duration_since(at) <= PROOF_WINDOW
        });
        self.proof = Some((source, ssrc, seq, now));
        proved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn latch(policy: LatchPolicy) -> Latch {
        Latch::new(&RtpPeer { rtp: Some(addr("192.0.2.1:4000")), rtcp: Some(addr("192.0.2.1:4001")), latch: policy })
    }

    fn stream(seq: u16) -> Option<(Ssrc, Seq)> {
        Some((Ssrc(7), Seq(seq)))
    }

    #[test]
    fn each_policy_accepts_only_its_sources_and_then_only_one() {
        let table = [
            (LatchPolicy::SameIp, "192.0.2.1:4000", true),
            (LatchPolicy::SameIp, "192.0.2.1:9999", true),
            (LatchPolicy::SameIp, "192.0.2.66:4000", false),
            (LatchPolicy::Exact, "192.0.2.1:4000", true),
            (LatchPolicy::Exact, "192.0.2.1:9999", false),
            (LatchPolicy::Ip("198.51.100.5".parse().unwrap()), "198.51.100.5:5", true),
            (LatchPolicy::Ip("198.51.100.5".parse().unwrap()), "192.0.2.1:4000", false),
            (LatchPolicy::Any, "192.0.2.66:1", false),
        ];
        for (policy, source, believed) in table {
            let mut latch = latch(policy);
            assert_eq!(
                latch.admit_plain(Instant::now(), Flow::Rtp, addr(source), stream(1)),
                believed,
                "{policy:?} {source}"
            );
            if believed {
                let other = SocketAddr::new(addr(source).ip(), 12_345);
                assert!(!latch.admit_plain(Instant::now(), Flow::Rtp, other, stream(2)), "latched on {source}");
                assert_eq!(latch.rtp(), Some(addr(source)));
            }
        }
    }

    #[test]
    fn the_signalled_address_takes_its_place_back_from_a_stray_packet() {
        let mut latch = latch(LatchPolicy::SameIp);
        let (stray, phone) = (addr("192.0.2.1:9999"), addr("192.0.2.1:4000"));
        assert!(latch.admit_plain(Instant::now(), Flow::Rtp, stray, stream(1)));
        assert!(latch.admit_plain(Instant::now(), Flow::Rtp, phone, stream(2)));
        assert_eq!(latch.rtp(), Some(phone));
        assert!(!latch.admit_plain(Instant::now(), Flow::Rtp, stray, stream(3)));
    }

    #[test]
    fn an_asymmetric_peer_is_received_from_its_other_port_and_sent_to_where_it_listens() {
        let start = Instant::now();
        let (listens, speaks) = (addr("192.0.2.1:4000"), addr("192.0.2.1:9999"));
        let mut plain = latch(LatchPolicy::Asymmetric);
        assert!(!plain.admit_plain(start, Flow::Rtp, addr("192.0.2.66:4000"), stream(1)), "another host");
        assert!(plain.admit_plain(start, Flow::Rtp, speaks, stream(1)));
        assert!(plain.admit_plain(start, Flow::Rtcp, addr("192.0.2.1:10000"), None));
        assert!(!plain.admit_plain(start, Flow::Rtp, addr("192.0.2.1:5555"), stream(2)), "one source, then no other");
        assert!(!plain.admit_plain(start, Flow::Rtp, listens, stream(3)), "it does not send from there");
        assert!(!plain.admit_plain(start, Flow::Rtcp, addr("192.0.2.1:4001"), None), "nor from there");
        assert!(plain.admit_plain(start, Flow::Rtp, speaks, stream(4)));
        let mut secured = latch(LatchPolicy::Asymmetric);
        assert!(secured.may_authenticate(Flow::Rtp, addr("203.0.113.9:7000")));
        secured.observe_authenticated(start, Flow::Rtp, addr("203.0.113.9:7000"));
        secured.observe_authenticated(start, Flow::Rtcp, addr("203.0.113.9:7001"));
        for latch in [plain, secured] {
            assert!(latch.is_latched());
            assert_eq!((latch.rtp(), latch.rtcp()), (Some(listens), Some(addr("192.0.2.1:4001"))));
        }
    }

    #[test]
    fn any_source_needs_two_packets_in_order_within_200_ms() {
        let start = Instant::now();
        let mut latch = latch(LatchPolicy::Any);
        let phone = addr("203.0.113.9:7000");
        assert!(!latch.admit_plain(start, Flow::Rtp, phone, stream(1)));
        assert!(!latch.admit_plain(start + Duration::from_millis(20), Flow::Rtp, phone, stream(5)));
        assert!(!latch.admit_plain(start + Duration::from_millis(500), Flow::Rtp, phone, stream(6)));
        assert!(latch.admit_plain(start + Duration::from_millis(520), Flow::Rtp, phone, stream(7)));
        assert!(!latch.admit_plain(start + Duration::from_millis(540), Flow::Rtp, addr("203.0.113.66:1"), stream(8)));
    }

    #[test]
    fn an_authenticated_peer_is_followed_only_after_silence_at_its_old_address() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let mut latch = latch(LatchPolicy::SameIp);
        let (old, new) = (addr("203.0.113.1:1"), addr("203.0.113.2:2"));
        latch.observe_authenticated(ms(0), Flow::Rtp, old);
        for n in 1..10 {
            latch.observe_authenticated(ms(n * 20), Flow::Rtp, new);
            latch.observe_authenticated(ms(n * 20 + 1), Flow::Rtp, old);
        }
        assert_eq!(latch.rtp(), Some(old), "both are alive");
        for n in 0..3 {
            latch.observe_authenticated(ms(600 + n * 20), Flow::Rtp, new);
        }
        assert_eq!(latch.rtp(), Some(new));
    }

    #[test]
    fn the_same_signalling_again_keeps_what_was_learnt() {
        let mut latch = latch(LatchPolicy::SameIp);
        assert!(latch.admit_plain(Instant::now(), Flow::Rtp, addr("192.0.2.1:9999"), stream(1)));
        latch.apply(&RtpPeer {
            rtp: Some(addr("192.0.2.1:4000")),
            rtcp: Some(addr("192.0.2.1:4001")),
            latch: LatchPolicy::SameIp,
        });
        assert_eq!(latch.rtp(), Some(addr("192.0.2.1:9999")));
        latch.apply(&RtpPeer { rtp: Some(addr("192.0.2.7:4000")), rtcp: None, latch: LatchPolicy::SameIp });
        assert_eq!(latch.rtp(), Some(addr("192.0.2.7:4000")));
        assert!(!latch.is_latched());
    }
}
