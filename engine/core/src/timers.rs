//! Deadlines of calls, earliest first.
//!
//! Most deadlines move to a later time with every packet. The heap entry stays as it is; when it is due early, it is put back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The deadlines of the calls. A call has one entry; an entry that an earlier one has replaced is skipped.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// A call's deadline, and the heap entry that covers it. It is stored with the call.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Scheduled {
    deadline: Option<Instant>,
    entry: Option<Instant>,
}

impl Timers {
    /// Reserves memory for the deadlines of `calls`: one each, and replaced ones.
    pub(crate) fn reserve(&mut self, calls: usize) {
        self.heap.reserve((4 * calls).saturating_sub(self.heap.len()));
    }

    /// Makes `call` due no later than `deadline`.
    pub(crate) fn schedule(&mut self, call: usize, deadline: Option<Instant>, scheduled: &mut Scheduled) {
        scheduled.deadline = deadline;
        let Some(deadline) = deadline else { return };
        if scheduled.entry.is_none_or(|at| deadline < at) {
            scheduled.entry = Some(deadline);
            self.heap.push(Reverse((deadline, call)));
        }
    }

    /// When the next entry is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The entry of `call` at `at` was popped. True if the call's deadline has come: then the caller handles the call and calls
    /// [`Timers::schedule`] again.
    pub(crate) fn is_due(&mut self, now: Instant, at: Instant, call: usize, scheduled: &mut Scheduled) -> bool {
        if scheduled.entry != Some(at) {
            // An earlier entry has replaced it.
            return false;
        }
        scheduled.entry = None;
        let due = scheduled.deadline.is_some_and(|deadline| deadline <= now);
        if !due {
            self.schedule(call, scheduled.deadline, scheduled);
        }
        due
    }

    /// Removes and returns the next entry that is due. Pass it to [`Timers::is_due`].
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, usize)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

impl Scheduled {
    /// True if the heap has an entry for the call.
    pub(crate) fn is_set(&self) -> bool {
        self.entry.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_that_moves_later_costs_no_second_entry() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let (mut timers, mut scheduled) = (Timers::default(), Scheduled::default());
        for n in 0..100 {
            timers.schedule(3, Some(ms(20 + n)), &mut scheduled);
        }
        assert_eq!(timers.heap.len(), 1);
        assert_eq!(timers.pop_due(ms(19)), None);
        assert_eq!(timers.pop_due(ms(20)), Some((ms(20), 3)));
        assert!(!timers.is_due(ms(20), ms(20), 3, &mut scheduled), "the deadline has moved");
        assert_eq!(timers.next(), Some(ms(119)), "and the entry with it");
        timers.schedule(3, Some(ms(50)), &mut scheduled);
        assert_eq!(timers.pop_due(ms(200)), Some((ms(50), 3)));
        assert!(timers.is_due(ms(200), ms(50), 3, &mut scheduled));
        timers.schedule(3, Some(ms(300)), &mut scheduled);
        assert_eq!(timers.pop_due(ms(200)), Some((ms(119), 3)));
        assert!(!timers.is_due(ms(200), ms(119), 3, &mut scheduled), "replaced by the entry at 50 ms");
        assert_eq!(timers.next(), Some(ms(300)));
    }
}
