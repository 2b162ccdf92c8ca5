//! SRTP and SRTCP against a model that is slow and plain: sets of indices, and arithmetic without tricks.
//!
//! One sender, one receiver, a network between them that the input plays.

use std::collections::{BTreeMap, BTreeSet};

use trestle_srtp::{KeyingMaterial, OVERHEAD_MAX, Profile, ProtectError, SSRCS_MAX, SrtpContext, UnprotectError};
use trestle_wire::rtp::Header;
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};

use super::input::Input;

/// Indices that an SRTP and an SRTCP key have (RFC 3711 9.2).
const RTP_INDICES: i128 = 1 << 48;
const RTCP_INDICES: u32 = 1 << 31;
/// How far behind the highest index a packet may come.
const WINDOW: i128 = 128;
/// As many SSRCs as have a window of their own.
const SSRCS: usize = SSRCS_MAX;

/// First the profile and how it is used, then operations until the input ends.
pub fn srtp_model(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let profile = input.one_of(&Profile::ALL);
    let mki_len = input.below(5);
    let mut world = World::new(profile, mki_len);
    while !input.is_empty() {
        match input.below(16) {
            0..=5 => world.send_rtp(&mut input),
            6 => world.send_rtcp(&mut input),
            7..=11 => world.deliver(&mut input),
            12 => world.corrupt(&mut input),
            13 => world.restore(input.flag()),
            14 => world.leap(&mut input),
            _ => match input.below(8) {
                0 => world.rekey(),
                1 => world.crowd(),
                _ => world.send_rtp(&mut input),
            },
        }
    }
    world.decided
}

/// A protected packet and what the model knows of it.
#[derive(Clone)]
struct Flying {
    is_rtcp: bool,
    ssrc: Ssrc,
    index: i128,
    key: u8,
    plain: Vec<u8>,
    protected: Vec<u8>,
}

/// What one side has done with one SSRC.
#[derive(Default, Clone)]
struct Stream {
    /// Everything up to this counts as done, for its past is not known in detail.
    floor: Option<i128>,
    rtp: BTreeSet<i128>,
    rtcp_floor: Option<i128>,
    rtcp: BTreeSet<i128>,
}

struct World {
    profile: Profile,
    mki_len: usize,
    key: u8,
    sender: SrtpContext,
    receiver: SrtpContext,
    sent: BTreeMap<Ssrc, Stream>,
    sent_rtcp: u32,
    received: BTreeMap<Ssrc, Stream>,
    /// (key, SSRC, index) of all that was ever encrypted, restarts included.
    pads: BTreeSet<(u8, Ssrc, i128)>,
    next_seq: [u16; SSRCS],
    flying: Vec<Flying>,
    decided: usize,
}

/// Mostly the first stream, so that it gets somewhere.
fn stream(input: &mut Input<'_>) -> usize {
    if input.below(4) == 0 { usize::from(input.u16()) % SSRCS } else { 0 }
}

fn context(profile: Profile, key: u8) -> SrtpContext {
    let bytes: Vec<u8> = (0..profile.key_len() + profile.salt_len()).map(|n| key.wrapping_add(n as u8)).collect();
    SrtpContext::new(&KeyingMaterial::from_key_and_salt(profile, &bytes).expect("the profile's lengths"))
}

impl World {
    fn new(profile: Profile, mki_len: usize) -> Self {
        Self {
            profile,
            mki_len,
            key: 1,
            sender: context(profile, 1),
            receiver: context(profile, 1).with_mki_len(mki_len),
            sent: BTreeMap::new(),
            sent_rtcp: 0,
            received: BTreeMap::new(),
            pads: BTreeSet::new(),
            next_seq: [0xfff0; SSRCS],
            flying: Vec::new(),
            decided: 0,
        }
    }

