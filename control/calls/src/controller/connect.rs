//! `connect` across two calls: see [`trestle_negotiate::Tie`].
//!
//! Three commands one after the other: the first call's end of the trunk, the second call with its end, the first call
//! with what it now knows. Both calls are busy meanwhile, so that neither changes under the other.

use std::time::Instant;

use trestle_core::{CallId, Command, CommandError, LegId, LegPorts, Reply as EngineReply};

use super::call::{Call, ReplyTo, Work};
use super::media::UNKNOWN_CALL;
use super::{Controller, EngineResult, Output};
use trestle_negotiate::Tie;
use trestle_ng::command::Connect;
use trestle_ng::{Dict, Reply};

/// Two calls on their way to each other.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) reply_to: ReplyTo,
    pub(super) tie: Tie,
    step: Step,
}

/// What the engine is doing for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It opens the near end.
    OpenNear,
    /// It opens the far end, and the far party hears it.
    Far,
    /// It tells the near end where the far one is, and the near party hears it.
    Near,
}

impl Controller {
    /// Neither call is busy.
    pub(super) fn connect_calls(&mut self, reply_to: ReplyTo, connect: &Connect, to_call_id: &str) {
        let live = |call: &&Call| call.is_live();
        let Some(near) = self.table.by_name(&connect.call_id).filter(live) else {
            return self.answer(reply_to, Reply::error(UNKNOWN_CALL));
        };
        let Some(far) = self.table.by_name(to_call_id).filter(live) else {
            return self.answer(reply_to, Reply::error(format!("{UNKNOWN_CALL}: to-call-id")));
        };
        let (near_id, far_id, near_shard) = (near.id, far.id, near.shard);
        let near = (near_id, &near.session, connect.from_tag.as_str());
        let far = (far_id, &far.session, connect.to_tag.as_str());
        match Tie::new(near, far, &mut self.rng) {
            Err(error) => self.answer(reply_to, Reply::error(error.to_string())),
            Ok(None) => self.answer(reply_to, Reply::ok(Dict::default())),
            Ok(Some(tie)) => {
                let command = Command::Apply { call: near_id, legs: tie.near.opening() };
                if let Some(far) = self.table.get_mut(far_id) {
                    far.work = Some(Work::ConnectFarEnd);
                }
                self.engine_at(
                    near_shard,
                    near_id,
                    command,
                    Work::Connect(Box::new(Connecting { reply_to, tie, step: Step::OpenNear })),
                );
            }
        }
    }

    /// The engine has done a step, or not.
    pub(super) fn tied(&mut self, now: Instant, mut connecting: Connecting, result: EngineResult) {
        let (near, far) = (connecting.tie.near.call, connecting.tie.far.call);
        let is_live = |id: CallId| self.table.get(id).is_some_and(Call::is_live);
        let ports = match result {
            Ok(EngineReply::Applied(ports)) if is_live(near) && is_live(far) => ports,
            // One of the two was lost to a bug meanwhile.
            Ok(_) => return self.connect_failed(now, connecting, Reply::error(UNKNOWN_CALL)),
            Err(error) => return self.connect_failed(now, connecting, refusal(error)),
        };
        let next = match connecting.step {
            Step::OpenNear => connecting.next_after_near(&ports),
            Step::Far => connecting.next_after_far(&ports),
            Step::Near => {
                for end in [connecting.tie.near, connecting.tie.far] {
                    if let Some(call) = self.table.get_mut(end.call) {
                        call.session = end.session;
                    }
                }
                self.answer(connecting.reply_to, Reply::ok(Dict::default()));
                return self.release(now, far);
            }
        };
        let Some((call, command)) = next else {
            return self.connect_failed(now, connecting, Reply::error("Internal error: no ports"));
        };
        let Some(shard) = self.table.get(call).map(|call| call.shard) else { return };
        self.engine_at(shard, near, command, Work::Connect(Box::new(connecting)));
    }

    /// The near call was lost to a bug, whatever the engine was doing; what it was told of the far call, it has done.
    pub(super) fn near_call_lost(&mut self, now: Instant, mut connecting: Connecting, reply: Reply) {
        if connecting.step == Step::Far {
            connecting.step = Step::Near;
        }
        self.connect_failed(now, connecting, reply);
    }

