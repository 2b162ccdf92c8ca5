//! All calls: by id, by Call-ID, by the time at which something is due; and how many calls each shard has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use trestle_core::CallId;
use trestle_core::time::soonest;

use super::call::{CallLifecycle, CallRecord, EndedCall};
use super::half_open::HalfOpenCalls;

/// Ended calls kept for `query`. More than that at once means a flood; the ones that ended first are removed early.
const ENDED_MAX: usize = 10_000;

/// Calls by the time at which something is due. A call is in it once at most; the call holds its own time.
#[derive(Debug, Default)]
struct CallSchedule(BTreeSet<(Instant, CallId)>);

impl CallSchedule {
    /// Moves a call from `known`, the time that it holds, to `at`.
    fn set(&mut self, id: CallId, known: &mut Option<Instant>, at: Option<Instant>) {
        if let Some(old) = std::mem::replace(known, at) {
            self.0.remove(&(old, id));
        }
        if let Some(at) = at {
            self.0.insert((at, id));
        }
    }

    /// The call that is due first, if its time has come.
    fn due(&self, now: Instant) -> Option<CallId> {
        self.0.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }
}

/// How long a shard gets no new calls after it has refused a command: its mailbox is full, or its thread has ended.
const SHARD_AVOIDED: Duration = Duration::from_secs(1);

/// What new calls are placed by.
#[derive(Debug, Clone, Copy, Default)]
struct ShardLoad {
    /// Live calls.
    calls: usize,
    avoid_until: Option<Instant>,
}

impl ShardLoad {
    fn is_avoided(self, now: Instant) -> bool {
        self.avoid_until.is_some_and(|until| now < until)
    }
}

#[derive(Debug)]
pub(super) struct CallTable {
    /// Boxed: a node of a map has room for eleven, and is half empty as a rule.
    calls: BTreeMap<CallId, Box<CallRecord>>,
    names: BTreeMap<String, CallId>,
    due: CallSchedule,
    /// Shut gates, by the time at which they are no longer waited for.
    gates_due: CallSchedule,
    shards: Vec<ShardLoad>,
    /// Ended calls by the number of their end, so that the one that ended first is found at once.
    ended: BTreeMap<u64, CallId>,
    last_end: u64,
    last_id: u64,
    pub(super) half_open: HalfOpenCalls,
}

