//! Digits: each once, with its duration, whatever the two sides call them and whatever gets lost.

use serde_json::json;
use trestle_peers::{Codec, EventStyle, Flavour, Meta, MetaOptions, Phone, PhoneOptions, ReceivedDigit};
use trestle_world::calls::{self, Call};
use trestle_world::{Link, World};

const ALL: &str = "0123456789*#ABCD";

fn opus_phone() -> PhoneOptions {
    PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() }
}

/// Durations may be off by one packet time.
fn assert_digits(received: &[ReceivedDigit], digits: &str, ms: f64) {
    let names: String = received.iter().map(|received| received.digit).collect();
    assert_eq!(names, digits);
    for received in received {
        assert!((received.duration_ms - ms).abs() <= 20.0, "{received:?}, pressed for {ms} ms");
        assert!(received.ends > 0, "{received:?}");
    }
}

/// Digits of both directions, over a call that may forward or transcode.
fn both_ways(world: &mut World, call: &Call) {
    world.run_for_ms(1_000);
    world.whatsapp_presses(call, ALL, 500);
    world.phone_presses(call, ALL, 160);
    world.run_for_ms(1_000);
    assert_digits(&world.phone(call.phone).report().digits.clone(), ALL, 500.0);
    assert_digits(&world.meta(call.meta).report().stream.digits.clone(), ALL, 160.0);
}

#[test]
fn all_sixteen_digits_pass_between_whatsapp_and_a_g711_phone() {
    let mut world = World::new(11);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    both_ways(&mut world, &call);
}

#[test]
fn all_sixteen_digits_pass_between_whatsapp_and_an_opus_phone() {
    let mut world = World::new(12);
    let call = calls::user_initiated(&mut world, calls::meta(), opus_phone());
    both_ways(&mut world, &call);
}

#[test]
fn all_sixteen_digits_pass_on_a_business_initiated_call_with_keys_from_the_sdp() {
    let mut world = World::new(13);
    let call = calls::business_initiated(&mut world, calls::meta_sdes(), calls::phone_sdes());
    both_ways(&mut world, &call);
}

#[test]
fn whatsapp_gets_and_sends_126_on_calls_to_it_though_its_answer_has_no_line_for_it() {
    for options in [calls::meta(), calls::meta_sdes()] {
        let mut world = World::new(21);
        let protocol = if options.flavour == Flavour::Sdes { "RTP/SAVP" } else { "UDP/TLS/RTP/SAVPF" };
        let (meta, phone) = (Meta::new(world.now(), options), Phone::new(world.now(), calls::phone()));
        let call = Call { id: "unsaid".to_owned(), meta: world.add_meta(meta), phone: world.add_phone(phone) };
        let now = world.now();
        let offer = world.phone(call.phone).offer();
        let flags = json!({"profile": "whatsapp", "transport-protocol": protocol});
        let to_meta = calls::offer_sdp(&mut world, &call.id, "phone", &offer, flags);
        let answer = world.meta(call.meta).answer(now, &to_meta).unwrap();
        let unsaid = answer.replace(" 126\r\n", "\r\n").replace("a=rtpmap:126 telephone-event/8000\r\n", "");
        assert!(unsaid.len() < answer.len() && !unsaid.contains("telephone-event"), "{answer}");
        let to_phone = calls::answer_sdp(&mut world, &call.id, "phone", "meta", &unsaid);
        world.phone(call.phone).accept(now, &to_phone).unwrap();
        both_ways(&mut world, &call);
    }
}

#[test]
fn payload_types_differ_between_the_legs() {
    let mut world = World::new(14);
    let phone = PhoneOptions { event_pt: Some(97), ..calls::phone() };
    let call = calls::business_initiated(&mut world, calls::meta(), phone);
    both_ways(&mut world, &call);
}

#[test]
fn a_peer_that_counts_8000_hz_events_in_48_khz_ticks_is_understood() {
    // libwebrtc's habit: 160 ms are pressed, 1,280 ticks of 8 kHz are counted down in 48 kHz, so the digit lasts 40 ms.
    let mut world = World::new(15);
    let meta = MetaOptions { event_style: EventStyle::LibWebRtc, ..calls::meta() };
    let call = calls::user_initiated(&mut world, meta, calls::phone());
    world.run_for_ms(1_000);
    world.whatsapp_presses(&call, ALL, 240);
    world.run_for_ms(1_000);
    let received = world.phone(call.phone).report().digits.clone();
    let names: String = received.iter().map(|received| received.digit).collect();
    assert_eq!(names, ALL);
    assert!(
        received.iter().all(|received| received.duration_ms <= 80.0),
        "not taken for six times as long: {received:?}"
    );
}

#[test]
fn events_on_a_timestamp_line_of_their_own_are_understood() {
    for style in [EventStyle::OwnLine, EventStyle::AudioLine] {
        let mut world = World::new(16);
        let phone = PhoneOptions { event_style: style, ..calls::phone() };
        let meta = MetaOptions { event_style: style, ..calls::meta() };
        let call = calls::user_initiated(&mut world, meta, phone);
        both_ways(&mut world, &call);
    }
}

#[test]
fn sent_events_use_the_audio_timeline_of_each_leg() {
    let mut world = World::new(17);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    both_ways(&mut world, &call);
    let to_phone = world.phone(call.phone).report().digits.clone();
    let to_meta = world.meta(call.meta).report().stream.digits.clone();
    for received in to_phone.iter().chain(&to_meta) {
        assert!(received.off_line_ms.abs() <= 40.0, "{received:?}");
        assert_eq!(received.markers, 1, "{received:?}");
    }
}

#[test]
fn no_digit_is_lost_or_doubled_at_ten_percent_loss_and_disorder() {
    let mut world = World::new(18);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(1_000);
    for ip in ["31.13.65.60", "198.51.100.20"] {
        world.set_link(ip.parse().unwrap(), Link::CLEAN.losing(100).reordering(50).repeating(50).jittery(20));
    }
    let digits = ALL.repeat(6);
    world.whatsapp_presses(&call, &digits, 500);
    world.phone_presses(&call, &digits, 160);
    world.run_for_ms(2_000);
    let report = world.phone(call.phone).report().digits_received();
    assert_eq!(report, digits, "WhatsApp to phone");
    let report = world.meta(call.meta).report().stream.digits_received();
    assert_eq!(report, digits, "phone to WhatsApp");
}

#[test]
fn each_press_is_one_event_and_one_line_of_the_json_feed() {
    let mut world = World::new(19);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(1_000);
    world.whatsapp_presses(&call, "42", 500);
    world.phone_presses(&call, "#", 160);
    world.run_for_ms(1_000);
    let reported: Vec<(String, u64, u64)> = world
        .feed
        .iter()
        .map(|line| {
            assert_eq!(line["callid"], call.id.as_str());
            assert_eq!(line["type"], "DTMF");
            let tag = line["source_tag"].as_str().unwrap().to_owned();
            (tag, line["event"].as_u64().unwrap(), line["duration"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(reported, [("meta".into(), 4, 500), ("meta".into(), 2, 500), ("phone".into(), 11, 160)]);
}

#[test]
fn a_pressed_key_is_not_counted_as_lost_audio() {
    let mut world = World::new(20);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(1_000);
    let before = world.totals().concealed_frames;
    world.whatsapp_presses(&call, "159#", 500);
    world.phone_presses(&call, "20*", 160);
    world.run_for_ms(500);
    assert_eq!(world.totals().concealed_frames - before, 0);
}
