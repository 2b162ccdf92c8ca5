//! Ports of other shards. A shard that has no port left for a call may lack what others keep bound without a use; they give that back,
//! and the command is tried once more. So an offer is refused for ports only if no thread has a free one.

use std::time::{Duration, Instant};

use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::{CallId, Command, CommandError};

use super::Controller;
use super::engine_link::{EngineResult, Failure};
use super::in_flight::InFlight;

/// After a search that found no port, commands are refused without a further one for this long: a flood of offers must not cost a
/// search each.
const PAUSE: Duration = Duration::from_millis(20);

/// A command that waits for ports of other shards.
#[derive(Debug)]
pub(super) struct PortSearch {
    shard: usize,
    command: Command,
    /// Shards that have not replied.
    waiting: usize,
    then: InFlight,
}

/// A command that is tried again after a search.
#[derive(Debug)]
pub(super) struct PortRetry(InFlight);

/// Asks the other shards for ports if `result` is a lack of them. Otherwise returns the command in flight for its result.
pub(super) fn begin(
    controller: &mut Controller,
    now: Instant,
    id: CallId,
    in_flight: InFlight,
    result: &EngineResult,
) -> Option<InFlight> {
    let lacks_ports = matches!(result, Err(Failure::Refused(CommandError::NoPorts)));
    let others = controller.calls.shards() - 1;
    let Some((call, command)) = in_flight.port_command(id).filter(|_| lacks_ports && others > 0) else {
        return Some(in_flight);
    };
    if controller.admission.no_ports_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
        return Some(in_flight);
    }
    let Some(shard) = controller.calls.get(call).map(|call| call.shard) else { return Some(in_flight) };
    for other in (0..=others).filter(|other| *other != shard) {
        let command = Command::FreePorts { pairs: LEGS_PER_CALL_MAX };
        controller.engine.request(id, other, command, &mut controller.outbox);
    }
    if let Some(call) = controller.calls.get_mut(id) {
        let search = PortSearch { shard, command, waiting: others, then: in_flight };
        call.in_flight = Some(InFlight::PortSearch(Box::new(search)));
    }
    None
}

impl PortSearch {
    /// A shard has given its ports back, or has no time to.
    pub(super) fn finish(mut self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        if matches!(result, Err(Failure::CallLost)) {
            return self.then.finish(controller, now, id, result);
        }
        self.waiting -= 1;
        if self.waiting > 0 {
            if let Some(call) = controller.calls.get_mut(id) {
                call.in_flight = Some(InFlight::PortSearch(Box::new(self)));
            }
            return;
        }
        let Self { shard, command, then, .. } = self;
        controller.submit_to(shard, id, command, InFlight::PortRetry(Box::new(PortRetry(then))));
    }
}

impl PortRetry {
    /// The command had its second try.
    pub(super) fn finish(self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        let found = !matches!(result, Err(Failure::Refused(CommandError::NoPorts)));
        controller.admission.no_ports_at = if found { None } else { Some(now) };
        self.0.finish(controller, now, id, result);
    }
}
