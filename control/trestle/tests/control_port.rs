//! Which requests the control port takes, and what names it, in a running `trestle serve`.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// A program in a network namespace of its own. `None` if the system permits none.
struct Namespace(Child);

impl Namespace {
    /// Starts `trestle serve` in a new namespace, and waits until it accepts commands.
    fn serve(flags: &[&str]) -> Option<Self> {
        let permitted = Command::new("unshare").args(["-rn", "ip", "link", "set", "lo", "up"]).output();
        if !permitted.is_ok_and(|done| done.status.success()) {
            return None;
        }
        let mut child = Command::new("unshare")
            .args(["-rn", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_trestle"), "serve"])
            // Without it, only root could enter the namespaces of the process.
            .arg("--core-dumps=yes")
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("ready: "), "{ready}");
        Some(Self(child))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let id = self.0.id().to_string();
        let enter = ["--preserve-credentials", "-U", "-n", "-t", &id, program];
        Command::new("nsenter").args(enter).args(arguments).output().unwrap()
    }

    /// The reply to an offer with this address of media.
    fn offer(&self, call: usize, ip: &str, port: u16) -> String {
        let sdp = format!(
            "v=0\\r\\no=- 1 1 IN IP4 {ip}\\r\\ns=-\\r\\nc=IN IP4 {ip}\\r\\nt=0 0\\r\\nm=audio {port} RTP/AVP 0\\r\\n"
        );
        let request = format!(r#"{{"command":"offer","call-id":"{call}","from-tag":"a","sdp":"{sdp}"}}"#);
        let done = self.run(env!("CARGO_BIN_EXE_trestle"), &["ctl", "raw", &request]);
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _: std::io::Result<()> = self.0.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.0.wait();
    }
}

#[test]
fn a_wildcard_listener_is_refused_in_sdp_at_an_address_that_the_machine_gets_later() {
    let flags = ["--interface=127.0.0.1", "--listen-ng=0.0.0.0:2223", "--num-threads=1", "--max-lateness-ms=0"];
    let Some(namespace) = Namespace::serve(&flags) else { return };
    let peer = namespace.offer(0, "192.0.2.50", 2_223);
    assert!(peer.contains(r#""result": "ok""#), "at first it is the address of another machine: {peer}");
    for action in ["add", "del"] {
        let done = namespace.run("ip", &["address", action, "192.0.2.50/32", "dev", "lo"]);
        assert!(done.status.success(), "{done:?}");
        // The kernel's notification and the request are two sockets of the same thread.
        let is_own = |reply: &str| reply.contains("itself listens there");
        let seen = (1..200).find(|call| is_own(&namespace.offer(*call, "192.0.2.50", 2_223)) == (action == "add"));
        assert!(seen.is_some(), "{action}");
        assert!(namespace.offer(300, "192.0.2.50", 5_004).contains(r#""result": "ok""#), "another port");
    }
}
