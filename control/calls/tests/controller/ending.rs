//! Deletes, timers and what is left afterwards.

use super::*;

#[test]
fn a_delete_frees_the_ports_at_once_and_keeps_the_report() {
    let mut world = World::new();
    world.talk("c");
    let deleted = world.done(&command("delete", "c").with("from-tag", "a"));
    assert_eq!(world.engine().ports_in_use(), 0);
    assert_eq!(deleted.get("created"), Some(&Value::Integer(1_795_310_851)));
    let keys: Vec<_> = deleted.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(keys, ["created", "tags", "totals", "SSRC", "result"]);
    let Some(Value::Dict(totals)) = deleted.get("totals") else { panic!("{deleted:?}") };
    let rtp = Dict::default().with("packets", 1_000u64).with("bytes", 172_000u64).with("errors", 0u64);
    assert_eq!(totals.get("RTP"), Some(&Value::Dict(rtp)));
    // During `delete delay` the call can be queried, but not answered.
    assert_eq!(world.listed(), ["c"]);
    assert_eq!(world.done(&command("query", "c")).get("totals"), deleted.get("totals"));
    assert_eq!(world.done(&command("delete", "c")).get("totals"), deleted.get("totals"));
    assert_eq!(world.error(&answer("c")), "Unknown call-id");
    world.pass(Duration::from_secs(31));
    assert_eq!(world.error(&command("query", "c")), "Unknown call-id");
    assert_eq!(world.listed(), [""; 0]);
}

#[test]
fn a_delete_for_a_tag_that_is_not_in_the_call_deletes_nothing() {
    let mut world = World::new();
    world.talk("c");
    let warning = "Call-ID not found or tags didn't match";
    let reply = world.done(&command("delete", "c").with("from-tag", "z"));
    assert_eq!(reply.get("warning"), Some(&warning.into()));
    assert_eq!(world.error(&command("delete", "c").with("from-tag", "z").with("flags", "fatal")), warning);
    // The to-tag is looked at only if that is asked for.
    let delete = command("delete", "c").with("from-tag", "a").with("to-tag", "z");
    let reply = world.done(&delete.clone().with("flags", vec!["to-tag".into()]));
    assert_eq!(reply.get("warning"), Some(&warning.into()));
    assert_eq!(world.engine().ports_in_use(), 2);
    world.done(&delete);
    assert_eq!(world.engine().ports_in_use(), 0);
}

/// WhatsApp answers the first INVITE of a business-initiated call with 407.
#[test]
fn a_call_that_is_offered_deleted_and_offered_again_can_be_answered() {
    let branch = |dict: Dict, branch: &str| if branch.is_empty() { dict } else { dict.with("via-branch", branch) };
    for (first, second) in [("z1", "z2"), ("z1", "z1"), ("", "")] {
        for delete in [true, false] {
            let mut world = World::new();
            world.sdp(&branch(offer("c"), first));
            if delete {
                world.done(&branch(command("delete", "c").with("from-tag", "a"), first));
            }
            let sdp = world.sdp(&branch(offer("c"), second));
            world.sdp(&branch(answer("c"), second));
            assert!(port(&sdp) > 0);
            assert_eq!(world.controller.counters().calls, 1, "{first} {second} {delete}");
            assert_eq!(world.listed(), ["c"]);
            world.done(&command("delete", "c"));
            assert_eq!(world.engine().ports_in_use(), 0);
        }
    }
}

#[test]
fn the_delete_of_a_failed_branch_leaves_the_others() {
    let mut world = World::new();
    world.sdp(&offer("c").with("via-branch", "z1"));
    world.sdp(&offer("c").with("via-branch", "z2"));
    world.done(&command("delete", "c").with("via-branch", "z1"));
    world.sdp(&answer("c").with("via-branch", "z2"));
    let unknown = world.done(&command("delete", "c").with("via-branch", "z9"));
    assert!(unknown.get("warning").is_some());
    assert!(world.engine().ports_in_use() >= 2);
    world.done(&command("delete", "c").with("via-branch", "z2"));
    assert_eq!(world.engine().ports_in_use(), 0);
}

