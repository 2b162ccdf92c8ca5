//! Verdicts on calls. They are made from the data of the engine and of the controller, counted, and kept after the call.

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

/// Verdicts that are kept after the end of their calls; the oldest is dropped first. Each takes some kilobytes.
const KEPT_MAX: usize = 1_000;

/// Upper bounds of the histogram of mean opinion scores (MOS), in tenths. 31, 36, 40 and 43 are the MOS of the ratings R = 60, 70,
/// 80 and 90 (G.107 table B.1).
const MOS_BOUNDS_X10: [u64; 9] = [15, 20, 25, 31, 36, 40, 42, 43, 45];

/// The verdicts of calls that have ended, oldest first, and their counts.
#[derive(Debug, Default)]
pub(super) struct VerdictHistory {
    kept: VecDeque<KeptVerdict>,
    pub(super) counts: VerdictCounts,
}

/// The verdict on an ended call. The call table may not have the call any more.
#[derive(Debug)]
pub(super) struct KeptVerdict {
    call_id: String,
    /// Unix time of the creation of the call.
    pub(super) created: Duration,
    pub(super) totals: Dict,
    pub(super) verdict: Arc<CallVerdict>,
}

impl VerdictHistory {
    /// Makes the verdict on a call that ends, logs it, counts it and keeps it.
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

    /// The verdict on the last ended call with this call-id.
    pub(super) fn find(&self, call_id: &str) -> Option<&KeptVerdict> {
        self.kept.iter().rev().find(|kept| kept.call_id == call_id)
    }
}

/// The verdict on a call. `ended` is `None` while the call exists.
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
    /// Estimated MOS, in tenths. Each call counts once, with the lower value of its parties.
    pub mos: Histogram,
    /// Duration of the audio that was dropped because it arrived before it could be sent.
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
