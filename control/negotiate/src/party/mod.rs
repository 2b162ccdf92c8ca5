//! One participant of a call: what is proposed to it or by it, what is agreed with it, and the plan of its leg.

mod agreed;
mod description;
mod endpoint;
mod gate;
mod identity;
mod link;
mod muting;
mod proposal;
mod routing;
mod secrets;

use trestle_core::LegId;
use trestle_core::plan::{DtlsRole, LegPlan, Muting, ReceiveFormat, ReceivePlan, SendFormat, SendPlan, Source};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Protocol;
use trestle_sdp::{Format, Remote, Security};

pub(crate) use agreed::{Agreed, ReceiveFormats};
pub use description::Description;
pub(crate) use description::{RTCP_PORT, RTP_PORT, SentDescription};
pub(crate) use endpoint::{Endpoint, PartyKind};
pub(crate) use gate::PartyGate;
pub use gate::{GateState, PresencePolicy};
pub(crate) use identity::Identity;
pub(crate) use link::CrossCallLink;
pub(crate) use muting::MutedMedia;
pub(crate) use proposal::{AddressRule, IncomingOffer, OutgoingOffer, PeerTerms};
pub(crate) use routing::Routing;
pub(crate) use secrets::Secrets;

/// Settings of the operator or the application for a party. They hold at once: no peer has to agree to them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Preferences {
    /// Packet time towards the party (`ptime`, `ptime-reverse`).
    pub(crate) ptime_ms: Option<u32>,
    /// Detect digits in the party's audio even if it announces telephone-events.
    pub(crate) detect_inband_dtmf: bool,
    /// DSCP byte of packets towards the party.
    pub(crate) tos: Option<u8>,
}

/// A participant of a call, and the state of negotiation on its leg.
///
/// ```text
///               offer from or to the party                answer
///   (new party) --------------------------> offered ----------------> agreed
///                                              ^                       |  ^
///                                              +--- media as agreed ---+  | answer
///                                                   until the answer:     |
///                                                   re-offer -------------+
/// ```
///
/// What is proposed (`incoming`, `outgoing`) and what is agreed are different values. Before the first answer the plan of the
/// leg is made of the proposals, so that ICE and early media work. From the first answer on it is made of `agreed` alone, but
/// for payload types of an offer of ours, which the peer may use as soon as it has answered. So a re-offer that is refused, or
/// never answered, changes no media. Offers of both directions are kept apart, so that offers that cross do not mix.
#[derive(Debug, Clone)]
pub struct Party {
    leg: LegId,
    pub(crate) identity: Identity,
    pub(crate) endpoint: Endpoint,
    pub(crate) secrets: Secrets,
    incoming: Option<IncomingOffer>,
    outgoing: Option<OutgoingOffer>,
    agreed: Option<Agreed>,
    /// The last description that was sent to the party, accepted or not.
    pub(crate) description: SentDescription,
    pub(crate) routing: Routing,
    pub(crate) gate: Option<PartyGate>,
    pub(crate) muted: MutedMedia,
    pub(crate) preferences: Preferences,
    link: Option<CrossCallLink>,
}

impl Party {
    pub(crate) fn new(leg: LegId, secrets: Secrets, endpoint: Endpoint, identity: Identity, routing: Routing) -> Self {
        Self {
            leg,
            identity,
            endpoint,
            secrets,
            incoming: None,
            outgoing: None,
            agreed: None,
            description: SentDescription::default(),
            routing,
            gate: None,
            muted: MutedMedia::default(),
            preferences: Preferences::default(),
            link: None,
        }
    }

    /// Its leg.
    pub fn leg(&self) -> LegId {
        self.leg
    }

    /// Its SIP tags: its own, then those of forks; empty for a callee that no answer has named.
    pub fn tags(&self) -> &[String] {
        self.identity.tags()
    }

    /// Its label (`label`, `to-label`).
    pub fn label(&self) -> Option<&str> {
        self.identity.label()
    }

    /// The leg it exchanged descriptions with last.
    pub fn peer(&self) -> Option<LegId> {
        self.routing.peer()
    }

    /// The profile whose rules apply to it.
    pub fn profile(&self) -> ProfileName {
        self.endpoint.kind.profile
    }

    /// Protocol of its `m=` line.
    pub fn protocol(&self) -> Protocol {
        self.endpoint.kind.protocol
    }

    /// How its media is protected.
    pub fn security(&self) -> Security {
        self.endpoint.kind.security
    }

    /// Its description that is in force: the agreed one; before the first answer the one it has offered.
    pub fn remote(&self) -> Option<&Remote> {
        self.terms().map(|terms| &*terms.remote)
    }

    /// True if `sdp` is a description of this party, in force or proposed.
    pub fn has_sent(&self, sdp: &str) -> bool {
        let proposed = self.incoming.as_ref().map(|offer| &*offer.terms.remote);
        self.remote().into_iter().chain(proposed).any(|remote| remote.text == sdp)
    }

    /// True once an exchange with it is complete.
    pub fn answered(&self) -> bool {
        self.agreed.is_some()
    }

    /// Source of the audio that is sent to it.
    pub fn source(&self) -> Source {
        self.routing.source()
    }

    /// Format in which audio is sent to it; `None` before the first answer.
    pub fn send_format(&self) -> Option<&SendFormat> {
        self.agreed.as_ref().map(|agreed| &agreed.send)
    }

