//! A call of two legs, plain or SDES, and a WebRTC leg that never connects; with and without strangers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trestle_core::plan::{
    Codec, DtlsRole, Fingerprint, IceCredentials, LatchPolicy, Muting, OpusSettings, ReceiveFormat, ReceivePlan,
    RtpPeer, SendFormat, SendPlan, SendPolicy, Source, Transport, WebRtcPlan, WebRtcRemote,
};
use trestle_core::{CallId, Command, InterfaceId, LegId, LegPlan, LegPorts};
use trestle_srtp::{KeyingMaterial, OVERHEAD_MAX, Profile, SrtpContext};
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::{Header, RtpPacket};
use trestle_wire::telephone_event::TelephoneEvent;
use trestle_wire::{ClockRate, Pt, Ptime, RtpTime, Seq, Ssrc};
use trestle_world::{Sent, SimulatedTrestle};

use super::super::input::Input;
use super::super::trestle;
use super::{BACK_MAX, Junk, assert_no_stranger, stranger};

const CALL: CallId = CallId(1);
const OPS_MAX: usize = 300;
const EVENT_PT: u8 = 101;

#[derive(Debug, Clone)]
enum Op<'a> {
    /// The next audio packet of a peer, after some lost ones.
    Speak {
        peer: usize,
        lost: u16,
        payload: &'a [u8],
    },
    /// A telephone-event packet of a peer.
    Press {
        peer: usize,
        event: TelephoneEvent,
    },
    /// A receiver report of a peer.
    Report {
        peer: usize,
    },
    Wait {
        ms: u64,
    },
    Hostile {
        leg: usize,
        rtcp_port: bool,
        source: Origin,
        junk: Junk<'a>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    Stranger(u8),
    /// The peer's own address, or what comes nearest to it without being believed.
    Spoofed,
}

/// What a leg and its peer are like.
#[derive(Debug, Clone, Copy)]
struct Style {
    suite: Option<Profile>,
    latch: LatchPolicy,
    /// The peer sends from another address than it signals.
    nat: bool,
}

struct Scene<'a> {
    styles: [Style; 2],
    /// Strangers begin before the peers do.
    early: bool,
    ops: Vec<Op<'a>>,
}

pub(super) fn run(input: &mut Input<'_>) -> usize {
    let scene = Scene::read(input);
    let disturbed = scene.play(true);
    let quiet = scene.play(false);
    assert_eq!(disturbed.received, quiet.received, "what each peer received");
    for (n, (sent, expected)) in disturbed.sent.iter().zip(&quiet.sent).enumerate() {
        assert_eq!(sent, expected, "datagram {n}");
    }
    assert_eq!(disturbed.sent.len(), quiet.sent.len(), "datagrams sent");
    assert_eq!(
        disturbed.discards,
        quiet.discards + disturbed.hostile,
        "each hostile datagram is discarded and counted"
    );
    usize::try_from(disturbed.hostile).expect("a small number") + disturbed.spoken
}

/// What came of it.
struct Outcome {
    sent: Vec<Sent>,
    received: [Vec<Vec<u8>>; 2],
    discards: u64,
    hostile: u64,
    spoken: usize,
}

impl<'a> Scene<'a> {
    fn read(input: &mut Input<'a>) -> Self {
        let early = input.flag();
        let styles = std::array::from_fn(|peer| {
            let suite = input.flag().then(|| input.one_of(&Profile::ALL));
            let policies =
                [LatchPolicy::SameIp, LatchPolicy::Exact, LatchPolicy::Ip(signalled(peer).ip()), LatchPolicy::Any];
            let latch = match input.one_of(&policies) {
                // Any source is asked for, so the first one wins.
                LatchPolicy::Any if early && suite.is_none() => LatchPolicy::SameIp,
                latch => latch,
            };
            Style { suite, latch, nat: input.flag() && latch != LatchPolicy::Exact }
        });
        let mut ops = Vec::new();
        while !input.is_empty() && ops.len() < OPS_MAX {
            let peer = input.below(2);
            ops.push(match input.below(16) {
                0..=5 => Op::Speak { peer, lost: u16::from(input.byte() / 200), payload: input.take(8) },
                6 => {
                    let bytes = [input.byte() % 16, input.byte(), input.byte(), input.byte()];
                    Op::Press { peer, event: TelephoneEvent::parse(&bytes).expect("four bytes") }
                }
                7 => Op::Report { peer },
                8 => Op::Wait { ms: input.byte().into() },
                _ => {
                    let source = if input.flag() { Origin::Spoofed } else { Origin::Stranger(input.byte()) };
                    let leg = input.below(3);
                    Op::Hostile { leg, rtcp_port: input.below(4) == 0, source, junk: Junk::read(input) }
                }
            });
        }
        Self { styles, early, ops }
    }

