//! A wire between two peers in virtual time, for the tests of this crate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{Meta, Phone, Transmit};

/// The four verbs.
pub(crate) trait Machine {
    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn poll_timeout(&self) -> Option<Instant>;
}

macro_rules! machine {
    ($peer:ty) => {
        impl Machine for $peer {
            fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
                <$peer>::handle_datagram(self, now, local, remote, bytes);
            }
            fn handle_timeout(&mut self, now: Instant) {
                <$peer>::handle_timeout(self, now);
            }
            fn poll_transmit(&mut self) -> Option<Transmit> {
                <$peer>::poll_transmit(self)
            }
            fn poll_timeout(&self) -> Option<Instant> {
                <$peer>::poll_timeout(self)
            }
        }
    };
}

machine!(Phone);
machine!(Meta);

/// What the wire does to RTP, RTCP, everything. Counts what it did.
pub(crate) struct Wire {
    pub(crate) now: Instant,
    pub(crate) delay: Duration,
    /// Of 1,000 datagrams towards the second peer.
    pub(crate) lost_per_mille: u32,
    pub(crate) doubled_per_mille: u32,
    /// These are 50 ms late.
    pub(crate) late_per_mille: u32,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
    rng: ChaCha8Rng,
    /// By time and order of sending; true goes to the second peer.
    queue: BTreeMap<(Instant, u64), (bool, Transmit)>,
    sent: u64,
}

impl Wire {
    pub(crate) fn new() -> Self {
        #[allow(clippy::disallowed_methods, reason = "a test has to begin some time")]
        let now = Instant::now();
        let rng = ChaCha8Rng::seed_from_u64(7);
        Self {
            now,
            delay: Duration::from_millis(10),
            lost_per_mille: 0,
            doubled_per_mille: 0,
            late_per_mille: 0,
            lost: 0,
            doubled: 0,
            late: 0,
            rng,
            queue: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Lets `first` and `second` talk for `seconds` of virtual time.
    pub(crate) fn run(&mut self, first: &mut dyn Machine, second: &mut dyn Machine, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        loop {
            self.collect(first, true);
            self.collect(second, false);
            let due = [first.poll_timeout(), second.poll_timeout(), self.queue.keys().next().map(|(at, _)| *at)];
            let Some(next) = due.into_iter().flatten().min().filter(|due| *due <= until) else {
                self.now = until;
                return;
            };
            let next = next.max(self.now);
            self.now = next;
            match self.queue.first_entry().filter(|entry| entry.key().0 <= next) {
                Some(entry) => {
                    let (to_second, Transmit { local, remote, bytes }) = entry.remove();
                    let to: &mut dyn Machine = if to_second { second } else { first };
                    to.handle_datagram(self.now, remote, local, &bytes);
                }
                None => {
                    first.handle_timeout(self.now);
                    second.handle_timeout(self.now);
                }
            }
        }
    }

    fn collect(&mut self, from: &mut dyn Machine, to_second: bool) {
        while let Some(transmit) = from.poll_transmit() {
            let mut dice = |per_mille: u32| to_second && self.rng.next_u32() % 1_000 < per_mille;
            let (lost, doubled, late) =
                (dice(self.lost_per_mille), dice(self.doubled_per_mille), dice(self.late_per_mille));
            self.lost += u64::from(lost);
            if lost {
                continue;
            }
            self.doubled += u64::from(doubled);
            self.late += u64::from(late);
            let delay = self.delay + Duration::from_millis(if late { 50 } else { 0 });
            for _ in 0..=u32::from(doubled) {
                self.sent += 1;
                self.queue.insert((self.now + delay, self.sent), (to_second, transmit.clone()));
            }
        }
    }
}
