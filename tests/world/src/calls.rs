//! Whole calls in one line: caller, callee, transports, and whether audio flows in the end.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use trestle_peers::{Codec, Flavour, Meta, MetaOptions, Phone, PhoneOptions, Voice, ear};
use trestle_srtp::Profile;

use crate::actor::ActorId;
use crate::world::World;

/// What the WhatsApp user's voice sounds like in scenarios: a tone, so that it can be distinguished from anything else.
pub const CALLER_HZ: f64 = 1_000.0;
/// The agent's.
pub const AGENT_HZ: f64 = 440.0;

/// A call that has been signalled.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its call-id.
    pub id: String,
    /// WhatsApp's relay, or the phone that called ([`between_phones`]).
    pub meta: ActorId,
    /// The phone.
    pub phone: ActorId,
}

/// WhatsApp with DTLS-SRTP, and a caller who sings [`CALLER_HZ`].
pub fn meta() -> MetaOptions {
    meta_of(Flavour::WebRtc)
}

/// WhatsApp with keys from the SDP.
pub fn meta_sdes() -> MetaOptions {
    meta_of(Flavour::Sdes)
}

fn meta_of(flavour: Flavour) -> MetaOptions {
    MetaOptions {
        voice: Voice::Tone { hz: CALLER_HZ, peak: 8_000 },
        ..MetaOptions::new(addr("31.13.65.60:40012"), flavour)
    }
}

/// A plain PCMA phone, and an agent who sings [`AGENT_HZ`].
pub fn phone() -> PhoneOptions {
    PhoneOptions { voice: Voice::Tone { hz: AGENT_HZ, peak: 8_000 }, ..PhoneOptions::new(addr("198.51.100.20:30000")) }
}

/// A second phone, that sings [`CALLER_HZ`]: the caller where two phones talk.
pub fn caller() -> PhoneOptions {
    PhoneOptions {
        voice: Voice::Tone { hz: CALLER_HZ, peak: 8_000 },
        seed: 7,
        ..PhoneOptions::new(addr("198.51.100.10:20000"))
    }
}

/// The same phone with SRTP.
pub fn phone_sdes() -> PhoneOptions {
    PhoneOptions { suites: vec![Profile::AesCm128HmacSha1_80], ..phone() }
}

/// An address.
pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// WhatsApp calls; the phone answers at once.
pub fn user_initiated(world: &mut World, meta: MetaOptions, phone: PhoneOptions) -> Call {
    let to_phone = towards(&phone);
    let (meta, phone) = (Meta::new(world.now(), meta), Phone::new(world.now(), phone));
    let (meta, phone) = (world.add_meta(meta), world.add_phone(phone));
    let call = Call { id: format!("user-{}", world.elapsed_ms()), meta, phone };
    let now = world.now();
    let offer = world.meta(meta).offer(now).expect("Meta's offer");
    let to_phone = offer_sdp(world, &call.id, "meta", &offer, to_phone);
    let answer = world.phone(phone).answer(now, &to_phone).unwrap_or_else(|e| panic!("{e:?} in\n{to_phone}"));
    let to_meta = answer_sdp(world, &call.id, "meta", "phone", &answer);
    world.meta(meta).accept(now, &to_meta).unwrap_or_else(|e| panic!("{e:?} in\n{to_meta}"));
    call
}

/// The phone calls; WhatsApp answers at once.
pub fn business_initiated(world: &mut World, meta: MetaOptions, phone: PhoneOptions) -> Call {
    let to_meta = match meta.flavour {
        Flavour::WebRtc => json!({"profile": "whatsapp", "transport-protocol": "UDP/TLS/RTP/SAVPF"}),
        Flavour::Sdes => json!({"profile": "whatsapp", "transport-protocol": "RTP/SAVP"}),
    };
    let (meta, phone) = (Meta::new(world.now(), meta), Phone::new(world.now(), phone));
    let (meta, phone) = (world.add_meta(meta), world.add_phone(phone));
    let call = Call { id: format!("business-{}", world.elapsed_ms()), meta, phone };
    let now = world.now();
    let offer = world.phone(phone).offer();
    let to_meta = offer_sdp(world, &call.id, "phone", &offer, to_meta);
    let answer = world.meta(meta).answer(now, &to_meta).unwrap_or_else(|e| panic!("{e:?} in\n{to_meta}"));
    let to_phone = answer_sdp(world, &call.id, "phone", "meta", &answer);
    world.phone(phone).accept(now, &to_phone).unwrap_or_else(|e| panic!("{e:?} in\n{to_phone}"));
    call
}

