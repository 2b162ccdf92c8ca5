//! What the engine is doing for a call, and what follows its reply.

use std::time::Instant;

use trestle_core::{CallId, Command};

use super::Controller;
use super::connect::Connecting;
use super::ending::Ending;
use super::engine_link::EngineResult;
use super::gate::GateChange;
use super::media::MediaChange;
use super::port_search::{PortRetry, PortSearch};
use super::query::ReportQuery;
use super::signal::PendingSignal;
use super::supervision;

/// The one command that a call has in the engine.
#[derive(Debug)]
pub(super) enum InFlight {
    /// An offer or an answer.
    Signal(Box<PendingSignal>),
    /// A `query`.
    Query(ReportQuery),
    /// A request about the media of a call.
    Media(MediaChange),
    /// A `connect` to a party of another call; owned by the near call.
    Connect(Box<Connecting>),
    /// The same, in the far call. Its command belongs to the near call.
    ConnectFarEnd,
    /// A change of gates.
    Gate(Box<GateChange>),
    /// A search for ports of other shards, for one of the commands above.
    PortSearch(Box<PortSearch>),
    /// That command again.
    PortRetry(Box<PortRetry>),
    /// The controller's own check that media still flows.
    MediaCheck,
    /// The end of the call.
    End(Ending),
    /// The end of the call, for which the shard's mailbox had no room. Sent again when the call is due.
    EndUnsent(Ending),
}

impl InFlight {
    /// Continues with the result of the command.
    pub(super) fn finish(self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        match self {
            Self::Signal(signal) => signal.finish(controller, now, id, result),
            Self::Query(query) => query.finish(controller, now, id, result),
            Self::Media(change) => change.finish(controller, now, id, result),
            Self::Connect(connecting) => connecting.finish(controller, now, result),
            Self::Gate(change) => change.finish(controller, now, id, result),
            Self::PortSearch(search) => search.finish(controller, now, id, result),
            Self::PortRetry(retry) => retry.finish(controller, now, id, result),
            Self::MediaCheck => supervision::media_checked(controller, now, id, result),
            Self::End(ending) | Self::EndUnsent(ending) => ending.finish(controller, now, id, result),
            Self::ConnectFarEnd => {}
        }
    }

    /// The command again and its call, if it is one that takes ports. `id` is the call that waits for it.
    pub(super) fn port_command(&self, id: CallId) -> Option<(CallId, Command)> {
        match self {
            Self::Signal(signal) => Some((id, signal.command(id))),
            Self::Connect(connecting) => connecting.port_command(),
            _ => None,
        }
    }
}
