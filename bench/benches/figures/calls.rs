//! A call between WhatsApp over WebRTC and a plain PCMA phone, both driven over real sockets by one thread.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;
use trestle_io::clock;
use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions, Transmit, Voice, speech};
use trestle_wire::demux::DatagramKind;

use crate::ground::{META, Ng, PHONE};

/// How long ICE and DTLS may take before the call is given up.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The peers are looked after at least that often.
const TURN: Duration = Duration::from_millis(5);
/// Attempts to find two free ports beside each other.
const PORT_TRIES: usize = 50;

/// Caller and callee.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    UserInitiated,
    BusinessInitiated,
}

/// A call that is over.
pub(crate) struct Played {
    pub(crate) meta: Meta,
    pub(crate) phone: Phone,
    /// When both legs were ready: WhatsApp's handshake was through and the answer had been handed over. `None` if it
    /// never came to that.
    pub(crate) ready_at: Option<Instant>,
    /// When each RTP packet was handed to the system, by its sender.
    pub(crate) meta_sent: Vec<Instant>,
    pub(crate) phone_sent: Vec<Instant>,
    /// Until then nothing reaches WhatsApp, and it does nothing.
    held_until: Instant,
}

struct Sockets {
    poll: Poll,
    events: Events,
    all: Vec<(SocketAddr, UdpSocket)>,
}

/// Makes one call; people talk for `length`. Blocks its thread until it is over. `seed` makes it differ from others,
/// `hold` is how long WhatsApp does not take part in the handshake.
pub(crate) fn play(trestle: SocketAddr, seed: u64, direction: Direction, hold: Duration, length: Duration) -> Played {
    let mut sockets = Sockets::open();
    let mut ng = Ng::new(trestle);
    let now = clock::now();
    let (caller, agent) = (Voice::Clip(speech::caller()), Voice::Clip(speech::agent()));
    let meta = MetaOptions { voice: caller, seed: 2 * seed, ..MetaOptions::new(sockets.all[0].0, Flavour::WebRtc) };
    let phone = PhoneOptions { voice: agent, seed: 2 * seed + 1, ..PhoneOptions::new(sockets.all[1].0) };
    let mut call = Played {
        meta: Meta::new(now, meta),
        phone: Phone::new(now, phone),
        ready_at: None,
        meta_sent: Vec::new(),
        phone_sent: Vec::new(),
        held_until: now,
    };
    let id = format!("bench-{seed}");
    call.signal(&mut ng, &id, direction);
    let answered_at = clock::now();
    call.held_until = answered_at + hold;
    let mut end = call.held_until + CONNECT_MAX;
    while clock::now() < end {
        call.turn(&mut sockets);
        if call.ready_at.is_none()
            && let Some(connected_at) = call.meta.report().dtls_connected_at
        {
            let ready_at = connected_at.max(answered_at);
            call.ready_at = Some(ready_at);
            end = ready_at + length;
        }
    }
    // A call that cannot be ended stays behind in a Trestle that ends soon.
    let _ = ng.ask(&json!({"command": "delete", "call-id": id, "delete-delay": 0}));
    call
}

impl Played {
    /// Offer and answer, each handed on at once.
    fn signal(&mut self, ng: &mut Ng, id: &str, direction: Direction) {
        let (meta, phone) = (&mut self.meta, &mut self.phone);
        match direction {
            Direction::UserInitiated => {
                let sdp = meta.offer(clock::now()).expect("WhatsApp's offer");
                let sdp = ng.ask_sdp(&json!({
                    "command": "offer", "call-id": id, "from-tag": "whatsapp", "sdp": sdp,
                    "transport-protocol": "RTP/AVP",
                }));
                let sdp = phone.answer(clock::now(), &sdp).expect("an offer that a phone can answer");
                let sdp = ng.ask_sdp(&json!({
                    "command": "answer", "call-id": id, "from-tag": "whatsapp", "to-tag": "phone", "sdp": sdp,
                }));
                meta.accept(clock::now(), &sdp).expect("an answer that WhatsApp takes");
            }
            Direction::BusinessInitiated => {
                let sdp = ng.ask_sdp(&json!({
                    "command": "offer", "call-id": id, "from-tag": "phone", "sdp": phone.offer(), "profile": "whatsapp",
                }));
                let sdp = meta.answer(clock::now(), &sdp).expect("an offer that WhatsApp can answer");
                let sdp = ng.ask_sdp(&json!({
                    "command": "answer", "call-id": id, "from-tag": "phone", "to-tag": "whatsapp", "sdp": sdp,
                }));
                phone.accept(clock::now(), &sdp).expect("an answer that a phone takes");
            }
        }
    }

