//! Admission of new calls: the limit of sessions and the load of the machine.

use std::time::Instant;

use trestle_ng::Reply;

use super::ControllerConfig;
use super::counters::Tally;
use super::overload::{Limit, Load, LoadChange, Overload};

/// Decides whether an offer may open a call.
#[derive(Debug)]
pub(super) struct Admission {
    max_sessions: Option<usize>,
    /// The service drains.
    pub(super) is_draining: bool,
    overload: Overload,
    /// When a search for ports of all shards last found none; see [`super::port_search`].
    pub(super) no_ports_at: Option<Instant>,
    /// Offers refused because of a limit.
    pub(super) rejected: Tally<Limit>,
}

impl Admission {
    pub(super) fn new(config: &ControllerConfig) -> Self {
        let (max_sessions, overload) = (config.max_sessions, Overload::new(config.load));
        Self { max_sessions, is_draining: false, overload, no_ports_at: None, rejected: Tally::default() }
    }

    /// Takes new limits. An overload that lasts is ended by the new bounds.
    pub(super) fn reconfigure(&mut self, config: &ControllerConfig) {
        self.max_sessions = config.max_sessions;
        self.overload.set_bounds(config.load);
    }

    /// The limit for which an offer of a new call is refused at present. `calls` is the number of live calls.
    pub(super) fn refuses(&self, calls: usize) -> Option<Limit> {
        let full = self.max_sessions.is_some_and(|max| calls >= max);
        let draining = self.is_draining.then_some(Limit::Draining);
        draining.or(full.then_some(Limit::Sessions)).or(self.overload.refusing())
    }

    /// The load limit for which calls are refused at present.
    pub(super) fn overloaded(&self) -> Option<Limit> {
        self.overload.refusing()
    }

    /// The load that was last reported.
    pub(super) fn load(&self) -> Load {
        self.overload.load
    }

    /// Counts a refused offer and writes its reply. Senders that do not know the result `load limit` read every limit as that
    /// of sessions. A lack of ports is an error to all of them.
    pub(super) fn reject(&mut self, limit: Limit, load_limit: bool) -> Reply {
        self.rejected.add(limit);
        match limit {
            Limit::Ports => Reply::error(limit.words()),
            _ if load_limit => Reply::load_limit(limit.words()),
            _ => Reply::error(Limit::Sessions.words()),
        }
    }

    /// Takes the load of the machine since the last report. `calls` is the number of live calls, for the log.
    pub(super) fn handle_load(&mut self, now: Instant, load: Load, calls: usize) {
        match self.overload.take(now, load) {
            Some(LoadChange::Overloaded(limit)) => tracing::warn!(
                limit = limit.name(),
                lateness = ?load.lateness,
                cpu = load.cpu.map(tracing::field::display),
                load = load.average.map(tracing::field::display),
                calls,
                "overloaded; new calls are refused"
            ),
            Some(LoadChange::Relieved(limit, lasted)) => {
                tracing::warn!(limit = limit.name(), ?lasted, calls, "no longer overloaded; new calls are accepted");
            }
            None => {}
        }
    }
}
