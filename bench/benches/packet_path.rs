//! What one packet costs the engine, from the datagram that came in to the datagram that goes out: one call of two legs
//! on one shard, no sockets. Timers that fall due on the way (RTCP, every few seconds of a call) are paid for as well.
//!
//! ```text
//! cargo bench -p trestle-bench --bench packet_path
//! ```

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use trestle_audio::g711;
use trestle_audio::g711::Law;
use trestle_audio::opus::{self, EncoderSettings, PACKET_BYTES_MAX};
use trestle_core::plan::{
    Codec, LatchPolicy, Muting, OpusSettings, ReceiveFormat, ReceivePlan, RtpPeer, SendFormat, SendPlan, SendPolicy,
    Source, Transport,
};
use trestle_core::{
    CallId, Command, DtlsIdentity, InterfaceId, LegId, LegPlan, Output, PortPair, Reply, RequestId, Shard, ShardConfig,
    SocketId,
};
use trestle_io::clock;
use trestle_peers::speech;
use trestle_srtp::{KeyingMaterial, OVERHEAD_MAX, Profile, SrtpContext};
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::Header;
use trestle_wire::{ClockRate, Pt, Ptime, RtpTime, Seq, Ssrc};

const FRAME: Duration = Duration::from_millis(20);

/// 20 ms at 8 kHz.
const SAMPLES: usize = 160;

/// Packets that show, before anything is timed, that one in makes one out.
const PROOF: usize = 100;

const SDES: Option<Profile> = Some(Profile::AesCm128HmacSha1_80);

/// A leg and its peer.
#[derive(Clone, Copy)]
struct Side {
    codec: Codec,
    suite: Option<Profile>,
}

criterion_group!(benches, forward, transcode);
criterion_main!(benches);

fn forward(criterion: &mut Criterion) {
    for (name, codec, suite) in [
        ("forward/pcma/plain_to_plain", Codec::Pcma, None),
        ("forward/pcma/sdes_to_sdes", Codec::Pcma, SDES),
        ("forward/pcma/gcm_to_gcm", Codec::Pcma, Some(Profile::AeadAes128Gcm)),
        ("forward/opus/sdes_to_sdes", Codec::Opus, SDES),
    ] {
        let side = Side { codec, suite };
        path(criterion, name, [side, side]);
    }
}

fn transcode(criterion: &mut Criterion) {
    let meta = Side { codec: Codec::Opus, suite: SDES };
    let phone = Side { codec: Codec::Pcma, suite: None };
    path(criterion, "transcode/sdes_opus_to_plain_pcma", [meta, phone]);
    path(criterion, "transcode/plain_pcma_to_sdes_opus", [phone, meta]);
}

/// Packets of the first side's peer, one after the other, 20 ms apart in the call's time.
fn path(criterion: &mut Criterion, name: &str, sides: [Side; 2]) {
    let mut engine = Engine::new(sides);
    let mut peer = Peer::new(sides[0]);
    let sent: usize = (0..PROOF).map(|_| engine.take(&mut peer.packet())).sum();
    assert!((PROOF - 2..=PROOF + 2).contains(&sent), "{name}: {PROOF} packets in, {sent} out");
    let mut group = criterion.benchmark_group("packet_path");
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        bencher.iter_batched_ref(|| peer.packet(), |packet| black_box(engine.take(packet)), BatchSize::SmallInput);
    });
}

/// A shard with one call.
struct Engine {
    shard: Shard,
    now: Instant,
    /// Where the first leg's peer sends to.
    socket: SocketId,
}

impl Engine {
    fn new(sides: [Side; 2]) -> Self {
        let interface = InterfaceId(0);
        let now = clock::now();
        let mut shard = Shard::new(ShardConfig {
            seed: [7; 32],
            epoch: clock::sample_epoch(),
            identity: DtlsIdentity::generate().expect("a certificate"),
            interfaces: vec![(interface, false)],
            media_timeout: Duration::from_secs(60),
        });
        for n in 0..4 {
            let [rtp_addr, rtcp_addr] = [0, 1].map(|more| SocketAddr::from(([203, 0, 113, 10], 20_000 + 2 * n + more)));
            let n = u32::from(n);
            let pair = PortPair { rtp: SocketId(2 * n), rtcp: SocketId(2 * n + 1), rtp_addr, rtcp_addr };
            shard.add_port_pair(interface, false, pair);
        }
        let legs = sides.iter().enumerate().map(|(n, side)| (LegId(n as u16), plan(n, *side))).collect();
        shard.handle_command(now, RequestId(1), Command::Apply { call: CallId(1), legs });
        let mut ports = None;
        loop {
            match shard.poll_output() {
                Output::Reply(answer) => match answer.1 {
                    Ok(Reply::Applied(applied)) => ports = Some(applied[0].1),
                    other => panic!("a good plan is not applied: {other:?}"),
                },
                Output::Timeout(_) => break,
                Output::Transmit(_) | Output::Event(_) | Output::Release(_) => {}
            }
        }
        let port = ports.expect("a reply").rtp.port();
        Self { shard, now, socket: SocketId(u32::from(port - 20_000)) }
    }

