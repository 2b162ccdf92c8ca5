//! Trestle in this process, and what it reports on its calls.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use trestle_tests::running::{RunningTrestle, settings};

/// A Trestle that can be stopped and started again at the same addresses.
pub(crate) struct Trestle(RunningTrestle);

impl Trestle {
    /// ng at `ng`, media at `media`. Calls are forgotten `delete_delay` seconds after their end.
    pub(crate) fn start(ng: SocketAddr, media: Ipv4Addr, delete_delay: u32) -> Self {
        let mut settings = settings(ng, media);
        settings.calls.delete_delay = Duration::from_secs(delete_delay.into());
        Self(RunningTrestle::start(settings))
    }

    pub(crate) fn stop(&mut self) {
        self.0.stop();
    }

    pub(crate) fn restart(&mut self) {
        self.0.restart();
    }

    /// Call-IDs of the calls that there are, those that have ended but are kept for `query` among them.
    pub(crate) fn calls(&self) -> Vec<String> {
        let reply = self.0.request(&json!({"command": "list", "limit": 1_000}));
        reply["calls"].as_array().unwrap().iter().map(|call| call.as_str().unwrap().to_owned()).collect()
    }

    /// Everything about a call.
    pub(crate) fn query(&self, call_id: &str) -> Value {
        self.0.request(&json!({"command": "query", "call-id": call_id, "flags": ["verbose"]}))
    }
}
