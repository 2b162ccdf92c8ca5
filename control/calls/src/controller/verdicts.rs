//! Verdicts: made of what the engine and the controller know, counted, and kept for some time after the call is forgotten.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trestle_core::CallId;
use trestle_core::report::CallReport;

use super::call::{Call, ReplyTo};
use super::{Controller, UNKNOWN_CALL, report};
use crate::diagnosis::{CallFacts, CallVerdict, EndCause, Hint, PartyFacts, Quality};
use crate::ended::EndedBy;
use trestle_ng::{Dict, Reply};

/// Verdicts kept after their calls are forgotten, the latest. Each takes some kilobytes.
const KEPT_MAX: usize = 1_000;

/// Upper bounds of the histogram of mean opinion scores, tenths. The rating's limits of 60, 70, 80 and 90 are among them (G.107
/// table B.1).
pub const MOS_BOUNDS_X10: [u8; 9] = [15, 20, 25, 31, 36, 40, 42, 43, 45];

/// What verdicts have come to, over all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MosHistogram {
    /// Up to each of [`MOS_BOUNDS_X10`] and more than the one before.
    pub counts: [u64; MOS_BOUNDS_X10.len()],
    /// All of them together, tenths.
    pub sum_x10: u64,
}

impl MosHistogram {
    fn add(&mut self, quality: Quality) {
        // None is above the last bound.
        let bucket = MOS_BOUNDS_X10.iter().position(|bound| quality.mos_x10 <= *bound);
        self.counts[bucket.unwrap_or(MOS_BOUNDS_X10.len() - 1)] += 1;
        self.sum_x10 += u64::from(quality.mos_x10);
    }
}

/// The verdicts of calls that are over, oldest first.
#[derive(Debug, Default)]
pub(super) struct VerdictHistory(VecDeque<KeptVerdict>);

#[derive(Debug)]
struct KeptVerdict {
    call_id: String,
    created: Duration,
    totals: Dict,
    verdict: Arc<CallVerdict>,
}

impl VerdictHistory {
    fn keep(&mut self, kept: KeptVerdict) {
        if self.0.len() == KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(kept);
    }

    /// The last call of that name.
    fn find(&self, call_id: &str) -> Option<&KeptVerdict> {
        self.0.iter().rev().find(|kept| kept.call_id == call_id)
    }
}

/// Of a call as it stands, or as it was when it ended.
pub(super) fn judge(now: Instant, call: &Call, report: Option<&CallReport>, ended: Option<EndedBy>) -> CallVerdict {
    let gate = |leg| call.session.gates().find(|(gated, _)| *gated == leg).map(|(_, state)| state);
    let parties = call.parties().iter().filter(|party| !call.session.is_trunk(party.leg()));
    CallVerdict::of(&CallFacts {
        parties: parties.map(|party| PartyFacts::of(party, gate(party.leg()))).collect(),
        report,
        notes: &call.notes,
        age: now.saturating_duration_since(call.created),
        ended,
    })
}

impl Controller {
    /// The verdict of a call that has ended: counted, and kept.
    pub(super) fn judge_ended(&mut self, now: Instant, id: CallId, cause: EndedBy) {
        let Some(call) = self.table.get_mut(id).filter(|call| call.opened) else { return };
        let verdict = Arc::new(judge(now, call, call.report.as_deref(), Some(cause)));
        tracing::info!(
            call_id = ?call.name,
            cause = verdict.cause.name(),
            grade = verdict.grade.name(),
            mos = verdict.quality.map(tracing::field::display),
            meta_code = verdict.code.map(|code| code.number()),
            hints = ?verdict.hints.iter().map(|hint| hint.name()).collect::<Vec<_>>(),
            summary = verdict.summary(),
            "verdict"
        );
        call.verdict = Some(Arc::clone(&verdict));
        let created = self.epoch.unix_at(call.created);
        let totals = report::totals(call.report.as_deref());
        self.verdict_history.keep(KeptVerdict {
            call_id: call.name.clone(),
            created,
            totals,
            verdict: Arc::clone(&verdict),
        });
        self.counters.verdicts.add(&verdict);
    }

    /// `query` with the flag `verdict` for a call that is over, or that nobody knows.
    pub(super) fn explain(&mut self, reply_to: ReplyTo, call_id: &str) {
        let ended = self.table.by_name(call_id).and_then(|call| Some((call, call.verdict.as_ref()?)));
        let reply = match (ended, self.verdict_history.find(call_id)) {
            (Some((call, verdict)), _) => {
                let totals = report::totals(call.report.as_deref());
                report::verdict(self.epoch.unix_at(call.created), &totals, verdict, &reply_to)
            }
            (None, Some(kept)) => report::verdict(kept.created, &kept.totals, &kept.verdict, &reply_to),
            (None, None) => Reply::error(UNKNOWN_CALL),
        };
        self.answer(reply_to, reply);
    }

    /// What is said of a call, live with its report or ended.
    pub(super) fn report_reply(
        &self,
        now: Instant,
        call: &Call,
        live: Option<&CallReport>,
        reply_to: &ReplyTo,
    ) -> Reply {
        let created = self.epoch.unix_at(call.created);
        let report = live.or(call.report.as_deref());
        let judged = match &call.verdict {
            Some(verdict) => Arc::clone(verdict),
            None => Arc::new(judge(now, call, report, None)),
        };
        report::call(call, report, created, &judged, reply_to)
    }

    /// The same for the flag `verdict`.
    pub(super) fn verdict_reply(&self, now: Instant, call: &Call, live: &CallReport, reply_to: &ReplyTo) -> Reply {
        let created = self.epoch.unix_at(call.created);
        report::verdict(created, &report::totals(Some(live)), &judge(now, call, Some(live), None), reply_to)
    }
}

/// How many calls ended for what, and how they were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerdictCounts {
    /// By cause.
    pub causes: super::counters::Tally<EndCause>,
    /// By what else was found.
    pub hints: super::counters::Tally<Hint>,
    /// What the worse-off party of each call heard.
    pub mos: MosHistogram,
    /// Sound that never reached anybody.
    pub clipped: Duration,
}

impl VerdictCounts {
    fn add(&mut self, verdict: &CallVerdict) {
        self.causes.add(verdict.cause);
        verdict.hints.iter().for_each(|hint| self.hints.add(*hint));
        self.clipped += verdict.clipped();
        if let Some(quality) = verdict.quality {
            self.mos.add(quality);
        }
    }
}