#[test]
fn an_unanswered_call_ends_after_offer_timeout() {
    let mut world = World::new();
    world.sdp(&offer("c"));
    world.pass(Duration::from_secs(179));
    world.sdp(&offer("c"));
    world.pass(Duration::from_secs(179));
    assert_eq!(world.engine().ports_in_use(), 2, "another offer starts the time anew");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.engine().ports_in_use(), 0);
    assert_eq!(world.controller.counters().ended.get(EndedBy::OfferTimeout), 1);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.listed().len(), 0);
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.poll_timeout(), None);
}

#[test]
fn a_call_without_media_ends_and_one_with_media_does_not() {
    let mut world = World::new();
    world.talk("c");
    world.pass(Duration::from_secs(600));
    assert_eq!(world.engine().ports_in_use(), 2);
    world.engine_mut().last_media = None;
    world.pass(Duration::from_secs(61));
    assert_eq!(world.engine().ports_in_use(), 0);
    assert_eq!(world.controller.counters().ended.get(EndedBy::MediaTimeout), 1);
}

#[test]
fn silence_is_counted_from_the_answer() {
    let mut world = World::new();
    world.engine_mut().last_media = None;
    world.sdp(&offer("c"));
    world.pass(Duration::from_secs(100));
    world.event(1, EventKind::MediaTimeout);
    world.sdp(&answer("c"));
    world.pass(Duration::from_secs(59));
    assert_eq!(world.engine().ports_in_use(), 2);
    world.event(1, EventKind::MediaTimeout);
    assert_eq!(world.engine().ports_in_use(), 0);
}

#[test]
fn a_call_on_hold_may_be_silent_for_an_hour() {
    let mut world = World::new();
    world.talk("c");
    let mut hold = offer("c");
    hold.0.retain(|(key, _)| key != b"sdp");
    let mut held = answer("c");
    held.0.retain(|(key, _)| key != b"sdp");
    world.sdp(&hold.with("sdp", format!("{}a=inactive\r\n", SDP.replace(" 1 1 ", " 1 2 "))));
    world.sdp(&held.with("sdp", format!("{}a=inactive\r\n", SDP.replace("41000", "42000").replace(" 1 1 ", " 1 2 "))));
    world.engine_mut().last_media = Some(Duration::from_secs(10_000));
    world.event(1, EventKind::MediaTimeout);
    world.pass(Duration::from_secs(3_500));
    assert_eq!(world.engine().ports_in_use(), 2);
    world.pass(Duration::from_secs(200));
    assert_eq!(world.engine().ports_in_use(), 0);
    assert_eq!(world.controller.counters().ended.get(EndedBy::SilentTimeout), 1);
}

#[test]
fn a_delete_for_which_the_mailbox_has_no_room_is_sent_later() {
    let mut world = World::new();
    world.talk("c");
    world.engine_mut().full = true;
    assert_eq!(world.request(&command("delete", "c")), None);
    assert_eq!(world.request(&offer("c")), None);
    world.engine_mut().full = false;
    world.pass(Duration::from_secs(1));
    let replies: Vec<_> = world.replies.drain(..).map(|(_, bytes)| String::from_utf8(bytes).expect("text")).collect();
    assert_eq!(replies.len(), 2);
    assert!(replies[0].contains("totals") && replies[1].contains("m=audio"));
    assert_eq!(world.engine().calls.len(), 1);
}

