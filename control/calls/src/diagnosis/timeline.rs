//! The timeline of a call: milestones, risks and ends, in order.

use std::time::Duration;

use trestle_core::{LegId, Milestone};

use super::facts::CallFacts;
use crate::ended::EndedBy;
use crate::events::RiskName;

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// Since the call was opened.
    pub at: Duration,
    /// The party, as named in a sentence; `None` for the call.
    pub who: Option<String>,
    /// What happened.
    pub what: String,
}

pub(super) fn timeline(facts: &CallFacts<'_>) -> Vec<TimelineEntry> {
    let offered = TimelineEntry { at: Duration::ZERO, who: None, what: "offer applied".to_owned() };
    let mut entries = vec![offered];
    let mut add = |at: Duration, leg: Option<LegId>, what: &str| {
        entries.push(TimelineEntry { at, who: leg.map(|leg| facts.who(leg)), what: what.to_owned() });
    };
    if let Some(at) = facts.history.answered {
        add(at, None, "answer applied");
    }
    for (party, leg) in facts.live() {
        for (milestone, at) in &leg.timeline {
            if let Some(what) = reached(*milestone) {
                add(*at, Some(party.leg), what);
            }
        }
        let Some(history) = facts.history.leg(party.leg) else { continue };
        for period in &history.risks {
            add(period.since, Some(party.leg), began(period.risk));
            if let Some(over) = period.over {
                add(over, Some(party.leg), passed(period.risk));
            }
        }
        if let Some((at, failure)) = history.failure {
            add(at, Some(party.leg), &failure.to_string());
        }
        if let Some(at) = history.gate_timed_out {
            add(at, Some(party.leg), "gate not opened within gate-timeout");
        }
        if let Some(at) = history.gate_closed {
            add(at, Some(party.leg), "gate closed");
        }
    }
    if let Some(ended) = facts.ended {
        let what = match ended {
            EndedBy::Deleted => "call ended: `delete`",
            EndedBy::OfferTimeout => "call ended: no answer within offer-timeout",
            EndedBy::MediaTimeout => "call ended: no media received for timeout",
            EndedBy::SilentTimeout => "call ended: on hold for silent-timeout",
            EndedBy::Shutdown => "call ended: Trestle was stopped",
            EndedBy::Failed => "call ended: internal error",
            EndedBy::HalfOpenLimit => "call ended: too many calls without an answer",
        };
        add(facts.age, None, what);
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn reached(milestone: Milestone) -> Option<&'static str> {
    Some(match milestone {
        Milestone::Opened => return None,
        Milestone::RemoteKnown => "SDP known",
        Milestone::FirstCheck => "first connectivity check sent",
        Milestone::IceConnected => "ICE connected",
        Milestone::DtlsConnected => "DTLS connected",
        Milestone::Latched => "media address learnt from received packets",
        Milestone::FirstMediaIn => "first media received",
        Milestone::FirstMediaOut => "first media sent",
        Milestone::GateOpened => "gate opened",
        Milestone::CaughtUp => "kept audio played, delay normal",
    })
}

fn began(risk: RiskName) -> &'static str {
    match risk {
        RiskName::NothingSent => "no media is sent",
        RiskName::NothingReceived => "no RTP received, although the peer is sendrecv",
        RiskName::FellSilent | RiskName::SipGone => "received media stopped",
        RiskName::IceStuck => "no connectivity check succeeds",
        RiskName::DtlsStuck => "DTLS handshake stalled",
        RiskName::OneWay => "one-way audio: media is received from the other side only",
        RiskName::Flood => "more media is received than a call has; the surplus is discarded",
        RiskName::Ring => "Trestle's own media comes back; it is discarded",
        RiskName::Unproven => "media is limited to one packet a second: nothing has ever come from the peer",
    }
}

fn passed(risk: RiskName) -> &'static str {
    match risk {
        RiskName::NothingSent => "media is sent again",
        RiskName::NothingReceived => "first RTP received after a delay",
        RiskName::FellSilent | RiskName::SipGone => "media is received again",
        RiskName::IceStuck => "ICE is connected again",
        RiskName::DtlsStuck => "DTLS handshake continues",
        RiskName::OneWay => "one-way audio over: media is received from both sides, or from neither",
        RiskName::Flood => "no surplus of media is received any more",
        RiskName::Ring => "Trestle's own media comes back no more",
        RiskName::Unproven => "media is not limited any more",
    }
}
