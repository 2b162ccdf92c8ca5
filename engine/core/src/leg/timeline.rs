//! When a leg first reached what: the story of its set-up.

use std::time::{Duration, Instant};

use crate::Milestone;

/// Milestones in the order they were reached, each once.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    reached: arrayvec::ArrayVec<(Milestone, Instant), 10>,
    /// How many have been told to the controller.
    told: usize,
    /// A bit for each that was reached.
    known: u16,
}

impl Timeline {
    /// Notes `milestone` unless it was reached before.
    pub(crate) fn reach(&mut self, milestone: Milestone, now: Instant) {
        if !self.has(milestone) {
            self.known |= bit(milestone);
            // One entry per variant of `Milestone`; there is room for all ten.
            let _ = self.reached.try_push((milestone, now));
        }
    }

    pub(crate) fn has(&self, milestone: Milestone) -> bool {
        self.known & bit(milestone) != 0
    }

    /// The last point of the set-up that was reached. To have caught up comes after it.
    pub(crate) fn last(&self) -> Option<Milestone> {
        self.reached.iter().map(|(milestone, _)| *milestone).rfind(|milestone| *milestone != Milestone::CaughtUp)
    }

    /// True if there is one that has not been told yet.
    pub(crate) fn has_news(&self) -> bool {
        self.told < self.reached.len()
    }

    /// The next milestone that has not been told yet.
    pub(crate) fn poll(&mut self) -> Option<Milestone> {
        let (milestone, _) = self.reached.get(self.told)?;
        self.told += 1;
        Some(*milestone)
    }

    /// Everything reached, as durations since `opened`.
    pub(crate) fn since(&self, opened: Instant) -> Vec<(Milestone, Duration)> {
        self.reached.iter().map(|(milestone, at)| (*milestone, at.saturating_duration_since(opened))).collect()
    }
}

fn bit(milestone: Milestone) -> u16 {
    1 << milestone as u16
}
