//! Whatever happens behind it, WhatsApp gets one stream: one SSRC, number after number, timestamps on one line, never a gap.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use trestle_peers::{Codec, Flavour, MetaOptions, Phone, PhoneOptions, Voice};
use trestle_srtp::Profile;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp;
use trestle_world::calls::{self, Call};
use trestle_world::{ActorId, Link, World};

/// The longest time WhatsApp may be without a packet.
const GAP_MAX: Duration = Duration::from_millis(40);

/// What can happen to the SIP side of a call.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// The phone puts the call on hold and plays music.
    HoldWithMusic,
    /// It puts it on hold and falls silent, with `a=inactive`.
    HoldInactive,
    /// The old way: `c=0.0.0.0`.
    HoldNowhere,
    Resume,
    /// It re-offers another address.
    Move,
    /// Its stream begins anew, with another SSRC.
    NewSsrc,
    /// It re-offers another codec.
    NewCodec(Codec),
    /// It is gone without a word...
    Vanish,
    /// ...and back.
    Return,
    /// Another phone takes the call over.
    Transfer,
}

const TURNS: [Turn; 12] = [
    Turn::HoldWithMusic,
    Turn::HoldInactive,
    Turn::HoldNowhere,
    Turn::Resume,
    Turn::Move,
    Turn::NewSsrc,
    Turn::NewCodec(Codec::Pcma),
    Turn::NewCodec(Codec::Pcmu),
    Turn::NewCodec(Codec::Opus),
    Turn::Vanish,
    Turn::Return,
    Turn::Transfer,
];

/// A call whose SIP side keeps changing.
struct Restless {
    world: World,
    call: Call,
    /// The phone that has the call, and its tag.
    phone: ActorId,
    tag: String,
    phones: u16,
}

impl Restless {
    fn new(seed: u64, flavour: Flavour, phone: PhoneOptions) -> Self {
        let mut world = World::new(seed);
        world.capture();
        let quiet = MetaOptions { voice: Voice::Silence, ..calls::meta() };
        let meta = match flavour {
            Flavour::WebRtc => quiet,
            Flavour::Sdes => MetaOptions { voice: Voice::Silence, ..calls::meta_sdes() },
        };
        let call = calls::user_initiated(&mut world, meta, phone);
        let phone = call.phone;
        Self { world, call, phone, tag: "phone".to_owned(), phones: 0 }
    }

    fn take(&mut self, turn: Turn) {
        let phone = self.phone;
        match turn {
            Turn::HoldWithMusic => {
                self.world.phone(phone).set_hold(true);
                self.re_offer("", "");
            }
            Turn::HoldInactive => {
                self.world.phone(phone).set_hold(true);
                self.re_offer("a=sendonly", "a=inactive");
                self.world.phone(phone).set_silent(true);
            }
            Turn::HoldNowhere => {
                let own = self.world.phone(phone).locals()[0].ip();
                self.re_offer(&format!("c=IN IP4 {own}"), "c=IN IP4 0.0.0.0");
                self.world.phone(phone).set_silent(true);
            }
            Turn::Resume => {
                self.world.phone(phone).set_hold(false);
                self.world.phone(phone).set_silent(false);
                self.re_offer("", "");
            }
            Turn::Move => {
                let rtp = self.world.phone(phone).locals()[0];
                self.world.phone(phone).move_to((rtp.ip(), rtp.port() + 10).into());
                self.re_offer("", "");
            }
            Turn::NewSsrc => self.world.phone(phone).change_ssrc(),
            Turn::NewCodec(codec) => {
                self.world.phone(phone).set_codecs(vec![codec]);
                self.re_offer("", "");
            }
            Turn::Vanish => self.world.phone(phone).set_silent(true),
            Turn::Return => self.world.phone(phone).set_silent(false),
            Turn::Transfer => self.transfer(),
        }
    }

    /// The phone offers anew; the proxy answers for WhatsApp with its last SDP.
    fn re_offer(&mut self, from: &str, to: &str) {
        let offer = self.world.phone(self.phone).offer();
        let offer = if from.is_empty() { offer } else { offer.replace(from, to) };
        calls::offer_sdp(&mut self.world, &self.call.id, &self.tag, &offer, json!({"to-tag": "meta"}));
        let meta = self.world.signalled[&(self.call.id.clone(), "meta".to_owned())].clone();
        let written = calls::answer_sdp(&mut self.world, &self.call.id, &self.tag, "meta", &meta);
        let now = self.world.now();
        self.world.phone(self.phone).accept(now, &written).unwrap_or_else(|error| panic!("{error} in\n{written}"));
    }

