//! Subscriptions to events by `subscribe events`: the address, the call, and the time of expiry; and the tokens that show that a
//! subscriber receives at its address.
//!
//! The source of a datagram can be forged. So that no request directs events at another machine, a request from another address than
//! loopback must repeat a token that was sent to this address (decision 0019). Tokens are computed, not stored, so a flood of requests
//! costs no memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use trestle_ng::command::Subscribe;
use trestle_ng::signature::Signed;

use super::reply_to::Origin;

/// A token is valid in the period in which it was made and in the next one.
const TOKEN_PERIOD: Duration = Duration::from_secs(60);

/// Bytes of a token: a guess of 64 bits.
const TOKEN_BYTES: usize = 8;

/// Each gets a copy of every event, so this bounds what one event costs.
const SUBSCRIBERS_MAX: usize = 64;

/// Subscribers of one IP address, so that no machine takes every place. Loopback addresses have no such limit: all local
/// applications share them.
const PER_ADDRESS_MAX: usize = 16;

#[derive(Debug)]
struct Subscriber {
    /// Where its last request came from, and where events are sent.
    origin: Origin,
    /// How its last request was signed; its events are signed with the same secret.
    signed: Option<Signed>,
    /// Only events of this call.
    call_id: Option<String>,
    until: Instant,
}

/// Makes and checks tokens.
pub(super) struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

impl TokenKey {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The token of a subscriber at this Unix time.
    pub(super) fn token(&self, unix: Duration, peer: SocketAddr) -> String {
        self.of_period(unix.as_secs() / TOKEN_PERIOD.as_secs(), peer)
    }

    /// True if a request may have an effect: its sender receives what is sent to its address.
    pub(super) fn is_confirmed(&self, unix: Duration, peer: SocketAddr, token: Option<&str>) -> bool {
        // The system accepts no datagram from another machine that claims to come from loopback.
        let period = unix.as_secs() / TOKEN_PERIOD.as_secs();
        peer.ip().to_canonical().is_loopback()
            || token.is_some_and(|token| (0..2).any(|back| self.of_period(period.saturating_sub(back), peer) == token))
    }

    fn of_period(&self, period: u64, peer: SocketAddr) -> String {
        let tag = hmac::sign(&self.0, format!("{period} {peer}").as_bytes());
        tag.as_ref().iter().take(TOKEN_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[derive(Debug, Default)]
pub(super) struct Subscribers(Vec<Subscriber>);

impl Subscribers {
    /// Adds or renews a subscription; one that expires at once is removed. False if there are too many, of all or of its
    /// address.
    pub(super) fn add(&mut self, now: Instant, origin: Origin, signed: Option<Signed>, subscribe: Subscribe) -> bool {
        let Subscribe { call_id, expires, .. } = subscribe;
        self.expire(now);
        self.0.retain(|known| !(is_same(known.origin, origin) && known.call_id == call_id));
        // A connected client receives only from the address that it asks now.
        for known in self.0.iter_mut().filter(|known| is_same(known.origin, origin)) {
            (known.origin, known.signed) = (origin, signed);
        }
        if expires.is_zero() {
            return true;
        }
        let ip = origin.peer().ip();
        let neighbours = self.0.iter().filter(|known| known.origin.peer().ip() == ip).count();
        let crowded = neighbours >= PER_ADDRESS_MAX && !ip.is_loopback();
        if crowded || self.0.len() == SUBSCRIBERS_MAX {
            return false;
        }
        self.0.push(Subscriber { origin, signed, call_id, until: now + expires });
        true
    }

    /// Removes subscriptions whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|known| known.until > now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where events of a call go, each once, however many subscriptions it has; and how they are signed.
    pub(super) fn of(&self, call_id: &str) -> Vec<(Origin, Option<Signed>)> {
        let mut found: Vec<(Origin, Option<Signed>)> = Vec::new();
        for known in self.0.iter().filter(|known| known.call_id.as_deref().is_none_or(|wanted| wanted == call_id)) {
            if !found.contains(&(known.origin, known.signed)) {
                found.push((known.origin, known.signed));
            }
        }
        found
    }
}

/// True if both are of one socket of one client, whichever address of the listener it sent to.
fn is_same(one: Origin, other: Origin) -> bool {
    match (one, other) {
        (Origin::Udp { listener: a, peer: one, .. }, Origin::Udp { listener: b, peer: other, .. }) => {
            (a, one) == (b, other)
        }
        _ => false,
    }
}
