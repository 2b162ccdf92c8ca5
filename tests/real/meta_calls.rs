//! Calls with the ICE-lite peer, as WhatsApp's users and businesses make them.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};
use trestle_peers::Codec;
use trestle_srtp::Profile;

use crate::calls::{PHONE_HZ, Recipe, SipSide, WEBRTC_HZ, fairly, phone_calls, press, wait_for_digits, webrtc_calls};
use crate::engine::{Encoding, Engine};
use crate::line::Line;
use crate::meta::Meta;
use crate::received::{PhoneHeard, SNR_DB};

const PLAIN_PCMA: SipSide = SipSide { codec: Codec::Pcma, suite: None };
const SDES_PCMU: SipSide = SipSide { codec: Codec::Pcmu, suite: Some(Profile::AesCm128HmacSha1_80) };
const PLAIN_OPUS: SipSide = SipSide { codec: Codec::Opus, suite: None };

/// Of a digit pressed for 500 ms.
const DIGIT_MS: RangeInclusive<f64> = 480.0..=520.0;

/// Silence that is forgiven in a call: a machine with other work may stall one of the peers.
const SILENCE_MS_MAX: u32 = 100;

/// What either side presses if the test is not about digits.
const USER_PRESSES: &str = "159#";
const PHONE_PRESSES: &str = "0*73";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    User,
    Business,
}

#[test]
fn a_user_calls_a_plain_pcma_phone() {
    short_call(Caller::User, PLAIN_PCMA, Recipe::Rtpengine, Encoding::Json);
}

#[test]
fn a_user_calls_a_pcmu_phone_with_sdes() {
    short_call(Caller::User, SDES_PCMU, Recipe::Rtpengine, Encoding::Bencode);
}

#[test]
fn a_user_calls_an_opus_phone() {
    short_call(Caller::User, PLAIN_OPUS, Recipe::Profile("whatsapp"), Encoding::Json);
}

#[test]
fn a_plain_pcma_phone_calls_a_user() {
    short_call(Caller::Business, PLAIN_PCMA, Recipe::Profile("whatsapp"), Encoding::Json);
}

#[test]
fn a_pcmu_phone_with_sdes_calls_a_user() {
    short_call(Caller::Business, SDES_PCMU, Recipe::Rtpengine, Encoding::Bencode);
}

#[test]
fn an_opus_phone_calls_a_user() {
    short_call(Caller::Business, PLAIN_OPUS, Recipe::Rtpengine, Encoding::Json);
}

#[test]
fn after_twelve_digits_and_twenty_seconds_both_sides_keep_time() {
    const ALL: &str = "0123456789*#";
    let connect = || Call::connect(Caller::User, PLAIN_PCMA, Recipe::Rtpengine, Encoding::Json);
    fairly(
        || connect().hold(ALL, ALL, 20_000),
        |received| {
            received.assert(ALL, ALL);
            received.assert_time_kept();
        },
    );
}

fn short_call(caller: Caller, sip: SipSide, recipe: Recipe, encoding: Encoding) {
    let connect = || Call::connect(caller, sip, recipe, encoding);
    fairly(
        || connect().hold(USER_PRESSES, PHONE_PRESSES, 1_500),
        |received| received.assert(USER_PRESSES, PHONE_PRESSES),
    );
}

/// A call between the ICE-lite peer and the phone.
struct Call {
    engine: Engine,
    meta: Meta,
    phone: Line,
}

impl Call {
    fn connect(caller: Caller, sip: SipSide, recipe: Recipe, encoding: Encoding) -> Self {
        let mut engine = Engine::start(encoding);
        // What is judged here is the plain bridge; `gate_calls` has calls that catch up with what was kept.
        engine.always = json!({"pre-roll": 0});
        let mut meta = Meta::start(engine.address(2), WEBRTC_HZ);
        let phone = match caller {
            Caller::User => webrtc_calls(&mut engine, &mut meta, sip, recipe),
            Caller::Business => phone_calls(&mut engine, &mut meta, sip, recipe),
        };
        let connected = meta.ask(json!({"do": "connect"}));
        println!("connected: {connected}");
        // Trestle is the DTLS client where Meta leaves the choice, and the server where Meta's answer is active.
        print_time_to_voice(&engine.timeline());
        assert_eq!(connected["dtls_role"], if caller == Caller::User { "server" } else { "client" });
        Self { engine, meta, phone }
    }

    /// Both sides talk, press, and talk on until each has received `audio_ms` beside the digits; then they hang up. With what
    /// they received comes the worst stall of the machine.
    fn hold(mut self, user_presses: &str, phone_presses: &str, audio_ms: usize) -> (ReceivedPacket, Duration) {
        self.meta.ask(json!({"do": "talk"}));
        self.meta.ask(json!({"do": "listen", "digits": 0, "audio_ms": 1_250}));
        wait_for_digits(&self.phone, 0, 1_250);
        self.meta.ask(json!({"do": "press", "digits": user_presses}));
        press(&self.phone, phone_presses, 500);
        wait_for_digits(&self.phone, user_presses.len(), audio_ms + 500 * user_presses.len());
        self.meta.ask(json!({"do": "listen", "digits": phone_presses.len(), "audio_ms": audio_ms}));
        let (by_phone, stall) = (PhoneHeard::so_far(&self.phone), self.phone.worst_stall());
        let by_user = self.meta.ask(json!({"do": "report"}));
        self.engine.end();
        let stall = stall.max(Duration::from_secs_f64(by_user["stall_s"].as_f64().unwrap()));
        (ReceivedPacket { by_user, by_phone }, stall)
    }
}

