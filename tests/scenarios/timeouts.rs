//! Calls without a `delete`: no answer, no media, no consent.

use serde_json::json;
use trestle_core::{EventKind, LegFailure};
use trestle_peers::{Codec, Phone, PhoneOptions};
use trestle_wire::demux::DatagramKind;
use trestle_world::calls::{self, Call};
use trestle_world::net::Datagram;
use trestle_world::raw::{self, RawPhone};
use trestle_world::{World, world};

fn counter(world: &mut World, name: &str) -> u64 {
    let reply = world.ng(&json!({"command": "statistics"}));
    reply["statistics"]["totalstatistics"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {reply}"))
}

fn is_listed(world: &mut World, call_id: &str) -> bool {
    let reply = world.ng(&json!({"command": "list"}));
    reply["calls"].as_array().expect("a list").iter().any(|name| name == call_id)
}

fn hang_up_silently(world: &mut World, call: &Call) {
    world.phone(call.meta).set_silent(true);
    world.phone(call.phone).set_silent(true);
}

#[test]
fn a_call_whose_media_stops_on_both_sides_ends_after_a_minute_and_gives_its_ports_back() {
    let mut world = World::new(701);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    world.run_for_ms(3_000);
    hang_up_silently(&mut world, &call);
    world.run_for_ms(59_000);
    assert_eq!((counter(&mut world, "timeoutsessions"), is_listed(&mut world, &call.id)), (0, true));
    world.run_for_ms(2_000);
    assert_eq!(counter(&mut world, "timeoutsessions"), 1);
    assert_eq!(world.ports_in_use(), 0);
    // It can be queried for the usual time, and is gone then.
    assert!(is_listed(&mut world, &call.id));
    world.run_for_ms(31_000);
    assert!(!is_listed(&mut world, &call.id));
}

#[test]
fn media_from_one_side_alone_keeps_a_call() {
    let mut world = World::new(702);
    let mut talker = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut mute = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "one way", &mut talker, &mut mute);
    for _ in 0..60 {
        talker.talk(&mut world, 1);
        world.run_for_ms(4_980);
    }
    assert_eq!(mute.received(&world).len(), 60, "five minutes later it is still carried");
}

#[test]
fn datagrams_that_are_not_the_calls_media_do_not_keep_it() {
    let mut world = World::new(703);
    let mut first = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut second = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "kept", &mut first, &mut second);
    first.talk(&mut world, 10);
    let stranger = calls::addr("203.0.113.66:6000");
    for n in 0..70 {
        world.inject(stranger, first.remote.expect("an address"), &raw::plain_packet(1, n, 0));
        // The peer's own rubbish is not media either: a payload type that was not negotiated.
        let mut odd = raw::plain_packet(first.ssrc, n, 0);
        odd[1] = 96;
        first.send_bytes(&mut world, &odd);
        world.run_for_ms(1_000);
    }
    assert_eq!((counter(&mut world, "timeoutsessions"), world.ports_in_use()), (1, 0));
}

#[test]
fn a_call_on_hold_may_be_silent_for_an_hour_and_no_longer() {
    let mut world = World::new(704);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    world.run_for_ms(2_000);
    world.phone(call.meta).set_hold(true);
    let offer = world.phone(call.meta).offer().replace("a=sendonly", "a=inactive");
    let to_callee = calls::offer_sdp(&mut world, &call.id, "caller", &offer, json!({"to-tag": "callee"}));
    let now = world.now();
    let answer = world.phone(call.phone).answer(now, &to_callee).expect("an answer");
    calls::answer_sdp(&mut world, &call.id, "caller", "callee", &answer);
    hang_up_silently(&mut world, &call);
    world.run_for_ms(3_590_000);
    assert!(is_listed(&mut world, &call.id));
    assert!(world.ports_in_use() > 0);
    world.run_for_ms(20_000);
    assert_eq!((counter(&mut world, "silenttimeoutsessions"), world.ports_in_use()), (1, 0));
}

