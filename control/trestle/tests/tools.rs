//! `trestle sdp` and `trestle meta-sim` as an operator uses them at a prompt.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use trestle_peers::{Codec, Phone, PhoneOptions, Voice};
use trestle_srtp::Profile;

const TRESTLE: &str = env!("CARGO_BIN_EXE_trestle");
const META: &str = include_str!("../../../tests/vectors/meta/user_initiated.sip_webrtc.meta_offer.sdp");

/// A test that waits longer than this has failed.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

fn trestle(words: &[&str], input: &str) -> Output {
    let mut child = Command::new(TRESTLE)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn file(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left behind by another run.
    let _: std::io::Result<()> = fs::remove_file(&path);
    path
}

#[test]
fn the_exit_code_of_sdp_lint_depends_on_errors() {
    let lint = |words: &[&str], input: &str| trestle(&[&["sdp", "lint", "-"], words].concat(), input);
    let good = lint(&["--from=meta"], META);
    assert!(good.status.success(), "{}", text(&good.stdout));
    assert_eq!(text(&good.stdout), "standard input: from meta, offer (guessed)\nno findings\n");
    let bad = lint(&["--from=us", "--json"], META);
    assert_eq!(bad.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((&json["errors"], &json["findings"][0]["rule"]), (&1.into(), &"ice-lite".into()), "{json:#}");
    let odd = META.replace("SAVPF 111 126", "SAVPF 111");
    assert!(lint(&[], &odd).status.success(), "a warning is no error");
    assert_eq!(lint(&["--strict"], &odd).status.code(), Some(1), "unless one is strict");
    let rule = trestle(&["sdp", "explain", "ice-lite"], "");
    assert!(rule.status.success() && text(&rule.stdout).contains("lite agents"), "{}", text(&rule.stdout));
    let none = trestle(&["sdp", "explain", "nonsense"], "");
    assert!(!none.status.success() && text(&none.stderr).contains("trestle sdp rules"), "{}", text(&none.stderr));
}

#[test]
fn a_sim_that_gets_no_answer_or_a_bad_one_reports_it_and_fails() {
    let call = ["meta-sim", "user-calls", "--relay=127.0.0.1:0"];
    let none = trestle(&call, "");
    assert!(!none.status.success());
    assert!(text(&none.stdout).starts_with("v=0\r\n"), "its offer goes to standard output");
    assert!(text(&none.stderr).contains("there is no SDP from the business"), "{}", text(&none.stderr));
    let lite = trestle(&call, META);
    assert!(!lite.status.success());
    let story = text(&lite.stderr);
    assert!(
        story.contains("138008") && story.contains("ice-lite") && story.ends_with("verdict: not good\n"),
        "{story}"
    );
}

/// Lines of a running sim.
fn follow(words: &[&str]) -> (std::process::Child, mpsc::Receiver<String>) {
    let mut child = Command::new(TRESTLE).args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (line_sender, lines) = mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "this test is the outside world")]
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| line_sender.send(line)));
    (child, lines)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this test is the outside world")]
fn a_call_over_files_is_judged_well() {
    let (offer, answer) = (file("sim-offer.sdp"), file("sim-answer.sdp"));
    let (read, write) = (format!("--read={}", offer.display()), format!("--write={}", answer.display()));
    let fixed = ["meta-sim", "business-calls", "--relay=127.0.0.1:0", "--keys=sdes", "--ring-ms=100", "--seconds=2"];
    let (mut sim, lines) = follow(&[&fixed[..], &["--press=7", &read, &write]].concat());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let local = socket.local_addr().unwrap();
    let engine = PhoneOptions {
        suites: vec![Profile::AesCm128HmacSha1_80],
        codecs: vec![Codec::Opus],
        rtcp_mux: true,
        voice: Voice::Tone { hz: 600.0, peak: 8_000 },
        silent: true,
        ..PhoneOptions::new(local)
    };
    let start = Instant::now();
    let mut engine = Phone::new(start, engine);
    fs::write(&offer, engine.offer()).unwrap();
    let mut connected = false;
    let mut story = Vec::new();
    let mut buffer = [0; 2_048];
    while !story.last().is_some_and(|line: &String| line.starts_with("verdict")) {
        let now = Instant::now();
        assert!(now < start + TEST_TIMEOUT, "{story:#?}");
        if !connected && let Ok(answer) = fs::read_to_string(&answer) {
            engine.accept(now, &answer).unwrap();
            connected = true;
        }
        while let Ok(line) = lines.try_recv() {
            if line.contains("the call is accepted") {
                engine.set_silent(false);
            }
            story.push(line);
        }
        if let Ok((len, remote)) = socket.recv_from(&mut buffer) {
            engine.handle_datagram(now, local, remote, &buffer[..len]);
        }
        if engine.poll_timeout().is_some_and(|due| due <= now) {
            engine.handle_timeout(now);
        }
        while let Some(transmit) = engine.poll_transmit() {
            socket.send_to(&transmit.bytes, transmit.remote).unwrap();
        }
    }
    assert!(sim.wait().unwrap().success(), "{story:#?}");
    assert_eq!(engine.report().digits_received(), "7");
}
