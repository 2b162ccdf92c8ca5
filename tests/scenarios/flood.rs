//! More media than a call has: a budget bounds what is forwarded, and whatever an honest network does stays within it.

use std::cell::Cell;
use std::rc::Rc;

use trestle_core::{Discard, EventKind, LegId, Risk};
use trestle_wire::rtp::Header;
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};
use trestle_world::net::Datagram;
use trestle_world::raw::{self, RawPhone};
use trestle_world::{Link, World};

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
    // Payload, and how many of the 45,000 packets of three seconds are forwarded: the burst of 6 s and the rate of 3 s.
    for (payload, forwarded) in [(160, 300 + 299), (1_400, 34 + 34), (1, 1_500 + 1_499)] {
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

/// The addresses of the four parties of two calls, and Trestle's ports for them.
struct TwoCalls {
    phones: [RawPhone; 4],
}

impl TwoCalls {
    /// Calls `x` (phones 0 and 1) and `y` (phones 2 and 3).
    fn new(world: &mut World) -> Self {
        let mut phones =
            [1, 2, 3, 4].map(|n| RawPhone::new(world, &format!("198.51.100.{n}:{}", 20_000 + 2 * n), None));
        let [a, b, c, d] = &mut phones;
        raw::call(world, "x", a, b);
        raw::call(world, "y", c, d);
        for phone in &mut phones {
            world.set_link(phone.at.ip(), Link::CLEAN.delayed(1));
            phone.send(world);
        }
        world.run_for_ms(20);
        phones[3].received(world);
        Self { phones }
    }

    /// A relay that takes the place of all four parties: what phone 0 is sent goes to the leg of phone 3 as from phone 3, and so
    /// on, so that the media goes round in both directions. Counts the packets that it has passed on.
    fn close_the_ring(&self, world: &mut World, rewrites_ssrc: bool) -> Rc<Cell<u64>> {
        let passed = Rc::new(Cell::new(0));
        let count = Rc::clone(&passed);
        let at = self.phones.each_ref().map(|phone| (phone.at, phone.remote.expect("Trestle's address")));
        world.set_filter(move |datagram: &mut Datagram| {
            if let Some(phone) = at.iter().position(|(phone, _)| *phone == datagram.to) {
                let (from, to) = at[[3, 2, 1, 0][phone]];
                (datagram.from, datagram.to) = (from, to);
                if rewrites_ssrc {
                    datagram.bytes[8..12].copy_from_slice(&[9, 9, 9, phone as u8]);
                }
                count.set(count.get() + 1);
            }
            true
        });
        passed
    }

    /// Ten packets of phone 0, at once. Two legs receive in each direction of the ring; each discards the
    /// first packet of the new stream.
    fn begin(&mut self, world: &mut World) {
        (0..10).for_each(|_| self.phones[0].send(world));
    }
}

#[test]
fn a_ring_of_two_calls_through_a_relay_is_interrupted_and_reported() {
    let mut world = World::new(2_004);
    let mut calls = TwoCalls::new(&mut world);
    let passed = calls.close_the_ring(&mut world, false);
    calls.begin(&mut world);
    world.run_for_ms(4_000);
    // Without a bound they would go round at the speed of the network for ever.
    assert!((2 * 100..=2 * 200).contains(&passed.get()), "{}", passed.get());
    assert!(!reported(&world, Risk::Ring).is_empty());
    assert!(world.totals().discards.get(Discard::Ring) >= 6);
    let before = passed.get();
    world.run_for_ms(60_000);
    let rtcp = passed.get() - before;
    assert!(rtcp < 4 * 30, "only reports, but {rtcp} packets");
    let over = reported(&world, Risk::Ring).iter().filter(|(_, _, begins)| !begins).count();
    assert!(over >= 1, "{:?}", reported(&world, Risk::Ring));
}

#[test]
fn a_ring_through_a_relay_with_ssrcs_of_its_own_is_ended_by_the_budget() {
    let mut world = World::new(2_005);
    let mut calls = TwoCalls::new(&mut world);
    let passed = calls.close_the_ring(&mut world, true);
    calls.begin(&mut world);
    world.run_for_ms(10_000);
    assert!((2 * 300..=2 * 600).contains(&passed.get()), "{}", passed.get());
    assert!(!reported(&world, Risk::Flood).is_empty());
    let before = passed.get();
    world.run_for_ms(60_000);
    assert!(passed.get() - before < 4 * 30, "only reports, but {} packets", passed.get() - before);
}

#[test]
fn a_call_that_passes_through_trestle_twice_loses_nothing() {
    let mut world = World::new(2_006);
    let mut calls = TwoCalls::new(&mut world);
    // What phone 1 is sent goes into the second call, as from phone 2.
    let [(_, _), (one, _), (two, to), (_, _)] =
        calls.phones.each_ref().map(|phone| (phone.at, phone.remote.expect("Trestle's address")));
    world.set_filter(move |datagram: &mut Datagram| {
        if datagram.to == one {
            (datagram.from, datagram.to) = (two, to);
        }
        true
    });
    // The second call follows its new stream from the second packet on.
    calls.phones[0].talk(&mut world, 1);
    calls.phones[0].talk(&mut world, 3_000);
    assert_eq!(calls.phones[3].received(&world).len(), 3_000);
    let discards = world.totals().discards;
    assert_eq!((discards.get(Discard::Ring), discards.get(Discard::OverBudget)), (0, 0));
    assert_eq!(reported(&world, Risk::Ring), []);
}

#[test]
fn what_another_leg_of_the_call_sends_is_not_forwarded() {
    let (mut world, mut caller, mut callee) = plain_call(2_007);
    caller.talk(&mut world, 10);
    let ssrc = callee.received(&world)[0].header.ssrc;
    // The caller's leg receives what Trestle sends to the callee.
    let before = world.totals().discards.get(Discard::Ring);
    let mut copy = RawPhone::new(&mut world, "198.51.100.10:20002", None);
    (copy.ssrc, copy.remote) = (ssrc.0, caller.remote);
    copy.at = caller.at;
    copy.talk(&mut world, 10);
    assert_eq!(callee.received(&world).len(), 0);
    assert_eq!(world.totals().discards.get(Discard::Ring) - before, 9, "the first one is on probation");
    assert_eq!(reported(&world, Risk::Ring).len(), 1);
    caller.ssrc += 1;
    caller.talk(&mut world, 10);
    assert_eq!(callee.received(&world).len(), 9, "the call goes on");
}

/// Two phones in a call, of which the second sends nothing. `lines` go into its SDP.
fn call_to_a_silent_phone(seed: u64, lines: &str) -> (World, RawPhone, RawPhone) {
    let mut world = World::new(seed);
    let mut caller = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut callee = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    callee.extra_lines = lines.to_owned();
    raw::call(&mut world, "silent", &mut caller, &mut callee);
    (world, caller, callee)
}

#[test]
fn an_address_from_which_nothing_came_gets_one_packet_a_second_after_the_probe_time() {
    let (mut world, mut caller, mut callee) = call_to_a_silent_phone(2_008, "");
    caller.talk(&mut world, 50 * 60);
    assert_eq!(callee.received(&world).len(), 3_000, "a call as usual for a minute");
    caller.talk(&mut world, 50 * 60);
    let probes = callee.received(&world);
    assert_eq!(probes.len(), 60);
    assert!(probes.windows(2).all(|pair| pair[1].header.seq == pair[0].header.seq.next()), "the numbers close up");
    assert_eq!(reported(&world, Risk::Unproven), [(60, LegId(1), true), (70, LegId(1), true)]);
    assert_eq!(world.totals().discards.get(Discard::Unproven), 50 * 60 - 60);
    // The first packet of the phone ends that at once.
    callee.send(&mut world);
    world.run_for_ms(20);
    caller.talk(&mut world, 50 * 60);
    assert_eq!(callee.received(&world).len(), 3_000);
    assert_eq!(reported(&world, Risk::Unproven).last().map(|(_, _, begins)| *begins), Some(false));
}

#[test]
fn a_report_is_a_proof_as_good_as_audio() {
    let (mut world, mut caller, mut callee) = call_to_a_silent_phone(2_009, "");
    caller.talk(&mut world, 50);
    // A receiver report without a block, to the RTCP port.
    let to = std::net::SocketAddr::new(callee.remote.unwrap().ip(), callee.remote.unwrap().port() + 1);
    let from = std::net::SocketAddr::new(callee.at.ip(), callee.at.port() + 1);
    world.inject(from, to, &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    caller.talk(&mut world, 50 * 120);
    assert_eq!(callee.received(&world).len(), 50 * 121);
    assert_eq!(reported(&world, Risk::Unproven), []);
}

#[test]
fn a_phone_that_announces_to_send_nothing_needs_no_proof() {
    let (mut world, mut caller, mut callee) = call_to_a_silent_phone(2_010, "a=recvonly\r\n");
    caller.talk(&mut world, 50 * 120);
    assert_eq!(callee.received(&world).len(), 50 * 120);
    assert_eq!(reported(&world, Risk::Unproven), []);
}

#[test]
fn another_address_for_the_same_silent_phone_gets_no_second_probe() {
    let (mut world, mut caller, mut callee) = call_to_a_silent_phone(2_011, "");
    caller.talk(&mut world, 50 * 70);
    assert_eq!(callee.received(&world).len(), 3_010);
    for n in 1..=5 {
        callee.at.set_port(30_000 + 2 * n);
        callee.actor = world.add_stranger(callee.at);
        callee.restart_reading();
        raw::re_offer(&mut world, "silent", (&mut caller, "a"), (&mut callee, "b"));
        caller.talk(&mut world, 50 * 10);
        assert_eq!(callee.received(&world).len(), 10, "address {n}");
    }
    callee.send(&mut world);
    world.run_for_ms(20);
    caller.talk(&mut world, 50);
    assert_eq!(callee.received(&world).len(), 50);
}

#[test]
fn a_flood_to_an_address_from_which_nothing_came_is_limited_to_one_call() {
    let (mut world, mut caller, mut callee) = call_to_a_silent_phone(2_012, "");
    for n in 0..45_000u32 {
        caller.send_bytes(&mut world, &packet(n as u16, 160 * n, 1_400));
        if n % 15 == 14 {
            world.run_for_ms(1);
        }
    }
    world.run_for_ms(100);
    // 175 ms each: a second at once, and 1.25 times real time.
    let received = callee.received(&world).len();
    assert!((24..=28).contains(&received), "{received}");
}

#[test]
fn a_flood_of_reports_is_taken_at_fifty_a_second_and_reported_at_once() {
    let (mut world, mut caller, mut callee) = plain_call(2_013);
    caller.talk(&mut world, 50);
    callee.received(&world);
    let at_rtcp = |of: std::net::SocketAddr| std::net::SocketAddr::new(of.ip(), of.port() + 1);
    let (from, to) = (at_rtcp(caller.at), at_rtcp(caller.remote.unwrap()));
    let taken = |world: &mut World| world.totals().rtcp_in.packets;
    // A receiver report about what Trestle sends: half of its packets are lost. Every second for half a minute it is honest.
    let report = [&[0x81, 201, 0, 7, 0, 0, 0, 7][..], &[0, 0, 0, 9, 128], &[0; 19]].concat();
    for _ in 0..30 {
        world.inject(from, to, &report);
        world.run_for_ms(1_000);
    }
    let (begun, honest) = (world.elapsed_ms(), taken(&mut world));
    assert_eq!((honest, reported(&world, Risk::Flood)), (30, vec![]));
    for n in 0..30_000 {
        world.inject(from, to, &report);
        if n % 10 == 9 {
            world.run_for_ms(1);
        }
    }
    world.run_for_ms(100);
    let flood = taken(&mut world) - honest;
    assert!((215..=225).contains(&flood), "70 that were left, and 50 in each of three seconds, but {flood}");
    assert_eq!(world.totals().discards.get(Discard::OverBudget), 30_000 - flood);
    assert_eq!(reported(&world, Risk::Flood).first(), Some(&((begun + 500) / 1_000, LegId(0), true)));
    // Audio is not part of that, and honest reports are taken again.
    caller.talk(&mut world, 50);
    assert_eq!(callee.received(&world).len(), 50);
    let before = taken(&mut world);
    world.inject(from, to, &report);
    world.run_for_ms(20);
    assert_eq!(taken(&mut world), before + 1);
}
