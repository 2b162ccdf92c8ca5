//! The places of one listener: how many connections there may be, of all addresses and of one, and which connection makes room for
//! a new one.

#![expect(
    clippy::disallowed_types,
    reason = "listener threads share the places; locked when a connection opens or ends, never for a packet"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What a connection beyond the limit leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// It is refused. Loopback addresses have no limit of their own: all local applications share them.
    Refuse,
    /// An idle connection is closed for it: one that never sent a message before the others, and of these the one that has been
    /// idle for longest. Connections within a message remain; if all are, the new one is refused.
    Displace,
}

/// The places of one listener. A clone refers to the same places.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Connections at a time.
    max: usize,
    /// Connections of one IP address at a time.
    of_address_max: usize,
    crowded: Crowded,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    by_number: BTreeMap<u64, TakenPlace>,
    last_number: u64,
    /// Rises with each change, in place of a clock.
    turn: u64,
}

#[derive(Debug)]
struct TakenPlace {
    address: IpAddr,
    use_of_it: Use,
    /// Dropped if the place is given to another connection.
    _keeper: oneshot::Sender<()>,
}

/// The order is that in which connections make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// No message yet, since this turn.
    Unused(u64),
    /// After a message, since this turn.
    Idle(u64),
    /// Within a message.
    Busy,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    taken: Arc<Mutex<Taken>>,
    /// Ends when the place is given to another connection: this one is to be closed.
    pub(crate) displaced: oneshot::Receiver<()>,
}

impl Places {
    pub(crate) fn new(max: usize, of_address_max: usize, crowded: Crowded) -> Self {
        Self { max, of_address_max, crowded, taken: Arc::default() }
    }

    /// A place for a connection from `address`, and whether another connection has lost its own. `None` if there is none.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<(Place, bool)> {
        let mut taken = lock(&self.taken);
        let of_address = taken.by_number.values().filter(|place| place.address == address).count();
        let mut displaced = false;
        let is_limited = self.crowded == Crowded::Displace || !address.is_loopback();
        if of_address >= self.of_address_max && is_limited {
            displaced |= self.make_room(&mut taken, Some(address))?;
        }
        if taken.by_number.len() >= self.max {
            displaced |= self.make_room(&mut taken, None)?;
        }
        taken.last_number += 1;
        taken.turn += 1;
        let (number, turn) = (taken.last_number, taken.turn);
        let (keeper, lost) = oneshot::channel();
        taken.by_number.insert(number, TakenPlace { address, use_of_it: Use::Unused(turn), _keeper: keeper });
        drop(taken);
        Some((Place { number, taken: Arc::clone(&self.taken), displaced: lost }, displaced))
    }

    /// Gives up one place, of `address` if given. `None` if there is none to give up.
    fn make_room(&self, taken: &mut Taken, address: Option<IpAddr>) -> Option<bool> {
        let candidates = taken.by_number.iter().filter(|(_, place)| {
            self.crowded == Crowded::Displace
                && place.use_of_it != Use::Busy
                && address.is_none_or(|address| place.address == address)
        });
        let (number, _) = candidates.min_by_key(|(_, place)| place.use_of_it)?;
        let number = *number;
        taken.by_number.remove(&number).map(|_| true)
    }
}

impl Place {
    /// A message has begun; or it has ended, with its reply.
    pub(crate) fn set_busy(&self, busy: bool) {
        let mut taken = lock(&self.taken);
        taken.turn += 1;
        let turn = taken.turn;
        if let Some(place) = taken.by_number.get_mut(&self.number) {
            place.use_of_it = if busy { Use::Busy } else { Use::Idle(turn) };
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.taken).by_number.remove(&self.number);
    }
}

/// No operation under the lock leaves the list half changed.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_displaced(place: &mut Place) -> bool {
        place.displaced.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn a_new_connection_takes_the_place_of_one_that_never_sent_a_message() {
        let places = Places::new(3, 3, Crowded::Displace);
        let admit = |last| places.admit(address(last)).map(|(place, _)| place);
        let (mut proxy, mut silent, mut later) = (admit(1).unwrap(), admit(2).unwrap(), admit(3).unwrap());
        proxy.set_busy(true);
        proxy.set_busy(false);
        let mut next = admit(4).unwrap();
        assert!(is_displaced(&mut silent));
        assert!(!is_displaced(&mut proxy) && !is_displaced(&mut later));
        // Its end frees no place twice.
        drop(silent);
        next.set_busy(true);
        let mut last = admit(5).unwrap();
        assert!(is_displaced(&mut later), "it never sent anything; the proxy did");
        last.set_busy(true);
        let other = admit(6).unwrap();
        assert!(is_displaced(&mut proxy), "it is the only one that is idle");
        other.set_busy(true);
        assert!(admit(7).is_none(), "none is closed within a message");
        assert!(!is_displaced(&mut next) && !is_displaced(&mut last));
        drop(other);
        assert!(admit(7).is_some());
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let places = Places::new(4, 2, Crowded::Displace);
        let [mut first, second] = [(); 2].map(|()| places.admit(address(1)).unwrap().0);
        let mut neighbour = places.admit(address(2)).unwrap().0;
        let (third, displaced) = places.admit(address(1)).unwrap();
        assert!(displaced && is_displaced(&mut first) && !is_displaced(&mut neighbour));
        second.set_busy(true);
        third.set_busy(true);
        assert!(places.admit(address(1)).is_none());
        assert!(places.admit(address(3)).is_some());
    }

    #[test]
    fn readers_keep_their_places() {
        let places = Places::new(3, 2, Crowded::Refuse);
        let mut first = [(); 2].map(|()| places.admit(address(1)).unwrap().0);
        assert!(places.admit(address(1)).is_none());
        let _other = places.admit(address(2)).unwrap();
        assert!(places.admit(address(3)).is_none());
        assert!(!first.iter_mut().any(is_displaced));
        drop(first);
        assert!(places.admit(address(1)).is_some());
    }

    #[test]
    fn a_limit_of_none_admits_no_connection() {
        for (max, of_address_max) in [(0, 0), (0, 1), (1, 0)] {
            for crowded in [Crowded::Refuse, Crowded::Displace] {
                assert!(Places::new(max, of_address_max, crowded).admit(address(1)).is_none());
            }
        }
    }
}
