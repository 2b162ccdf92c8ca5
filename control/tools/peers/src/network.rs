//! A bad network in one direction: it delays, makes packets wait for each other, and loses media.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trestle_wire::demux::DatagramKind;

use crate::Transmit;

/// What it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkOptions {
    /// How many of a hundred RTP and RTCP packets are lost. Checks and handshakes pass.
    pub loss_percent: u32,
    /// How long everything takes.
    pub delay: Duration,
    /// Up to this much longer, drawn for each datagram. None overtakes another.
    pub jitter: Duration,
}

/// Loses media at random.
#[derive(Debug)]
pub struct Loss {
    rng: ChaCha8Rng,
    percent: u32,
    lost: u64,
}

impl Loss {
    /// Loses `percent` of a hundred RTP and RTCP packets. `seed` selects which.
    pub fn new(percent: u32, seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), percent, lost: 0 }
    }

    /// True if this datagram gets lost.
    pub fn takes(&mut self, datagram: &[u8]) -> bool {
        let media = matches!(DatagramKind::of(datagram), Some(DatagramKind::Rtp | DatagramKind::Rtcp));
        let takes = media && self.rng.next_u32() % 100 < self.percent;
        self.lost += u64::from(takes);
        takes
    }

    /// How many were lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// Datagrams on their way. Sans-IO like the peers: what goes in by [`Network::send`] comes out of [`Network::poll`].
#[derive(Debug)]
pub struct Network {
    options: NetworkOptions,
    rng: ChaCha8Rng,
    loss: Loss,
    flying: BTreeMap<(Instant, u64), Transmit>,
    last_at: Option<Instant>,
    sent: u64,
    overflown: u64,
}

/// Datagrams that fly at once; more are lost, as in every queue.
const FLYING_MAX: usize = 10_000;

impl Network {
    /// An empty one. Everything random comes from `seed`.
    pub fn new(options: NetworkOptions, seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let loss = Loss::new(options.loss_percent, seed);
        Self { options, rng, loss, flying: BTreeMap::new(), last_at: None, sent: 0, overflown: 0 }
    }

    /// Takes a datagram, or loses it.
    pub fn send(&mut self, now: Instant, transmit: Transmit) {
        if self.loss.takes(&transmit.bytes) {
            return;
        }
        if self.flying.len() >= FLYING_MAX {
            self.overflown += 1;
            return;
        }
        let jitter_us = self.options.jitter.as_micros() as u64;
        let jitter_us = if jitter_us == 0 { 0 } else { self.rng.next_u64() % (jitter_us + 1) };
        let at = now + self.options.delay + Duration::from_micros(jitter_us);
        let at = self.last_at.map_or(at, |last| at.max(last));
        self.last_at = Some(at);
        self.sent += 1;
        self.flying.insert((at, self.sent), transmit);
    }

    /// The next datagram that has arrived.
    pub fn poll(&mut self, now: Instant) -> Option<Transmit> {
        let entry = self.flying.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// When the next one arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    /// How many packets were lost.
    pub fn lost(&self) -> u64 {
        self.loss.lost() + self.overflown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transmit(first: u8, number: u8) -> Transmit {
        let address = "192.0.2.1:1".parse().unwrap();
        Transmit { local: address, remote: address, bytes: vec![first, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }
    }

    #[test]
    fn media_is_lost_as_asked_and_the_rest_arrives_late_and_in_order() {
        #[allow(clippy::disallowed_methods, reason = "a test has to begin some time")]
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut network = Network::new(NetworkOptions { loss_percent: 20, delay: ms(50), jitter: ms(30) }, 1);
        let stun = |transmit: &Transmit| transmit.bytes[0] == 0;
        for n in 0..200 {
            let now = start + ms(u64::from(n) * 5);
            // RTP, and what looks like STUN.
            network.send(now, transmit(0x80, n));
            network.send(now, transmit(0, n));
        }
        let (mut order, mut checks, mut media) = (Vec::new(), 0, 0);
        while let Some(at) = network.poll_timeout() {
            let arrived = network.poll(at).unwrap();
            let sent = start + ms(u64::from(arrived.bytes[1]) * 5);
            assert!(at >= sent + ms(50) && at <= sent + ms(110), "{:?}", at - sent);
            order.push(arrived.bytes[1]);
            if stun(&arrived) { checks += 1 } else { media += 1 }
        }
        assert!(order.is_sorted());
        assert_eq!((checks, media), (200, 200 - network.lost()));
        assert!((20..60).contains(&network.lost()), "{}", network.lost());
    }
}
