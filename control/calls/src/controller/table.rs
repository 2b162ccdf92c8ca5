//! All calls: by id, by Call-ID, by the time at which something is due; and how many each shard has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use trestle_core::CallId;

use super::call::Call;

/// Ended calls kept for `query`. More than that at once means a flood; the ones due first go early.
const ENDED_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Table {
    /// Boxed: a node of a map has room for eleven, and is half empty as a rule.
    calls: BTreeMap<CallId, Box<Call>>,
    names: BTreeMap<String, CallId>,
    due: BTreeSet<(Instant, CallId)>,
    /// Live calls per shard.
    shards: Vec<usize>,
    ended: usize,
    last_id: u64,
}

impl Table {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            calls: BTreeMap::new(),
            names: BTreeMap::new(),
            due: BTreeSet::new(),
            shards: vec![0; shards.max(1)],
            ended: 0,
            last_id: 0,
        }
    }

    /// Calls that have not ended.
    pub(super) fn live(&self) -> usize {
        self.calls.len() - self.ended
    }

    /// A name for a new call, and the shard with the fewest calls.
    pub(super) fn place(&mut self) -> (CallId, usize) {
        self.last_id += 1;
        let shard = (0..self.shards.len()).min_by_key(|shard| self.shards[*shard]).unwrap_or(0);
        (CallId(self.last_id), shard)
    }

    /// Takes a call in. One of the same Call-ID that has ended gives way.
    pub(super) fn insert(&mut self, call: Call) {
        if let Some(old) = self.names.insert(call.name.clone(), call.id) {
            self.take(old);
        }
        self.shards[call.shard] += 1;
        self.calls.insert(call.id, Box::new(call));
    }

    pub(super) fn get(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.get_mut(&id).map(Box::as_mut)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Call> {
        self.get(*self.names.get(name)?)
    }

    pub(super) fn by_name_mut(&mut self, name: &str) -> Option<&mut Call> {
        self.get_mut(*self.names.get(name)?)
    }

    /// Calls, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Call> {
        self.calls.values().map(Box::as_ref)
    }

    /// CallHistory that a call has ended in the engine.
    pub(super) fn mark_ended(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_live()) else { return };
        call.ended = true;
        self.shards[call.shard] -= 1;
        self.ended += 1;
        while self.ended > ENDED_MAX {
            let oldest = self.calls.values().filter(|call| call.ended && call.id != id).min_by_key(|call| call.due);
            let Some(oldest) = oldest.map(|call| call.id) else { return };
            self.remove(oldest);
        }
    }

    /// Forgets a call.
    pub(super) fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.take(id)?;
        if self.names.get(&call.name) == Some(&id) {
            self.names.remove(&call.name);
        }
        Some(call)
    }

    fn take(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        if let Some(due) = call.due {
            self.due.remove(&(due, id));
        }
        if call.ended {
            self.ended -= 1;
        } else {
            self.shards[call.shard] -= 1;
        }
        Some(*call)
    }

    /// Sets the one instant at which a call wants to be woken.
    pub(super) fn wake(&mut self, id: CallId, at: Option<Instant>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(old) = std::mem::replace(&mut call.due, at) {
            self.due.remove(&(old, id));
        }
        if let Some(at) = at {
            self.due.insert((at, id));
        }
    }

    /// A call whose time has come; it is not named again until woken anew.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<CallId> {
        let (_, id) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.wake(id, None);
        Some(id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}
