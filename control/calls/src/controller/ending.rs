//! The end of a call: `delete`, timers, failures.
//!
//! A deleted call ends in the engine at once: its ports are free and its packets are discarded. For `delete delay` its last
//! report is kept, for `query`, `list` and a second `delete`. An `answer` to it fails with `Unknown call-id`; an `offer` with
//! the same Call-ID opens a new call, as every business-initiated WhatsApp call does after its 407.

use std::time::{Duration, Instant};

use trestle_core::report::CallReport;
use trestle_core::{CallId, Command, EngineReply};
use trestle_negotiate::Party;
use trestle_ng::command::Delete;
use trestle_ng::{Dict, Reply};

use super::call::{BranchDelete, EndedCall};
use super::engine_link::{EngineResult, Failure};
use super::event_feed::ended_legs;
use super::in_flight::InFlight;
use super::reply_to::ReplyTo;
use super::{Controller, connect, gate, query};
use crate::diagnosis::CallVerdict;
use crate::ended::EndedBy;
use crate::events::{EventBody, VerdictHeadline};

/// When to send a command again for which the mailbox had no room.
const RETRY: Duration = Duration::from_secs(1);

const NOT_FOUND: &str = "Call-ID not found or tags didn't match";

/// The end of a call that the engine is executing.
#[derive(Debug)]
pub(super) struct Ending {
    /// `None` if a timer ends the call.
    reply_to: Option<ReplyTo>,
    cause: EndedBy,
    /// The reply is to contain no report.
    fast: bool,
    /// How long the call can be queried afterwards.
    keep: Duration,
}

/// `delete`
pub(super) fn delete(controller: &mut Controller, reply_to: ReplyTo, delete: &Delete) {
    let Some(call) = controller.calls.by_name_mut(&delete.call_id) else {
        return not_found(controller, reply_to, delete.fatal);
    };
    let tags = [&delete.from_tag, &delete.to_tag];
    if tags.into_iter().flatten().any(|tag| !call.has_tag(tag)) {
        return not_found(controller, reply_to, delete.fatal);
    }
    match delete.via_branch.as_deref().map(|branch| call.branches.delete(branch)) {
        Some(BranchDelete::Unknown) => return not_found(controller, reply_to, delete.fatal),
        Some(BranchDelete::OthersRemain) => return controller.reply(reply_to, Reply::ok(Dict::default())),
        Some(BranchDelete::Last) | None => {}
    }
    let id = call.id;
    let keep = delete.delay.unwrap_or(controller.config.delete_delay);
    if call.is_live() {
        let by = delete.from_tag.as_deref().and_then(|tag| call.session().party_by_tag(tag)).map(Party::leg);
        call.history.deleted_by = by;
        let ending = Ending { reply_to: Some(reply_to), cause: EndedBy::Deleted, fast: delete.fast, keep };
        return controller.submit(id, Command::Delete { call: id }, InFlight::End(ending));
    }
    let reply = final_reply(controller, id, &reply_to, delete.fast);
    controller.reply(reply_to, reply);
    if keep.is_zero() {
        controller.calls.remove(id);
    }
}

fn not_found(controller: &mut Controller, reply_to: ReplyTo, fatal: bool) {
    let reply = if fatal { Reply::error(NOT_FOUND) } else { Reply::ok(Dict::default().with("warning", NOT_FOUND)) };
    controller.reply(reply_to, reply);
}

fn final_reply(controller: &Controller, id: CallId, reply_to: &ReplyTo, fast: bool) -> Reply {
    match fast || controller.calls.get(id).is_none() {
        true => Reply::ok(Dict::default()),
        false => query::last_report(controller, id, reply_to),
    }
}

/// Ends a call without a `delete`: now, or as soon as it is not busy.
pub(super) fn end(controller: &mut Controller, id: CallId, cause: EndedBy) {
    let keep = controller.config.delete_delay;
    let Some(call) = controller.calls.get_live(id) else { return };
    if call.is_busy() {
        call.waiting.end = Some(cause);
        return;
    }
    if cause == EndedBy::Shutdown {
        // The signalling will not end the call; its peers learn of the end from the media path.
        let shard = call.shard;
        controller.post(shard, Command::AnnounceEnd { call: id });
    }
    let ending = Ending { reply_to: None, cause, fast: true, keep };
    controller.submit(id, Command::Delete { call: id }, InFlight::End(ending));
}

