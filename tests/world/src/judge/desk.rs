//! The signalling client: sends requests and judges the replies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use crate::world::World;

/// Where the client sends from.
const CLIENT: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(192, 0, 2, 250), 5_000));
/// A reply is kept for repeats this long.
const REPEATED_FOR: Duration = Duration::from_secs(60);
/// Bytes of a reply without its SDP.
const REPLY_BYTES_MAX: usize = 8_192;
/// Bytes of a reply that refuses.
const REFUSAL_BYTES_MAX: usize = 1_200;

/// A request that was answered.
#[derive(Debug, Clone)]
struct Past {
    at: Instant,
    call: Option<u8>,
    bytes: Vec<u8>,
    reply: Vec<u8>,
}

/// The client's book.
#[derive(Debug, Default)]
pub(super) struct Desk {
    cookie: u64,
    past: Vec<Past>,
    /// Requests without a reply, by cookie.
    owed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Requests answered.
    pub(super) replies: u64,
}

impl Desk {
    /// Sends a request about call number `call` and gives the reply.
    pub(super) fn ask(&mut self, world: &mut World, call: Option<u8>, request: &Value) -> Value {
        self.cookie += 1;
        let bytes = format!("j{} {request}", self.cookie).into_bytes();
        let Some(reply) = self.send(world, &bytes) else {
            self.owe(world, &bytes);
            return Value::Null;
        };
        let value = read(&bytes, &reply);
        self.past.push(Past { at: world.now(), call, bytes, reply });
        value
    }

    /// Sends an earlier request again. Gives the call that is no longer as its client believes, if there is one.
    pub(super) fn repeat(&mut self, world: &mut World, back: u8, anew: bool) -> Option<u8> {
        let past = self.past.iter().rev().nth(back.into())?.clone();
        if anew {
            self.cookie += 1;
            let body = past.bytes.iter().position(|byte| *byte == b' ').map(|at| past.bytes[at..].to_vec())?;
            let bytes = [format!("j{}", self.cookie).as_bytes(), &body].concat();
            match self.send(world, &bytes) {
                Some(reply) => drop(read(&bytes, &reply)),
                None => self.owe(world, &bytes),
            }
            return past.call;
        }
        let reply = self.send(world, &past.bytes).expect("a repeat has a reply");
        if world.now() < past.at + REPEATED_FOR {
            assert_eq!(
                String::from_utf8_lossy(&reply),
                String::from_utf8_lossy(&past.reply),
                "another reply to the same request"
            );
            return None;
        }
        past.call
    }

    /// Sends an earlier request with some bytes changed.
    pub(super) fn garble(&mut self, world: &mut World, back: u8, seed: u64) -> Option<u8> {
        let past = self.past.iter().rev().nth(back.into())?.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        self.cookie += 1;
        let mut bytes = past.bytes.clone();
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        bytes.splice(..space, format!("g{}", self.cookie).into_bytes());
        for _ in 0..=rng.next_u32() % 3 {
            let at = rng.next_u32() as usize % bytes.len();
            match rng.next_u32() % 4 {
                0 => bytes.truncate(at.max(1)),
                1 => drop(bytes.remove(at)),
                2 => bytes[at] ^= 1 << (rng.next_u32() % 8),
                _ => bytes.insert(at, rng.next_u32() as u8),
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        let before = world.trestle().controller.counters().clone();
        let reply = self.send(world, &bytes);
        let after = world.trestle().controller.counters();
        let is_counted = (after.dropped, after.retransmits) != (before.dropped, before.retransmits);
        match reply {
            Some(reply) => drop(split(&bytes).map(|_| read(&bytes, &reply))),
            // It is no request, or the copy of one that is answered later.
            None if is_counted => {}
            None => self.owe(world, &bytes),
        }
        past.call
    }

    /// A request has no reply yet: only a full mailbox can be the reason, or a request before it that waits for one.
    fn owe(&mut self, world: &mut World, bytes: &[u8]) {
        let request = String::from_utf8_lossy(bytes);
        let waits = world.trestle().is_mailbox_full || !self.owed.is_empty();
        assert!(waits, "no reply to {request}");
        let cookie = split(bytes).expect("a cookie").0.to_vec();
        self.owed.insert(cookie, bytes.to_vec());
    }

    /// Each reply that comes later answers a request that has none.
    fn take_late(&mut self, world: &mut World) {
        for (to, reply) in std::mem::take(&mut world.trestle().late_replies) {
            assert_eq!(to, CLIENT, "a reply to another address");
            let cookie = split(&reply).expect("a cookie").0;
            let request = self.owed.remove(cookie).expect("a reply to a request that has none yet");
            read(&request, &reply);
            self.replies += 1;
        }
    }

    /// Every request must have its reply by now.
    pub(super) fn check_all_answered(&mut self, world: &mut World) {
        let mut replies = world.trestle().take_replies();
        world.trestle().late_replies.append(&mut replies);
        self.take_late(world);
        let owed: Vec<_> = self.owed.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert!(owed.is_empty(), "never answered: {owed:?}");
    }

    /// At most one reply, and to its sender.
    fn send(&mut self, world: &mut World, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut replies = world.ng_all(CLIENT, bytes);
        self.take_late(world);
        assert!(replies.len() <= 1, "{} replies to one request", replies.len());
        let (to, reply) = replies.pop()?;
        assert_eq!(to, CLIENT, "a reply to another address");
        self.replies += 1;
        Some(reply)
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..space], &bytes[space + 1..]))
}

/// The reply, if it is one to this request: its cookie, its encoding, a result, a bounded length.
fn read(request: &[u8], reply: &[u8]) -> Value {
    let (cookie, asked) = split(request).expect("a cookie");
    let (answered, body) = split(reply).expect("a cookie");
    assert_eq!(answered, cookie, "another cookie");
    if asked.first() != Some(&b'{') {
        // The encoding of what was damaged is bencode, or it is not known.
        assert!(body.starts_with(b"d") && body.ends_with(b"e"), "neither JSON nor bencode");
        assert!(body.len() <= REPLY_BYTES_MAX, "{} bytes", reply.len());
        return Value::Null;
    }
    let value: Value = serde_json::from_slice(body).expect("JSON");
    let sdp = value["sdp"].as_str().map_or(0, str::len);
    match value["result"].as_str() {
        Some("ok" | "pong") => assert!(reply.len() <= REPLY_BYTES_MAX + 2 * sdp, "{} bytes", reply.len()),
        Some("error" | "load limit") => {
            assert!(reply.len() <= REFUSAL_BYTES_MAX, "{} bytes to refuse", reply.len());
            assert!(value["error-reason"].is_string() || value["message"].is_string(), "no reason: {value}");
        }
        _ => panic!("no result: {value}"),
    }
    value
}
