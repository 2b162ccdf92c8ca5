//! One request in two encodings: each reads back as written, and both mean the same.

use trestle_ng::command::Request;
use trestle_ng::frame::{self, Encoding};
use trestle_ng::value::{DEPTH_MAX, Dict, Value};

use super::input::Input;
use super::samples;

/// Keys of requests, and some that none has.
const KEYS: [&str; 22] = [
    "command",
    "call-id",
    "from-tag",
    "to-tag",
    "via-branch",
    "sdp",
    "flags",
    "replace",
    "ICE",
    "DTLS",
    "SDES",
    "codec",
    "label",
    "op",
    "code",
    "duration",
    "limit",
    "delete-delay",
    "gate",
    "expires",
    "unknown",
    "",
];
const VERBS: [&str; 8] = ["offer", "answer", "delete", "query", "list", "ping", "play DTMF", "nothing"];

/// The bytes become a dictionary. Gives the number of encodings that were read back.
pub fn compat(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let mut dict = Dict::default().with("command", input.one_of(&VERBS)).with("call-id", "c").with("from-tag", "f");
    if input.flag() {
        dict.push("sdp", input.one_of(&samples::SDP));
        dict.0.extend(samples::flags(&mut input).0);
    }
    while !input.is_empty() && dict.0.len() < 40 {
        let value = value(&mut input, 0);
        dict.push(input.one_of(&KEYS), value);
    }
    let deep = depth(&Value::Dict(dict.clone()));
    let mut requests = Vec::new();
    for encoding in [Encoding::Json, Encoding::Bencode] {
        let bytes = encoding.write(&dict);
        match frame::read(&bytes) {
            Ok((read_as, read)) => {
                assert_eq!(read_as, encoding);
                assert_eq!(read, dict, "{encoding:?} reads back as another dictionary");
                assert!(deep <= DEPTH_MAX, "{deep} levels are read");
                requests.push(Request::read(&read));
            }
            Err(error) => assert!(deep > DEPTH_MAX, "{encoding:?} does not read its own {deep} levels: {error:?}"),
        }
    }
    if let [json, bencode] = &requests[..] {
        assert_eq!(json, bencode, "one request has two meanings");
    }
    requests.len()
}

/// Text, numbers, lists and dictionaries. JSON has only text that is UTF-8.
fn value(input: &mut Input<'_>, level: usize) -> Value {
    match input.below(if level < 6 { 8 } else { 3 }) {
        0 => Value::Integer(i64::from(input.u32() as i32)),
        1 | 2 => Value::from(String::from_utf8_lossy(input.bytes()).into_owned().as_str()),
        3 => Value::Integer(input.u64() as i64),
        4 => Value::from(input.one_of(&["all", "yes", "strict-source", "off", "20", "-1", "\u{fc}\r\n\0"])),
        5 | 6 => Value::List((0..input.below(4)).map(|_| value(input, level + 1)).collect()),
        _ if input.byte() > 250 => (0..input.below(50)).fold(Value::Integer(1), |inner, _| Value::List(vec![inner])),
        _ => {
            let mut dict = Dict::default();
            for _ in 0..input.below(4) {
                let name = input.one_of(&KEYS);
                dict.push(name, value(input, level + 1));
            }
            Value::Dict(dict)
        }
    }
}

/// Levels of lists and dictionaries.
fn depth(value: &Value) -> usize {
    match value {
        Value::Integer(_) | Value::Bytes(_) => 0,
        Value::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Dict(dict) => 1 + dict.0.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
    }
}
