//! How calls end: `delete`, timers, failures.
//!
//! A deleted call ends in the engine at once: its ports are free and its packets have no taker. What `delete delay`
//! keeps is its last report, for `query`, `list` and a second `delete`. An `answer` finds no call any more; an `offer`
//! with the same Call-ID opens a new one, which is what every business-initiated WhatsApp call does after its 407.

use std::time::{Duration, Instant};

use trestle_core::report::CallReport;
use trestle_core::{CallId, Command, Reply as EngineReply};

use super::call::{Delete, ReplyTo, Work};
use super::{Controller, EngineResult, Output};
use crate::ended::EndedBy;
use trestle_negotiate::Party;
use trestle_ng::command;
use trestle_ng::{Dict, Reply};

/// When to try again what the engine had no room for.
const RETRY: Duration = Duration::from_secs(1);

const CALL_FAILED: &str = "Internal error: the call has failed";
const NOT_FOUND: &str = "Call-ID not found or tags didn't match";

impl Controller {
    pub(super) fn delete(&mut self, now: Instant, reply_to: ReplyTo, delete: &command::Delete) {
        let Some(call) = self.table.by_name_mut(&delete.call_id) else {
            return self.not_found(reply_to, delete.fatal);
        };
        let tags = [&delete.from_tag, &delete.to_tag];
        if tags.into_iter().flatten().any(|tag| !call.has_tag(tag)) {
            return self.not_found(reply_to, delete.fatal);
        }
        if let Some(branch) = delete.via_branch.as_deref().filter(|_| !call.branches.is_empty()) {
            let Some(index) = call.branches.iter().position(|known| known == branch) else {
                return self.not_found(reply_to, delete.fatal);
            };
            // A branch of several has failed; the call goes on with the others, unless this is the one that answered.
            if call.branches.len() > 1 && call.answered_branch.as_deref() != Some(branch) {
                call.branches.remove(index);
                return self.answer(reply_to, Reply::ok(Dict::default()));
            }
        }
        let id = call.id;
        if call.is_live() {
            let by = delete.from_tag.as_deref().and_then(|tag| call.session.party_by_tag(tag));
            call.notes.deleted_by = by.map(Party::leg);
        }
        let keep = delete.delay.unwrap_or(self.config.delete_delay);
        if call.is_live() {
            let work = Delete { reply_to: Some(reply_to), cause: EndedBy::Deleted, fast: delete.fast, keep };
            return self.engine(id, Command::Delete { call: id }, Work::Delete(work));
        }
        let reply = report_or_nothing(self, now, id, &reply_to, delete.fast);
        self.answer(reply_to, reply);
        if keep.is_zero() {
            self.table.remove(id);
        }
    }

    fn not_found(&mut self, reply_to: ReplyTo, fatal: bool) {
        let reply = if fatal { Reply::error(NOT_FOUND) } else { Reply::ok(Dict::default().with("warning", NOT_FOUND)) };
        self.answer(reply_to, reply);
    }

    /// Ends a call that nobody has deleted: now, or as soon as it is not busy.
    pub(super) fn end(&mut self, id: CallId, cause: EndedBy) {
        let keep = self.config.delete_delay;
        let Some(call) = self.table.get_mut(id).filter(|call| call.is_live()) else { return };
        if call.is_busy() {
            call.end = Some(cause);
            return;
        }
        let work = Delete { reply_to: None, cause, fast: true, keep };
        self.engine(id, Command::Delete { call: id }, Work::Delete(work));
    }

    /// The engine has ended the call, or never had it.
    pub(super) fn deleted(&mut self, now: Instant, id: CallId, delete: Delete, result: EngineResult) {
        let report = match result {
            Ok(EngineReply::Deleted(report)) => Some(report),
            Ok(_) | Err(_) => None,
        };
        self.ended(now, id, delete.cause, report, delete.keep);
        if let Some(reply_to) = delete.reply_to {
            let reply = report_or_nothing(self, now, id, &reply_to, delete.fast);
            self.answer(reply_to, reply);
        }
        if delete.keep.is_zero()
            && let Some(call) = self.table.remove(id)
        {
            self.dispatch_all(now, call.queue);
        }
    }

