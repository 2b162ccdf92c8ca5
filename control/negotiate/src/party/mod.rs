//! One participant of a call: what is proposed to it or by it, what is agreed with it, and the plan of its leg.

mod agreed;
mod endpoint;
mod gate;
mod link;
mod muting;
mod names;
mod negotiation;
mod payload_numbers;
mod proposal;
mod routing;
mod sdp_template;
mod secrets;

use rand_chacha::ChaCha12Rng;
use trestle_core::LegId;
use trestle_core::plan::{DtlsRole, LegPlan, Muting, ReceiveFormat, ReceivePlan, SendFormat, SendPlan, Source};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Protocol;
use trestle_sdp::{Format, PeerDescription, Security};

pub(crate) use agreed::{Agreed, ReceiveFormats, StreamState};
pub(crate) use endpoint::{Endpoint, PartyKind};
pub(crate) use gate::PartyGate;
pub use gate::{GatePolicy, GateState};
pub(crate) use link::CrossCallLink;
pub(crate) use muting::MutedMedia;
pub(crate) use names::PartyNames;
pub(crate) use negotiation::Negotiation;
pub(crate) use payload_numbers::PayloadNumbers;
pub(crate) use proposal::{AddressRule, IncomingOffer, OfferState, OutgoingOffer, PeerTerms};
pub(crate) use routing::Routing;
pub use sdp_template::SdpTemplate;
pub(crate) use sdp_template::{RTCP_PORT, RTP_PORT, SentSdp};
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

/// A participant of a call and its leg.
#[derive(Debug, Clone)]
pub struct Party {
    leg: LegId,
    pub(crate) names: PartyNames,
    pub(crate) endpoint: Endpoint,
    pub(crate) secrets: Secrets,
    pub(crate) negotiation: Negotiation,
    pub(crate) numbers: PayloadNumbers,
    /// The last description that was sent to the party, accepted or not.
    pub(crate) sent_sdp: SentSdp,
    pub(crate) routing: Routing,
    /// WhatsApp parties only.
    pub(crate) gate: Option<PartyGate>,
    pub(crate) muted: MutedMedia,
    pub(crate) preferences: Preferences,
    link: Option<CrossCallLink>,
}

