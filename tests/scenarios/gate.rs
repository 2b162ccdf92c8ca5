//! The gate of a WhatsApp leg: nothing leaves before it opens, no audio of that time is lost, and the delay is worked off.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use trestle_audio::Tone;
use trestle_core::{EventKind, Milestone};
use trestle_peers::{Meta, MetaOptions, Phone, PhoneOptions, Voice, ear};
use trestle_wire::demux::DatagramKind;
use trestle_world::calls::{self, Call};
use trestle_world::{Link, World};

/// The first word is a tone that is not sent later.
const FIRST_WORD_HZ: f64 = 850.0;
const FIRST_WORD_MS: usize = 300;

/// A call whose gate is shut; `early` is when the phone begins to talk.
fn gated(world: &mut World, business: bool, meta: MetaOptions, phone: PhoneOptions) -> Call {
    let to_phone = json!({
        "ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"], "gate": "shut",
    });
    let secured = if meta.flavour == trestle_peers::Flavour::WebRtc { "UDP/TLS/RTP/SAVPF" } else { "RTP/SAVP" };
    let to_meta = json!({"profile": "whatsapp", "transport-protocol": secured, "gate": "shut"});
    let (meta, phone) = (Meta::new(world.now(), meta), Phone::new(world.now(), phone));
    let (meta, phone) = (world.add_meta(meta), world.add_phone(phone));
    let call = Call { id: format!("gated-{}", world.elapsed_ms()), meta, phone };
    let now = world.now();
    world.meta(meta).ring();
    if business {
        let offer = world.phone(phone).offer();
        let written = calls::offer_sdp(world, &call.id, "phone", &offer, to_meta);
        let answer = world.meta(meta).answer(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
        let written = calls::answer_sdp(world, &call.id, "phone", "meta", &answer);
        world.phone(phone).accept(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
    } else {
        let offer = world.meta(meta).offer(now).expect("Meta's offer");
        let written = calls::offer_sdp(world, &call.id, "meta", &offer, to_phone);
        let answer = world.phone(phone).answer(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
        let written = calls::answer_sdp(world, &call.id, "meta", "phone", &answer);
        world.meta(meta).accept(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
    }
    call
}

fn move_gate(world: &mut World, call: &Call, op: &str) -> Value {
    let reply = world.ng(&json!({"command": "gate", "call-id": call.id, "op": op}));
    assert_eq!(reply["result"], "ok", "{reply}");
    let meta = call.meta;
    if op == "open" {
        world.meta(meta).accepted();
    }
    reply
}

/// The report on WhatsApp's leg.
fn leg(world: &mut World, call: &Call) -> Value {
    let reply = world.ng(&json!({"command": "query", "call-id": call.id, "flags": ["verbose"]}));
    reply["tags"]["meta"]["leg"].clone()
}

/// `word_ms` of tone and `pause_ms` of silence, over and over, behind the first word.
fn speech(word_ms: usize, pause_ms: usize) -> Voice {
    let tone = |hz: f64, ms: usize| {
        let mut pcm = vec![0; ms * 8];
        Tone::sine(hz, 8_000).fill(&mut pcm, 8_000);
        pcm
    };
    let mut announced = tone(FIRST_WORD_HZ, FIRST_WORD_MS);
    while announced.len() < 20_000 * 8 {
        announced.extend(std::iter::repeat_n(0, pause_ms * 8));
        announced.extend(tone(calls::AGENT_HZ, word_ms));
    }
    Voice::Clip(Arc::from(announced))
}

/// How much of the first word was received, in pieces of 20 ms.
fn first_word_ms(received: &[i16], sample_hz: u32) -> usize {
    let piece = sample_hz as usize / 50;
    let is_it = |pcm: &&[i16]| {
        let tone = ear::dominant_tone(pcm, sample_hz).filter(|_| ear::level_dbov(pcm) > -30.0);
        tone.is_some_and(|tone| (tone.hz - FIRST_WORD_HZ).abs() < 60.0)
    };
    received.chunks_exact(piece).filter(is_it).count() * 20
}

#[test]
fn nothing_but_stun_and_dtls_leaves_towards_whatsapp_before_the_gate_opens() {
    for (business, meta) in
        [(false, calls::meta()), (true, calls::meta()), (false, calls::meta_sdes()), (true, calls::meta_sdes())]
    {
        println!("business-initiated: {business}, {:?}", meta.flavour);
        let mut world = World::new(901);
        let whatsapp = meta.locals[0];
        world.capture();
        let call = gated(&mut world, business, meta, calls::phone());
        world.run_for_ms(8_000);
        let early = |world: &World| {
            let kinds = world.captured().iter().filter(|(_, datagram)| datagram.to.ip() == whatsapp.ip());
            kinds
                .filter(|(_, datagram)| {
                    !matches!(DatagramKind::of(&datagram.bytes), Some(DatagramKind::Stun | DatagramKind::Dtls))
                })
                .count()
        };
        assert_eq!(early(&world), 0);
        assert_eq!(world.meta(call.meta).report().stream.early_packets, 0);
        move_gate(&mut world, &call, "open");
        world.run_for_ms(6_000);
        assert!(early(&world) > 250, "{}", early(&world));
        world.assert_audio_both_ways(&call);
    }
}

#[test]
fn the_first_packet_leaves_at_the_instant_the_gate_opens() {
    for talks in [true, false] {
        let mut world = World::new(902);
        let call = gated(&mut world, false, calls::meta(), PhoneOptions { silent: !talks, ..calls::phone() });
        world.run_for_ms(1_500);
        world.capture();
        let opened = world.now();
        move_gate(&mut world, &call, "open");
        world.run_for_ms(100);
        let is_rtp = |bytes: &[u8]| DatagramKind::of(bytes) == Some(DatagramKind::Rtp);
        let to_meta =
            world.captured().iter().find(|(_, d)| d.to.ip() == calls::meta().locals[0].ip() && is_rtp(&d.bytes));
        let after = to_meta.expect("a packet").0 - opened;
        assert!(after < Duration::from_millis(1), "phone talks: {talks}, after {after:?}");
    }
}

/// One call in which the phone talks `early_ms` before the gate opens. Gives what WhatsApp's leg has to tell.
fn early_talker(seed: u64, early_ms: u64, business: bool) -> Value {
    let mut world = World::new(seed);
    for ip in ["31.13.65.60", "198.51.100.20"] {
        world.set_link(ip.parse().expect("an address"), Link::CLEAN.delayed(50));
    }
    let phone = PhoneOptions { voice: speech(260, 140), ..calls::phone() };
    let meta = MetaOptions { voice: Voice::Silence, silent: true, ..calls::meta() };
    let call = gated(&mut world, business, meta, phone);
    world.run_for_ms(early_ms);
    move_gate(&mut world, &call, "open");
    world.run_for_ms(1_000);
    let received = world.meta(call.meta).recording().to_vec();
    let recorded_ms = first_word_ms(&received, 16_000);
    // Played up to 8 % faster, and blurred at its ends by the codec.
    assert!(
        recorded_ms + 40 >= FIRST_WORD_MS * 92 / 100,
        "seed {seed}, {early_ms} ms early: {recorded_ms} ms of the first word"
    );
    assert_eq!(world.meta(call.meta).report().stream.early_packets, 0, "seed {seed}");
    leg(&mut world, &call)
}

/// 1,000 calls, in pieces that run side by side.
fn no_first_word_is_clipped(seed: u64, calls: u64) {
    println!("seed {seed}");
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    for n in 0..calls {
        let early_ms = (u64::from(dice.next_u32()) * 3_001) >> 32;
        let leg = early_talker(seed * 1_000 + n, early_ms, n % 2 == 1);
        assert_eq!(leg["clipped-ms"], 0, "call {n} of seed {seed}, {early_ms} ms early: {leg}");
    }
}

#[test]
fn of_calls_1_to_250_whose_agent_talks_up_to_3_s_early_none_loses_a_word() {
    no_first_word_is_clipped(91, 250);
}

#[test]
fn of_calls_251_to_500_whose_agent_talks_up_to_3_s_early_none_loses_a_word() {
    no_first_word_is_clipped(92, 250);
}

#[test]
fn of_calls_501_to_750_whose_agent_talks_up_to_3_s_early_none_loses_a_word() {
    no_first_word_is_clipped(93, 250);
}

#[test]
fn of_calls_751_to_1000_whose_agent_talks_up_to_3_s_early_none_loses_a_word() {
    no_first_word_is_clipped(94, 250);
}

#[test]
fn a_second_of_backlog_is_caught_up_within_eight_seconds_and_the_call_is_at_its_normal_delay() {
    let mut world = World::new(903);
    let phone = PhoneOptions { voice: speech(300, 200), ..calls::phone() };
    let call = gated(&mut world, false, calls::meta(), phone);
    world.run_for_ms(1_000);
    move_gate(&mut world, &call, "open");
    let caught_up = world.run_until(8_000, |world| {
        let is_it = |kind: &EventKind| matches!(kind, EventKind::Milestone { milestone: Milestone::CaughtUp, .. });
        world.events.iter().any(|(_, event)| is_it(&event.kind))
    });
    let written = leg(&mut world, &call);
    assert!(caught_up, "{written}");
    assert!(written["pre-roll-ms"].as_u64() >= Some(700), "{written}");
    println!("{} ms of pre-roll caught up after {} ms", written["pre-roll-ms"], written["caught-up-ms"]);
    // From here on each packet leaves as what it is made of arrives.
    world.capture();
    world.run_for_ms(3_000);
    let report = world.meta(call.meta).report().stream;
    assert_eq!((report.ssrcs.len(), report.lost, report.duplicates), (1, 0, 0), "{report:?}");
    assert!(report.longest_gap <= Duration::from_millis(40), "{report:?}");
    assert!(report.max_drift_ms.abs() <= 41.0, "{report:?}");
}

#[test]
fn a_gate_that_is_closed_lets_nothing_out_and_keeps_nothing() {
    let mut world = World::new(904);
    let call = gated(&mut world, false, calls::meta(), calls::phone());
    world.run_for_ms(2_000);
    move_gate(&mut world, &call, "close");
    let reply = world.ng(&json!({"command": "gate", "call-id": call.id, "op": "open"}));
    assert_eq!(reply["result"], "error", "{reply}");
    world.run_for_ms(3_000);
    assert_eq!(world.meta(call.meta).report().stream.packets, 0);
    let written = leg(&mut world, &call);
    assert!(written["clipped-ms"].as_u64() > Some(1_500), "{written}");
}

#[test]
fn a_gate_opened_before_the_answer_that_shuts_it_stays_open() {
    let mut world = World::new(906);
    let (meta, phone) = (Meta::new(world.now(), calls::meta()), Phone::new(world.now(), calls::phone()));
    let call = Call { id: "early".to_owned(), meta: world.add_meta(meta), phone: world.add_phone(phone) };
    let now = world.now();
    world.meta(call.meta).ring();
    let offer = world.phone(call.phone).offer();
    let to_meta = json!({"profile": "whatsapp", "transport-protocol": "UDP/TLS/RTP/SAVPF", "gate": "shut"});
    let written = calls::offer_sdp(&mut world, &call.id, "phone", &offer, to_meta);
    let answer = world.meta(call.meta).answer(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
    // The web hook's ACCEPTED has overtaken the one with the SDP.
    move_gate(&mut world, &call, "open");
    let request = json!({
        "command": "answer", "call-id": call.id, "from-tag": "phone", "to-tag": "meta", "sdp": answer, "gate": "shut",
    });
    let written = calls::sdp_of(&world.ng(&request));
    world.phone(call.phone).accept(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
    world.run_for_ms(6_000);
    world.assert_audio_both_ways(&call);
}

#[test]
fn what_waits_can_be_dropped_when_the_gate_opens() {
    let mut world = World::new(905);
    let phone = PhoneOptions { voice: speech(260, 140), ..calls::phone() };
    let call = gated(&mut world, false, calls::meta(), phone);
    world.run_for_ms(2_000);
    let reply = world.ng(&json!({"command": "gate", "call-id": call.id, "op": "open", "pre-roll": "drop"}));
    assert_eq!(reply["result"], "ok", "{reply}");
    world.meta(call.meta).accepted();
    world.run_for_ms(2_000);
    let received = world.meta(call.meta).recording().to_vec();
    assert_eq!(first_word_ms(&received, 16_000), 0);
    assert!(ear::level_dbov(&received) > -40.0, "and the audio is audible");
}

/// How long a tone was received.
fn tone_ms(received: &[i16], hz: f64) -> usize {
    let is_it = |pcm: &&[i16]| {
        let tone = ear::dominant_tone(pcm, 16_000).filter(|_| ear::level_dbov(pcm) > -35.0);
        tone.is_some_and(|tone| (tone.hz - hz).abs() < 40.0)
    };
    received.chunks_exact(320).filter(is_it).count() * 20
}

const SECOND_AGENT_HZ: f64 = 700.0;

/// Hands WhatsApp over to another agent.
fn transfer(world: &mut World, call: &Call) {
    let rtp = calls::addr("198.51.100.30:34000");
    let voice = Voice::Tone { hz: SECOND_AGENT_HZ, peak: 8_000 };
    let second = Phone::new(world.now(), PhoneOptions { voice, seed: 9, ..PhoneOptions::new(rtp) });
    let second = world.add_phone(second);
    let offer = world.ng(&json!({"command": "create", "call-id": call.id, "from-tag": "second"}));
    let now = world.now();
    let answer = world.phone(second).answer(now, &calls::sdp_of(&offer)).expect("an answer");
    for request in [
        json!({"command": "create answer", "call-id": call.id, "from-tag": "second", "sdp": answer}),
        json!({"command": "connect", "call-id": call.id, "from-tag": "meta", "to-tag": "second"}),
    ] {
        let reply = world.ng(&request);
        assert_eq!(reply["result"], "ok", "{request}: {reply}");
    }
}

#[test]
fn after_a_transfer_whatsapp_receives_no_pre_roll_of_the_first_agent() {
    for open_first in [false, true] {
        let mut world = World::new(906);
        let call = gated(&mut world, false, calls::meta(), calls::phone());
        world.run_for_ms(2_500);
        if open_first {
            move_gate(&mut world, &call, "open");
            world.run_for_ms(200);
        }
        let from = world.meta(call.meta).recording().len();
        transfer(&mut world, &call);
        if !open_first {
            world.run_for_ms(500);
            move_gate(&mut world, &call, "open");
        }
        world.run_for_ms(5_000);
        let received = world.meta(call.meta).recording()[from..].to_vec();
        let (first, second) = (tone_ms(&received, calls::AGENT_HZ), tone_ms(&received, SECOND_AGENT_HZ));
        // What is on its way already cannot be called back.
        assert!(first <= 40, "open first: {open_first}, {first} ms of the first agent");
        assert!(second > 4_000, "open first: {open_first}, {second} ms of the second agent");
    }
}

#[test]
fn what_waits_of_a_party_that_is_muted_is_not_played() {
    for verb in ["silence media", "block media"] {
        let mut world = World::new(907);
        let call = gated(&mut world, false, calls::meta(), calls::phone());
        world.run_for_ms(2_500);
        let reply = world.ng(&json!({"command": verb, "call-id": call.id, "from-tag": "phone"}));
        assert_eq!(reply["result"], "ok", "{reply}");
        world.run_for_ms(500);
        move_gate(&mut world, &call, "open");
        world.run_for_ms(3_000);
        let received = world.meta(call.meta).recording().to_vec();
        assert_eq!(tone_ms(&received, calls::AGENT_HZ), 0, "{verb}");
    }
}

#[test]
fn digits_before_the_gate_opens_are_refused_or_dropped_and_never_halved() {
    let mut world = World::new(908);
    let call = gated(&mut world, false, calls::meta(), calls::phone());
    world.run_for_ms(500);
    let play = json!({"command": "play DTMF", "call-id": call.id, "from-tag": "phone", "code": "1"});
    let reply = world.ng(&play);
    assert!(reply["error-reason"].as_str().is_some_and(|reason| reason.starts_with("Gate is shut")), "{reply}");
    // One is over before the gate opens, one is down while it does.
    for (digit, opens) in [('2', false), ('3', true)] {
        world.phone(call.phone).press(digit, Duration::from_millis(400));
        world.run_for_ms(200);
        if opens {
            move_gate(&mut world, &call, "open");
        }
        world.run_for_ms(500);
    }
    world.phone(call.phone).press('4', Duration::from_millis(200));
    world.run_for_ms(1_000);
    assert_eq!(world.meta(call.meta).report().stream.digits_received(), "4");
    assert_eq!(leg(&mut world, &call)["digits-out"], "-");
}
