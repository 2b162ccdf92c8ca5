//! A running Trestle with real sockets on the loopback network, in the process of the test.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::Value;
use trestle_server::Server;
use trestle_server::config::{Config, Settings};

/// Longest wait for a reply, before a test fails.
const REPLY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Addresses of one test: 127.RUN.N.1 to .254. Another run of the tests on the same machine has another RUN.
#[derive(Debug, Clone, Copy)]
pub struct LoopbackNet([u8; 3]);

impl LoopbackNet {
    /// A network that no other test of this process has, with N from `first` up.
    pub fn next(first: u8) -> Self {
        static TAKEN: AtomicU8 = AtomicU8::new(0);
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(taken < 128, "no free addresses");
        Self([127, 1 + (process::id() % 250) as u8, first + taken])
    }

    /// The `n`th address.
    pub fn ip(self, n: u8) -> Ipv4Addr {
        let [a, b, c] = self.0;
        Ipv4Addr::new(a, b, c, n)
    }

    /// A socket address on the `n`th address.
    pub fn at(self, n: u8, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip(n)), port)
    }

    /// A name for files of the test.
    pub fn name(self) -> String {
        format!("{}-{}", self.0[1], self.0[2])
    }
}

/// The settings of a test's Trestle: ng at `ng`, media on ports 20,000 to 29,999 of `media`, one thread, no limits.
pub fn settings(ng: SocketAddr, media: Ipv4Addr) -> Settings {
    let mut settings = Settings::default();
    settings.media.interface = vec![media.to_string()];
    settings.listen.listen_ng = vec![ng];
    (settings.media.port_min, settings.media.port_max) = (20_000, 29_999);
    settings.media.num_threads = Some(1);
    // A machine that runs many tests at once is late; only tests of overload refuse calls for that.
    settings.limits.max_lateness_ms = Duration::ZERO;
    settings
}

/// The same on 127.0.0.1. The media ports are below those that the system gives to the sockets of the test.
pub fn local_settings() -> Settings {
    settings(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Ipv4Addr::LOCALHOST)
}

/// The text of `/metrics`; the server listens for HTTP.
pub fn metrics(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.http_addr().expect("listen-http")).expect("a connection");
    stream.set_read_timeout(Some(REPLY_WAIT_MAX)).expect("a timeout that is not zero");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("an open connection");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response in time");
    response
}

/// A Trestle that can be stopped and started again at the same addresses.
pub struct RunningTrestle {
    server: Option<Server>,
    config: Config,
}

impl RunningTrestle {
    /// Starts a Trestle as `trestle serve` does.
    pub fn start(settings: Settings) -> Self {
        let mut trestle = Self { server: None, config: Config::new(settings).expect("a good configuration") };
        trestle.restart();
        trestle
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.server.take().expect("a running Trestle").stop();
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.server = Some(Server::start(&self.config).expect("free addresses"));
    }

    /// The server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a running Trestle")
    }

    /// Its ng port.
    pub fn ng(&self) -> SocketAddr {
        self.server().ng_addr()
    }

    /// A socket that is connected to the ng port.
    #[expect(clippy::disallowed_methods, reason = "tests with real sockets are the outside world")]
    pub fn client(&self) -> UdpSocket {
        let socket = UdpSocket::bind((self.ng().ip(), 0)).expect("a free port");
        socket.set_read_timeout(Some(REPLY_WAIT_MAX)).expect("a timeout that is not zero");
        socket.connect(self.ng()).expect("a route on the loopback");
        socket
    }

    /// Sends a JSON request from a new socket and returns the reply.
    pub fn request(&self, request: &Value) -> Value {
        let socket = self.client();
        socket.send(format!("test {request}").as_bytes()).expect("a route on the loopback");
        let mut reply = vec![0; 65_536];
        let len = socket.recv(&mut reply).expect("a reply in time");
        serde_json::from_slice(reply[..len].strip_prefix(b"test ").expect("the request's cookie")).expect("JSON")
    }
}
