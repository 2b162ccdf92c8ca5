//! The engine, and a second one that plays WhatsApp towards it: handshakes, media and consent are real.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use trestle_audio::g711::Law;
use trestle_audio::opus::{self, EncoderSettings, PACKET_BYTES_MAX};
use trestle_core::plan::{
    Codec, DtlsRole, Fingerprint, IceCredentials, LatchPolicy, Muting, OpusSettings, ReceiveFormat, ReceivePlan,
    RtpPeer, SendFormat, SendPlan, SendPolicy, Source, Transport, WebRtcPlan, WebRtcRemote,
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
const TRESTLE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
const WHATSAPP: IpAddr = IpAddr::V4(Ipv4Addr::new(31, 13, 65, 60));
const PHONE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20));
const SUITE: Profile = Profile::AesCm128HmacSha1_80;
const WEBRTC: LegId = LegId(0);
const SIP: LegId = LegId(1);

/// What the two of a call say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Speech without an end.
    Speech,
    /// Two seconds of it, two seconds of a muted microphone, in turns.
    HalfSilence,
    /// A muted microphone.
    Silence,
}

/// Packets that reach Trestle, each at its time.
pub(crate) type Turn = VecDeque<(Instant, SocketId, SocketAddr, Vec<u8>)>;

/// See the module.
pub(crate) struct Ground {
    trestle: Node,
    whatsapp: Node,
    phones: Vec<SrtpContext>,
    /// The audio, frame by frame: Opus of WhatsApp, PCMA of the phone.
    payloads: [Vec<Vec<u8>>; 2],
    calls: usize,
    frame: usize,
    start: Instant,
    /// Packets of Trestle's to WhatsApp that are no media; they arrive between two turns.
    to_whatsapp: Turn,
}

impl Ground {
    /// Calls that stand and speak.
    pub(crate) fn new(calls: usize, announced: Said) -> Self {
        let start = clock::now();
        let [mut trestle, mut whatsapp] = [TRESTLE, WHATSAPP].map(|ip| Node::new(start, ip, calls));
        for call in 0..calls {
            let at = [&mut trestle, &mut whatsapp].map(|node| {
                let identity = node.fingerprint;
                (node.open(start, call, None), identity)
            });
            let [ours, theirs] = at;
            trestle.open(start, call, Some(theirs));
            whatsapp.open(start, call, Some(ours));
        }
        let phones = (0..calls).map(|call| SrtpContext::new(&key(call, 2))).collect();
        let payloads = [opus_of(announced), pcma_of(announced)];
        let to_whatsapp = Turn::new();
        let mut ground = Self { trestle, whatsapp, phones, payloads, calls, frame: 0, start, to_whatsapp };
        ground.connect();
        ground
    }

    /// The number of the next frame.
    pub(crate) fn frame(&self) -> usize {
        self.frame
    }

    /// What WhatsApp and the phone of a call say in one frame.
    pub(crate) fn payloads(&self, call: usize, frame: usize) -> [&[u8]; 2] {
        // Calls do not all say the same at the same time.
        [0, 1].map(|side: usize| {
            let payloads = &self.payloads[side];
            &payloads[(frame + call * 37) % payloads.len()][..]
        })
    }

    /// Makes the next frames' packets.
    pub(crate) fn prepare(&mut self, frames: usize) -> Turn {
        let mut turn = Turn::new();
        for frame in self.frame..self.frame + frames {
            for call in 0..self.calls {
                let now = self.start + FRAME * frame as u32 + FRAME * call as u32 / self.calls as u32;
                while let Some((at, ..)) = self.to_whatsapp.front()
                    && *at <= now
                    && let Some((_, socket, from, mut bytes)) = self.to_whatsapp.pop_front()
                {
                    self.whatsapp.shard.handle_datagram(now, socket, from, &mut bytes);
                    self.whatsapp.drain(now, TRESTLE, &mut turn);
                }
                let [opus, pcma] = self.payloads(call, frame).map(<[u8]>::to_vec);
                let mut packet = rtp(Codec::Opus, frame, &opus);
                let socket = self.whatsapp.sockets[&(call, SIP)];
                self.whatsapp.shard.handle_datagram(now, socket, phone(call), &mut packet);
                self.whatsapp.drain(now, TRESTLE, &mut turn);
                let mut packet = rtp(Codec::Pcma, frame, &pcma);
                let len = packet.len();
                packet.resize(len + OVERHEAD_MAX, 0);
                let len = self.phones[call].protect_rtp(&mut packet, len).expect("a new index");
                packet.truncate(len);
                turn.push_back((now, self.trestle.sockets[&(call, SIP)], phone(call), packet));
            }
        }
        self.frame += frames;
        turn
    }

