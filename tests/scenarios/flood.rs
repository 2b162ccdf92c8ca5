//! More media than a call has: a budget bounds what is forwarded, and whatever an honest network does stays within it.

use trestle_core::{Discard, EventKind, LegId, Risk};
use trestle_wire::rtp::Header;
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};
use trestle_world::World;
use trestle_world::raw::{self, RawPhone};

/// What is reported of one risk: the second, the leg, and whether it begins or lasts.
fn reported(world: &World, wanted: Risk) -> Vec<(u64, LegId, bool)> {
    let of_risk = |(at, event): &(std::time::Duration, trestle_core::Event)| {
        let second = (at.as_millis() as u64 + 500) / 1_000;
        match event.kind {
            EventKind::AtRisk { leg, risk, .. } if risk == wanted => Some((second, leg, true)),
            EventKind::Recovered { leg, risk } if risk == wanted => Some((second, leg, false)),
            _ => None,
        }
    };
    world.events.iter().filter_map(of_risk).collect()
}

/// PCMA of any length.
fn packet(seq: u16, time: u32, payload: usize) -> Vec<u8> {
    let header = Header { marker: false, pt: Pt::PCMA, seq: Seq(seq), time: RtpTime(time), ssrc: Ssrc(5) };
    [&header.write()[..], &vec![0xd5; payload]].concat()
}

/// Two plain phones in a call, and what the second has received before.
fn plain_call(seed: u64) -> (World, RawPhone, RawPhone) {
    let mut world = World::new(seed);
    let mut caller = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut callee = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "flood", &mut caller, &mut callee);
    callee.talk(&mut world, 1);
    (world, caller, callee)
}

#[test]
fn a_flood_is_forwarded_at_twice_real_time_and_reported_at_once() {
    // Payload, and how many of the 45,000 packets of three seconds are forwarded: the burst of 5 s and the rate of 3 s.
    for (payload, forwarded) in [(160, 250 + 299), (1_400, 28 + 34), (1, 1_250 + 1_499)] {
        let (mut world, mut caller, mut callee) = plain_call(2_001);
        let begun = world.elapsed_ms();
        for n in 0..45_000u32 {
            let bytes = packet(n as u16, 160 * n, payload);
            caller.send_bytes(&mut world, &bytes);
            if n % 15 == 14 {
                world.run_for_ms(1);
            }
        }
        world.run_for_ms(100);
        let received = callee.received(&world).len();
        assert!(received.abs_diff(forwarded) <= 2, "{payload} bytes: {received} and not {forwarded}");
        let discarded = world.totals().discards.get(Discard::OverBudget);
        assert_eq!(discarded, 45_000 - received as u64, "{payload} bytes");
        world.run_for_ms(10_000);
        let second = (begun + 500) / 1_000;
        let story = reported(&world, Risk::Flood);
        assert_eq!(story.first(), Some(&(second, LegId(0), true)), "{payload} bytes: {story:?}");
        assert_eq!(story.last(), Some(&(second + 8, LegId(0), false)), "{payload} bytes: {story:?}");
        assert_eq!(story.len(), 2, "{payload} bytes: {story:?}");
        // The call goes on.
        let before = callee.received(&world).len();
        for n in 0..50u32 {
            let bytes = packet((45_000 + n) as u16, 160 * (45_000 + n), 160);
            caller.send_bytes(&mut world, &bytes);
            world.run_for_ms(20);
        }
        assert_eq!((before, callee.received(&world).len()), (0, 50), "{payload} bytes");
    }
}

#[test]
fn honest_streams_of_any_packet_time_lose_nothing_to_the_budget() {
    for (ptime_ms, payload) in [(5, 40), (10, 80), (20, 160), (30, 240), (60, 480)] {
        let (mut world, mut caller, mut callee) = plain_call(2_002);
        let packets = 30_000 / ptime_ms;
        for n in 0..packets as u32 {
            let bytes = packet(n as u16, 8 * ptime_ms as u32 * n, payload);
            // Each packet comes three times.
            (0..3).for_each(|_| caller.send_bytes(&mut world, &bytes));
            world.run_for_ms(ptime_ms);
        }
        world.run_for_ms(100);
        assert_eq!(callee.received(&world).len() as u64, packets, "{ptime_ms} ms");
        assert_eq!(world.totals().discards.get(Discard::OverBudget), 0, "{ptime_ms} ms");
        assert_eq!(reported(&world, Risk::Flood), [], "{ptime_ms} ms");
    }
}

#[test]
fn five_seconds_that_a_blocked_network_delivers_at_once_are_forwarded() {
    let (mut world, mut caller, mut callee) = plain_call(2_003);
    for round in 0..4u32 {
        for n in 0..250 {
            let n = round * 500 + n;
            caller.send_bytes(&mut world, &packet(n as u16, 160 * n, 160));
            world.run_for_ms(20);
        }
        // The network is blocked, and then delivers what was sent meanwhile.
        world.run_for_ms(4_900);
        for n in 250..500 {
            let n = round * 500 + n;
            caller.send_bytes(&mut world, &packet(n as u16, 160 * n, 160));
        }
    }
    world.run_for_ms(100);
    assert_eq!(callee.received(&world).len(), 2_000);
    assert_eq!(world.totals().discards.get(Discard::OverBudget), 0);
}
