//! What each test has for itself: addresses, a directory, and a Trestle.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_server::Server;
use trestle_server::config::{Config, Settings};

use crate::WAIT_MAX;

/// A network in 127.0.0.0/8 and a directory.
pub(crate) struct Place {
    net: [u8; 3],
    directory: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        static PLACES: AtomicU8 = AtomicU8::new(0);
        // Another run of these tests may be on this machine.
        let net = [127, 1 + (process::id() % 250) as u8, PLACES.fetch_add(1, Ordering::Relaxed)];
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recipe-{}-{}", net[1], net[2]));
        // Left behind by another run of the same number.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Self { net, directory }
    }

    pub(crate) fn at(&self, n: u8, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(self.net[0], self.net[1], self.net[2], n)), port)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Printed if the test fails.
    pub(crate) fn log(&self) -> File {
        File::create(self.directory.join("log")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("its log:\n{}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A whole Trestle, as `trestle serve` has it, and a client of it.
pub(crate) struct Trestle {
    server: Server,
    client: UdpSocket,
}

impl Trestle {
    pub(crate) fn start(place: &Place) -> Self {
        let mut settings = Settings::default();
        settings.media.interface = vec![place.at(1, 0).ip().to_string()];
        settings.listen.listen_ng = vec![place.at(1, 0)];
        (settings.media.port_min, settings.media.port_max) = (20_000, 20_099);
        settings.media.num_threads = Some(1);
        // A machine that runs many tests at once is late; overload is not the subject here.
        settings.limits.max_lateness_ms = Duration::ZERO;
        let server = Server::start(&Config::new(settings).unwrap()).unwrap();
        let client = UdpSocket::bind(place.at(6, 0)).unwrap();
        client.set_read_timeout(Some(WAIT_MAX)).unwrap();
        client.connect(server.ng_addr()).unwrap();
        Self { server, client }
    }

    pub(crate) fn ng(&self) -> SocketAddr {
        self.server.ng_addr()
    }

    /// Waits until no call is left.
    pub(crate) fn end(self) {
        let deadline = Instant::now() + WAIT_MAX;
        for n in 0.. {
            let cookie = format!("end{n} ");
            self.client.send(format!("{cookie}{}", json!({"command": "statistics"})).as_bytes()).unwrap();
            let mut reply = [0; 8_192];
            let len = self.client.recv(&mut reply).expect("Trestle replies");
            let reply: Value = serde_json::from_slice(reply[..len].strip_prefix(cookie.as_bytes()).unwrap()).unwrap();
            if reply["statistics"]["currentstatistics"]["sessionsown"] == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "a call is left in Trestle");
            thread::yield_now();
        }
        self.server.stop();
    }
}
