//! A WhatsApp call over WebRTC to a plain Opus phone, from the first connectivity check on, with strangers.

use std::net::SocketAddr;
use std::time::Duration;

use trestle_ng::Value;
use trestle_ng::frame::{self, Encoding};
use trestle_ng::value::Dict;
use trestle_peers::{Flavour, Meta, MetaOptions};
use trestle_sdp::Sdp;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::Header;
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};
use trestle_world::SimulatedTrestle;

use super::super::input::Input;
use super::super::trestle;
use super::{Junk, assert_no_stranger, stranger};

const OPS_MAX: usize = 100;
const OPUS_PT: u8 = 111;

pub(super) fn run(input: &mut Input<'_>) -> usize {
    let mut scene = Scene::signalled();
    let mut hostile = 0;
    // Strangers from the first check on; the handshake must end all the same.
    for _ in 0..input.below(16) {
        scene.stranger(input, false);
        hostile += 1;
        scene.advance(Duration::from_millis(input.below(8) as u64));
    }
    let mut waited_ms = 0;
    while !scene.meta.is_connected() {
        scene.advance(Duration::from_millis(10));
        waited_ms += 10;
        assert!(waited_ms < 3_000, "the handshake does not end");
    }
    scene.advance(Duration::from_millis(100));

    let before = (scene.meta.report().stream.packets, scene.meta.packets_sent(), scene.phone_heard);
    let mut spoken = 0;
    let mut ops = 0;
    while !input.is_empty() && ops < OPS_MAX {
        ops += 1;
        if input.below(3) == 0 {
            scene.phone_sends();
            spoken += 1;
            scene.advance(Duration::from_millis(20));
        } else {
            let spoofed = input.flag();
            scene.stranger(input, spoofed);
            hostile += 1;
        }
    }
    scene.phone_sends();
    scene.advance(Duration::from_millis(100));
    let after = (scene.meta.report().stream.packets, scene.meta.packets_sent(), scene.phone_heard);
    assert_eq!(after.0 - before.0, spoken + 1, "packets from the phone to WhatsApp");
    assert_eq!(after.2 - before.2, u64::from(after.1 - before.1), "packets from WhatsApp to the phone");
    assert!(after.1 > before.1, "WhatsApp has fallen silent");
    let report = scene.meta.report().stream;
    assert_eq!((report.ssrcs.len(), report.lost, report.duplicates, report.strays), (1, 0, 0, 0), "{report:?}");
    assert_eq!(scene.trestle.totals().calls_failed, 0, "the call died of a bug");
    hostile + spoken as usize
}

struct Scene {
    trestle: SimulatedTrestle,
    meta: Meta,
    /// Our port towards WhatsApp, and the one towards the phone.
    ports: [SocketAddr; 2],
    phone_seq: Seq,
    phone_heard: u64,
    /// Datagrams of WhatsApp, and to it.
    seen: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

fn meta_address() -> SocketAddr {
    SocketAddr::from(([31, 13, 65, 60], 40_012))
}

fn phone_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 20], 30_000))
}

impl Scene {
    /// Offer and answer are exchanged, and nothing has been sent yet.
    fn signalled() -> Self {
        let mut trestle = trestle();
        let mut meta = Meta::new(trestle.now, MetaOptions::new(meta_address(), Flavour::WebRtc));
        let offer = meta.offer(trestle.now).expect("Meta's offer");
        let request = |command: &str, sdp: &str| {
            Dict::default()
                .with("command", command)
                .with("call-id", "call")
                .with("from-tag", "meta")
                .with("to-tag", "phone")
                .with("sdp", sdp)
                .with("transport-protocol", "RTP/AVP")
                .with("ICE", "remove")
                // Packets are counted here, one for one.
                .with("filler", "none")
        };
        let to_phone = signal(&mut trestle, &request("offer", &offer));
        let answer = format!(
            "v=0\r\no=- 1 1 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\n\
             m=audio 30000 RTP/AVP {OPUS_PT}\r\na=rtpmap:{OPUS_PT} opus/48000/2\r\na=ptime:20\r\n"
        );
        let answer = Dict::default()
            .with("command", "answer")
            .with("call-id", "call")
            .with("from-tag", "meta")
            .with("to-tag", "phone")
            .with("sdp", answer.as_str());
        let to_meta = signal(&mut trestle, &answer);
        meta.accept(trestle.now, &to_meta).expect("an answer that Meta takes");
        let ports = [&to_meta, &to_phone].map(|written| {
            let sdp = Sdp::parse(written).expect("what we wrote ourselves");
            SocketAddr::from(([203, 0, 113, 10], sdp.media[0].port))
        });
        Self { trestle, meta, ports, phone_seq: Seq(9), phone_heard: 0, seen: Vec::new(), sent: Vec::new() }
    }

