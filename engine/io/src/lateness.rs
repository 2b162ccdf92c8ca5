//! Lateness of a media thread: the measure of whether it can carry more calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lateness of a thread, summed since its start. [`Lateness::mean_since`] compares two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lateness {
    /// Turns of the thread's loop in which a timer was due or datagrams were waiting since an earlier turn.
    pub turns: u64,
    /// Sum of their lateness.
    pub late: Duration,
}

impl Lateness {
    /// Mean lateness of the turns since `before`.
    pub fn mean_since(&self, before: &Self) -> Duration {
        let turns = u32::try_from(self.turns.saturating_sub(before.turns)).unwrap_or(u32::MAX);
        self.late.saturating_sub(before.late).checked_div(turns).unwrap_or_default()
    }
}

/// [`Lateness`], written by one thread and read by others. With one writer an update costs two plain stores.
#[derive(Debug, Default)]
pub(crate) struct SharedLateness {
    turns: AtomicU64,
    late_us: AtomicU64,
}

impl SharedLateness {
    pub(crate) fn read(&self) -> Lateness {
        let late = Duration::from_micros(self.late_us.load(Ordering::Relaxed));
        Lateness { turns: self.turns.load(Ordering::Relaxed), late }
    }

    fn add(&self, late: Duration) {
        let late_us = self.late_us.load(Ordering::Relaxed).wrapping_add(late.as_micros() as u64);
        self.late_us.store(late_us, Ordering::Relaxed);
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// Measures the lateness of one thread.
#[derive(Debug, Default)]
pub(crate) struct LatenessMeter {
    /// Time of the first turn that could not take all datagrams; `None` once a turn has taken all.
    behind: Option<Instant>,
}

impl LatenessMeter {
    /// Records one turn of the loop. `deadline` is the earliest timer before the turn; it is processed at `now`. `caught_up` is true
    /// if the turn has taken all datagrams.
    pub(crate) fn turn(&mut self, now: Instant, deadline: Option<Instant>, caught_up: bool, shared: &SharedLateness) {
        let since_due = deadline.filter(|deadline| *deadline <= now);
        let began = if caught_up { self.behind.take() } else { Some(*self.behind.get_or_insert(now)) };
        if let Some(since) = trestle_core::time::soonest(since_due, began) {
            shared.add(now.saturating_duration_since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_as_late_as_the_oldest_thing_that_waits() {
        let (mut meter, shared, start) = (LatenessMeter::default(), SharedLateness::default(), crate::clock::now());
        let ms = |ms| start + Duration::from_millis(ms);
        let mut turn = |now, deadline: Option<u64>, caught_up| {
            let before = shared.read();
            meter.turn(ms(now), deadline.map(ms), caught_up, &shared);
            let after = shared.read();
            (after.turns - before.turns, after.mean_since(&before).as_millis())
        };
        assert_eq!(turn(10, None, true), (0, 0), "nothing was due");
        assert_eq!(turn(20, Some(21), true), (0, 0));
        assert_eq!(turn(30, Some(27), true), (1, 3), "a timer");
        assert_eq!(turn(40, None, false), (1, 0), "datagrams are left from here on");
        assert_eq!(turn(46, Some(50), false), (1, 6));
        assert_eq!(turn(52, Some(50), true), (1, 12), "the last of them has waited longer than the timer");
        assert_eq!(turn(60, None, true), (0, 0));
    }

    #[test]
    fn the_mean_of_no_turn_is_nothing() {
        assert_eq!(Lateness::default().mean_since(&Lateness::default()), Duration::ZERO);
    }
}
