//! A phone of which the test makes every packet itself: any SSRC, any sequence number, any key, any damage.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use trestle_srtp::{KeyingMaterial, OVERHEAD_MAX, Profile, SrtpContext};
use trestle_wire::rtp::{Header, RtpPacket};
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};

use crate::actor::ActorId;
use crate::calls;
use crate::world::World;

/// A phone with PCMA and without RTCP multiplexing.
pub struct RawPhone {
    /// Its one address.
    pub at: SocketAddr,
    /// Its mail box.
    pub actor: ActorId,
    /// Where Trestle listens for it.
    pub remote: Option<SocketAddr>,
    /// What it encrypts with; `None` for plain RTP.
    pub key: Option<KeyingMaterial>,
    /// The key Trestle has announced.
    pub trestle_key: Option<KeyingMaterial>,
    /// Tag of its `a=crypto` line.
    pub tag: u32,
    /// What it writes behind the key in `a=crypto`.
    pub key_parameters: &'static str,
    /// Put behind each packet's payload, as `key_parameters` must have announced.
    pub mki: Vec<u8>,
    /// A direction attribute or whatever else its SDP shall have.
    pub extra_lines: String,
    /// Of the next packet.
    pub ssrc: u32,
    /// Of the next packet, wraps included.
    pub seq: u64,
    /// Of the next packet.
    pub time: u32,
    sending: Option<SrtpContext>,
    receiving: Option<SrtpContext>,
    read: usize,
    /// Datagrams that did not authenticate, or were replays.
    pub refused: usize,
}

