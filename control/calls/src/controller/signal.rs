//! Offers and answers: negotiate, apply, write.

use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::plan::Transport;
use trestle_core::{CallId, Command, CommandError, LegId, Reply as EngineReply};

use super::call::{Apply, Call, ReplyTo, Work};
use super::overload::Limit;
use super::{Controller, EngineResult, Output, UNKNOWN_CALL};
use crate::events::Kind as Told;
use trestle_negotiate::{Environment, NegotiationError, Session, Step};
use trestle_ng::command::Signal;
use trestle_ng::{Dict, Reply};

/// One of the ways in which a [`Session`] takes a message.
type Negotiate = fn(&Session, &Signal, &Environment, &mut ChaCha12Rng) -> Result<Step, NegotiationError>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Offer,
    Answer,
    /// An answer of which nobody is told.
    SilentAnswer,
}

impl Controller {
    pub(super) fn offer(&mut self, now: Instant, reply_to: ReplyTo, signal: Signal) {
        if signal.flags.loop_protect && self.environment.has_written(&signal.sdp) {
            // It came back: nothing more is to be done to it.
            return self.answer(reply_to, Reply::ok(Dict::default().with("sdp", signal.sdp)));
        }
        self.offer_with(now, reply_to, &signal, Session::offer);
    }

    pub(super) fn create(&mut self, now: Instant, reply_to: ReplyTo, signal: Signal) {
        self.offer_with(now, reply_to, &signal, Session::create);
    }

    /// What opens a call if there is none.
    fn offer_with(&mut self, now: Instant, reply_to: ReplyTo, signal: &Signal, negotiate: Negotiate) {
        if let Some(call) = self.table.by_name(&signal.call_id).filter(|call| call.is_live()) {
            let id = call.id;
            let step = negotiate(&call.session, signal, &self.environment, &mut self.rng);
            return self.apply(id, reply_to, step, signal, Kind::Offer);
        }
        let full = self.config.max_sessions.is_some_and(|max| self.table.live() >= max);
        if let Some(limit) = full.then_some(Limit::Sessions).or(self.overload.refusing()) {
            let reply = self.reject(limit, signal.flags.supports_load_limit);
            return self.answer(reply_to, reply);
        }
        let session = Session::default();
        match negotiate(&session, signal, &self.environment, &mut self.rng) {
            Ok(step) => {
                let (id, shard) = self.table.place();
                self.table.insert(Call::new(id, signal.call_id.clone(), shard, session, now));
                self.apply(id, reply_to, Ok(step), signal, Kind::Offer);
            }
            // Nothing was made, nothing is left.
            Err(error) => self.refuse(reply_to, &error),
        }
    }

    pub(super) fn answer_signal(&mut self, reply_to: ReplyTo, signal: Signal) {
        self.answer_with(reply_to, &signal, Session::answer, Kind::Answer);
    }

    pub(super) fn create_answer(&mut self, reply_to: ReplyTo, signal: Signal) {
        self.answer_with(reply_to, &signal, Session::create_answer, Kind::SilentAnswer);
    }

    fn answer_with(&mut self, reply_to: ReplyTo, signal: &Signal, negotiate: Negotiate, kind: Kind) {
        let Some(call) = self.table.by_name(&signal.call_id).filter(|call| call.is_live()) else {
            return self.answer(reply_to, Reply::error(UNKNOWN_CALL));
        };
        let id = call.id;
        let step = negotiate(&call.session, signal, &self.environment, &mut self.rng);
        self.apply(id, reply_to, step, signal, kind);
    }

    fn apply(
        &mut self,
        id: CallId,
        mut reply_to: ReplyTo,
        step: Result<Step, NegotiationError>,
        signal: &Signal,
        kind: Kind,
    ) {
        let step = match step {
            Ok(step) => step,
            Err(error) => return self.refuse(reply_to, &error),
        };
        if let Some(said) = self.own_address(id, &step) {
            return self.refuse(reply_to, &NegotiationError::OwnAddress(said));
        }
        let creates = self.table.get(id).is_some_and(|call| !call.opened);
        // Legs that are no more go after the step is done, so that a refused step changes nothing; but they go first
        // if there is no room for the new ones beside them.
        if step.session.parties().len() + step.removed.len() > LEGS_PER_CALL_MAX {
            self.remove_legs(id, &step.removed);
        }
        let command = Command::Apply { call: id, legs: step.legs.clone() };
        let via_branch = signal.via_branch.clone();
        let load_limit = signal.flags.supports_load_limit;
        let (is_answer, is_silent) = (kind != Kind::Offer, kind == Kind::SilentAnswer);
        self.check_meta_sdp(&mut reply_to, &step, signal, is_answer);
        let apply = Apply { reply_to, step, is_answer, is_silent, creates, via_branch, load_limit };
        self.engine(id, command, Work::Apply(Box::new(apply)));
    }

