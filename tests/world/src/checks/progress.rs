//! After all outputs are drained, no deadline is in the past: otherwise the edge would poll without pause.

use std::time::Instant;

use super::Checked;

/// Rounds at one instant that are no busy loop yet: a datagram may make something due at the instant of its arrival.
const ROUNDS_MAX: u32 = 20;

/// Rounds at the same instant.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    instant: Option<Instant>,
    rounds: u32,
}

impl Progress {
    /// Everything due at `now` was done; `deadline` is the next one.
    pub(crate) fn check(&mut self, now: Instant, deadline: Option<Instant>) -> Checked {
        let is_due = deadline.is_some_and(|at| at <= now);
        self.rounds = if is_due && self.instant == Some(now) { self.rounds + 1 } else { 0 };
        self.instant = Some(now);
        if self.rounds > ROUNDS_MAX {
            return Err(format!("a deadline stays in the past after {ROUNDS_MAX} rounds at one instant"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_that_stays_in_the_past_is_refused() {
        let now = crate::instant_zero();
        let mut progress = Progress::default();
        let rounds = (0..100).take_while(|_| progress.check(now, Some(now)).is_ok()).count();
        assert_eq!(rounds, 1 + ROUNDS_MAX as usize);
        let mut progress = Progress::default();
        for n in 0..100 {
            let now = now + Duration::from_millis(n);
            assert_eq!(progress.check(now, Some(now)), Ok(()), "the clock advances");
            assert_eq!(
                progress.check(now, Some(now + Duration::from_millis(1))),
                Ok(()),
                "the deadline is in the future"
            );
        }
    }
}
