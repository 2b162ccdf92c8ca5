//! What may end a call: risks that the engine reports of one leg, and one-way audio, which only both legs together show.

use std::time::{Duration, Instant};

use trestle_core::{CallId, LegId, Milestone, Risk};
use trestle_ng::command::flags::ProfileName;

use super::Controller;
use super::call::CallRecord;
use crate::diagnosis::CallHistory;
use crate::events::{EventBody, RiskName, reason};

/// Risks that mean that no media is received from a peer that is to send.
const SILENCE: [RiskName; 3] = [RiskName::NothingReceived, RiskName::FellSilent, RiskName::SipGone];

/// The engine reports a risk, for the first time or again while it lasts.
pub(super) fn at_risk(
    controller: &mut Controller,
    now: Instant,
    id: CallId,
    leg: LegId,
    risk: Risk,
    lasted: Duration,
    reached: Milestone,
) {
    let profile = controller.calls.get(id).map_or(ProfileName::Sip, |call| profile(call, leg));
    let risk = RiskName::of(risk, profile == ProfileName::Sip);
    let reason = reason(risk, reached, profile);
    controller.emit(now, id, Some(leg), EventBody::AtRisk { risk, stage: reached, lasted, reason });
    emit_one_way(controller, now, id);
}

/// The engine reports that a risk has passed.
pub(super) fn recovered(controller: &mut Controller, now: Instant, id: CallId, leg: LegId, risk: Risk) {
    let is_sip = controller.calls.get(id).is_some_and(|call| profile(call, leg) == ProfileName::Sip);
    let risk = RiskName::of(risk, is_sip);
    controller.emit(now, id, Some(leg), EventBody::Recovered { risk });
    if SILENCE.contains(&risk)
        && let Some(call) = controller.calls.get_mut(id)
    {
        call.progress.note_media(leg);
    }
    emit_one_way(controller, now, id);
}

/// Emits the begin and the end of one-way audio: media of a party is missing while media of its peer is received.
pub(super) fn emit_one_way(controller: &mut Controller, now: Instant, id: CallId) {
    let Some(call) = controller.calls.get(id) else { return };
    let after = now.saturating_duration_since(call.created);
    for (leg, kind) in one_way_changes(call, after) {
        controller.emit(now, id, Some(leg), kind);
    }
}

fn profile(call: &CallRecord, leg: LegId) -> ProfileName {
    call.party(leg).map_or(ProfileName::Sip, |party| party.profile())
}

/// Since when media of a leg's peer is missing, as time since the call was opened; `None` if it is not.
fn silent_since(history: &CallHistory, leg: LegId) -> Option<Duration> {
    SILENCE.into_iter().filter_map(|risk| history.lasting(leg, risk)).min()
}

fn one_way_changes(call: &CallRecord, after: Duration) -> Vec<(LegId, EventBody)> {
    let flows = |leg: LegId| call.progress.has_sent(leg) && silent_since(&call.history, leg).is_none();
    let risk = RiskName::OneWay;
    let changes = call.parties().iter().filter_map(|party| {
        let leg = party.leg();
        let was_one_way = call.history.lasting(leg, risk).is_some();
        let silent = silent_since(&call.history, leg).filter(|_| party.peer().is_some_and(flows));
        match (was_one_way, silent) {
            (false, Some(since)) => {
                let stage = call.progress.last(leg);
                let reason = reason(risk, stage, party.profile());
                Some((leg, EventBody::AtRisk { risk, stage, lasted: after.saturating_sub(since), reason }))
            }
            (true, None) => Some((leg, EventBody::Recovered { risk })),
            (true, Some(_)) | (false, None) => None,
        }
    });
    changes.collect()
}
