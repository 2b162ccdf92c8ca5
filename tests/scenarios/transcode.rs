//! Opus on one side, G.711 on the other: sound, timing, loss, jitter, packet times.

use trestle_peers::{Codec, PhoneOptions};
use trestle_world::{Link, World, calls};

fn pcmu() -> PhoneOptions {
    PhoneOptions { codecs: vec![Codec::Pcmu], ..calls::phone() }
}

#[test]
fn on_a_clean_path_nothing_is_concealed_and_nothing_waits() {
    let mut world = World::new(21);
    let call = calls::user_initiated(&mut world, calls::meta(), pcmu());
    world.run_for_ms(500);
    world.capture();
    world.run_for_ms(5_000);
    world.assert_audio_both_ways(&call);
    assert_eq!(world.totals().concealed_frames, 0);
    // What leaves, leaves at the instant at which what it was made of arrived: 5 ms after the peer's 20 ms grid.
    let to_phone: Vec<_> =
        world.captured().iter().filter(|(_, d)| d.to == calls::addr("198.51.100.20:30000")).collect();
    let gaps_ms: Vec<u128> = to_phone.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect();
    assert!(gaps_ms.len() > 240 && gaps_ms.iter().all(|gap| *gap == 20), "{gaps_ms:?}");
}

#[test]
fn every_packet_time_of_a_phone_becomes_20_ms_for_whatsapp() {
    for ptime_ms in [10, 20, 30, 40, 50, 60] {
        let mut world = World::new(22);
        let call = calls::user_initiated(&mut world, calls::meta(), PhoneOptions { ptime_ms, ..calls::phone() });
        world.run_for_ms(4_000);
        world.assert_audio_both_ways(&call);
        let report = world.meta(call.meta).report();
        assert_eq!(report.stream.ptime_violations, 0, "{ptime_ms} ms");
        assert!(report.stream.max_drift_ms.abs() <= 60.0, "{ptime_ms} ms: {report:?}");
        assert_eq!(world.totals().concealed_frames, 0, "{ptime_ms} ms: nothing was lost");
    }
}

#[test]
fn opus_of_any_length_from_a_phone_becomes_20_ms_for_whatsapp() {
    for ptime_ms in [10, 20, 40, 60] {
        let mut world = World::new(23);
        let phone = PhoneOptions { codecs: vec![Codec::Opus], ptime_ms, ..calls::phone() };
        let call = calls::user_initiated(&mut world, calls::meta(), phone);
        world.run_for_ms(4_000);
        world.assert_audio_both_ways(&call);
        assert_eq!(world.meta(call.meta).report().stream.ptime_violations, 0, "{ptime_ms} ms");
        assert_eq!(world.totals().concealed_frames, 0, "{ptime_ms} ms: nothing was lost");
    }
}

#[test]
fn lost_packets_are_filled_and_both_sides_get_a_frame_every_20_ms() {
    let mut world = World::new(24);
    calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(1_000);
    for ip in ["31.13.65.60", "198.51.100.20"] {
        world.set_link(ip.parse().unwrap(), Link::CLEAN.losing(50));
    }
    world.capture();
    world.run_for_ms(20_000);
    for to in ["31.13.65.60:40012", "198.51.100.20:30000"] {
        let media = world.captured().iter().filter(|(_, d)| d.to == calls::addr(to) && is_rtp(&d.bytes)).count();
        assert!((995..=1_005).contains(&media), "{media} packets to {to} in 20 s");
    }
    assert!(world.totals().concealed_frames > 20);
}

#[test]
fn jitter_up_to_60_ms_leaves_no_hole() {
    let mut world = World::new(25);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    for ip in ["31.13.65.60", "198.51.100.20"] {
        world.set_link(ip.parse().unwrap(), Link::CLEAN.jittery(60));
    }
    // The hold learns what this path does.
    world.run_for_ms(10_000);
    let before = world.totals();
    world.run_for_ms(20_000);
    let after = world.totals();
    let concealed = after.concealed_frames - before.concealed_frames;
    assert!(concealed <= 40, "{concealed} of 2,000 frames concealed");
    world.assert_audio_both_ways(&call);
}

#[test]
fn a_phone_that_falls_silent_does_not_stop_the_stream_to_whatsapp() {
    let mut world = World::new(26);
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(1_000);
    world.phone(call.phone).set_silent(true);
    world.run_for_ms(5_000);
    world.phone(call.phone).set_silent(false);
    world.run_for_ms(2_000);
    let report = world.meta(call.meta).report();
    assert!(report.stream.longest_gap.as_millis() <= 250, "{:?}", report.stream.longest_gap);
    assert_eq!(report.stream.lost, 0);
    world.assert_audio_both_ways(&call);
}

fn is_rtp(bytes: &[u8]) -> bool {
    trestle_wire::demux::DatagramKind::of(bytes) == Some(trestle_wire::demux::DatagramKind::Rtp)
}