    /// Waits until something comes or is due, and does it. What came is taken before the next packet is made, and what
    /// is made is sent at once: encoding takes time that is not Trestle's.
    fn turn(&mut self, sockets: &mut Sockets) {
        let due = [self.meta_due(), self.phone.poll_timeout()].into_iter().flatten().min();
        let wait = due.map_or(TURN, |due| due.saturating_duration_since(clock::now())).min(TURN);
        // An interrupted wait is a short one.
        let _: std::io::Result<()> = sockets.poll.poll(&mut sockets.events, Some(wait));
        self.receive(sockets);
        if is_due(self.meta_due()) {
            self.meta.handle_timeout(clock::now());
        }
        self.send(sockets);
        self.receive(sockets);
        if is_due(self.phone.poll_timeout()) {
            self.phone.handle_timeout(clock::now());
        }
        self.send(sockets);
    }

    fn meta_due(&self) -> Option<Instant> {
        self.meta.poll_timeout().map(|at| at.max(self.held_until))
    }

    fn receive(&mut self, sockets: &Sockets) {
        let mut buffer = [0; 2_048];
        let held = usize::from(clock::now() < self.held_until);
        for (n, (local, socket)) in sockets.all.iter().enumerate().skip(held) {
            while let Ok((len, remote)) = socket.recv_from(&mut buffer) {
                let now = clock::now();
                match n {
                    0 => self.meta.handle_datagram(now, *local, remote, &buffer[..len]),
                    _ => self.phone.handle_datagram(now, *local, remote, &buffer[..len]),
                }
            }
        }
    }

    fn send(&mut self, sockets: &Sockets) {
        while let Some(transmit) = self.meta.poll_transmit() {
            sockets.send(&transmit, &mut self.meta_sent);
        }
        while let Some(transmit) = self.phone.poll_transmit() {
            sockets.send(&transmit, &mut self.phone_sent);
        }
    }
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= clock::now())
}

impl Sockets {
    /// WhatsApp's socket, the phone's for RTP, the phone's for RTCP.
    fn open() -> Self {
        let poll = Poll::new().expect("a poller");
        let [rtp, rtcp] = bind_pair();
        let mut all = vec![bind(SocketAddr::new(META, 0)).expect("a free port"), rtp, rtcp];
        for (n, (_, socket)) in all.iter_mut().enumerate() {
            poll.registry().register(socket, Token(n), Interest::READABLE).expect("a poller that takes sockets");
        }
        Self { poll, events: Events::with_capacity(16), all }
    }

    fn send(&self, Transmit { local, remote, bytes }: &Transmit, rtp_sent: &mut Vec<Instant>) {
        let Some((_, socket)) = self.all.iter().find(|(known, _)| known == local) else { return };
        if DatagramKind::of(bytes) == Some(DatagramKind::Rtp) {
            rtp_sent.push(clock::now());
        }
        // A full buffer loses the datagram, as a network would.
        let _: std::io::Result<usize> = socket.send_to(bytes, *remote);
    }
}

fn bind(at: SocketAddr) -> std::io::Result<(SocketAddr, UdpSocket)> {
    let socket = UdpSocket::bind(at)?;
    Ok((socket.local_addr()?, socket))
}

/// RTP on an even port and RTCP on the next (RFC 3550 section 11).
fn bind_pair() -> [(SocketAddr, UdpSocket); 2] {
    for _ in 0..PORT_TRIES {
        let rtp = bind(SocketAddr::new(PHONE, 0)).expect("a free port");
        if rtp.0.port().is_multiple_of(2)
            && let Ok(rtcp) = bind(SocketAddr::new(PHONE, rtp.0.port() + 1))
        {
            return [rtp, rtcp];
        }
    }
    panic!("no two free ports beside each other on {PHONE}");
}
