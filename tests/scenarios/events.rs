//! Events for applications, from the engine and the controller together.

use serde_json::{Value, json};
use trestle_peers::{Meta, Phone, PhoneOptions};
use trestle_world::World;
use trestle_world::calls::{self, Call};

/// WhatsApp calls, its gate is shut, and the phone answers at once.
fn gated(world: &mut World, phone: PhoneOptions) -> Call {
    let (meta, phone) = (Meta::new(world.now(), calls::meta()), Phone::new(world.now(), phone));
    let (meta, phone) = (world.add_meta(meta), world.add_phone(phone));
    let call = Call { id: "events".to_owned(), meta, phone };
    let now = world.now();
    world.meta(meta).ring();
    let offer = world.meta(meta).offer(now).expect("Meta's offer");
    let flags = json!({"ICE": "remove", "transport-protocol": "RTP/AVP", "gate": "shut"});
    let reported = calls::offer_sdp(world, &call.id, "meta", &offer, flags);
    let answer = world.phone(phone).answer(now, &reported).expect("the phone's answer");
    let reported = calls::answer_sdp(world, &call.id, "meta", "phone", &answer);
    world.meta(meta).accept(now, &reported).expect("an answer that Meta takes");
    call
}

/// `event tag risk`, as far as each is there.
fn names(events: &[Value]) -> Vec<String> {
    let words = |event: &Value| {
        let words = ["event", "tag", "risk"].map(|key| event[key].as_str().unwrap_or_default().to_owned());
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    events.iter().map(words).collect()
}

#[test]
fn events_of_a_call_run_from_its_first_offer_to_its_clipped_pre_roll() {
    let mut world = World::new(1_401);
    let call = gated(&mut world, calls::phone());
    world.run_for_ms(1_500);
    world.ng(&json!({"command": "gate", "call-id": call.id, "op": "open"}));
    world.meta(call.meta).accepted();
    world.run_for_ms(2_000);
    world.whatsapp_presses(&call, "7", 200);
    // A tone has no pauses that could be shortened, so this takes its time.
    world.run_for_ms(30_000);
    world.ng(&json!({"command": "delete", "call-id": call.id}));
    let reported = names(&world.published);
    // Each once, and in this order; what happens in one instant may come in either.
    let story = [
        &["call.opened"][..],
        &["call.answered"],
        &["call.ice.connected meta"],
        &["call.dtls.connected meta"],
        &["call.gate.opened meta", "call.media.first-out meta"],
        &["call.dtmf meta"],
        &["call.caught-up meta"],
        &["call.ended"],
    ];
    let mut before = 0;
    for names in story {
        let places = |name: &&str| (0..reported.len()).filter(|at| reported[*at] == **name).collect::<Vec<_>>();
        let places: Vec<usize> = names.iter().flat_map(places).collect();
        assert_eq!(places.len(), names.len(), "{names:?} in {reported:#?}");
        assert!(places.iter().all(|at| *at >= before), "{names:?} in {reported:#?}");
        before = places.into_iter().max().unwrap_or(before);
    }
    let ended = world.published.last().expect("the end");
    let legs = ended["legs"].as_array().expect("legs");
    let meta = legs.iter().find(|leg| leg["tag"] == "meta").expect("WhatsApp's leg");
    assert_eq!(meta["clipped-ms"], 0, "{ended:#}");
    assert!(meta["pre-roll-ms"].as_u64().is_some_and(|ms| ms > 500), "{ended:#}");
    assert!(meta["caught-up-ms"].as_u64().is_some(), "{ended:#}");
}

#[test]
fn a_phone_without_media_raises_one_way_audio_and_a_gate_that_stays_shut_times_out() {
    let mut world = World::new(1_402);
    gated(&mut world, PhoneOptions { silent: true, ..calls::phone() });
    world.run_for_ms(70_000);
    let reported = names(&world.published);
    assert_eq!(reported.iter().filter(|name| *name == "call.gate.timed-out meta").count(), 1, "{reported:#?}");
    let mut world = World::new(1_403);
    calls::user_initiated(&mut world, calls::meta(), PhoneOptions { silent: true, ..calls::phone() });
    world.run_for_ms(20_000);
    let reported = names(&world.published);
    let one_way =
        world.published.iter().find(|event| event["risk"] == "one-way").unwrap_or_else(|| panic!("{reported:#?}"));
    assert_eq!(one_way["tag"], "phone", "{one_way:#}");
    assert!(one_way["reason"].as_str().is_some_and(|why| why.contains("not from the SIP side")), "{one_way:#}");
    assert_eq!(reported.iter().filter(|name| name.contains("one-way")).count(), 1, "{reported:#?}");
}
