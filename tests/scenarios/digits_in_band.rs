//! Digits to and from phones that know no telephone-events: tones in their audio.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use trestle_audio::{DigitDetection, DigitDetector, Tone};
use trestle_peers::{Codec, MetaOptions, PhoneOptions, ReceivedDigit, Voice, speech};
use trestle_wire::telephone_event::Digit;
use trestle_world::World;
use trestle_world::calls::{self, Call};

const ALL: &str = "0123456789*#ABCD";

/// A phone that announces no events.
fn plain() -> PhoneOptions {
    PhoneOptions { event_pt: None, voice: Voice::Silence, ..calls::phone() }
}

fn quiet_meta() -> MetaOptions {
    MetaOptions { voice: Voice::Silence, ..calls::meta() }
}

/// Half a second of silence, then the digits as tones with a pause of the same length after each, then silence for long.
fn tones(digits: &str, length_ms: usize) -> Voice {
    let mut pcm = vec![0; 4_000];
    for digit in digits.chars() {
        let mut tone = Digit::from_char(digit).and_then(|digit| Tone::dtmf_at(digit.event(), -9.0)).expect("a key");
        let mut part = vec![0; length_ms * 8];
        tone.fill(&mut part, 8_000);
        pcm.extend(part);
        pcm.extend(vec![0; length_ms * 8]);
    }
    pcm.extend(vec![0; 60 * 8_000]);
    Voice::Clip(Arc::from(pcm))
}

fn name(event: u8) -> char {
    Digit::from_event(event).map_or('?', Digit::to_char)
}

/// Digits found by tone detection in audio of 8 kHz, with their milliseconds.
fn sounding(pcm: &[i16]) -> Vec<(char, u64)> {
    let (mut detector, mut list) = (DigitDetector::default(), Vec::new());
    let mut note = |received| {
        if let DigitDetection::Ended { event, samples, .. } = received {
            list.push((name(event), samples / 8));
        }
    };
    detector.process(pcm, &mut note);
    detector.finish(&mut note);
    list
}

/// WhatsApp's sound, of which a phone could have sent nothing above 4 kHz.
fn at_8_khz(pcm: &[i16]) -> Vec<i16> {
    pcm.chunks_exact(2).map(|pair| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16).collect()
}

fn names(list: &[(char, u64)]) -> String {
    list.iter().map(|(name, _)| *name).collect()
}

fn assert_events(received: &[ReceivedDigit], digits: &str, ms: f64) {
    assert_eq!(received.iter().map(|received| received.digit).collect::<String>(), digits);
    for received in received {
        assert!((received.duration_ms - ms).abs() <= 20.0, "{received:?}, sounded for {ms} ms");
        assert_eq!((received.markers, received.ends), (1, 3), "{received:?}");
    }
}

fn fed(world: &World) -> String {
    world.feed.iter().map(|line| name(line["event"].as_u64().expect("a number") as u8)).collect()
}

fn verb(world: &mut World, call: &Call, request: serde_json::Value) {
    let mut request = request;
    request["call-id"] = call.id.as_str().into();
    assert_eq!(world.ng(&request)["result"], "ok", "{request}");
}

#[test]
fn tones_of_a_phone_reach_whatsapp_as_events_and_the_application_and_are_no_tones_there() {
    for codec in [Codec::Pcma, Codec::Pcmu, Codec::Opus] {
        for length_ms in [50, 120] {
            let mut world = World::new(201);
            let phone = PhoneOptions { codecs: vec![codec], ..plain() };
            let call = calls::user_initiated(&mut world, quiet_meta(), phone);
            world.run_for_ms(1_000);
            // Opus phones sample at 16 kHz or at 8 as it suits them; this one at 8.
            world.phone(call.phone).set_voice(tones(ALL, length_ms));
            world.run_for_ms(6_000);
            let report = world.meta(call.meta).report().stream;
            assert_events(&report.digits, ALL, length_ms as f64);
            assert_eq!(fed(&world), ALL);
            assert_eq!((report.ssrcs.len(), report.lost), (1, 0));
            // Two packets at most before a tone is known for one. 40 ms is what every receiver must take for a digit.
            let leaked = sounding(&at_8_khz(world.meta(call.meta).recording()));
            assert!(
                leaked.iter().all(|(_, ms)| *ms < 40),
                "{codec:?}, {length_ms} ms: received as tones as well: {leaked:?}"
            );
        }
    }
}

