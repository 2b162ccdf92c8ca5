//! Verdicts on calls: made of what the engine and the controller know, counted, and kept for some time after the call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trestle_core::report::CallReport;
use trestle_ng::Dict;

use super::call::CallRecord;
use super::counters::Tally;
use super::report;
use crate::diagnosis::{CallFacts, CallVerdict, EndCause, Hint, PartyFacts};
use crate::ended::EndedBy;
use crate::histogram::Histogram;

/// Verdicts kept after their calls are removed, the latest. Each takes some kilobytes.
const KEPT_MAX: usize = 1_000;

/// Upper bounds of the histogram of mean opinion scores, tenths. The rating's limits of 60, 70, 80 and 90 are among them (G.107
/// table B.1).
const MOS_BOUNDS_X10: [u64; 9] = [15, 20, 25, 31, 36, 40, 42, 43, 45];

/// The verdicts of calls that have ended, oldest first, and their counts.
#[derive(Debug, Default)]
pub(super) struct VerdictHistory {
    kept: VecDeque<KeptVerdict>,
    pub(super) counts: VerdictCounts,
}

/// The verdict on a call that may no longer be in the table.
#[derive(Debug)]
pub(super) struct KeptVerdict {
    call_id: String,
    /// Unix time.
    pub(super) created: Duration,
    pub(super) totals: Dict,
    pub(super) verdict: Arc<CallVerdict>,
}

impl VerdictHistory {
    /// Makes, logs, counts and keeps the verdict on a call that ends.
    pub(super) fn add(
        &mut self,
        now: Instant,
        call: &CallRecord,
        created: Duration,
        report: Option<&CallReport>,
        cause: EndedBy,
    ) -> Arc<CallVerdict> {
        let verdict = Arc::new(diagnose(now, call, report, Some(cause)));
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
        self.counts.add(&verdict);
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        let totals = report::totals(report);
        self.kept.push_back(KeptVerdict { call_id: call.name.clone(), created, totals, verdict: Arc::clone(&verdict) });
        verdict
    }

    /// The verdict on the last ended call of this Call-ID.
    pub(super) fn find(&self, call_id: &str) -> Option<&KeptVerdict> {
        self.kept.iter().rev().find(|kept| kept.call_id == call_id)
    }
}

/// The verdict on a call at present, or at its end.
pub(super) fn diagnose(
    now: Instant,
    call: &CallRecord,
    report: Option<&CallReport>,
    ended: Option<EndedBy>,
) -> CallVerdict {
    let parties = call.parties().iter().filter(|party| !call.session().is_link(party.leg()));
    CallVerdict::of(&CallFacts {
        parties: parties.map(|party| PartyFacts::of(party, call.gate(party.leg()))).collect(),
        report,
        history: &call.history,
        age: now.saturating_duration_since(call.created),
        ended,
    })
}

/// Counts of the verdicts on ended calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictCounts {
    /// By cause.
    pub causes: Tally<EndCause>,
    /// By hint.
    pub hints: Tally<Hint>,
    /// Estimated mean opinion scores, tenths: of each call that of the party that received the worse audio.
    pub mos: Histogram,
    /// Audio that was lost because it came before it could be sent.
    pub clipped: Duration,
}

impl Default for VerdictCounts {
    fn default() -> Self {
        let (causes, hints) = (Tally::default(), Tally::default());
        Self { causes, hints, mos: Histogram::new(&MOS_BOUNDS_X10), clipped: Duration::ZERO }
    }
}

impl VerdictCounts {
    fn add(&mut self, verdict: &CallVerdict) {
        self.causes.add(verdict.cause);
        verdict.hints.iter().for_each(|hint| self.hints.add(*hint));
        self.clipped += verdict.clipped();
        if let Some(quality) = verdict.quality {
            self.mos.add(u64::from(quality.mos_x10));
        }
    }
}