    fn transfer(&mut self) {
        self.phones += 1;
        let tag = format!("agent{}", self.phones);
        let codecs = vec![[Codec::Pcma, Codec::Pcmu][usize::from(self.phones % 2)]];
        let rtp = calls::addr(&format!("198.51.100.{}:34000", 30 + self.phones));
        let options = PhoneOptions { codecs, seed: 9 + u64::from(self.phones), ..PhoneOptions::new(rtp) };
        let next = Phone::new(self.world.now(), options);
        let next = self.world.add_phone(next);
        let ng = |world: &mut World, request: Value| {
            let reply = world.ng(&request);
            assert_eq!(reply["result"], "ok", "{request}: {reply}");
            reply
        };
        let id = self.call.id.clone();
        let offer = calls::sdp_of(&ng(&mut self.world, json!({"command": "create", "call-id": id, "from-tag": tag})));
        let now = self.world.now();
        let answer = self.world.phone(next).answer(now, &offer).unwrap_or_else(|e| panic!("{e:?} in\n{offer}"));
        ng(&mut self.world, json!({"command": "create answer", "call-id": id, "from-tag": tag, "sdp": answer}));
        ng(&mut self.world, json!({"command": "connect", "call-id": id, "from-tag": "meta", "to-tag": tag}));
        self.world.phone(self.phone).set_silent(true);
        (self.phone, self.tag) = (next, tag);
    }

    /// When each packet of media left for WhatsApp, and its header.
    fn stream(&self) -> Vec<(Instant, rtp::Header)> {
        let to_meta = |to: std::net::SocketAddr| to == calls::meta().locals[0];
        let media = self
            .world
            .captured()
            .iter()
            .filter(|(_, d)| to_meta(d.to) && DatagramKind::of(&d.bytes) == Some(DatagramKind::Rtp));
        media.map(|(at, datagram)| (*at, rtp::RtpPacket::parse(&datagram.bytes).expect("RTP").header)).collect()
    }

    /// One stream on one line, up to this moment.
    fn assert_immortal(&mut self, story: &str) {
        let written = self.world.ng(&json!({"command": "query", "call-id": self.call.id, "flags": ["verbose"]}));
        let discards = |tag: &str| written["tags"][tag]["leg"]["discards"].to_string();
        let story = &format!("{story} (from the phone discarded: {})", discards(&self.tag));
        let stream = self.stream();
        let (began, first) = *stream.first().expect("media");
        for pair in stream.windows(2) {
            let ((before_at, before), (at, header)) = (pair[0], pair[1]);
            let when = at - began;
            assert_eq!(header.ssrc, first.ssrc, "{story}: another SSRC {when:?} in");
            assert_eq!(header.seq.0, before.seq.0.wrapping_add(1), "{story}: a jump of numbers {when:?} in");
            assert!(at - before_at <= GAP_MAX, "{story}: a gap of {:?} {when:?} in", at - before_at);
            assert!(before.time.distance_to(header.time) > 0, "{story}: the timestamp does not advance {when:?} in");
            let off_ms = f64::from(first.time.distance_to(header.time)) / 48.0 - when.as_secs_f64() * 1_000.0;
            assert!(off_ms.abs() <= 60.0, "{story}: timestamps are {off_ms:.0} ms off the line {when:?} in");
        }
        let until_now = self.world.now() - stream.last().expect("media").0;
        assert!(until_now <= GAP_MAX, "{story}: nothing for {until_now:?}");
        let report = self.world.meta(self.call.meta).report().stream;
        let faults = (report.lost, report.duplicates, report.unknown_pt, report.ptime_violations, report.undecodable);
        assert_eq!(faults, (0, 0, 0, 0, 0), "{story}: {report:?}");
        assert_eq!((report.auth_failures, report.strays), (0, 0), "{story}: {report:?}");
    }
}

/// Random turns, one after another, each at a random time after the one before.
fn survives(seed: u64, sequences: u64) {
    println!("seed {seed}");
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |n: u64| (u64::from(dice.next_u32()) * n) >> 32;
    for sequence in 0..sequences {
        let codec = [Codec::Pcma, Codec::Pcmu, Codec::Opus][below(3) as usize];
        let suites = if below(2) == 0 { vec![] } else { vec![Profile::AesCm128HmacSha1_80] };
        let flavour = if below(4) == 0 { Flavour::Sdes } else { Flavour::WebRtc };
        let phone = PhoneOptions { codecs: vec![codec], suites, ..calls::phone() };
        let mut story = format!("seed {seed}, sequence {sequence}: {codec:?}");
        let mut restless = Restless::new(seed * 10_000 + sequence, flavour, phone);
        restless.world.run_for_ms(600 + below(400));
        for _ in 0..2 + below(4) {
            let turn = TURNS[below(TURNS.len() as u64) as usize];
            story += &format!(", {turn:?}");
            restless.take(turn);
            restless.world.run_for_ms(20 + below(500));
        }
        restless.assert_immortal(&story);
    }
}

