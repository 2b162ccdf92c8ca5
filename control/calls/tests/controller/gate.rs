//! The gate towards WhatsApp: how it is shut, its three exits, and their events.

use trestle_core::plan::{Filler, Gate, SendPolicy};

use super::*;

const META_ANSWER: &str =
    include_str!("../../../../tests/vectors/meta/business_initiated.graph_webrtc.meta_answer.sdp");

/// WhatsApp is the first leg of a call that it makes, the second of one that it gets.
const WHATSAPP_CALLS: LegId = LegId(0);
const BUSINESS_CALLS: LegId = LegId(1);

fn meta_offer() -> Dict {
    command("offer", "c").with("sdp", META).with("from-tag", "wa").with("transport-protocol", "RTP/AVP")
}

fn phone_answer() -> Dict {
    command("answer", "c").with("sdp", SDP).with("from-tag", "wa").with("to-tag", "agent")
}

fn business_offer() -> Dict {
    offer("c").with("profile", "whatsapp")
}

fn meta_answer() -> Dict {
    command("answer", "c").with("sdp", META_ANSWER).with("from-tag", "a").with("to-tag", "wa")
}

fn gate(op: &str) -> Dict {
    command("gate", "c").with("op", op)
}

impl World {
    fn send_policy(&self, leg: LegId) -> SendPolicy {
        self.engine().plans[&leg].send.policy
    }

    fn gate_state(&self, leg: LegId) -> Gate {
        self.send_policy(leg).gate
    }

    /// Names of the events about gates so far.
    fn exits(&self) -> Vec<&str> {
        let names = self.published.iter().filter_map(|event| event["event"].as_str());
        names.filter(|name| name.starts_with("call.gate.")).collect()
    }

    fn warned(&mut self, dict: &Dict) -> String {
        let request = String::from_utf8(trestle_ng::json::write(dict)).expect("JSON");
        self.next_cookie += 1;
        let cookie = format!("w{}", self.next_cookie);
        self.send(format!("{cookie} {request}")).expect("a reply")
    }
}

#[test]
fn without_gate_flags_the_gate_is_open() {
    let mut world = World::new();
    world.sdp(&meta_offer());
    world.sdp(&phone_answer());
    assert_eq!(
        world.send_policy(WHATSAPP_CALLS),
        SendPolicy { gate: Gate::Open, preroll_max: Duration::from_secs(3), filler: Filler::ComfortNoise }
    );
    assert_eq!(world.send_policy(LegId(1)), SendPolicy::default(), "a phone has no gate and receives no filler");
    world.pass(Duration::from_secs(50));
    assert_eq!(world.exits(), [""; 0]);
    assert_eq!(world.done(&gate("open")).get("gate"), Some(&"open".into()), "it is open already");
    assert_eq!(world.exits(), [""; 0]);
}

#[test]
fn a_gate_is_shut_in_either_direction_of_call_by_offer_or_answer() {
    let shut = |dict: Dict| dict.with("gate", "shut");
    type Message = fn() -> Dict;
    let table: [(Message, Message, LegId); 2] =
        [(meta_offer, phone_answer, WHATSAPP_CALLS), (business_offer, meta_answer, BUSINESS_CALLS)];
    for (offer, answer, whatsapp) in table {
        for (offer, answer) in [(shut(offer()), answer()), (offer(), shut(answer())), (shut(offer()), shut(answer()))] {
            let mut world = World::new();
            world.sdp(&offer);
            world.sdp(&answer);
            assert_eq!(world.gate_state(whatsapp), Gate::Shut);
            assert_eq!(world.gate_state(LegId(1 - whatsapp.0)), Gate::Open, "the phone's");
            assert_eq!(world.done(&gate("open")).get("gate"), Some(&"open".into()));
            assert_eq!(world.gate_state(whatsapp), Gate::Open);
            assert_eq!(world.exits(), ["call.gate.opened"]);
            assert_eq!(world.published.last().unwrap()["tag"], "wa");
        }
    }
}

#[test]
fn opening_twice_is_one_event_and_a_repeated_answer_shuts_no_gate_and_has_the_same_reply() {
    let mut world = World::new();
    world.sdp(&meta_offer().with("gate", "shut"));
    let sdp = world.sdp(&phone_answer().with("gate", "shut"));
    for _ in 0..2 {
        world.done(&gate("open"));
    }
    assert_eq!(world.exits(), ["call.gate.opened"]);
    let applied = world.engine().applied;
    assert_eq!(world.sdp(&phone_answer().with("gate", "shut")), sdp, "accept gets what pre_accept got");
    assert_eq!(world.gate_state(WHATSAPP_CALLS), Gate::Open);
    assert!(world.engine().applied > applied, "the repeat did reach the engine");
    assert_eq!(world.exits(), ["call.gate.opened"]);
}