    /// Formats in which its audio is accepted, in its order of preference.
    pub fn receive_formats(&self) -> Vec<ReceiveFormat> {
        self.receive().audio
    }

    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    pub(crate) fn incoming(&self) -> Option<&IncomingOffer> {
        self.incoming.as_ref()
    }

    pub(crate) fn outgoing(&self) -> Option<&OutgoingOffer> {
        self.outgoing.as_ref()
    }

    pub(crate) fn link(&self) -> Option<&CrossCallLink> {
        self.link.as_ref()
    }

    /// WhatsApp takes no second exchange: it answers a re-INVITE with 500, and Meta refuses an `accept` whose SDP differs
    /// from the one of `pre_accept`.
    pub(crate) fn is_fixed(&self) -> bool {
        self.endpoint.has_whatsapp_rules() && self.answered()
    }

    /// What is in force of the peer's own description.
    pub(crate) fn terms(&self) -> Option<&PeerTerms> {
        match &self.agreed {
            Some(agreed) => agreed.terms.as_ref(),
            None => self.incoming.as_ref().map(|offer| &offer.terms),
        }
    }

    /// The DTLS role is settled once per leg (RFC 8842 3.1: another role needs another association).
    pub(crate) fn dtls_role(&self) -> DtlsRole {
        self.terms().map_or(DtlsRole::Either, |terms| terms.dtls_role)
    }

    /// RTCP is multiplexed (RFC 5761).
    pub(crate) fn rtcp_mux(&self) -> bool {
        match self.terms() {
            Some(terms) => terms.rtcp_mux,
            None => self.link.is_some() || self.outgoing.as_ref().is_some_and(|offer| offer.rtcp_mux),
        }
    }

    /// Formats that an answer of this party may contain: those of the last offer to it; for WhatsApp, which gets no second
    /// offer, those of its only exchange.
    pub(crate) fn offered_formats(&self) -> Option<&[Format]> {
        match (&self.agreed, &self.outgoing) {
            (Some(agreed), _) if self.is_fixed() => Some(&agreed.local_formats),
            (_, offer) => offer.as_ref().map(|offer| offer.formats.as_slice()),
        }
    }

    /// The party has made an offer.
    pub(crate) fn propose(&mut self, offer: IncomingOffer) {
        self.endpoint.we_offered &= self.answered();
        self.incoming = Some(offer);
    }

    /// An offer is sent to the party.
    pub(crate) fn propose_to(&mut self, offer: OutgoingOffer) {
        self.outgoing = Some(offer);
    }

    /// An exchange with the party is complete: from now on its media is as `agreed`.
    pub(crate) fn agree(&mut self, agreed: Agreed) {
        self.agreed = Some(agreed);
    }

    /// The leg is one end of a cross-call link, with this as its media.
    pub(crate) fn make_link(&mut self, link: CrossCallLink, agreed: Agreed) {
        (self.link, self.agreed) = (Some(link), Some(agreed));
    }

    /// The far end of the party's cross-call link is bound at `address`. Returns false if the party is no such link.
    pub(crate) fn set_link_address(&mut self, address: std::net::SocketAddr) -> bool {
        self.link.as_mut().map(|link| link.set_address(address)).is_some()
    }

    /// The plan of the leg. `muting` is what is left out of its source.
    pub(crate) fn plan(&self, muting: Muting) -> LegPlan {
        let remote = self.remote();
        let ReceiveFormats { audio, events } = self.receive();
        LegPlan {
            interface: self.endpoint.interface,
            ipv6: self.endpoint.ipv6,
            transport: match &self.link {
                Some(link) => link.transport(),
                None => self.endpoint.transport(&self.secrets, self.terms()),
            },
            rtcp_mux: self.rtcp_mux(),
            ssrc: self.secrets.ssrc,
            cname: self.secrets.cname.clone(),
            send: SendPlan {
                format: self.send_format().copied(),
                source: self.source(),
                muting,
                policy: self.gate.as_ref().map(PartyGate::send_policy).unwrap_or_default(),
                enabled: remote.is_none_or(Remote::listens),
            },
            receive: ReceivePlan {
                formats: audio,
                events,
                detect_inband_dtmf: self.detects_inband_dtmf(),
                enabled: remote.is_none_or(Remote::speaks),
            },
            tos: self.preferences.tos,
        }
    }

    /// A peer may use the payload types of an offer to it before its answer arrives (RFC 3264 5.1), besides those in force.
    fn receive(&self) -> ReceiveFormats {
        let offered = self.outgoing.as_ref().map_or(&[][..], |offer| &offer.formats);
        match &self.agreed {
            Some(agreed) => {
                let mut receive = agreed.receive.clone();
                receive.add(offered);
                receive
            }
            None => {
                let own = self.remote().map_or(&[][..], |remote| &remote.formats);
                ReceiveFormats::new(offered, own, self.endpoint.has_whatsapp_rules())
            }
        }
    }

    /// A peer that announces no telephone-events may send tones. WhatsApp sends none, whatever it announces.
    fn detects_inband_dtmf(&self) -> bool {
        let announces_none = self.remote().is_some_and(|remote| remote.events().next().is_none());
        self.preferences.detect_inband_dtmf || announces_none && !self.endpoint.has_whatsapp_rules()
    }
}
