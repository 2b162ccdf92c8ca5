//! The addresses to which one leg may send: signalled, latched, or ICE-checked.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use trestle_core::plan::{LatchPolicy, ProposedPeer, RtpPeer, Transport};
use trestle_srtp::{KeyingMaterial, SrtpContext};
use trestle_wire::demux::DatagramKind;

use super::Checked;

/// Rollover counters that a peer's stream may have reached when it moves to another address.
const ROC_MAX: u32 = 3;

/// What has been signalled for a leg, and which sources have proved themselves.
#[derive(Debug)]
pub(crate) struct Addresses {
    transport: Transport,
    /// Addresses of the SDP and of its candidates.
    signalled: BTreeSet<SocketAddr>,
    /// Sources that the leg may have latched onto, or from which it received STUN.
    learned: BTreeSet<SocketAddr>,
    /// Keys of the peer: the one in force last, before it those that were or may yet be.
    srtp: Vec<ReceivedSrtp>,
}

/// The peer's SRTP, decrypted once more.
#[derive(Debug)]
struct ReceivedSrtp {
    key: KeyingMaterial,
    mki_len: usize,
    context: SrtpContext,
}

impl ReceivedSrtp {
    fn new(key: &KeyingMaterial, mki_len: u8) -> Self {
        let mki_len = usize::from(mki_len);
        Self { key: key.clone(), mki_len, context: SrtpContext::new(key).with_mki_len(mki_len) }
    }

    fn opens(&mut self, kind: Option<DatagramKind>, bytes: &[u8]) -> bool {
        let open = |context: &mut SrtpContext| {
            let mut bytes = bytes.to_vec();
            match kind {
                Some(DatagramKind::Rtp) => context.unprotect_rtp(&mut bytes).is_ok(),
                Some(DatagramKind::Rtcp) => context.unprotect_rtcp(&mut bytes).is_ok(),
                _ => false,
            }
        };
        // A peer keeps its rollover counter over a new key.
        let restart = |roc| SrtpContext::new(&self.key).with_mki_len(self.mki_len).with_roc_hint(roc);
        open(&mut self.context)
            || (1..=ROC_MAX).map(restart).find_map(|mut context| open(&mut context).then_some(context)).is_some_and(
                |context| {
                    self.context = context;
                    true
                },
            )
    }
}

impl Addresses {
    pub(crate) fn new(transport: &Transport) -> Self {
        let mut addresses = Self {
            transport: transport.clone(),
            signalled: signalled(transport),
            learned: BTreeSet::new(),
            srtp: Vec::new(),
        };
        addresses.note_key(transport);
        addresses
    }

    fn note_key(&mut self, transport: &Transport) {
        if let Transport::Sdes { receive_key: Some(key), receive_mki_len, .. } = transport {
            let known = self.srtp.iter().position(|srtp| srtp.key == *key);
            let srtp = known.map_or_else(|| ReceivedSrtp::new(key, *receive_mki_len), |known| self.srtp.remove(known));
            self.srtp.push(srtp);
        }
    }

    /// An offer of the peer, that is not answered, is part of a plan.
    pub(crate) fn propose(&mut self, proposed: Option<&ProposedPeer>) {
        if let Some((key, mki_len)) = proposed.and_then(|proposed| proposed.key.as_ref())
            && self.srtp.iter().all(|srtp| srtp.key != *key)
        {
            self.srtp.insert(0, ReceivedSrtp::new(key, *mki_len));
        }
    }

    /// A plan with this transport was applied. What was learned before remains: a leg keeps its latch over a re-offer.
    pub(crate) fn signal(&mut self, transport: &Transport) {
        if self.transport != *transport {
            self.signalled.extend(signalled(transport));
            self.note_key(transport);
            self.transport = transport.clone();
        }
    }

    /// A datagram arrives at one of the leg's ports. False if it cannot be authentic.
    pub(crate) fn receive(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        let kind = DatagramKind::of(bytes);
        let (is_authentic, is_believed) = match &self.transport {
            Transport::WebRtc(_) => (true, kind == Some(DatagramKind::Stun)),
            Transport::Plain(peer) => (true, is_within(peer, from.ip())),
            Transport::Sdes { peer, .. } => {
                let is_in_force = self.srtp.last_mut().is_some_and(|srtp| srtp.opens(kind, bytes));
                let is_authentic = is_in_force || self.srtp.iter_mut().any(|srtp| srtp.opens(kind, bytes));
                (is_authentic, is_in_force && peer.latch != LatchPolicy::Exact)
            }
        };
        if is_believed {
            self.learned.insert(from);
        }
        is_authentic
    }