impl Ending {
    /// The engine has ended the call, or never had it.
    pub(super) fn finish(self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        let report = match result {
            Ok(EngineReply::Deleted(report)) => Some(report),
            Err(Failure::MailboxFull) => {
                // The call stays busy with it until the command is sent again.
                if let Some(call) = controller.calls.get_mut(id) {
                    call.in_flight = Some(InFlight::EndUnsent(self));
                }
                return controller.calls.wake(id, Some(now + RETRY));
            }
            Err(Failure::CallLost) => {
                if let Some(reply_to) = self.reply_to {
                    controller.reply(reply_to, Failure::CallLost.reply(|_| Reply::ok(Dict::default())));
                }
                return;
            }
            Ok(_) | Err(Failure::Refused(_)) => None,
        };
        ended(controller, now, id, self.cause, report, self.keep);
        if let Some(reply_to) = self.reply_to {
            let reply = final_reply(controller, id, &reply_to, self.fast);
            controller.reply(reply_to, reply);
        }
        if self.keep.is_zero()
            && let Some(mut call) = controller.calls.remove(id)
        {
            controller.dispatch_all(now, call.waiting.take_requests());
        }
    }
}

fn ended(
    controller: &mut Controller,
    now: Instant,
    id: CallId,
    cause: EndedBy,
    report: Option<Box<CallReport>>,
    keep: Duration,
) {
    let Some(call) = controller.calls.get(id) else { return };
    controller.counters.ended.add(cause);
    let age = now.saturating_duration_since(call.created);
    tracing::info!(call_id = ?call.name, call = id.0, cause = cause.name(), ?age, "call ended");
    for leg in report.iter().flat_map(|report| &report.legs) {
        tracing::info!(
            call_id = ?call.name,
            leg = leg.leg.0,
            description = %leg.description,
            timeline = ?leg.timeline,
            received = leg.rtp_in.packets,
            sent = leg.rtp_out.packets,
            lost = leg.lost,
            concealed = leg.concealed_frames,
            discards = ?leg.discards,
            "leg ended"
        );
    }
    let created = controller.epoch.unix_at(call.created);
    let opened = call.is_opened();
    let verdict = opened.then(|| controller.verdicts.add(now, call, created, report.as_deref(), cause));
    connect::remove_far_ends(controller, id);
    emit_end(controller, now, id, cause, report.as_deref(), verdict.as_deref());
    controller.calls.end(id, EndedCall { report, verdict, number: 0 });
    controller.calls.wake(id, Some(now + keep));
}

fn emit_end(
    controller: &mut Controller,
    now: Instant,
    id: CallId,
    cause: EndedBy,
    report: Option<&CallReport>,
    verdict: Option<&CallVerdict>,
) {
    if matches!(cause, EndedBy::MediaTimeout | EndedBy::SilentTimeout) {
        controller.emit(now, id, None, EventBody::MediaTimeout);
    }
    gate::close_shut_gates(controller, now, id);
    let Some(call) = controller.calls.get(id).filter(|call| call.is_opened()) else { return };
    let legs = ended_legs(call, report);
    let verdict = verdict.map(|verdict| VerdictHeadline(verdict.headline()));
    controller.emit(now, id, None, EventBody::Ended { cause, legs, verdict });
}

/// The engine has lost the call to a bug; nothing of it is left there.
pub(super) fn call_lost(controller: &mut Controller, now: Instant, id: CallId) {
    tracing::error!(call = id.0, "the engine lost a call to a bug");
    let Some(call) = controller.calls.get_live(id) else { return };
    let (opened, in_flight) = (call.is_opened(), call.in_flight.take());
    controller.engine.forget(id);
    // A plan that was on its way may open the call anew there.
    delete_in_engine(controller, id);
    ended(controller, now, id, EndedBy::Failed, None, controller.config.delete_delay);
    if let Some(in_flight) = in_flight {
        in_flight.finish(controller, now, id, Err(Failure::CallLost));
    }
    if opened {
        controller.proceed(now, id);
    } else if let Some(mut call) = controller.calls.remove(id) {
        controller.dispatch_all(now, call.waiting.take_requests());
    }
}

/// Deletes a call in the engine that may not be there.
pub(super) fn delete_in_engine(controller: &mut Controller, id: CallId) {
    if let Some(shard) = controller.calls.get(id).map(|call| call.shard) {
        controller.post(shard, Command::Delete { call: id });
    }
}
