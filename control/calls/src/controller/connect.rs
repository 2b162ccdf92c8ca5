//! `connect` across two calls: see [`trestle_negotiate::CrossCallConnection`].
//!
//! Three commands, one after the other: the first call's end of the link, the second call with its end, the first call with
//! the address of the second end. Both calls are busy meanwhile, so that neither changes during the exchange.

use std::time::Instant;

use trestle_core::{CallId, Command, CommandError, EngineReply, LegId, LegPorts};
use trestle_negotiate::CrossCallConnection;
use trestle_ng::command::Connect;
use trestle_ng::{Dict, Reply};

use super::engine_link::{EngineResult, Failure};
use super::in_flight::InFlight;
use super::media::UNKNOWN_CALL;
use super::reply_to::ReplyTo;
use super::{Controller, ending};

/// Two calls that are being connected.
#[derive(Debug)]
pub(super) struct Connecting {
    reply_to: ReplyTo,
    link: CrossCallConnection,
    step: ConnectStep,
}

/// The command that the engine is executing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectStep {
    /// It opens the near end.
    OpenNear,
    /// It opens the far end and connects the far party to it.
    Far,
    /// It sets the address of the far end in the near one and connects the near party to it.
    Near,
}

/// `connect` with `to-call-id`. Neither call is busy.
pub(super) fn connect_calls(controller: &mut Controller, reply_to: ReplyTo, connect: &Connect, to_call_id: &str) {
    let Some(near) = controller.calls.live_by_name(&connect.call_id) else {
        return controller.reply(reply_to, Reply::error(UNKNOWN_CALL));
    };
    let Some(far) = controller.calls.live_by_name(to_call_id) else {
        return controller.reply(reply_to, Reply::error(format!("{UNKNOWN_CALL}: to-call-id")));
    };
    let (near_id, far_id, near_shard) = (near.id, far.id, near.shard);
    let near = (near_id, near.session(), connect.from_tag.as_str());
    let far = (far_id, far.session(), connect.to_tag.as_str());
    match controller.negotiator.link(near, far) {
        Err(error) => controller.reply(reply_to, Reply::error(error.to_string())),
        Ok(None) => controller.reply(reply_to, Reply::ok(Dict::default())),
        Ok(Some(link)) => {
            let command = Command::Apply { call: near_id, legs: link.near.opening() };
            if let Some(far) = controller.calls.get_mut(far_id) {
                far.in_flight = Some(InFlight::ConnectFarEnd);
            }
            let connecting = Connecting { reply_to, link, step: ConnectStep::OpenNear };
            controller.submit_to(near_shard, near_id, command, InFlight::Connect(Box::new(connecting)));
        }
    }
}

impl Connecting {
    /// The engine has executed a command, or not.
    pub(super) fn finish(mut self, controller: &mut Controller, now: Instant, result: EngineResult) {
        let (near, far) = (self.link.near.call, self.link.far.call);
        let is_live = |id: CallId| controller.calls.get(id).is_some_and(|call| call.is_live());
        let ports = match result {
            Ok(EngineReply::Applied(ports)) if is_live(near) && is_live(far) => ports,
            // The engine lost one of the two calls meanwhile.
            Ok(_) => return self.fail(controller, now, Reply::error(UNKNOWN_CALL)),
            Err(failure) => {
                if failure == Failure::CallLost && self.step == ConnectStep::Far {
                    // The far call may have executed its command.
                    self.step = ConnectStep::Near;
                }
                return self.fail(controller, now, failure.reply(refusal));
            }
        };
        let next = match self.step {
            ConnectStep::OpenNear => self.next_after_near(&ports),
            ConnectStep::Far => self.next_after_far(&ports),
            ConnectStep::Near => {
                for end in [self.link.near, self.link.far] {
                    controller.commit_session(now, end.call, end.session, false);
                }
                controller.reply(self.reply_to, Reply::ok(Dict::default()));
                return release(controller, now, far);
            }
        };
        let Some((call, command)) = next else {
            return self.fail(controller, now, Reply::error("Internal error: no ports"));
        };
        let Some(shard) = controller.calls.get(call).map(|call| call.shard) else { return };
        controller.submit_to(shard, near, command, InFlight::Connect(Box::new(self)));
    }

