//! The end of service on the media path: calls keep their media until the end, and their peers are informed of it.

use serde_json::json;
use trestle_wire::rtcp::{Compound, RtcpPacket};
use trestle_world::World;
use trestle_world::calls;
use trestle_world::net::Datagram;

/// Sends `drain` with a time, and gives what Trestle has sent from one second before the end of the calls on.
fn drained(world: &mut World, grace: u64) -> Vec<Datagram> {
    let reply = world.ng(&json!({"command": "drain", "grace": grace}));
    assert_eq!((&reply["result"], &reply["calls"]), (&json!("ok"), &json!(1)));
    world.run_for_ms(grace * 1_000 - 1_000);
    assert!(world.ports_in_use() > 0, "the call is carried until the end");
    world.capture();
    world.run_for_ms(2_000);
    assert_eq!(world.ports_in_use(), 0);
    world.captured().iter().map(|(_, datagram)| datagram.clone()).collect()
}

fn is_bye(datagram: &&Datagram) -> bool {
    let Ok(compound) = Compound::parse_reduced_size(&datagram.bytes) else { return false };
    compound.packets().any(|packet| matches!(packet, RtcpPacket::Bye { .. }))
}

#[test]
fn a_call_between_phones_has_media_until_the_end_of_a_drain_and_then_a_bye_for_each() {
    let mut world = World::new(811);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    world.run_for_ms(2_000);
    let sent = drained(&mut world, 6);
    world.assert_audio_between_phones(&call);
    let rtcp: Vec<&Datagram> = sent.iter().filter(is_bye).collect();
    assert_eq!(rtcp.len(), 2);
    assert_ne!(rtcp[0].to, rtcp[1].to);
    let media = sent.iter().filter(|datagram| datagram.bytes[1] & 0x7f < 64).count();
    assert!((90..110).contains(&media), "one second both ways: {media}");
    let ended = world.published.iter().find(|event| event["event"] == "call.ended").expect("the end");
    assert_eq!(ended["cause"], "shutdown");
}

#[test]
fn whatsapp_receives_close_notify_at_the_end_of_a_drain() {
    let mut world = World::new(812);
    let _call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(3_000);
    let sent = drained(&mut world, 2);
    // Content type alert, epoch 1 (RFC 6347 4.1); its content is encrypted.
    let is_alert = |datagram: &&Datagram| datagram.bytes.starts_with(&[21, 0xfe, 0xfd, 0, 1]);
    assert_eq!(sent.iter().filter(is_alert).count(), 1);
    assert_eq!(sent.iter().filter(is_bye).count(), 1, "of the phone; that of WhatsApp is encrypted");
    assert_eq!(world.ng(&json!({"command": "query", "call-id": "x"}))["result"], "error");
}

#[test]
fn a_call_without_media_ends_without_a_bye() {
    let mut world = World::new(813);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    // Nothing was sent yet: a BYE would be the first packet (RFC 3550 6.3.7).
    world.phone(call.meta).set_silent(true);
    world.phone(call.phone).set_silent(true);
    let sent = drained(&mut world, 2);
    assert_eq!(sent.iter().filter(is_bye).count(), 0);
}
