//! Gates: the verb, the time after which a shut gate is no longer waited for, and the event of each exit.

use std::time::{Duration, Instant};

use trestle_core::{CallId, Command, CommandError, EngineReply, LegId};
use trestle_negotiate::{GateState, Session, SessionChange};
use trestle_ng::command::GateRequest;
use trestle_ng::{Dict, Reply};

use super::Controller;
use super::call::CallRecord;
use super::engine_link::{EngineResult, Failure};
use super::in_flight::InFlight;
use super::media::UNKNOWN_CALL;
use super::reply_to::ReplyTo;
use crate::events::EventBody;

/// When to try again what a busy call or a full mailbox delayed.
const RETRY: Duration = Duration::from_millis(250);

/// A change of the gates of a call that the engine is executing.
#[derive(Debug)]
pub(super) struct GateChange {
    /// `None` if the time of the gates has run out.
    reply_to: Option<ReplyTo>,
    /// The session after it.
    session: Session,
    /// The state of the gates after it.
    state: GateState,
}

/// `gate`
pub(super) fn gate(controller: &mut Controller, now: Instant, reply_to: ReplyTo, gate: &GateRequest) {
    let Some(call) = controller.calls.live_by_name(&gate.call_id) else {
        return controller.reply(reply_to, Reply::error(UNKNOWN_CALL));
    };
    let id = call.id;
    match call.session().change_gate(gate) {
        Err(error) => controller.reply(reply_to, Reply::error(error.to_string())),
        Ok(change) => {
            let state = if gate.open { GateState::Open } else { GateState::Closed };
            apply(controller, now, id, Some(reply_to), change, state);
        }
    }
}

/// Leaves the gates whose time has run out.
pub(super) fn time_out_gates(controller: &mut Controller, now: Instant) {
    while let Some(id) = controller.calls.next_gate_due(now) {
        let Some(call) = controller.calls.get(id).filter(|call| call.is_live()) else { continue };
        if call.is_busy() {
            controller.calls.wake_gate(id, Some(now + RETRY));
            continue;
        }
        let change = call.session().time_out_gates();
        tracing::warn!(call_id = ?call.name, "gate was not opened within gate-timeout");
        apply(controller, now, id, None, change, GateState::TimedOut);
    }
}

fn apply(
    controller: &mut Controller,
    now: Instant,
    id: CallId,
    reply_to: Option<ReplyTo>,
    change: SessionChange,
    state: GateState,
) {
    let SessionChange { session, legs } = change;
    let change = GateChange { reply_to, session, state };
    if legs.is_empty() {
        change.finish(controller, now, id, Ok(EngineReply::Done));
    } else {
        controller.submit(id, Command::Apply { call: id, legs }, InFlight::Gate(Box::new(change)));
    }
}

impl GateChange {
    /// The engine has executed it, or not; then the gates stay as they were.
    pub(super) fn finish(self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        let Self { reply_to, session, state } = self;
        match (result, reply_to) {
            (Ok(_), Some(reply_to)) => {
                controller.commit_session(now, id, session, false);
                controller.reply(reply_to, Reply::ok(Dict::default().with("gate", state.name())));
            }
            (Ok(_), None) => controller.commit_session(now, id, session, true),
            (Err(failure), Some(reply_to)) => {
                let reply = failure.reply(|error| match error {
                    CommandError::UnknownCall => Reply::error(UNKNOWN_CALL),
                    error => Reply::error(format!("Internal error: {error}")),
                });
                controller.reply(reply_to, reply);
            }
            (Err(Failure::CallLost), None) => {}
            (Err(_), None) => controller.calls.wake_gate(id, Some(now + RETRY)),
        }
    }
}

/// A call ends: closes gates that are still shut.
pub(super) fn close_shut_gates(controller: &mut Controller, now: Instant, id: CallId) {
    controller.calls.wake_gate(id, None);
    let gates = controller.calls.get(id).into_iter().flat_map(|call| call.session().gates());
    let shut: Vec<LegId> = gates.filter(|(_, state)| *state == GateState::Shut).map(|(leg, _)| leg).collect();
    for leg in shut {
        controller.emit(now, id, Some(leg), EventBody::GateClosed);
    }
}

/// The exits of gates between an earlier session and the present one: the event of each.
pub(super) fn exits(before: &Session, call: &CallRecord, timed_out: bool) -> Vec<(LegId, EventBody)> {
    let gates = call.session().gates();
    gates
        .filter_map(|(leg, state)| {
            let (_, was) = before.gates().find(|(known, _)| *known == leg)?;
            Some((leg, exit(was, state, timed_out)?))
        })
        .collect()
}

/// The event of a gate that changes from `was` to `is`.
fn exit(was: GateState, is: GateState, timed_out: bool) -> Option<EventBody> {
    match (was, is) {
        (GateState::Shut, GateState::Open | GateState::TimedOut) if timed_out => {
            Some(EventBody::GateTimedOut { gate: is })
        }
        (GateState::Shut | GateState::TimedOut, GateState::Open) => Some(EventBody::GateOpened),
        (GateState::Open | GateState::Shut | GateState::TimedOut, GateState::Closed) => Some(EventBody::GateClosed),
        _ => None,
    }
}
