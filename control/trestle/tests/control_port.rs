//! Which requests the control port takes, and what names it, in a running `trestle serve`.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod served;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};

use served::{Served, WAIT_MAX};
use socket2::{Domain, Socket, Type};

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

/// A socket whose own address is `from`.
fn connect(kind: Type, from: &str, to: &str) -> Socket {
    let to: SocketAddr = to.parse().unwrap();
    let socket = Socket::new(Domain::for_address(to), kind, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    socket
}

/// The reply to a ping by UDP.
fn udp_ping(from: &str, to: &str) -> String {
    let socket: UdpSocket = connect(Type::DGRAM, from, to).into();
    socket.send(br#"1 {"command":"ping"}"#).unwrap();
    let mut reply = [0; 1_500];
    let len = socket.recv(&mut reply).unwrap();
    String::from_utf8(reply[..len].to_vec()).unwrap()
}

/// What a listener over TCP sends for `request` until it closes the connection, or the first bytes of it.
fn tcp_ask(from: &str, to: &str, request: &str) -> String {
    let mut stream: TcpStream = connect(Type::STREAM, from, to).into();
    let mut reply = vec![0; 4_096];
    // Fails if the connection is closed already.
    let _: io::Result<()> = stream.write_all(request.as_bytes());
    let len = stream.read(&mut reply).unwrap_or_default();
    String::from_utf8(reply[..len].to_vec()).unwrap()
}

#[test]
fn sources_that_are_not_allowed_get_no_reply_and_no_connection_until_a_reload_allows_them() {
    let config = std::env::temp_dir().join(format!("trestle-allow-{}.toml", std::process::id()));
    std::fs::write(&config, r#"ng-allow = ["127.0.0.1", "127.0.0.3"]"#).unwrap();
    let any = ["--listen-tcp-ng=127.0.0.1:0", "--listen-http=127.0.0.1:0", "--listen-events=127.0.0.1:0"];
    let file = format!("--config={}", config.display());
    let served = Served::start(&[any[0], any[1], any[2], &file]);
    let [ng, tcp, http, events] = ["ng", "tcp-ng", "http", "events"].map(|of| served.address(of).unwrap());
    let (line, get) = ("1 {\"command\":\"ping\"}\n", "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");

    let stranger: UdpSocket = connect(Type::DGRAM, "127.0.0.2", ng).into();
    stranger.send(br#"0 {"command":"ping"}"#).unwrap();
    assert_eq!(udp_ping("127.0.0.3", ng), r#"1 {"result":"pong"}"#);
    stranger.set_nonblocking(true).unwrap();
    let none = stranger.recv(&mut [0; 100]).unwrap_err();
    assert_eq!(none.kind(), io::ErrorKind::WouldBlock, "a reply would be there before that to the next request");
    for (to, request) in [(tcp, line), (http, get), (events, "")] {
        assert_eq!(tcp_ask("127.0.0.2", to, request), "", "{to}");
    }
    assert_eq!(tcp_ask("127.0.0.3", tcp, line), "1 {\"result\":\"pong\"}\n");
    assert!(tcp_ask("127.0.0.3", http, get).starts_with("HTTP/1.1 200 "));
    let metrics = served.get("/metrics");
    for counter in [
        "trestle_control_dropped_total{reason=\"not_allowed\"} 1",
        "trestle_control_connections_closed_total{listener=\"listen-tcp-ng\",reason=\"not_allowed\"} 1",
        "trestle_control_connections_closed_total{listener=\"listen-http\",reason=\"not_allowed\"} 1",
        "trestle_control_connections_closed_total{listener=\"listen-events\",reason=\"not_allowed\"} 1",
    ] {
        assert!(metrics.lines().any(|other| other == counter), "{counter}\n{metrics}");
    }

    std::fs::write(&config, r#"ng-allow = ["127.0.0.0/30"]"#).unwrap();
    served.signal("HUP");
    let allowed = (0..10_000).any(|_| tcp_ask("127.0.0.2", tcp, line) == "1 {\"result\":\"pong\"}\n");
    assert!(allowed, "the reload has no effect");
    // The control thread takes the list with the other settings.
    let allowed = (0..10_000).any(|_| {
        stranger.send(br#"2 {"command":"ping"}"#).unwrap();
        udp_ping("127.0.0.1", ng);
        stranger.recv(&mut [0; 100]).is_ok()
    });
    assert!(allowed, "the reload has no effect on UDP");
    let (_, log) = served.end_by("TERM");
    std::fs::remove_file(config).unwrap();
    for key in ["listen-ng", "listen-tcp-ng", "listen-http", "listen-events"] {
        let is_logged = |line: &str| line.contains("ng-allow does not have this source") && line.contains(key);
        assert!(log.lines().any(|line| is_logged(line) && line.contains("127.0.0.2")), "{key}\n{log}");
    }
}
