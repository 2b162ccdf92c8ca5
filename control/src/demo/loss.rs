//! The network from the peers to Trestle, which loses media at random if it is asked to.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trestle_wire::demux::Kind;

use super::scene::Party;

pub(crate) struct Loss {
    rng: ChaCha8Rng,
    percent: u32,
    /// RTP and RTCP of each party.
    lost: [u64; 2],
}

impl Loss {
    pub(crate) fn new(percent: u32, seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), percent, lost: [0; 2] }
    }

    /// True if this datagram of `party` gets lost.
    pub(crate) fn takes(&mut self, party: Party, datagram: &[u8]) -> bool {
        let media = matches!(Kind::of(datagram), Some(Kind::Rtp | Kind::Rtcp));
        let takes = media && self.rng.next_u32() % 100 < self.percent;
        self.lost[party as usize] += u64::from(takes);
        takes
    }

    /// How many of `party` were lost.
    pub(crate) fn of(&self, party: Party) -> u64 {
        self.lost[party as usize]
    }
}