    /// Gives Trestle its packets; returns how many media packets it sent.
    pub(crate) fn run(&mut self, turn: &Turn) -> usize {
        let (mut sent, mut buf) = (0, [0; 2_048]);
        for (now, socket, from, bytes) in turn {
            let buf = &mut buf[..bytes.len()];
            buf.copy_from_slice(bytes);
            self.trestle.shard.handle_datagram(*now, *socket, *from, buf);
            sent += self.trestle.drain(*now, WHATSAPP, &mut self.to_whatsapp);
        }
        sent
    }

    /// Handshakes, and a second for everything to settle.
    fn connect(&mut self) {
        let mut to_trestle = Turn::new();
        let begun = self.start;
        for ms in 0..2_000 {
            let now = begun + Duration::from_millis(ms);
            for _ in 0..4 {
                self.trestle.drain(now, WHATSAPP, &mut self.to_whatsapp);
                self.whatsapp.drain(now, TRESTLE, &mut to_trestle);
                for (_, socket, from, mut bytes) in self.to_whatsapp.drain(..) {
                    self.whatsapp.shard.handle_datagram(now, socket, from, &mut bytes);
                }
                for (_, socket, from, mut bytes) in to_trestle.drain(..) {
                    self.trestle.shard.handle_datagram(now, socket, from, &mut bytes);
                }
            }
        }
        self.start = begun + Duration::from_secs(2);
        let turn = self.prepare(50);
        self.run(&turn);
    }
}

/// One engine: the bridge itself, or what it talks to.
struct Node {
    shard: Shard,
    ip: IpAddr,
    fingerprint: [u8; 32],
    sockets: BTreeMap<(usize, LegId), SocketId>,
}

impl Node {
    fn new(now: Instant, ip: IpAddr, calls: usize) -> Self {
        let interface = InterfaceId(0);
        let identity = DtlsIdentity::generate().expect("a certificate");
        let fingerprint = identity.fingerprint();
        let mut shard = Shard::new(ShardConfig {
            seed: [7; 32],
            epoch: trestle_core::Epoch { instant: now, unix: Duration::from_secs(1_800_000_000) },
            identity,
            interfaces: vec![(interface, false)],
            media_timeout: Duration::from_secs(60),
        });
        for n in 0..2 * calls as u16 {
            let [rtp_addr, rtcp_addr] = [0, 1].map(|more| SocketAddr::new(ip, 20_000 + 2 * n + more));
            let pair = PortPair { rtp: id(rtp_addr), rtcp: id(rtcp_addr), rtp_addr, rtcp_addr };
            shard.add_port_pair(interface, false, pair);
        }
        Self { shard, ip, fingerprint, sockets: BTreeMap::new() }
    }

    /// Opens a call towards the other engine, at first without knowing of it; gives its WebRTC port.
    fn open(&mut self, now: Instant, call: usize, other: Option<(SocketAddr, [u8; 32])>) -> SocketAddr {
        let controls = self.ip == TRESTLE;
        let name = |controls: bool| IceCredentials {
            ufrag: format!("{}{call}", if controls { "trestle" } else { "whatsapp" }),
            pwd: format!("{}passwordpasswordpassword{call}", if controls { "trestle" } else { "whatsapp" }),
        };
        let remote = other.map(|(at, fingerprint)| WebRtcRemote {
            credentials: name(!controls),
            candidates: vec![format!("candidate:1 1 udp 2113937151 {} {} typ host", at.ip(), at.port())],
            lite: false,
            controlling: controls,
            fingerprint: Fingerprint::Sha256(fingerprint),
        });
        let dtls_role = if controls { DtlsRole::Client } else { DtlsRole::Server };
        let webrtc = Transport::WebRtc(WebRtcPlan { local: name(controls), remote, dtls_role });
        let peer = RtpPeer { rtp: Some(phone(call)), rtcp: None, latch: LatchPolicy::SameIp };
        // WhatsApp's own microphone is a plain leg.
        let (sip, codec) = if controls {
            let (send_key, receive_key) = (Some(key(call, 1)), Some(key(call, 2)));
            (Transport::Sdes { peer, send_key, receive_key, receive_mki_len: 0 }, Codec::Pcma)
        } else {
            (Transport::Plain(peer), Codec::Opus)
        };
        let legs = vec![(WEBRTC, plan(call, WEBRTC, webrtc, Codec::Opus)), (SIP, plan(call, SIP, sip, codec))];
        self.shard.handle_command(now, RequestId(1), Command::Apply { call: CallId(call as u64), legs });
        loop {
            match self.shard.poll_output() {
                Output::Reply(answer) => {
                    let Ok(Reply::Applied(ports)) = answer.1 else { panic!("a good plan is not applied: {answer:?}") };
                    self.sockets.extend(ports.iter().map(|(leg, ports)| ((call, *leg), id(ports.rtp))));
                    return ports[0].1.rtp;
                }
                Output::Timeout(_) => panic!("no reply"),
                Output::Transmit(_) | Output::Event(_) | Output::Release(_) => {}
            }
        }
    }

