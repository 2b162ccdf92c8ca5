//! The service life of the program: a log that cannot be written, threads that end, signals.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod served;

use std::fs::File;
use std::process::Stdio;

use served::{Served, Start};

/// Requests that write a line of the log each: more than a pipe holds, 64 KiB.
fn fill_log(served: &Served) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.connect(&served.ng().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.set_read_timeout(Some(served::WAIT_MAX)).unwrap();
    let socket = std::net::UdpSocket::from(socket);
    for n in 0..1_000 {
        let offer = format!(r#"{n} {{"command":"offer","call-id":"c","from-tag":"a","sdp":"v=0\r\n"}}"#);
        socket.send(offer.as_bytes()).unwrap();
        let len = socket.recv(&mut [0; 4096]).expect("a reply, whatever becomes of the log");
        assert!(len > 0);
    }
}

#[test]
fn a_log_that_cannot_be_written_costs_log_lines_and_nothing_else() {
    let closed = std::io::pipe().unwrap().1;
    let full = File::options().write(true).open("/dev/full").unwrap();
    for (name, stderr) in [
        ("a disk that is full", Stdio::from(full)),
        ("a pipe whose reader has ended", Stdio::from(closed)),
        ("a pipe that is never read", Stdio::piped()),
    ] {
        let served = Served::start_with(Start { flags: &["--listen-http=127.0.0.1:0"], stderr, ..Start::default() });
        fill_log(&served);
        assert!(served.ctl(&["ping"]).status.success(), "{name}");
        assert!(served.get("/readyz").starts_with("HTTP/1.1 200 "), "{name}");
        let metrics = served.get("/metrics");
        let lost = metrics.lines().find_map(|line| line.strip_prefix("trestle_log_lines_lost_total "));
        let lost: u64 = lost.unwrap().parse().unwrap();
        assert!(lost > 0 || name == "a pipe that is never read", "{name}: its lines wait in the queue");
        let (status, _) = served.end_by("TERM");
        assert!(status.success(), "{name}: {status}");
    }
}

#[test]
fn standard_output_that_cannot_be_written_does_not_prevent_the_start() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = std::process::Command::new(served::TRESTLE)
        .args(["serve", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:0", "--num-threads=1"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = std::io::BufReader::new(child.stderr.take().unwrap());
    let line = std::io::BufRead::lines(log).find(|line| line.as_ref().unwrap().contains("standard output")).unwrap();
    assert!(line.unwrap().contains("ready: ng 127.0.0.1:"));
    assert_eq!(child.try_wait().unwrap(), None, "it runs");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_process_ends_with_an_error_if_one_of_its_threads_does() {
    for thread in ["media-0", "control", "http", "tcp-ng", "events"] {
        let flags = ["--listen-http=127.0.0.1:0", "--listen-tcp-ng=127.0.0.1:0", "--listen-events=127.0.0.1:0"];
        let fault = format!("panic {thread}");
        let served =
            Served::start_with(Start { flags: &flags, variables: &[("TRESTLE_FAULT", &fault)], ..Start::default() });
        let (status, log) = served.wait();
        assert_eq!(status.code(), Some(70), "{thread}: {log}");
        assert!(log.contains(&format!("the thread {thread} has panicked")), "{thread}: {log}");
        assert!(log.contains("a fault on purpose"), "{thread}: {log}");
    }
}

#[test]
fn the_process_ends_for_a_lost_thread_even_if_its_log_is_stuck() {
    let served = Served::start_with(Start { variables: &[("TRESTLE_FAULT", "panic media-0")], ..Start::default() });
    fill_log(&served);
    assert_eq!(served.wait().0.code(), Some(70));
}

#[test]
fn a_thread_that_is_stuck_is_named_by_the_health_checks() {
    let served = Served::start_with(Start {
        flags: &["--listen-http=127.0.0.1:0"],
        variables: &[("TRESTLE_FAULT", "stall media-0")],
        ..Start::default()
    });
    let end = std::time::Duration::from_millis(100);
    let response = (0..600).map(|_| {
        // A bounded wait between two checks: nothing is ever sent.
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        let _: Result<(), _> = receiver.recv_timeout(end);
        served.get("/healthz")
    });
    let response = response.into_iter().find(|response| !response.starts_with("HTTP/1.1 200 ")).expect("it is noticed");
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("the thread media-0 has made no turn for "), "{response}");
    assert!(served.get("/ping").starts_with("HTTP/1.1 503 "));
    assert!(served.get("/readyz").starts_with("HTTP/1.1 503 "));
}

#[test]
fn signals_without_a_meaning_end_nothing() {
    let served = Served::start(&[]);
    for signal in ["USR1", "USR2", "ALRM", "PIPE", "HUP"] {
        served.signal(signal);
        assert!(served.ctl(&["ping"]).status.success(), "{signal}");
    }
    assert!(served.end_by("TERM").0.success());
}
