//! The end of service: `drain`, and the signals of the operator.

use super::*;
use trestle_calls::controller::OperatorCommand;

fn drain(keys: &[(&str, Value)]) -> Dict {
    keys.iter().fold(Dict::default().with("command", "drain"), |dict, (key, value)| dict.with(key, value.clone()))
}

fn state(world: &World) -> ServiceState {
    world.controller.service_state()
}

/// The events of the calls, by name.
fn ended(world: &mut World) -> Vec<(String, String)> {
    let text = |event: &serde_json::Value, key: &str| event[key].as_str().unwrap().to_owned();
    let events = std::mem::take(&mut world.published);
    let ends = events.iter().filter(|event| event["event"] == "call.ended");
    ends.map(|event| (text(event, "call-id"), text(event, "cause"))).collect()
}

#[test]
fn a_drain_refuses_new_calls_with_the_words_of_a_session_limit_and_keeps_the_others() {
    let mut world = World::with(|config| config.publish_events = true);
    world.talk("old");
    let reply = world.done(&drain(&[]));
    assert_eq!((reply.get("calls"), reply.get("grace")), (Some(&Value::Integer(1)), Some(&Value::Integer(2))));
    assert_eq!(state(&world), ServiceState::Draining);

    assert_eq!(world.error(&offer("new")), "Parallel session limit reached");
    assert_eq!(world.error(&command("create", "new").with("from-tag", "a")), "Parallel session limit reached");
    let knows_limits = offer("new").with("supports", vec!["load limit".into()]);
    let refused = world.request(&knows_limits).unwrap();
    assert_eq!(refused, "d6:result10:load limit7:message30:Parallel session limit reachede");
    let ping = world.request(&Dict::default().with("command", "ping")).unwrap();
    assert_eq!(ping, "d8:drainingi1e6:result4:ponge", "a proxy still regards the node as usable for its calls");

    world.pass(Duration::from_millis(1_900));
    world.sdp(&offer("old"));
    world.sdp(&answer("old"));
    assert_eq!(state(&world), ServiceState::Draining);
    world.done(&command("delete", "old"));
    assert_eq!(state(&world), ServiceState::Drained, "with its last call");
    assert_eq!(ended(&mut world), [("old".to_owned(), "deleted".to_owned())]);
    assert_eq!(world.engine().announced, [], "the signalling informs its peers");
    assert_eq!(world.controller.counters().rejected.iter().map(|(_, count)| count).sum::<u64>(), 3);
}

#[test]
fn calls_that_are_left_after_the_time_end_with_an_event_and_a_verdict() {
    let mut world = World::with(|config| config.publish_events = true);
    world.talk("a");
    world.sdp(&offer("rings"));
    let (answered, rings) = (world.call_id("a"), world.call_id("rings"));
    world.done(&drain(&[("grace", Value::Integer(60))]));
    world.pass(Duration::from_secs(59));
    assert_eq!((ended(&mut world), state(&world)), (vec![], ServiceState::Draining));
    world.pass(Duration::from_secs(2));
    assert_eq!(state(&world), ServiceState::Drained);
    let shutdown = |name: &str| (name.to_owned(), "shutdown".to_owned());
    assert_eq!(ended(&mut world), [shutdown("a"), shutdown("rings")]);
    assert_eq!(world.engine().announced, [answered, rings]);
    assert_eq!(world.engine().ports_in_use(), 0);
    let verdict = world.done(&command("query", "a").with("flags", vec!["verdict".into()]));
    assert!(verdict.get("verdict").is_some());
    assert!(world.error(&drain(&[("op", "stop".into())])).starts_with("Too late"));
}

#[test]
fn a_drain_can_be_stopped_and_set_to_another_time() {
    let mut world = World::new();
    world.talk("old");
    world.done(&drain(&[("grace", Value::Integer(5))]));
    world.done(&drain(&[("grace", Value::Integer(500))]));
    world.pass(Duration::from_secs(100));
    world.done(&drain(&[("op", "stop".into())]));
    assert_eq!(state(&world), ServiceState::Accepting);
    world.talk("new");
    world.pass(Duration::from_secs(1_000));
    assert_eq!(world.controller.counters().calls, 2, "no time is left behind");
    world.done(&drain(&[("op", "stop".into())]));
}

#[test]
fn the_first_signal_drains_and_the_second_ends_all_calls_even_those_that_are_busy() {
    let mut world = World::with(|config| config.publish_events = true);
    world.talk("idle");
    world.talk("busy");
    let now = world.now;
    world.controller.handle_operator(now, OperatorCommand::Drain);
    world.drain();
    assert_eq!(state(&world), ServiceState::Draining);
    world.engine_mut().asleep = true;
    assert_eq!(world.request(&command("query", "busy")), None, "it waits for the engine");
    world.controller.handle_operator(now, OperatorCommand::EndCalls);
    world.drain();
    assert_eq!(state(&world), ServiceState::Draining);
    world.wake_engine();
    world.wake_engine();
    assert_eq!(state(&world), ServiceState::Drained);
    let names: BTreeSet<String> = ended(&mut world).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["busy", "idle"].map(str::to_owned).into());
}

#[test]
fn without_calls_a_drain_is_done_at_once() {
    let mut world = World::new();
    world.done(&drain(&[]));
    assert_eq!(state(&world), ServiceState::Drained);
}

#[test]
fn new_settings_hold_for_the_next_request_and_leave_calls_alone() {
    let mut world = World::new();
    world.talk("a");
    let environment = environment([7; 32]);
    let settings = RunTimeSettings {
        controller: ControllerConfig { max_sessions: Some(2), ..ControllerConfig::default() },
        gate_policy: environment.gate_policy,
        default_tos: Some(184),
    };
    let now = world.now;
    world.controller.handle_operator(now, OperatorCommand::Reconfigure(Box::new(settings)));
    world.drain();
    assert!(world.engine().plans.values().all(|plan| plan.tos.is_none()));
    world.talk("b");
    assert!(world.engine().plans.values().any(|plan| plan.tos == Some(184)));
    assert_eq!(state(&world), ServiceState::Refusing);
    assert_eq!(world.error(&offer("c")), "Parallel session limit reached");
    world.sdp(&offer("a"));
}
