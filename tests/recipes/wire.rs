//! The peers' datagrams on real sockets, carried by the test itself while it waits for audio.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::WAIT_MAX;
use crate::bridge::Bridge;

/// How long one look at one socket takes if nothing comes; there are three.
const LOOK: Duration = Duration::from_micros(500);

pub(crate) struct Wire(Vec<(SocketAddr, UdpSocket)>);

impl Wire {
    pub(crate) fn open(bridge: &Bridge) -> Self {
        let locals = bridge.meta.locals().iter().copied().chain(bridge.phone.locals());
        let bind = |local| {
            let socket = UdpSocket::bind(local).unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            (local, socket)
        };
        Self(locals.map(bind).collect())
    }

    /// Carries until `received` is true.
    pub(crate) fn carry_until(&self, bridge: &mut Bridge, what: &str, received: impl Fn(&Bridge) -> bool) {
        let deadline = Instant::now() + WAIT_MAX;
        let mut buffer = [0; 2_048];
        while !received(bridge) {
            let now = Instant::now();
            assert!(now < deadline, "waited too long: {what}\n{:?}\n{:?}", bridge.meta.report(), bridge.phone.report());
            if bridge.meta.poll_timeout().is_some_and(|due| due <= now) {
                bridge.meta.handle_timeout(now);
            }
            if bridge.phone.poll_timeout().is_some_and(|due| due <= now) {
                bridge.phone.handle_timeout(now);
            }
            while let Some(transmit) = bridge.meta.poll_transmit().or_else(|| bridge.phone.poll_transmit()) {
                let (_, socket) = self.0.iter().find(|(local, _)| *local == transmit.local).expect("a peer's own");
                socket.send_to(&transmit.bytes, transmit.remote).unwrap();
            }
            for (local, socket) in &self.0 {
                while let Ok((len, remote)) = socket.recv_from(&mut buffer) {
                    let now = Instant::now();
                    if bridge.meta.locals().contains(local) {
                        bridge.meta.handle_datagram(now, *local, remote, &buffer[..len]);
                    } else {
                        bridge.phone.handle_datagram(now, *local, remote, &buffer[..len]);
                    }
                }
            }
        }
    }
}
