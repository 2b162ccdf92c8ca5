//! Control datagrams, real, spoilt and made up, against a whole Trestle: at most one reply each, which can be read; what
//! is refused changes nothing; no port is lost.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use trestle_ng::frame::{self, Encoding};
use trestle_ng::reply::{REPLY_BYTES, REPLY_BYTES_MAX};
use trestle_ng::value::{Dict, Value};
use trestle_world::SimulatedTrestle;

use super::input::{Input, mutate};
use super::{samples, trestle};

const CALLS: [&str; 3] = ["a", "b", "c"];
const TAGS: [&str; 4] = ["x", "y", "z", ""];

/// First byte 0: the rest is one datagram. Else operations until the input ends.
pub fn ng_datagram(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let mut desk = Desk::new();
    if input.byte() == 0 {
        desk.send(client(0), input.rest().to_vec());
        return desk.replies;
    }
    while !input.is_empty() {
        match input.below(8) {
            0 => {
                let datagram = input.bytes().to_vec();
                desk.send(client(input.below(3)), datagram);
            }
            1 => desk.repeat(&mut input),
            2 => {
                desk.trestle.advance(Duration::from_millis(u64::from(input.u16()) * if input.flag() { 1 } else { 10 }))
            }
            choice => {
                let mut datagram = desk.request(&mut input);
                if choice == 3 {
                    mutate(&mut input, &mut datagram);
                }
                desk.send(client(input.below(3)), datagram);
            }
        }
    }
    desk.replies
}

fn client(n: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 10 + n as u8 % 2], 5_000 + n as u16))
}

/// When a request was answered, its body, and the reply.
type Past = (Duration, Vec<u8>, Vec<u8>);

struct Desk {
    trestle: SimulatedTrestle,
    cookie: u32,
    /// The body of each request by sender and cookie, with its reply, for a minute of virtual time.
    past: BTreeMap<(SocketAddr, Vec<u8>), Past>,
    last: Vec<(SocketAddr, Vec<u8>)>,
    replies: usize,
}

/// What a refused request must leave as it is.
#[derive(Debug, PartialEq)]
struct State {
    calls: usize,
    legs: u64,
    pairs: usize,
    /// The reply to `query` for each call.
    reports: Vec<Dict>,
}

impl Desk {
    fn new() -> Self {
        Self { trestle: trestle(), cookie: 0, past: BTreeMap::new(), last: Vec::new(), replies: 0 }
    }

    /// A request as proxies and applications send it.
    fn request(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        // Half of all requests open or change calls; the other half has any verb.
        let verbs: Vec<&str> = trestle_ng::command::verb_names().collect();
        let command = if input.flag() { input.one_of(&["offer", "answer"]) } else { input.one_of(&verbs) };
        let mut dict = Dict::default().with("command", command).with("call-id", input.one_of(&CALLS));
        dict.push("from-tag", input.one_of(&TAGS));
        let names_two = matches!(command, "answer" | "connect");
        if names_two || input.below(4) == 0 {
            dict.push("to-tag", input.one_of(&TAGS));
        }
        if input.below(4) == 0 {
            dict.push("via-branch", input.one_of(&TAGS));
        }
        if matches!(command, "offer" | "answer" | "create answer") {
            let mut sdp = input.one_of(&samples::SDP).as_bytes().to_vec();
            if input.below(4) == 0 {
                mutate(input, &mut sdp);
            }
            dict.push("sdp", String::from_utf8_lossy(&sdp).into_owned());
        }
        match command {
            "offer" | "answer" | "create" | "create answer" => dict.0.extend(samples::flags(input).0),
            "gate" => {
                dict.push("op", input.one_of(&["open", "close", "ajar"]));
                if input.flag() {
                    dict.push("pre-roll", input.one_of(&["keep", "drop"]));
                }
            }
            "subscribe events" if input.flag() => dict.push("expires", Value::Integer(input.below(3) as i64 - 1)),
            "play DTMF" => {
                dict.push("code", Value::Integer(input.below(18) as i64));
                dict.push("duration", Value::Integer(i64::from(input.u16())));
            }
            _ if input.below(4) == 0 => {
                dict.push("label", input.one_of(&["a b\u{fc}", "unknown"]));
                dict.push("address", input.one_of(&["198.51.100.7", "31.13.66.1", "nowhere"]));
            }
            _ => {}
        }
        if command == "delete" && input.flag() {
            dict.push("delete-delay", Value::Integer(input.below(3) as i64 - 1));
        }
        if input.below(8) == 0 {
            dict.push("flags", vec![Value::from("verbose"), Value::from("fatal")]);
        }
        self.cookie += 1;
        let encoding = if input.flag() { Encoding::Json } else { Encoding::Bencode };
        [format!("c{} ", self.cookie).as_bytes(), &encoding.write(&dict)].concat()
    }

