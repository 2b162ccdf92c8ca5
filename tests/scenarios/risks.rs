//! What may end a call is reported in time, with the last milestone of the leg, and once.

use trestle_core::{EventKind, LegFailure, LegId, Milestone, Risk};
use trestle_peers::{Codec, MetaOptions, PhoneOptions};
use trestle_wire::demux::DatagramKind;
use trestle_world::calls::{self, Call};
use trestle_world::net::Datagram;
use trestle_world::raw::{self, RawPhone};
use trestle_world::{Link, World};

/// WhatsApp's leg, and the phone's.
const META: LegId = LegId(0);
const PHONE: LegId = LegId(1);

/// What was reported: the second, what, for how many seconds and what was reached by then. A risk without these is over.
type Reported = (u64, Risk, Option<(u64, Milestone)>);

/// What was reported of a leg since the start.
fn reported(world: &World, leg: LegId) -> Vec<Reported> {
    let of_leg = |(at, event): &(std::time::Duration, trestle_core::Event)| {
        // A look comes some milliseconds after the second that it is due at.
        let second = (at.as_millis() as u64 + 500) / 1_000;
        match event.kind {
            EventKind::AtRisk { leg: of, risk, lasted, reached } if of == leg => {
                Some((second, risk, Some((lasted.as_secs(), reached))))
            }
            EventKind::Recovered { leg: of, risk } if of == leg => Some((second, risk, None)),
            _ => None,
        }
    };
    world.events.iter().filter_map(of_leg).collect()
}

fn failures(world: &World) -> Vec<LegFailure> {
    let failed = |kind: &EventKind| match kind {
        EventKind::LegFailed { reason, .. } => Some(*reason),
        _ => None,
    };
    world.events.iter().filter_map(|(_, event)| failed(&event.kind)).collect()
}

/// A user calls; `lost` decides which of WhatsApp's datagrams get lost.
fn call_losing(seed: u64, lost: fn(DatagramKind) -> bool) -> (World, Call) {
    let mut world = World::new(seed);
    let from_meta = calls::meta().locals[0];
    world.set_filter(move |datagram: &mut Datagram| {
        datagram.from != from_meta || !DatagramKind::of(&datagram.bytes).is_some_and(lost)
    });
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    (world, call)
}

#[test]
fn a_good_call_on_a_bad_path_is_never_at_risk() {
    let mut world = World::new(901);
    let meta_ip = calls::meta().locals[0].ip();
    world.set_link(meta_ip, Link::CLEAN.delayed(100).jittery(30).losing(100));
    calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(40_000);
    assert_eq!((reported(&world, META), reported(&world, PHONE)), (vec![], vec![]));
}

#[test]
fn stun_checks_without_a_response_raise_ice_and_nothing_sent_risks() {
    let (mut world, _) = call_losing(902, |_| true);
    world.run_for_ms(25_000);
    let at = |second, risk| (second, risk, Some((second, Milestone::FirstCheck)));
    let wanted = [
        at(5, Risk::IceStuck),
        at(10, Risk::IceStuck),
        at(10, Risk::NothingSent),
        at(15, Risk::NothingSent),
        at(20, Risk::IceStuck),
    ];
    assert_eq!(reported(&world, META), wanted);
}

#[test]
fn a_stuck_dtls_handshake_raises_a_risk_and_its_end_a_recovery() {
    let (mut world, call) = call_losing(903, |kind| kind == DatagramKind::Dtls);
    world.run_for_ms(6_000);
    let at = |second, risk| (second, risk, Some((second, Milestone::IceConnected)));
    assert_eq!(reported(&world, META), [at(2, Risk::DtlsStuck), at(5, Risk::DtlsStuck)]);
    world.set_filter(|_| true);
    world.run_for_ms(40_000);
    // How soon the next flight is sent is for the handshake to decide; every risk that was reported meanwhile is over.
    let reported = reported(&world, META);
    for risk in [Risk::DtlsStuck, Risk::NothingSent] {
        let last = reported.iter().rfind(|(_, known, _)| *known == risk);
        assert!(last.is_none_or(|(_, _, lasting)| lasting.is_none()), "{reported:?}");
    }
    assert!(reported.iter().any(|(_, risk, lasting)| *risk == Risk::DtlsStuck && lasting.is_none()), "{reported:?}");
    world.assert_audio_both_ways(&call);
    assert_eq!(failures(&world), []);
}