    fn play(&self, with_strangers: bool) -> Outcome {
        let mut trestle = trestle();
        let legs = vec![(LegId(0), self.plan(0)), (LegId(1), self.plan(1)), (LegId(2), idle_webrtc_plan())];
        let ports = trestle.apply(Command::Apply { call: CALL, legs });
        let mut peers = [0, 1].map(|n| Peer::new(n, self.styles[n], ports[n]));
        if !self.early {
            for peer in &mut peers {
                // Two packets, for that is what it takes where any source is believed.
                peer.speak(&mut trestle, 0, b"");
                trestle.advance(Duration::from_millis(20));
                peer.speak(&mut trestle, 0, b"");
                peer.report(&mut trestle);
            }
        }
        let warm = trestle.sent.len();
        let mut received = [Vec::new(), Vec::new()];
        let mut sent_payloads = [Vec::new(), Vec::new()];
        let (mut hostile, mut pressed, mut spoken) = (0, false, 0);
        for op in &self.ops {
            match op {
                Op::Speak { peer, lost, payload } => {
                    let payload = peers[*peer].speak(&mut trestle, *lost, payload);
                    sent_payloads[*peer].push(payload);
                    spoken += 1;
                }
                Op::Press { peer, event } => {
                    pressed = true;
                    peers[*peer].send(&mut trestle, EVENT_PT, &event.write());
                }
                Op::Report { peer } => peers[*peer].report(&mut trestle),
                Op::Wait { ms } => trestle.advance(Duration::from_millis(*ms)),
                Op::Hostile { leg, rtcp_port, source, junk } if with_strangers => {
                    let at = if *rtcp_port { ports[*leg].rtcp } else { ports[*leg].rtp };
                    if let Some(source) = self.source(*leg, *source) {
                        let seen: Vec<Vec<u8>> =
                            peers.iter().flat_map(|peer| peer.wire.iter().rev().take(BACK_MAX).cloned()).collect();
                        let sent: Vec<Vec<u8>> =
                            trestle.sent.iter().rev().take(BACK_MAX).map(|sent| sent.bytes.clone()).collect();
                        trestle.receive(at, source, &junk.datagram(&seen, &sent));
                        hostile += 1;
                    }
                }
                Op::Hostile { .. } => {}
            }
        }
        trestle.advance(Duration::from_secs(1));

        trestle.sent.iter().for_each(|sent| assert_no_stranger(sent.to));
        for sent in &trestle.sent[warm..] {
            for (n, peer) in peers.iter_mut().enumerate() {
                if sent.from == peer.ports.rtp && DatagramKind::of(&sent.bytes) == Some(DatagramKind::Rtp) {
                    assert!(
                        [source_of(n, false), source_of(n, self.styles[n].nat)].contains(&sent.to),
                        "sent to {}",
                        sent.to
                    );
                    received[n].extend(peer.unprotect(&sent.bytes));
                }
            }
        }
        if !pressed {
            // Same codec on both sides, so what one sends is what the other receives: once, in order, unchanged.
            assert_eq!(received[0], sent_payloads[1], "what peer 0 receives");
            assert_eq!(received[1], sent_payloads[0], "what peer 1 receives");
        }
        let totals = trestle.totals();
        assert_eq!(totals.calls_failed, 0, "the call died of a bug");
        let discards = totals.discards.nonzero().iter().map(|(_, n)| n).sum();
        let sent = trestle.sent.into_iter().filter(|sent| sent.from != ports[2].rtp).collect();
        Outcome { sent, received, discards, hostile, spoken }
    }

