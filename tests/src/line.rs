//! A peer on real sockets: the project's WhatsApp relay or phone, carried by a thread.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests with real sockets are the outside world: they have clocks, threads and locks"
)]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trestle_peers::{Meta, Phone, Report, Transmit};

/// Longest wait for anything, before a test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Sockets beside the first are read at least this often.
const TICK: Duration = Duration::from_millis(5);

/// What both peers do.
pub trait Peer: Send + 'static {
    /// Sample rate of its recording.
    const RATE_HZ: u32;
    /// Its addresses, RTP first.
    fn locals(&self) -> Vec<SocketAddr>;
    /// Takes a datagram.
    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// The next datagram to send.
    fn poll_transmit(&mut self) -> Option<Transmit>;
    /// The next deadline.
    fn poll_timeout(&self) -> Option<Instant>;
    /// What it has received, decoded.
    fn recording(&self) -> &[i16];
    /// The report on what it has received.
    fn stream(&self) -> Report;
}

macro_rules! peer {
    ($name:ident, $rate_hz:literal, $stream:expr) => {
        impl Peer for $name {
            const RATE_HZ: u32 = $rate_hz;
            fn locals(&self) -> Vec<SocketAddr> {
                Self::locals(self).to_vec()
            }
            fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
                self.handle_datagram(now, local, remote, bytes);
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn poll_transmit(&mut self) -> Option<Transmit> {
                self.poll_transmit()
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn recording(&self) -> &[i16] {
                self.recording()
            }
            fn stream(&self) -> Report {
                let stream: fn(&Self) -> Report = $stream;
                stream(self)
            }
        }
    };
}

peer!(Meta, 16_000, |meta| meta.report().stream);
peer!(Phone, 8_000, |phone| phone.report().clone());

/// A peer and the thread that carries its datagrams.
pub struct Line<P> {
    name: &'static str,
    shared: Arc<(Mutex<Shared<P>>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<P> {
    peer: P,
    /// How much later than due the peer was served, at worst.
    worst_stall: Duration,
    hung_up: bool,
}

impl<P: Peer> Line<P> {
    /// Binds the peer's sockets and starts its thread. Failed assertions call it `name`.
    pub fn open(name: &'static str, peer: P) -> Self {
        let sockets = peer.locals().into_iter().map(|local| (local, UdpSocket::bind(local).unwrap())).collect();
        let shared = Shared { peer, worst_stall: Duration::ZERO, hung_up: false };
        let shared = Arc::new((Mutex::new(shared), Condvar::new()));
        let carried = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || carry(&carried, sockets)));
        Self { name, shared, thread }
    }

    /// What failed assertions call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Does something with the peer, now.
    pub fn with<T>(&self, act: impl FnOnce(&mut P, Instant) -> T) -> T {
        act(&mut self.shared.0.lock().unwrap().peer, Instant::now())
    }

    /// How much later than due the peer was served, at worst: a sign of an overloaded machine.
    pub fn worst_stall(&self) -> Duration {
        self.shared.0.lock().unwrap().worst_stall
    }

    /// Waits until `is_done` is true of the peer.
    pub fn wait_until(&self, what: &str, is_done: impl Fn(&P) -> bool) {
        let (shared, changed) = &*self.shared;
        let waiting = changed.wait_timeout_while(shared.lock().unwrap(), WAIT_MAX, |shared| !is_done(&shared.peer));
        let (shared, result) = waiting.unwrap();
        assert!(!result.timed_out(), "{} waited too long for {what}\n{:?}", self.name, shared.peer.stream());
    }
}

impl<P> Drop for Line<P> {
    fn drop(&mut self) {
        // A poisoned lock has ended the thread already.
        if let Ok(mut shared) = self.shared.0.lock() {
            shared.hung_up = true;
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry<P: Peer>((shared, changed): &(Mutex<Shared<P>>, Condvar), sockets: Vec<(SocketAddr, UdpSocket)>) {
    let mut buffer = [0; 2_048];
    loop {
        let wait = {
            // Poisoned: the test has failed.
            let Ok(mut shared) = shared.lock() else { return };
            if shared.hung_up {
                return;
            }
            let now = Instant::now();
            if let Some(due) = shared.peer.poll_timeout().filter(|due| *due <= now) {
                shared.worst_stall = shared.worst_stall.max(now - due);
                shared.peer.handle_timeout(now);
            }
            while let Some(transmit) = shared.peer.poll_transmit() {
                let socket = sockets.iter().find(|(local, _)| *local == transmit.local);
                let (_, socket) = socket.expect("a peer sends from one of its addresses");
                socket.send_to(&transmit.bytes, transmit.remote).unwrap();
            }
            changed.notify_all();
            let due = shared.peer.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now));
            due.clamp(Duration::from_micros(100), TICK)
        };
        // The first socket is RTP's, which sets the pace; the others are polled in between.
        for (n, (local, socket)) in sockets.iter().enumerate() {
            let wait = if n == 0 { wait } else { Duration::from_micros(1) };
            socket.set_read_timeout(Some(wait)).unwrap();
            while let Ok((len, remote)) = socket.recv_from(&mut buffer) {
                let now = Instant::now();
                let Ok(mut shared) = shared.lock() else { return };
                shared.peer.handle_datagram(now, *local, remote, &buffer[..len]);
                drop(shared);
                if n == 0 {
                    break;
                }
            }
        }
    }
}
