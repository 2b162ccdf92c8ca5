//! The network: one link to each peer, with its own delay, jitter, loss, repetition and disorder.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What happens to datagrams to and from one address.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// One-way delay.
    pub delay: Duration,
    /// Up to this much more, drawn for each datagram; datagrams stay in order unless `reorder_permille` moves them.
    pub jitter: Duration,
    /// Lost, of 1,000.
    pub loss_permille: u32,
    /// With a datagram that is lost, so many more of the same direction go; 0 for losses that come alone.
    pub burst: u32,
    /// Delivered twice, of 1,000.
    pub repeat_permille: u32,
    /// Held back behind later ones, of 1,000.
    pub reorder_permille: u32,
}

impl Link {
    /// 5 ms each way and nothing else.
    pub const CLEAN: Self = Self {
        delay: Duration::from_millis(5),
        jitter: Duration::ZERO,
        loss_permille: 0,
        burst: 0,
        repeat_permille: 0,
        reorder_permille: 0,
    };

    /// The same link losing `permille` of 1,000 datagrams.
    pub const fn losing(self, permille: u32) -> Self {
        Self { loss_permille: permille, ..self }
    }

    /// The same link losing datagrams in bursts of `burst` more, each direction for itself.
    pub const fn bursty(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// The same link with up to `ms` of jitter.
    pub const fn jittery(self, ms: u64) -> Self {
        Self { jitter: Duration::from_millis(ms), ..self }
    }

    /// The same link with a one-way delay of `ms`.
    pub const fn delayed(self, ms: u64) -> Self {
        Self { delay: Duration::from_millis(ms), ..self }
    }

    /// The same link holding back `permille` of 1,000 datagrams by 30 ms.
    pub const fn reordering(self, permille: u32) -> Self {
        Self { reorder_permille: permille, ..self }
    }

    /// The same link delivering `permille` of 1,000 datagrams twice.
    pub const fn repeating(self, permille: u32) -> Self {
        Self { repeat_permille: permille, ..self }
    }
}

/// A datagram on its way.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// UDP payload.
    pub bytes: Vec<u8>,
}

/// Datagrams in flight.
#[derive(Debug)]
pub struct Net {
    links: BTreeMap<IpAddr, Link>,
    flying: BTreeMap<(Instant, u64), Datagram>,
    last_arrival: BTreeMap<(SocketAddr, SocketAddr), Instant>,
    /// What is left of a burst of losses.
    bursts: BTreeMap<(SocketAddr, SocketAddr), u32>,
    count: u64,
    rng: ChaCha8Rng,
}

impl Net {
    /// A network of clean links.
    pub fn new(seed: u64) -> Self {
        Self {
            links: BTreeMap::new(),
            flying: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            bursts: BTreeMap::new(),
            count: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Gives the peer at `ip` this link, both ways.
    pub fn set_link(&mut self, ip: IpAddr, link: Link) {
        self.links.insert(ip, link);
        // What was left of a burst belonged to the old link.
        self.bursts.retain(|(from, to), _| from.ip() != ip && to.ip() != ip);
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Instant, datagram: Datagram) {
        let link = [datagram.to.ip(), datagram.from.ip()].iter().find_map(|ip| self.links.get(ip)).copied();
        let link = link.unwrap_or(Link::CLEAN);
        let way = (datagram.from, datagram.to);
        if let Some(left) = self.bursts.get_mut(&way).filter(|left| **left > 0) {
            *left -= 1;
            return;
        }
        if self.happens(link.loss_permille) {
            self.bursts.insert(way, link.burst);
            return;
        }
        let jitter_ns = link.jitter.as_nanos() as u64;
        let jitter = Duration::from_nanos(if jitter_ns == 0 { 0 } else { self.rng.next_u64() % jitter_ns });
        let held_back = self.happens(link.reorder_permille);
        let mut at = now + link.delay + jitter;
        let last = self.last_arrival.entry((datagram.from, datagram.to)).or_insert(at);
        if held_back {
            at += Duration::from_millis(30);
        } else {
            at = at.max(*last);
            *last = at;
        }
        if self.happens(link.repeat_permille) {
            self.put(at + Duration::from_millis(1), datagram.clone());
        }
        self.put(at, datagram);
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn arrive(&mut self, now: Instant) -> Option<Datagram> {
        let key = *self.flying.first_key_value().filter(|((at, _), _)| *at <= now)?.0;
        self.flying.remove(&key)
    }

    fn put(&mut self, at: Instant, datagram: Datagram) {
        self.count += 1;
        self.flying.insert((at, self.count), datagram);
    }

    fn happens(&mut self, permille: u32) -> bool {
        permille > 0 && self.rng.next_u32() % 1_000 < permille
    }
}
