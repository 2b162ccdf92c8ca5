//! docs/PROTOCOL.md is true: every message in it is sent, and every reply in it comes back.

use trestle_world::World;

const DOCUMENT: &str = include_str!("../../docs/PROTOCOL.md");

/// Values that are drawn anew in every run; each ends at a space or a line's end.
const DRAWN: [&str; 5] = ["a=ice-ufrag:", "a=ice-pwd:", "cname:", "inline:", "sha-256 "];

/// The token in the document; each run makes another one.
const TOKEN: &str = "9f86d081884c7d65";

/// What stays the same from run to run: drawn values are gone, and every number is the same number.
fn shape(message: &str) -> String {
    let mut shape = message.replace("\r\n", "\\r\\n");
    for name in DRAWN {
        let mut parts = shape.split(name);
        let mut rest = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find([' ', '\\']).unwrap_or(part.len());
            rest += name;
            rest += &part[end..];
        }
        shape = rest;
    }
    let mut numbers = String::new();
    for char in shape.chars() {
        match char {
            '0'..='9' if numbers.ends_with('#') => {}
            '0'..='9' => numbers.push('#'),
            char => numbers.push(char),
        }
    }
    numbers
}

#[test]
fn every_message_in_the_document_gets_the_documented_reply() {
    let mut world = World::new(61);
    let (mut sent, mut token) = (None, TOKEN.to_owned());
    let mut pairs = 0;
    for (number, line) in DOCUMENT.lines().enumerate() {
        if let Some(request) = line.strip_prefix("    > ") {
            // In JSON the two escapes are JSON's own.
            let bytes = if request.contains(" {") { request.to_owned() } else { request.replace("\\r\\n", "\r\n") };
            sent = world.ng_raw(bytes.replace(TOKEN, &token).as_bytes());
        } else if let Some(reply) = line.strip_prefix("    < ") {
            let got = sent.take().unwrap_or_else(|| panic!("line {}: no reply", number + 1));
            let got = String::from_utf8_lossy(&got).into_owned();
            if let Some((_, made)) = got.split_once("\"token\":\"") {
                token = made.split('"').next().unwrap_or_default().to_owned();
            }
            assert_eq!(shape(&got.replace(&token, TOKEN)), shape(reply), "line {}", number + 1);
            pairs += 1;
        }
    }
    assert!(pairs > 20, "only {pairs} pairs were found");
}
