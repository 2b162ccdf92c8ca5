//! Which requests the control port takes, and what names it, in a running `trestle serve`.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod served;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};

use served::{Served, Start, WAIT_MAX};
use socket2::{Domain, Socket, Type};
use trestle_ng::{NgSecrets, signature};

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

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A file with this text that only its owner can read; it is removed at the end of the test.
struct SecretFile(std::path::PathBuf);

impl SecretFile {
    fn new(name: &str, text: &str) -> Self {
        use std::os::unix::fs::OpenOptionsExt;
        let path = std::env::temp_dir().join(format!("trestle-{name}-{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Self(path)
    }

    fn flag(&self) -> String {
        format!("--ng-secret-file={}", self.0.display())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _: io::Result<()> = std::fs::remove_file(&self.0);
    }
}

/// `COOKIE SIGNATURE` of a request with this body, and the secrets.
fn sign(cookie: &str, body: &str) -> (String, NgSecrets) {
    let secrets = NgSecrets::read(SECRET.as_bytes()).unwrap();
    let unix = trestle_io::clock::sample_epoch().unix;
    let signature = secrets.sign_request(unix, cookie.as_bytes(), body.as_bytes()).unwrap();
    (format!("{cookie} {signature}"), secrets)
}

/// True if `reply` is the signed reply to the request that began with `prefix`.
fn is_signed(prefix: &str, secrets: &NgSecrets, reply: &str) -> bool {
    let (cookie, request) = prefix.split_once(' ').unwrap();
    let Some(signed) = reply.strip_prefix(cookie).and_then(|rest| rest.strip_prefix(' ')) else { return false };
    let (signature, body) = signature::split(signed.as_bytes());
    secrets.is_reply(request, signature, cookie.as_bytes(), body)
}

#[test]
fn with_a_secret_only_signed_requests_are_executed_over_udp_tcp_and_http() {
    let secret = SecretFile::new("secret", SECRET);
    let flags = [&secret.flag(), "--listen-tcp-ng=127.0.0.1:0", "--listen-http=127.0.0.1:0"];
    let served = Served::start(&flags.map(|flag: &str| flag));
    let [ng, tcp, http] = ["ng", "tcp-ng", "http"].map(|of| served.address(of).unwrap());
    let body = r#"{"command":"ping"}"#;

    // UDP: the unsigned request has no reply, the signed one behind it has.
    let client: UdpSocket = connect(Type::DGRAM, "127.0.0.1", ng).into();
    let (prefix, secrets) = sign("u", body);
    client.send(format!("u {body}").as_bytes()).unwrap();
    client.send(format!("{prefix} {body}").as_bytes()).unwrap();
    let mut reply = [0; 1_500];
    let len = client.recv(&mut reply).unwrap();
    assert!(is_signed(&prefix, &secrets, std::str::from_utf8(&reply[..len]).unwrap()));

    // TCP: an unsigned request closes the connection.
    assert_eq!(tcp_ask("127.0.0.1", tcp, &format!("t {body}\n")), "");
    let (prefix, secrets) = sign("t", body);
    let reply = tcp_ask("127.0.0.1", tcp, &format!("{prefix} {body}\n"));
    assert!(is_signed(&prefix, &secrets, reply.trim_end()), "{reply}");

    // HTTP: with the signature in the body, or in a header.
    let post = |path: &str, header: &str, body: &str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n");
        let request = format!("{head}Content-Length: {}\r\n{header}\r\n{body}", body.len());
        let mut stream: TcpStream = connect(Type::STREAM, "127.0.0.1", http).into();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    };
    for (path, body) in [("/ng", format!("h {body}")), ("/ng-plain", body.to_owned())] {
        assert!(post(path, "", &body).starts_with("HTTP/1.1 401 "));
    }
    let (prefix, secrets) = sign("h1", body);
    let response = post("/ng", "", &format!("{prefix} {body}"));
    assert!(is_signed(&prefix, &secrets, response.split_once("\r\n\r\n").unwrap().1), "{response}");
    let (prefix, secrets) = sign("h2", body);
    let response = post("/ng-plain", &format!("Trestle-Signature: {prefix}\r\n"), body);
    let (head, plain) = response.split_once("\r\n\r\n").unwrap();
    assert_eq!(plain, r#"{"result":"pong"}"#);
    let signature = head.lines().find_map(|line| line.strip_prefix("trestle-signature: ")).unwrap();
    assert!(is_signed(&prefix, &secrets, &format!("{signature} {plain}")), "{response}");
    assert!(post("/ng-plain", "Trestle-Signature: h3 hmac1:1:2 x\r\n", body).starts_with("HTTP/1.1 400 "));

    let metrics = served.get("/metrics");
    assert!(metrics.contains("trestle_control_dropped_total{reason=\"unsigned\"} 4\n"), "{metrics}");
    let (_, log) = served.end_by("TERM");
    assert!(log.contains("give the client the secret of ng-secret-file") && !log.contains(SECRET), "{log}");
}

#[test]
fn ctl_and_explain_sign_with_the_secret_of_a_file_and_a_reload_changes_it() {
    let secret = SecretFile::new("ctl", SECRET);
    let served = Served::start_with(Start {
        variables: &[("TRESTLE_NG_SECRET_FILE", secret.0.to_str().unwrap())],
        ..Start::default()
    });
    let ask = |command: &[&str], file: Option<&SecretFile>| {
        let mut ask = Command::new(served::TRESTLE);
        ask.args(command).args(["--ng", served.ng()]).env_remove("TRESTLE_NG_SECRET_FILE");
        if let Some(file) = file {
            ask.arg(file.flag());
        }
        let done = ask.output().unwrap();
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    assert!(ask(&["ctl", "ping"], Some(&secret)).0.contains("pong"));
    let by_variable = Command::new(served::TRESTLE)
        .args(["ctl", "--ng", served.ng(), "ping"])
        .env("TRESTLE_NG_SECRET_FILE", &secret.0)
        .output()
        .unwrap();
    assert!(String::from_utf8(by_variable.stdout).unwrap().contains("pong"));
    let unknown = ask(&["explain", "absent"], Some(&secret)).1;
    assert!(unknown.contains("absent: Unknown call-id"), "{unknown}");

    let next = SecretFile::new("next", &"f".repeat(32));
    std::fs::write(&secret.0, format!("{}\n{SECRET}\n", "f".repeat(32))).unwrap();
    served.signal("HUP");
    // The first answer of the new secret; before it there is none, and `ctl` repeats its request for five seconds.
    assert!((0..10).any(|_| ask(&["ctl", "ping"], Some(&next)).0.contains("pong")));
    let (_, log) = served.end_by("TERM");
    assert!(log.contains("changed=\"ng-secret-file\""), "{log}");

    let plain = Served::start(&[]);
    let done =
        Command::new(served::TRESTLE).args(["ctl", "--ng", plain.ng(), "ping", &secret.flag()]).output().unwrap();
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(text.contains("is not signed with the secret; does the server have the same ng-secret-file?"), "{text}");
}

#[test]
fn a_secret_that_other_users_can_read_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let secret = SecretFile::new("open", SECRET);
    std::fs::set_permissions(&secret.0, std::fs::Permissions::from_mode(0o644)).unwrap();
    let failed = Command::new(served::TRESTLE)
        .args(["serve", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:0", &secret.flag()])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let text = String::from_utf8(failed.stderr).unwrap();
    assert!(text.contains("ng-secret-file: ") && text.contains("run chmod 600 "), "{text}");
}

/// What the server sends for `request` over its Unix socket, up to `len` bytes.
fn unix_ask(path: &str, request: &str, len: usize) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()
}

#[test]
fn a_unix_socket_takes_requests_with_and_without_cookies_and_its_file_is_removed_at_the_end() {
    let path = std::env::temp_dir().join(format!("trestle-ng-{}.sock", std::process::id()));
    let shown = path.to_str().unwrap();
    let flags = [format!("--listen-ng-unix={shown}"), "--ng-udp=no".to_owned(), "--listen-http=127.0.0.1:0".to_owned()];
    let flags = flags.each_ref().map(String::as_str);
    let served = Served::start(&flags);
    assert_eq!((served.ng(), served.address("unix-ng")), ("off", Some(shown)));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o660);
    // As Kamailio and OpenSIPS send it: one request of a connection, without a cookie.
    assert_eq!(unix_ask(shown, "d7:command4:pinge", 16), "d6:result4:ponge");
    assert_eq!(unix_ask(shown, "{\"command\": \"ping\"}", 18), "{\"result\":\"pong\"}\n");
    let both = unix_ask(shown, "7_1 d7:command4:pinge8 {\"command\":\"ping\"}\n", 40);
    assert_eq!(both, "7_1 d6:result4:ponge8 {\"result\":\"pong\"}\n");
    let offer = r#"{"command":"offer","call-id":"c","from-tag":"a","sdp":"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8\r\n"}"#;
    assert!(unix_ask(shown, offer, 12).starts_with("{\"sdp\":\"v=0"));
    let ctl = |arguments: &[&str]| {
        let done =
            Command::new(served::TRESTLE).args(["ctl", "--ng", &format!("unix:{shown}")]).args(arguments).output();
        String::from_utf8(done.unwrap().stdout).unwrap()
    };
    assert!(ctl(&["list"]).contains("\"c\""));
    let metrics = served.get("/metrics");
    assert!(
        metrics.contains("trestle_control_connections_closed_total{listener=\"listen-ng-unix\",reason=\"late\"} 0\n")
    );
    let (status, _) = served.end_by("KILL");
    assert!(!status.success() && path.exists(), "a process that is killed leaves its file");

    let again = Served::start(&flags);
    assert!(ctl(&["ping"]).contains("pong"), "the file is replaced");
    let second = Command::new(served::TRESTLE)
        .args(["serve", "--interface=127.0.0.1", "--listen-ng=127.0.0.1:0", flags[0]])
        .output()
        .unwrap();
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains("listen-ng-unix: cannot listen on ") && text.contains("address in use"), "{text}");
    assert!(ctl(&["ping"]).contains("pong"), "the second process has not taken the file");
    assert!(again.end_by("TERM").0.success());
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_needs_signatures_unless_it_is_an_exception() {
    let secret = SecretFile::new("unix", SECRET);
    let path = std::env::temp_dir().join(format!("trestle-signed-{}.sock", std::process::id()));
    let unix = format!("--listen-ng-unix={}", path.display());
    let ping = |sign: bool| {
        let mut ctl = Command::new(served::TRESTLE);
        ctl.args(["ctl", "--ng", &format!("unix:{}", path.display()), "ping"]);
        if sign {
            ctl.arg(secret.flag());
        }
        String::from_utf8(ctl.output().unwrap().stdout).unwrap().contains("pong")
    };
    for (exception, unsigned) in [(None, false), (Some("--ng-unsigned=unix"), true)] {
        let flags = [Some(unix.as_str()), Some(&secret.flag()), exception].map(|flag| flag.map(str::to_owned));
        let flags: Vec<&str> = flags.iter().flatten().map(String::as_str).collect();
        let served = Served::start(&flags);
        assert_eq!((ping(true), ping(false)), (true, unsigned), "{exception:?}");
        assert!(served.end_by("TERM").0.success());
    }
}