    fn advance(&mut self, by: Duration) {
        let until = self.trestle.now + by;
        loop {
            let next = self.trestle.now + Duration::from_millis(1);
            self.carry();
            if self.meta.poll_timeout().is_some_and(|at| at <= self.trestle.now) {
                self.meta.handle_timeout(self.trestle.now);
                self.carry();
            }
            if self.trestle.now >= until {
                return;
            }
            self.trestle.advance(next.min(until) - self.trestle.now);
        }
    }

    /// The network: nothing is lost, and nothing takes time.
    fn carry(&mut self) {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.meta.poll_transmit() {
                idle = false;
                assert_eq!(transmit.remote, self.ports[0]);
                self.trestle.receive(self.ports[0], transmit.local, &transmit.bytes);
                self.seen.push(transmit.bytes);
            }
            for sent in std::mem::take(&mut self.trestle.sent) {
                idle = false;
                assert_no_stranger(sent.to);
                if sent.to == meta_address() {
                    self.meta.handle_datagram(self.trestle.now, sent.to, sent.from, &sent.bytes);
                    self.sent.push(sent.bytes);
                } else if sent.to == phone_address() {
                    self.phone_heard += u64::from(DatagramKind::of(&sent.bytes) == Some(DatagramKind::Rtp));
                } else {
                    assert_eq!(sent.to.ip(), phone_address().ip(), "RTCP to the phone's next port");
                }
            }
            if idle {
                return;
            }
        }
    }

    fn phone_sends(&mut self) {
        self.phone_seq = self.phone_seq.next();
        let time = RtpTime(960 * u32::from(self.phone_seq.0));
        let pt = Pt::new(OPUS_PT).expect("7 bits");
        let header = Header { marker: false, pt, seq: self.phone_seq, time, ssrc: Ssrc(77) };
        // One Opus frame of 20 ms (SILK, narrowband).
        let packet = [&header.write()[..], &[0x08, 1, 2, 3, 4, 5, 6, 7]].concat();
        self.trestle.receive(self.ports[1], phone_address(), &packet);
        self.carry();
    }

    /// A hostile datagram on the port towards WhatsApp; once the call is established also with WhatsApp's address on it.
    fn stranger(&mut self, input: &mut Input<'_>, spoofed: bool) {
        let source = if spoofed { meta_address() } else { stranger(input.byte()) };
        let datagram = Junk::read(input).datagram(&self.seen, &self.sent);
        self.trestle.receive(self.ports[0], source, &datagram);
        self.carry();
    }
}

/// The SDP that comes back.
fn signal(trestle: &mut SimulatedTrestle, request: &Dict) -> String {
    let command = request.get("command").and_then(Value::to_text).expect("a command");
    let datagram = [command.as_bytes(), b" ", &Encoding::Bencode.write(request)].concat();
    let replies = trestle.ng(SocketAddr::from(([192, 0, 2, 10], 5_000)), &datagram);
    let (_, body) = frame::split(&replies[0].1).expect("a cookie");
    let (_, reply) = frame::read(body).expect("our own reply");
    let sdp = reply.get("sdp").and_then(Value::to_text).unwrap_or_else(|| panic!("refused: {reply:?}"));
    sdp.into_owned()
}
