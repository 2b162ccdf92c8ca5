//! SSRCs of this process: they are recognised on any leg of any call, on any thread, without a table.

use trestle_wire::Ssrc;

/// Makes the SSRCs of this process, and recognises them: the lower half of each is a keyed function of its upper half.
///
/// An SSRC of a peer looks like one of these with a probability of 1 in 65,536; see docs/decisions/0020.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSsrcs {
    key: u64,
}

impl OwnSsrcs {
    /// `key` is random, and the same for the controller and all shards of a process. It is no secret: an SSRC that imitates
    /// those of this process only gets a smaller budget.
    pub fn new(key: u64) -> Self {
        Self { key }
    }

    /// An SSRC of this process, never 0. `random` selects one of 65,536.
    pub fn make(self, random: u16) -> Ssrc {
        let mark = self.mark(random);
        Ssrc(u32::from(random) << 16 | u32::from(mark))
    }

    /// True if this process has made `ssrc`, or a peer has drawn one that looks so.
    pub fn contains(self, ssrc: Ssrc) -> bool {
        (ssrc.0 & 0xffff) as u16 == self.mark((ssrc.0 >> 16) as u16)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), keyed by its state; never 0, so that no SSRC is 0.
    fn mark(self, random: u16) -> u16 {
        let mut z = self.key.wrapping_add(u64::from(random).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) as u16).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_ssrc_of_a_process_is_recognised_and_no_two_are_the_same() {
        for key in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let own = OwnSsrcs::new(key);
            let all: BTreeSet<u32> = (0..=u16::MAX).map(|random| own.make(random).0).collect();
            assert_eq!(all.len(), 65_536);
            assert!(!all.contains(&0) && all.iter().all(|ssrc| own.contains(Ssrc(*ssrc))), "{key:#x}");
        }
    }

    #[test]
    fn of_a_million_other_ssrcs_about_one_in_65536_looks_like_one() {
        for key in [0, 7, 0xfeed_beef_cafe_0001] {
            let own = OwnSsrcs::new(key);
            // 1,000,003 is odd, so that the steps go through all residues.
            let like = (1..=1_000_000u32).filter(|n| own.contains(Ssrc(n.wrapping_mul(1_000_003)))).count();
            assert!((3..=40).contains(&like), "{key:#x}: {like}, about 15 are expected");
            let other = OwnSsrcs::new(key + 1);
            let of_another_process = (0..=u16::MAX).filter(|random| own.contains(other.make(*random))).count();
            assert!(of_another_process < 12, "{key:#x}: {of_another_process}, about 1 is expected");
        }
    }
}