    /// Where a hostile datagram comes from; `None` if a plain leg would rightly believe it.
    fn source(&self, leg: usize, source: Origin) -> Option<SocketAddr> {
        let Some(style) = self.styles.get(leg) else { return Some(stranger(leg as u8)) };
        match (source, style.suite) {
            (Origin::Stranger(n), _) => Some(stranger(n)),
            (Origin::Spoofed, Some(_)) => Some(source_of(leg, style.nat)),
            // Without keys the address is all that a peer is known by, once it has shown its port.
            (Origin::Spoofed, None) if self.early => None,
            (Origin::Spoofed, None) => Some(SocketAddr::new(source_of(leg, style.nat).ip(), 9)),
        }
    }

    fn plan(&self, leg: usize) -> LegPlan {
        let Style { suite, latch, .. } = self.styles[leg];
        let at = signalled(leg);
        // Without it, another port of the peer's host would rightly be followed after a silence.
        let strict_source = true;
        let peer = RtpPeer { rtp: Some(at), rtcp: Some(SocketAddr::new(at.ip(), at.port() + 1)), latch, strict_source };
        let transport = match suite {
            None => Transport::Plain(peer),
            Some(suite) => Transport::Sdes {
                peer,
                send_key: Some(key(suite, leg as u8)),
                receive_key: Some(key(suite, 16 + leg as u8)),
                receive_mki_len: 0,
            },
        };
        let pcma = ReceiveFormat { pt: Pt::PCMA, codec: Codec::Pcma };
        let event = (Pt::new(EVENT_PT).expect("7 bits"), ClockRate::HZ_8000);
        LegPlan {
            transport,
            ssrc: Ssrc(0x7e51_0000 + leg as u32),
            send: SendPlan {
                format: Some(SendFormat {
                    pt: Pt::PCMA,
                    codec: Codec::Pcma,
                    ptime: Ptime::MS_20,
                    strict_ptime: false,
                    opus: OpusSettings::default(),
                    event: Some(event),
                }),
                source: Source::Leg(LegId(1 - leg as u16)),
                muting: Muting::default(),
                policy: SendPolicy::default(),
                enabled: true,
            },
            receive: ReceivePlan { formats: vec![pcma], events: vec![event], enabled: true, ..ReceivePlan::default() },
            ..idle_webrtc_plan()
        }
    }
}

/// A WebRTC leg whose peer never answers; strangers may try.
pub(in super::super) fn idle_webrtc_plan() -> LegPlan {
    let credentials =
        |name: &str| IceCredentials { ufrag: name.to_owned(), pwd: "fuzzfuzzfuzzfuzzfuzzfuzz".to_owned().into() };
    let remote = WebRtcRemote {
        credentials: credentials("them"),
        candidates: vec!["candidate:1 1 udp 2113937151 198.51.100.99 7000 typ host".to_owned()],
        lite: true,
        controlling: true,
        fingerprints: vec![Fingerprint::Sha256([1; 32])],
    };
    LegPlan {
        interface: InterfaceId(0),
        ipv6: false,
        transport: Transport::WebRtc(WebRtcPlan {
            local: credentials("us"),
            remote: Some(remote),
            dtls_role: DtlsRole::Client,
        }),
        rtcp_mux: false,
        ssrc: Ssrc(0x7e51_0002),
        cname: "trestle".to_owned(),
        tos: None,
        send: SendPlan {
            format: None,
            source: Source::Leg(LegId(0)),
            muting: Muting::default(),
            policy: SendPolicy::default(),
            enabled: true,
        },
        receive: ReceivePlan { enabled: true, ..ReceivePlan::default() },
    }
}

