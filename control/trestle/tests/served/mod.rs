//! A running `trestle serve` as an operator starts it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

pub(crate) const TRESTLE: &str = env!("CARGO_BIN_EXE_trestle");

/// Longest wait for a reply or for the end of the program, before a test fails.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// How a program is started. By default its standard error goes to a pipe, which is read at its end.
pub(crate) struct Start<'a> {
    pub(crate) flags: &'a [&'a str],
    pub(crate) variables: &'a [(&'a str, &'a str)],
    pub(crate) stderr: Stdio,
}

impl Default for Start<'_> {
    fn default() -> Self {
        Self { flags: &[], variables: &[], stderr: Stdio::piped() }
    }
}

/// A running `trestle serve`. It is killed if the test ends before it was stopped.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) ready: String,
}

impl Served {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with(Start { flags, ..Start::default() })
    }

    pub(crate) fn start_with(start: Start<'_>) -> Self {
        let child = Command::new(TRESTLE)
            .args([
                "serve",
                "--interface=127.0.0.1",
                "--listen-ng=127.0.0.1:0",
                "--num-threads=1",
                "--port-max=32766",
                "--max-lateness-ms=0",
            ])
            .args(start.flags)
            .envs(start.variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(start.stderr)
            .spawn()
            .unwrap();
        let mut served = Self { child, ready: String::new() };
        BufReader::new(served.child.stdout.take().unwrap()).read_line(&mut served.ready).unwrap();
        assert!(served.ready.starts_with("ready: ng "), "{:?}", served.ready);
        served
    }

    pub(crate) fn ng(&self) -> &str {
        self.address("ng").unwrap()
    }

    /// The address after this word in the line `ready:`.
    pub(crate) fn address(&self, of: &str) -> Option<&str> {
        let line = self.ready.trim_end().strip_prefix("ready: ").unwrap();
        line.split(", ").find_map(|part| part.strip_prefix(of)?.strip_prefix(' '))
    }

    pub(crate) fn ctl(&self, arguments: &[&str]) -> Output {
        Command::new(TRESTLE).args(["ctl", "--ng", self.ng()]).args(arguments).output().unwrap()
    }

    /// The reply to a request, as JSON text.
    pub(crate) fn raw(&self, request: &str) -> String {
        String::from_utf8(self.ctl(&["raw", request]).stdout).unwrap()
    }

    /// The response to `GET path`.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address("http").unwrap()).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Waits for its end. Gives the exit status and the log, which is empty if standard error goes elsewhere.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).unwrap();
        }
        (status, log)
    }

    pub(crate) fn end_by(self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // In most cases it has ended already; an error is then expected.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<ExitStatus> = self.child.wait();
    }
}