    /// Does what is due; what goes to `ip` goes into `mail`, unless Trestle sends it as media. Gives the media packets sent.
    fn drain(&mut self, now: Instant, ip: IpAddr, mail: &mut Turn) -> usize {
        let mut media = 0;
        loop {
            match self.shard.poll_output() {
                Output::Transmit(transmit) => {
                    let is_media = DatagramKind::of(transmit.bytes) == Some(DatagramKind::Rtp);
                    media += usize::from(is_media);
                    if transmit.remote.ip() == ip && !(is_media && self.ip == TRESTLE) {
                        let from = SocketAddr::new(self.ip, 20_000 + transmit.socket.0 as u16);
                        mail.push_back((now, id(transmit.remote), from, transmit.bytes.to_vec()));
                    }
                }
                Output::Timeout(Some(at)) if at <= now => self.shard.handle_timeout(now),
                Output::Timeout(_) => return media,
                Output::Reply(_) | Output::Event(_) | Output::Release(_) => {}
            }
        }
    }
}

fn id(at: SocketAddr) -> SocketId {
    SocketId(u32::from(at.port() - 20_000))
}

fn phone(call: usize) -> SocketAddr {
    SocketAddr::new(PHONE, 30_000 + 2 * call as u16)
}

fn key(call: usize, seed: u8) -> KeyingMaterial {
    let bytes: Vec<u8> = (0..30).map(|n| seed.wrapping_mul(31) ^ n ^ call as u8).collect();
    KeyingMaterial::from_key_and_salt(SUITE, &bytes).expect("the suite's lengths")
}

fn pt(codec: Codec) -> Pt {
    match codec {
        Codec::Pcmu => Pt::PCMU,
        Codec::Pcma => Pt::PCMA,
        Codec::Opus => Pt::new(111).expect("7 bits"),
    }
}

fn plan(call: usize, leg: LegId, transport: Transport, codec: Codec) -> LegPlan {
    let event = (Pt::new(101).expect("7 bits"), ClockRate::HZ_8000);
    LegPlan {
        interface: InterfaceId(0),
        ipv6: false,
        transport,
        rtcp_mux: leg == WEBRTC,
        ssrc: Ssrc(0x7e51_0000 + 2 * call as u32 + u32::from(leg.0)),
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
            source: Source::Leg(LegId(1 - leg.0)),
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

fn rtp(codec: Codec, frame: usize, payload: &[u8]) -> Vec<u8> {
    let ticks = Ptime::MS_20.ticks(codec.clock());
    let header = Header {
        marker: frame == 0,
        pt: pt(codec),
        seq: Seq(frame as u16),
        time: RtpTime((frame as u32).wrapping_mul(ticks)),
        ssrc: Ssrc(0xabc0),
    };
    [&header.write()[..], payload].concat()
}

/// The voice, as `said` wants it.
fn voice(clip: &[i16], sample_hz: usize, announced: Said) -> Vec<i16> {
    let turn = 2 * sample_hz;
    let speech = clip.iter().cycle().take(20 * sample_hz).enumerate();
    speech
        .map(|(n, sample)| match announced {
            Said::Speech => *sample,
            Said::HalfSilence if (n / turn).is_multiple_of(2) => *sample,
            Said::HalfSilence | Said::Silence => 0,
        })
        .collect()
}

/// WhatsApp's Opus: 16 kHz, 20 kbit/s.
fn opus_of(announced: Said) -> Vec<Vec<u8>> {
    let settings = EncoderSettings { expected_loss_percent: 0, complexity: 9, ..EncoderSettings::default() };
    let mut encoder = opus::OpusEncoder::new(speech::CALLER_HZ, settings).expect("an encoder");
    let mut out = [0; PACKET_BYTES_MAX];
    let mut encode = |frame: &[i16]| {
        let len = encoder.encode(frame, &mut out).expect("20 ms is a frame");
        out[..len].to_vec()
    };
    voice(&speech::caller(), speech::CALLER_HZ as usize, announced).chunks_exact(320).map(&mut encode).collect()
}

fn pcma_of(announced: Said) -> Vec<Vec<u8>> {
    let encode = |frame: &[i16]| {
        let mut payload = vec![0; frame.len()];
        Law::A.encode(frame, &mut payload);
        payload
    };
    voice(&speech::agent(), speech::AGENT_HZ as usize, announced).chunks_exact(160).map(encode).collect()
}