#[test]
fn an_answer_after_the_verb_does_not_change_the_gate() {
    type Message = fn() -> Dict;
    let table: [(Message, Message, LegId); 2] =
        [(meta_offer, phone_answer, WHATSAPP_CALLS), (business_offer, meta_answer, BUSINESS_CALLS)];
    for (offer, answer, whatsapp) in table {
        for shut_by_offer in [true, false] {
            for (op, state, event) in
                [("open", Gate::Open, "call.gate.opened"), ("close", Gate::Shut, "call.gate.closed")]
            {
                let mut world = World::new();
                world.sdp(&if shut_by_offer { offer().with("gate", "shut") } else { offer() });
                world.done(&gate(op));
                world.sdp(&answer().with("gate", "shut"));
                world.pass(Duration::from_secs(61));
                assert_eq!(world.gate_state(whatsapp), state, "{op}, shut by the offer: {shut_by_offer}");
                // To open an open gate is no exit.
                let exits: &[&str] = if shut_by_offer || op == "close" { &[event] } else { &[] };
                assert_eq!(world.exits(), exits, "{op}, shut by the offer: {shut_by_offer}");
            }
        }
    }
}

#[test]
fn the_offer_to_whatsapp_never_changes() {
    let mut world = World::new();
    let sdp = world.sdp(&business_offer().with("gate", "shut"));
    assert_eq!(world.sdp(&business_offer().with("gate", "shut")), sdp, "before its answer");
    world.sdp(&meta_answer());
    world.done(&gate("open"));
    let again = world.warned(&business_offer().with("to-tag", "wa").with("gate", "shut"));
    assert!(again.contains("WhatsApp is never offered again"), "{again}");
    let again: serde_json::Value = serde_json::from_str(again.split_once(' ').unwrap().1).unwrap();
    assert_eq!(again["sdp"], sdp);
    assert_eq!(world.gate_state(BUSINESS_CALLS), Gate::Open);
}

#[test]
fn a_changed_offer_of_whatsapp_is_refused_with_advice() {
    let mut world = World::new();
    world.sdp(&meta_offer());
    world.sdp(&phone_answer());
    let changed = META.replace("opus/48000/2", "opus/48000/2\r\na=ptime:40");
    let reason =
        world.error(&command("offer", "c").with("sdp", changed).with("from-tag", "wa").with("to-tag", "agent"));
    assert!(reason.starts_with("Error rewriting SDP: the WhatsApp party offers other SDP"), "{reason}");
    assert!(reason.contains("change the other side instead (offer and answer there)"), "{reason}");
}

#[test]
fn a_closed_gate_drops_kept_audio_and_stays_closed() {
    let mut world = World::new();
    world.sdp(&business_offer().with("gate", "shut"));
    world.sdp(&meta_answer());
    for _ in 0..2 {
        assert_eq!(world.done(&gate("close")).get("gate"), Some(&"closed".into()));
    }
    assert_eq!(world.send_policy(BUSINESS_CALLS).gate, Gate::Shut);
    assert_eq!(world.send_policy(BUSINESS_CALLS).preroll_max, Duration::ZERO);
    let reason = world.error(&gate("open"));
    assert!(reason.starts_with("Gate is closed: "), "{reason}");
    let warned = world.warned(&business_offer().with("to-tag", "wa").with("gate", "open"));
    assert!(warned.contains("the gate is closed and stays so"), "{warned}");
    assert_eq!(world.gate_state(BUSINESS_CALLS), Gate::Shut);
    world.done(&command("delete", "c"));
    assert_eq!(world.exits(), ["call.gate.closed"], "the end of the call is no second exit");
}

#[test]
fn an_open_gate_can_be_closed() {
    let mut world = World::new();
    world.sdp(&meta_offer());
    world.sdp(&phone_answer());
    world.done(&gate("close"));
    assert_eq!((world.gate_state(WHATSAPP_CALLS), world.exits()), (Gate::Shut, vec!["call.gate.closed"]));
}

#[test]
fn a_gate_that_is_not_opened_in_time_has_one_event_and_can_be_opened_later() {
    let mut world = World::new();
    world.sdp(&business_offer().with("gate", "shut").with("gate-timeout", "20"));
    world.pass(Duration::from_secs(100));
    assert_eq!(world.exits(), [""; 0], "as long as it rings nothing could be opened");
    world.sdp(&meta_answer());
    world.pass(Duration::from_secs(19));
    assert_eq!(world.exits(), [""; 0]);
    world.pass(Duration::from_secs(30));
    assert_eq!((world.gate_state(BUSINESS_CALLS), world.exits()), (Gate::Shut, vec!["call.gate.timed-out"]));
    assert_eq!(world.published.last().unwrap()["gate"], "shut");
    world.done(&gate("open"));
    assert_eq!((world.gate_state(BUSINESS_CALLS), world.exits().len()), (Gate::Open, 2));
}

