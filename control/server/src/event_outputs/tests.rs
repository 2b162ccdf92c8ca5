//! Over loopback sockets: an event arrives as it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use axum::http::StatusCode;

use super::*;
use crate::config::Secret;
use crate::listen::bound::bind;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A test that waits longer than this has failed.
const TEST_TIMEOUT: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn a_reader_gets_every_event_as_a_line_and_a_slow_one_is_disconnected() {
    let (server, sender) =
        EventOutputs::start(Heartbeat::new("events"), Some((bind(LOOPBACK).unwrap(), AllowedSources::default())), None)
            .unwrap();
    let connect = || {
        let stream = TcpStream::connect(server.address().unwrap()).unwrap();
        stream.set_read_timeout(TEST_TIMEOUT).unwrap();
        BufReader::new(stream)
    };
    let mut reader = connect();
    // A reader receives events from the moment at which it is accepted.
    let mut line = String::new();
    let lines = sender.lines.as_ref().unwrap();
    while lines.receiver_count() == 0 {
        thread::yield_now();
    }
    sender.send("{\"event\":\"one\"}".into());
    sender.send("{\"event\":\"two\"}".into());
    reader.read_line(&mut line).unwrap();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"event\":\"one\"}\n{\"event\":\"two\"}\n");

    // More than queue and sockets hold, while the client does not read.
    let long: Arc<str> = "x".repeat(16_384).into();
    for _ in 0..2 * LINES_MAX {
        sender.send(Arc::clone(&long));
    }
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 2 * LINES_MAX * long.len());
    while sender.counts().slow_readers == 0 {
        thread::yield_now();
    }
    assert_eq!(sender.counts().slow_readers, 1);
}

#[test]
fn a_reader_that_disconnects_is_replaced_even_without_events() {
    let (server, sender) =
        EventOutputs::start(Heartbeat::new("events"), Some((bind(LOOPBACK).unwrap(), AllowedSources::default())), None)
            .unwrap();
    let lines = sender.lines.as_ref().unwrap();
    let wait_for = |readers: usize| {
        while lines.receiver_count() != readers {
            thread::yield_now();
        }
    };
    let readers: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(server.address().unwrap()).unwrap()).collect();
    wait_for(64);
    drop(readers);
    wait_for(0);
    let mut late = TcpStream::connect(server.address().unwrap()).unwrap();
    late.set_read_timeout(TEST_TIMEOUT).unwrap();
    wait_for(1);
    (&late).write_all(b"this is not read").unwrap();
    sender.send("{}".into());
    let mut received = [0; 3];
    late.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"{}\n");
}

/// Takes one request and answers with `status`; returns its head and body.
fn take_post(listener: &TcpListener, status: &str) -> (String, String) {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(TEST_TIMEOUT).unwrap();
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    (&stream).write_all(answer.as_bytes()).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn a_hook_gets_signed_events_again_until_it_takes_them() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let secret: Secret = "quiet".to_owned().into();
    let url = format!("http://{}/trestle", listener.local_addr().unwrap()).parse().unwrap();
    let webhook = Webhook { url, secret: Some(secret.clone()) };
    let (_server, sender) = EventOutputs::start(Heartbeat::new("events"), None, Some(&webhook)).unwrap();
    sender.send("{\"event-id\":1}".into());
    let (head, first) = take_post(&listener, "503 Service Unavailable");
    assert!(head.starts_with("POST /trestle HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(first, "{\"events\":[{\"event-id\":1}]}");
    let signed = format!("{}: {}\r\n", web_hook::SIGNATURE, web_hook::signature(&secret, first.as_bytes()));
    assert!(head.contains(&signed), "{head}");
    // Events of the meantime follow; order is kept.
    sender.send("{\"event-id\":2}".into());
    sender.send("{\"event-id\":3}".into());
    assert_eq!(take_post(&listener, "200 OK").1, first, "the same again");
    assert_eq!(take_post(&listener, "400 Bad Request").1, "{\"events\":[{\"event-id\":2},{\"event-id\":3}]}");
    sender.send("{\"event-id\":4}".into());
    assert_eq!(take_post(&listener, "204 No Content").1, "{\"events\":[{\"event-id\":4}]}", "a refusal is final");
    while sender.counts().delivered < 2 {
        thread::yield_now();
    }
    assert_eq!(
        sender.counts(),
        EventOutputCounts { delivered: 2, dropped: 2, retries: 1, ..EventOutputCounts::default() }
    );
}

#[test]
fn events_beyond_the_queue_of_a_dead_hook_are_dropped_and_counted() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (_server, sender) =
        EventOutputs::start(Heartbeat::new("events"), None, Some(&Webhook { url, secret: None })).unwrap();
    let room = QUEUE_MAX + 64;
    (0..room + 500).for_each(|_| sender.send("{}".into()));
    assert!(sender.counts().dropped >= 500, "{:?}", sender.counts());
}

#[test]
fn the_signature_is_that_of_rfc_4231() {
    // RFC 4231, test case 2.
    let secret: Secret = "Jefe".to_owned().into();
    assert_eq!(
        web_hook::signature(&secret, b"what do ya want for nothing?"),
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(format!("{secret:?}"), "Secret");
}

#[test]
fn pauses_grow_and_refusals_are_final() {
    let pauses: Vec<u128> = (1..=10).map(|failures| web_hook::pause(failures).as_millis()).collect();
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    for (status, outcome) in [
        (StatusCode::OK, web_hook::PostOutcome::Accepted),
        (StatusCode::NO_CONTENT, web_hook::PostOutcome::Accepted),
        (StatusCode::MOVED_PERMANENTLY, web_hook::PostOutcome::Refused),
        (StatusCode::UNAUTHORIZED, web_hook::PostOutcome::Refused),
        (StatusCode::REQUEST_TIMEOUT, web_hook::PostOutcome::Failed),
        (StatusCode::TOO_MANY_REQUESTS, web_hook::PostOutcome::Failed),
        (StatusCode::BAD_GATEWAY, web_hook::PostOutcome::Failed),
    ] {
        assert_eq!(web_hook::outcome(status), outcome, "{status}");
    }
}
