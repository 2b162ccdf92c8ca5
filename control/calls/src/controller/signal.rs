//! Offers and answers: negotiate, apply, write the SDP.

use std::time::Instant;
use trestle_ng::command::Switch;

use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::{CallId, Command, CommandError, EngineReply, LegId, LegPorts};
use trestle_negotiate::{NegotiationError, NegotiationStep, Session};
use trestle_ng::command::Signal;
use trestle_ng::{Dict, Reply};

use super::call::{CallLifecycle, CallRecord};
use super::engine_link::{EngineResult, Failure};
use super::in_flight::InFlight;
use super::negotiator::Negotiate;
use super::overload::Limit;
use super::reply_to::ReplyTo;
use super::sdp_anomalies::check_meta_sdp;
use super::{Controller, UNKNOWN_CALL, half_open};
use crate::events::EventBody;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignalKind {
    Offer,
    Answer,
    /// An answer whose reply carries no SDP.
    SilentAnswer,
}

/// A negotiated step that the engine has not yet applied.
#[derive(Debug)]
pub(super) struct PendingSignal {
    reply_to: ReplyTo,
    step: NegotiationStep,
    kind: SignalKind,
    /// The step opens the call; if it fails the call is removed.
    opens: bool,
    via_branch: Option<String>,
    /// The sender understands the result `load limit`.
    load_limit: bool,
}

/// `offer`
pub(super) fn offer(controller: &mut Controller, now: Instant, reply_to: ReplyTo, signal: Signal) {
    if signal.flags.has(Switch::LoopProtect) && controller.negotiator.has_written(&signal.sdp) {
        // Our own SDP came back: the request has passed through here before and needs no second treatment.
        return controller.reply(reply_to, Reply::ok(Dict::default().with("sdp", signal.sdp)));
    }
    offer_with(controller, now, reply_to, &signal, Session::offer);
}

/// `create`
pub(super) fn create(controller: &mut Controller, now: Instant, reply_to: ReplyTo, signal: &Signal) {
    offer_with(controller, now, reply_to, signal, Session::create);
}

/// Opens a call if there is none.
fn offer_with(controller: &mut Controller, now: Instant, reply_to: ReplyTo, signal: &Signal, negotiate: Negotiate) {
    if let Some(call) = controller.calls.live_by_name(&signal.call_id) {
        let id = call.id;
        return match controller.negotiator.run(negotiate, call.session(), signal) {
            Ok(step) => {
                if !call.is_answered() {
                    half_open::make_room(controller, Some(id), step.session.parties().len());
                }
                apply(controller, id, reply_to, step, signal, SignalKind::Offer);
            }
            Err(error) => refuse(controller, reply_to, &error),
        };
    }
    if let Some(limit) = controller.admission.refuses(controller.calls.live()) {
        let reply = controller.admission.reject(limit, signal.flags.call.supports_load_limit);
        return controller.reply(reply_to, reply);
    }
    match controller.negotiator.run(negotiate, &Session::default(), signal) {
        Ok(step) => {
            let legs = step.session.parties().len();
            half_open::make_room(controller, None, legs);
            let caller = half_open::caller(signal, &step, reply_to.origin);
            let id = controller.calls.open(now, &signal.call_id);
            controller.calls.half_open.add(id, caller, legs);
            apply(controller, id, reply_to, step, signal, SignalKind::Offer);
        }
        Err(error) => refuse(controller, reply_to, &error),
    }
}

/// `answer`
pub(super) fn answer(controller: &mut Controller, reply_to: ReplyTo, signal: &Signal) {
    answer_with(controller, reply_to, signal, Session::answer, SignalKind::Answer);
}

/// `create answer`
pub(super) fn create_answer(controller: &mut Controller, reply_to: ReplyTo, signal: &Signal) {
    answer_with(controller, reply_to, signal, Session::create_answer, SignalKind::SilentAnswer);
}

fn answer_with(
    controller: &mut Controller,
    reply_to: ReplyTo,
    signal: &Signal,
    negotiate: Negotiate,
    kind: SignalKind,
) {
    let Some(call) = controller.calls.live_by_name(&signal.call_id) else {
        return controller.reply(reply_to, Reply::error(UNKNOWN_CALL));
    };
    let id = call.id;
    match controller.negotiator.run(negotiate, call.session(), signal) {
        Ok(step) => apply(controller, id, reply_to, step, signal, kind),
        Err(error) => refuse(controller, reply_to, &error),
    }
}

fn refuse(controller: &mut Controller, reply_to: ReplyTo, error: &NegotiationError) {
    tracing::info!(peer = %reply_to.origin.peer(), %error, "offer or answer refused");
    controller.reply(reply_to, Reply::error(error.to_string()));
}

