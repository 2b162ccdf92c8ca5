//! Two parties of two calls hear each other (`connect` with `to-call-id`).
//!
//! A call never leaves its shard, and the two calls may be on two. So each gets a leg more, and these two legs, a trunk,
//! send to each other as peers do: SRTP under keys of their own, over the machine's own addresses. Each direction speaks
//! the codec of the party that is to hear it, so that audio is transcoded at most once on its way. Each call still ends
//! by itself, and takes its end of the trunk with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rand_chacha::ChaCha12Rng;
use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::plan::{
    Codec, LatchPolicy, LegPlan, OpusSettings, ReceiveFormat, RtpPeer, SendFormat, Source, Transport,
};
use trestle_core::{CallId, LegId, LegPorts};
use trestle_srtp::{KeyingMaterial, Profile as Suite};
use trestle_wire::{ClockRate, Pt, Ptime};

use super::party::Party;
use super::secrets::Secrets;
use super::session::Session;
use super::standing::StandingError;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Protocol;
use trestle_sdp::Security;

/// What every CPU of today does fastest.
const SUITE: Suite = Suite::AeadAes128Gcm;
/// Nobody but we see these payload types; they are dynamic ones (RFC 3551 6) where there is no static one.
const OPUS: u8 = 111;
const EVENT: u8 = 101;

/// What makes a party one end of a trunk.
#[derive(Debug, Clone)]
pub(crate) struct Trunk {
    /// The other end: its call and its leg.
    pub(crate) far: (CallId, LegId),
    /// Where that is, once it is bound.
    address: Option<SocketAddr>,
    send_key: KeyingMaterial,
    receive_key: KeyingMaterial,
}

impl Trunk {
    pub(crate) fn transport(&self) -> Transport {
        Transport::Sdes {
            peer: RtpPeer { rtp: self.address, rtcp: self.address, latch: LatchPolicy::Exact },
            send_key: Some(self.send_key.clone()),
            receive_key: Some(self.receive_key.clone()),
            receive_mki_len: 0,
        }
    }
}

/// One of two calls that are tied to each other.
#[derive(Debug)]
pub struct End {
    /// The call.
    pub call: CallId,
    before: Session,
    /// The session once the engine has taken the plans.
    pub session: Session,
    /// Its end of the trunk.
    pub trunk: LegId,
}

/// Two calls that are about to be tied to each other. The ends are opened one after the other: each must be told the
/// other's port.
#[derive(Debug)]
pub struct Tie {
    /// The call of `call-id`.
    pub near: End,
    /// The call of `to-call-id`.
    pub far: End,
}

impl Tie {
    /// Ties the party of each tag to the other. `None` if they are tied already.
    pub fn new(
        (near_call, near, from_tag): (CallId, &Session, &str),
        (far_call, far, to_tag): (CallId, &Session, &str),
        rng: &mut ChaCha12Rng,
    ) -> Result<Option<Self>, StandingError> {
        let from = near.index_of_tag(from_tag).ok_or(StandingError::UnknownFromTag)?;
        let to = far.index_of_tag(to_tag).ok_or(StandingError::UnknownToTag)?;
        let (from, to) = (&near.parties[from], &far.parties[to]);
        if !(from.answered && to.answered) {
            return Err(StandingError::NotAnswered);
        }
        if let (Some((leg, other)), Some((other_leg, back))) = (near.trunk_heard_by(from), far.trunk_heard_by(to))
            && (other, back) == ((far_call, other_leg), (near_call, leg))
        {
            return Ok(None);
        }
        if [near, far].iter().any(|session| session.parties.len() == LEGS_PER_CALL_MAX) {
            return Err(StandingError::TooManyParties);
        }
        let legs = [near, far].map(|session| LegId(session.next_leg));
        let ends = [(near_call, legs[0]), (far_call, legs[1])];
        let mut drawn = [near, far].map(|session| {
            let taken: Vec<_> = session.parties.iter().map(|party| party.secrets.ssrc).collect();
            Secrets::draw(rng, &taken)
        });
        let keys = [drawn[0].key(SUITE, rng), drawn[1].key(SUITE, rng)];
        let [near_secrets, far_secrets] = drawn;
        let open = |session: &Session, end: usize, secrets: Secrets, party: LegId, hears_it: &Party| {
            let kind = (ProfileName::Webrtc, Protocol::RtpSavp, Security::Sdes);
            // Both on the interface of from-tag: one address, one family.
            let mut trunk = Party::new(legs[end], secrets, kind, from.interface, from.ipv6);
            trunk.answered = true;
            trunk.rtcp_mux = true;
            trunk.send = Some(carried(hears_it.send));
            let codecs = [Codec::Pcmu, Codec::Pcma, Codec::Opus];
            trunk.receive = codecs.map(|codec| ReceiveFormat { pt: pt(codec), codec }).to_vec();
            trunk.receive_events = vec![(event(), ClockRate::HZ_8000)];
            let [send_key, receive_key] = [end, 1 - end].map(|end| keys[end].clone());
            trunk.trunk = Some(Trunk { far: ends[1 - end], address: None, send_key, receive_key });
            let mut after = session.clone();
            after.next_leg = after.next_leg.checked_add(1).ok_or(StandingError::TooManyParties)?;
            after.parties.push(trunk);
            after.join(party, legs[end]);
            Ok(End { call: ends[end].0, before: session.clone(), session: after, trunk: legs[end] })
        };
        let near = open(near, 0, near_secrets, from.leg, to)?;
        let far = open(far, 1, far_secrets, to.leg, from)?;
        Ok(Some(Self { near, far }))
    }
}