/// What one packet that a raw phone got was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl RawPhone {
    /// A phone at `at`; `key` as [`key`] makes it.
    pub fn new(world: &mut World, at: &str, key: Option<KeyingMaterial>) -> Self {
        let at = calls::addr(at);
        let sending = key.as_ref().map(SrtpContext::new);
        Self {
            at,
            actor: world.add_stranger(at),
            remote: None,
            key,
            trestle_key: None,
            tag: 1,
            key_parameters: "",
            mki: Vec::new(),
            extra_lines: String::new(),
            ssrc: 0x1000_0000 | u32::from(at.port()),
            seq: 1_000,
            time: 5_000,
            sending,
            receiving: None,
            read: 0,
            refused: 0,
        }
    }

    /// Its SDP, offer or answer.
    pub fn sdp(&self) -> String {
        let (ip, port) = (self.at.ip(), self.at.port());
        let (profile, crypto) = match &self.key {
            None => ("RTP/AVP", String::new()),
            Some(key) => ("RTP/SAVP", format!("a={}{}\r\n", crypto_line(self.tag, key), self.key_parameters)),
        };
        format!(
            "v=0\r\no=raw 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} 8\r\n{crypto}{}",
            self.extra_lines
        )
    }

    /// Takes Trestle's address and key from Trestle's SDP.
    pub fn accept(&mut self, sdp: &str) {
        let (address, key) = read(sdp);
        self.remote = Some(address);
        if key.is_some() && key != self.trestle_key {
            self.receiving = key.as_ref().map(SrtpContext::new);
        }
        self.trestle_key = key;
    }

    /// Uses another key from now on; its counters go on if `keep_roc`.
    pub fn set_key(&mut self, key: KeyingMaterial, keep_roc: bool) {
        let mut context = SrtpContext::new(&key);
        if keep_roc {
            context.set_rtp_index(Ssrc(self.ssrc), self.seq - 1);
        } else {
            self.seq &= 0xffff;
        }
        self.key = Some(key);
        self.sending = Some(context);
    }

    /// Sends and receives plain RTP from now on.
    pub fn unsecure(&mut self) {
        (self.key, self.sending, self.receiving, self.trestle_key) = (None, None, None, None);
        self.seq &= 0xffff;
    }

    /// Takes Trestle's address and, of the keys in its offer, the one of the suite of this phone's key.
    pub fn choose(&mut self, offer: &str) {
        let suite = self.key.as_ref().map(KeyingMaterial::profile);
        let chosen = keys(offer).into_iter().find(|offered| Some(offered.profile()) == suite);
        self.remote = Some(read(offer).0);
        if chosen != self.trestle_key {
            self.receiving = chosen.as_ref().map(SrtpContext::new);
        }
        self.trestle_key = chosen;
    }

    /// Its next packet, protected if it has a key: 20 ms of PCMA that say which packet of which stream it is.
    pub fn packet(&mut self) -> Vec<u8> {
        let seq = self.seq;
        self.seq += 1;
        self.time = self.time.wrapping_add(160);
        self.packet_of(self.ssrc, seq, self.time)
    }

    /// Any packet. Protecting an older number than the last ones fails here, not in Trestle.
    pub fn packet_of(&mut self, ssrc: u32, seq: u64, time: u32) -> Vec<u8> {
        let plain = plain_packet(ssrc, seq, time);
        let Some(context) = &mut self.sending else { return plain };
        let mut bytes = plain;
        let len = bytes.len();
        bytes.resize(len + OVERHEAD_MAX, 0);
        let len = context.protect_rtp(&mut bytes, len).expect("an unused index");
        bytes.truncate(len);
        let profile = context.profile();
        let gcm = matches!(profile, Profile::AeadAes128Gcm | Profile::AeadAes256Gcm);
        // RFC 3711 3.1: the MKI is before the tag; RFC 7714 8.2: behind it.
        let at = if gcm { len } else { len - profile.rtp_tag_len() };
        bytes.splice(at..at, self.mki.iter().copied());
        bytes
    }

    /// Sends its next packet.
    pub fn send(&mut self, world: &mut World) {
        let packet = self.packet();
        self.send_bytes(world, &packet);
    }

    /// Sends anything.
    pub fn send_bytes(&mut self, world: &mut World, bytes: &[u8]) {
        world.inject(self.at, self.remote.expect("Trestle's address"), bytes);
    }

    /// Talks for `packets` packet times of 20 ms.
    pub fn talk(&mut self, world: &mut World, packets: usize) {
        for _ in 0..packets {
            self.send(world);
            world.run_for_ms(20);
        }
    }

    /// It has a new mail box: reads it from the start.
    pub fn restart_reading(&mut self) {
        self.read = 0;
    }

    /// RTP received since the last call; what is not authentic is counted in [`RawPhone::refused`].
    pub fn received(&mut self, world: &World) -> Vec<ReceivedPacket> {
        let mail = world.received_by_stranger(self.actor);
        let new = &mail[self.read..];
        self.read = mail.len();
        let mut received = Vec::new();
        for datagram in new {
            let mut bytes = datagram.bytes.clone();
            if bytes[1] & 0x7f >= 72 && bytes[1] & 0x7f <= 79 {
                continue;
            }
            if let Some(context) = &mut self.receiving {
                match context.unprotect_rtp(&mut bytes) {
                    Ok(plain) => bytes.truncate(plain.len),
                    Err(_) => {
                        self.refused += 1;
                        continue;
                    }
                }
            }
            let RtpPacket { header, payload } = RtpPacket::parse(&bytes).expect("RTP");
            received.push(ReceivedPacket { header, payload: bytes[payload].to_vec() });
        }
        received
    }
}

/// A PCMA packet whose payload begins with its SSRC and its sequence number.
pub fn plain_packet(ssrc: u32, seq: u64, time: u32) -> Vec<u8> {
    let header = Header { marker: false, pt: Pt::PCMA, seq: Seq(seq as u16), time: RtpTime(time), ssrc: Ssrc(ssrc) };
    let mut payload = [0xd5; 160];
    payload[..4].copy_from_slice(&ssrc.to_be_bytes());
    payload[4..12].copy_from_slice(&seq.to_be_bytes());
    [&header.write()[..], &payload].concat()
}

