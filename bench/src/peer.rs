//! What sends to a leg: speech, digits and reports under its security.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use trestle_audio::g711;
use trestle_audio::g711::Law;
use trestle_audio::opus::{self, EncoderSettings, PACKET_BYTES_MAX};
use trestle_core::plan::Codec;
use trestle_core::{CallId, Command, DtlsIdentity, LegId};
use trestle_peers::speech;
use trestle_srtp::{OVERHEAD_MAX, SrtpContext};
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtcp::{RtcpReport, SenderInfo};
use trestle_wire::rtp::Header;
use trestle_wire::telephone_event::TelephoneEvent;
use trestle_wire::{NtpTime, Pt, Ptime, RtpTime, Seq, Ssrc};

use crate::side::{Ends, Security, Side, key};
use crate::{Engine, Work};

/// 20 ms at 8 kHz.
const SAMPLES: usize = 160;

/// A digit goes down so often: every two seconds.
const DIGIT_EVERY: u32 = 100;
/// Packets of a digit of 100 ms, three of which are its end.
const DIGIT_PACKETS: u32 = 7;
/// A report goes out so often.
const REPORT_EVERY: u32 = 100;

/// What a peer does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Script {
    /// It speaks.
    pub speaks: bool,
    /// It presses a key every two seconds.
    pub digits: bool,
    /// Every 25th packet is lost, and two in a row of every 100.
    pub lossy: bool,
    /// It sends reports.
    pub reports: bool,
    /// It sends nothing in pauses.
    pub suppresses_silence: bool,
}

/// One datagram of a peer.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// What it is.
    pub work: Work,
    /// It goes to the RTCP port.
    pub to_rtcp: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The peer of one leg.
#[derive(Debug)]
pub struct Peer {
    side: Side,
    script: Script,
    address: SocketAddr,
    payloads: Arc<[Vec<u8>]>,
    secure: Secure,
    ssrc: Ssrc,
    ticks_passed: u32,
    seq: u16,
    rtp_sent: u32,
}

#[derive(Debug)]
enum Secure {
    Plain,
    Srtp(Box<SrtpContext>),
    /// A shard does ICE and DTLS for the peer, and forwards what it is given.
    Shard(Box<Engine>),
}

impl Peer {
    /// The peer of a leg at `leg_address` under keys of `name`.
    pub fn new(
        now: Instant,
        side: Side,
        name: u32,
        leg_address: SocketAddr,
        identities: [&DtlsIdentity; 2],
        payloads: Arc<[Vec<u8>]>,
    ) -> Self {
        let [ours, theirs] = identities;
        let plain = Self::address_of(name);
        let (secure, address) = match side.security {
            Security::Plain => (Secure::Plain, plain),
            Security::Sdes(suite) => (Secure::Srtp(Box::new(SrtpContext::new(&key(suite, name)))), plain),
            Security::Dtls => {
                let mut shard = Engine::new(now, 100, theirs.clone());
                shard.keep_media();
                let address = shard.address(0);
                let relay = Side { unbroken: false, ..side };
                let ends = Ends { name, peer: leg_address, peer_identity: ours, ours: false };
                let inner = Ends { peer: plain, ..ends };
                let legs =
                    vec![(LegId(0), relay.plan(0, &ends)), (LegId(1), relay.over(Security::Plain).plan(1, &inner))];
                shard.command(now, Command::Apply { call: CallId(1), legs });
                (Secure::Shard(Box::new(shard)), address)
            }
        };
        let ssrc = Ssrc(0x5000_0000 | name);
        let script = Script::default();
        Self { side, script, address, payloads, secure, ssrc, ticks_passed: 0, seq: 0, rtp_sent: 0 }
    }

