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

    /// How many there were.
    pub fn get(&self, name: K) -> u64 {
        self.0.get(&name).copied().unwrap_or(0)
    }

    /// All that were counted at least once.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count))
    }
}

/// Everything counted since the start, and the number of calls now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Calls there are.
    pub calls: usize,
    /// Calls there have ever been.
    pub calls_total: u64,
    /// Offers refused because of a limit.
    pub rejected: Tally<Limit>,
    /// What offers for new calls are refused for at present, as the machine is too busy.
    pub overloaded: Option<Limit>,
    /// How busy the machine was when last told.
    pub load: Load,
    /// Calls ended, by cause.
    pub ended: Tally<EndedBy>,
    /// Requests understood, by operation.
    pub requests: Tally<&'static str>,
    /// Error replies, by operation; the empty name stands for what was no request.
    pub errors: Tally<&'static str>,
    /// What was unusual in WhatsApp's SDP, by the rule's name.
    pub sdp_anomalies: Tally<&'static str>,
    /// Retransmits answered from the cache or left to the request in work.
    pub retransmits: u64,
    /// Datagrams without a cookie, which have no answer.
    pub without_cookie: u64,
    /// Commands for which a shard had no room.
    pub refused: u64,
    /// Digits reported.
    pub digits: u64,
    /// Events for applications, by name, whether or not anybody listened.
    pub events: Tally<&'static str>,
    /// Legs whose transport was lost.
    pub legs_failed: u64,
    /// How long the stages of legs' set-up took.
    pub setup: SetupTimes,
    /// What the verdicts on ended calls have come to.
    pub verdicts: VerdictCounts,
}
