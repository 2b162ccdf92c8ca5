//! The newest datagrams that a peer has received, by which it knows a copy.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Datagrams that are remembered: more than a network holds back.
const RECENT_MAX: usize = 256;

/// Hashes of datagrams, the newest first.
#[derive(Debug, Default)]
pub(crate) struct RecentDatagrams(VecDeque<u64>);

impl RecentDatagrams {
    /// True if the same bytes have come shortly before.
    pub(crate) fn is_copy(&mut self, datagram: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        datagram.hash(&mut hasher);
        let hash = hasher.finish();
        let is_copy = self.0.contains(&hash);
        self.0.truncate(RECENT_MAX - 1);
        self.0.push_front(hash);
        is_copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_among_the_newest_datagrams() {
        let mut recent = RecentDatagrams::default();
        for n in 0..1_000u16 {
            assert!(!recent.is_copy(&n.to_be_bytes()));
            assert!(n < 200 || recent.is_copy(&(n - 100).to_be_bytes()));
        }
    }
}
