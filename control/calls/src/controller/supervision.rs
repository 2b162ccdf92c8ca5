//! Timers of calls: the end of calls that are never answered or have no media, and of what is kept of ended calls.

use std::time::{Duration, Instant};

use trestle_core::{CallId, Command, EngineReply};

use super::engine_link::{EngineResult, Failure};
use super::in_flight::InFlight;
use super::{Controller, ending};
use crate::ended::EndedBy;

/// When to try again what a busy call or a full mailbox delayed.
const RETRY: Duration = Duration::from_secs(1);

/// The timer of a call is due.
pub(super) fn call_due(controller: &mut Controller, now: Instant, id: CallId) {
    let Some(call) = controller.calls.get_mut(id) else { return };
    if !call.is_live() {
        controller.calls.remove(id);
        return;
    }
    match call.in_flight.take() {
        Some(InFlight::EndUnsent(ending)) => {
            controller.submit(id, Command::Delete { call: id }, InFlight::End(ending));
        }
        Some(busy) => {
            call.in_flight = Some(busy);
            controller.calls.wake(id, Some(now + RETRY));
        }
        None if call.is_answered() => controller.submit(id, Command::Query { call: id }, InFlight::MediaCheck),
        None => ending::end(controller, id, EndedBy::OfferTimeout),
    }
}

/// Ends an answered call whose media has stopped for too long.
pub(super) fn media_checked(controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
    let Some(call) = controller.calls.get(id) else { return };
    let report = match result {
        Ok(EngineReply::Report(report)) => report,
        Err(Failure::MailboxFull) => return controller.calls.wake(id, Some(now + RETRY)),
        Err(Failure::CallLost) => return,
        Ok(_) | Err(Failure::Refused(_)) => return ending::end(controller, id, EndedBy::Failed),
    };
    let (limit, cause) = if call.is_held() {
        (controller.config.silent_timeout, EndedBy::SilentTimeout)
    } else {
        (controller.config.timeout, EndedBy::MediaTimeout)
    };
    // An answer, a hold and the end of a hold start the time anew.
    let signalled = now.saturating_duration_since(call.last_signal);
    let silence = report.last_media.map_or(signalled, |media| media.min(signalled));
    if silence >= limit {
        ending::end(controller, id, cause);
    } else {
        // A call that is held now may not be held in a minute: check again after the shorter time at the latest.
        let after = (limit - silence).min(controller.config.timeout.max(RETRY));
        controller.calls.wake(id, Some(now + after));
    }
}
