//! Calls between headless Chromium and a phone, with Chromium's own SDP as it comes.

use serde_json::json;
use trestle_audio::listen;
use trestle_peers::Codec;
use trestle_srtp::Profile;

use crate::calls::{
    PHONE_HZ, Recipe, SipSide, WEBRTC_HZ, assert_phone_heard, assert_tone, phone_calls, press, wait_for_digits,
    webrtc_calls,
};
use crate::chromium::Chromium;
use crate::engine::{Encoding, Engine};
use crate::line::Line;

const CHROMIUM_PRESSES: &str = "147*";
const PHONE_PRESSES: &str = "2580#";

#[test]
fn chromium_calls_a_pcma_phone_with_sdes() {
    let mut engine = Engine::start(Encoding::Json);
    let mut chromium = Chromium::start(WEBRTC_HZ);
    let sip = SipSide { codec: Codec::Pcma, suite: Some(Profile::AesCm128HmacSha1_80) };
    let phone = webrtc_calls(&mut engine, &mut chromium, sip, Recipe::Profile("webrtc"));
    talk_and_judge(&mut chromium, &phone);
    engine.end();
}

#[test]
fn a_plain_pcmu_phone_calls_chromium() {
    let mut engine = Engine::start(Encoding::Json);
    let mut chromium = Chromium::start(WEBRTC_HZ);
    let sip = SipSide { codec: Codec::Pcmu, suite: None };
    let phone = phone_calls(&mut engine, &mut chromium, sip, Recipe::Profile("webrtc"));
    talk_and_judge(&mut chromium, &phone);
    engine.end();
}

fn talk_and_judge(chromium: &mut Chromium, phone: &Line) {
    chromium.step(json!({"do": "connect"}));
    wait_for_digits(phone, 0, 1_250);
    chromium.step(json!({"do": "listen", "ms": 2_000}));
    let before = chromium.recording();
    press(phone, PHONE_PRESSES);
    chromium.step(json!({"do": "press", "digits": CHROMIUM_PRESSES, "ms": 500}));
    wait_for_digits(phone, CHROMIUM_PRESSES.len(), 0);
    chromium.step(json!({"do": "listen", "ms": 1_000}));

    assert_phone_heard(phone, CHROMIUM_PRESSES);
    println!("Chromium: {}", chromium.step(json!({"do": "stats"})));
    let recording = chromium.recording();
    // Its jitter buffer settles in the first second.
    assert_tone("Chromium", &before[before.len().saturating_sub(8_000)..], PHONE_HZ);
    assert_eq!(digits_played(&recording), PHONE_PRESSES);
}

/// The digits that are audible in `pcm` at 8 kHz. Chromium plays telephone-events as tones.
fn digits_played(pcm: &[i16]) -> String {
    const WINDOW: usize = 160; // 20 ms
    let windows: Vec<Option<u8>> = pcm.chunks_exact(WINDOW).map(|window| listen::dtmf_event(window, 8_000)).collect();
    let runs = windows.chunk_by(|a, b| a == b).filter(|run| run.len() >= 2).filter_map(|run| run[0]);
    runs.map(|event| char::from(b"0123456789*#ABCD"[usize::from(event)])).collect()
}