    /// Where the peer `name` of a leg without ICE is.
    pub fn address_of(name: u32) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, (name >> 14) as u8], (20_000 + 2 * (name & 0x3fff)) as u16))
    }

    /// Where this one is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `datagram` of this one comes from.
    pub fn source(&self, datagram: &Datagram) -> SocketAddr {
        let port = self.address.port() + u16::from(datagram.to_rtcp);
        SocketAddr::new(self.address.ip(), port)
    }

    /// Changes what it does.
    pub fn follow(&mut self, script: Script) {
        self.script = script;
    }

    /// Changes the audio it sends.
    pub fn set_audio(&mut self, payloads: Arc<[Vec<u8>]>) {
        self.payloads = payloads;
    }

    /// Speech in packets of 20 ms; for a peer that suppresses silence the pauses are empty.
    pub fn speech(codec: Codec, dtx: bool) -> Arc<[Vec<u8>]> {
        let mut clip = speech::agent().to_vec();
        if dtx {
            // As long a pause as speech, for the half of the time that the other one speaks.
            clip.resize(2 * clip.len(), 0);
        }
        let frames = clip.chunks_exact(SAMPLES);
        match codec {
            Codec::Opus => {
                let settings = EncoderSettings { dtx, ..EncoderSettings::default() };
                let mut encoder = opus::OpusEncoder::new(g711::RATE_HZ, settings).expect("an encoder");
                let mut out = [0; PACKET_BYTES_MAX];
                let mut encode = |frame| {
                    let len = encoder.encode(frame, &mut out).expect("20 ms is a frame");
                    if len > 2 { out[..len].to_vec() } else { Vec::new() }
                };
                frames.map(&mut encode).collect()
            }
            Codec::Pcma | Codec::Pcmu => {
                let law = if codec == Codec::Pcma { Law::A } else { Law::Mu };
                let encode = |frame: &[i16]| {
                    let mut payload = vec![0; SAMPLES];
                    law.encode(frame, &mut payload);
                    if dtx && frame.iter().all(|sample| *sample == 0) { Vec::new() } else { payload }
                };
                frames.map(encode).collect()
            }
        }
    }

    /// What it sends at `now`, a packet time after the last.
    pub fn datagrams(&mut self, now: Instant) -> Vec<Datagram> {
        let tick = self.ticks_passed;
        self.ticks_passed += 1;
        let mut datagrams = Vec::new();
        if self.script.speaks {
            datagrams.extend(self.media(tick));
        }
        if self.script.reports && tick % REPORT_EVERY == REPORT_EVERY / 2 {
            datagrams.push(self.report(tick));
        }
        self.secure(now, datagrams)
    }

    /// Takes STUN or DTLS from the leg.
    pub fn receive(&mut self, now: Instant, source: SocketAddr, bytes: &mut [u8]) {
        if let Secure::Shard(shard) = &mut self.secure {
            shard.take(now, Engine::socket(0, false), source, bytes);
        }
    }

    fn media(&mut self, tick: u32) -> Option<Datagram> {
        let clock = self.side.codec.clock();
        let packet_ticks = Ptime::MS_20.ticks(clock);
        let time = RtpTime(tick.wrapping_mul(packet_ticks));
        let ssrc = self.ssrc;
        let in_digit = tick % DIGIT_EVERY;
        let datagram = if self.script.digits && in_digit < DIGIT_PACKETS {
            let steps = (in_digit + 1).min(DIGIT_PACKETS - 2);
            let event = TelephoneEvent {
                event: (tick / DIGIT_EVERY % 10) as u8,
                end: in_digit >= DIGIT_PACKETS - 3,
                volume: 10,
                duration_ticks: (steps * packet_ticks) as u16,
            };
            let began = RtpTime((tick - in_digit).wrapping_mul(packet_ticks));
            let (pt, _) = self.side.event();
            let header = Header { marker: in_digit == 0, pt, seq: Seq(self.seq), time: began, ssrc };
            Datagram { work: Work::Event, to_rtcp: false, bytes: [&header.write()[..], &event.write()].concat() }
        } else {
            let payload = &self.payloads[tick as usize % self.payloads.len()];
            if self.script.suppresses_silence && payload.is_empty() {
                return None;
            }
            let header = Header { marker: tick == 0, pt: self.side.pt(), seq: Seq(self.seq), time, ssrc };
            Datagram { work: Work::Audio, to_rtcp: false, bytes: [&header.write()[..], payload].concat() }
        };
        self.seq = self.seq.wrapping_add(1);
        let is_lost = self.script.lossy && (tick % 25 == 17 || (60..62).contains(&(tick % 100)));
        if is_lost {
            return None;
        }
        self.rtp_sent += 1;
        Some(datagram)
    }

    fn report(&self, tick: u32) -> Datagram {
        let clock = self.side.codec.clock();
        let sender = SenderInfo {
            ntp: NtpTime(u64::from(tick) << 26),
            rtp_time: RtpTime(tick.wrapping_mul(Ptime::MS_20.ticks(clock))),
            packets: self.rtp_sent,
            octets: self.rtp_sent * 160,
        };
        let report = RtcpReport { ssrc: self.ssrc, sender: Some(sender), reports: &[], cname: "peer", bye: false };
        let mut bytes = vec![0; 128];
        let len = report.write(&mut bytes).expect("a report is short");
        bytes.truncate(len);
        Datagram { work: Work::Rtcp, to_rtcp: self.side.security != Security::Dtls, bytes }
    }

    fn secure(&mut self, now: Instant, mut datagrams: Vec<Datagram>) -> Vec<Datagram> {
        match &mut self.secure {
            Secure::Plain => datagrams,
            Secure::Srtp(context) => {
                for Datagram { work, bytes, .. } in &mut datagrams {
                    let len = bytes.len();
                    bytes.resize(len + OVERHEAD_MAX, 0);
                    let len = match work {
                        Work::Rtcp => context.protect_rtcp(bytes, len),
                        _ => context.protect_rtp(bytes, len),
                    };
                    bytes.truncate(len.expect("a new index"));
                }
                datagrams
            }
            Secure::Shard(shard) => {
                for mut datagram in datagrams {
                    let from = Self::address_of(self.ssrc.0 & 0x0fff_ffff);
                    shard.take(now, Engine::socket(1, false), from, &mut datagram.bytes);
                }
                while shard.is_due(now) {
                    shard.wake(now);
                }
                let event = self.side.event().0;
                let mut out = Vec::new();
                shard.take_kept(|socket, _, bytes| {
                    if socket == Engine::socket(0, false) {
                        out.push(Datagram { work: work_of(bytes, event), to_rtcp: false, bytes: bytes.to_vec() });
                    }
                });
                out
            }
        }
    }
}

fn work_of(bytes: &[u8], event: Pt) -> Work {
    match DatagramKind::of(bytes) {
        Some(DatagramKind::Rtp) if bytes.get(1).is_some_and(|byte| byte & 0x7f == event.get()) => Work::Event,
        Some(DatagramKind::Rtp) => Work::Audio,
        Some(DatagramKind::Rtcp) => Work::Rtcp,
        _ => Work::Handshake,
    }
}