    /// The next packet of the first leg's peer; gives the RTP packets that leave.
    fn take(&mut self, packet: &mut [u8]) -> usize {
        self.now += FRAME;
        self.shard.handle_datagram(self.now, self.socket, address(0), packet);
        let mut sent = 0;
        loop {
            match self.shard.poll_output() {
                Output::Transmit(transmit) => {
                    sent += usize::from(DatagramKind::of(black_box(transmit.bytes)) == Some(DatagramKind::Rtp));
                }
                Output::Timeout(Some(at)) if at <= self.now => self.shard.handle_timeout(self.now),
                Output::Timeout(_) => return sent,
                Output::Reply(_) | Output::Event(_) | Output::Release(_) => {}
            }
        }
    }
}

/// Where a peer is.
fn address(leg: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 20 + leg as u8], 30_000))
}

fn pt(codec: Codec) -> Pt {
    match codec {
        Codec::Pcmu => Pt::PCMU,
        Codec::Pcma => Pt::PCMA,
        Codec::Opus => Pt::new(111).expect("7 bits"),
    }
}

fn key(suite: Profile, seed: u8) -> KeyingMaterial {
    let bytes: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|n| seed.wrapping_mul(31) ^ n as u8).collect();
    KeyingMaterial::from_key_and_salt(suite, &bytes).expect("the suite's lengths")
}

/// The key that the first leg's peer sends under.
const PEERS_KEY: u8 = 1;

fn plan(leg: usize, Side { codec, suite }: Side) -> LegPlan {
    let at = address(leg);
    let rtcp = SocketAddr::new(at.ip(), at.port() + 1);
    let peer = RtpPeer { rtp: Some(at), rtcp: Some(rtcp), latch: LatchPolicy::SameIp };
    let transport = match suite {
        None => Transport::Plain(peer),
        Some(suite) => Transport::Sdes {
            peer,
            send_key: Some(key(suite, 16 + leg as u8)),
            receive_key: Some(key(suite, PEERS_KEY + leg as u8)),
            receive_mki_len: 0,
        },
    };
    let event = (Pt::new(101).expect("7 bits"), ClockRate::HZ_8000);
    LegPlan {
        interface: InterfaceId(0),
        ipv6: false,
        transport,
        rtcp_mux: false,
        ssrc: Ssrc(0x7e51_0000 + leg as u32),
        cname: "trestle".to_owned(),
        tos: None,
        send: SendPlan {
            format: Some(SendFormat {
                pt: pt(codec),
                codec,
                ptime: Ptime::MS_20,
                strict_ptime: codec == Codec::Opus,
                opus: OpusSettings::default(),
                event: Some(event),
            }),
            source: Source::Leg(LegId(1 - leg as u16)),
            muting: Muting::default(),
            policy: SendPolicy::default(),
            enabled: true,
        },
        receive: ReceivePlan {
            formats: vec![ReceiveFormat { pt: pt(codec), codec }],
            events: vec![event],
            detect_inband_dtmf: false,
            enabled: true,
        },
    }
}

/// Speech, packet by packet, over and over.
struct Peer {
    payloads: Vec<Vec<u8>>,
    context: Option<SrtpContext>,
    codec: Codec,
    sent: u32,
}

impl Peer {
    fn new(Side { codec, suite }: Side) -> Self {
        let clip = speech::agent();
        let frames = clip.chunks_exact(SAMPLES);
        let payloads = match codec {
            Codec::Opus => {
                let mut encoder =
                    opus::OpusEncoder::new(g711::RATE_HZ, EncoderSettings::default()).expect("an encoder");
                let mut out = [0; PACKET_BYTES_MAX];
                let mut encode = |frame| {
                    let len = encoder.encode(frame, &mut out).expect("20 ms is a frame");
                    out[..len].to_vec()
                };
                frames.map(&mut encode).collect()
            }
            Codec::Pcma | Codec::Pcmu => {
                let law = if codec == Codec::Pcma { Law::A } else { Law::Mu };
                let encode = |frame| {
                    let mut payload = vec![0; SAMPLES];
                    law.encode(frame, &mut payload);
                    payload
                };
                frames.map(encode).collect()
            }
        };
        Self { payloads, context: suite.map(|suite| SrtpContext::new(&key(suite, PEERS_KEY))), codec, sent: 0 }
    }

    fn packet(&mut self) -> Vec<u8> {
        let payload = &self.payloads[self.sent as usize % self.payloads.len()];
        let ticks = Ptime::MS_20.ticks(self.codec.clock());
        let header = Header {
            marker: self.sent == 0,
            pt: pt(self.codec),
            seq: Seq(self.sent as u16),
            time: RtpTime(self.sent.wrapping_mul(ticks)),
            ssrc: Ssrc(0xabc0),
        };
        self.sent += 1;
        let mut packet = [&header.write()[..], payload].concat();
        if let Some(context) = &mut self.context {
            let len = packet.len();
            packet.resize(len + OVERHEAD_MAX, 0);
            let len = context.protect_rtp(&mut packet, len).expect("a new index");
            packet.truncate(len);
        }
        packet
    }
}