/// Prints the stages of the set-up. How long they take on this machine is no claim; that they come is one.
fn print_time_to_voice(timeline: &Value) {
    let at = |milestone: &str| {
        let ms = timeline[milestone].as_u64();
        ms.unwrap_or_else(|| panic!("no {milestone} in {timeline}"))
    };
    let (known, ice, dtls) = (at("remote-known"), at("ice-connected"), at("dtls-connected"));
    println!(
        "time to voice: ICE {} ms after the peer's description, DTLS {} ms after ICE",
        ice - known,
        dtls.saturating_sub(ice)
    );
}

/// What came of a call.
struct ReceivedPacket {
    /// The ICE-lite peer's report.
    by_user: Value,
    by_phone: PhoneHeard,
}

impl ReceivedPacket {
    fn assert(&self, user_pressed: &str, phone_pressed: &str) {
        let report = &self.by_user;
        println!("the user: {report}");
        self.by_phone.assert(user_pressed, DIGIT_MS, SILENCE_MS_MAX);
        assert_user_received(&report["stream"], phone_pressed);
        assert_kept_to_ice(&report["ice"]);
        assert_eq!(report["sdp_faults"], json!([]));
        assert_eq!(report["unauthenticated"], 0, "SRTP that does not authenticate");
        assert_eq!(report["stream"]["ssrcs"], json!([report["ssrc_signalled"]]), "one SSRC, and that of a=ssrc");
    }
    /// Neither stream, nor the digits and sender reports in the user's, left the wall clock.
    fn assert_time_kept(&self) {
        let stream = &self.by_user["stream"];
        let (at_user_ms, at_phone_ms) = (stream["drift_ms"].as_f64().unwrap(), self.by_phone.drift_ms());
        println!("behind the wall clock: {at_user_ms:.2} ms at the user, {at_phone_ms:.2} ms at the phone");
        assert!(at_user_ms.abs() < 20.0 && at_phone_ms.abs() < 20.0);
        for digit in stream["digits"].as_array().unwrap() {
            assert!(digit["late_ms"].as_f64().unwrap().abs() < 100.0, "an event off the line of the audio: {digit}");
        }
        assert!(stream["sender_reports"].as_u64() > Some(0) && stream["report_blocks"].as_u64() > Some(0));
        assert!(stream["sr_off_line_ms"].as_f64().unwrap().abs() < 100.0, "a sender report off the line: {stream}");
        assert_eq!(stream["reported_lost"], 0);
    }
}

fn assert_user_received(stream: &Value, digits: &str) {
    let received: Vec<&Value> = stream["digits"].as_array().unwrap().iter().collect();
    let word: String = received.iter().map(|digit| digit["digit"].as_str().unwrap()).collect();
    assert_eq!(word, digits);
    for digit in received {
        assert_eq!((&digit["markers"], &digit["ends"]), (&json!(1), &json!(3)), "{digit}");
        let duration_ms = digit["duration_ms"].as_f64().unwrap();
        assert!(DIGIT_MS.contains(&duration_ms), "not of {DIGIT_MS:?} ms: {digit}");
    }
    let wrong = ["lost", "duplicates", "reordered", "unknown_pt", "undecodable", "malformed", "ptime_violations"];
    for fault in wrong {
        assert_eq!(stream[fault], 0, "{fault}");
    }
    assert!(stream["quiet_ms"].as_u64() <= Some(SILENCE_MS_MAX.into()), "{} ms of silence", stream["quiet_ms"]);
    let (hz, snr_db) = (stream["tone"]["hz"].as_f64().unwrap(), stream["tone"]["snr_db"].as_f64().unwrap());
    assert!((hz - PHONE_HZ).abs() < 3.0 && snr_db > SNR_DB, "the user receives {}", stream["tone"]);
}

/// RFC 8445 towards an ICE-lite agent, and RFC 7675.
fn assert_kept_to_ice(ice: &Value) {
    assert_eq!(ice["regular_nomination"], true, "USE-CANDIDATE on the first check is aggressive");
    let wrong = [
        "not_controlling",
        "switches",
        "bad_integrity",
        "bad_username",
        "no_fingerprint",
        "no_priority",
        "media_before_nomination",
        "strays",
    ];
    for fault in wrong {
        assert_eq!(ice[fault], 0, "{fault}");
    }
    assert!(ice["longest_check_gap_ms"].as_f64() < Some(6_000.0), "consent is asked for every 4 to 6 s");
}
