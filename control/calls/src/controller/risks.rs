//! What may end a call: what the engine sees of each leg, and what only both legs tell, one-way audio.

use std::time::{Duration, Instant};

use trestle_core::{CallId, LegId, Milestone, Risk};

use super::Controller;
use super::call::Call;
use crate::events::{Kind, RiskName, reason};
use crate::leg_map::LegMap;
use trestle_ng::command::flags::ProfileName;

/// Whether a leg's peer is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LegWatch {
    /// Media has come from it.
    heard: bool,
    /// It should send, and does not.
    silent: bool,
    /// Told to be so.
    one_way: bool,
    reached: Milestone,
    /// How long it has been silent, as last told.
    lasted: Duration,
}

impl Default for LegWatch {
    fn default() -> Self {
        Self { heard: false, silent: false, one_way: false, reached: Milestone::Opened, lasted: Duration::ZERO }
    }
}

impl LegWatch {
    pub(super) fn reached(&mut self, milestone: Milestone) {
        self.heard |= milestone == Milestone::FirstMediaIn;
        self.reached = self.reached.max(milestone);
    }
}

/// Legs by id.
pub(super) type Watch = LegMap<LegWatch>;

impl Controller {
    pub(super) fn at_risk(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        risk: Risk,
        lasted: Duration,
        reached: Milestone,
    ) {
        let profile = self.table.get(id).map_or(ProfileName::Sip, |call| profile(call, leg));
        let name = RiskName::of(risk, profile == ProfileName::Sip);
        let reason = reason(name, reached, profile);
        self.emit(now, id, Some(leg), Kind::AtRisk { risk: name, stage: reached, lasted, reason });
        if is_silence(risk) {
            self.watch(now, id, leg, |watch| {
                watch.silent = true;
                watch.lasted = lasted;
            });
        }
    }

    pub(super) fn recovered(&mut self, now: Instant, id: CallId, leg: LegId, risk: Risk) {
        let is_sip = self.table.get(id).is_some_and(|call| profile(call, leg) == ProfileName::Sip);
        self.emit(now, id, Some(leg), Kind::Recovered { risk: RiskName::of(risk, is_sip) });
        if is_silence(risk) {
            self.watch(now, id, leg, |watch| {
                watch.heard = true;
                watch.silent = false;
            });
        }
    }

    /// CallHistory something about a leg, and tells if that makes the call one-way, or no more so.
    pub(super) fn watch(&mut self, now: Instant, id: CallId, leg: LegId, note: impl FnOnce(&mut LegWatch)) {
        let Some(call) = self.table.get_mut(id) else { return };
        note(call.watch.entry(leg));
        for (leg, kind) in one_way(call) {
            self.emit(now, id, Some(leg), kind);
        }
    }
}

fn is_silence(risk: Risk) -> bool {
    matches!(risk, Risk::NothingReceived | Risk::FellSilent)
}

fn profile(call: &Call, leg: LegId) -> ProfileName {
    call.party(leg).map_or(ProfileName::Sip, |party| party.profile())
}

/// What is to be told of one-way audio: a leg is silent while the one that it talks to is heard.
fn one_way(call: &mut Call) -> Vec<(LegId, Kind)> {
    let is_heard = |leg: LegId| call.watch.get(leg).is_some_and(|watch| watch.heard && !watch.silent);
    let is_one_way = |leg: LegId, watch: &LegWatch| {
        let other = call.party(leg).and_then(|party| party.peer());
        watch.silent && other.is_some_and(is_heard)
    };
    let changed: Vec<LegId> =
        call.watch.iter().filter(|(leg, watch)| is_one_way(*leg, watch) != watch.one_way).map(|(leg, _)| leg).collect();
    let mut told = Vec::new();
    for leg in changed {
        let profile = profile(call, leg);
        let Some(watch) = call.watch.get_mut(leg) else { continue };
        watch.one_way = !watch.one_way;
        let risk = RiskName::OneWay;
        let kind = if watch.one_way {
            let reason = reason(risk, watch.reached, profile);
            Kind::AtRisk { risk, stage: watch.reached, lasted: watch.lasted, reason }
        } else {
            Kind::Recovered { risk }
        };
        told.push((leg, kind));
    }
    told
}