fn key(suite: Profile, seed: u8) -> KeyingMaterial {
    let bytes: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|n| seed.wrapping_mul(31) ^ n as u8).collect();
    KeyingMaterial::from_key_and_salt(suite, &bytes).expect("the suite's lengths")
}

/// The address a peer signals.
fn signalled(peer: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 20 + peer as u8], 30_000))
}

/// Where it really is: behind a symmetric NAT its port is another.
fn source_of(peer: usize, nat: bool) -> SocketAddr {
    let SocketAddr::V4(at) = signalled(peer) else { unreachable!("IPv4") };
    SocketAddr::new(IpAddr::V4(*at.ip()), if nat { 40_000 } else { at.port() })
}

/// A peer without a will of its own.
struct Peer {
    ports: LegPorts,
    address: SocketAddr,
    send: Option<SrtpContext>,
    receive: Option<SrtpContext>,
    seq: Seq,
    time: RtpTime,
    ssrc: Ssrc,
    /// Its packets as they were on the wire.
    wire: Vec<Vec<u8>>,
}

impl Peer {
    fn new(n: usize, style: Style, ports: LegPorts) -> Self {
        Self {
            ports,
            address: source_of(n, style.nat),
            send: style.suite.map(|suite| SrtpContext::new(&key(suite, 16 + n as u8))),
            receive: style.suite.map(|suite| SrtpContext::new(&key(suite, n as u8))),
            seq: Seq(65_530),
            time: RtpTime(u32::MAX - 1_000),
            ssrc: Ssrc(0xabc0 + n as u32),
            wire: Vec::new(),
        }
    }

    /// Sends 20 ms of audio that begin with `text`, and gives it back.
    fn speak(&mut self, trestle: &mut SimulatedTrestle, lost: u16, text: &[u8]) -> Vec<u8> {
        self.seq = Seq(self.seq.0.wrapping_add(lost));
        self.time = self.time.plus(160 * (1 + u32::from(lost)));
        let mut payload = [text, &self.time.0.to_be_bytes()].concat();
        payload.resize(160, 0xd5);
        self.send(trestle, Pt::PCMA.get(), &payload);
        trestle.advance(Duration::from_millis(10));
        payload
    }

    fn send(&mut self, trestle: &mut SimulatedTrestle, pt: u8, payload: &[u8]) {
        self.seq = self.seq.next();
        let pt = Pt::new(pt).expect("7 bits");
        let header = Header { marker: false, pt, seq: self.seq, time: self.time, ssrc: self.ssrc };
        let mut packet = [&header.write()[..], payload].concat();
        if let Some(context) = &mut self.send {
            let len = packet.len();
            packet.resize(len + OVERHEAD_MAX, 0);
            let len = context.protect_rtp(&mut packet, len).expect("a new index");
            packet.truncate(len);
        }
        trestle.receive(self.ports.rtp, self.address, &packet);
        self.wire.push(packet);
    }

    fn report(&mut self, trestle: &mut SimulatedTrestle) {
        let mut packet = [&[0x80, 201, 0, 1][..], &self.ssrc.0.to_be_bytes()].concat();
        if let Some(context) = &mut self.send {
            let len = packet.len();
            packet.resize(len + OVERHEAD_MAX, 0);
            let len = context.protect_rtcp(&mut packet, len).expect("a new index");
            packet.truncate(len);
        }
        let from = SocketAddr::new(self.address.ip(), self.address.port() + 1);
        trestle.receive(self.ports.rtcp, from, &packet);
        self.wire.push(packet);
    }

    /// The payload of an audio packet sent to it.
    fn unprotect(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut packet = packet.to_vec();
        if let Some(context) = &mut self.receive {
            let len = context.unprotect_rtp(&mut packet).expect("a packet that its peer can decrypt").len;
            packet.truncate(len);
        }
        let read = RtpPacket::parse(&packet).expect("an RTP packet");
        (read.header.pt == Pt::PCMA).then(|| packet[read.payload].to_vec())
    }
}
