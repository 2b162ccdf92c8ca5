//! One participant: what it said, what it was told, what the engine shall do for it.

use std::net::IpAddr;
use std::sync::Arc;

use trestle_core::plan::{
    DtlsRole, LatchPolicy, LegPlan, Muting, ReceiveFormat, ReceivePlan, SendFormat, SendPlan, Source,
};
use trestle_core::{InterfaceId, LegId};
use trestle_srtp::Profile as Suite;
use trestle_wire::{ClockRate, Pt};

use super::description::Description;
use super::gate::Gateway;
use super::secrets::Secrets;
use super::standing::Blocked;
use super::transport;
use super::trunk::Trunk;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Format;
use trestle_sdp::Protocol;
use trestle_sdp::{Remote, Security};

/// A participant of a call and its leg.
#[derive(Debug, Clone)]
pub struct Party {
    pub(crate) leg: LegId,
    /// The first is its name, the rest are what forks of it called themselves. Empty until an answer names it.
    pub(crate) tags: Vec<String>,
    pub(crate) via_branch: Option<String>,
    pub(crate) label: Option<String>,
    /// The leg on the other side of its offer/answer exchange.
    pub(crate) peer: Option<LegId>,
    /// Whose offer it was told last, and so whose answerer it may be.
    pub(crate) offered_by: Option<LegId>,

    // Fixed when the party appears.
    pub(crate) profile: ProfileName,
    pub(crate) protocol: Protocol,
    pub(crate) security: Security,
    pub(crate) interface: InterfaceId,
    pub(crate) ipv6: bool,
    pub(crate) secrets: Secrets,

    // What it said.
    /// Never changed, only replaced.
    pub(crate) remote: Option<Arc<Remote>>,
    /// An exchange with it is complete.
    pub(crate) answered: bool,
    pub(crate) latch: LatchPolicy,
    /// Where its media is whatever its SDP says (`media-address`, `SIP-source-address`).
    pub(crate) media_address: Option<IpAddr>,

    // What it was told.
    pub(crate) told: Option<Description>,
    /// `sess-version` of `o=` where that is ours.
    pub(crate) version: u64,
    /// Formats of `told`.
    pub(crate) told_formats: Vec<Format>,
    /// Suites of our `a=crypto` lines when we offered; tags count from 1.
    pub(crate) offered_suites: Vec<Suite>,

    // What came of it.
    /// Its own codecs that an answer to it may use, in its order.
    pub(crate) answerable: Vec<Format>,
    /// Index into its `a=crypto` lines.
    pub(crate) crypto: Option<usize>,
    pub(crate) rtcp_mux: bool,
    pub(crate) dtls_role: DtlsRole,
    pub(crate) we_offered: bool,
    pub(crate) ptime_ms: Option<u32>,
    pub(crate) send: Option<SendFormat>,
    pub(crate) receive: Vec<ReceiveFormat>,
    pub(crate) receive_events: Vec<(Pt, ClockRate)>,
    /// Digits are looked for in its audio whatever it announces.
    pub(crate) detect_tones: bool,
    pub(crate) hears: Source,
    /// Whom it hears was said by `connect`.
    pub(crate) joined: bool,
    /// What of its media the others do not get.
    pub(crate) blocked: Blocked,
    /// When it gets media; WhatsApp only.
    pub(crate) gateway: Option<Gateway>,
    pub(crate) tos: Option<u8>,
    /// It stands for a party of another call.
    pub(crate) trunk: Option<Trunk>,
}

impl Party {
    pub(crate) fn new(
        leg: LegId,
        secrets: Secrets,
        kind: (ProfileName, Protocol, Security),
        interface: InterfaceId,
        ipv6: bool,
    ) -> Self {
        let (profile, protocol, security) = kind;
        Self {
            leg,
            tags: Vec::new(),
            via_branch: None,
            label: None,
            peer: None,
            offered_by: None,
            profile,
            protocol,
            security,
            interface,
            ipv6,
            secrets,
            remote: None,
            answered: false,
            latch: LatchPolicy::SameIp,
            media_address: None,
            told: None,
            version: 1,
            told_formats: Vec::new(),
            offered_suites: Vec::new(),
            answerable: Vec::new(),
            crypto: None,
            rtcp_mux: false,
            dtls_role: DtlsRole::Either,
            we_offered: false,
            ptime_ms: None,
            send: None,
            receive: Vec::new(),
            receive_events: Vec::new(),
            detect_tones: false,
            hears: Source::Nothing,
            joined: false,
            blocked: Blocked::default(),
            gateway: None,
            tos: None,
            trunk: None,
        }
    }

    /// Its leg.
    pub fn leg(&self) -> LegId {
        self.leg
    }

    /// Its name and aliases; empty for a callee that has not answered.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The branch of the request that reached it.
    pub fn via_branch(&self) -> Option<&str> {
        self.via_branch.as_deref()
    }

    /// Its label, if it was given one.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The leg it exchanged descriptions with last.
    pub fn peer(&self) -> Option<LegId> {
        self.peer
    }

    /// Whose rules apply to it.
    pub fn profile(&self) -> ProfileName {
        self.profile
    }

    /// Protocol of its `m=` line.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How its media is protected.
    pub fn security(&self) -> Security {
        self.security
    }

    /// What it said last.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_deref()
    }

    /// True once an exchange with it is complete.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Source of the audio that is sent to it.
    pub fn source(&self) -> Source {
        self.hears
    }

    /// Formats in which its audio is expected, in its order of preference.
    pub fn receive_formats(&self) -> &[ReceiveFormat] {
        &self.receive
    }

    /// Format in which audio is sent to it; `None` before its formats are known.
    pub fn send_format(&self) -> Option<&SendFormat> {
        self.send.as_ref()
    }

    /// WhatsApp takes no second exchange: re-INVITE gets 500, and an `accept` whose SDP differs from the `pre_accept` is
    /// refused.
    pub(crate) fn is_fixed(&self) -> bool {
        self.profile == ProfileName::Whatsapp && self.answered
    }

    /// The suite that this leg's keys are of.
    pub(crate) fn suite_in_use(&self) -> Option<Suite> {
        Some(self.remote.as_ref()?.cryptos.get(self.crypto?)?.key.profile())
    }

    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|known| known == tag)
    }

    /// A peer that announces no telephone-events may send digits as tones. WhatsApp sends none, whatever it announces.
    fn detects_inband_dtmf(&self) -> bool {
        let announces_none = self.remote.as_ref().is_some_and(|remote| remote.events().next().is_none());
        self.detect_tones || announces_none && self.profile != ProfileName::Whatsapp
    }

    /// The plan of its leg, without muting, which [`super::Session`] adds.
    pub(crate) fn plan(&self) -> LegPlan {
        LegPlan {
            interface: self.interface,
            ipv6: self.ipv6,
            transport: transport::plan(self),
            rtcp_mux: self.rtcp_mux,
            ssrc: self.secrets.ssrc,
            cname: self.secrets.cname.clone(),
            tos: self.tos,
            send: SendPlan {
                format: self.send,
                source: self.hears,
                muting: Muting::default(),
                policy: self.gateway.as_ref().map(Gateway::send_policy).unwrap_or_default(),
                enabled: self.remote().is_none_or(Remote::listens),
            },
            receive: ReceivePlan {
                formats: self.receive.clone(),
                events: self.receive_events.clone(),
                detect_inband_dtmf: self.detects_inband_dtmf(),
                enabled: self.remote().is_none_or(Remote::speaks),
            },
        }
    }
}
