//! Commands on an established call: digits played, media blocked and silenced, parties connected.

use serde_json::{Value, json};
use trestle_peers::{Codec, Meta, Phone, PhoneOptions, Voice, ear};
use trestle_world::World;
use trestle_world::calls::{self, AGENT_HZ, CALLER_HZ, Call};

fn say(world: &mut World, call: &Call, verb: &str, mut more: Value) -> Value {
    let request = more.as_object_mut().expect("an object");
    request.insert("command".into(), verb.into());
    request.insert("call-id".into(), call.id.as_str().into());
    world.ng(&more)
}

fn done(world: &mut World, call: &Call, verb: &str, more: Value) {
    let reply = say(world, call, verb, more);
    assert_eq!(reply, json!({"result": "ok"}), "{verb}");
}

/// A call from WhatsApp to a phone, called `meta` and `phone`, that has been talking for two seconds.
fn talking(seed: u64, phone: PhoneOptions) -> (World, Call) {
    let mut world = World::new(seed);
    let call = calls::user_initiated(&mut world, calls::meta(), phone);
    world.run_for_ms(2_000);
    world.assert_audio_both_ways(&call);
    (world, call)
}

fn opus_phone() -> PhoneOptions {
    PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() }
}

/// Loudness of the last half second.
fn level_dbov(received: &[i16], sample_hz: u32) -> f64 {
    ear::level_dbov(&received[received.len() - sample_hz as usize / 2..])
}

fn whatsapp_level(world: &mut World, call: &Call) -> f64 {
    level_dbov(world.meta(call.meta).recording(), 16_000)
}

/// One SSRC, no number missing, and timestamps that keep wall time.
fn assert_one_line(world: &mut World, call: &Call) {
    let stream = world.meta(call.meta).report().stream;
    assert_eq!((stream.ssrcs.len(), stream.lost, stream.ptime_violations), (1, 0, 0), "{stream:?}");
    assert!(stream.max_drift_ms.abs() <= 40.0, "{} ms off the wall clock", stream.max_drift_ms);
    assert!(stream.longest_gap.as_millis() <= 60, "nothing for {:?}", stream.longest_gap);
}

#[test]
fn a_digit_that_is_played_for_the_agent_reaches_whatsapp_once() {
    for phone in [calls::phone(), opus_phone()] {
        let (mut world, call) = talking(71, phone);
        done(&mut world, &call, "play DTMF", json!({"from-tag": "phone", "code": "5", "duration": 200, "volume": -12}));
        done(&mut world, &call, "play DTMF", json!({"from-tag": "phone", "digit": "#"}));
        world.run_for_ms(2_000);
        let received = world.meta(call.meta).report().stream.digits.clone();
        let named: Vec<(char, f64)> = received.iter().map(|digit| (digit.digit, digit.duration_ms)).collect();
        assert_eq!(named, [('5', 200.0), ('#', 250.0)]);
        assert!(world.phone(call.phone).report().digits.is_empty() && world.feed.is_empty());
        world.assert_audio_both_ways(&call);
    }
}

#[test]
fn blocked_digits_are_reported_and_go_no_further() {
    let (mut world, call) = talking(72, calls::phone());
    done(&mut world, &call, "block DTMF", json!({"from-tag": "meta"}));
    world.whatsapp_presses(&call, "123", 200);
    world.phone_presses(&call, "4", 200);
    done(&mut world, &call, "unblock DTMF", json!({}));
    world.whatsapp_presses(&call, "5", 200);
    world.run_for_ms(1_000);
    assert_eq!(world.phone(call.phone).report().digits_received(), "5");
    assert_eq!(world.meta(call.meta).report().stream.digits_received(), "4");
    let reported: Vec<u64> = world.feed.iter().map(|line| line["event"].as_u64().expect("a number")).collect();
    assert_eq!(reported, [1, 2, 3, 4, 5], "the application gets all");
    world.assert_audio_both_ways(&call);
}

