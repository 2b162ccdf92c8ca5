//! The project's phone on real sockets.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trestle_peers::{Phone, PhoneOptions};

/// Longest wait for audio, before a test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// RTCP is read at least this often.
const TICK: Duration = Duration::from_millis(5);

/// A phone and the thread that carries its datagrams.
pub(crate) struct Line {
    shared: Arc<(Mutex<Shared>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    phone: Phone,
    /// How much later than due the phone was served, at worst.
    worst_stall: Duration,
    hung_up: bool,
}

impl Line {
    pub(crate) fn open(options: PhoneOptions) -> Self {
        let phone = Phone::new(Instant::now(), options);
        let sockets = phone.locals().into_iter().map(|local| (local, UdpSocket::bind(local).unwrap())).collect();
        let shared =
            Arc::new((Mutex::new(Shared { phone, worst_stall: Duration::ZERO, hung_up: false }), Condvar::new()));
        let carried = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || carry(&carried, sockets)));
        Self { shared, thread }
    }

    /// Does something with the phone, now.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Phone, Instant) -> T) -> T {
        act(&mut self.shared.0.lock().unwrap().phone, Instant::now())
    }

    /// How much later than it should the phone was served, at worst: a sign of a machine with too much to do.
    pub(crate) fn worst_stall(&self) -> Duration {
        self.shared.0.lock().unwrap().worst_stall
    }

    /// Waits until `received` is true of the phone.
    pub(crate) fn wait_until(&self, what: &str, received: impl Fn(&Phone) -> bool) {
        let (shared, changed) = &*self.shared;
        let waiting = changed.wait_timeout_while(shared.lock().unwrap(), WAIT_MAX, |shared| !received(&shared.phone));
        let (shared, result) = waiting.unwrap();
        assert!(!result.timed_out(), "the phone waited too long for {what}\n{:?}", shared.phone.report());
    }
}

impl Drop for Line {
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

fn carry((shared, changed): &(Mutex<Shared>, Condvar), sockets: Vec<(SocketAddr, UdpSocket)>) {
    let mut buffer = [0; 2_048];
    loop {
        let wait = {
            // Poisoned: the test has failed.
            let Ok(mut shared) = shared.lock() else { return };
            if shared.hung_up {
                return;
            }
            let now = Instant::now();
            if let Some(due) = shared.phone.poll_timeout().filter(|due| *due <= now) {
                shared.worst_stall = shared.worst_stall.max(now - due);
                shared.phone.handle_timeout(now);
            }
            while let Some(transmit) = shared.phone.poll_transmit() {
                let socket = sockets.iter().find(|(local, _)| *local == transmit.local);
                let (_, socket) = socket.expect("the phone sends from where it listens");
                socket.send_to(&transmit.bytes, transmit.remote).unwrap();
            }
            changed.notify_all();
            let due = shared.phone.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now));
            due.clamp(Duration::from_micros(100), TICK)
        };
        // The first socket is RTP's, which sets the pace; the others are looked at in passing.
        for (n, (local, socket)) in sockets.iter().enumerate() {
            let wait = if n == 0 { wait } else { Duration::from_micros(1) };
            socket.set_read_timeout(Some(wait)).unwrap();
            while let Ok((len, remote)) = socket.recv_from(&mut buffer) {
                let now = Instant::now();
                let Ok(mut shared) = shared.lock() else { return };
                shared.phone.handle_datagram(now, *local, remote, &buffer[..len]);
                drop(shared);
                if n == 0 {
                    break;
                }
            }
        }
    }
}