    /// A party that gives our own address as its own: somebody has sent our SDP back instead of its own, and the leg would
    /// hear nothing but itself. The address of another leg or call is sound; a request may pass through here twice.
    fn own_address(&self, id: CallId, step: &Step) -> Option<SocketAddr> {
        let call = self.table.get(id)?;
        step.legs.iter().find_map(|(leg, plan)| {
            let local = call.ports.get(*leg)?.rtp;
            let (Transport::Plain(peer) | Transport::Sdes { peer, .. }) = &plan.transport else { return None };
            peer.rtp.filter(|said| self.environment.is_at(local, *said))
        })
    }

    /// Nobody waits for these.
    pub(super) fn remove_legs(&mut self, id: CallId, legs: &[LegId]) {
        let Some(shard) = self.table.get(id).map(|call| call.shard) else { return };
        for leg in legs {
            let command = Command::RemoveLeg { call: id, leg: *leg };
            let request = self.next_request_id();
            self.outputs.push_back(Output::Engine { shard, id: request, command });
        }
    }

    fn refuse(&mut self, reply_to: ReplyTo, error: &NegotiationError) {
        tracing::info!(peer = %reply_to.peer, %error, "refused");
        self.answer(reply_to, Reply::error(error.to_string()));
    }

    /// The engine has done, or refused, what was negotiated.
    pub(super) fn applied(&mut self, now: Instant, id: CallId, apply: Apply, result: EngineResult) {
        let ports = match result {
            Ok(EngineReply::Applied(ports)) => ports,
            Ok(_) => return self.apply_failed(now, id, apply, Reply::error("Internal error: no ports")),
            Err(error) => {
                let reply = self.refusal(error, apply.load_limit);
                return self.apply_failed(now, id, apply, reply);
            }
        };
        let Some(sdp) = apply.step.description.write(&ports) else {
            return self.apply_failed(now, id, apply, Reply::error("Internal error: no ports"));
        };
        let Some(call) = self.table.get_mut(id) else { return };
        let Apply { mut reply_to, step, is_answer, is_silent, creates, via_branch, .. } = apply;
        call.receiving.forget(&step.removed);
        call.watch.forget(&step.removed);
        call.ports.forget(&step.removed);
        ports.iter().for_each(|(leg, ports)| call.ports.insert(*leg, *ports));
        step.legs.iter().for_each(|(leg, plan)| call.receiving.insert(*leg, plan.receive.enabled));
        call.last_signal = now;
        call.opened = true;
        via_branch.iter().for_each(|branch| call.add_branch(branch));
        if is_answer {
            call.answered_branch = via_branch.or(call.answered_branch.take());
        }
        let first_answer = is_answer && !call.answered;
        call.answered |= is_answer;
        let answered = call.answered;
        if creates {
            self.counters.calls_total += 1;
            tracing::info!(call_id = ?call.name, call = id.0, shard = call.shard, "call opened");
        }
        if first_answer {
            self.table.wake(id, Some(now + self.config.timeout));
        } else if !answered {
            self.table.wake(id, Some(now + self.config.offer_timeout));
        }
        self.keep(now, id, step.session, false);
        if creates {
            self.emit(now, id, None, Told::Opened);
        }
        if first_answer {
            self.emit(now, id, None, Told::Answered);
        }
        self.remove_legs(id, &step.removed);
        reply_to.warnings.extend(step.warnings);
        let keys = if is_silent { Dict::default() } else { Dict::default().with("sdp", sdp) };
        self.answer(reply_to, Reply::ok(keys));
    }

    /// The command did not even reach the engine.
    pub(super) fn apply_refused(&mut self, now: Instant, id: CallId, apply: Apply) {
        let reply = self.reject(Limit::Commands, apply.load_limit);
        self.apply_failed(now, id, apply, reply);
    }

    /// The call stays as it was; one that this should have opened is gone.
    fn apply_failed(&mut self, now: Instant, id: CallId, apply: Apply, reply: Reply) {
        self.answer(apply.reply_to, reply);
        if apply.creates
            && let Some(call) = self.table.remove(id)
        {
            // What waited for it finds no call, or makes one.
            self.dispatch_all(now, call.queue);
        }
    }

    fn refusal(&mut self, error: CommandError, load_limit: bool) -> Reply {
        tracing::warn!(%error, "the engine refused a plan");
        match error {
            CommandError::NoPorts => self.reject(Limit::Ports, load_limit),
            CommandError::TooManyCalls => self.reject(Limit::Sessions, load_limit),
            CommandError::UnknownCall => Reply::error(UNKNOWN_CALL),
            CommandError::TooManyLegs => Reply::error("Invalid dialogue association: the call has too many parties"),
            CommandError::BadPlan(what) => Reply::error(format!("Error rewriting SDP: {what}")),
            error => Reply::error(format!("Internal error: {error}")),
        }
    }

    /// Callers that do not know `load limit` read every limit as that of sessions, as they always have. Ports are an error to
    /// all of them.
    fn reject(&mut self, limit: Limit, load_limit: bool) -> Reply {
        self.counters.rejected.add(limit);
        match limit {
            Limit::Ports => Reply::error(limit.words()),
            _ if load_limit => Reply::load_limit(limit.words()),
            _ => Reply::error(Limit::Sessions.words()),
        }
    }
}
