//! How much later a packet arrives because it goes through Trestle, where the codec is the same on both sides.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;
use trestle_io::clock;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::{Header, RtpPacket};
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};

use crate::figure::{Figure, Spread, Wanted};
use crate::ground::{self, Ng, PHONE};

/// Packets a second that each leg sends.
const PPS: u32 = 50;
/// 20 ms of PCMA.
const PAYLOAD_BYTES: usize = 160;
const PACKET_BYTES: usize = Header::LEN + PAYLOAD_BYTES;
/// What has not come this long after the last packet was sent is lost.
const STRAGGLERS: Duration = Duration::from_millis(500);

pub(crate) struct Leg {
    socket: UdpSocket,
    local: SocketAddr,
    /// Where it sends to.
    remote: SocketAddr,
}

pub(crate) fn run(calls: usize, length: Duration, bare_length: Duration) -> Vec<Figure> {
    let mut poll = Poll::new().expect("a poller");
    let mut legs: Vec<Leg> = (0..2 * calls).map(|n| Leg::new(&poll, n)).collect();

    for pair in legs.chunks_exact_mut(2) {
        (pair[0].remote, pair[1].remote) = (pair[1].local, pair[0].local);
    }
    let bare = exchange(&mut poll, &legs, bare_length);

    let server = ground::trestle();
    connect(server.ng_addr(), &mut legs);
    let forwarded = exchange(&mut poll, &legs, length);
    server.stop();

    vec![
        figure(
            "forward path, 100 calls",
            Some(Wanted { share: 0.99, below_ms: 1.0 }),
            "plain PCMA, 50 packets a second each way, from send to receive in the load; kernel and load are in it",
            forwarded,
        ),
        figure("  the same load without Trestle", None, "each leg sends straight to the other", bare),
    ]
}

/// The delays of packets in ms, and how many were sent.
pub(crate) fn figure(
    name: &'static str,
    wanted: Option<Wanted>,
    note: &'static str,
    (values, sent): (Vec<f64>, u64),
) -> Figure {
    let lost = Some((sent.saturating_sub(values.len() as u64), sent));
    Figure { name, wanted, values_ms: Spread::of(values), lost, note }
}

/// Legs of `calls` that go through Trestle.
pub(crate) fn connected(poll: &Poll, trestle: SocketAddr, calls: usize) -> Vec<Leg> {
    let mut legs: Vec<Leg> = (0..2 * calls).map(|n| Leg::new(poll, n)).collect();
    connect(trestle, &mut legs);
    legs
}

fn connect(trestle: SocketAddr, legs: &mut [Leg]) {
    let mut ng = Ng::new(trestle);
    for (n, pair) in legs.chunks_exact_mut(2).enumerate() {
        let id = format!("forward-{n}");
        let offer = json!({"command": "offer", "call-id": id, "from-tag": "a", "sdp": sdp(pair[0].local)});
        pair[1].remote = media_of(&ng.ask_sdp(&offer));
        let answer =
            json!({"command": "answer", "call-id": id, "from-tag": "a", "to-tag": "b", "sdp": sdp(pair[1].local)});
        pair[0].remote = media_of(&ng.ask_sdp(&answer));
    }
}

impl Leg {
    fn new(poll: &Poll, n: usize) -> Self {
        let mut socket = UdpSocket::bind(SocketAddr::new(PHONE, 0)).expect("a free port");
        poll.registry().register(&mut socket, Token(n), Interest::READABLE).expect("a poller that takes sockets");
        let local = socket.local_addr().expect("the address of a bound socket");
        Self { socket, local, remote: local }
    }
}

/// Everybody sends for `length`, evenly spread over time. Gives each packet's delay in ms, and how many were sent.
pub(crate) fn exchange(poll: &mut Poll, legs: &[Leg], length: Duration) -> (Vec<f64>, u64) {
    let total = legs.len() as u64 * u64::from(PPS) * length.as_millis() as u64 / 1_000;
    let every = Duration::from_secs(1) / (PPS * legs.len() as u32);
    let zero = clock::now();
    let start = zero + Duration::from_millis(50);
    let done = AtomicBool::new(false);
    let mut delays_ms = Vec::with_capacity(total as usize);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..total {
                ground::sleep_until(start + every * n as u32);
                let leg = &legs[n as usize % legs.len()];
                let packet = packet(n, legs.len() as u64, zero);
                // What a full buffer refuses is counted as lost.
                let _: std::io::Result<usize> = leg.socket.send_to(&packet, leg.remote);
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut events = Events::with_capacity(legs.len());
        let mut end: Option<Instant> = None;
        while (delays_ms.len() as u64) < total && end.is_none_or(|end| clock::now() < end) {
            if end.is_none() && done.load(Ordering::Relaxed) {
                end = Some(clock::now() + STRAGGLERS);
            }
            poll.poll(&mut events, Some(Duration::from_millis(20))).expect("a poller that polls");
            let mut buffer = [0; 2_048];
            for event in &events {
                while let Ok(len) = legs[event.token().0].socket.recv(&mut buffer) {
                    let now = clock::now();
                    delays_ms.extend(sent_at(&buffer[..len], zero).map(|sent| ground::ms_between(sent, now)));
                }
            }
        }
    });
    (delays_ms, total)
}

/// The `n`th packet of all, with the time in its payload: nanoseconds since `zero`.
fn packet(n: u64, legs: u64, zero: Instant) -> [u8; PACKET_BYTES] {
    let frame = (n / legs) as u32;
    let header = Header {
        marker: frame == 0,
        pt: Pt::PCMA,
        seq: Seq(frame as u16),
        time: RtpTime(frame * PAYLOAD_BYTES as u32),
        ssrc: Ssrc(0xbe00_0000 + (n % legs) as u32),
    };
    let mut packet = [0xd5; PACKET_BYTES];
    packet[..Header::LEN].copy_from_slice(&header.write());
    let elapsed = clock::now().saturating_duration_since(zero).as_nanos() as u64;
    packet[Header::LEN..Header::LEN + 8].copy_from_slice(&elapsed.to_be_bytes());
    packet
}

/// `None` for what is no audio of this load.
fn sent_at(datagram: &[u8], zero: Instant) -> Option<Instant> {
    let packet = RtpPacket::parse(datagram).ok().filter(|_| DatagramKind::of(datagram) == Some(DatagramKind::Rtp))?;
    let stamp = datagram[packet.payload].first_chunk::<8>()?;
    Some(zero + Duration::from_nanos(u64::from_be_bytes(*stamp)))
}

fn sdp(at: SocketAddr) -> String {
    let (ip, port) = (at.ip(), at.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8\r\n\
         a=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=rtcp-mux\r\n"
    )
}

/// Where Trestle takes media, by an SDP of its own.
fn media_of(sdp: &str) -> SocketAddr {
    let after = |start: &str| sdp.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
    let ip = after("c=IN IP4 ").parse().expect("an address in c=");
    let port = after("m=audio ").split(' ').next().and_then(|port| port.parse().ok()).expect("a port in m=");
    SocketAddr::new(ip, port)
}
