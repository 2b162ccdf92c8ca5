//! Trestle in this process, and a client that asks it.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use trestle_server::Server;
use trestle_server::config::{Config, Settings};

use crate::program::WAIT_MAX;

/// A Trestle that can be stopped and started again at the same addresses.
pub(crate) struct Trestle {
    server: Option<Server>,
    config: Config,
}

impl Trestle {
    /// ng at `ng`, media at `media`. Calls are forgotten `delete_delay` seconds after their end.
    pub(crate) fn start(ng: SocketAddr, media: Ipv4Addr, delete_delay: u32) -> Self {
        let mut settings = Settings::default();
        settings.media.interface = vec![media.to_string()];
        settings.listen.listen_ng = vec![ng];
        (settings.media.port_min, settings.media.port_max) = (20_000, 29_999);
        settings.media.num_threads = Some(1);
        settings.calls.delete_delay = Duration::from_secs(delete_delay.into());
        // A machine that runs many tests at once is late; overload is not the subject here.
        settings.limits.max_lateness_ms = Duration::ZERO;
        let mut trestle = Self { server: None, config: Config::new(settings).unwrap() };
        trestle.restart();
        trestle
    }

    pub(crate) fn stop(&mut self) {
        self.server.take().expect("Trestle runs").stop();
    }

    pub(crate) fn restart(&mut self) {
        self.server = Some(Server::start(&self.config).unwrap());
    }

    /// Call-IDs of the calls that there are, those that have ended but are kept for `query` among them.
    pub(crate) fn calls(&self) -> Vec<String> {
        let reply = self.request(&json!({"command": "list", "limit": 1_000}));
        reply["calls"].as_array().unwrap().iter().map(|call| call.as_str().unwrap().to_owned()).collect()
    }

    /// Everything about a call.
    pub(crate) fn query(&self, call_id: &str) -> Value {
        self.request(&json!({"command": "query", "call-id": call_id, "flags": ["verbose"]}))
    }

    fn request(&self, request: &Value) -> Value {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
        socket.connect(self.config.settings.listen.listen_ng[0]).unwrap();
        socket.send(format!("test {request}").as_bytes()).unwrap();
        let mut reply = vec![0; 65_536];
        let len = socket.recv(&mut reply).expect("a reply in time");
        serde_json::from_slice(reply[..len].strip_prefix(b"test ").expect("the request's cookie")).unwrap()
    }
}