#[test]
fn a_digit_that_sounds_when_digits_are_blocked_still_ends() {
    let (mut world, call) = talking(73, calls::phone());
    world.meta(call.meta).press_for('7', std::time::Duration::from_millis(600));
    world.run_for_ms(300);
    done(&mut world, &call, "block DTMF", json!({"from-tag": "meta"}));
    world.run_for_ms(2_000);
    let received = world.phone(call.phone).report().digits.clone();
    assert_eq!(received.len(), 1);
    assert!(received[0].ends > 0 && (received[0].duration_ms - 600.0).abs() <= 20.0, "{received:?}");
}

#[test]
fn whatsapp_receives_silence_frames_while_the_agent_is_silenced_or_blocked() {
    // Transcoded and forwarded audio.
    for phone in [calls::phone(), opus_phone()] {
        for (verb, undo) in [("silence media", "unsilence media"), ("block media", "unblock media")] {
            let (mut world, call) = talking(74, phone.clone());
            done(&mut world, &call, verb, json!({"from-tag": "phone"}));
            let before = world.meta(call.meta).packets_received();
            world.run_for_ms(3_000);
            let frames = world.meta(call.meta).packets_received() - before;
            assert!((145..=155).contains(&frames), "{verb}: {frames} packets in 3 s");
            let level = whatsapp_level(&mut world, &call);
            assert!(level < -60.0, "{verb}: WhatsApp receives {level} dBov");
            let received = world.phone(call.phone).recording().to_vec();
            calls::assert_receives_tone("the phone", &received, 8_000, CALLER_HZ);
            done(&mut world, &call, undo, json!({"from-tag": "phone"}));
            world.run_for_ms(3_000);
            world.assert_audio_both_ways(&call);
            assert_one_line(&mut world, &call);
        }
    }
}

#[test]
fn silence_goes_on_when_the_silenced_side_stops_sending_altogether() {
    let (mut world, call) = talking(75, calls::phone());
    done(&mut world, &call, "silence media", json!({"label": "", "from-tag": "phone"}));
    world.phone(call.phone).set_silent(true);
    let before = world.meta(call.meta).packets_received();
    world.run_for_ms(5_000);
    let frames = world.meta(call.meta).packets_received() - before;
    assert!((245..=255).contains(&frames), "{frames} packets in 5 s");
    assert_one_line(&mut world, &call);
}

#[test]
fn a_phone_gets_no_packets_while_whatsapp_is_blocked_and_silence_while_it_is_silenced() {
    let (mut world, call) = talking(76, calls::phone());
    done(&mut world, &call, "block media", json!({"from-tag": "meta"}));
    world.run_for_ms(100);
    let packets = world.phone(call.phone).report().packets;
    world.whatsapp_presses(&call, "1", 200);
    world.run_for_ms(2_000);
    assert_eq!(world.phone(call.phone).report().packets, packets);
    done(&mut world, &call, "unblock media", json!({"from-tag": "meta"}));
    done(&mut world, &call, "silence media", json!({"from-tag": "meta"}));
    world.run_for_ms(2_000);
    world.whatsapp_presses(&call, "2", 200);
    world.run_for_ms(1_000);
    assert_eq!(world.phone(call.phone).report().digits_received(), "2", "digits pass through silence");
    let level = level_dbov(world.phone(call.phone).recording(), 8_000);
    assert!(level < -60.0, "the phone receives {level} dBov");
    done(&mut world, &call, "unsilence media", json!({"from-tag": "meta"}));
    world.run_for_ms(3_000);
    world.assert_audio_both_ways(&call);
    let report = world.phone(call.phone).report();
    assert_eq!((report.ssrcs.len(), report.lost), (1, 0), "{report:?}");
}