    /// True if a packet from `from` may decide where the leg sends to.
    pub(crate) fn is_learnable(&self, from: SocketAddr) -> bool {
        self.signalled.contains(&from) || self.learned.contains(&from)
    }

    /// Checks the destination of a sent datagram.
    pub(crate) fn check(&self, kind: Option<DatagramKind>, to: SocketAddr) -> Checked {
        // Without a signalled or learned RTCP address, RTCP goes to the port above that of RTP (RFC 3550 section 11).
        let below = SocketAddr::new(to.ip(), to.port().wrapping_sub(1));
        let is_known = |at: &SocketAddr| self.signalled.contains(at) || self.learned.contains(at);
        if is_known(&to) || kind == Some(DatagramKind::Rtcp) && is_known(&below) {
            return Ok(());
        }
        Err(format!("{kind:?} to {to}, which is neither signalled nor latched nor ICE-checked"))
    }
}

/// True if `policy` lets a leg without SRTP learn a port of `ip`.
fn is_within(peer: &RtpPeer, ip: IpAddr) -> bool {
    match peer.latch {
        LatchPolicy::SameIp => [peer.rtp, peer.rtcp].into_iter().flatten().any(|at| at.ip() == ip),
        LatchPolicy::SameIpOr(other) => {
            other == ip || [peer.rtp, peer.rtcp].into_iter().flatten().any(|at| at.ip() == ip)
        }
        LatchPolicy::Ip(allowed) => allowed == ip,
        LatchPolicy::Any | LatchPolicy::Delayed => true,
        LatchPolicy::Exact | LatchPolicy::Asymmetric => false,
    }
}

fn signalled(transport: &Transport) -> BTreeSet<SocketAddr> {
    match transport {
        Transport::Plain(peer) | Transport::Sdes { peer, .. } => [peer.rtp, peer.rtcp].into_iter().flatten().collect(),
        Transport::WebRtc(plan) => {
            let address = |candidate: &String| {
                let mut words = candidate.split_whitespace().skip(4);
                let ip = words.next()?.parse().ok()?;
                Some(SocketAddr::new(ip, words.next()?.parse().ok()?))
            };
            plan.remote.iter().flat_map(|remote| &remote.candidates).filter_map(address).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use trestle_srtp::{OVERHEAD_MAX, Profile};

    use super::*;
    use crate::raw;

    const PROFILE: Profile = Profile::AesCm128HmacSha1_80;

    fn at(last: u8, port: u16) -> SocketAddr {
        ([198, 51, 100, last], port).into()
    }

    fn peer(latch: LatchPolicy) -> RtpPeer {
        RtpPeer { rtp: Some(at(1, 4_000)), rtcp: None, latch, strict_source: false }
    }

    fn goes(addresses: &Addresses, to: SocketAddr) -> bool {
        addresses.check(Some(DatagramKind::Rtp), to).is_ok()
    }

    #[test]
    fn a_plain_leg_may_send_only_where_its_policy_allows() {
        let packet = raw::plain_packet(1, 1, 1);
        for (policy, allowed) in [
            (LatchPolicy::SameIp, [true, false]),
            (LatchPolicy::Exact, [false, false]),
            (LatchPolicy::Any, [true, true]),
            (LatchPolicy::Ip(at(2, 0).ip()), [false, true]),
        ] {
            let mut addresses = Addresses::new(&Transport::Plain(peer(policy)));
            let others = [at(1, 5_000), at(2, 4_000)];
            assert!(goes(&addresses, at(1, 4_000)) && others.iter().all(|to| !goes(&addresses, *to)), "{policy:?}");
            for from in others {
                assert!(addresses.receive(from, &packet), "plain RTP has no authentication");
            }
            assert_eq!(others.map(|to| goes(&addresses, to)), allowed, "{policy:?}");
        }
    }

    #[test]
    fn a_secured_leg_may_send_only_to_sources_that_authenticated() {
        let [key, other] = [1, 2].map(|n| raw::key(PROFILE, n));
        let transport = Transport::Sdes {
            peer: peer(LatchPolicy::SameIp),
            send_key: None,
            receive_key: Some(key.clone()),
            receive_mki_len: 0,
        };
        let mut addresses = Addresses::new(&transport);
        for (key, from) in [(&other, at(7, 7_000)), (&key, at(8, 8_000))] {
            let mut packet = raw::plain_packet(1, 1, 1);
            let len = packet.len();
            packet.resize(len + OVERHEAD_MAX, 0);
            let len = SrtpContext::new(key).protect_rtp(&mut packet, len).expect("a new index");
            assert_eq!(addresses.receive(from, &packet[..len]), from == at(8, 8_000));
        }
        assert!(!goes(&addresses, at(7, 7_000)), "another key");
        assert!(goes(&addresses, at(8, 8_000)));
    }
}
