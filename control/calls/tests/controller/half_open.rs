//! Calls that are offered and never answered, and good calls beside them.

use super::*;

/// A controller that allows the legs of ten half-open calls.
fn world() -> World {
    World::with(|config| config.half_open_legs = Some(20))
}

fn offer_from(call_id: &str, host: u8) -> Dict {
    let sdp = SDP.replace("127.0.0.1", &format!("192.0.2.{host}"));
    command("offer", call_id).with("sdp", sdp).with("from-tag", "a")
}

#[test]
fn offers_that_are_never_answered_do_not_keep_good_calls_out() {
    let mut world = world();
    world.sdp(&offer_from("rings", 1));
    for n in 0..1_000 {
        world.sdp(&offer_from(&format!("evil-{n}"), 9));
        assert!(world.engine().ports_in_use() <= 20);
        if n % 100 == 0 {
            // A good call in between, from the address of another caller.
            let name = format!("good-{n}");
            world.sdp(&offer_from(&name, 2));
            world.sdp(&answer(&name));
            world.done(&command("delete", &name).with("delete-delay", "0"));
        }
    }
    // The caller with the most of them has displaced its own; the other call still rings.
    world.sdp(&answer("rings"));
    assert_eq!(world.controller.counters().ended.get(EndedBy::HalfOpenLimit), 1_000 - 9);
    // Also a good call of the same address is admitted, and answered calls do not count.
    world.sdp(&offer_from("evil-1000", 9));
    for n in 0..30 {
        let name = format!("same-{n}");
        world.sdp(&offer_from(&name, 9));
        world.sdp(&answer(&name));
    }
    assert_eq!(world.controller.counters().ended.get(EndedBy::HalfOpenLimit), 1_000 - 9 + 1);
    let event = world.published.iter().find(|event| event["cause"] == "half_open_limit").expect("an event");
    assert_eq!(event["event"], "call.ended");
}

#[test]
fn the_proxy_can_name_the_caller() {
    let mut world = world();
    let received_from =
        |call_id: &str, from: &str| offer_from(call_id, 1).with("received-from", vec!["IP4".into(), from.into()]);
    world.sdp(&received_from("rings", "198.51.100.1"));
    for n in 0..50 {
        world.sdp(&received_from(&format!("evil-{n}"), "198.51.100.9"));
    }
    world.sdp(&answer("rings"));
}

#[test]
fn re_offers_that_add_parties_count() {
    let mut world = world();
    world.sdp(&offer_from("rings", 1));
    world.sdp(&offer_from("forks", 9));
    for n in 0..6 {
        world.sdp(&offer_from("forks", 9).with("via-branch", format!("z9hG4bK-{n}")).with("to-tag", format!("b{n}")));
    }
    for n in 0..6 {
        world.sdp(&offer_from(&format!("evil-{n}"), 9));
    }
    assert!(world.engine().ports_in_use() <= 20, "{}", world.engine().ports_in_use());
    world.sdp(&answer("rings"));
}

#[test]
fn without_a_limit_only_the_timeout_ends_them() {
    let mut world = World::new();
    for n in 0..50 {
        world.sdp(&offer_from(&format!("c-{n}"), 9));
    }
    assert_eq!(world.controller.counters().calls, 50);
}

#[test]
fn a_limit_below_one_call_admits_one_at_a_time() {
    let mut world = World::with(|config| config.half_open_legs = Some(0));
    for n in 0..3 {
        world.sdp(&offer_from(&format!("c-{n}"), 9));
        assert_eq!(world.controller.counters().calls, 1);
    }
    world.sdp(&answer("c-2"));
}
