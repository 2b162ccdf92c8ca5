//! Verdicts: in replies, in events, in counters, and kept for some time after the call.

use trestle_core::{Milestone, Risk};

use super::*;
use trestle_calls::diagnosis::EndCause;

fn verdict(reply: &Dict) -> Option<&Dict> {
    match reply.get("verdict") {
        Some(Value::Dict(verdict)) => Some(verdict),
        _ => None,
    }
}

fn text(dict: &Dict, key: &str) -> String {
    dict.get(key).and_then(Value::to_text).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn explain(call_id: &str) -> Dict {
    command("query", call_id).with("flags", vec!["verdict".into()])
}

#[test]
fn query_and_delete_contain_the_quality_of_the_call_and_why_it_ended() {
    let mut world = World::new();
    world.talk("c");
    world.pass(Duration::from_secs(32));
    let queried = world.send(r#"q1 {"command":"query","call-id":"c"}"#).expect("a reply");
    let brief = r#""verdict":{"grade":"good","cause":"running","mos-x10":44"#;
    assert!(queried.contains(brief) && !queried.contains("timeline"), "{queried}");
    let full = world.done(&explain("c"));
    assert!(full.get("tags").is_none() && full.get("totals").is_some());
    assert!(text(verdict(&full).unwrap(), "explanation").starts_with("The call is active for 32.0 s"), "{full:?}");
    world.published.clear();
    let deleted = world.done(&command("delete", "c").with("from-tag", "b").with("flags", vec!["verbose".into()]));
    let ended = verdict(&deleted).unwrap();
    assert_eq!((text(ended, "cause"), text(ended, "ended-by")), ("normal".to_owned(), "the SIP side (b)".to_owned()));
    assert_eq!(ended.get("hints"), Some(&vec![Value::from("sip_ack_timeout_suspected")].into()));
    let event = &world.published.last().unwrap()["verdict"];
    assert_eq!((&event["grade"], &event["hints"][0]), (&"good".into(), &"sip_ack_timeout_suspected".into()));
    assert_eq!(event["summary"], text(ended, "summary"));
    let verdicts = world.controller.counters().verdicts;
    assert_eq!((verdicts.causes.get(EndCause::Normal), verdicts.mos.count()), (1, 1));
}

#[test]
fn a_call_that_was_removed_can_be_explained_for_some_time() {
    let mut world = World::new();
    world.talk("c");
    world.pass(Duration::from_secs(10));
    let deleted = world.done(&command("delete", "c").with("delete-delay", 0u64).with("flags", "verbose"));
    assert_eq!(world.error(&command("query", "c")), "Unknown call-id");
    let explained = world.done(&explain("c"));
    assert_eq!(verdict(&explained), verdict(&deleted));
    assert_eq!((explained.get("created"), explained.get("totals")), (deleted.get("created"), deleted.get("totals")));
    // A later call of the same Call-ID replaces it, while it is live and when it has ended.
    world.sdp(&offer("c"));
    assert_eq!(text(verdict(&world.done(&explain("c"))).unwrap(), "cause"), "running");
    world.done(&command("delete", "c").with("delete-delay", 0u64));
    assert_eq!(text(verdict(&world.done(&explain("c"))).unwrap(), "cause"), "unanswered");
    assert_eq!(world.error(&explain("unknown")), "Unknown call-id");
    // 1,000 are kept.
    for n in 0..1_000 {
        assert!(world.request(&explain("c")).unwrap().contains("unanswered"), "{n}");
        let call_id = format!("x{n}");
        world.sdp(&offer(&call_id));
        world.done(&command("delete", &call_id).with("delete-delay", 0u64));
    }
    assert_eq!(world.error(&explain("c")), "Unknown call-id");
}

#[test]
fn what_happened_to_a_whatsapp_leg_is_in_the_verdict() {
    let mut world = World::new();
    world.sdp(
        &command("offer", "c")
            .with("sdp", META)
            .with("from-tag", "wa")
            .with("gate", "shut")
            .with("transport-protocol", "RTP/AVP"),
    );
    let answer = command("answer", "c").with("from-tag", "wa").with("to-tag", "agent");
    world.sdp(&answer.with("sdp", SDP.replace("127.0.0.1", "192.0.2.20")));
    let whatsapp = LegId(0);
    world.pass(Duration::from_secs(12));
    let lasted = Duration::from_secs(10);
    let at_risk = EventKind::AtRisk { leg: whatsapp, risk: Risk::IceStuck, lasted, reached: Milestone::FirstCheck };
    world.event(1, at_risk);
    let reply = world.done(&command("delete", "c").with("from-tag", "wa").with("flags", "verbose"));
    let verdict = verdict(&reply).unwrap();
    // The engine of these tests reports media on every leg, and no timeline.
    assert_eq!((text(verdict, "grade"), text(verdict, "ended-by")), ("good".to_owned(), "WhatsApp".to_owned()));
    let Some(Value::List(moments)) = verdict.get("timeline") else { panic!("{verdict:?}") };
    let moments: Vec<_> = moments
        .iter()
        .filter_map(|moment| match moment {
            Value::Dict(moment) => Some((text(moment, "ms"), text(moment, "who"), text(moment, "what"))),
            _ => None,
        })
        .collect();
    let stuck = ("2000", "WhatsApp", "no connectivity check succeeds");
    assert!(moments.contains(&(stuck.0.to_owned(), stuck.1.to_owned(), stuck.2.to_owned())), "{moments:?}");
}