    /// The command again, if it opens an end of the link, and its call.
    pub(super) fn port_command(&self) -> Option<(CallId, Command)> {
        let (call, legs) = match self.step {
            ConnectStep::OpenNear => (self.link.near.call, self.link.near.opening()),
            ConnectStep::Far => (self.link.far.call, self.link.far.plans()),
            ConnectStep::Near => return None,
        };
        Some((call, Command::Apply { call, legs }))
    }

    fn next_after_near(&mut self, ports: &[(LegId, LegPorts)]) -> Option<(CallId, Command)> {
        self.step = ConnectStep::Far;
        let reached = self.link.far.reach(self.link.near.leg, ports);
        reached.then(|| (self.link.far.call, Command::Apply { call: self.link.far.call, legs: self.link.far.plans() }))
    }

    fn next_after_far(&mut self, ports: &[(LegId, LegPorts)]) -> Option<(CallId, Command)> {
        self.step = ConnectStep::Near;
        let reached = self.link.near.reach(self.link.far.leg, ports);
        reached
            .then(|| (self.link.near.call, Command::Apply { call: self.link.near.call, legs: self.link.near.plans() }))
    }

    /// Removes what the engine has opened so far, and replies.
    fn fail(self, controller: &mut Controller, now: Instant, reply: Reply) {
        let Self { reply_to, link, step } = self;
        controller.reply(reply_to, reply);
        if controller.calls.get(link.far.call).is_none_or(|call| !call.is_live()) {
            // Its plan may have reached the engine after the engine lost the call, and opened it anew.
            ending::delete_in_engine(controller, link.far.call);
        }
        // If the near end was not opened the command has no effect.
        controller.remove_legs(link.near.call, &[link.near.leg]);
        if step == ConnectStep::Near {
            controller.commit_session(now, link.far.call, link.far.session, false);
            if let Some(far) = controller.calls.get_mut(link.far.call) {
                far.waiting.removed_links.push(link.far.leg);
            }
        }
        release(controller, now, link.far.call);
    }
}

/// The far call is no longer busy with the near one.
fn release(controller: &mut Controller, now: Instant, far: CallId) {
    let waits = |call: &&mut super::call::CallRecord| matches!(call.in_flight, Some(InFlight::ConnectFarEnd));
    if let Some(call) = controller.calls.get_mut(far).filter(waits) {
        call.in_flight = None;
        controller.proceed(now, far);
    }
}

fn refusal(error: CommandError) -> Reply {
    Reply::error(match error {
        CommandError::NoPorts => "Ran out of ports".to_owned(),
        CommandError::UnknownCall => UNKNOWN_CALL.to_owned(),
        error => format!("Internal error: {error}"),
    })
}

/// A call has ended: removes the far ends of its links.
pub(super) fn remove_far_ends(controller: &mut Controller, id: CallId) {
    let links: Vec<_> = controller.calls.get(id).iter().flat_map(|call| call.session().links()).collect();
    for (_, (far, leg)) in links {
        remove_link(controller, far, leg);
    }
}

/// Removes links that no party uses any more, at both ends. The call is not busy.
pub(super) fn remove_idle_links(controller: &mut Controller, id: CallId) {
    let Some(call) = controller.calls.get(id).filter(|call| call.is_live()) else { return };
    let idle = call.session().idle_links();
    for (leg, (far, far_leg)) in idle {
        remove_link(controller, id, leg);
        remove_link(controller, far, far_leg);
    }
    remove_waiting_links(controller, id);
}

/// Removes one end of a link: at once, or as soon as its call is not busy.
fn remove_link(controller: &mut Controller, id: CallId, leg: LegId) {
    let Some(call) = controller.calls.get_live(id) else { return };
    call.waiting.removed_links.push(leg);
    if !call.is_busy() {
        remove_waiting_links(controller, id);
    }
}

fn remove_waiting_links(controller: &mut Controller, id: CallId) {
    let Some(call) = controller.calls.get_live(id) else { return };
    let legs = std::mem::take(&mut call.waiting.removed_links);
    let removed = call.remove_links(legs);
    controller.remove_legs(id, &removed);
}
