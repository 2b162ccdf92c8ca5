//! `query`: the report of a call, live or ended, and its verdict.

use std::sync::Arc;
use std::time::Instant;

use trestle_core::{CallId, Command, EngineReply};
use trestle_ng::Reply;
use trestle_ng::command::Query;

use super::engine_link::{EngineResult, Failure};
use super::in_flight::InFlight;
use super::reply_to::ReplyTo;
use super::verdicts::diagnose;
use super::{Controller, UNKNOWN_CALL, report};

/// Characters of an unknown tag that are repeated in a warning. Control characters take ten octets each there.
const TAG_SHOWN_MAX: usize = 16;

/// A `query` of a live call; the engine writes its report.
#[derive(Debug)]
pub(super) struct ReportQuery {
    reply_to: ReplyTo,
    /// The reply is to contain the verdict only.
    verdict_only: bool,
}

/// `query`
pub(super) fn query(controller: &mut Controller, mut reply_to: ReplyTo, query: &Query) {
    let known = controller.calls.by_name(&query.call_id);
    let Some(call) = known.filter(|call| call.is_live() || !query.verdict) else {
        let reply = match query.verdict {
            true => explain(controller, &query.call_id, &reply_to),
            false => Reply::error(UNKNOWN_CALL),
        };
        return controller.reply(reply_to, reply);
    };
    for tag in [&query.from_tag, &query.to_tag].into_iter().flatten().filter(|tag| !call.has_tag(tag)) {
        let shown: String = tag.chars().take(TAG_SHOWN_MAX).collect();
        reply_to.warnings.push(format!("the call has no tag {shown:?}"));
    }
    let id = call.id;
    if call.is_live() {
        let query = ReportQuery { reply_to, verdict_only: query.verdict };
        return controller.submit(id, Command::Query { call: id }, InFlight::Query(query));
    }
    let reply = last_report(controller, id, &reply_to);
    controller.reply(reply_to, reply);
}

impl ReportQuery {
    /// The engine has written the report, or has no such call.
    pub(super) fn finish(self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        let Self { reply_to, verdict_only } = self;
        let Some(call) = controller.calls.get(id) else { return };
        let created = controller.epoch.unix_at(call.created);
        let reply = match result {
            Ok(EngineReply::Report(live)) => {
                let verdict = diagnose(now, call, Some(&live), None);
                match verdict_only {
                    true => report::verdict(created, &report::totals(Some(&live)), &verdict, &reply_to),
                    false => report::call(call, Some(&live), created, Some(&verdict), &reply_to),
                }
            }
            Ok(_) | Err(Failure::Refused(_)) => Reply::error(UNKNOWN_CALL),
            Err(failure) => failure.reply(|_| Reply::error(UNKNOWN_CALL)),
        };
        controller.reply(reply_to, reply);
    }
}

/// The last report and the verdict of a call that has ended.
pub(super) fn last_report(controller: &Controller, id: CallId, reply_to: &ReplyTo) -> Reply {
    let Some(call) = controller.calls.get(id) else { return Reply::error(UNKNOWN_CALL) };
    let verdict = call.ended().and_then(|ended| ended.verdict.as_deref());
    report::call(call, call.last_report(), controller.epoch.unix_at(call.created), verdict, reply_to)
}

/// `query` with the flag `verdict` for a call that has ended, or that is no longer in the table.
fn explain(controller: &Controller, call_id: &str, reply_to: &ReplyTo) -> Reply {
    let ended = controller.calls.by_name(call_id).and_then(|call| {
        let verdict = call.ended()?.verdict.as_ref()?;
        Some((controller.epoch.unix_at(call.created), report::totals(call.last_report()), Arc::clone(verdict)))
    });
    match ended {
        Some((created, totals, verdict)) => report::verdict(created, &totals, &verdict, reply_to),
        None => match controller.verdicts.find(call_id) {
            Some(kept) => report::verdict(kept.created, &kept.totals, &kept.verdict, reply_to),
            None => Reply::error(UNKNOWN_CALL),
        },
    }
}
