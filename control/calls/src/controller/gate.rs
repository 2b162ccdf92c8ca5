//! Gates: the verb, the time after which a shut one is left, and their three exits, each told once.

use std::time::{Duration, Instant};

use trestle_core::{CallId, Command, CommandError, LegId, Reply as EngineReply};

use super::call::{ReplyTo, Work};
use super::media::UNKNOWN_CALL;
use super::{Controller, EngineResult};
use crate::events::Kind;
use trestle_negotiate::{Change, GateState, Session};
use trestle_ng::command::MoveGate;
use trestle_ng::{Dict, Reply};

/// When to try again what a busy call or engine had no room for.
const RETRY: Duration = Duration::from_millis(250);

/// What the engine is doing about the gates of a call.
#[derive(Debug)]
pub(super) struct GateChange {
    /// `None` if their time has come.
    pub(super) reply_to: Option<ReplyTo>,
    /// The session as it will be.
    session: Session,
    /// How the gate stands then.
    state: GateState,
}

impl Controller {
    pub(super) fn gate(&mut self, now: Instant, reply_to: ReplyTo, gate: &MoveGate) {
        let Some(call) = self.table.by_name(&gate.call_id).filter(|call| call.is_live()) else {
            return self.answer(reply_to, Reply::error(UNKNOWN_CALL));
        };
        let id = call.id;
        match call.session.move_gate(gate) {
            Err(error) => self.answer(reply_to, Reply::error(error.to_string())),
            Ok(change) => {
                let state = if gate.open { GateState::Open } else { GateState::Closed };
                self.move_gates(now, id, Some(reply_to), change, state);
            }
        }
    }

    fn move_gates(&mut self, now: Instant, id: CallId, reply_to: Option<ReplyTo>, change: Change, state: GateState) {
        let Change { session, legs } = change;
        let change = GateChange { reply_to, session, state };
        if legs.is_empty() {
            self.gate_changed(now, id, change, Ok(EngineReply::Done));
        } else {
            self.engine(id, Command::Apply { call: id, legs }, Work::Gate(Box::new(change)));
        }
    }

    /// The engine has done it, or not; then all is as it was.
    pub(super) fn gate_changed(&mut self, now: Instant, id: CallId, change: GateChange, result: EngineResult) {
        let GateChange { reply_to, session, state } = change;
        if let Err(error) = result {
            return match (reply_to, error) {
                (None, _) => self.wake_gate(id, now + RETRY),
                (Some(reply_to), CommandError::UnknownCall) => self.answer(reply_to, Reply::error(UNKNOWN_CALL)),
                (Some(reply_to), error) => self.answer(reply_to, Reply::error(format!("Internal error: {error}"))),
            };
        }
        self.keep(now, id, session, reply_to.is_none());
        if let Some(reply_to) = reply_to {
            self.answer(reply_to, Reply::ok(Dict::default().with("gate", state.name())));
        }
    }

    /// A command about gates did not reach the engine.
    pub(super) fn gates_refused(&mut self, now: Instant, id: CallId, change: GateChange) {
        match change.reply_to {
            Some(reply_to) => self.answer(reply_to, Reply::error("Load limit exceeded")),
            None => self.wake_gate(id, now + RETRY),
        }
    }

    /// A call's session changes, which the engine has agreed to. Tells of gates that are left by this.
    pub(super) fn keep(&mut self, now: Instant, id: CallId, session: Session, timed_out: bool) {
        let Some(call) = self.table.get_mut(id) else { return };
        let before = std::mem::replace(&mut call.session, session);
        let left: Vec<(LegId, Kind)> = call
            .session
            .gates()
            .filter_map(|(leg, state)| {
                let (_, was) = before.gates().find(|(known, _)| *known == leg)?;
                Some((leg, exit(was, state, timed_out)?))
            })
            .collect();
        let timeout = call.session.gate_timeout();
        match (timeout, call.gate_due) {
            (Some(timeout), None) => self.wake_gate(id, now + timeout),
            (None, Some(_)) => self.forget_gate(id),
            _ => {}
        }
        for (leg, kind) in left {
            self.emit(now, id, Some(leg), kind);
        }
    }

    /// A call ends: a gate that is still shut will not be opened any more.
    pub(super) fn close_gates(&mut self, now: Instant, id: CallId) {
        self.forget_gate(id);
        let gates = self.table.get(id).into_iter().flat_map(|call| call.session.gates());
        let shut: Vec<LegId> = gates.filter(|(_, state)| *state == GateState::Shut).map(|(leg, _)| leg).collect();
        for leg in shut {
            self.emit(now, id, Some(leg), Kind::GateClosed);
        }
    }

    fn wake_gate(&mut self, id: CallId, at: Instant) {
        self.forget_gate(id);
        if let Some(call) = self.table.get_mut(id) {
            call.gate_due = Some(at);
            self.gates_due.insert((at, id));
        }
    }

    fn forget_gate(&mut self, id: CallId) {
        if let Some(at) = self.table.get_mut(id).and_then(|call| call.gate_due.take()) {
            self.gates_due.remove(&(at, id));
        }
    }

    /// Leaves the gates whose time has come.
    pub(super) fn time_out_gates(&mut self, now: Instant) {
        while let Some((_, id)) = self.gates_due.first().copied().filter(|(at, _)| *at <= now) {
            self.gates_due.pop_first();
            let Some(call) = self.table.get_mut(id).filter(|call| call.is_live()) else { continue };
            call.gate_due = None;
            if call.is_busy() {
                self.wake_gate(id, now + RETRY);
                continue;
            }
            let change = call.session.time_out_gates();
            tracing::warn!(call_id = ?call.name, "nobody has opened the gate in time");
            self.move_gates(now, id, None, change, GateState::TimedOut);
        }
    }
}

/// What is told of a gate that stood so and stands so now.
fn exit(was: GateState, is: GateState, timed_out: bool) -> Option<Kind> {
    match (was, is) {
        (GateState::Shut, GateState::Open | GateState::TimedOut) if timed_out => Some(Kind::GateTimedOut { gate: is }),
        (GateState::Shut | GateState::TimedOut, GateState::Open) => Some(Kind::GateOpened),
        (GateState::Open | GateState::Shut | GateState::TimedOut, GateState::Closed) => Some(Kind::GateClosed),
        _ => None,
    }
}
