//! The project's own peers on real sockets: WhatsApp's relay, and a phone.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trestle_peers::{Codec, Flavour, Meta, MetaOptions, MetaReport, Phone, PhoneOptions, Report, Transmit, Voice};

use crate::ear;
use crate::place::Place;
use crate::program::WAIT_MAX;

/// Where a peer's media is, on its user agent's address.
const RTP_PORT: u16 = 4_000;

/// Sockets beside the first are read at least this often.
const TICK: Duration = Duration::from_millis(5);

/// What both peers do.
pub(crate) trait Peer: Send + 'static {
    /// Of its recording.
    const RATE_HZ: u32;
    fn locals(&self) -> Vec<SocketAddr>;
    fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_transmit(&mut self) -> Option<Transmit>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn recording(&self) -> &[i16];
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
pub(crate) struct Line<P> {
    who: &'static str,
    shared: Arc<(Mutex<Shared<P>>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<P> {
    peer: P,
    hung_up: bool,
}

/// WhatsApp at the `n`th address, saying a tone.
pub(crate) fn whatsapp(place: &Place, n: u8, hz: f64) -> Line<Meta> {
    let local = (place.ip(n), RTP_PORT).into();
    let options =
        MetaOptions { voice: Voice::Tone { hz, peak: ear::PEAK }, ..MetaOptions::new(local, Flavour::WebRtc) };
    Line::open("WhatsApp", Meta::new(Instant::now(), options))
}

/// A plain PCMA phone at the `n`th address, saying a tone.
pub(crate) fn phone(place: &Place, n: u8, hz: f64) -> Line<Phone> {
    let options = PhoneOptions {
        codecs: vec![Codec::Pcma],
        voice: Voice::Tone { hz, peak: ear::PEAK },
        seed: n.into(),
        ..PhoneOptions::new((place.ip(n), RTP_PORT).into())
    };
    Line::open("the phone", Phone::new(Instant::now(), options))
}

impl<P: Peer> Line<P> {
    fn open(who: &'static str, peer: P) -> Self {
        let sockets = peer.locals().into_iter().map(|local| (local, UdpSocket::bind(local).unwrap())).collect();
        let shared = Arc::new((Mutex::new(Shared { peer, hung_up: false }), Condvar::new()));
        let carried = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || carry(&carried, sockets)));
        Self { who, shared, thread }
    }

    /// Does something with the peer, now.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut P, Instant) -> T) -> T {
        act(&mut self.shared.0.lock().unwrap().peer, Instant::now())
    }

    /// Waits until `it_is` so.
    pub(crate) fn wait_until(&self, what: &str, it_is: impl Fn(&P) -> bool) {
        let (shared, changed) = &*self.shared;
        let waiting = changed.wait_timeout_while(shared.lock().unwrap(), WAIT_MAX, |shared| !it_is(&shared.peer));
        let (shared, result) = waiting.unwrap();
        assert!(!result.timed_out(), "{} waited too long for {what}\n{:?}", self.who, shared.peer.stream());
    }

    /// From now on it receives this tone.
    pub(crate) fn assert_receives_tone(&self, hz: f64) {
        ear::assert_tone(self.who, hz, |wanted| {
            self.wait_until("more audio", |peer| peer.recording().len() >= wanted);
            (self.with(|peer, _| peer.recording().to_vec()), P::RATE_HZ)
        });
    }

    /// Waits until the other side's digits were received to their ends. baresip presses a key for about 200 ms.
    pub(crate) fn wait_for_digits(&self, digits: &str) {
        self.wait_until(digits, |peer| {
            peer.stream().digits.iter().filter(|digit| digit.ends > 0).count() >= digits.len()
        });
        let stream = self.with(|peer, _| peer.stream());
        assert_eq!(stream.digits_heard(), digits, "{}", self.who);
        for digit in &stream.digits {
            assert_eq!(digit.markers, 1, "{}: {digit:?}", self.who);
            assert!((40.0..400.0).contains(&digit.duration_ms), "{}: {digit:?}", self.who);
        }
    }

    /// Everything that came was right, and came once, on one stream. Strays may be media that has overtaken the answer.
    pub(crate) fn assert_clean(&self) {
        let stream = self.with(|peer, _| peer.stream());
        println!("{}: {stream:?}", self.who);
        assert_eq!(stream.ssrcs.len(), 1, "{}: one SSRC: {stream:?}", self.who);
        let wrong = [
            ("lost", stream.lost),
            ("duplicates", stream.duplicates),
            ("reordered", stream.reordered),
            ("unknown_pt", stream.unknown_pt),
            ("undecodable", stream.undecodable),
            ("ptime_violations", stream.ptime_violations),
            ("auth_failures", stream.auth_failures),
            ("early_packets", stream.early_packets),
        ];
        for (what, count) in wrong {
            assert_eq!(count, 0, "{}: {what}: {stream:?}", self.who);
        }
    }
}

impl Line<Meta> {
    /// What WhatsApp's relay demands of the other side's ICE, DTLS and media.
    pub(crate) fn assert_kept_to_the_rules(&self) {
        self.assert_clean();
        let MetaReport { stream, ice, ssrc_as_signalled, .. } = self.with(|meta, _| meta.report());
        let ice = ice.expect("ICE");
        assert_eq!(stream.strays, 0, "{stream:?}");
        assert_eq!(ssrc_as_signalled, Some(true));
        assert_eq!((ice.controlling, ice.regular_nomination), (Some(true), Some(true)), "{ice:?}");
        assert_eq!((ice.media_before_nomination, ice.switches), (0, 0), "{ice:?}");
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
            let mut shared = shared.lock().unwrap();
            if shared.hung_up {
                return;
            }
            let now = Instant::now();
            if shared.peer.poll_timeout().is_some_and(|due| due <= now) {
                shared.peer.handle_timeout(now);
            }
            while let Some(transmit) = shared.peer.poll_transmit() {
                let socket = sockets.iter().find(|(local, _)| *local == transmit.local);
                let (_, socket) = socket.expect("a peer sends from where it listens");
                socket.send_to(&transmit.bytes, transmit.remote).unwrap();
            }
            changed.notify_all();
            let due = shared.peer.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now));
            due.clamp(Duration::from_micros(100), TICK)
        };
        // The first socket is RTP's, which sets the pace; the others are looked at in passing.
        for (n, (local, socket)) in sockets.iter().enumerate() {
            let wait = if n == 0 { wait } else { Duration::from_micros(1) };
            socket.set_read_timeout(Some(wait)).unwrap();
            while let Ok((len, remote)) = socket.recv_from(&mut buffer) {
                let now = Instant::now();
                shared.lock().unwrap().peer.handle_datagram(now, *local, remote, &buffer[..len]);
                if n == 0 {
                    break;
                }
            }
        }
    }
}