#[test]
fn a_peer_that_gives_a_handshake_up_fails_the_leg_once() {
    let (mut world, _) = call_losing(904, |kind| kind == DatagramKind::Dtls);
    world.run_for_ms(130_000);
    let failures = failures(&world);
    // The peer gives up before we do, and answers no more checks.
    assert_eq!(failures, [LegFailure::IceDisconnected]);
}

#[test]
fn no_media_from_whatsapp_raises_risks_at_10_and_20_s_for_both_legs() {
    let mut world = World::new(905);
    calls::user_initiated(&mut world, MetaOptions { silent: true, ..calls::meta() }, calls::phone());
    world.run_for_ms(25_000);
    let at = |second, risk, reached| (second, risk, Some((second, reached)));
    let nothing = Risk::NothingReceived;
    let wanted = [at(10, nothing, Milestone::FirstMediaOut), at(20, nothing, Milestone::FirstMediaOut)];
    assert_eq!(reported(&world, META), wanted);
    let wanted = [10, 15].map(|second| (second, Risk::NothingSent));
    let of_phone: Vec<(u64, Risk)> = reported(&world, PHONE).iter().map(|(second, risk, _)| (*second, *risk)).collect();
    assert_eq!(of_phone, wanted);
}

#[test]
fn media_loss_from_whatsapp_in_mid_call_raises_three_risks_and_a_recovery() {
    let mut world = World::new(906);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(5_000);
    world.meta(call.meta).set_silent(true);
    world.run_for_ms(35_000);
    world.meta(call.meta).set_silent(false);
    world.run_for_ms(3_000);
    let silent = |second, lasted| (second, Risk::FellSilent, Some((lasted, Milestone::FirstMediaIn)));
    let story = reported(&world, META);
    assert_eq!(story[..3], [silent(15, 10), silent(25, 20), silent(35, 30)], "{story:?}");
    assert!(matches!(story[3..], [(40..=42, Risk::FellSilent, None)]), "within a second: {story:?}");
}

#[test]
fn a_lost_phone_raises_a_risk_while_whatsapp_still_receives_media() {
    let mut world = World::new(907);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(5_000);
    world.phone(call.phone).set_silent(true);
    world.run_for_ms(32_000);
    let seconds: Vec<u64> = reported(&world, PHONE)
        .iter()
        .filter(|(_, risk, lasts)| *risk == Risk::FellSilent && lasts.is_some())
        .map(|(second, ..)| *second)
        .collect();
    assert_eq!(seconds, [15, 25, 35]);
    assert_eq!(reported(&world, META), [], "the line is kept alive");
}

#[test]
fn a_call_on_hold_raises_no_risk_whichever_side_is_silent() {
    let mut world = World::new(908);
    let mut first = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut second = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "held", &mut first, &mut second);
    first.talk(&mut world, 10);
    second.talk(&mut world, 10);
    for phone in [&mut first, &mut second] {
        phone.extra_lines = "a=inactive\r\n".to_owned();
    }
    raw::re_offer(&mut world, "held", (&mut first, "a"), (&mut second, "b"));
    world.run_for_ms(50_000);
    assert_eq!((reported(&world, META), reported(&world, PHONE)), (vec![], vec![]));
}

#[test]
fn lost_ice_consent_is_one_failure_and_one_risk_for_the_missing_media() {
    let mut world = World::new(909);
    let phone = PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() };
    calls::user_initiated(&mut world, calls::meta(), phone);
    world.run_for_ms(5_000);
    let meta = calls::meta().locals[0];
    world.set_filter(move |datagram: &mut Datagram| datagram.from != meta);
    world.run_for_ms(60_000);
    assert_eq!(failures(&world), [LegFailure::IceDisconnected]);
    let risks: Vec<Risk> = reported(&world, META).iter().map(|(_, risk, _)| *risk).collect();
    let wanted = [Risk::FellSilent, Risk::FellSilent, Risk::FellSilent, Risk::NothingSent, Risk::NothingSent];
    assert_eq!(risks, wanted, "consent ends after 23 s, and from then on nothing may be sent");
}
