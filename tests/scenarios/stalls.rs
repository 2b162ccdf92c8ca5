//! Trestle gets no CPU for a while: a stopped process, a paused machine, other programs. Old audio is of no use then, all else is.

use serde_json::{Value, json};
use trestle_core::Discard;
use trestle_peers::{Codec, PhoneOptions};
use trestle_srtp::Profile;
use trestle_world::calls;
use trestle_world::raw::{self, RawPhone};
use trestle_world::{World, world};

/// Packets of 20 ms in the audio that may still be sent, 200 ms of it.
const KEPT: usize = 10;

/// `packets` packets of `phone` arrive while Trestle is stalled.
fn stall(world: &mut World, phone: &mut RawPhone, packets: usize) {
    // The network delivers each 5 ms after it was sent, so they are sent ahead of time.
    let now = world.now();
    for n in 0..packets {
        let packet = phone.packet();
        world.inject_after(n as u64 * 20, phone.at, phone.remote.expect("an address"), &packet);
    }
    world.stall_for_ms(packets as u64 * 20);
    assert!(world.now() > now);
}

fn leg(world: &mut World, call: &str, tag: &str) -> Value {
    world.ng(&json!({"command": "query", "call-id": call, "flags": ["verbose"]}))["tags"][tag]["leg"].clone()
}

#[test]
fn after_a_stall_the_newest_200_ms_of_forwarded_audio_are_sent_and_the_rest_is_counted() {
    for key in [None, Some(raw::key(Profile::AesCm128HmacSha1_80, 1))] {
        for packets in [5, 10, 50, 250, 1_000] {
            let mut world = World::new(2_001);
            let mut phone = RawPhone::new(&mut world, "198.51.100.10:20000", key.clone());
            let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
            raw::call(&mut world, "stalled", &mut phone, &mut other);
            phone.talk(&mut world, 50);
            let before = other.received(&world).len();
            assert!((49..=50).contains(&before));
            stall(&mut world, &mut phone, packets);
            world.run_for_ms(10);
            let received = other.received(&world);
            let kept = KEPT.min(packets);
            assert!((kept..=kept + 1).contains(&(received.len() + before - 50)), "{} of {packets}", received.len());
            phone.talk(&mut world, 100);
            world.run_for_ms(10);
            let after = other.received(&world);
            assert_eq!(after.len(), 100, "nothing of what follows is lost");
            let mut numbers = received.iter().chain(&after).map(|packet| packet.header.seq);
            let mut last = numbers.next().expect("a packet");
            for seq in numbers {
                assert_eq!(seq, last.next(), "no gap that looks like loss");
                last = seq;
            }
            let report = leg(&mut world, "stalled", "a");
            let stale = report["discards"]["stale"].as_u64().unwrap_or(0) as usize;
            assert_eq!(stale + received.len() + before, 50 + packets, "{report}");
            assert_eq!(report["packets-lost"].as_i64(), Some(0), "our discards are not loss of the network: {report}");
        }
    }
}

#[test]
fn after_a_stall_a_transcoder_sends_at_most_200_ms_at_once_in_either_direction() {
    for stall_ms in [300, 1_000, 5_000, 20_000] {
        let mut world = World::new(2_002);
        let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
        world.run_for_ms(3_000);
        let counts = |world: &mut World| {
            (world.meta(call.meta).report().stream.packets, world.phone(call.phone).report().packets)
        };
        let before = counts(&mut world);
        world.stall_for_ms(stall_ms);
        world.run_for_ms(100);
        let after = counts(&mut world);
        let burst = (after.0 - before.0, after.1 - before.1);
        // 200 ms that waited, 100 ms that passed, and a few frames of concealment or filler.
        assert!(burst.0 <= 20 && burst.1 <= 20, "{stall_ms} ms: {burst:?} packets within 100 ms");
        world.run_for_ms(3_000);
        let later = counts(&mut world);
        let steady = (later.0 - after.0, later.1 - after.1);
        assert!((145..=155).contains(&steady.0) && (145..=155).contains(&steady.1), "{stall_ms} ms: {steady:?} in 3 s");
        world.assert_audio_both_ways(&call);
        world.ng(&world::delete(&call.id));
    }
}

#[test]
fn a_digit_that_is_pressed_during_a_stall_is_reported_and_sent() {
    for (name, phone) in [
        ("telephone-events", calls::phone()),
        ("beside Opus", PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() }),
    ] {
        let mut world = World::new(2_003);
        let call = calls::user_initiated(&mut world, calls::meta(), phone);
        world.run_for_ms(3_000);
        world.phone(call.phone).press('7', std::time::Duration::from_millis(200));
        world.stall_for_ms(5_000);
        world.run_for_ms(2_000);
        assert_eq!(world.feed.len(), 1, "{name}: {:?}", world.feed);
        assert_eq!(world.meta(call.meta).report().stream.digits_received(), "7", "{name}");
        assert!(world.totals().discards.get(Discard::Stale) > 0, "{name}");
    }
}

#[test]
fn a_stall_at_any_point_of_the_handshake_costs_whatsapp_no_packet() {
    // Its SDP makes WhatsApp the DTLS client in calls that it answers, and the server in calls that it makes.
    for is_user_initiated in [true, false] {
        for (begin_ms, stall_ms) in (0..60).step_by(10).flat_map(|begin| [(begin, 60), (begin, 2_500)]) {
            let mut world = World::new(2_004);
            let (meta, phone) = (calls::meta(), calls::phone());
            let call = match is_user_initiated {
                true => calls::user_initiated(&mut world, meta, phone),
                false => calls::business_initiated(&mut world, meta, phone),
            };
            world.run_for_ms(begin_ms);
            world.stall_for_ms(stall_ms);
            world.run_for_ms(2_000);
            let report = world.meta(call.meta).report();
            let early = report.ice.expect("WebRTC").media_before_keys;
            let name = format!("{stall_ms} ms from {begin_ms} ms on, user-initiated: {is_user_initiated}");
            assert_eq!((early, report.stream.auth_failures, report.stream.lost), (0, 0, 0), "{name}");
            world.assert_audio_both_ways(&call);
        }
    }
}
