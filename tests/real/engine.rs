//! Trestle itself, and its application: an ng client in JSON or bencode.

use std::net::{Ipv4Addr, UdpSocket};

use serde_json::{Map, Value, json};
use trestle_tests::running::{LoopbackNet, RunningTrestle, settings};

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Bencode,
}

pub(crate) struct Engine {
    trestle: RunningTrestle,
    ng: UdpSocket,
    encoding: Encoding,
    net: LoopbackNet,
    requests: u32,
    /// Keys that every offer and answer has.
    pub(crate) always: Value,
}

impl Engine {
    pub(crate) fn start(encoding: Encoding) -> Self {
        let net = LoopbackNet::next(0);
        let trestle = RunningTrestle::start(settings(([127, 0, 0, 1], 0).into(), net.ip(1)));
        let ng = trestle.client();
        Self { trestle, ng, encoding, net, requests: 0, always: Value::Null }
    }

    /// An address for a peer of this call, `n` from 2 on.
    pub(crate) fn address(&self, n: u8) -> Ipv4Addr {
        self.net.ip(n)
    }

    /// Sends an offer or an answer of the one call, with the flags of `flags`; returns the SDP of the reply.
    pub(crate) fn signal(&mut self, command: &str, sdp: &str, flags: Value) -> String {
        let mut request = json!({"command": command, "call-id": "call", "from-tag": "caller", "sdp": sdp});
        if command == "answer" {
            request["to-tag"] = json!("callee");
        }
        for (key, value) in [&flags, &self.always].into_iter().filter_map(Value::as_object).flatten() {
            request[key] = value.clone();
        }
        let reply = self.request(&request);
        let sdp = reply.get("sdp").and_then(Value::as_str);
        sdp.unwrap_or_else(|| panic!("{command}: no SDP in the reply\n{reply}")).to_owned()
    }

    /// When the WebRTC side's leg reached what, in ms since the call was opened.
    pub(crate) fn timeline(&mut self) -> Value {
        let query = json!({"command": "query", "call-id": "call", "flags": ["verbose"]});
        let reply = self.request(&query);
        let mut legs = reply["tags"].as_object().into_iter().flatten().map(|(_, tag)| &tag["leg"]["timeline-ms"]);
        legs.find(|timeline| timeline.get("first-check").is_some()).cloned().unwrap_or(Value::Null)
    }

    /// Ends the call and the engine.
    pub(crate) fn end(mut self) {
        self.request(&json!({"command": "delete", "call-id": "call", "from-tag": "caller"}));
        self.trestle.stop();
    }

    /// Sends any request; the reply must be good.
    pub(crate) fn request(&mut self, request: &Value) -> Value {
        self.requests += 1;
        let cookie = format!("c{} ", self.requests);
        let mut datagram = cookie.clone().into_bytes();
        match self.encoding {
            Encoding::Json => datagram.extend(request.to_string().into_bytes()),
            Encoding::Bencode => write_bencode(&mut datagram, request),
        }
        self.ng.send(&datagram).unwrap();
        let mut reply = vec![0; 65_536];
        let len = self.ng.recv(&mut reply).expect("a reply in time");
        let body = reply[..len].strip_prefix(cookie.as_bytes()).expect("the request's cookie");
        let reply = match self.encoding {
            Encoding::Json => serde_json::from_slice(body).unwrap(),
            Encoding::Bencode => read_bencode(&mut &*body),
        };
        assert_eq!(reply["result"], "ok", "{request}\n{reply}");
        reply
    }
}

fn write_bencode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => out.extend(format!("{}:{text}", text.len()).into_bytes()),
        Value::Number(number) => out.extend(format!("i{number}e").into_bytes()),
        Value::Array(items) => {
            out.push(b'l');
            items.iter().for_each(|item| write_bencode(out, item));
            out.push(b'e');
        }
        Value::Object(entries) => {
            out.push(b'd');
            for (key, value) in entries {
                out.extend(format!("{}:{key}", key.len()).into_bytes());
                write_bencode(out, value);
            }
            out.push(b'e');
        }
        Value::Null | Value::Bool(_) => panic!("bencode has no {value}"),
    }
}

fn read_bencode(rest: &mut &[u8]) -> Value {
    let until = |rest: &mut &[u8], end: u8| {
        let at = rest.iter().position(|byte| *byte == end).expect("a number ends");
        let text = std::str::from_utf8(&rest[..at]).unwrap().to_owned();
        *rest = &rest[at + 1..];
        text
    };
    match rest[0] {
        b'i' => {
            *rest = &rest[1..];
            json!(until(rest, b'e').parse::<i64>().unwrap())
        }
        kind @ (b'l' | b'd') => {
            *rest = &rest[1..];
            let (mut items, mut entries) = (Vec::new(), Map::new());
            while rest[0] != b'e' {
                let item = read_bencode(rest);
                match item {
                    Value::String(key) if kind == b'd' => drop(entries.insert(key, read_bencode(rest))),
                    item => items.push(item),
                }
            }
            *rest = &rest[1..];
            if kind == b'd' { Value::Object(entries) } else { Value::Array(items) }
        }
        _ => {
            let len: usize = until(rest, b':').parse().unwrap();
            let (text, after) = rest.split_at(len);
            *rest = after;
            Value::String(String::from_utf8(text.to_vec()).unwrap())
        }
    }
}
