//! A whole Trestle in this process, over real sockets on the loopback: what a proxy, an application and a scraper see.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use trestle_server::Server;
use trestle_server::config::{Config, Settings};
use trestle_tests::running::{LoopbackNet, local_settings};

/// Longest wait for a reply, before a test fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

fn start(change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = local_settings();
    settings.listen.listen_http = Some("127.0.0.1:0".parse().unwrap());
    settings.media.num_threads = Some(2);
    change(&mut settings);
    Server::start(&Config::new(settings).unwrap()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "this test is the outside world")]
fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    socket
}

/// Sends one ng datagram and returns the answer.
fn ng(server: SocketAddr, datagram: &str) -> String {
    let caller = udp();
    caller.send_to(datagram.as_bytes(), server).unwrap();
    let mut buffer = [0; 65_536];
    let (len, from) = caller.recv_from(&mut buffer).expect("no answer");
    assert_eq!(from, server, "answered from another socket");
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

fn get(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.http_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn ping_is_answered_in_the_encoding_it_came_in() {
    let server = start(|_| {});
    assert_eq!(ng(server.ng_addr(), r#"c1 {"command":"ping"}"#), r#"c1 {"result":"pong"}"#);
    assert_eq!(ng(server.ng_addr(), "c2 d7:command4:pinge"), "c2 d6:result4:ponge");
    server.stop();
}

#[test]
fn each_listening_address_answers_for_itself() {
    let server = start(|settings| settings.listen.listen_ng = vec!["127.0.0.1:0".parse().unwrap(); 2]);
    for address in server.ng_addrs() {
        assert_eq!(ng(*address, "c1 d7:command4:pinge"), "c1 d6:result4:ponge");
    }
}

#[test]
fn metrics_and_ping_are_served_over_http() {
    let server = start(|_| {});
    ng(server.ng_addr(), "c1 d7:command4:pinge");
    let ping = get(&server, "/ping");
    assert!(ping.starts_with("HTTP/1.1 200 ") && ping.ends_with("\r\n\r\npong"), "{ping}");
    let metrics = get(&server, "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("application/openmetrics-text"), "{metrics}");
    for line in ["trestle_calls 0", "trestle_control_requests_total{command=\"ping\"} 1", "# EOF"] {
        assert!(metrics.lines().any(|other| other == line), "{line} is missing in\n{metrics}");
    }
    assert!(get(&server, "/elsewhere").starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_stopped_server_leaves_its_ports_to_the_next() {
    let first = start(|_| {});
    let ng_addr = first.ng_addr();
    first.stop();
    let second = start(|settings| settings.listen.listen_ng = vec![ng_addr]);
    assert_eq!(second.ng_addr(), ng_addr);
}

#[test]
fn an_address_that_is_taken_is_named_with_its_key() {
    let first = start(|_| {});
    let mut settings = Settings::default();
    settings.media.interface = vec!["127.0.0.1".to_owned()];
    settings.listen.listen_ng = vec![first.ng_addr()];
    let error = Server::start(&Config::new(settings.clone()).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("listen-ng: cannot listen on {}", first.ng_addr())), "{error}");

    // 192.0.2.0/24 is for documentation (RFC 5737); no machine has it.
    settings.media.interface = vec!["192.0.2.1".to_owned()];
    settings.listen.listen_ng = vec!["127.0.0.1:0".parse().unwrap()];
    let error = Server::start(&Config::new(settings).unwrap()).unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    assert_eq!(causes[1], "cannot bind a media port on 192.0.2.1", "{causes:?}");
    assert!(causes.len() > 2, "the system's error is missing: {causes:?}");
}

fn sdp(phone: &UdpSocket) -> String {
    let port = phone.local_addr().unwrap().port();
    let lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        &format!("m=audio {port} RTP/AVP 0"),
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:20",
    ];
    lines.iter().flat_map(|line| [*line, "\r\n"]).collect()
}

/// Hands an SDP in and returns the address in the SDP for the other side.
fn signal(server: &Server, command: &str, cookie: &str, phone: &UdpSocket) -> SocketAddr {
    let mut request = serde_json::json!({ "command": command, "call-id": "c1", "from-tag": "a", "sdp": sdp(phone) });
    if command == "answer" {
        request["to-tag"] = "b".into();
    }
    let answer = ng(server.ng_addr(), &format!("{cookie} {request}"));
    let answer: serde_json::Value = serde_json::from_str(answer.split_once(' ').unwrap().1).unwrap();
    assert_eq!(answer["result"], "ok", "{answer}");
    let sdp = answer["sdp"].as_str().unwrap();
    let media = sdp.lines().find_map(|line| line.strip_prefix("m=audio ")).unwrap();
    SocketAddr::from((Ipv4Addr::LOCALHOST, media.split(' ').next().unwrap().parse().unwrap()))
}

/// 20 ms of one sample value as PCMU (RFC 3550 5.1).
fn packet(seq: u16, sample: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(seq.to_be_bytes());
    packet.extend((u32::from(seq) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend([sample; 160]);
    packet
}

/// The payload of the next PCMU packet.
fn receive(phone: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    loop {
        let (len, _) = phone.recv_from(&mut buffer).expect("no packet");
        if buffer[1] & 0x7f == 0 {
            return buffer[12..len].to_vec();
        }
    }
}

#[test]
fn two_phones_talk_until_the_call_is_deleted() {
    let server = start(|_| {});
    let (alice, bob) = (udp(), udp());
    let for_bob = signal(&server, "offer", "1", &alice);
    let for_alice = signal(&server, "answer", "2", &bob);
    for n in 1..=5 {
        alice.send_to(&packet(n, n as u8), for_alice).unwrap();
        assert_eq!(receive(&bob), [n as u8; 160]);
        bob.send_to(&packet(n, 100 + n as u8), for_bob).unwrap();
        assert_eq!(receive(&alice), [100 + n as u8; 160]);
    }
    let metrics = get(&server, "/metrics");
    for line in ["trestle_calls 1", "trestle_legs 2", "trestle_rtp_packets_total{direction=\"out\"} 10"] {
        assert!(metrics.lines().any(|other| other == line), "{line} is missing in\n{metrics}");
    }
    let deleted = ng(server.ng_addr(), r#"3 {"command":"delete","call-id":"c1","from-tag":"a","delete-delay":0}"#);
    assert!(deleted.contains(r#""result":"ok""#), "{deleted}");
    let listed = ng(server.ng_addr(), r#"4 {"command":"list"}"#);
    assert!(listed.contains(r#""calls":[]"#), "{listed}");
}

#[test]
fn a_server_that_is_too_busy_turns_new_calls_away_and_keeps_those_it_has() {
    // Any machine is busier than that.
    let server = start(|settings| settings.limits.max_cpu = "0.01".parse().unwrap());
    let (alice, bob) = (udp(), udp());
    let for_bob = signal(&server, "offer", "1", &alice);
    let busy =
        |n: u32| ng(server.ng_addr(), &format!(r#"s{n} {{"command":"statistics"}}"#)).contains(r#""overloaded":1"#);
    assert!((0..1_000_000).any(busy), "it never finds that it is busy");

    let new = serde_json::json!({
        "command": "offer", "call-id": "c2", "from-tag": "a", "sdp": sdp(&alice), "supports": ["load limit"],
    });
    let refused = ng(server.ng_addr(), &format!("2 {new}"));
    assert_eq!(refused, r#"2 {"result":"load limit","message":"CPU usage limit exceeded"}"#);
    let metrics = get(&server, "/metrics");
    for line in ["trestle_overloaded 1", "trestle_calls 1", "trestle_offers_rejected_total{limit=\"cpu\"} 1"] {
        assert!(metrics.lines().any(|other| other == line), "{line} is missing in\n{metrics}");
    }

    let for_alice = signal(&server, "answer", "3", &bob);
    alice.send_to(&packet(1, 7), for_alice).unwrap();
    assert_eq!(receive(&bob), [7; 160]);
    assert_eq!(signal(&server, "offer", "4", &alice), for_bob, "a re-offer");
}

#[test]
fn a_client_that_never_reads_and_one_that_is_gone_delay_no_other() {
    let server = start(|_| {});
    let (silent, gone) = (udp(), udp());
    for n in 0..3_000 {
        silent.send_to(format!("n{n} {{\"command\":\"list\"}}").as_bytes(), server.ng_addr()).unwrap();
    }
    gone.send_to(b"g d7:command4:pinge", server.ng_addr()).unwrap();
    drop(gone);
    assert_eq!(ng(server.ng_addr(), r#"c1 {"command":"ping"}"#), r#"c1 {"result":"pong"}"#);
    server.stop();
}

/// Any result of a request in JSON.
fn request(server: &Server, cookie: &str, request: &serde_json::Value) -> serde_json::Value {
    let answer = ng(server.ng_addr(), &format!("{cookie} {request}"));
    serde_json::from_str(answer.split_once(' ').unwrap().1).unwrap()
}

#[test]
fn a_call_can_have_every_port_that_no_thread_uses() {
    let net = LoopbackNet::next(40);
    let server = start(|settings| {
        settings.media.interface = vec![net.ip(1).to_string()];
        (settings.media.port_min, settings.media.port_max) = (20_000, 20_015);
        settings.limits.max_half_open = 100;
    });
    let phone = udp();
    let offer = |call: &str, branch: &str| {
        let keys = ("offer", call, branch, sdp(&phone));
        serde_json::json!({"command": keys.0, "call-id": keys.1, "from-tag": "a", "via-branch": keys.2, "sdp": keys.3})
    };
    // Eight pairs: two calls on each of two threads take them all.
    for call in ["1", "2", "3", "4"] {
        assert_eq!(request(&server, call, &offer(call, "first"))["result"], "ok", "call {call}");
    }
    assert_eq!(request(&server, "5", &offer("5", "first"))["error-reason"], "Ran out of ports");
    // The calls of one thread end; branches of a call on the other one can have all their ports.
    for call in ["2", "4"] {
        let delete = serde_json::json!({"command": "delete", "call-id": call, "delete-delay": 0});
        assert_eq!(request(&server, &format!("d{call}"), &delete)["result"], "ok");
    }
    let mut tries = 0..100_000;
    for branch in ["second", "third", "fourth", "fifth"] {
        let opened = tries.any(|n| request(&server, &format!("b{n}"), &offer("1", branch))["result"] == "ok");
        assert!(opened, "branch {branch}");
    }
    assert_eq!(request(&server, "6", &offer("3", "second"))["error-reason"], "Ran out of ports");
    server.stop();
}
