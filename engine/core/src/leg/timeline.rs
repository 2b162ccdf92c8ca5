//! When a leg first reached each point of its set-up.

use std::time::{Duration, Instant};

use crate::Milestone;

/// Milestones in the order they were reached, each once.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    reached: arrayvec::ArrayVec<(Milestone, Instant), 10>,
    /// How many of them were reported to the controller.
    reported: usize,
    /// One bit for each that was reached.
    bits: u16,
}

impl Timeline {
    /// Notes `milestone` unless it was reached before.
    pub(crate) fn reach(&mut self, milestone: Milestone, now: Instant) {
        if !self.has(milestone) {
            self.bits |= bit(milestone);
            // One entry per variant of `Milestone`; there is room for all ten.
            let _ = self.reached.try_push((milestone, now));
        }
    }

    pub(crate) fn has(&self, milestone: Milestone) -> bool {
        self.bits & bit(milestone) != 0
    }

    /// The last milestone of the set-up. [`Milestone::CaughtUp`] is not part of it.
    pub(crate) fn last(&self) -> Option<Milestone> {
        self.reached.iter().map(|(milestone, _)| *milestone).rfind(|milestone| *milestone != Milestone::CaughtUp)
    }

    /// True if a milestone was not reported yet.
    pub(crate) fn has_unreported(&self) -> bool {
        self.reported < self.reached.len()
    }

    /// The next milestone that was not reported yet; from now on it is.
    pub(crate) fn poll(&mut self) -> Option<Milestone> {
        let (milestone, _) = self.reached.get(self.reported)?;
        self.reported += 1;
        Some(*milestone)
    }

    /// All milestones reached, as durations since `opened`.
    pub(crate) fn since(&self, opened: Instant) -> Vec<(Milestone, Duration)> {
        self.reached.iter().map(|(milestone, at)| (*milestone, at.saturating_duration_since(opened))).collect()
    }
}

fn bit(milestone: Milestone) -> u16 {
    1 << milestone as u16
}
