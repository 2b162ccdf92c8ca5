//! What the controller counts, for `statistics` and metrics.

use std::collections::BTreeMap;

use super::overload::{Limit, Load};
use super::setup::SetupTimes;
use super::verdicts::VerdictCounts;
use crate::ended::EndedBy;

/// A counter per key, for example per verb or per rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<K>(BTreeMap<K, u64>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Tally<K> {
    pub(super) fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    /// The count of a key.
    pub fn get(&self, key: K) -> u64 {
        self.0.get(&key).copied().unwrap_or(0)
    }

    /// The keys that were counted at least once, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().map(|(key, count)| (*key, *count))
    }
}

/// Why a message on a control port was dropped without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DroppedRequest {
    /// It has no cookie that a reply could carry.
    NoCookie,
    /// It came from a media port of Trestle itself.
    OwnMediaPort,
    /// The operator does not allow its source (`ng-allow`).
    NotAllowed,
    /// It has no signature and must have one (`ng-secret-file`).
    Unsigned,
    /// Its signature is wrong.
    BadSignature,
    /// It was signed too long ago, or in the future. It has an error reply.
    LateSignature,
    /// It was received before, from another source, or its reply is not kept any more.
    Replayed,
}

impl DroppedRequest {
    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCookie => "no_cookie",
            Self::OwnMediaPort => "own_media_port",
            Self::NotAllowed => "not_allowed",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::LateSignature => "late_signature",
            Self::Replayed => "replayed",
        }
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
    /// New calls are refused because the service drains.
    pub draining: bool,
    /// The load of the machine at the last report.
    pub load: Load,
    /// Ended calls, by cause.
    pub ended: Tally<EndedBy>,
    /// Requests that were parsed, by verb.
    pub requests: Tally<&'static str>,
    /// Error replies, by verb; the verb is empty for requests that could not be parsed.
    pub errors: Tally<&'static str>,
    /// Anomalies in WhatsApp's SDP, by the rule's name.
    pub sdp_anomalies: Tally<&'static str>,
    /// Retransmitted requests. The reply is sent again from the cache, or is not ready yet.
    pub retransmits: u64,
    /// Messages without a reply, by reason.
    pub dropped: Tally<DroppedRequest>,
    /// Commands to a shard that were dropped because its mailbox was full.
    pub mailbox_full: u64,
    /// Digits that legs have received.
    pub digits: u64,
    /// Events for applications, by name, including those that no subscriber received.
    pub events: Tally<&'static str>,
    /// Legs whose transport was lost.
    pub legs_failed: u64,
    /// Durations of the set-up stages of legs.
    pub setup: SetupTimes,
    /// Counts of the verdicts on ended calls.
    pub verdicts: VerdictCounts,
}
