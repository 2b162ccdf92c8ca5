//! The first flight of a DTLS server as it arrives: ServerHello to ServerHelloDone, and records among it that the server has not sent.
//!
//! Nothing in this flight is authenticated before its signature is checked. A host that sees the path can send one record with the
//! peer's address first. The machine then takes the record for the server's, and ignores the real one, which has the same number. So
//! the flight is kept, and if the handshake does not go on, a new machine with the same ClientHello takes it again without one of its
//! datagrams. For the peer this is at most a repeated ClientHello.

use std::time::{Duration, Instant};

/// A handshake that has not gone on so long after the first datagram of the peer, or after the last attempt, is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// A HelloVerifyRequest is answered after this time, unless a ServerHello arrives: the answer would end the handshake of a server that
/// has not asked for it. Our servers of calls send none, because ICE has shown that the path works.
const HELLO_VERIFY_WAIT: Duration = Duration::from_millis(100);
/// A flight has two to five datagrams, and may be repeated.
const DATAGRAMS_MAX: usize = 16;
/// Attempts of one handshake. Each may check a signature.
const ATTEMPTS_MAX: u8 = 32;

const HELLO_VERIFY_REQUEST: u8 = 3;
const SERVER_HELLO: u8 = 2;

/// The datagrams of the peer's first flight.
#[derive(Debug, Default)]
pub(super) struct PeerFlight {
    datagrams: Vec<Vec<u8>>,
    /// Which of them the next attempt leaves out.
    suspect: usize,
    attempts: u8,
    retry_at: Option<Instant>,
    has_server_hello: bool,
    hello_verify: Option<(Instant, Vec<u8>)>,
}

impl PeerFlight {
    /// Takes a datagram. False if it is kept for later: [`PeerFlight::take_hello_verify`].
    pub(super) fn take(&mut self, now: Instant, datagram: &[u8]) -> bool {
        match clear_message_type(datagram) {
            Some(HELLO_VERIFY_REQUEST) => {
                if !self.has_server_hello {
                    self.hello_verify.get_or_insert_with(|| (now + HELLO_VERIFY_WAIT, datagram.to_vec()));
                }
                return false;
            }
            Some(SERVER_HELLO) => {
                self.has_server_hello = true;
                self.hello_verify = None;
            }
            Some(_) => {}
            // Alerts and encrypted records belong to no flight.
            None => return true,
        }
        if self.datagrams.len() == DATAGRAMS_MAX {
            self.datagrams.remove(0);
            self.suspect = self.suspect.saturating_sub(1);
        }
        self.datagrams.push(datagram.to_vec());
        self.retry_at.get_or_insert(now + RETRY_AFTER);
        true
    }

    /// The HelloVerifyRequest that is to be answered now.
    pub(super) fn take_hello_verify(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.hello_verify.take_if(|(at, _)| *at <= now).map(|(_, datagram)| datagram)
    }

    /// True if it is time for another attempt.
    pub(super) fn is_retry_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    /// The datagrams of the next attempt, which begins at `now`; `None` if there have been enough. After each datagram was left out once,
    /// all are dropped, and the peer's repetition is awaited.
    pub(super) fn next_attempt(&mut self, now: Instant) -> Option<impl Iterator<Item = &[u8]>> {
        if self.attempts == ATTEMPTS_MAX {
            self.retry_at = None;
            return None;
        }
        self.attempts += 1;
        self.retry_at = Some(now + RETRY_AFTER);
        let suspect = self.suspect;
        self.suspect += 1;
        if suspect >= self.datagrams.len() {
            self.datagrams.clear();
            (self.suspect, self.retry_at, self.has_server_hello) = (0, None, false);
        }
        let others = self.datagrams.iter().enumerate().filter(move |(n, _)| *n != suspect);
        Some(others.map(|(_, datagram)| datagram.as_slice()))
    }

    /// The flight is complete, or another handshake begins.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        crate::time::soonest(self.retry_at, self.hello_verify.as_ref().map(|(at, _)| *at))
    }
}

/// Type of the first handshake message of a datagram; `None` if that is no handshake record, or encrypted (RFC 6347 4.1, 4.2.2).
pub(super) fn clear_message_type(datagram: &[u8]) -> Option<u8> {
    let is_clear_handshake = datagram.first() == Some(&22) && datagram.get(3..5) == Some(&[0, 0]);
    datagram.get(13).copied().filter(|_| is_clear_handshake)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(message_type: u8, tag: u8) -> Vec<u8> {
        [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13][..], &[message_type, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, tag]]
            .concat()
    }

    #[test]
    fn each_attempt_leaves_out_one_datagram_and_after_the_last_the_flight_is_awaited_again() {
        let now = Instant::now();
        let mut flight = PeerFlight::default();
        for tag in 1..=3 {
            assert!(flight.take(now, &message(SERVER_HELLO, tag)));
        }
        let mut attempt = || -> Option<Vec<u8>> {
            let datagrams = flight.next_attempt(now)?;
            Some(datagrams.filter_map(|datagram| datagram.last().copied()).collect())
        };
        assert_eq!(
            [attempt(), attempt(), attempt(), attempt()],
            [Some(vec![2, 3]), Some(vec![1, 3]), Some(vec![1, 2]), Some(vec![])]
        );
        assert_eq!((4..40).map_while(|_| attempt()).count(), usize::from(ATTEMPTS_MAX) - 4, "they are bounded");
    }

    #[test]
    fn a_hello_verify_request_is_answered_only_if_no_server_hello_comes() {
        let now = Instant::now();
        let later = now + HELLO_VERIFY_WAIT;
        let mut flight = PeerFlight::default();
        assert!(!flight.take(now, &message(HELLO_VERIFY_REQUEST, 1)));
        assert_eq!(flight.take_hello_verify(now), None);
        assert_eq!(flight.take_hello_verify(later), Some(message(HELLO_VERIFY_REQUEST, 1)));
        assert!(!flight.take(now, &message(HELLO_VERIFY_REQUEST, 2)));
        assert!(flight.take(now, &message(SERVER_HELLO, 3)));
        assert!(!flight.take(now, &message(HELLO_VERIFY_REQUEST, 4)));
        assert_eq!(flight.take_hello_verify(later), None);
    }
}
