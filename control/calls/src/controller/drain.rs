//! The end of service: no new calls, a time for the calls that remain, and the end of those that are left. The verb `drain`, or
//! SIGTERM at the edge, begins it. Ping, re-offers and deletes of calls are answered until the edge stops the controller.

use std::time::{Duration, Instant};

use trestle_core::CallId;
use trestle_ng::command::Drain;
use trestle_ng::{Dict, Reply};

use super::reply_to::ReplyTo;
use super::{Controller, ending};
use crate::ended::EndedBy;

/// Where the service is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum DrainState {
    /// It accepts calls.
    #[default]
    Off,
    /// It waits for its calls, until this instant.
    Waiting(Instant),
    /// It has ended the calls that were left.
    Ending,
}

/// What the controller does at present with an offer for a new call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// Accepts it.
    Accepting,
    /// Refuses it: a limit is reached.
    Refusing,
    /// Refuses it: the service drains.
    Draining,
    /// The same, and there are no calls left: the edge can stop.
    Drained,
}

/// `drain`
pub(super) fn request(controller: &mut Controller, now: Instant, reply_to: ReplyTo, drain: Drain) {
    match drain {
        Drain::Start { grace } => {
            let grace = grace.unwrap_or(controller.config.grace);
            start(controller, now, grace, "`drain`");
            let dict = Dict::default().with("calls", controller.calls.live() as u64).with("grace", grace.as_secs());
            controller.reply(reply_to, Reply::ok(dict));
        }
        Drain::Stop => {
            let reply = match controller.drain {
                DrainState::Off | DrainState::Waiting(_) if state(controller) != ServiceState::Drained => {
                    stop(controller);
                    Reply::ok(Dict::default().with("calls", controller.calls.live() as u64))
                }
                _ => Reply::error("Too late: Trestle has ended its calls and is about to end"),
            };
            controller.reply(reply_to, reply);
        }
    }
}

/// Begins, or sets a new time.
pub(super) fn start(controller: &mut Controller, now: Instant, grace: Duration, by: &str) {
    let calls = controller.calls.live();
    if controller.drain == DrainState::Ending {
        return;
    }
    tracing::warn!(
        by,
        calls,
        ?grace,
        "draining: new calls are refused; Trestle ends with its last call, or after this time"
    );
    controller.drain = DrainState::Waiting(now + grace);
    controller.admission.is_draining = true;
}

fn stop(controller: &mut Controller) {
    if controller.drain != DrainState::Off {
        tracing::warn!(calls = controller.calls.live(), "no longer draining: new calls are accepted");
    }
    controller.drain = DrainState::Off;
    controller.admission.is_draining = false;
}

/// Ends the calls that are left, if their time is over.
pub(super) fn time_out(controller: &mut Controller, now: Instant) {
    if matches!(controller.drain, DrainState::Waiting(until) if until <= now) {
        end_calls(controller);
    }
}

/// Ends every call. Their peers receive BYE and close_notify, applications `call.ended`.
pub(super) fn end_calls(controller: &mut Controller) {
    controller.drain = DrainState::Ending;
    controller.admission.is_draining = true;
    let live: Vec<CallId> = controller.calls.iter().filter(|call| call.is_live()).map(|call| call.id).collect();
    if !live.is_empty() {
        tracing::warn!(calls = live.len(), "draining: the calls that are left are ended");
    }
    for id in live {
        ending::end(controller, id, EndedBy::Shutdown);
    }
}

pub(super) fn poll_timeout(controller: &Controller) -> Option<Instant> {
    match controller.drain {
        DrainState::Waiting(until) => Some(until),
        DrainState::Off | DrainState::Ending => None,
    }
}

pub(super) fn state(controller: &Controller) -> ServiceState {
    let calls = controller.calls.live();
    match controller.drain {
        DrainState::Off if controller.admission.refuses(calls).is_some() => ServiceState::Refusing,
        DrainState::Off => ServiceState::Accepting,
        DrainState::Waiting(_) | DrainState::Ending if calls == 0 => ServiceState::Drained,
        DrainState::Waiting(_) | DrainState::Ending => ServiceState::Draining,
    }
}