#[test]
fn an_unanswered_offer_is_forgotten_after_three_minutes() {
    let mut world = World::new(705);
    let now = world.now();
    let caller = world.add_phone(Phone::new(now, calls::caller()));
    let offer = world.phone(caller).offer();
    calls::offer_sdp(&mut world, "unanswered", "caller", &offer, json!({}));
    world.run_for_ms(120_000);
    // The same INVITE again starts the time anew: the caller still waits.
    calls::offer_sdp(&mut world, "unanswered", "caller", &offer, json!({}));
    world.run_for_ms(179_000);
    assert!(is_listed(&mut world, "unanswered") && world.ports_in_use() > 0);
    world.run_for_ms(2_000);
    assert_eq!((counter(&mut world, "offertimeoutsessions"), world.ports_in_use()), (1, 0));
    let answer = json!({
        "command": "answer", "call-id": "unanswered", "from-tag": "caller", "to-tag": "b", "sdp": offer,
    });
    assert_eq!(world.ng(&answer)["error-reason"], "Unknown call-id");
}

#[test]
fn when_whatsapp_gives_no_consent_any_more_the_leg_fails_with_that_name_and_nothing_is_sent_to_it() {
    let mut world = World::new(706);
    let phone = PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() };
    let call = calls::user_initiated(&mut world, calls::meta(), phone);
    world.run_for_ms(2_000);
    let meta = calls::meta().locals[0];
    // From now on nothing of Meta's arrives.
    world.set_filter(move |datagram: &mut Datagram| datagram.from != meta);
    world.run_for_ms(31_000);
    let failures: Vec<_> = world
        .events
        .iter()
        .filter_map(|(at, event)| match event.kind {
            EventKind::LegFailed { reason, .. } => Some((at.as_secs(), reason)),
            _ => None,
        })
        .collect();
    // RFC 7675 5.1: consent lasts 30 s from the last answer.
    assert!(matches!(failures[..], [(at, LegFailure::IceDisconnected)] if at <= 32), "{failures:?}");
    world.capture();
    world.run_for_ms(10_000);
    let media = world
        .captured()
        .iter()
        .filter(|(_, d)| d.to == meta && DatagramKind::of(&d.bytes).is_some_and(|kind| kind != DatagramKind::Stun));
    assert_eq!(media.count(), 0, "without consent nothing may be sent (RFC 7675 5.1)");
    assert_eq!(world.ng(&world::delete(&call.id))["result"], "ok");
}

#[test]
fn a_short_silence_of_whatsapp_costs_no_consent() {
    let mut world = World::new(707);
    let phone = PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() };
    let call = calls::user_initiated(&mut world, calls::meta(), phone);
    world.run_for_ms(2_000);
    let meta = calls::meta().locals[0];
    world.set_filter(move |datagram: &mut Datagram| datagram.from != meta);
    world.run_for_ms(8_000);
    world.set_filter(|_| true);
    world.run_for_ms(6_000);
    world.assert_audio_both_ways(&call);
    assert!(world.events.iter().all(|(_, event)| !matches!(event.kind, EventKind::LegFailed { .. })));
    let ice = world.meta(call.meta).report().ice.expect("ICE");
    assert_eq!((ice.switches, ice.consent_gaps), (0, 0));
}

#[test]
fn whatsapp_sees_proof_of_consent_every_five_seconds_in_a_long_call() {
    let mut world = World::new(708);
    let phone = PhoneOptions { codecs: vec![Codec::Opus], silent: true, ..calls::phone() };
    let meta = trestle_peers::MetaOptions { silent: true, ..calls::meta() };
    let call = calls::user_initiated(&mut world, meta, phone);
    world.run_for_ms(58_000);
    let ice = world.meta(call.meta).report().ice.expect("ICE");
    assert_eq!((ice.switches, ice.consent_gaps), (0, 0), "{ice:?}");
    assert!((12..=40).contains(&ice.checks), "{ice:?}");
}
