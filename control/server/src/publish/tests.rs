//! Over loopback sockets: what is published arrives, as it was.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use axum::http::StatusCode;

use super::*;
use crate::config::Secret;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A peer that says nothing for so long will not say anything.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn a_reader_gets_every_event_as_a_line_and_a_slow_one_is_let_go() {
    let (server, publisher) = PublishServer::start(Some(LOOPBACK), None).unwrap();
    let connect = || {
        let stream = TcpStream::connect(server.address().unwrap()).unwrap();
        stream.set_read_timeout(PATIENCE).unwrap();
        BufReader::new(stream)
    };
    let mut reader = connect();
    // Whoever connects hears from then on; when that was, only the first line tells.
    let mut line = String::new();
    let lines = publisher.lines.as_ref().unwrap();
    while lines.receiver_count() == 0 {
        thread::yield_now();
    }
    publisher.publish("{\"event\":\"one\"}".into());
    publisher.publish("{\"event\":\"two\"}".into());
    reader.read_line(&mut line).unwrap();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"event\":\"one\"}\n{\"event\":\"two\"}\n");

    // More than queue and sockets hold, while nobody reads.
    let long: Arc<str> = "x".repeat(16_384).into();
    for _ in 0..2 * LINES_MAX {
        publisher.publish(Arc::clone(&long));
    }
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 2 * LINES_MAX * long.len());
    while publisher.counts().slow_readers == 0 {
        thread::yield_now();
    }
    assert_eq!(publisher.counts().slow_readers, 1);
}

#[test]
fn a_reader_that_leaves_makes_room_though_there_is_nothing_to_say() {
    let (server, publisher) = PublishServer::start(Some(LOOPBACK), None).unwrap();
    let lines = publisher.lines.as_ref().unwrap();
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
    late.set_read_timeout(PATIENCE).unwrap();
    wait_for(1);
    (&late).write_all(b"nobody looks at this").unwrap();
    publisher.publish("{}".into());
    let mut heard = [0; 3];
    late.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"{}\n");
}

/// Takes one request and answers with `status`; returns its head and body.
fn take_post(listener: &TcpListener, status: &str) -> (String, String) {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(PATIENCE).unwrap();
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
    let (_server, publisher) = PublishServer::start(None, Some(&webhook)).unwrap();
    publisher.publish("{\"event-id\":1}".into());
    let (head, first) = take_post(&listener, "503 Service Unavailable");
    assert!(head.starts_with("POST /trestle HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    assert_eq!(first, "{\"events\":[{\"event-id\":1}]}");
    let signed = format!("{}: {}\r\n", hook::SIGNATURE, hook::signature(&secret, first.as_bytes()));
    assert!(head.contains(&signed), "{head}");
    // What comes up meanwhile follows; order is kept.
    publisher.publish("{\"event-id\":2}".into());
    publisher.publish("{\"event-id\":3}".into());
    assert_eq!(take_post(&listener, "200 OK").1, first, "the same again");
    assert_eq!(take_post(&listener, "400 Bad Request").1, "{\"events\":[{\"event-id\":2},{\"event-id\":3}]}");
    publisher.publish("{\"event-id\":4}".into());
    assert_eq!(take_post(&listener, "204 No Content").1, "{\"events\":[{\"event-id\":4}]}", "a refusal is final");
    while publisher.counts().delivered < 2 {
        thread::yield_now();
    }
    assert_eq!(publisher.counts(), PublishCounts { slow_readers: 0, delivered: 2, dropped: 2, retries: 1 });
}

#[test]
fn what_a_dead_hook_has_no_room_for_is_counted_and_nobody_waits() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (_server, publisher) = PublishServer::start(None, Some(&Webhook { url, secret: None })).unwrap();
    let room = QUEUE_MAX + 64;
    (0..room + 500).for_each(|_| publisher.publish("{}".into()));
    assert!(publisher.counts().dropped >= 500, "{:?}", publisher.counts());
}

#[test]
fn the_signature_is_the_hmac_that_everybody_computes() {
    // RFC 4231, test case 2.
    let secret: Secret = "Jefe".to_owned().into();
    assert_eq!(
        hook::signature(&secret, b"what do ya want for nothing?"),
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(format!("{secret:?}"), "Secret");
}

#[test]
fn pauses_grow_and_refusals_are_final() {
    let pauses: Vec<u128> = (1..=10).map(|failures| hook::pause(failures).as_millis()).collect();
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    for (status, outcome) in [
        (StatusCode::OK, hook::Outcome::Taken),
        (StatusCode::NO_CONTENT, hook::Outcome::Taken),
        (StatusCode::MOVED_PERMANENTLY, hook::Outcome::Refused),
        (StatusCode::UNAUTHORIZED, hook::Outcome::Refused),
        (StatusCode::REQUEST_TIMEOUT, hook::Outcome::Failed),
        (StatusCode::TOO_MANY_REQUESTS, hook::Outcome::Failed),
        (StatusCode::BAD_GATEWAY, hook::Outcome::Failed),
    ] {
        assert_eq!(hook::outcome(status), outcome, "{status}");
    }
}
