//! What every load needs: a Trestle, addresses, sockets, time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;
use trestle_io::clock;
use trestle_server::Server;
use trestle_server::config::{Config, Settings};

/// Addresses of the three, all on the loopback.
const TRESTLE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);
pub(crate) const META: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 22));
pub(crate) const PHONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 32));

/// Longest wait for a reply, before a test fails.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// A Trestle as `trestle serve` starts it, one for each figure: none inherits the calls of another.
pub(crate) fn trestle() -> Server {
    let mut settings = Settings::default();
    settings.media.interface = vec![TRESTLE.to_string()];
    settings.listen.listen_ng = vec![SocketAddr::new(TRESTLE.into(), 0)];
    let config = Config::new(settings).expect("valid settings");
    Server::start(&config).expect("Trestle starts on the loopback")
}

/// A blocking socket, whose receives give up after `timeout`.
#[expect(clippy::disallowed_methods, reason = "the load is the outside world")]
pub(crate) fn socket(ip: IpAddr, timeout: Duration) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    socket.set_read_timeout(Some(timeout)).expect("a timeout that is not zero");
    let local = socket.local_addr().expect("the address of a bound socket");
    (socket, local)
}

/// Sleeps, and returns at once if it is later already.
#[expect(clippy::disallowed_methods, reason = "a load keeps its schedule")]
pub(crate) fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(clock::now()));
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Later minus earlier, negative if they are the other way round, in milliseconds.
pub(crate) fn ms_between(earlier: Instant, later: Instant) -> f64 {
    ms(later.saturating_duration_since(earlier)) - ms(earlier.saturating_duration_since(later))
}

/// As `uptime` shows it.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}

/// A signalling client that waits for each answer.
pub(crate) struct Ng {
    socket: UdpSocket,
    cookies: u64,
}

impl Ng {
    pub(crate) fn new(trestle: SocketAddr) -> Self {
        let (socket, _) = socket(trestle.ip(), WAIT_MAX);
        socket.connect(trestle).expect("a route on the loopback");
        Self { socket, cookies: 0 }
    }

    /// The answer to one command.
    pub(crate) fn ask(&mut self, request: &Value) -> io::Result<Value> {
        self.cookies += 1;
        self.socket.send(format!("{} {request}", self.cookies).as_bytes())?;
        let mut buffer = vec![0; 65_536];
        let len = self.socket.recv(&mut buffer)?;
        let space = buffer.iter().position(|byte| *byte == b' ').unwrap_or(0);
        Ok(serde_json::from_slice(&buffer[space..len])?)
    }

    /// The SDP in the answer.
    pub(crate) fn ask_sdp(&mut self, request: &Value) -> String {
        let reply = self.ask(request).expect("an answer");
        reply["sdp"].as_str().unwrap_or_else(|| panic!("no SDP in {reply}")).to_owned()
    }
}