/// One phone calls another.
pub fn between_phones(world: &mut World, caller: PhoneOptions, callee: PhoneOptions) -> Call {
    let mut to_callee = towards(&callee);
    // Between SIP peers nothing is transcoded unless the proxy asks for it.
    let codecs: Vec<&str> = callee.codecs.iter().map(|codec| codec_name(*codec)).collect();
    to_callee["codec"] = json!({ "transcode": codecs });
    let (caller, callee) = (Phone::new(world.now(), caller), Phone::new(world.now(), callee));
    let (caller, callee) = (world.add_phone(caller), world.add_phone(callee));
    let call = Call { id: format!("phones-{}", world.elapsed_ms()), meta: caller, phone: callee };
    let now = world.now();
    let offer = world.phone(caller).offer();
    let to_callee = offer_sdp(world, &call.id, "caller", &offer, to_callee);
    let answer = world.phone(callee).answer(now, &to_callee).unwrap_or_else(|e| panic!("{e:?} in\n{to_callee}"));
    let to_caller = answer_sdp(world, &call.id, "caller", "callee", &answer);
    world.phone(caller).accept(now, &to_caller).unwrap_or_else(|e| panic!("{e:?} in\n{to_caller}"));
    call
}

pub(crate) fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Pcma => "PCMA",
        Codec::Pcmu => "PCMU",
        Codec::Opus => "opus",
    }
}

/// What a proxy would say of the next hop.
pub(crate) fn towards(phone: &PhoneOptions) -> Value {
    let protocol = if phone.suites.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
    let family = if phone.rtp.is_ipv6() { "IP6" } else { "IP4" };
    let mux = if phone.rtcp_mux { "offer" } else { "demux" };
    json!({
        "ICE": "remove", "DTLS": "off", "transport-protocol": protocol, "address-family": family, "rtcp-mux": [mux],
    })
}

/// Sends an offer and gives the SDP for the other side.
pub fn offer_sdp(world: &mut World, call_id: &str, from: &str, sdp: &str, mut extra: Value) -> String {
    let request = extra.as_object_mut().expect("an object");
    request.insert("command".into(), "offer".into());
    request.insert("call-id".into(), call_id.into());
    request.insert("from-tag".into(), from.into());
    request.insert("sdp".into(), sdp.into());
    let reply = world.ng(&extra);
    sdp_of(&reply)
}

/// Sends an answer and gives the SDP for the offerer.
pub fn answer_sdp(world: &mut World, call_id: &str, from: &str, to: &str, sdp: &str) -> String {
    let reply = world.ng(&json!({"command": "answer", "call-id": call_id, "from-tag": from, "to-tag": to, "sdp": sdp}));
    sdp_of(&reply)
}

/// The SDP of a reply that must be good.
pub fn sdp_of(reply: &Value) -> String {
    assert_eq!(reply["result"], "ok", "{reply}");
    reply["sdp"].as_str().expect("an SDP").to_owned()
}

/// Asserts that a recording holds the tone `hz`, at the level of a voice.
pub fn assert_receives_tone(who: &str, received: &[i16], sample_hz: u32, hz: f64) {
    // The second that is judged lies at the end: set-up and digits come first.
    let second = &received[received.len().saturating_sub(sample_hz as usize)..];
    let level = ear::level_dbov(second);
    assert!(level > -30.0, "{who} receives {level:.0} dBov");
    let tone = ear::tone_hz(second, sample_hz);
    assert!(tone.is_some_and(|tone| (tone - hz).abs() < 8.0), "{who} receives {tone:?} Hz, not {hz}");
}

impl World {
    /// Asserts that audio flows both ways between WhatsApp and a phone.
    pub fn assert_audio_both_ways(&mut self, call: &Call) {
        let received = self.phone(call.phone).recording().to_vec();
        assert_receives_tone("the phone", &received, 8_000, CALLER_HZ);
        let received = self.meta(call.meta).recording().to_vec();
        assert_receives_tone("WhatsApp", &received, 16_000, AGENT_HZ);
    }

    /// The same for a call between two phones.
    pub fn assert_audio_between_phones(&mut self, call: &Call) {
        let received = self.phone(call.phone).recording().to_vec();
        assert_receives_tone("the callee", &received, 8_000, CALLER_HZ);
        let received = self.phone(call.meta).recording().to_vec();
        assert_receives_tone("the caller", &received, 8_000, AGENT_HZ);
    }

    /// Presses digits on the phone one after the other and waits until they are all sent.
    pub fn phone_presses(&mut self, call: &Call, digits: &str, ms: u64) {
        for digit in digits.chars() {
            self.phone(call.phone).press(digit, Duration::from_millis(ms));
            let phone = call.phone;
            assert!(self.run_until(ms + 2_000, |world| !world.phone(phone).is_pressing()), "{digit} is never sent");
            self.run_for_ms(100);
        }
    }

    /// The same on the WhatsApp side.
    pub fn whatsapp_presses(&mut self, call: &Call, digits: &str, ms: u64) {
        for digit in digits.chars() {
            self.meta(call.meta).press_for(digit, Duration::from_millis(ms));
            let meta = call.meta;
            assert!(self.run_until(ms + 2_000, |world| !world.meta(meta).is_pressing()), "{digit} is never sent");
            self.run_for_ms(100);
        }
    }
}