    fn send_rtp(&mut self, input: &mut Input<'_>) {
        let stream = stream(input);
        let ssrc = Ssrc(stream as u32 + 1);
        // The next number mostly; a jump, a step back, or the same again sometimes.
        let step = match input.below(8) {
            // Half a roll-over is where the guess of the index is decided.
            0 => [0x7fff, 0x8000, 0x8001, input.u16()][input.below(4)],
            1 => u16::from(input.byte()).wrapping_neg(),
            _ => 1,
        };
        self.next_seq[stream] = self.next_seq[stream].wrapping_add(step);
        let seq = Seq(self.next_seq[stream]);
        let header = Header { marker: false, pt: Pt::PCMA, seq, time: RtpTime(input.u32()), ssrc };
        let mut plain = header.write().to_vec();
        plain.extend_from_slice(input.bytes());

        let room = self.sent.contains_key(&ssrc) || self.sent.len() < SSRCS_MAX;
        let expected = if room {
            let known = self.sent.entry(ssrc).or_default();
            match known.highest().map_or(Some(seq.0.into()), |highest| nearest(highest, seq)) {
                None => Err(ProtectError::KeyExhausted),
                Some(index) if known.is_new(index) => Ok(index),
                Some(_) => Err(ProtectError::IndexReused),
            }
        } else {
            Err(ProtectError::TooManySsrcs)
        };

        let mut buf = plain.clone();
        buf.resize(plain.len() + OVERHEAD_MAX, 0xee);
        let outcome = self.sender.protect_rtp(&mut buf, plain.len());
        self.decided += 1;
        match (outcome, expected) {
            (Ok(len), Ok(index)) => {
                assert_eq!(len, plain.len() + self.profile.rtp_tag_len());
                assert_eq!(&buf[..Header::LEN], &plain[..Header::LEN], "the header travels in clear");
                buf.truncate(len);
                let hidden = plain.len() < Header::LEN + 16 || buf[Header::LEN..plain.len()] != plain[Header::LEN..];
                assert!(hidden, "sent in clear");
                assert!(self.pads.insert((self.key, ssrc, index)), "{index} of {ssrc:?} encrypts twice");
                self.sent.entry(ssrc).or_default().rtp.insert(index);
                assert_eq!(self.sender.rtp_index(ssrc).map(i128::from), self.sent[&ssrc].highest());
                let mki_at = if self.is_aead() { len } else { plain.len() };
                self.fly(Flying { is_rtcp: false, ssrc, index, key: self.key, plain, protected: buf }, mki_at);
            }
            (Err(error), Err(expected)) => assert_eq!(error, expected),
            (outcome, expected) => panic!("{ssrc:?} {seq:?}: {outcome:?}, not {expected:?}"),
        }
    }

    fn send_rtcp(&mut self, input: &mut Input<'_>) {
        let ssrc = Ssrc(stream(input) as u32 + 1);
        let mut plain = vec![0x80, 201, 0, 1];
        plain.extend_from_slice(&ssrc.0.to_be_bytes());
        plain.extend_from_slice(input.bytes());
        let mut buf = plain.clone();
        buf.resize(plain.len() + OVERHEAD_MAX, 0xee);
        let outcome = self.sender.protect_rtcp(&mut buf, plain.len());
        self.decided += 1;
        if self.sent_rtcp >= RTCP_INDICES {
            return assert_eq!(outcome, Err(ProtectError::KeyExhausted));
        }
        let len = outcome.expect("an index is left");
        assert_eq!(len, plain.len() + 4 + self.profile.rtcp_tag_len());
        let index = i128::from(self.sent_rtcp);
        self.sent_rtcp += 1;
        assert!(self.pads.insert((self.key, Ssrc(0), index)), "SRTCP index {index} encrypts twice");
        buf.truncate(len);
        let mki_at = if self.is_aead() { len } else { plain.len() + 4 };
        self.fly(Flying { is_rtcp: true, ssrc, index, key: self.key, plain, protected: buf }, mki_at);
    }

    /// Puts a packet on its way, with the MKI that our own sender never adds.
    fn fly(&mut self, mut packet: Flying, mki_at: usize) {
        packet.protected.splice(mki_at..mki_at, (0..self.mki_len).map(|_| 0x4d));
        if self.flying.len() == 64 {
            self.flying.remove(0);
        }
        self.flying.push(packet);
    }

