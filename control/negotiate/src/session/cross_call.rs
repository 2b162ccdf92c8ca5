//! `connect` with `to-call-id`: two parties of two calls become each other's source.
//!
//! A call never leaves its shard, and the two calls may be on different shards. So each call gets one leg more, and these two
//! legs, a cross-call link, send to each other as peers do: SRTP with keys of their own, over the machine's own addresses. Each
//! direction has the codec of the party that receives it, so that audio is transcoded at most once on its way. Each call still
//! ends by itself, and its end of the link with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rand_chacha::ChaCha12Rng;
use trestle_audio::CODECS;
use trestle_core::plan::{LegPlan, ReceiveFormat, SendFormat};
use trestle_core::{CallId, LegId, LegPorts};
use trestle_srtp::Profile as Suite;
use trestle_wire::{ClockRate, Pt};

use super::{PartyLookupError, Session, routing};
use crate::Environment;
use crate::party::{
    Agreed, CrossCallLink, Endpoint, Party, PartyKind, PartyNames, ReceiveFormats, Routing, Secrets, StreamState,
};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Protocol;
use trestle_sdp::Security;

/// The fastest suite on CPUs with AES instructions.
const SUITE: Suite = Suite::AeadAes128Gcm;

/// Payload type of telephone-event within a link.
const EVENT: Pt = match Pt::new(101) {
    Some(pt) => pt,
    None => unreachable!(),
};

/// One of two calls that are linked to each other.
#[derive(Debug)]
pub struct LinkEnd {
    /// The call.
    pub call: CallId,
    before: Session,
    /// The session once the engine has applied the plans.
    pub session: Session,
    /// Its leg of the link.
    pub leg: LegId,
}

/// Two calls that are about to be linked. Their legs are opened one after the other, as each needs the port of the other.
#[derive(Debug)]
pub struct CrossCallConnection {
    /// The call of `call-id`.
    pub near: LinkEnd,
    /// The call of `to-call-id`.
    pub far: LinkEnd,
}

impl CrossCallConnection {
    /// Links the party of each tag to the other. `None` if they are linked already.
    ///
    /// # Errors
    ///
    /// The tags do not name parties that have answered, or one of the calls has no room for a leg.
    pub fn new(
        (near_call, near, from_tag): (CallId, &Session, &str),
        (far_call, far, to_tag): (CallId, &Session, &str),
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<Option<Self>, PartyLookupError> {
        let from = near.index_of_tag(from_tag).ok_or(PartyLookupError::UnknownFromTag)?;
        let to = far.index_of_tag(to_tag).ok_or(PartyLookupError::UnknownToTag)?;
        let (from, to) = (&near.parties[from], &far.parties[to]);
        let (Some(to_near), Some(to_far)) = (from.send_format(), to.send_format()) else {
            return Err(PartyLookupError::NotAnswered);
        };
        if let (Some((leg, other)), Some((other_leg, back))) = (source_link(near, from), source_link(far, to))
            && (other, back) == ((far_call, other_leg), (near_call, leg))
        {
            return Ok(None);
        }
        let next_leg = |session: &Session| session.next_leg().map_err(|_| PartyLookupError::TooManyParties);
        let legs = [next_leg(near)?, next_leg(far)?];
        let ends = [(near_call, legs[0]), (far_call, legs[1])];
        let mut drawn = [near, far].map(|session| {
            let taken: Vec<_> = session.parties.iter().map(|party| party.secrets.ssrc).collect();
            Secrets::draw(rng, environment.own_ssrcs, &taken)
        });
        let keys = drawn.each_mut().map(|secrets| secrets.key(SUITE, &environment.own_keys, rng));
        let [near_secrets, far_secrets] = drawn;
        let kind = PartyKind { profile: ProfileName::Webrtc, protocol: Protocol::RtpSavp, security: Security::Sdes };
        // Both on the interface of from-tag: one address, one family.
        let Endpoint { interface, ipv6, .. } = from.endpoint;
        let open = |session: &Session, end: usize, secrets: Secrets, party: LegId, send: &SendFormat| {
            let endpoint = Endpoint { kind, interface, ipv6, we_offered: false };
            let mut link = Party::new(legs[end], secrets, endpoint, PartyNames::default(), Routing::default());
            let [send_key, receive_key] = [end, 1 - end].map(|end| keys[end].clone());
            link.make_link(CrossCallLink::new(ends[1 - end], send_key, receive_key), media(send));
            let mut after = session.clone();
            after.add(link);
            routing::join(&mut after.parties, party, legs[end]);
            LinkEnd { call: ends[end].0, before: session.clone(), session: after, leg: legs[end] }
        };
        let near = open(near, 0, near_secrets, from.leg(), to_far);
        let far = open(far, 1, far_secrets, to.leg(), to_near);
        Ok(Some(Self { near, far }))
    }
}

impl LinkEnd {
    /// The plan that opens the leg of the link and changes no other.
    pub fn opening(&self) -> Vec<(LegId, LegPlan)> {
        self.session.party(self.leg).map(|link| (self.leg, self.session.plan(link))).into_iter().collect()
    }

    /// Every plan that differs from what it was.
    pub fn plans(&self) -> Vec<(LegId, LegPlan)> {
        self.before.change_to(self.session.clone()).legs
    }

    /// Sets where the other end is bound; false if `ports` lacks it.
    pub fn reach(&mut self, other: LegId, ports: &[(LegId, LegPorts)]) -> bool {
        let Some((_, LegPorts { rtp, .. })) = ports.iter().find(|(leg, _)| *leg == other) else { return false };
        let ip = match rtp.ip() {
            // A socket that is bound to every address receives on the loopback address, and sends from it.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let link = self.session.parties.iter_mut().find(|party| party.leg() == self.leg);
        link.is_some_and(|link| link.set_link_address(SocketAddr::new(ip, rtp.port())))
    }
}

/// The link that is a party's source: its leg, and the far end.
fn source_link(session: &Session, party: &Party) -> Option<(LegId, (CallId, LegId))> {
    session.links().find(|(leg, _)| party.routing.has_source(*leg))
}

/// The media of a link: it sends as its call sends to the far party, and receives every codec.
fn media(send: &SendFormat) -> Agreed {
    let audio = CODECS.each_ref().map(|info| ReceiveFormat { pt: info.pt.preferred(), codec: info.codec });
    Agreed {
        terms: None,
        local_formats: Vec::new(),
        send: SendFormat { pt: send.codec.info().pt.preferred(), event: Some((EVENT, ClockRate::HZ_8000)), ..*send },
        receive: ReceiveFormats { audio: audio.to_vec(), events: vec![(EVENT, ClockRate::HZ_8000)] },
        stream: StreamState::Live,
    }
}
