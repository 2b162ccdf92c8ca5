//! Retransmits. Proxies send a request again after a second without a reply, up to five times; it must not run twice.
//!
//! A request is known by (source address and port, cookie): Kamailio 5.6 in two containers draws the same cookies, and
//! a cookie that another sender has seen or guessed must not open a cached reply, which may hold keys. The same cookie with
//! another body is an error: its sender has lost count, and neither the old reply nor a new effect would be right.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::frame::Cookie;

/// How long a reply can be had again. Kamailio gives up after 5 tries of 1 s; slow retry timers stay under 60 s.
const AGE_MAX: Duration = Duration::from_secs(60);

/// Requests remembered.
const ENTRIES_MAX: usize = 100_000;

/// Bytes of replies and cookies remembered.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What memory a remembered request costs beside its cookie and reply, roughly.
const ENTRY_BYTES: usize = 256;

/// Requests seen lately and their replies.
#[derive(Debug, Default)]
pub struct Replay {
    entries: BTreeMap<Key, Entry>,
    /// Keys by age, oldest first.
    order: VecDeque<(Instant, Key)>,
    bytes: usize,
}

type Key = (SocketAddr, Cookie);

#[derive(Debug)]
struct Entry {
    digest: Digest,
    /// `None` while the request is in work.
    reply: Option<Vec<u8>>,
}

/// Distinguishes the bodies of one sender; not meant to withstand a sender that forges its own.
type Digest = (usize, u64);

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Nothing: it is to be executed, then [`Replay::finish`]ed.
    New,
    /// It is being executed; the reply goes out once, when it is ready.
    InWork,
    /// It was executed; this is the reply.
    Done(&'a [u8]),
    /// The cookie was used for another body.
    Reused,
}

impl Replay {
    /// Looks a request up, and remembers it as in work if it is new.
    pub fn begin(&mut self, now: Instant, peer: SocketAddr, cookie: &Cookie, body: &[u8]) -> Seen<'_> {
        self.expire(now);
        let key = (peer, cookie.clone());
        let digest = digest(body);
        if !self.entries.contains_key(&key) {
            self.bytes += ENTRY_BYTES + cookie.as_bytes().len();
            self.order.push_back((now, key.clone()));
            self.entries.insert(key, Entry { digest, reply: None });
            self.shrink();
            return Seen::New;
        }
        match &self.entries[&key] {
            entry if entry.digest != digest => Seen::Reused,
            Entry { reply: Some(reply), .. } => Seen::Done(reply),
            Entry { reply: None, .. } => Seen::InWork,
        }
    }

    /// True if the request of this cookie is remembered.
    pub fn knows(&self, peer: SocketAddr, cookie: &Cookie) -> bool {
        self.entries.contains_key(&(peer, cookie.clone()))
    }

    /// Keeps the reply of a request that is no longer in work.
    pub fn finish(&mut self, peer: SocketAddr, cookie: &Cookie, reply: &[u8]) {
        if let Some(entry) = self.entries.get_mut(&(peer, cookie.clone()))
            && entry.reply.is_none()
        {
            entry.reply = Some(reply.to_vec());
            self.bytes += reply.len();
            self.shrink();
        }
    }

    /// Forgets what is too old; returns when to call again.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        while self.order.front().is_some_and(|(seen, _)| now.saturating_duration_since(*seen) >= AGE_MAX) {
            self.forget_oldest();
        }
        self.order.front().map(|(seen, _)| *seen + AGE_MAX)
    }

    /// When the oldest request will be forgotten.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.order.front().map(|(seen, _)| *seen + AGE_MAX)
    }

    fn shrink(&mut self) {
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, key)) = self.order.pop_front() else { return };
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes -= ENTRY_BYTES + key.1.as_bytes().len() + entry.reply.map_or(0, |reply| reply.len());
        }
    }
}

fn digest(body: &[u8]) -> Digest {
    // `DefaultHasher::new` has fixed keys: no entropy, the same in every run.
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    (body.len(), hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::super::frame::split;
    use super::*;

    fn cookie(text: &str) -> Cookie {
        split(format!("{text} x").as_bytes()).expect("a cookie").0
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do; the test does not advance it")]
        Instant::now()
    }

    #[test]
    fn a_retransmit_gets_the_same_bytes_and_runs_once() {
        let (mut replay, now) = (Replay::default(), start());
        assert_eq!(replay.begin(now, peer(1), &cookie("a"), b"ping"), Seen::New);
        assert_eq!(replay.begin(now, peer(1), &cookie("a"), b"ping"), Seen::InWork);
        replay.finish(peer(1), &cookie("a"), b"pong");
        for second in [1, 10, 59] {
            let later = now + Duration::from_secs(second);
            assert_eq!(replay.begin(later, peer(1), &cookie("a"), b"ping"), Seen::Done(b"pong"));
        }
        assert_eq!(replay.begin(now + Duration::from_secs(60), peer(1), &cookie("a"), b"ping"), Seen::New);
    }

    #[test]
    fn a_cookie_belongs_to_its_sender_and_its_body() {
        let (mut replay, now) = (Replay::default(), start());
        assert_eq!(replay.begin(now, peer(1), &cookie("a"), b"offer"), Seen::New);
        replay.finish(peer(1), &cookie("a"), b"keys");
        assert_eq!(replay.begin(now, peer(1), &cookie("a"), b"ping"), Seen::Reused);
        assert_eq!(replay.begin(now, peer(2), &cookie("a"), b"offer"), Seen::New);
        assert_eq!(replay.begin(now, peer(1), &cookie("b"), b"offer"), Seen::New);
    }

    #[test]
    fn the_number_of_requests_remembered_is_bounded() {
        let (mut replay, now) = (Replay::default(), start());
        for n in 0..ENTRIES_MAX + 10 {
            replay.begin(now, peer(1), &cookie(&n.to_string()), b"x");
        }
        assert_eq!((replay.entries.len(), replay.order.len()), (ENTRIES_MAX, ENTRIES_MAX));
        assert_eq!(replay.begin(now, peer(1), &cookie("0"), b"x"), Seen::New);
    }

    #[test]
    fn the_bytes_remembered_are_bounded_and_given_back() {
        let (mut replay, now) = (Replay::default(), start());
        let reply = vec![0; 1 << 20];
        for n in 0..100 {
            replay.begin(now, peer(1), &cookie(&n.to_string()), b"x");
            replay.finish(peer(1), &cookie(&n.to_string()), &reply);
            assert!(replay.bytes <= BYTES_MAX);
        }
        assert_eq!(replay.expire(now + AGE_MAX), None);
        assert_eq!((replay.bytes, replay.entries.len()), (0, 0));
    }
}