    /// It came to nothing: takes back what is there of it.
    pub(super) fn connect_failed(&mut self, now: Instant, connecting: Connecting, reply: Reply) {
        let Connecting { reply_to, tie, step } = connecting;
        self.answer(reply_to, reply);
        if self.table.get(tie.far.call).is_none_or(|call| !call.is_live()) {
            // Its plan may have reached the engine after the call was lost there, and opened it anew.
            self.delete_quietly(tie.far.call);
        }
        // If it was not opened there is none, and nobody minds.
        self.remove_legs(tie.near.call, &[tie.near.trunk]);
        if step == Step::Near
            && let Some(far) = self.table.get_mut(tie.far.call)
        {
            far.session = tie.far.session;
            far.cuts.push(tie.far.trunk);
        }
        self.release(now, tie.far.call);
    }

    /// The far call may go on with what waited for it.
    fn release(&mut self, now: Instant, far: CallId) {
        if let Some(call) = self.table.get_mut(far).filter(|call| matches!(call.work, Some(Work::ConnectFarEnd))) {
            call.work = None;
            self.proceed(now, far);
        }
    }

    /// A call has ended: so have its trunks.
    pub(super) fn cut_trunks(&mut self, id: CallId) {
        let trunks: Vec<_> = self.table.get(id).iter().flat_map(|call| call.session.trunks()).collect();
        for (_, (far, leg)) in trunks {
            self.cut(far, leg);
        }
    }

    /// Takes out trunks that nobody uses any more, at both ends. The call is not busy.
    pub(super) fn cut_idle_trunks(&mut self, id: CallId) {
        let Some(call) = self.table.get(id).filter(|call| call.is_live()) else { return };
        let idle = call.session.idle_trunks();
        for (leg, (far, far_leg)) in idle {
            self.cut(id, leg);
            self.cut(far, far_leg);
        }
        self.make_cuts(id);
    }

    /// At once, or as soon as the call is not busy.
    fn cut(&mut self, id: CallId, leg: LegId) {
        let Some(call) = self.table.get_mut(id).filter(|call| call.is_live()) else { return };
        call.cuts.push(leg);
        if !call.is_busy() {
            self.make_cuts(id);
        }
    }

    fn make_cuts(&mut self, id: CallId) {
        let Some(call) = self.table.get_mut(id).filter(|call| call.is_live()) else { return };
        let mut cuts = std::mem::take(&mut call.cuts);
        cuts.retain(|leg| call.session.is_trunk(*leg));
        cuts.iter().for_each(|leg| call.session.cut(*leg));
        self.remove_legs(id, &cuts);
    }

    fn engine_at(&mut self, shard: usize, owner: CallId, command: Command, work: Work) {
        let id = self.next_request_id();
        if let Some(call) = self.table.get_mut(owner) {
            call.work = Some(work);
            self.in_engine.insert(id, owner);
            self.outputs.push_back(Output::Engine { shard, id, command });
        }
    }
}

impl Connecting {
    fn next_after_near(&mut self, ports: &[(LegId, LegPorts)]) -> Option<(CallId, Command)> {
        self.step = Step::Far;
        let reached = self.tie.far.reach(self.tie.near.trunk, ports);
        reached.then(|| (self.tie.far.call, Command::Apply { call: self.tie.far.call, legs: self.tie.far.plans() }))
    }

    fn next_after_far(&mut self, ports: &[(LegId, LegPorts)]) -> Option<(CallId, Command)> {
        self.step = Step::Near;
        let reached = self.tie.near.reach(self.tie.far.trunk, ports);
        reached.then(|| (self.tie.near.call, Command::Apply { call: self.tie.near.call, legs: self.tie.near.plans() }))
    }
}

fn refusal(error: CommandError) -> Reply {
    Reply::error(match error {
        CommandError::NoPorts => "Ran out of ports".to_owned(),
        CommandError::UnknownCall => UNKNOWN_CALL.to_owned(),
        error => format!("Internal error: {error}"),
    })
}
