//! The main job: WhatsApp on one side, a phone on the other, speech both ways.

use trestle_peers::Codec;
use trestle_tests::{World, calls};

#[test]
fn a_whatsapp_call_to_an_opus_phone_is_heard_both_ways() {
    let mut world = World::new(1);
    let phone = trestle_peers::PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() };
    let call = calls::user_initiated(&mut world, calls::meta(), phone);
    world.run_for_ms(4_000);
    let reply = world.ng(&serde_json::json!({"command":"query","call-id":call.id}));
    println!("{reply}");
    println!("{:?}", world.events);
    println!("{:?}", world.meta(call.meta).report());
    println!("{:?}", world.phone(call.phone).report());
    world.assert_audio_both_ways(&call);
}