    /// One of the packets on their way arrives; it may arrive again later.
    fn deliver(&mut self, input: &mut Input<'_>) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.flying.len() - 1 - input.below(self.flying.len());
        let packet = if input.flag() { self.flying.remove(at) } else { self.flying[at].clone() };
        let expected = self.expected(&packet);
        let mut buf = packet.protected.clone();
        let outcome =
            if packet.is_rtcp { self.receiver.unprotect_rtcp(&mut buf) } else { self.receiver.unprotect_rtp(&mut buf) };
        self.decided += 1;
        let outcome = outcome.map(|plain| plain.len);
        assert_eq!(outcome, expected.map(|()| packet.plain.len()), "{:?} index {}", packet.ssrc, packet.index);
        if let Ok(len) = outcome {
            assert_eq!(&buf[..len], &packet.plain[..]);
            let stream = self.received.entry(packet.ssrc).or_default();
            let set = if packet.is_rtcp { &mut stream.rtcp } else { &mut stream.rtp };
            assert!(set.insert(packet.index), "accepted twice");
        }
        let stream = self.received.get(&packet.ssrc);
        let rtp = stream.and_then(Stream::highest);
        assert_eq!(self.receiver.rtp_index(packet.ssrc).map(i128::from), rtp);
        let rtcp = stream.and_then(Stream::highest_rtcp);
        assert_eq!(self.receiver.received_srtcp_index(packet.ssrc).map(i128::from), rtcp);
    }

    /// What the receiver must say to an untouched packet.
    fn expected(&self, packet: &Flying) -> Result<(), UnprotectError> {
        let stream = self.received.get(&packet.ssrc);
        if stream.is_none() && self.received.len() == SSRCS_MAX {
            return Err(UnprotectError::TooManySsrcs);
        }
        let unknown = Stream::default();
        let stream = stream.unwrap_or(&unknown);
        let authentic = if packet.key == self.key { Ok(()) } else { Err(UnprotectError::AuthFailed) };
        if packet.is_rtcp {
            return if stream.is_new_rtcp(packet.index) { authentic } else { Err(UnprotectError::Replay) };
        }
        let seq = Seq(packet.index as u16);
        match stream.highest() {
            // The first packet proves its roll-over by its tag: 0 or 1.
            None if packet.index >> 16 <= 1 => authentic,
            None => Err(UnprotectError::AuthFailed),
            Some(highest) => match nearest(highest, seq) {
                None => Err(UnprotectError::AuthFailed),
                Some(guess) if !stream.is_new(guess) => Err(UnprotectError::Replay),
                Some(guess) if guess == packet.index => authentic,
                Some(_) => Err(UnprotectError::AuthFailed),
            },
        }
    }

    /// A packet with a flipped bit, or cut short, changes nothing at the receiver.
    fn corrupt(&mut self, input: &mut Input<'_>) {
        if self.flying.is_empty() {
            return;
        }
        let at = input.below(self.flying.len());
        let packet = &self.flying[at];
        let mut buf = packet.protected.clone();
        let bit = usize::from(input.u16()) % (8 * buf.len());
        if input.below(4) == 0 {
            buf.truncate(bit / 8);
        } else {
            // The MKI is not authenticated, and not looked at.
            let trailer = buf.len() - packet.plain.len();
            if self.mki_len > 0 && bit / 8 + trailer >= buf.len() {
                return;
            }
            buf[bit / 8] ^= 1 << (bit % 8);
        }
        let outcome =
            if packet.is_rtcp { self.receiver.unprotect_rtcp(&mut buf) } else { self.receiver.unprotect_rtp(&mut buf) };
        self.decided += 1;
        assert!(outcome.is_err(), "a packet with bit {bit} wrong is accepted");
    }

    /// The process of one side ends and goes on elsewhere with the indices it had.
    fn restore(&mut self, sender: bool) {
        let mut fresh = context(self.profile, self.key);
        let (old, streams) =
            if sender { (&mut self.sender, &mut self.sent) } else { (&mut self.receiver, &mut self.received) };
        let mut kept = BTreeMap::new();
        for ssrc in old.ssrcs().collect::<Vec<_>>() {
            let mut stream = Stream::default();
            if let Some(index) = old.rtp_index(ssrc) {
                fresh.set_rtp_index(ssrc, index);
                stream.floor = Some(index.into());
            }
            if let Some(index) = old.received_srtcp_index(ssrc) {
                fresh.set_received_srtcp_index(ssrc, index);
                stream.rtcp_floor = Some(index.into());
            }
            if stream.floor.is_some() || stream.rtcp_floor.is_some() {
                kept.insert(ssrc, stream);
            }
        }
        fresh.set_srtcp_index(old.srtcp_index());
        *streams = kept;
        *old = if sender { fresh } else { fresh.with_mki_len(self.mki_len) };
    }