#[test]
fn tones_stay_tones_for_a_phone_without_events_and_are_reported_to_the_application() {
    let mut world = World::new(202);
    let caller = PhoneOptions { event_pt: None, voice: Voice::Silence, ..calls::caller() };
    let call = calls::between_phones(&mut world, caller, calls::phone());
    world.run_for_ms(1_000);
    world.phone(call.meta).set_voice(tones(ALL, 100));
    world.run_for_ms(5_000);
    assert!(world.phone(call.phone).report().digits.is_empty());
    assert_eq!(names(&sounding(world.phone(call.phone).recording())), ALL);
    assert_eq!(fed(&world), ALL);
}

#[test]
fn digits_of_whatsapp_sound_in_the_audio_of_a_phone_without_events() {
    for codec in [Codec::Pcma, Codec::Opus] {
        let mut world = World::new(203);
        let phone = PhoneOptions { codecs: vec![codec], ..plain() };
        let call = calls::user_initiated(&mut world, quiet_meta(), phone);
        world.run_for_ms(1_000);
        world.whatsapp_presses(&call, ALL, 120);
        world.run_for_ms(1_000);
        let received = sounding(world.phone(call.phone).recording());
        assert_eq!(names(&received), ALL, "{codec:?}");
        assert!(received.iter().all(|(_, ms)| ms.abs_diff(120) <= 40), "{received:?}");
        assert_eq!(fed(&world), ALL);
        let report = world.phone(call.phone).report();
        assert_eq!((report.digits.len(), report.ssrcs.len(), report.lost, report.ptime_violations), (0, 1, 0, 0));
        assert!(report.max_drift_ms.abs() <= 40.0, "{} ms off the wall clock", report.max_drift_ms);
    }
}

#[test]
fn digits_of_a_phone_sound_in_the_audio_of_another_that_gets_it_forwarded_otherwise() {
    let mut world = World::new(204);
    let callee = PhoneOptions { event_pt: None, ..calls::phone() };
    let call = calls::between_phones(&mut world, calls::caller(), callee);
    world.run_for_ms(1_000);
    for digit in ALL.chars() {
        world.phone(call.meta).press(digit, Duration::from_millis(100));
    }
    world.run_for_ms(5_000);
    assert_eq!(names(&sounding(world.phone(call.phone).recording())), ALL);
    // The caller's voice is back, on the one line.
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
    let report = world.phone(call.phone).report();
    assert_eq!((report.ssrcs.len(), report.lost, report.ptime_violations), (1, 0, 0));
    assert!(report.max_drift_ms.abs() <= 40.0, "{} ms off the wall clock", report.max_drift_ms);
}

#[test]
fn a_digit_is_played_as_a_tone_even_without_audio_from_the_source() {
    let mut world = World::new(205);
    let caller = PhoneOptions { silent: true, ..calls::caller() };
    let call = calls::between_phones(&mut world, caller, plain());
    world.run_for_ms(1_000);
    for code in ["4", "#"] {
        verb(&mut world, &call, json!({"command": "play DTMF", "from-tag": "caller", "code": code, "duration": 200}));
    }
    world.run_for_ms(2_000);
    let received = sounding(world.phone(call.phone).recording());
    assert_eq!(names(&received), "4#");
    assert!(received.iter().all(|(_, ms)| ms.abs_diff(200) <= 15), "{received:?}");
    // What was made for the tones alone ends with them.
    let packets = world.phone(call.phone).report().packets;
    world.run_for_ms(1_000);
    assert_eq!(world.phone(call.phone).report().packets, packets);
    assert!(world.feed.is_empty());
}