impl ReceivedPacket {
    /// SSRC and sequence number with which a raw phone sent it.
    pub fn origin(&self) -> (u32, u64) {
        let mut seq = [0; 8];
        seq.copy_from_slice(&self.payload[4..12]);
        (
            u32::from_be_bytes([self.payload[0], self.payload[1], self.payload[2], self.payload[3]]),
            u64::from_be_bytes(seq),
        )
    }
}

/// A key that is the same for the same `n`.
pub fn key(profile: Profile, n: u8) -> KeyingMaterial {
    let bytes: Vec<u8> = (0..profile.key_len() + profile.salt_len()).map(|at| n.wrapping_mul(41) ^ at as u8).collect();
    KeyingMaterial::from_key_and_salt(profile, &bytes).expect("of the profile's length")
}

/// `crypto:TAG SUITE inline:KEY`.
pub fn crypto_line(tag: u32, key: &KeyingMaterial) -> String {
    format!("crypto:{tag} {} inline:{}", key.profile().name(), STANDARD.encode(&*key.key_and_salt()))
}

/// Keys of all `a=crypto` lines of an SDP, in order.
pub fn keys(sdp: &str) -> Vec<KeyingMaterial> {
    let lines = sdp.lines().filter_map(|line| line.strip_prefix("a=crypto:"));
    let read = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let profile = Profile::from_name(words.next()?)?;
        let inline = words.next()?.strip_prefix("inline:")?.split('|').next()?;
        let padded =
            format!("{}{}", inline.trim_end_matches('='), &"=="[..(4 - inline.trim_end_matches('=').len() % 4) % 4]);
        KeyingMaterial::from_key_and_salt(profile, &STANDARD.decode(padded).ok()?).ok()
    };
    lines.map(|line| read(line).expect("a readable a=crypto")).collect()
}

/// RTP address and first key of an SDP with one IPv4 media.
pub fn read(sdp: &str) -> (SocketAddr, Option<KeyingMaterial>) {
    let word = |start: &str, n: usize| {
        let line = sdp.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{sdp}"));
        line.split_whitespace().nth(n).expect("a word").to_owned()
    };
    let address = format!("{}:{}", word("c=", 2), word("m=", 1));
    (calls::addr(&address), keys(sdp).into_iter().next())
}

/// Two raw phones call each other: `caller` has the tag `a`, `callee` has `b`. `extra` goes into the offer, and the
/// protocol towards the callee follows its key.
pub fn call(world: &mut World, call_id: &str, caller: &mut RawPhone, callee: &mut RawPhone) {
    let protocol = if callee.key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let extra = json!({"ICE": "remove", "transport-protocol": protocol});
    let to_callee = calls::offer_sdp(world, call_id, "a", &caller.sdp(), extra);
    if let Some(key) = &callee.key {
        let suite = |offered: &KeyingMaterial| offered.profile() == key.profile();
        callee.tag = 1 + keys(&to_callee).iter().position(suite).expect("the suite is offered") as u32;
    }
    callee.choose(&to_callee);
    let to_caller = calls::answer_sdp(world, call_id, "a", "b", &callee.sdp());
    caller.accept(&to_caller);
}

/// `offerer` (tag `from`) sends its present SDP to `answerer` (tag `to`), which answers with its own.
pub fn re_offer(
    world: &mut World,
    call_id: &str,
    (offerer, from): (&mut RawPhone, &str),
    (answerer, to): (&mut RawPhone, &str),
) {
    let to_answerer = calls::offer_sdp(world, call_id, from, &offerer.sdp(), json!({"to-tag": to}));
    if let Some(key) = &answerer.key {
        let is_suite = |offered: &KeyingMaterial| offered.profile() == key.profile();
        answerer.tag = 1 + keys(&to_answerer).iter().position(is_suite).expect("the suite is offered") as u32;
    }
    answerer.choose(&to_answerer);
    let to_offerer = calls::answer_sdp(world, call_id, from, to, &answerer.sdp());
    offerer.accept(&to_offerer);
}