#[test]
fn a_command_without_a_party_applies_to_all_parties() {
    let (mut world, call) = talking(77, calls::phone());
    done(&mut world, &call, "silence media", json!({}));
    world.run_for_ms(2_000);
    let level = whatsapp_level(&mut world, &call);
    let phone_level = level_dbov(world.phone(call.phone).recording(), 8_000);
    assert!(level < -60.0 && phone_level < -60.0, "{level} and {phone_level} dBov");
    done(&mut world, &call, "unsilence media", json!({"flags": ["all"]}));
    world.run_for_ms(2_000);
    world.assert_audio_both_ways(&call);
}

#[test]
fn two_parties_that_were_offered_to_one_by_one_are_connected() {
    for (n, to_meta) in [
        json!({"profile": "whatsapp", "transport-protocol": "UDP/TLS/RTP/SAVPF"}),
        json!({"profile": "whatsapp", "transport-protocol": "RTP/SAVP"}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut world = World::new(79);
        let now = world.now();
        let meta = if n == 0 { calls::meta() } else { calls::meta_sdes() };
        let (meta, phone) = (Meta::new(now, meta), Phone::new(now, calls::phone()));
        let call = Call { id: "made".to_owned(), meta: world.add_meta(meta), phone: world.add_phone(phone) };

        let mut create = to_meta;
        create["from-tag"] = "meta".into();
        let offer = calls::sdp_of(&say(&mut world, &call, "create", create.clone()));
        assert_eq!(
            calls::sdp_of(&say(&mut world, &call, "create", create)),
            offer,
            "the same request again has the same reply"
        );
        let answer = world.meta(call.meta).answer(now, &offer).unwrap_or_else(|e| panic!("{e:?} in\n{offer}"));
        done(&mut world, &call, "create answer", json!({"from-tag": "meta", "sdp": answer}));
        world.run_for_ms(1_000);

        let offer = calls::sdp_of(&say(&mut world, &call, "create", json!({"from-tag": "phone"})));
        let now = world.now();
        let answer = world.phone(call.phone).answer(now, &offer).unwrap_or_else(|e| panic!("{e:?} in\n{offer}"));
        let connect = json!({"from-tag": "meta", "to-tag": "phone"});
        let early = say(&mut world, &call, "connect", connect.clone());
        assert_eq!(early["error-reason"], "a party that has not answered cannot be connected");
        done(&mut world, &call, "create answer", json!({"from-tag": "phone", "sdp": answer}));
        done(&mut world, &call, "connect", connect);
        world.run_for_ms(3_000);
        world.assert_audio_both_ways(&call);
        world.whatsapp_presses(&call, "12", 200);
        world.phone_presses(&call, "3", 200);
        world.run_for_ms(1_000);
        assert_eq!(world.phone(call.phone).report().digits_received(), "12");
        assert_eq!(world.meta(call.meta).report().stream.digits_received(), "3");
    }
}

#[test]
fn a_caller_is_connected_to_a_second_agent_and_the_first_receives_nothing_more() {
    let (mut world, call) = talking(78, calls::phone());
    let options = PhoneOptions {
        voice: Voice::Tone { hz: 700.0, peak: 8_000 },
        codecs: vec![Codec::Pcmu],
        seed: 9,
        ..PhoneOptions::new(calls::addr("198.51.100.30:34000"))
    };
    let second = Phone::new(world.now(), options);
    let second = world.add_phone(second);
    // The second agent is offered the first one's description, and so is another leg of the same call.
    let now = world.now();
    let announced = world.phone(call.phone).offer();
    let more = json!({"via-branch": "second", "codec": {"transcode": ["PCMU"]}});
    let sdp = calls::offer_sdp(&mut world, &call.id, "phone", &announced, more);
    let answer = world.phone(second).answer(now, &sdp).unwrap_or_else(|e| panic!("{e:?} in\n{sdp}"));
    let more = json!({"from-tag": "phone", "to-tag": "second", "via-branch": "second", "sdp": answer});
    assert_eq!(say(&mut world, &call, "answer", more)["result"], "ok");

    done(&mut world, &call, "connect", json!({"from-tag": "meta", "to-tag": "second"}));
    world.run_for_ms(3_000);
    let packets = world.phone(call.phone).report().packets;
    world.run_for_ms(1_000);
    assert_eq!(world.phone(call.phone).report().packets, packets, "the first agent is out of it");
    let received = world.phone(second).recording().to_vec();
    calls::assert_receives_tone("the second agent", &received, 8_000, CALLER_HZ);
    let received = world.meta(call.meta).recording().to_vec();
    calls::assert_receives_tone("WhatsApp", &received, 16_000, 700.0);
    // And back.
    done(&mut world, &call, "connect", json!({"from-tag": "phone", "to-tag": "meta"}));
    world.run_for_ms(3_000);
    world.assert_audio_both_ways(&call);
    let received = world.meta(call.meta).recording().to_vec();
    calls::assert_receives_tone("WhatsApp", &received, 16_000, AGENT_HZ);
    let stream = world.meta(call.meta).report().stream;
    assert_eq!((stream.ssrcs.len(), stream.lost), (1, 0), "{stream:?}");
}

#[test]
fn an_agent_on_a_branch_that_lost_the_call_receives_nothing_more() {
    let mut world = World::new(82);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
    let options = PhoneOptions {
        voice: Voice::Tone { hz: 700.0, peak: 8_000 },
        seed: 9,
        ..PhoneOptions::new(calls::addr("198.51.100.30:34000"))
    };
    let second = Phone::new(world.now(), options);
    let second = world.add_phone(second);
    let now = world.now();
    let announced = world.phone(call.meta).offer();
    let sdp = calls::offer_sdp(&mut world, &call.id, "caller", &announced, json!({"via-branch": "second"}));
    let answer = world.phone(second).answer(now, &sdp).unwrap_or_else(|e| panic!("{e:?} in\n{sdp}"));
    let more = json!({"from-tag": "caller", "to-tag": "second", "via-branch": "second", "sdp": answer});
    assert_eq!(say(&mut world, &call, "answer", more)["result"], "ok");
    let packets = world.phone(call.phone).report().packets;
    let from = world.phone(call.meta).recording().len();
    world.run_for_ms(3_000);
    // What is on its way already cannot be called back.
    assert!(world.phone(call.phone).report().packets <= packets + 2, "the first agent is out of it");
    let received = world.phone(second).recording().to_vec();
    calls::assert_receives_tone("the second agent", &received, 8_000, CALLER_HZ);
    let received = world.phone(call.meta).recording()[from..].to_vec();
    calls::assert_receives_tone("the caller", &received, 8_000, 700.0);
}

#[test]
fn an_agent_that_was_left_gets_no_packet_for_its_session_timer() {
    let (mut world, call) = talking(81, calls::phone());
    let options = PhoneOptions {
        voice: Voice::Tone { hz: 700.0, peak: 8_000 },
        codecs: vec![Codec::Pcmu],
        seed: 9,
        ..PhoneOptions::new(calls::addr("198.51.100.30:34000"))
    };
    let second = Phone::new(world.now(), options);
    let second = world.add_phone(second);
    let offer = calls::sdp_of(&say(&mut world, &call, "create", json!({"from-tag": "second"})));
    let now = world.now();
    let answer = world.phone(second).answer(now, &offer).unwrap_or_else(|e| panic!("{e:?} in\n{offer}"));
    done(&mut world, &call, "create answer", json!({"from-tag": "second", "sdp": answer}));
    done(&mut world, &call, "connect", json!({"from-tag": "meta", "to-tag": "second"}));
    world.run_for_ms(1_000);

    let before = world.phone(call.phone).report().packets;
    let offer = world.phone(call.phone).offer();
    calls::offer_sdp(&mut world, &call.id, "phone", &offer, json!({"to-tag": "meta"}));
    world.run_for_ms(2_000);
    assert_eq!(world.phone(call.phone).report().packets, before, "after its offer");
    let answer = world.signalled[&(call.id.clone(), "meta".to_owned())].clone();
    calls::answer_sdp(&mut world, &call.id, "phone", "meta", &answer);
    world.run_for_ms(3_000);
    assert_eq!(world.phone(call.phone).report().packets, before, "after the answer");
    let received = world.phone(second).recording().to_vec();
    calls::assert_receives_tone("the second agent", &received, 8_000, CALLER_HZ);
    let received = world.meta(call.meta).recording().to_vec();
    calls::assert_receives_tone("WhatsApp", &received, 16_000, 700.0);
}

#[test]
fn a_caller_is_connected_to_a_party_of_another_call_and_each_call_ends_by_itself() {
    for codecs in [vec![Codec::Pcmu], vec![Codec::Opus]] {
        let (mut world, call) = talking(80, calls::phone());
        let options = PhoneOptions {
            voice: Voice::Tone { hz: 700.0, peak: 8_000 },
            codecs,
            seed: 9,
            ..PhoneOptions::new(calls::addr("198.51.100.30:34000"))
        };
        let second = Phone::new(world.now(), options);
        let second = world.add_phone(second);
        let other = Call { id: "consultation".to_owned(), phone: second, ..call };
        let offer = calls::sdp_of(&say(&mut world, &other, "create", json!({"from-tag": "second"})));
        let now = world.now();
        let answer = world.phone(second).answer(now, &offer).unwrap_or_else(|e| panic!("{e:?} in\n{offer}"));
        done(&mut world, &other, "create answer", json!({"from-tag": "second", "sdp": answer}));
        let before = world.ports_in_use();

        let connect = json!({"from-tag": "meta", "to-tag": "second", "to-call-id": "consultation"});
        done(&mut world, &call, "connect", connect.clone());
        assert_eq!(world.ports_in_use(), before + 4, "a leg more in each call");
        done(&mut world, &call, "connect", connect);
        assert_eq!(world.ports_in_use(), before + 4, "they are connected already");
        world.run_for_ms(3_000);
        let received = world.phone(second).recording().to_vec();
        calls::assert_receives_tone("the party of the other call", &received, 8_000, CALLER_HZ);
        let received = world.meta(call.meta).recording().to_vec();
        calls::assert_receives_tone("WhatsApp", &received, 16_000, 700.0);
        assert_one_line(&mut world, &call);

        world.whatsapp_presses(&call, "12", 200);
        world.phone_presses(&other, "3", 200);
        done(&mut world, &other, "play DTMF", json!({"from-tag": "second", "code": "#", "duration": 200}));
        world.run_for_ms(1_000);
        assert_eq!(world.phone(second).report().digits_received(), "12");
        assert_eq!(world.meta(call.meta).report().stream.digits_received(), "3#");
        let reported: Vec<u64> = world.feed.iter().map(|line| line["event"].as_u64().expect("a number")).collect();
        assert_eq!(reported, [1, 2, 3], "each once, from the call it was pressed in");

        done(&mut world, &other, "block media", json!({"from-tag": "second"}));
        world.run_for_ms(2_000);
        let level = whatsapp_level(&mut world, &call);
        assert!(level < -60.0, "WhatsApp receives {level} dBov of a party that is blocked in its own call");
        done(&mut world, &other, "unblock media", json!({"from-tag": "second"}));

        // Back to the first agent: nothing is left of the way between the calls.
        done(&mut world, &call, "connect", json!({"from-tag": "phone", "to-tag": "meta"}));
        assert_eq!(world.ports_in_use(), before);
        world.run_for_ms(3_000);
        world.assert_audio_both_ways(&call);

        let connect = json!({"from-tag": "second", "to-tag": "meta", "to-call-id": call.id});
        done(&mut world, &other, "connect", connect);
        world.run_for_ms(500);
        assert_eq!(say(&mut world, &call, "delete", json!({}))["result"], "ok");
        assert_eq!(world.ports_in_use(), 2, "the second phone's own");
        assert_eq!(say(&mut world, &other, "delete", json!({}))["result"], "ok");
        assert_eq!(world.ports_in_use(), 0);
    }
}
