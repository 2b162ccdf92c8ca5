//! The service life of the program: a log that cannot be written, threads that end, signals.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod served;

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use served::{Served, Start};

/// Receives a message. A signal that arrives meanwhile, such as that of an ended child process, is no end of it.
fn next_message(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

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
    for signal in ["USR1", "USR2", "ALRM", "PIPE"] {
        served.signal(signal);
        assert!(served.ctl(&["ping"]).status.success(), "{signal}");
    }
    assert!(served.end_by("TERM").0.success());
}

/// Waits a little, without a source of events.
fn pause() {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    let _: Result<(), _> = receiver.recv_timeout(Duration::from_millis(100));
}

/// Asks until the answer is as wanted.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        pause();
    }
    panic!("never: {what}");
}

/// A name in the folder for temporary files that no other test uses.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trestle-service-{}-{name}", std::process::id()))
}

fn create(served: &Served, call: &str) -> String {
    served.raw(&format!(r#"{{"command":"create","call-id":"{call}","from-tag":"a","profile":"whatsapp"}}"#))
}

/// Opens calls until the first event has arrived at a reader. Gives the reader and the number of calls.
fn reader(served: &Served) -> (BufReader<TcpStream>, usize) {
    let stream = TcpStream::connect(served.address("events").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut reader = BufReader::new(stream);
    for calls in 1..100 {
        assert!(create(served, &format!("c{calls}")).contains(r#""result": "ok""#));
        if reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
            reader.get_ref().set_read_timeout(Some(served::WAIT_MAX)).unwrap();
            return (reader, calls);
        }
    }
    panic!("no event");
}

fn ends(mut reader: BufReader<TcpStream>) -> usize {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text.lines().filter(|line| line.contains(r#""call.ended""#) && line.contains(r#""cause":"shutdown""#)).count()
}

#[test]
fn sigterm_refuses_new_calls_waits_for_the_others_and_ends_them_with_an_event_each() {
    let flags = ["--grace=2", "--listen-http=127.0.0.1:0", "--listen-events=127.0.0.1:0"];
    let served = Served::start(&flags);
    let (reader, calls) = reader(&served);
    served.signal("TERM");
    until("it drains", || served.get("/readyz").starts_with("HTTP/1.1 503 "));
    assert!(served.get("/readyz").ends_with("draining\n"));
    assert!(served.get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(create(&served, "new").contains("Parallel session limit reached"));
    let ping = String::from_utf8(served.ctl(&["ping"]).stdout).unwrap();
    assert!(ping.contains(r#""result": "pong""#) && ping.contains(r#""draining": 1"#), "{ping}");
    let (status, log) = served.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(ends(reader), calls, "{log}");
}

#[test]
fn a_second_signal_ends_the_calls_at_once_with_their_events() {
    for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "INT")] {
        let flags = ["--grace=3600", "--listen-http=127.0.0.1:0", "--listen-events=127.0.0.1:0"];
        let served = Served::start(&flags);
        let (reader, calls) = reader(&served);
        served.signal(first);
        until("it drains", || served.get("/readyz").starts_with("HTTP/1.1 503 "));
        let (status, log) = served.end_by(second);
        assert_eq!(status.code(), Some(0), "{log}");
        assert_eq!(ends(reader), calls, "{log}");
    }
}

#[test]
fn the_command_drain_ends_the_program_with_its_last_call() {
    let served = Served::start(&["--grace=3600"]);
    assert!(create(&served, "c").contains(r#""result": "ok""#));
    let drain = served.ctl(&["drain"]);
    assert!(drain.status.success());
    assert!(String::from_utf8(drain.stdout).unwrap().contains(r#""calls": 1"#));
    assert!(served.ctl(&["drain", "--stop"]).status.success());
    assert!(create(&served, "d").contains(r#""result": "ok""#));
    assert!(served.ctl(&["drain"]).status.success());
    for call in ["c", "d"] {
        assert!(served.ctl(&["delete", call]).status.success());
    }
    let (status, log) = served.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn sighup_reads_the_settings_again_and_refuses_those_with_an_error() {
    let file = scratch("reload.toml");
    // In one step: a file that is half written when it is read is another file.
    let write = |text: &str| {
        let new = scratch("reload.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    write("max-sessions = 1");
    let config = format!("--config={}", file.display());
    let served = Served::start(&[&config, "--listen-http=127.0.0.1:0"]);
    assert!(create(&served, "c1").contains(r#""result": "ok""#));
    assert!(create(&served, "c2").contains("Parallel session limit reached"));

    for wrong in ["max-sessions = 'many'", "max-sesions = 2", "max-sessions = [", "port-min = 40000"] {
        write(wrong);
        served.signal("HUP");
    }
    std::fs::remove_file(&file).unwrap();
    served.signal("HUP");
    // Signals of one kind that come at once are one: what counts is that none of them changed anything.
    assert!(create(&served, "c2").contains("Parallel session limit reached"));

    write("max-sessions = 2\nport-min = 20000");
    served.signal("HUP");
    until("the new limit", || create(&served, "c2").contains(r#""result": "ok""#));
    assert!(create(&served, "c3").contains("Parallel session limit reached"));
    std::fs::remove_file(&file).unwrap();

    served.signal("TERM");
    let (status, log) = served.end_by("TERM");
    assert!(status.success(), "{log}");
    assert!(log.contains("reload refused, no setting is changed: config: "), "{log}");
    assert!(log.contains(r#"these settings change only at the next start keys="port-min""#), "{log}");
}

#[test]
fn the_service_manager_is_informed_of_start_reload_and_end_and_its_watchdog_is_fed() {
    let path = scratch("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(served::WAIT_MAX)).unwrap();
    let next = |what: &str| {
        let mut buffer = [0; 1024];
        for _ in 0..100 {
            let len = next_message(&socket, &mut buffer).unwrap();
            let text = String::from_utf8(buffer[..len].to_vec()).unwrap();
            if text.lines().any(|line| line.starts_with(what)) {
                return text;
            }
        }
        panic!("never {what}");
    };
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "30000000")];
    let served = Served::start_with(Start { variables: &variables, ..Start::default() });
    next("READY=1");
    next("WATCHDOG=1");
    next("WATCHDOG=1");
    served.signal("HUP");
    let reloading = next("RELOADING=1");
    let usec = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(usec.parse::<u64>().unwrap() > 0);
    next("READY=1");
    served.signal("TERM");
    next("STOPPING=1");
    assert!(served.wait().0.success());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_thread_that_is_stuck_does_not_feed_the_watchdog() {
    let path = scratch("watchdog");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(served::WAIT_MAX)).unwrap();
    let variables =
        [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "30000000"), ("TRESTLE_FAULT", "stall control")];
    let _served = Served::start_with(Start { variables: &variables, ..Start::default() });
    let mut buffer = [0; 1024];
    let status = loop {
        let len = next_message(&socket, &mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        if text.contains("the thread control has made no turn") {
            break text;
        }
    };
    assert!(!status.contains("WATCHDOG=1"), "{status}");
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let error = next_message(&socket, &mut buffer).expect_err("nothing is sent any more");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    std::fs::remove_file(path).unwrap();
}

/// The value of a key in a file of `/proc/PID`.
fn proc_value(served: &Served, file: &str, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", served.child.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key} in {text}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_process_can_gain_no_privileges_and_leaves_no_memory_image() {
    let served = Served::start(&[]);
    assert_eq!(proc_value(&served, "status", "NoNewPrivs:"), "1");
    assert_eq!(proc_value(&served, "limits", "Max core file size"), "0 0 bytes");
}

#[test]
fn a_process_started_by_root_becomes_the_user_of_the_setting() {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    if !is_root {
        let failed = std::process::Command::new(served::TRESTLE)
            .args(["serve", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:0", "--user=daemon"])
            .output()
            .unwrap();
        assert!(String::from_utf8(failed.stderr).unwrap().contains("only root can change the user"));
        return;
    }
    let served = Served::start(&["--user=daemon", "--listen-http=127.0.0.1:0"]);
    let uids = proc_value(&served, "status", "Uid:");
    let uid = uids.split(' ').next().unwrap();
    assert!(uid != "0" && uids == [uid; 4].join(" "), "{uids}");
    for key in ["CapEff:", "CapPrm:"] {
        assert_eq!(proc_value(&served, "status", key), "0000000000000000", "{key}");
    }
    let tasks = std::fs::read_dir(format!("/proc/{}/task", served.child.id())).unwrap();
    for task in tasks {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        assert!(line.split_whitespace().all(|other| other == uid), "a thread is left behind: {line}");
        assert!(status.contains("NoNewPrivs:\t1"));
    }
    assert!(create(&served, "c").contains(r#""result": "ok""#), "it opens media ports all the same");
    assert!(served.get("/readyz").starts_with("HTTP/1.1 200 "));
    served.signal("TERM");
    assert!(served.end_by("TERM").0.success());
}

#[test]
fn a_user_that_does_not_exist_is_an_error_with_a_way_out() {
    let failed = std::process::Command::new(served::TRESTLE)
        .args(["serve", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:0", "--user=no-such-user"])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let text = String::from_utf8(failed.stderr).unwrap();
    assert!(text.contains("user: there is no user \"no-such-user\"; create it"), "{text}");
}
