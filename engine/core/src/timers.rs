//! Deadlines of calls, earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// When to look at which call. A call is in the heap at most about once: its deadline mostly moves later, packet by
/// packet, and then the old entry is left alone and merely found to be early when it comes up.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
}

/// The heap entry that covers a call's deadline; lives with the call.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Scheduled(Option<Instant>);

impl Timers {
    /// Makes room for the deadlines of `calls`: one each, and those that were overtaken.
    pub(crate) fn reserve(&mut self, calls: usize) {
        self.heap.reserve((4 * calls).saturating_sub(self.heap.len()));
    }

    /// Makes sure that `call` comes up no later than `deadline`.
    pub(crate) fn schedule(&mut self, call: usize, deadline: Option<Instant>, scheduled: &mut Scheduled) {
        let Some(deadline) = deadline else { return };
        if scheduled.0.is_none_or(|at| deadline < at) {
            scheduled.0 = Some(deadline);
            self.heap.push(Reverse((deadline, call)));
        }
    }

    /// When the next call comes up.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next call whose time has come. The caller handles it and calls [`Timers::schedule`] again.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, usize)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

impl Scheduled {
    /// True if the entry that came up at `at` is the one that counts; it is used up then.
    pub(crate) fn take(&mut self, at: Instant) -> bool {
        if self.0 == Some(at) {
            self.0 = None;
            return true;
        }
        false
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
        assert!(scheduled.take(ms(20)));
        timers.schedule(3, Some(ms(119)), &mut scheduled);
        timers.schedule(3, Some(ms(50)), &mut scheduled);
        assert_eq!(timers.pop_due(ms(200)), Some((ms(50), 3)));
        assert!(scheduled.take(ms(50)));
        timers.schedule(3, Some(ms(300)), &mut scheduled);
        assert_eq!(timers.pop_due(ms(200)), Some((ms(119), 3)));
        assert!(!scheduled.take(ms(119)), "overtaken by the entry at 50 ms");
    }
}
