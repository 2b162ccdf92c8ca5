//! Digits over real sockets that lose a tenth of all packets in either direction, between WhatsApp with DTLS and a phone:
//! what the scenarios check in virtual time, once with the clock, the poller and the threads of the daemon.

#![allow(clippy::disallowed_methods, reason = "the outside world has clocks and sockets")]
#![allow(clippy::unwrap_used, reason = "a test that is surprised ends")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions, Transmit};
use trestle_tests::running::{RunningTrestle, local_settings};

const SEED: u64 = 40;
/// Of a hundred packets.
const LOSS_PERCENT: u32 = 10;
/// Longest wait for anything, before a test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);
const USER_PRESSES: &str = "0123456789*#ABCD1199";
const PHONE_PRESSES: &str = "##**DCBA987654321000";

/// WhatsApp and a phone on real sockets, with a network between them and Trestle that loses packets.
struct Peers {
    meta: Meta,
    phone: Phone,
    sockets: Vec<(SocketAddr, UdpSocket)>,
    rng: ChaCha8Rng,
    lossy: bool,
}

impl Peers {
    /// On free ports of the loopback.
    fn open() -> Self {
        let sockets: Vec<(SocketAddr, UdpSocket)> = (0..3)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .map(|socket| (socket.local_addr().unwrap(), socket))
            .collect();
        let now = Instant::now();
        let meta = Meta::new(now, MetaOptions::new(sockets[0].0, Flavour::WebRtc));
        // RTCP on the RTP port: the one above it may be in use.
        let phone = Phone::new(now, PhoneOptions { rtcp_mux: true, ..PhoneOptions::new(sockets[1].0) });
        for (_, socket) in &sockets {
            socket.set_nonblocking(true).unwrap();
        }
        Self { meta, phone, sockets, rng: ChaCha8Rng::seed_from_u64(SEED), lossy: false }
    }

    /// Lets everybody go on until `done`.
    fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !done(self) {
            assert!(
                began.elapsed() < WAIT_MAX,
                "waited too long: {what}\n{:?}\n{:?}",
                self.meta.report(),
                self.phone.report()
            );
            self.turn();
            // Nothing is measured here; a millisecond is a packet's twentieth.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn turn(&mut self) {
        let mut buffer = [0; 2_048];
        for n in 0..self.sockets.len() {
            while let Ok((len, remote)) = self.sockets[n].1.recv_from(&mut buffer) {
                let (now, local) = (Instant::now(), self.sockets[n].0);
                if self.is_lost() {
                    continue;
                }
                if self.meta.locals().contains(&local) {
                    self.meta.handle_datagram(now, local, remote, &buffer[..len]);
                } else {
                    self.phone.handle_datagram(now, local, remote, &buffer[..len]);
                }
            }
        }
        let now = Instant::now();
        if self.meta.poll_timeout().is_some_and(|due| due <= now) {
            self.meta.handle_timeout(now);
        }
        if self.phone.poll_timeout().is_some_and(|due| due <= now) {
            self.phone.handle_timeout(now);
        }
        while let Some(transmit) = self.meta.poll_transmit() {
            self.send(&transmit);
        }
        while let Some(transmit) = self.phone.poll_transmit() {
            self.send(&transmit);
        }
    }

    fn send(&mut self, transmit: &Transmit) {
        if self.is_lost() {
            return;
        }
        let from = self.sockets.iter().find(|(local, _)| *local == transmit.local);
        let (_, socket) = from.expect("peers send from where they listen");
        // A full buffer loses it, as a network would.
        let _ = socket.send_to(&transmit.bytes, transmit.remote);
    }

    fn is_lost(&mut self) -> bool {
        self.lossy && self.rng.next_u32() % 100 < LOSS_PERCENT
    }
}

/// One request over ng, and the SDP of the reply.
fn signal(ng: &UdpSocket, request: &Value) -> String {
    ng.send(format!("{} {request}", request["command"].as_str().unwrap()).as_bytes()).unwrap();
    let mut reply = vec![0; 65_536];
    let len = ng.recv(&mut reply).expect("a reply in time");
    let body = reply[..len].iter().position(|byte| *byte == b' ').unwrap() + 1;
    let reply: Value = serde_json::from_slice(&reply[body..len]).unwrap();
    assert_eq!(reply["result"], "ok", "{reply}");
    reply["sdp"].as_str().unwrap().to_owned()
}

#[test]
fn digits_survive_ten_percent_loss_on_real_sockets_in_either_direction() {
    println!("seed {SEED}");
    let feed = UdpSocket::bind("127.0.0.1:0").unwrap();
    feed.set_nonblocking(true).unwrap();
    let mut settings = local_settings();
    settings.events.dtmf_log_dest = Some(feed.local_addr().unwrap());
    let mut trestle = RunningTrestle::start(settings);
    let ng = trestle.client();

    let mut peers = Peers::open();
    let offer = peers.meta.offer(Instant::now()).unwrap();
    let sip = json!({"command": "offer", "call-id": "c", "from-tag": "wa", "sdp": offer, "ICE": "remove", "DTLS": "off",
        "transport-protocol": "RTP/AVP", "rtcp-mux": ["offer"]});
    let to_phone = signal(&ng, &sip);
    let answer = peers.phone.answer(Instant::now(), &to_phone).unwrap();
    let answer = json!({"command": "answer", "call-id": "c", "from-tag": "wa", "to-tag": "pbx", "sdp": answer});
    let to_meta = signal(&ng, &answer);
    peers.meta.accept(Instant::now(), &to_meta).unwrap();
    peers.run_until("audio", |peers| peers.meta.packets_received() > 20 && peers.phone.report().packets > 20);

    peers.lossy = true;
    USER_PRESSES.chars().for_each(|digit| peers.meta.press_for(digit, Duration::from_millis(140)));
    PHONE_PRESSES.chars().for_each(|digit| peers.phone.press(digit, Duration::from_millis(140)));
    peers.run_until("digits", |peers| {
        let received = (peers.phone.report().digits.len(), peers.meta.report().stream.digits.len());
        received == (USER_PRESSES.len(), PHONE_PRESSES.len()) && !peers.meta.is_pressing() && !peers.phone.is_pressing()
    });
    peers.lossy = false;
    let packets = peers.phone.report().packets;
    peers.run_until("audio again", |peers| peers.phone.report().packets > packets + 25);
    assert_eq!(peers.phone.report().digits_received(), USER_PRESSES);
    assert_eq!(peers.meta.report().stream.digits_received(), PHONE_PRESSES);

    let (mut of_user, mut of_phone) = (String::new(), String::new());
    let mut buffer = [0; 2_048];
    while let Ok((len, _)) = feed.recv_from(&mut buffer) {
        let reported: Value = serde_json::from_slice(&buffer[..len]).unwrap();
        let digit = char::from(b"0123456789*#ABCD"[reported["event"].as_u64().unwrap() as usize]);
        if reported["source_tag"] == "wa" { of_user.push(digit) } else { of_phone.push(digit) }
    }
    assert_eq!((of_user.as_str(), of_phone.as_str()), (USER_PRESSES, PHONE_PRESSES));
    trestle.stop();
}