#[test]
fn blocked_tones_are_reported_to_the_application_only() {
    for other in [calls::phone(), plain()] {
        let mut world = World::new(206);
        let caller = PhoneOptions { event_pt: None, voice: Voice::Silence, ..calls::caller() };
        let call = calls::between_phones(&mut world, caller, other);
        verb(&mut world, &call, json!({"command": "block DTMF", "from-tag": "caller"}));
        world.run_for_ms(1_000);
        world.phone(call.meta).set_voice(tones("4111222233334444", 100));
        world.run_for_ms(5_000);
        assert_eq!(fed(&world), "4111222233334444");
        assert_eq!(sounding(world.phone(call.phone).recording()), []);
        assert!(world.phone(call.phone).report().digits.is_empty());
    }
}

#[test]
fn speech_is_no_digit() {
    let agent = speech::agent();
    assert_eq!(sounding(&agent), []);
    assert_eq!(sounding(&at_8_khz(&speech::caller())), []);
    // Louder, quieter, and through the codecs of a call.
    for gain in [0.1, 0.5, 2.0] {
        let changed: Vec<i16> = agent.iter().map(|sample| (f64::from(*sample) * gain) as i16).collect();
        assert_eq!(sounding(&changed), [], "{gain}");
    }
    let mut world = World::new(207);
    let phone = PhoneOptions { voice: Voice::Clip(agent), ..plain() };
    calls::user_initiated(&mut world, quiet_meta(), phone);
    world.run_for_ms(60_000);
    assert_eq!(fed(&world), "");
}

#[test]
fn tones_of_a_phone_that_announces_events_are_detected_on_request() {
    for asked in [false, true] {
        let mut world = World::new(208);
        let mut options = PhoneOptions { voice: Voice::Silence, ..calls::phone() };
        options.seed = 9;
        let (meta, phone) =
            (trestle_peers::Meta::new(world.now(), quiet_meta()), trestle_peers::Phone::new(world.now(), options));
        let call = Call { id: "asked".into(), meta: world.add_meta(meta), phone: world.add_phone(phone) };
        let now = world.now();
        let offer = world.meta(call.meta).offer(now).unwrap();
        let sip = json!({"ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/AVP"});
        let to_phone = calls::offer_sdp(&mut world, &call.id, "meta", &offer, sip);
        let answer = world.phone(call.phone).answer(now, &to_phone).unwrap();
        let flags = if asked { json!(["detect-DTMF"]) } else { json!([]) };
        let reply = world.ng(&json!({"command": "answer", "call-id": call.id, "from-tag": "meta", "to-tag": "phone", "sdp": answer, "flags": flags}));
        let to_meta = calls::sdp_of(&reply);
        world.meta(call.meta).accept(now, &to_meta).unwrap();
        world.run_for_ms(1_000);
        world.phone(call.phone).set_voice(tones("123", 100));
        world.run_for_ms(2_000);
        assert_eq!(fed(&world), if asked { "123" } else { "" });
        // Once it has sent an event, events are what it presses.
        world.phone_presses(&call, "9", 100);
        world.phone(call.phone).set_voice(tones("456", 100));
        world.run_for_ms(2_000);
        assert_eq!(fed(&world), if asked { "1239" } else { "9" });
    }
}

#[test]
fn audio_silenced_for_a_blocked_tone_is_forwarded_again_once_the_tone_is_over_or_allowed() {
    let voice = || Voice::Tone { hz: calls::AGENT_HZ, peak: 8_000 };
    let mut world = World::new(46);
    let call = calls::user_initiated(&mut world, quiet_meta(), PhoneOptions { voice: voice(), ..plain() });
    world.run_for_ms(1_000);
    verb(&mut world, &call, json!({"command": "block DTMF", "from-tag": "phone"}));
    world.phone(call.phone).set_voice(tones("5", 60_000));
    world.run_for_ms(800);
    verb(&mut world, &call, json!({"command": "unblock DTMF", "from-tag": "phone"}));
    world.phone(call.phone).set_voice(voice());
    world.run_for_ms(3_000);
    let received = world.meta(call.meta).recording().to_vec();
    calls::assert_receives_tone("WhatsApp", &received, 16_000, calls::AGENT_HZ);
}
