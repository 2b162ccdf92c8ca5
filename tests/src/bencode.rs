//! Bencode as proxies write it: keys in their own order. Deliberately not control's.

use serde_json::{Map, Value};

/// A dictionary with its keys in the order given.
pub fn write(pairs: &[(&str, Value)]) -> Vec<u8> {
    let mut bytes = vec![b'd'];
    for (key, value) in pairs {
        bytes.extend(text(key));
        bytes.extend(write_value(value));
    }
    bytes.push(b'e');
    bytes
}

fn write_value(value: &Value) -> Vec<u8> {
    match value {
        Value::String(string) => text(string),
        Value::Number(number) => format!("i{number}e").into_bytes(),
        Value::Array(list) => [vec![b'l'], list.iter().flat_map(write_value).collect(), vec![b'e']].concat(),
        Value::Object(dict) => {
            let pairs: Vec<(&str, Value)> = dict.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            write(&pairs)
        }
        Value::Null | Value::Bool(_) => panic!("bencode has no {value}"),
    }
}

fn text(string: &str) -> Vec<u8> {
    format!("{}:{string}", string.len()).into_bytes()
}

/// A whole message.
pub fn read(bytes: &[u8]) -> Value {
    let mut rest = bytes;
    let value = read_value(&mut rest);
    assert!(rest.is_empty(), "something follows the dictionary");
    value
}

fn read_value(rest: &mut &[u8]) -> Value {
    match rest[0] {
        b'i' => Value::from(until(rest, b'e')[1..].parse::<i64>().expect("an integer")),
        b'l' => {
            *rest = &rest[1..];
            let mut list = Vec::new();
            while rest[0] != b'e' {
                list.push(read_value(rest));
            }
            *rest = &rest[1..];
            Value::Array(list)
        }
        b'd' => {
            *rest = &rest[1..];
            let mut dict = Map::new();
            while rest[0] != b'e' {
                let Value::String(key) = read_value(rest) else { panic!("keys are strings") };
                dict.insert(key, read_value(rest));
            }
            *rest = &rest[1..];
            Value::Object(dict)
        }
        _ => {
            let len: usize = until(rest, b':').parse().expect("a length");
            let (string, after) = rest.split_at(len);
            *rest = after;
            Value::String(String::from_utf8(string.to_vec()).expect("text"))
        }
    }
}

fn until(rest: &mut &[u8], end: u8) -> String {
    let at = rest.iter().position(|byte| *byte == end).expect("an end");
    let head = String::from_utf8(rest[..at].to_vec()).expect("ASCII");
    *rest = &rest[at + 1..];
    head
}
