//! How a call is set up through Trestle, and what everybody has to hear in it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use trestle_peers::{Codec, Phone, PhoneOptions, Voice, ear};
use trestle_srtp::Profile;

use crate::engine::Engine;
use crate::line::Line;

/// What the WebRTC side says, and the SIP side has to hear.
pub(crate) const WEBRTC_HZ: f64 = 440.0;
/// What the SIP side says, and the WebRTC side has to hear.
pub(crate) const PHONE_HZ: f64 = 600.0;

/// A tone has to stand so far above everything else.
pub(crate) const SNR_DB: f64 = 15.0;

/// The WebRTC side of a call.
pub(crate) trait WebRtc {
    fn offer(&mut self) -> String;
    fn accept(&mut self, answer: &str);
    fn answer(&mut self, offer: &str) -> String;
}

/// How Trestle is told what each side is.
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
        Line::open(PhoneOptions {
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

/// Has the phone press `digits`, for 500 ms each.
pub(crate) fn press(phone: &Line, digits: &str) {
    phone.with(|phone, _| digits.chars().for_each(|digit| phone.press(digit, Duration::from_millis(500))));
}

/// Waits until the phone has heard `digits` to their ends, has itself pressed all of its own, and has heard `audio_ms`.
pub(crate) fn wait_for_digits(phone: &Line, digits: usize, audio_ms: usize) {
    phone.wait_until(&format!("{digits} digits and {audio_ms} ms of sound"), |phone| {
        let ended = phone.report().digits.iter().filter(|digit| digit.ends > 0).count();
        ended >= digits && !phone.is_pressing() && phone.heard().len() >= audio_ms * 8
    });
}

/// The phone heard the tone without a hole, and `digits` once each.
pub(crate) fn assert_phone_heard(phone: &Line, digits: &str) {
    phone.with(|phone, _| {
        let report = phone.report();
        println!("the phone: {report:?}");
        assert_eq!(report.digits_heard(), digits);
        for digit in &report.digits {
            assert_eq!((digit.markers, digit.ends), (1, 3), "{digit:?}");
        }
        assert_eq!(report.ssrcs.len(), 1, "one SSRC: {:?}", report.ssrcs);
        assert_eq!((report.lost, report.duplicates, report.reordered), (0, 0, 0), "a sequence without gap");
        assert_eq!((report.unknown_pt, report.undecodable, report.ptime_violations), (0, 0, 0), "as negotiated");
        assert_eq!((report.strays, report.auth_failures), (0, 0), "from Trestle, authentic");
        assert_tone("the phone", before_digits(phone), WEBRTC_HZ);
        assert_no_holes(phone);
    });
}

/// Each digit lasted as long as it was pressed.
pub(crate) fn assert_durations_at_phone(phone: &Line, pressed_ms: f64) {
    phone.with(|phone, _| {
        for digit in &phone.report().digits {
            assert!((digit.duration_ms - pressed_ms).abs() <= 20.0, "pressed for {pressed_ms} ms: {digit:?}");
        }
    });
}

/// How far what the phone received fell behind the wall clock, from its first second to its last: the least late packet
/// of each, as a packet can be held up by the machine, but never be sent before its time.
pub(crate) fn drift_ms(phone: &Line) -> f64 {
    let least = |late: &[f64]| late.iter().copied().fold(f64::INFINITY, f64::min);
    phone.with(|phone, _| {
        let late: Vec<f64> = phone.arrivals().iter().map(|arrival| arrival.late_ms).collect();
        assert!(late.len() >= 100, "too short to tell: {} packets", late.len());
        least(&late[late.len() - 50..]) - least(&late[..50])
    })
}

/// A tone of `hz` stands out of `pcm` at 8 kHz.
pub(crate) fn assert_tone(who: &str, pcm: &[i16], hz: f64) {
    assert!(pcm.len() >= 4_000, "{who} heard no more than {} ms", pcm.len() / 8);
    let tone = ear::dominant_tone(pcm, 8_000);
    let snr_db = tone.map(|tone| 10.0 * (tone.share / (1.0 - tone.share).max(1e-9)).log10());
    println!("{who} hears {tone:?}, SNR {snr_db:.1?} dB");
    assert!(tone.is_some_and(|tone| (tone.hz - hz).abs() < 3.0), "{who} hears {tone:?}, not {hz} Hz");
    assert!(snr_db.is_some_and(|snr_db| snr_db > SNR_DB), "{who} hears the tone at {snr_db:?} dB");
}

/// What was heard up to the first digit, without the first 200 ms, in whole seconds if there is one.
fn before_digits(phone: &Phone) -> &[i16] {
    let heard = phone.heard();
    let since = phone.heard_since().expect("something was heard");
    let first = phone.report().digits.first().map(|digit| digit.at.saturating_duration_since(since));
    let end = first.map_or(heard.len(), |first| (first.as_millis() as usize * 8).saturating_sub(800)).min(heard.len());
    let start = end.min(1_600);
    let len = end - start;
    &heard[start..start + if len > 8_000 { len / 8_000 * 8_000 } else { len }]
}

/// Nothing is silent but the time of a digit.
fn assert_no_holes(phone: &Phone) {
    const MARGIN_MS: f64 = 60.0;
    let since = phone.heard_since().expect("something was heard");
    for (start_ms, len_ms) in ear::silences(phone.heard(), 8_000, -40.0, 20) {
        let (start_ms, end_ms) = (f64::from(start_ms), f64::from(start_ms + len_ms));
        let excused = phone.report().digits.iter().any(|digit| {
            let at_ms = digit.at.saturating_duration_since(since).as_secs_f64() * 1_000.0;
            start_ms > at_ms - MARGIN_MS && end_ms < at_ms + digit.duration_ms + MARGIN_MS
        });
        assert!(excused || start_ms == 0.0 && len_ms <= 40, "silence from {start_ms} to {end_ms} ms");
    }
}