fn apply(
    controller: &mut Controller,
    id: CallId,
    mut reply_to: ReplyTo,
    step: NegotiationStep,
    signal: &Signal,
    kind: SignalKind,
) {
    let Some(call) = controller.calls.get(id) else { return };
    let opens = !call.is_opened();
    let anomalies = check_meta_sdp(call, &step, signal, kind != SignalKind::Offer);
    for (rule, warning) in anomalies {
        controller.counters.sdp_anomalies.add(rule);
        reply_to.warnings.push(warning);
    }
    // Legs that the step removes are removed after it, so that a refused step changes nothing; but before it if there is no
    // room for the new legs beside them.
    if step.session.parties().len() + step.removed.len() > LEGS_PER_CALL_MAX {
        controller.remove_legs(id, &step.removed);
    }
    let via_branch = signal.via_branch.clone();
    let load_limit = signal.flags.call.supports_load_limit;
    let signal = PendingSignal { reply_to, step, kind, opens, via_branch, load_limit };
    controller.submit(id, signal.command(id), InFlight::Signal(Box::new(signal)));
}

impl PendingSignal {
    /// The command for the engine.
    pub(super) fn command(&self, id: CallId) -> Command {
        Command::Apply { call: id, legs: self.step.legs.clone() }
    }

    /// The engine has applied the step, or not; then the call stays as it was.
    pub(super) fn finish(self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        let no_ports = || Reply::error("Internal error: no ports");
        let failed = match result {
            Ok(EngineReply::Applied(ports)) => match self.step.description.write(&ports) {
                Some(sdp) => return self.applied(controller, now, id, &ports, sdp),
                None => no_ports(),
            },
            Ok(_) => no_ports(),
            Err(Failure::MailboxFull) if self.opens && controller.calls.move_to_other_shard(now, id) => {
                let command = Command::Apply { call: id, legs: self.step.legs.clone() };
                return controller.submit(id, command, InFlight::Signal(Box::new(self)));
            }
            Err(Failure::MailboxFull) => controller.admission.reject(Limit::Commands, self.load_limit),
            Err(failure) => failure.reply(|error| refusal(controller, error, self.load_limit)),
        };
        controller.reply(self.reply_to, failed);
        if self.opens
            && let Some(mut call) = controller.calls.remove(id)
        {
            // Requests that waited for it find no call, or open one.
            controller.dispatch_all(now, call.waiting.take_requests());
        }
    }

    fn applied(self, controller: &mut Controller, now: Instant, id: CallId, ports: &[(LegId, LegPorts)], sdp: String) {
        let Self { mut reply_to, step, kind, opens, via_branch, .. } = self;
        let is_answer = kind != SignalKind::Offer;
        let Some(call) = controller.calls.get_mut(id) else { return };
        call.legs.forget(&step.removed);
        call.progress.forget(&step.removed);
        for (leg, ports) in ports {
            call.legs.entry(*leg).ports = Some(*ports);
        }
        for (leg, plan) in &step.legs {
            call.legs.entry(*leg).receiving = plan.receive.enabled;
        }
        call.last_signal = now;
        if let Some(branch) = via_branch {
            call.branches.add(&branch);
            if is_answer {
                call.branches.answered_by(branch);
            }
        }
        let first_answer = is_answer && !call.is_answered();
        advance(call, is_answer);
        let (answered, legs) = (call.is_answered(), step.session.parties().len());
        if answered {
            controller.calls.half_open.remove(id);
        } else {
            controller.calls.half_open.set_legs(id, legs);
        }
        let Some(call) = controller.calls.get_mut(id) else { return };
        if opens {
            controller.counters.calls_total += 1;
            tracing::info!(call_id = ?call.name, call = id.0, shard = call.shard, "call opened");
        }
        if first_answer {
            controller.calls.wake(id, Some(now + controller.config.timeout));
        } else if !answered {
            controller.calls.wake(id, Some(now + controller.config.offer_timeout));
        }
        controller.commit_session(now, id, step.session, false);
        if opens {
            controller.emit(now, id, None, EventBody::Opened);
        }
        if first_answer {
            controller.emit(now, id, None, EventBody::Answered);
        }
        controller.remove_legs(id, &step.removed);
        reply_to.warnings.extend(step.warnings);
        let has_sdp = kind != SignalKind::SilentAnswer;
        let keys = if has_sdp { Dict::default().with("sdp", sdp) } else { Dict::default() };
        controller.reply(reply_to, Reply::ok(keys));
    }
}

/// The state of a call after an offer or an answer.
fn advance(call: &mut CallRecord, is_answer: bool) {
    match call.state {
        CallLifecycle::Opening | CallLifecycle::Ringing if is_answer => call.state = CallLifecycle::Answered,
        CallLifecycle::Opening => call.state = CallLifecycle::Ringing,
        CallLifecycle::Ringing | CallLifecycle::Answered | CallLifecycle::Ended(_) => {}
    }
}

fn refusal(controller: &mut Controller, error: CommandError, load_limit: bool) -> Reply {
    tracing::warn!(%error, "the engine refused a plan");
    match error {
        CommandError::NoPorts => controller.admission.reject(Limit::Ports, load_limit),
        CommandError::TooManyCalls => controller.admission.reject(Limit::Sessions, load_limit),
        CommandError::UnknownCall => Reply::error(UNKNOWN_CALL),
        CommandError::TooManyLegs => Reply::error("Invalid dialogue association: the call has too many parties"),
        CommandError::BadPlan(what) => Reply::error(format!("Error rewriting SDP: {what}")),
        error => Reply::error(format!("Internal error: {error}")),
    }
}
