//! What a verdict is made of: the engine's report, and what the controller knows.

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
    /// Its parties; those that stand for a party of another call are not among them.
    pub parties: Vec<PartyFacts>,
    /// The engine's report; `None` if the engine has lost the call.
    pub report: Option<&'a CallReport>,
    /// What happened meanwhile.
    pub history: &'a CallHistory,
    /// How long it has existed.
    pub age: Duration,
    /// What ended it; `None` while it goes on.
    pub ended: Option<EndedBy>,
}

/// One party, as it was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyFacts {
    /// Its leg.
    pub leg: LegId,
    /// What it is called.
    pub name: PartyName,
    /// Whose rules apply to it.
    pub profile: ProfileName,
    /// How its media is protected.
    pub security: Security,
    /// An exchange with it is complete.
    pub answered: bool,
    /// It has not said that it will not send.
    pub speaks: bool,
    /// Whom it hears.
    pub hears: Option<LegId>,
    /// What it sends, if it sends what it prefers.
    pub codec_in: Option<Codec>,
    /// What it is sent, and in packets of what duration.
    pub codec_out: Option<(Codec, Duration)>,
    /// How its gate stands; `None` if it has none.
    pub gate: Option<GateState>,
}

impl PartyFacts {
    /// What negotiation knows of it.
    pub fn of(party: &Party, gate: Option<GateState>) -> Self {
        let hears = match party.source() {
            Source::Leg(leg) => Some(leg),
            Source::Nothing => None,
        };
        Self {
            leg: party.leg(),
            name: PartyName { tag: party.tags().first().cloned(), label: party.label().map(str::to_owned) },
            profile: party.profile(),
            security: party.security(),
            answered: party.answered(),
            speaks: party.remote().is_none_or(|remote| remote.speaks()),
            hears,
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

    /// When a leg has come to a point of its timeline.
    pub(super) fn at(&self, leg: LegId, milestone: Milestone) -> Option<Duration> {
        self.leg(leg)?.timeline.iter().find(|(reached, _)| *reached == milestone).map(|(_, at)| *at)
    }

    /// Parties with whom everything is agreed, each with its leg's report.
    pub(super) fn live(&self) -> impl Iterator<Item = (&PartyFacts, &LegReport)> {
        self.parties.iter().filter(|party| party.answered).filter_map(|party| Some((party, self.leg(party.leg)?)))
    }

    pub(super) fn whatsapp(&self) -> impl Iterator<Item = (&PartyFacts, &LegReport)> {
        self.live().filter(|(party, _)| party.is_whatsapp())
    }

    /// Since when WhatsApp may have been waiting for media: the application says by the gate when the call is accepted, and if
    /// it does not, the answer must do.
    pub(super) fn accepted(&self, leg: LegId) -> Option<Duration> {
        Some(self.history.answered?.max(self.at(leg, Milestone::GateOpened).unwrap_or_default()))
    }

    /// Since when a party can have been heard. WhatsApp says nothing before the call is accepted.
    pub(super) fn ready(&self, leg: LegId) -> Option<Duration> {
        let set_up = [Milestone::RemoteKnown, Milestone::IceConnected, Milestone::DtlsConnected, Milestone::GateOpened];
        let last = set_up.into_iter().filter_map(|milestone| self.at(leg, milestone)).max();
        Some(self.history.answered?.max(last.unwrap_or_default()))
    }

    /// From a moment until the end, or until now.
    pub(super) fn since(&self, at: Duration) -> Duration {
        self.age.saturating_sub(at)
    }

    /// What a party is called in a sentence. Of two of a kind, by its tag too.
    pub(super) fn who(&self, leg: LegId) -> String {
        let Some(party) = self.parties.iter().find(|party| party.leg == leg) else { return "another call".to_owned() };
        let kind = match party.profile {
            ProfileName::Whatsapp => "WhatsApp",
            ProfileName::Webrtc => "the browser",
            ProfileName::Sip => "the SIP side",
        };
        let alone = self.parties.iter().filter(|other| other.profile == party.profile && other.answered).count() < 2;
        match party.name.label.as_ref().or(party.name.tag.as_ref()).filter(|_| !alone) {
            Some(name) => format!("{kind} ({name})"),
            None => kind.to_owned(),
        }
    }
}
