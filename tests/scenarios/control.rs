//! The control port: what it is asked in every spelling, out of order, twice, and wrongly.

use std::net::SocketAddr;

use serde_json::{Value, json};
use trestle_peers::{Codec, Meta, Phone, PhoneOptions};
use trestle_tests::bencode;
use trestle_world::calls::{self, Call};
use trestle_world::{World, world};

mod busy;
mod dialogue;
mod spellings;

const PROXY: &str = "192.0.2.1:5060";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

fn opus_phone() -> PhoneOptions {
    PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() }
}

fn offer(call_id: &str, sdp: &str) -> Value {
    json!({"command": "offer", "call-id": call_id, "from-tag": "a", "sdp": sdp})
}

fn answer(call_id: &str, sdp: &str) -> Value {
    json!({"command": "answer", "call-id": call_id, "from-tag": "a", "to-tag": "b", "sdp": sdp})
}

fn listed(world: &mut World) -> Vec<String> {
    let reply = world.ng(&json!({"command": "list"}));
    let calls = reply["calls"].as_array().expect("a list");
    calls.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// Sends a request in bencode and gives the reply's dictionary.
fn in_bencode(world: &mut World, cookie: &str, pairs: &[(&str, Value)]) -> Value {
    let request = [cookie.as_bytes(), b" ", &bencode::write(pairs)].concat();
    let reply = world.ng_from(calls::addr(PROXY), &request).expect("a reply");
    bencode::read(reply.strip_prefix(format!("{cookie} ").as_bytes()).expect("the cookie"))
}

#[test]
fn malformed_datagrams_get_an_error_or_silence_and_change_nothing() {
    let mut world = World::new(301);
    let call = calls::user_initiated(&mut world, calls::meta(), opus_phone());
    world.run_for_ms(1_000);
    let before = (listed(&mut world), world.ports_in_use());
    let long = "x".repeat(70);
    let deep = format!("x d1:a{}", "l".repeat(40_000 - 4));
    let big_sdp = format!("x {}", offer("big", &format!("{SDP}{}", "a=x\r\n".repeat(4_000))));
    let table: Vec<(Vec<u8>, Option<&str>)> = vec![
        (b"".to_vec(), None),
        (b"d7:command4:pinge".to_vec(), None),
        (b" d7:command4:pinge".to_vec(), None),
        (format!("{long} d7:command4:pinge").into_bytes(), None),
        (b"x ".to_vec(), Some("Invalid data (no payload)")),
        (b"x  d7:command4:pinge".to_vec(), Some("Invalid NG data format")),
        (b"x [1]".to_vec(), Some("Invalid NG data format")),
        (b"x d7:command".to_vec(), Some("Could not decode bencode dictionary")),
        (b"x d7:command-4:pinge".to_vec(), Some("Could not decode bencode dictionary")),
        (b"x d7:command99999999999999999999:pinge".to_vec(), Some("Could not decode bencode dictionary")),
        (b"x di1e4:pinge".to_vec(), Some("Could not decode bencode dictionary")),
        (deep.clone().into_bytes(), Some("Message too long")),
        (deep.as_bytes()[..20_000].to_vec(), Some("Could not decode bencode dictionary")),
        (format!("x {{\"a\":{}", "[".repeat(20_000)).into_bytes(), Some("Failed to parse JSON document")),
        (b"x {\"command\":".to_vec(), Some("Failed to parse JSON document")),
        (b"x {}".to_vec(), Some("Dictionary contains no key \"command\"")),
        (b"x {\"command\":1}".to_vec(), Some("Dictionary contains no key \"command\"")),
        (b"x {\"command\":\"PING\"}".to_vec(), Some("Unrecognized command")),
        (b"x {\"command\":\"offer\"}".to_vec(), Some("No SDP body in message")),
        (b"x {\"command\":\"offer\",\"sdp\":\"v=0\"}".to_vec(), Some("No call-id in message")),
        (b"x {\"command\":\"offer\",\"sdp\":\"v=0\",\"call-id\":\"c\"}".to_vec(), Some("No from-tag in message")),
        (
            b"x {\"command\":\"answer\",\"sdp\":\"v=0\",\"call-id\":\"c\",\"from-tag\":\"a\"}".to_vec(),
            Some("No to-tag in message"),
        ),
        (big_sdp.into_bytes(), Some("Failed to parse SDP: longer than 16384 bytes")),
        (format!("x {}", answer("unknown", SDP)).into_bytes(), Some("Unknown call-id")),
        (b"x {\"command\":\"query\",\"call-id\":\"unknown\"}".to_vec(), Some("Unknown call-id")),
        (b"x {\"command\":\"query\"}".to_vec(), Some("No call-id in message")),
        (b"x {\"command\":\"delete\"}".to_vec(), Some("No call-id in message")),
        (b"x {\"command\":\"list\",\"limit\":-1}".to_vec(), Some("invalid limit, must be >= 0")),
    ];
    for (n, (datagram, expected)) in table.iter().enumerate() {
        // They all have the same cookie, so each needs a sender of its own.
        let from = SocketAddr::new(calls::addr(PROXY).ip(), 10_000 + n as u16);
        let shown = String::from_utf8_lossy(&datagram[..datagram.len().min(60)]).into_owned();
        let reply = world.ng_from(from, datagram);
        let Some(expected) = expected else {
            assert_eq!(reply, None, "{shown}");
            continue;
        };
        let reply = reply.unwrap_or_else(|| panic!("{shown}: no reply"));
        assert!(reply.len() <= 1_024, "{shown}");
        let body = reply.strip_prefix(b"x ").expect("the cookie");
        let body: Value = match datagram.get(2) {
            Some(b'{') => serde_json::from_slice(body).expect("JSON"),
            _ => bencode::read(body),
        };
        assert_eq!((&body["result"], &body["error-reason"]), (&json!("error"), &json!(expected)), "{shown}");
    }
    assert_eq!((listed(&mut world), world.ports_in_use()), before);
    world.run_for_ms(2_000);
    world.assert_audio_both_ways(&call);
}

/// The first four lines of an SDP.
const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n";

/// What is wrong, the lines behind [`HEAD`], and the beginning and a later part of the reason.
const UNBRIDGEABLE: [(&str, &[&str], &str, &str); 13] = [
    ("no SDP", &["hello"], "Failed to parse SDP: line 5 \"hello\"", ""),
    ("no m=", &["c=IN IP4 192.0.2.9"], "Incomplete SDP specification: no m= line", ""),
    ("no c=", &["m=audio 4000 RTP/AVP 8"], "Incomplete SDP specification: line 5 \"m=audio", "c="),
    ("video", &["c=IN IP4 192.0.2.9", "m=video 4000 RTP/AVP 96"], "Error rewriting SDP: line 6", "no audio"),
    (
        "a host name",
        &["c=IN IP4 pbx.example", "m=audio 4000 RTP/AVP 8"],
        "Incomplete SDP specification: line 5",
        "IP literal",
    ),
    ("a bad port", &["c=IN IP4 192.0.2.9", "m=audio 70000 RTP/AVP 8"], "Failed to parse SDP: line 6", "65535"),
    ("port 0", &["c=IN IP4 192.0.2.9", "m=audio 0 RTP/AVP 8"], "Error rewriting SDP: line 6", "port 0"),
    ("G.729", &["c=IN IP4 192.0.2.9", "m=audio 4000 RTP/AVP 18"], "Error rewriting SDP: line 6", "opus, PCMA, PCMU"),
    ("TCP", &["c=IN IP4 192.0.2.9", "m=audio 4000 TCP/RTP/AVP 8"], "Error rewriting SDP: line 6", "RTP/AVP"),
    ("no key", &["c=IN IP4 192.0.2.9", "m=audio 4000 RTP/SAVP 8"], "Incomplete SDP specification: line 6", "a=crypto"),
    (
        "a short key",
        &["c=IN IP4 192.0.2.9", "m=audio 4000 RTP/SAVP 8", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA"],
        "Failed to parse SDP: line 7",
        "a key of 16 and a salt of 14 bytes",
    ),
    (
        "protection off",
        &[
            "c=IN IP4 192.0.2.9",
            "m=audio 4000 RTP/SAVP 8",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz UNENCRYPTED_SRTP",
        ],
        "Failed to parse SDP: line 7",
        "switches protection off",
    ),
    (
        "DTLS without ICE",
        &[
            "c=IN IP4 192.0.2.9",
            "m=audio 4000 UDP/TLS/RTP/SAVPF 8",
            "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:\
             CC:DD:EE:FF",
        ],
        "Incomplete SDP specification: line 6",
        "ice-ufrag",
    ),
];

fn with_head(lines: &[&str]) -> String {
    lines.iter().fold(HEAD.to_owned(), |text, line| format!("{text}{line}\r\n"))
}

#[test]
fn an_sdp_that_cannot_be_bridged_is_refused_with_its_line_and_the_reason() {
    let mut world = World::new(302);
    for (what, lines, start, part) in UNBRIDGEABLE {
        let reply = world.ng(&offer("c", &with_head(lines)));
        let reason = reply["error-reason"].as_str().unwrap_or_else(|| panic!("{what}: {reply}"));
        assert!(reason.starts_with(start) && reason.contains(part), "{what}: {reason}");
    }
}

#[test]
fn a_failed_offer_leaves_no_call_and_no_port() {
    let mut world = World::new(303);
    for (what, lines, ..) in UNBRIDGEABLE {
        assert_eq!(world.ng(&offer("c", &with_head(lines)))["result"], "error", "{what}");
        assert_eq!((listed(&mut world), world.ports_in_use()), (Vec::new(), 0), "{what}");
        assert_eq!(world.ng(&json!({"command": "query", "call-id": "c"}))["error-reason"], "Unknown call-id");
    }
    calls::sdp_of(&world.ng(&offer("c", SDP)));
}

#[test]
fn a_failed_re_offer_leaves_the_call_as_it_was() {
    let mut world = World::new(304);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    world.run_for_ms(1_000);
    let ports = world.ports_in_use();
    for (what, lines, ..) in UNBRIDGEABLE {
        let reply = world.ng(&json!({
            "command": "offer", "call-id": call.id, "from-tag": "caller", "to-tag": "callee", "sdp": with_head(lines),
        }));
        // Port 0 in a re-offer is the end of a stream, which SIP allows.
        assert_eq!(reply["result"], if what == "port 0" { "ok" } else { "error" }, "{what}");
        assert_eq!(world.ports_in_use(), ports, "{what}");
        if what == "port 0" {
            let again = world.phone(call.meta).offer();
            let extra = json!({"to-tag": "callee"});
            calls::offer_sdp(&mut world, &call.id, "caller", &again, extra);
        }
    }
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
}

#[test]
fn a_retransmit_gets_the_same_bytes_and_is_done_once() {
    let mut world = World::new(305);
    let request = format!("0_12_1 {}", offer("once", SDP));
    let first = world.ng_from(calls::addr(PROXY), request.as_bytes()).expect("a reply");
    let ports = world.ports_in_use();
    for pause_ms in [0, 1_000, 9_000, 49_000] {
        world.run_for_ms(pause_ms);
        let again = world.ng_from(calls::addr(PROXY), request.as_bytes()).expect("a reply");
        assert_eq!(again, first, "{pause_ms} ms later");
    }
    assert_eq!((listed(&mut world), world.ports_in_use()), (vec!["once".to_owned()], ports));
    // A retransmitted delete does not end a call that was offered in between.
    let delete = format!("0_12_2 {}", world::delete("once"));
    let first = world.ng_from(calls::addr(PROXY), delete.as_bytes()).expect("a reply");
    calls::sdp_of(&world.ng(&offer("once", SDP)));
    assert_eq!(world.ng_from(calls::addr(PROXY), delete.as_bytes()).expect("a reply"), first);
    assert_eq!(world.ports_in_use(), ports);
}

#[test]
fn a_known_cookie_from_another_address_does_not_get_the_cached_reply() {
    let mut world = World::new(306);
    let sdp = format!(
        "{}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n",
        SDP.replace("RTP/AVP", "RTP/SAVP")
    );
    let request = format!("0_12_1 {}", offer("secret", &sdp));
    let theirs = world.ng_from(calls::addr(PROXY), request.as_bytes()).expect("a reply");
    assert!(String::from_utf8_lossy(&theirs).contains("inline:"), "there is a key to steal");
    let others = ["192.0.2.1:5061", "192.0.2.2:5060", "[2001:db8::1]:5060"];
    for other in others {
        let ping = world.ng_from(calls::addr(other), b"0_12_1 {\"command\":\"ping\"}").expect("a reply");
        assert_eq!(ping, b"0_12_1 {\"result\":\"pong\"}", "{other}");
        let list = world.ng_from(calls::addr(other), b"0_12_1 {\"command\":\"list\"}").expect("a reply");
        assert!(String::from_utf8_lossy(&list).contains("cookie-reused"), "{other}");
    }
    // Not even the proxy's own address gets it for another body.
    let reused = world.ng_from(calls::addr(PROXY), b"0_12_1 {\"command\":\"ping\"}").expect("a reply");
    assert_eq!(reused, b"0_12_1 {\"result\":\"error\",\"error-reason\":\"cookie-reused\"}");
    assert_eq!(world.ng_from(calls::addr(PROXY), request.as_bytes()).expect("a reply"), theirs);
}

#[test]
fn unknown_keys_and_flags_are_ok_and_named_to_json_callers() {
    let mut world = World::new(307);
    let mut request = offer("odd", SDP);
    request["flags"] = json!(["trust-address", "bogus-flag", "ICE=remove"]);
    request["bogus-key"] = json!({"a": [1]});
    request["record-call"] = json!("on");
    request["SDES"] = json!(["off", "bogus-suite-option"]);
    let reply = world.ng(&request);
    calls::sdp_of(&reply);
    let warnings = reply["warnings"].to_string();
    for word in ["bogus-flag", "bogus-key", "record-call", "bogus-suite-option"] {
        assert!(warnings.contains(word), "{word} is not in {warnings}");
    }
    assert!(!warnings.contains("trust-address") && !warnings.contains("ICE"), "{warnings}");
    // A proxy does not read warnings: it gets none.
    let flags = json!(["bogus-flag"]);
    let pairs = [("sdp", json!(SDP)), ("call-id", json!("odd2")), ("from-tag", json!("a")), ("flags", flags)];
    let reply = in_bencode(&mut world, "1", &[&pairs[..], &[("command", json!("offer"))]].concat());
    assert_eq!(reply.as_object().expect("a dictionary").keys().collect::<Vec<_>>(), ["result", "sdp"]);
}
