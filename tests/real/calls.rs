//! How a call is set up through Trestle, and what everybody has to hear in it.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Value, json};
use trestle_peers::{Codec, PhoneOptions, Voice};
use trestle_srtp::Profile;

use crate::engine::Engine;
use crate::line::{self, Line};

/// The tone of the WebRTC side, which the SIP side has to receive.
pub(crate) const WEBRTC_HZ: f64 = 440.0;
/// The tone of the SIP side, which the WebRTC side has to receive.
pub(crate) const PHONE_HZ: f64 = 600.0;

/// The WebRTC side of a call.
pub(crate) trait WebRtc {
    fn offer(&mut self) -> String;
    fn accept(&mut self, answer: &str);
    fn answer(&mut self, offer: &str) -> String;
}

/// The offer's keys that describe each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// Every step spelt out, as a proxy does it that was written for rtpengine.
    Rtpengine,
    /// `profile` of the side that receives the SDP, and no more.
    Profile(&'static str),
}

/// The SIP side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SipSide {
    pub(crate) codec: Codec,
    pub(crate) suite: Option<Profile>,
}

impl SipSide {
    pub(crate) fn open(self, engine: &Engine) -> Line {
        let rtp = SocketAddr::new(IpAddr::V4(engine.address(3)), 4_000);
        line::open(PhoneOptions {
            codecs: vec![self.codec],
            suites: self.suite.into_iter().collect(),
            voice: Voice::Tone { hz: PHONE_HZ, peak: 10_000 },
            ..PhoneOptions::new(rtp)
        })
    }

    fn protocol(self) -> &'static str {
        if self.suite.is_some() { "RTP/SAVP" } else { "RTP/AVP" }
    }

    fn name(self) -> &'static str {
        match self.codec {
            Codec::Pcma => "PCMA",
            Codec::Pcmu => "PCMU",
            Codec::Opus => "opus",
        }
    }

    /// For SDP on its way to the phone.
    fn flags(self, recipe: Recipe) -> Value {
        let mut flags = json!({"transport-protocol": self.protocol(), "replace": ["origin"]});
        match recipe {
            Recipe::Rtpengine => {
                flags["ICE"] = json!("remove");
                flags["DTLS"] = json!("off");
                flags["rtcp-mux"] = json!(["demux"]);
            }
            Recipe::Profile(_) => flags["profile"] = json!("sip"),
        }
        flags
    }
}

/// For SDP on its way to the WebRTC side.
fn webrtc_flags(recipe: Recipe) -> Value {
    match recipe {
        Recipe::Rtpengine => {
            json!({"ICE": "force", "transport-protocol": "UDP/TLS/RTP/SAVPF", "SDES": ["off"], "replace": ["origin"],
                   "rtcp-mux": ["offer", "require"], "flags": ["generate-mid"]})
        }
        Recipe::Profile(profile) => json!({"profile": profile}),
    }
}

/// The WebRTC side calls the phone.
pub(crate) fn webrtc_calls(engine: &mut Engine, webrtc: &mut impl WebRtc, sip: SipSide, recipe: Recipe) -> Line {
    let phone = sip.open(engine);
    let mut flags = sip.flags(recipe);
    if sip.codec != Codec::Opus {
        flags["codec"] = json!({"mask": ["opus"], "transcode": [sip.name()]});
    }
    let offer = webrtc.offer();
    let offered = engine.signal("offer", &offer, flags);
    println!("{offer}\n-> {offered}");
    let answer = phone.with(|phone, now| phone.answer(now, &offered));
    let answer = answer.unwrap_or_else(|error| panic!("the phone takes no such offer: {error}\n{offered}"));
    let answered = engine.signal("answer", &answer, webrtc_flags(recipe));
    println!("{answer}\n-> {answered}");
    webrtc.accept(&answered);
    phone
}

/// The phone calls the WebRTC side.
pub(crate) fn phone_calls(engine: &mut Engine, webrtc: &mut impl WebRtc, sip: SipSide, recipe: Recipe) -> Line {
    let phone = sip.open(engine);
    let mut flags = webrtc_flags(recipe);
    if sip.codec != Codec::Opus {
        flags["codec"] = json!({"mask": ["all"], "transcode": ["opus", "telephone-event"]});
    }
    let offer = phone.with(|phone, _| phone.offer());
    let offered = engine.signal("offer", &offer, flags);
    println!("{offer}\n-> {offered}");
    let answer = webrtc.answer(&offered);
    let answered = engine.signal("answer", &answer, sip.flags(recipe));
    println!("{answer}\n-> {answered}");
    let accepted = phone.with(|phone, now| phone.accept(now, &answered));
    accepted.unwrap_or_else(|error| panic!("the phone takes no such answer: {error}\n{answered}"));
    phone
}

/// Has the phone press `digits`, each for so long.
pub(crate) fn press(phone: &Line, digits: &str, ms: u64) {
    phone.with(|phone, _| digits.chars().for_each(|digit| phone.press(digit, Duration::from_millis(ms))));
}

/// Waits until the phone has received `digits` to their ends, has sent all of its own, and has received `audio_ms`.
pub(crate) fn wait_for_digits(phone: &Line, digits: usize, audio_ms: usize) {
    phone.wait_until(&format!("{digits} digits and {audio_ms} ms of sound"), |phone| {
        let ended = phone.report().digits.iter().filter(|digit| digit.ends >= 3).count();
        ended >= digits && !phone.is_pressing() && phone.recording().len() >= audio_ms * 8
    });
}

/// Makes a call and checks the audio received in it. A failure counts only if the machine kept up: a call that lost
/// the processor in between is made again, three times at most. With the audio, `hold` returns the worst stall.
pub(crate) fn fairly<T>(hold: impl Fn() -> (T, Duration), judge: impl Fn(&T)) {
    const STALL_MAX: Duration = Duration::from_millis(20);
    const CALLS_MAX: u32 = 3;
    for call in 1..=CALLS_MAX {
        let (received, stall) = hold();
        println!("call {call}: the machine stalled for {stall:?} at worst");
        if stall < STALL_MAX || call == CALLS_MAX {
            return judge(&received);
        }
        if catch_unwind(AssertUnwindSafe(|| judge(&received))).is_ok() {
            return;
        }
    }
}