    /// Both sides are brought to any index of one stream, and to any SRTCP index.
    fn leap(&mut self, input: &mut Input<'_>) {
        let stream = stream(input);
        let ssrc = Ssrc(stream as u32 + 1);
        let near_the_end = u64::from(input.u16());
        let index = if input.flag() { (RTP_INDICES as u64 - 1) - near_the_end } else { input.u64() >> 16 };
        let highest = self.sent.get(&ssrc).and_then(Stream::highest);
        // Forward only: to go back would be to encrypt twice by order.
        if highest.is_none_or(|highest| i128::from(index) > highest) {
            self.set_index(ssrc, index);
            self.next_seq[stream] = index as u16;
        }
        let rtcp = RTCP_INDICES - input.u32() % 8;
        if input.below(8) == 0 && rtcp > self.sent_rtcp {
            self.sender.set_srtcp_index(rtcp);
            self.sent_rtcp = rtcp;
        }
    }

    /// All streams but the last few are taken.
    fn crowd(&mut self) {
        for n in 1..SSRCS_MAX as u32 {
            let ssrc = Ssrc(n);
            if !self.sent.contains_key(&ssrc) && !self.received.contains_key(&ssrc) {
                self.set_index(ssrc, 5);
            }
        }
    }

    fn set_index(&mut self, ssrc: Ssrc, index: u64) {
        for (side, streams) in [(&mut self.sender, &mut self.sent), (&mut self.receiver, &mut self.received)] {
            side.set_rtp_index(ssrc, index);
            if streams.contains_key(&ssrc) || streams.len() < SSRCS_MAX {
                let known = streams.entry(ssrc).or_default();
                known.rtp.clear();
                known.floor = Some(index.into());
            }
        }
    }

    /// New keys: old packets are worth nothing, and indices may start again.
    fn rekey(&mut self) {
        self.key = self.key.wrapping_add(1);
        self.sender = context(self.profile, self.key);
        self.receiver = context(self.profile, self.key).with_mki_len(self.mki_len);
        self.sent.clear();
        self.received.clear();
        self.sent_rtcp = 0;
        // After 256 keys the first comes again; its packets and pads are not those of the first time.
        self.flying.retain(|packet| packet.key != self.key);
        self.pads.retain(|(key, ..)| *key != self.key);
    }

    fn is_aead(&self) -> bool {
        matches!(self.profile, Profile::AeadAes128Gcm | Profile::AeadAes256Gcm)
    }
}

impl Stream {
    fn highest(&self) -> Option<i128> {
        self.rtp.last().copied().max(self.floor)
    }

    fn highest_rtcp(&self) -> Option<i128> {
        self.rtcp.last().copied().max(self.rtcp_floor)
    }

    fn is_new(&self, index: i128) -> bool {
        is_new(&self.rtp, self.floor, index)
    }

    fn is_new_rtcp(&self, index: i128) -> bool {
        is_new(&self.rtcp, self.rtcp_floor, index)
    }
}

fn is_new(seen: &BTreeSet<i128>, floor: Option<i128>, index: i128) -> bool {
    let recent = seen.last().is_none_or(|highest| index > highest - WINDOW);
    recent && floor.is_none_or(|floor| index > floor) && !seen.contains(&index)
}

/// The index with this sequence number that is nearest to the highest one (RFC 3711 3.3.1); of two as near, the one of
/// the same roll-over. None before the first roll-over counts; `None` if the nearest one is beyond the last.
fn nearest(highest: i128, seq: Seq) -> Option<i128> {
    let roc = highest >> 16;
    let of = |roc: i128| roc << 16 | i128::from(seq.0);
    let nearest =
        [roc, roc - 1, roc + 1].into_iter().filter(|roc| *roc >= 0).map(of).min_by_key(|index| (index - highest).abs());
    nearest.filter(|index| *index < RTP_INDICES)
}