#[test]
fn a_call_that_the_engine_lost_is_removed_and_its_request_has_an_error() {
    let mut world = World::new();
    world.talk("c");
    world.engine_mut().asleep = true;
    assert_eq!(world.request(&offer("c")), None);
    assert_eq!(world.request(&answer("c")), None);
    world.event(1, EventKind::CallFailed);
    let replies: Vec<_> = world.replies.drain(..).map(|(_, bytes)| String::from_utf8(bytes).expect("text")).collect();
    assert!(replies[0].contains("Internal error") && replies[1].contains("Unknown call-id"), "{replies:?}");
    // The late reply has no effect.
    world.wake_engine();
    assert_eq!(world.reply(), None);
    assert_eq!(world.controller.counters().ended.get(EndedBy::Failed), 1);
    world.talk("c");
}

#[test]
fn replies_fit_into_one_packet_unless_the_request_is_verbose() {
    let mut world = World::new();
    let tag = |letter: &str| letter.repeat(255);
    let call_id = "c".repeat(255);
    let offer = command("offer", &call_id).with("sdp", SDP).with("from-tag", tag("a"));
    world.sdp(&offer);
    world.sdp(&command("answer", &call_id).with("sdp", SDP).with("from-tag", tag("a")).with("to-tag", tag("b")));
    let query = command("query", &call_id);
    assert!(world.request(&query).expect("a reply").len() <= 1_200);
    let verbose = world.request(&query.with("flags", vec!["verbose".into()])).expect("a reply");
    assert!(verbose.len() > 1_200 && verbose.len() <= 8_192, "{}", verbose.len());
    for n in 0..40 {
        let call_id = format!("{}{n}", "x".repeat(200));
        world.sdp(&command("offer", &call_id).with("sdp", SDP).with("from-tag", "a"));
    }
    let list = Dict::default().with("command", "list");
    assert!(world.request(&list).expect("a reply").len() <= 1_200);
    let more = world.request(&list.with("limit", "1000")).expect("a reply");
    assert!(more.len() > 1_200 && more.len() <= 8_192, "{}", more.len());
}

#[test]
fn query_and_delete_have_the_quality_of_each_stream_by_its_ssrc() {
    let mut world = World::new();
    world.talk("c");
    for verb in ["query", "delete"] {
        let reply = world.done(&command(verb, "c"));
        let Some(Value::Dict(streams)) = reply.get("SSRC") else { panic!("{reply:?}") };
        let Some(Value::Dict(stream)) = streams.get("4294967295") else { panic!("{streams:?}") };
        let keys: Vec<_> = stream.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
        assert_eq!(keys, ["average MOS", "lowest MOS", "highest MOS"]);
        for key in keys {
            let Some(Value::Dict(sample)) = stream.get(&key) else { panic!("{stream:?}") };
            assert_eq!(sample.get("MOS"), Some(&Value::Integer(44)), "{key}");
            assert_eq!(sample.get("packet loss"), Some(&Value::Integer(0)), "{key}");
            assert!(sample.get("jitter").is_some(), "{key}");
            assert_eq!(sample.get("reported at").is_some(), key != "average MOS", "{key}");
        }
    }
    // Without media there is no quality.
    world.sdp(&offer("silent"));
    assert!(world.done(&command("query", "silent")).get("SSRC").is_none());
}

#[test]
fn a_short_report_of_a_usual_call_names_both_tags() {
    let mut world = World::new();
    world.talk("c");
    let reply = world.done(&command("query", "c"));
    let Some(Value::Dict(tags)) = reply.get("tags") else { panic!("{reply:?}") };
    let expected = "d3:tag1:a6:mediasld5:indexi1e4:type5:audio8:protocol7:RTP/AVP7:streamsld10:local porti20002e\
                    8:endpointd6:family4:IPv47:address9:192.0.2.14:porti4000ee4:SSRCi4294967295e\
                    5:statsd7:packetsi500e5:bytesi86000e6:errorsi0ee\
                    9:stats_outd7:packetsi490e5:bytesi84280e6:errorsi0eeeeeee";
    let Some(Value::Dict(a)) = tags.get("a") else { panic!("{tags:?}") };
    assert_eq!(String::from_utf8_lossy(&bencode::write(a)), expected);
    assert!(tags.get("b").is_some());
}