#[test]
fn sequences_1_to_250_of_hold_transfer_and_re_invite_are_one_stream() {
    survives(81, 250);
}

#[test]
fn sequences_251_to_500_of_hold_transfer_and_re_invite_are_one_stream() {
    survives(82, 250);
}

#[test]
fn sequences_501_to_750_of_hold_transfer_and_re_invite_are_one_stream() {
    survives(83, 250);
}

#[test]
fn sequences_751_to_1000_of_hold_transfer_and_re_invite_are_one_stream() {
    survives(84, 250);
}

#[test]
fn a_phone_without_media_leaves_whatsapp_with_comfort_noise() {
    let silent = PhoneOptions { silent: true, ..calls::phone() };
    let mut restless = Restless::new(811, Flavour::WebRtc, silent);
    restless.world.run_for_ms(40_000);
    restless.assert_immortal("silent phone");
    let report = restless.world.meta(restless.call.meta).report().stream;
    assert!(report.packets > 1_950, "{report:?}");
    // Every 2 to 5 s, once the first has come.
    assert!((8..=16).contains(&report.sender_reports), "{} sender reports in 40 s", report.sender_reports);
}

#[test]
fn a_phone_that_pauses_without_moving_its_timestamps_loses_nothing_to_the_filler() {
    for pause_ms in [100, 150, 400, 1_500] {
        let phone = PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() };
        let mut restless = Restless::new(814, Flavour::WebRtc, phone);
        restless.world.run_for_ms(1_500);
        for _ in 0..10 {
            restless.world.phone(restless.phone).pause(Duration::from_millis(pause_ms));
            restless.world.run_for_ms(pause_ms + 1_200);
        }
        restless.assert_immortal(&format!("{pause_ms} ms"));
        let lost = restless.world.totals().discards.get(trestle_core::Discard::Late);
        assert_eq!(lost, 0, "{pause_ms} ms");
    }
}

#[test]
fn a_long_hold_sends_whatsapp_the_filler_that_was_asked_for() {
    for (filler, at_least_dbov, at_most_dbov) in
        [("silence", f64::NEG_INFINITY, -75.0), ("comfort-noise", -75.0, -55.0), ("hold-tone", -50.0, -20.0)]
    {
        let mut world = World::new(812);
        let meta = trestle_peers::Meta::new(world.now(), calls::meta());
        let phone = Phone::new(world.now(), calls::phone());
        let call = Call { id: filler.to_owned(), meta: world.add_meta(meta), phone: world.add_phone(phone) };
        let now = world.now();
        let offer = world.meta(call.meta).offer(now).expect("an offer");
        let more = json!({"ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/AVP", "filler": filler});
        let written = calls::offer_sdp(&mut world, &call.id, "meta", &offer, more);
        let answer = world.phone(call.phone).answer(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
        let written = calls::answer_sdp(&mut world, &call.id, "meta", "phone", &answer);
        world.meta(call.meta).accept(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
        world.run_for_ms(2_000);
        world.phone(call.phone).set_silent(true);
        world.run_for_ms(6_000);
        let received = world.meta(call.meta).recording();
        let level = trestle_peers::ear::level_dbov(&received[received.len() - 5 * 16_000..]);
        assert!((at_least_dbov..=at_most_dbov).contains(&level), "{filler}: {level:.0} dBov");
    }
}

#[test]
fn a_jittery_phone_that_is_forwarded_keeps_whatsapps_timestamps_on_wall_time() {
    for jitter_ms in [30, 45, 80, 120] {
        let phone = PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() };
        let mut restless = Restless::new(813, Flavour::WebRtc, phone);
        restless.world.run_for_ms(1_000);
        restless.world.set_link("198.51.100.20".parse().expect("an address"), Link::CLEAN.jittery(jitter_ms));
        // The path shows what it is like.
        restless.world.run_for_ms(5_000);
        let before = restless.world.meta(restless.call.meta).packets_received();
        restless.world.run_for_ms(30_000);
        let got = restless.world.meta(restless.call.meta).packets_received() - before;
        let report = restless.world.meta(restless.call.meta).report().stream;
        println!("jitter {jitter_ms} ms: {got} of 1,500 packets, {:.0} ms off", report.drift_ms);
        assert!((1_470..=1_530).contains(&got), "{jitter_ms} ms: {got} packets in 30 s");
        let most = 60.0 + jitter_ms as f64;
        assert!(report.max_drift_ms.abs() <= most, "{jitter_ms} ms: {report:?}");
        assert_eq!((report.ssrcs.len(), report.duplicates), (1, 0), "{jitter_ms} ms: {report:?}");
    }
}
