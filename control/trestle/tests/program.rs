//! The program as an operator uses it: start, commands, stop.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod served;

use std::io::{BufRead, BufReader};
use std::process::Command;

use served::{Served, TRESTLE};

#[test]
fn it_serves_until_sigterm_or_sigint_and_then_ends_cleanly() {
    for signal in ["TERM", "INT"] {
        let served = Served::start(&[]);
        let ping = served.ctl(&["ping"]);
        assert!(ping.status.success());
        assert_eq!(String::from_utf8(ping.stdout).unwrap(), "{\n  \"result\": \"pong\"\n}\n");
        let (status, log) = served.end_by(signal);
        assert!(status.success(), "{signal}: {status}\n{log}");
    }
}

#[test]
fn ctl_fails_if_the_answer_is_an_error() {
    let served = Served::start(&[]);
    let query = served.ctl(&["query", "unknown"]);
    assert_eq!(query.status.code(), Some(1));
    assert!(String::from_utf8(query.stdout).unwrap().contains("\"error-reason\": \"Unknown call-id\""));
    let raw = served.ctl(&["raw", r#"{"command":"dance"}"#]);
    assert_eq!(raw.status.code(), Some(1));
    assert!(String::from_utf8(raw.stdout).unwrap().contains("Unrecognized command"));
}

#[test]
fn the_events_of_a_call_go_to_each_connected_reader() {
    let served = Served::start(&["--listen-events=127.0.0.1:0"]);
    let address = served.address("events").unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut lines = BufReader::new(stream).lines();
    // A reader receives events from the moment at which the server accepts its connection: it can miss the first calls.
    let received = std::sync::atomic::AtomicBool::new(false);
    let first = std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            for call in 0.. {
                if received.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let keys = r#""from-tag":"a","profile":"whatsapp","gate":"shut""#;
                let create = format!(r#"{{"command":"create","call-id":"c{call}",{keys}}}"#);
                assert!(served.ctl(&["raw", &create]).status.success());
                assert!(served.ctl(&["delete", &format!("c{call}")]).status.success());
            }
        });
        let first =
            lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"call.opened\""))).unwrap().unwrap();
        received.store(true, std::sync::atomic::Ordering::Relaxed);
        caller.join().unwrap();
        first
    });
    let mut events = vec![first];
    while !events.last().unwrap().contains("\"call.ended\"") {
        events.push(lines.next().unwrap().unwrap());
    }
    let names = events.iter().filter_map(|event| event.split('"').nth(3));
    assert_eq!(names.collect::<Vec<_>>(), ["call.opened", "call.gate.closed", "call.ended"]);
    assert!(served.end_by("TERM").0.success(), "with a reader that is still there");
}

#[test]
fn an_invalid_flag_is_an_error_of_one_line() {
    let failed = Command::new(TRESTLE).args(["serve", "--interface=eth0"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let message = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("trestle: interface: "), "{message}");
}
