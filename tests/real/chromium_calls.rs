//! Calls between headless Chromium and a phone, with Chromium's own SDP as it comes.

use std::ops::RangeInclusive;

use serde_json::json;
use trestle_peers::Codec;
use trestle_srtp::Profile;

use crate::calls::{PHONE_HZ, Recipe, SipSide, WEBRTC_HZ, fairly, phone_calls, press, wait_for_digits, webrtc_calls};
use crate::chromium::Chromium;
use crate::engine::{Encoding, Engine};
use crate::line::Line;
use crate::received::{PhoneHeard, assert_tone, digits_played};

const CHROMIUM_PRESSES: &str = "147*";
const PHONE_PRESSES: &str = "2580#";
/// Chromium reads durations in the audio's clock, 48 kHz, whatever the clock of the events. With events at 8 kHz it thus
/// plays some 100 ms of this press, and may go on in crumbs while it lasts.
const PRESS_MS: u64 = 500;

/// Of Chromium's own digits: it counts 500 ms in ticks of 8 kHz and sends in ticks of 48 kHz, so that they last 100 ms.
const CHROMIUM_DIGIT_MS: RangeInclusive<f64> = 40.0..=520.0;

/// Silence that is forgiven: Chromium may take 60 ms after each of its digits until it speaks again, and a machine with
/// other work may stall it.
const SILENCE_MS_MAX: u32 = 500;

#[test]
fn chromium_calls_a_pcma_phone_with_sdes() {
    let sip = SipSide { codec: Codec::Pcma, suite: Some(Profile::AesCm128HmacSha1_80) };
    call(sip, webrtc_calls);
}

#[test]
fn a_plain_pcmu_phone_calls_chromium() {
    let sip = SipSide { codec: Codec::Pcmu, suite: None };
    call(sip, phone_calls);
}

fn call(sip: SipSide, set_up: fn(&mut Engine, &mut Chromium, SipSide, Recipe) -> Line) {
    let hold = || {
        let mut engine = Engine::start(Encoding::Json);
        let mut chromium = Chromium::start(WEBRTC_HZ);
        let phone = set_up(&mut engine, &mut chromium, sip, Recipe::Profile("webrtc"));
        chromium.step(json!({"do": "connect"}));
        wait_for_digits(&phone, 0, 1_250);
        chromium.step(json!({"do": "listen", "ms": 2_500}));
        press(&phone, PHONE_PRESSES, PRESS_MS);
        chromium.step(json!({"do": "press", "digits": CHROMIUM_PRESSES, "ms": PRESS_MS}));
        wait_for_digits(&phone, CHROMIUM_PRESSES.len(), 0);
        chromium.step(json!({"do": "listen", "ms": 1_000}));
        let (by_phone, stall) = (PhoneHeard::so_far(&phone), phone.worst_stall());
        println!("Chromium: {}", chromium.step(json!({"do": "stats"})));
        let by_chromium = chromium.recording();
        engine.end();
        ((by_phone, by_chromium), stall)
    };
    fairly(hold, |(by_phone, by_chromium)| {
        by_phone.assert(CHROMIUM_PRESSES, CHROMIUM_DIGIT_MS, SILENCE_MS_MAX);
        assert_tone("Chromium", by_chromium, PHONE_HZ);
        assert_eq!(digits_played(by_chromium, PRESS_MS), PHONE_PRESSES);
    });
}
