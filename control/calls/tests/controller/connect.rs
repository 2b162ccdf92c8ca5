//! `connect` with a party of another call.

use trestle_core::plan::{Source, Transport};

use super::*;

impl World {
    /// Two calls of two phones each, `c` and `d`.
    fn two_calls() -> Self {
        let mut world = Self::new();
        world.talk("c");
        world.talk("d");
        world
    }

    fn legs(&self, call_id: &str) -> Vec<LegId> {
        let id = self.call_id(call_id);
        self.engine().calls[&id].keys().copied().collect()
    }
}

fn connect(from: (&str, &str), to: (&str, &str)) -> Dict {
    let dict = command("connect", from.0).with("from-tag", from.1);
    dict.with("to-call-id", to.0).with("to-tag", to.1)
}

#[test]
fn each_end_of_a_link_has_the_address_and_the_keys_of_the_other() {
    let mut world = World::two_calls();
    world.done(&connect(("c", "a"), ("d", "b")));
    let end = |call_id: &str| {
        let id = world.call_id(call_id);
        let at = world.engine().calls[&id][&LegId(2)].rtp;
        let Transport::Sdes { peer, send_key, receive_key, .. } =
            world.engine().applied_plans[&(id, LegId(2))].transport.clone()
        else {
            panic!("a link without encryption");
        };
        (at, peer.rtp, send_key.unwrap(), receive_key.unwrap())
    };
    let (near, far) = (end("c"), end("d"));
    assert_eq!((near.1, far.1), (Some(far.0), Some(near.0)));
    assert!(near.2 == far.3 && near.3 == far.2 && near.2 != near.3);
    let source = |call_id: &str, leg: u16| {
        let id = world.call_id(call_id);
        world.engine().applied_plans[&(id, LegId(leg))].send.source
    };
    let leg = |leg: u16| Source::Leg(LegId(leg));
    assert_eq!([0, 1, 2].map(|n| source("c", n)), [leg(2), Source::Nothing, leg(0)]);
    assert_eq!([0, 1, 2].map(|n| source("d", n)), [Source::Nothing, leg(2), leg(1)]);
}

#[test]
fn a_failed_connect_has_an_error_and_leaves_no_leg() {
    let mut world = World::two_calls();
    world.sdp(&offer("ringing"));
    for (dict, reason) in [
        (connect(("unknown", "a"), ("d", "b")), "Unknown call-ID"),
        (connect(("c", "a"), ("unknown", "b")), "Unknown call-ID: to-call-id"),
        (connect(("c", "x"), ("d", "b")), "From-tag given, but no such tag exists"),
        (connect(("c", "a"), ("d", "x")), "To-tag not found"),
        (connect(("c", "a"), ("ringing", "a")), "a party that has not answered cannot be connected"),
    ] {
        assert_eq!(world.error(&dict), reason);
    }
    world.engine_mut().refuse = Some(CommandError::NoPorts);
    assert_eq!(world.error(&connect(("c", "a"), ("d", "b"))), "Ran out of ports");
    world.engine_mut().refuse = None;
    world.engine_mut().full = true;
    assert_eq!(world.error(&connect(("c", "a"), ("d", "b"))), "Load limit exceeded");
    world.engine_mut().full = false;
    assert_eq!((world.legs("c").len(), world.legs("d").len()), (2, 2));
    world.done(&connect(("c", "a"), ("d", "b")));
    assert_eq!((world.legs("c").len(), world.legs("d").len()), (3, 3));
}

#[test]
fn the_near_end_is_removed_if_the_far_one_cannot_be_opened() {
    let mut world = World::two_calls();
    world.engine_mut().asleep = true;
    assert_eq!(world.request(&connect(("c", "a"), ("d", "b"))), None);
    let (id, command) = world.engine_mut().mailbox.remove(0);
    let result = world.engine_mut().run(command);
    world.engine_mut().refuse = Some(CommandError::NoPorts);
    world.trestle.controller.handle_reply(world.trestle.now, id, result);
    world.engine_mut().asleep = false;
    world.drain();
    assert!(world.reply().expect("a reply").contains("Ran out of ports"));
    assert_eq!((world.legs("c").len(), world.legs("d").len()), (2, 2));
}

#[test]
fn the_other_call_waits_while_it_is_being_connected_to() {
    let mut world = World::two_calls();
    world.engine_mut().asleep = true;
    assert_eq!(world.request(&connect(("c", "a"), ("d", "b"))), None);
    assert_eq!(world.request(&command("delete", "d").with("flags", "fast")), None);
    assert_eq!(world.request(&connect(("d", "b"), ("c", "b"))), None);
    world.engine_mut().asleep = false;
    world.drain();
    let replies: Vec<_> = world.replies.drain(..).map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect();
    let [connected, deleted, late] = &replies[..] else { panic!("{replies:?}") };
    assert!(connected.contains("2:ok") && deleted.contains("2:ok"), "{replies:?}");
    assert!(late.contains("Unknown call-ID"), "{replies:?}");
    assert_eq!(world.legs("c").len(), 2, "its end of the link was removed with the other call");
}

#[test]
fn two_connects_that_cross_each_other_both_complete() {
    let mut world = World::two_calls();
    world.engine_mut().asleep = true;
    assert_eq!(world.request(&connect(("c", "a"), ("d", "a"))), None);
    assert_eq!(world.request(&connect(("d", "b"), ("c", "b"))), None);
    world.engine_mut().asleep = false;
    world.drain();
    assert_eq!(world.replies.len(), 2);
    assert!(world.replies.drain(..).all(|(_, bytes)| bytes.ends_with(b"d6:result2:oke")));
    assert_eq!((world.legs("c").len(), world.legs("d").len()), (4, 4));
}

#[test]
fn a_call_that_the_engine_loses_loses_its_link_and_frees_the_other_call() {
    for lost in ["c", "d"] {
        for steps in 0..3 {
            let mut world = World::two_calls();
            world.engine_mut().asleep = true;
            assert_eq!(world.request(&connect(("c", "a"), ("d", "b"))), None);
            for _ in 0..steps {
                let (id, command) = world.engine_mut().mailbox.remove(0);
                let result = world.engine_mut().run(command);
                world.trestle.controller.handle_reply(world.trestle.now, id, result);
                world.drain();
            }
            let call = world.call_id(lost);
            world.engine_mut().calls.remove(&call);
            world.trestle.controller.handle_event(world.trestle.now, Event { call, kind: EventKind::CallFailed });
            world.engine_mut().asleep = false;
            world.drain();
            assert!(world.reply().expect("a reply").contains("error"), "{lost} lost after {steps}");
            let left = if lost == "c" { "d" } else { "c" };
            assert_eq!(world.legs(left).len(), 2, "{lost} lost after {steps}");
            assert_eq!(world.engine().ports_in_use(), 2, "{lost} lost after {steps}");
            world.done(&command("query", left));
        }
    }
}

#[test]
fn a_digit_of_a_link_is_not_reported_a_second_time() {
    let mut world = World::two_calls();
    world.done(&connect(("c", "a"), ("d", "b")));
    let call = world.call_id("c");
    let digit = |leg: u16| Event {
        call,
        kind: EventKind::Digit {
            leg: LegId(leg),
            digit: Digit::from_char('5').unwrap(),
            duration: Duration::from_millis(100),
            volume: 10,
            source: SocketAddr::from(([192, 0, 2, 1], 4_000)),
        },
    };
    for leg in [0, 2] {
        world.trestle.controller.handle_event(world.trestle.now, digit(leg));
        world.drain();
    }
    assert_eq!(world.digits.len(), 1);
}
