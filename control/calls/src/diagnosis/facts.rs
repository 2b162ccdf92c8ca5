//! The facts that a verdict is made of: the engine's report, and what the controller knows.

use std::time::Duration;

use trestle_core::plan::{Codec, Source};
use trestle_core::report::{CallReport, LegReport};
use trestle_core::{LegId, Milestone};

use super::history::CallHistory;
use crate::ended::EndedBy;
use crate::events::PartyName;
use trestle_negotiate::{GateState, Party};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Security;

/// Everything that is known of a call.
#[derive(Debug, Clone)]
pub struct CallFacts<'a> {
    /// Its parties; legs that link another call are not among them.
    pub parties: Vec<PartyFacts>,
    /// The engine's report; `None` if the engine has lost the call.
    pub report: Option<&'a CallReport>,
    /// What the controller has noted of it.
    pub history: &'a CallHistory,
    /// How long it has existed.
    pub age: Duration,
    /// What ended it; `None` while it is active.
    pub ended: Option<EndedBy>,
}

/// One party, as negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyFacts {
    /// Its leg.
    pub leg: LegId,
    /// Its tag and label.
    pub name: PartyName,
    /// Its profile.
    pub profile: ProfileName,
    /// How its media is protected.
    pub security: Security,
    /// An offer/answer exchange with it is complete.
    pub answered: bool,
    /// Its SDP announces that it sends.
    pub sends: bool,
    /// The leg that it receives media from.
    pub source: Option<LegId>,
    /// Codec of what it sends, if it uses its first one.
    pub codec_in: Option<Codec>,
    /// Codec of what it is sent, and the duration of its packets.
    pub codec_out: Option<(Codec, Duration)>,
    /// State of its gate; `None` if it has none.
    pub gate: Option<GateState>,
}

impl PartyFacts {
    /// The facts of a party.
    pub fn of(party: &Party, gate: Option<GateState>) -> Self {
        let source = match party.source() {
            Source::Leg(leg) => Some(leg),
            Source::Nothing => None,
        };
        Self {
            leg: party.leg(),
            name: PartyName { tag: party.tags().first().cloned(), label: party.label().map(str::to_owned) },
            profile: party.profile(),
            security: party.security(),
            answered: party.answered(),
            sends: party.remote().is_none_or(|remote| remote.can_send()),
            source,
            codec_in: party.receive_formats().first().map(|format| format.codec),
            codec_out: party.send_format().map(|send| (send.codec, send.ptime.duration())),
            gate,
        }
    }

    pub(super) fn is_whatsapp(&self) -> bool {
        self.profile == ProfileName::Whatsapp
    }
}

impl CallFacts<'_> {
    pub(super) fn leg(&self, leg: LegId) -> Option<&LegReport> {
        self.report?.legs.iter().find(|report| report.leg == leg)
    }

    /// When a leg reached a milestone.
    pub(super) fn at(&self, leg: LegId, milestone: Milestone) -> Option<Duration> {
        self.leg(leg)?.timeline.iter().find(|(reached, _)| *reached == milestone).map(|(_, at)| *at)
    }

    /// Answered parties, each with the report of its leg.
    pub(super) fn live(&self) -> impl Iterator<Item = (&PartyFacts, &LegReport)> {
        self.parties.iter().filter(|party| party.answered).filter_map(|party| Some((party, self.leg(party.leg)?)))
    }

    pub(super) fn whatsapp(&self) -> impl Iterator<Item = (&PartyFacts, &LegReport)> {
        self.live().filter(|(party, _)| party.is_whatsapp())
    }

    /// Since when WhatsApp may have been waiting for media: the application opens the gate when the call is accepted; without a
    /// gate the answer is taken for it.
    pub(super) fn accepted(&self, leg: LegId) -> Option<Duration> {
        Some(self.history.answered?.max(self.at(leg, Milestone::GateOpened).unwrap_or_default()))
    }

    /// Since when media of a party could be received. WhatsApp sends nothing before the call is accepted.
    pub(super) fn ready(&self, leg: LegId) -> Option<Duration> {
        let set_up = [Milestone::RemoteKnown, Milestone::IceConnected, Milestone::DtlsConnected, Milestone::GateOpened];
        let last = set_up.into_iter().filter_map(|milestone| self.at(leg, milestone)).max();
        Some(self.history.answered?.max(last.unwrap_or_default()))
    }

    /// From a moment until the end, or until now.
    pub(super) fn since(&self, at: Duration) -> Duration {
        self.age.saturating_sub(at)
    }

    /// The name of a party in a sentence. With its label or tag if another party has the same profile.
    pub(super) fn who(&self, leg: LegId) -> String {
        let Some(party) = self.parties.iter().find(|party| party.leg == leg) else { return "another call".to_owned() };
        let kind = match party.profile {
            ProfileName::Whatsapp => "WhatsApp",
            ProfileName::Webrtc => "the browser",
            ProfileName::Sip => "the SIP side",
        };
        let alone = self.parties.iter().filter(|other| other.profile == party.profile && other.answered).count() < 2;
        match party.name.label.as_ref().or(party.name.tag.as_ref()).filter(|_| !alone) {
            // Tags and labels come from the peers; a line end in one would forge a line.
            Some(name) => format!("{kind} ({})", name.escape_debug()),
            None => kind.to_owned(),
        }
    }
}
