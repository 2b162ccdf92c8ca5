//! The replay list of one stream (RFC 3711 3.3.2): which of the latest indices were received.

/// How far behind the highest index a packet may be: twice what RFC 3711 3.3.2 demands, 2.5 s of audio.
const WINDOW: u64 = 128;

/// A sliding window of [`WINDOW`] indices. Check before authentication, commit after it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplayWindow {
    /// `None` until the first commit.
    highest: Option<u64>,
    /// Bit `n` is set if `highest - n` was committed.
    seen: u128,
}

impl ReplayWindow {
    /// A window in which every index up to `highest` was committed, for a stream whose past is not known in detail.
    pub(crate) fn after(highest: u64) -> Self {
        Self { highest: Some(highest), seen: u128::MAX }
    }

    /// The highest index committed.
    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// True if `index` was not committed and is within the window or above it.
    pub(crate) fn is_new(&self, index: u64) -> bool {
        match self.highest {
            None => true,
            Some(highest) if index > highest => true,
            Some(highest) => {
                let age = highest - index;
                age < WINDOW && self.seen >> age & 1 == 0
            }
        }
    }

    /// True if `index` was committed and is still within the window.
    pub(crate) fn is_seen(&self, index: u64) -> bool {
        let age = self.highest.and_then(|highest| highest.checked_sub(index));
        age.is_some_and(|age| age < WINDOW && self.seen >> age & 1 == 1)
    }

    /// Marks `index` as received; true if it is the highest so far.
    pub(crate) fn commit(&mut self, index: u64) -> bool {
        match self.highest {
            Some(highest) if index <= highest => {
                let age = highest - index;
                if age < WINDOW {
                    self.seen |= 1 << age;
                }
                return false;
            }
            Some(highest) => {
                let step = index - highest;
                self.seen = if step < WINDOW { self.seen << step | 1 } else { 1 };
                self.highest = Some(index);
            }
            None => *self = Self { highest: Some(index), seen: 1 },
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_index_is_new_once() {
        let mut window = ReplayWindow::default();
        for index in [1_000, 1_001, 1_005, 1_003, 1_002, 1_004, 1_132] {
            assert!(window.is_new(index), "{index} before");
            window.commit(index);
            assert!(!window.is_new(index), "{index} after");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_not_new() {
        let mut window = ReplayWindow::default();
        window.commit(1_000);
        assert!(window.is_new(1_000 - 127));
        assert!(!window.is_new(1_000 - 128));
        window.commit(1_000 - 127);
        assert!(!window.is_new(1_000 - 127));
    }

    #[test]
    fn a_restored_window_takes_only_what_is_ahead() {
        let window = ReplayWindow::after(500);
        assert!((0..=500).all(|index| !window.is_new(index)));
        assert!(window.is_new(501));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(start in 0u64..1_000, steps in prop::collection::vec(-200i64..200, 1..300)) {
            let mut window = ReplayWindow::default();
            let mut seen = std::collections::BTreeSet::new();
            let mut at = start;
            for step in steps {
                at = at.saturating_add_signed(step);
                let highest: Option<u64> = seen.last().copied();
                let expected = highest.is_none_or(|highest| at + WINDOW > highest) && !seen.contains(&at);
                prop_assert_eq!(window.is_new(at), expected);
                if expected {
                    prop_assert_eq!(window.commit(at), highest.is_none_or(|highest| at > highest));
                    seen.insert(at);
                }
                let is_old = seen.last().is_some_and(|highest| at + WINDOW <= *highest);
                prop_assert_eq!(window.is_seen(at), seen.contains(&at) && !is_old);
                prop_assert_eq!(window.highest(), seen.last().copied());
            }
        }
    }
}