impl End {
    /// The plan that opens the trunk and nothing else.
    pub fn opening(&self) -> Vec<(LegId, LegPlan)> {
        self.session.party(self.trunk).map(|trunk| (self.trunk, self.session.plan(trunk))).into_iter().collect()
    }

    /// Every plan that differs from what it was.
    pub fn plans(&self) -> Vec<(LegId, LegPlan)> {
        self.before.change_to(self.session.clone()).legs
    }

    /// Tells this end where the other one is bound; false if its port is not among `ports`.
    pub fn reach(&mut self, other: LegId, ports: &[(LegId, LegPorts)]) -> bool {
        let Some((_, LegPorts { rtp, .. })) = ports.iter().find(|(leg, _)| *leg == other) else { return false };
        let ip = match rtp.ip() {
            // What is bound to every address is reached, and sends, by the loopback one.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let leg = self.trunk;
        let trunk = self.session.parties.iter_mut().filter(|party| party.leg == leg).find_map(|p| p.trunk.as_mut());
        trunk.is_some_and(|trunk| trunk.address.replace(SocketAddr::new(ip, rtp.port())).is_none())
    }
}

impl Session {
    /// True if this leg is an end of a trunk.
    pub fn is_trunk(&self, leg: LegId) -> bool {
        self.party(leg).is_some_and(|party| party.trunk.is_some())
    }

    /// Ends of trunks in this call: each with the call and the leg at the other end.
    pub fn trunks(&self) -> impl Iterator<Item = (LegId, (CallId, LegId))> + '_ {
        self.parties.iter().filter_map(|party| Some((party.leg, party.trunk.as_ref()?.far)))
    }

    /// Those that no party hears any more, or that hear none: the parties talk to others now.
    pub fn idle_trunks(&self) -> Vec<(LegId, (CallId, LegId))> {
        let idle = |leg: LegId| {
            let heard = self.parties.iter().any(|party| party.hears == Source::Leg(leg));
            !heard || self.party(leg).is_none_or(|trunk| trunk.hears == Source::Nothing)
        };
        self.trunks().filter(|(leg, _)| idle(*leg)).collect()
    }

    /// Takes an end of a trunk out; whoever heard it hears nothing.
    pub fn cut(&mut self, leg: LegId) {
        self.parties.retain(|party| party.leg != leg);
        for party in &mut self.parties {
            if party.hears == Source::Leg(leg) {
                party.hears = Source::Nothing;
            }
            party.peer = party.peer.filter(|peer| *peer != leg);
        }
    }

    /// The trunk that a party hears: its leg, and the other end.
    fn trunk_heard_by(&self, party: &Party) -> Option<(LegId, (CallId, LegId))> {
        let Source::Leg(leg) = party.hears else { return None };
        Some((leg, self.party(leg)?.trunk.as_ref()?.far))
    }
}

/// How audio for a party goes over the trunk: as it will go on to the party.
fn carried(send: Option<SendFormat>) -> SendFormat {
    let unknown = SendFormat {
        pt: Pt::PCMA,
        codec: Codec::Pcma,
        ptime: Ptime::MS_20,
        strict_ptime: false,
        opus: OpusSettings::default(),
        event: None,
    };
    let send = send.unwrap_or(unknown);
    SendFormat { pt: pt(send.codec), event: Some((event(), ClockRate::HZ_8000)), ..send }
}

fn pt(codec: Codec) -> Pt {
    match codec {
        Codec::Pcmu => Pt::PCMU,
        Codec::Pcma => Pt::PCMA,
        Codec::Opus => Pt::new(OPUS).expect("below 128"),
    }
}

fn event() -> Pt {
    Pt::new(EVENT).expect("below 128")
}
