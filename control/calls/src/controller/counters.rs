//! What the controller counts, for `statistics` and metrics.

use std::collections::BTreeMap;

use super::overload::{Limit, Load};
use super::setup::SetupTimes;
use super::verdicts::VerdictCounts;
use crate::ended::EndedBy;

/// A counter per name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<K>(BTreeMap<K, u64>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Tally<K> {
    pub(super) fn add(&mut self, name: K) {
        *self.0.entry(name).or_default() += 1;
    }

    /// The count of a name.
    pub fn get(&self, name: K) -> u64 {
        self.0.get(&name).copied().unwrap_or(0)
    }

    /// All names that were counted at least once.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count))
    }
}

/// Everything counted since the start, and the number of calls at present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControllerCounters {
    /// Live calls.
    pub calls: usize,
    /// Calls opened since the start.
    pub calls_total: u64,
    /// Offers refused because of a limit.
    pub rejected: Tally<Limit>,
    /// The limit for which offers for new calls are refused at present, because the machine is overloaded.
    pub overloaded: Option<Limit>,
    /// The load of the machine at the last report.
    pub load: Load,
    /// Calls ended, by what ended them.
    pub ended: Tally<EndedBy>,
    /// Requests understood, by operation.
    pub requests: Tally<&'static str>,
    /// Error replies, by operation; the empty name is for requests that were not understood.
    pub errors: Tally<&'static str>,
    /// Anomalies in WhatsApp's SDP, by the rule's name.
    pub sdp_anomalies: Tally<&'static str>,
    /// Retransmitted requests: the reply came from the cache, or is still to come.
    pub retransmits: u64,
    /// Datagrams without a cookie. They have no reply.
    pub without_cookie: u64,
    /// Commands for which a shard's mailbox had no room.
    pub refused: u64,
    /// Digits reported.
    pub digits: u64,
    /// Events for applications, by name, whether or not they were sent.
    pub events: Tally<&'static str>,
    /// Legs whose transport was lost.
    pub legs_failed: u64,
    /// Durations of the stages of legs' set-up.
    pub setup: SetupTimes,
    /// Verdicts on ended calls.
    pub verdicts: VerdictCounts,
}