impl Party {
    pub(crate) fn new(leg: LegId, secrets: Secrets, endpoint: Endpoint, names: PartyNames, routing: Routing) -> Self {
        Self {
            leg,
            names,
            endpoint,
            secrets,
            negotiation: Negotiation::default(),
            numbers: PayloadNumbers::default(),
            sent_sdp: SentSdp::default(),
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
        self.names.tags()
    }

    /// Its label (`label`, `to-label`).
    pub fn label(&self) -> Option<&str> {
        self.names.label()
    }

    /// The leg it exchanged descriptions with last.
    pub fn peer(&self) -> Option<LegId> {
        self.routing.peer()
    }

    /// The profile whose rules apply to it.
    pub fn profile(&self) -> ProfileName {
        self.endpoint.kind.profile
    }

    /// Protocol of its `m=` line, in force.
    pub fn protocol(&self) -> Protocol {
        self.endpoint.kind.protocol
    }

    /// How its media is protected at present.
    pub fn security(&self) -> Security {
        self.endpoint.kind.security
    }

    /// Its description that is in force: the agreed one; before the first answer the one it has offered.
    pub fn remote(&self) -> Option<&PeerDescription> {
        self.negotiation.remote()
    }

    /// True if `sdp` is a description of this party, in force or proposed.
    pub fn has_sent(&self, sdp: &str) -> bool {
        self.negotiation.has_received(sdp)
    }

    /// True once an exchange with it is complete.
    pub fn answered(&self) -> bool {
        self.negotiation.agreed().is_some()
    }

    /// Source of the audio that is sent to it.
    pub fn source(&self) -> Source {
        self.routing.source()
    }

    /// Format in which audio is sent to it; `None` before the first answer.
    pub fn send_format(&self) -> Option<&SendFormat> {
        self.negotiation.send_format()
    }

    /// Formats in which its audio is accepted, in its order of preference.
    pub fn receive_formats(&self) -> Vec<ReceiveFormat> {
        self.negotiation.receive(self.endpoint.has_whatsapp_rules()).audio
    }

    pub(crate) fn link(&self) -> Option<&CrossCallLink> {
        self.link.as_ref()
    }

    /// WhatsApp takes no second exchange: it answers a re-INVITE with 500, and Meta refuses an `accept` whose SDP differs
    /// from the one of `pre_accept`.
    pub(crate) fn is_fixed(&self) -> bool {
        self.endpoint.has_whatsapp_rules() && self.answered()
    }

    /// The DTLS role is settled once per association (RFC 8842 3.1).
    pub(crate) fn dtls_role(&self) -> DtlsRole {
        self.negotiation.terms().map_or(DtlsRole::Either, |terms| terms.dtls_role)
    }

    /// RTCP is multiplexed (RFC 5761).
    pub(crate) fn rtcp_mux(&self) -> bool {
        self.link.is_some() || self.negotiation.rtcp_mux()
    }

    /// Formats that an answer of this party may contain: those of the last offer to it; for WhatsApp, which gets no second
    /// offer, those of its only exchange.
    pub(crate) fn offered_formats(&self) -> Option<&[Format]> {
        match self.negotiation.agreed().filter(|_| self.is_fixed()) {
            Some(agreed) => Some(&agreed.local_formats),
            None => self.negotiation.outgoing().map(|offer| offer.formats.as_slice()),
        }
    }

    /// The party has made an offer.
    pub(crate) fn propose(&mut self, offer: IncomingOffer) {
        self.endpoint.we_offered &= self.answered();
        self.negotiation.propose(offer);
    }

    /// An exchange is complete, whose offer was for a leg of this `kind`; `we_offered` if Trestle has made it.
    pub(crate) fn agree(&mut self, agreed: Agreed, kind: PartyKind, we_offered: bool, rng: &mut ChaCha12Rng) {
        let left = self.security();
        if kind.security != left {
            self.endpoint.we_offered = we_offered;
            self.secrets.renew(left, rng);
        }
        // A peer that is recognised by its answer keeps its rules.
        let profile = if kind.security == left { self.profile() } else { kind.profile };
        self.endpoint.kind = PartyKind { profile, ..kind };
        if let Some(terms) = &agreed.terms {
            self.numbers.note_theirs(&terms.remote.formats);
        }
        self.negotiation.agree(agreed);
    }

    /// The leg is one end of a cross-call link, with this as its media.
    pub(crate) fn make_link(&mut self, link: CrossCallLink, agreed: Agreed) {
        self.link = Some(link);
        self.negotiation.agree(agreed);
    }

    /// The far end of the party's cross-call link is bound at `address`. Returns false if the party is no such link.
    pub(crate) fn set_link_address(&mut self, address: std::net::SocketAddr) -> bool {
        self.link.as_mut().map(|link| link.set_address(address)).is_some()
    }

    /// The plan of the leg. `muting` is what is left out of its source.
    pub(crate) fn plan(&self, muting: Muting) -> LegPlan {
        let remote = self.remote();
        let receive = self.negotiation.receive(self.endpoint.has_whatsapp_rules());
        let is_live = !self.negotiation.is_ended();
        LegPlan {
            interface: self.endpoint.interface,
            ipv6: self.endpoint.ipv6,
            transport: match &self.link {
                Some(link) => link.transport(),
                None => self.endpoint.transport(&self.secrets, self.negotiation.terms()),
            },
            rtcp_mux: self.rtcp_mux(),
            ssrc: self.secrets.ssrc,
            cname: self.secrets.cname.clone(),
            send: SendPlan {
                format: self.send_format().copied(),
                source: self.source(),
                muting,
                policy: self.gate.as_ref().map(PartyGate::send_policy).unwrap_or_default(),
                enabled: is_live && remote.is_none_or(PeerDescription::can_receive),
            },
            receive: ReceivePlan {
                formats: receive.audio,
                events: receive.events,
                detect_inband_dtmf: self.detects_inband_dtmf(),
                enabled: is_live && remote.is_none_or(PeerDescription::can_send),
                is_linked: self.link.is_some(),
                proposed: self.negotiation.proposed(self.endpoint.kind),
            },
            tos: self.preferences.tos,
        }
    }

    /// A peer that announces no telephone-events may send tones. WhatsApp sends none, whatever it announces.
    fn detects_inband_dtmf(&self) -> bool {
        let announces_none = self.remote().is_some_and(|remote| remote.events().next().is_none());
        self.preferences.detect_inband_dtmf || announces_none && !self.endpoint.has_whatsapp_rules()
    }
}