    /// An earlier datagram again: from its sender, from another, or with another body.
    fn repeat(&mut self, input: &mut Input<'_>) {
        if self.last.is_empty() {
            return;
        }
        let (mut peer, mut datagram) = self.last[input.below(self.last.len())].clone();
        match input.below(3) {
            0 => {}
            1 => peer = client(input.below(3)),
            _ => datagram.push(b' '),
        }
        self.send(peer, datagram);
    }

    fn send(&mut self, peer: SocketAddr, datagram: Vec<u8>) {
        let before = self.state();
        let mut replies = self.trestle.ng(peer, &datagram);
        // Events for subscribers are no replies.
        replies.retain(|(_, bytes)| !bytes.starts_with(b"{\"event\":"));
        let after = self.state();

        assert_eq!(after.pairs as u64, after.legs, "ports in use that no leg has");
        assert!(self.trestle.sent.iter().all(|sent| !sent.bytes.is_empty()));
        assert!(replies.len() <= 1, "{} replies", replies.len());
        let Some((cookie, body)) = frame::split(&datagram) else {
            assert!(replies.is_empty(), "a reply without a cookie");
            assert_eq!(after, before);
            return;
        };
        let (to, reply) = replies.pop().expect("every request with a cookie is answered, for the engine is idle");
        assert_eq!(to, peer);
        self.replies += 1;

        let (answered, reply_body) = frame::split(&reply).expect("a cookie");
        assert_eq!(answered, cookie);
        let (encoding, dict) = frame::read(reply_body).expect("our own reply");
        let asked = Encoding::of(body).unwrap_or_default();
        assert_eq!(encoding, asked, "a reply in the encoding of its request");
        let result = dict.get("result").and_then(Value::to_text).expect("a result").into_owned();
        let sdp_bytes = dict.get("sdp").and_then(Value::as_bytes).map_or(0, <[u8]>::len);
        match result.as_str() {
            "ok" | "pong" => assert!(reply.len() <= REPLY_BYTES_MAX + 2 * sdp_bytes, "{} bytes", reply.len()),
            "error" | "load limit" => {
                assert_eq!(after, before, "a refused request has an effect: {dict:?}");
                assert!(reply.len() <= REPLY_BYTES, "{} bytes to refuse", reply.len());
            }
            other => panic!("result {other:?}"),
        }
        self.remember(peer, cookie.as_bytes(), body, &reply, &dict);
        if self.last.len() < 64 {
            self.last.push((peer, datagram));
        }
    }

    /// Within a minute the same request from the same sender has the same reply, and another body under its cookie none.
    fn remember(&mut self, peer: SocketAddr, cookie: &[u8], body: &[u8], reply: &[u8], dict: &Dict) {
        let now = self.trestle.elapsed();
        let key = (peer, cookie.to_vec());
        match self.past.get(&key) {
            Some((at, known, first)) if now < *at + Duration::from_secs(60) => {
                if known == body {
                    assert_eq!(reply, first, "another reply to the same request");
                } else {
                    let reason = dict.get("error-reason").and_then(Value::as_bytes);
                    assert!(matches!(reason, Some(b"cookie-reused" | b"Message too long")), "{dict:?}");
                }
            }
            _ => {
                self.past.insert(key, (now, body.to_vec(), reply.to_vec()));
            }
        }
    }

    fn state(&mut self) -> State {
        let totals = self.trestle.totals();
        assert_eq!(totals.calls_failed, 0, "a call died of a bug");
        let calls = self.trestle.controller.counters().calls;
        assert_eq!(totals.calls, calls as u64, "calls of the controller and of the shard");
        let reports = CALLS.iter().map(|call| self.query(call)).collect();
        State { calls, legs: totals.legs, pairs: self.trestle.pairs_in_use(), reports }
    }

    fn query(&mut self, call: &str) -> Dict {
        self.cookie += 1;
        let query =
            Dict::default().with("command", "query").with("call-id", call).with("flags", vec!["verbose".into()]);
        let datagram = [format!("q{} ", self.cookie).as_bytes(), &Encoding::Bencode.write(&query)].concat();
        let replies = self.trestle.ng(SocketAddr::from(([127, 0, 0, 1], 9)), &datagram);
        let (_, body) = frame::split(&replies[0].1).expect("a cookie");
        frame::read(body).expect("our own reply").1
    }
}