    fn ended(&mut self, now: Instant, id: CallId, cause: EndedBy, report: Option<Box<CallReport>>, keep: Duration) {
        let Some(call) = self.table.get_mut(id) else { return };
        self.counters.ended.add(cause);
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
        call.report = report;
        self.judge_ended(now, id, cause);
        self.cut_trunks(id);
        self.emit_end(now, id, cause);
        self.table.mark_ended(id);
        self.table.wake(id, Some(now + keep));
    }

    /// The engine had no room for the command. It will be sent again; the call stays busy with it.
    pub(super) fn delete_refused(&mut self, now: Instant, id: CallId, delete: Delete) {
        let Some(call) = self.table.get_mut(id) else { return };
        call.work = Some(Work::Delete(delete));
        call.unsent = true;
        self.table.wake(id, Some(now + RETRY));
    }

    /// The engine has lost the call to a bug; nothing of it is left there.
    pub(super) fn failed(&mut self, now: Instant, id: CallId) {
        tracing::error!(call = id.0, "the engine lost a call to a bug");
        let Some(call) = self.table.get_mut(id).filter(|call| call.is_live()) else { return };
        let (opened, work) = (call.opened, call.work.take());
        self.in_engine.retain(|_, call| *call != id);
        // A plan that was on its way may open it anew there.
        self.delete_quietly(id);
        self.ended(now, id, EndedBy::Failed, None, self.config.delete_delay);
        let reply_to = match work {
            Some(Work::Connect(connecting)) => {
                self.near_call_lost(now, *connecting, Reply::error(CALL_FAILED));
                None
            }
            Some(Work::Apply(apply)) => Some(apply.reply_to),
            Some(Work::Query { reply_to, .. } | Work::Media { reply_to, .. }) => Some(reply_to),
            Some(Work::Delete(delete)) => delete.reply_to,
            Some(Work::Gate(change)) => change.reply_to,
            Some(Work::Check | Work::ConnectFarEnd) | None => None,
        };
        if let Some(reply_to) = reply_to {
            self.answer(reply_to, Reply::error(CALL_FAILED));
        }
        if opened {
            self.proceed(now, id);
        } else if let Some(call) = self.table.remove(id) {
            self.dispatch_all(now, call.queue);
        }
    }

    /// Nobody waits for it, and it may not be there.
    pub(super) fn delete_quietly(&mut self, id: CallId) {
        let Some(shard) = self.table.get(id).map(|call| call.shard) else { return };
        let request = self.next_request_id();
        self.outputs.push_back(Output::Engine { shard, id: request, command: Command::Delete { call: id } });
    }

    /// A call's time has come.
    pub(super) fn due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.table.get_mut(id) else { return };
        if call.ended {
            self.table.remove(id);
        } else if std::mem::take(&mut call.unsent)
            && let Some(work) = call.work.take()
        {
            self.engine(id, Command::Delete { call: id }, work);
        } else if call.is_busy() {
            self.check_later(now, id, RETRY);
        } else if !call.answered {
            self.end(id, EndedBy::OfferTimeout);
        } else {
            self.engine(id, Command::Query { call: id }, Work::Check);
        }
    }

    /// Whether media still flows in an answered call.
    pub(super) fn checked(&mut self, now: Instant, id: CallId, result: EngineResult) {
        let Some(call) = self.table.get(id) else { return };
        let Ok(EngineReply::Report(report)) = result else { return self.end(id, EndedBy::Failed) };
        let (limit, cause) = if call.is_held() {
            (self.config.silent_timeout, EndedBy::SilentTimeout)
        } else {
            (self.config.timeout, EndedBy::MediaTimeout)
        };
        // An answer, a hold and its end start the time anew.
        let signalled = now.saturating_duration_since(call.last_signal);
        let silence = report.last_media.map_or(signalled, |media| media.min(signalled));
        if silence >= limit {
            self.end(id, cause);
        } else {
            // A call that is held now may not be so in a minute: never sleep longer than the shorter time.
            self.check_later(now, id, (limit - silence).min(self.config.timeout.max(RETRY)));
        }
    }

    pub(super) fn check_later(&mut self, now: Instant, id: CallId, after: Duration) {
        self.table.wake(id, Some(now + after));
    }
}

fn report_or_nothing(controller: &Controller, now: Instant, id: CallId, reply_to: &ReplyTo, fast: bool) -> Reply {
    match controller.table.get(id).filter(|_| !fast) {
        Some(call) => controller.report_reply(now, call, None, reply_to),
        None => Reply::ok(Dict::default()),
    }
}