#[test]
fn a_gate_may_open_by_itself_when_its_time_is_over() {
    let mut world = World::new();
    world.sdp(&meta_offer());
    world.sdp(&phone_answer().with("flags", "gate-shut,gate-timeout-20,gate-on-timeout-open"));
    assert_eq!(world.gate_state(WHATSAPP_CALLS), Gate::Shut);
    world.engine_mut().full = true;
    world.pass(Duration::from_secs(25));
    assert_eq!((world.gate_state(WHATSAPP_CALLS), world.exits()), (Gate::Shut, vec![]), "the engine has no room");
    world.engine_mut().full = false;
    world.pass(Duration::from_secs(1));
    assert_eq!((world.gate_state(WHATSAPP_CALLS), world.exits()), (Gate::Open, vec!["call.gate.timed-out"]));
    assert_eq!(world.published.last().unwrap()["gate"], "open");
    world.done(&gate("open"));
    assert_eq!(world.exits().len(), 1);
}

#[test]
fn a_call_that_ends_before_its_gate_is_opened_closes_it() {
    let mut world = World::new();
    world.sdp(&meta_offer().with("gate", "shut"));
    world.sdp(&phone_answer());
    world.done(&command("delete", "c"));
    assert_eq!(world.exits(), ["call.gate.closed"]);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.exits(), ["call.gate.closed"], "no time-out of a call that is over");
}

#[test]
fn a_proxy_without_the_verb_opens_the_gate_by_a_key() {
    let mut world = World::new();
    world.sdp(&meta_offer().with("rtpp-flags", "gate=shut"));
    world.sdp(&phone_answer());
    world.sdp(&phone_answer().with("rtpp-flags", "gate=open"));
    assert_eq!((world.gate_state(WHATSAPP_CALLS), world.exits()), (Gate::Open, vec!["call.gate.opened"]));
}

#[test]
fn pre_roll_and_filler_are_as_requested() {
    let mut world = World::new();
    world.sdp(&meta_offer().with("gate", "shut").with("pre-roll", "1500").with("filler", "hold-tone"));
    world.sdp(&phone_answer().with("filler", "silence"));
    let send_policy = |world: &World| {
        (world.send_policy(WHATSAPP_CALLS).preroll_max.as_millis(), world.send_policy(WHATSAPP_CALLS).filler)
    };
    assert_eq!(send_policy(&world), (1_500, Filler::Silence));
    world.done(&gate("open").with("pre-roll", "drop"));
    assert_eq!(send_policy(&world), (0, Filler::Silence));
    world.sdp(&phone_answer().with("pre-roll", "60000"));
    assert_eq!(send_policy(&world).0, 10_000, "no more than that");
}

#[test]
fn the_verb_needs_a_gate_and_an_op() {
    let mut world = World::new();
    assert_eq!(world.error(&gate("open")), "Unknown call-ID");
    world.talk("c");
    assert_eq!(world.error(&gate("open")), "No gate in this call: neither party is WhatsApp");
    assert_eq!(world.error(&gate("open").with("from-tag", "a")), "No gate: that party is not WhatsApp");
    assert_eq!(world.error(&gate("ajar")), "op of gate must be open or close");
    assert_eq!(world.error(&command("gate", "c")), "op of gate must be open or close");
    assert_eq!(world.error(&gate("open").with("pre-roll", "1500")), "pre-roll of gate must be keep or drop");
    let warned = world.warned(&offer("c").with("gate", "shut"));
    assert!(warned.contains("neither party is it"), "{warned}");
}

#[test]
fn a_gate_that_the_engine_does_not_change_keeps_its_state() {
    let mut world = World::new();
    world.sdp(&meta_offer().with("gate", "shut"));
    world.sdp(&phone_answer());
    world.engine_mut().full = true;
    assert_eq!(world.error(&gate("open")), "Load limit exceeded");
    world.engine_mut().full = false;
    assert_eq!((world.gate_state(WHATSAPP_CALLS), world.exits()), (Gate::Shut, vec![]));
    world.done(&gate("open"));
    assert_eq!((world.gate_state(WHATSAPP_CALLS), world.exits()), (Gate::Open, vec!["call.gate.opened"]));
}
