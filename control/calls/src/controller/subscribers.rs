//! Subscriptions to events by `subscribe events`: the address, the call, and the time of expiry.

use std::net::SocketAddr;
use std::time::Instant;

use trestle_ng::command::Subscribe;

/// Each gets a copy of every event, so this bounds what one event costs.
const SUBSCRIBERS_MAX: usize = 64;

/// Subscribers of one IP address, so that no machine takes every place. Loopback addresses have no such limit: all local
/// applications share them.
const PER_ADDRESS_MAX: usize = 16;

#[derive(Debug)]
struct Subscriber {
    listener: usize,
    peer: SocketAddr,
    /// Only events of this call.
    call_id: Option<String>,
    until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Subscribers(Vec<Subscriber>);

impl Subscribers {
    /// Adds or renews a subscription; one that expires at once is removed. False if there are too many, of all or of its
    /// address.
    pub(super) fn add(&mut self, now: Instant, listener: usize, peer: SocketAddr, subscribe: Subscribe) -> bool {
        let Subscribe { call_id, expires } = subscribe;
        self.expire(now);
        self.0.retain(|known| (known.listener, known.peer, &known.call_id) != (listener, peer, &call_id));
        if expires.is_zero() {
            return true;
        }
        let neighbours = self.0.iter().filter(|known| known.peer.ip() == peer.ip()).count();
        let crowded = neighbours >= PER_ADDRESS_MAX && !peer.ip().is_loopback();
        if crowded || self.0.len() == SUBSCRIBERS_MAX {
            return false;
        }
        self.0.push(Subscriber { listener, peer, call_id, until: now + expires });
        true
    }

    /// Removes subscriptions whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|known| known.until > now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The listeners and addresses to which events of a call go, each once, however many subscriptions it has.
    pub(super) fn of(&self, call_id: &str) -> Vec<(usize, SocketAddr)> {
        let mut found: Vec<(usize, SocketAddr)> = Vec::new();
        for known in self.0.iter().filter(|known| known.call_id.as_deref().is_none_or(|wanted| wanted == call_id)) {
            if !found.contains(&(known.listener, known.peer)) {
                found.push((known.listener, known.peer));
            }
        }
        found
    }
}