impl CallTable {
    /// An empty table. `shards` below 1 counts as 1.
    pub(super) fn new(shards: usize) -> Self {
        Self {
            calls: BTreeMap::new(),
            names: BTreeMap::new(),
            due: CallSchedule::default(),
            gates_due: CallSchedule::default(),
            shards: vec![ShardLoad::default(); shards.max(1)],
            ended: BTreeMap::new(),
            last_end: 0,
            last_id: 0,
            half_open: HalfOpenCalls::default(),
        }
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Number of calls that have not ended.
    pub(super) fn live(&self) -> usize {
        self.calls.len() - self.ended.len()
    }

    /// Adds a call, on the shard with the fewest calls of those that take commands. An ended call of the same Call-ID is removed.
    pub(super) fn open(&mut self, now: Instant, name: &str) -> CallId {
        self.last_id += 1;
        let id = CallId(self.last_id);
        let shard = self.best_shard(now).unwrap_or(0);
        if let Some(old) = self.names.insert(name.to_owned(), id) {
            self.take(old);
        }
        self.shards[shard].calls += 1;
        self.calls.insert(id, Box::new(CallRecord::new(id, name.to_owned(), shard, now)));
        id
    }

    /// The shard with the fewest calls; one that has refused a command lately only if all have.
    fn best_shard(&self, now: Instant) -> Option<usize> {
        (0..self.shards.len()).min_by_key(|shard| (self.shards[*shard].is_avoided(now), self.shards[*shard].calls))
    }

    /// The shard of this call, which the engine does not have yet, takes no commands: moves the call to another one. False if none of
    /// the others takes commands either.
    pub(super) fn move_to_other_shard(&mut self, now: Instant, id: CallId) -> bool {
        let Some(shard) = self.get(id).map(|call| call.shard) else { return false };
        self.shards[shard].avoid_until = Some(now + SHARD_AVOIDED);
        let Some(other) = self.best_shard(now).filter(|other| !self.shards[*other].is_avoided(now)) else {
            return false;
        };
        self.shards[shard].calls -= 1;
        self.shards[other].calls += 1;
        if let Some(call) = self.get_mut(id) {
            call.shard = other;
        }
        true
    }

    pub(super) fn get(&self, id: CallId) -> Option<&CallRecord> {
        self.calls.get(&id).map(Box::as_ref)
    }

    /// Time since the call was created; `None` if there is no such call.
    pub(super) fn age(&self, now: Instant, id: CallId) -> Option<Duration> {
        self.get(id).map(|call| now.saturating_duration_since(call.created))
    }

    pub(super) fn get_mut(&mut self, id: CallId) -> Option<&mut CallRecord> {
        self.calls.get_mut(&id).map(Box::as_mut)
    }

    pub(super) fn get_live(&mut self, id: CallId) -> Option<&mut CallRecord> {
        self.get_mut(id).filter(|call| call.is_live())
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&CallRecord> {
        self.get(*self.names.get(name)?)
    }

    pub(super) fn by_name_mut(&mut self, name: &str) -> Option<&mut CallRecord> {
        self.get_mut(*self.names.get(name)?)
    }

    /// The call of this Call-ID, unless it has ended.
    pub(super) fn live_by_name(&self, name: &str) -> Option<&CallRecord> {
        self.by_name(name).filter(|call| call.is_live())
    }

    /// Calls, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.values().map(Box::as_ref)
    }

    /// A live call has ended in the engine. It is kept until it is due.
    pub(super) fn end(&mut self, id: CallId, mut remains: EndedCall) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_live()) else { return };
        self.last_end += 1;
        self.half_open.remove(id);
        remains.number = self.last_end;
        call.state = CallLifecycle::Ended(Box::new(remains));
        self.shards[call.shard].calls -= 1;
        self.ended.insert(self.last_end, id);
        while self.ended.len() > ENDED_MAX
            && let Some((_, first)) = self.ended.pop_first()
        {
            self.remove(first);
        }
    }

    /// Removes a call.
    pub(super) fn remove(&mut self, id: CallId) -> Option<CallRecord> {
        let call = self.take(id)?;
        if self.names.get(&call.name) == Some(&id) {
            self.names.remove(&call.name);
        }
        Some(call)
    }

    fn take(&mut self, id: CallId) -> Option<CallRecord> {
        let mut call = self.calls.remove(&id)?;
        self.due.set(id, &mut call.due, None);
        self.gates_due.set(id, &mut call.gate_due, None);
        self.half_open.remove(id);
        match call.ended() {
            None => self.shards[call.shard].calls -= 1,
            Some(ended) => _ = self.ended.remove(&ended.number),
        }
        Some(*call)
    }

    /// Sets when a call is due next.
    pub(super) fn wake(&mut self, id: CallId, at: Option<Instant>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        self.due.set(id, &mut call.due, at);
    }

    /// Sets until when a call's shut gates are waited for.
    pub(super) fn wake_gate(&mut self, id: CallId, at: Option<Instant>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        self.gates_due.set(id, &mut call.gate_due, at);
    }

    /// A call that is due; its time is cleared.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<CallId> {
        let id = self.due.due(now)?;
        self.wake(id, None);
        Some(id)
    }

    /// A call whose shut gates have been waited for long enough; the time is cleared.
    pub(super) fn next_gate_due(&mut self, now: Instant) -> Option<CallId> {
        let id = self.gates_due.due(now)?;
        self.wake_gate(id, None);
        Some(id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        soonest(self.due.next(), self.gates_due.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a call and ends it.
    fn pass(table: &mut CallTable, now: Instant, name: &str) {
        let id = table.open(now, name);
        table.end(id, EndedCall { report: None, verdict: None, number: 0 });
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "one instant to count from")]
    fn of_too_many_ended_calls_those_that_ended_first_are_removed() {
        let (mut table, now) = (CallTable::new(1), Instant::now());
        let long = table.open(now, "long");
        for n in 0..ENDED_MAX {
            pass(&mut table, now, &n.to_string());
        }
        assert!(table.by_name("0").is_some());
        table.end(long, EndedCall { report: None, verdict: None, number: 0 });
        assert!(table.by_name("0").is_none(), "it ended first, although it was opened after the long one");
        assert!(table.by_name("1").is_some() && table.by_name("long").is_some());
        // The same name again replaces the ended call.
        pass(&mut table, now, "long");
        assert_eq!((table.live(), table.calls.len(), table.ended.len()), (0, ENDED_MAX, ENDED_MAX));
    }
}
