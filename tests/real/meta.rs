//! The ICE-lite peer: a Python process that takes commands, line by line.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::WebRtc;

/// The peer bounds its own waiting, with a better message; this is for a peer that hangs.
const WAIT_MAX: Duration = Duration::from_secs(70);

pub(crate) struct Meta {
    process: Child,
    commands: Option<ChildStdin>,
    replies: Receiver<String>,
}

impl Meta {
    /// At `ip`, saying a tone of `hz`.
    pub(crate) fn start(ip: Ipv4Addr, hz: f64) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("../target/python/bin/python");
        assert!(python.exists(), "there is no Python with aiortc at {}: run .ci/install", python.display());
        let mut process = Command::new(python)
            .arg(root.join("real/meta.py"))
            .args([ip.to_string(), hz.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (replied, replies) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| replied.send(line)));
        Self { commands: process.stdin.take(), process, replies }
    }

    /// Has `command` done; fails with its error.
    pub(crate) fn ask(&mut self, command: Value) -> Value {
        let written = self.commands.as_mut().map(|commands| writeln!(commands, "{command}"));
        let reply = self.replies.recv_timeout(WAIT_MAX).unwrap_or_else(|error| {
            panic!("meta.py does not answer ({written:?}, {error}). If it lacks a module or libopus: run .ci/install")
        });
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert!(reply.get("error").is_none(), "{command}\n{reply:#}");
        reply
    }
}

impl WebRtc for Meta {
    fn offer(&mut self) -> String {
        self.ask(json!({"do": "offer"}))["sdp"].as_str().unwrap().to_owned()
    }

    fn accept(&mut self, sdp: &str) {
        self.ask(json!({"do": "accept", "sdp": sdp}));
    }

    fn answer(&mut self, sdp: &str) -> String {
        self.ask(json!({"do": "answer", "sdp": sdp}))["sdp"].as_str().unwrap().to_owned()
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        // Hanging up in order is part of the call, but a failed test does not wait for it.
        self.commands = None;
        if thread::panicking() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
