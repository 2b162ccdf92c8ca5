//! Offers, answers, and who gets which reply when.

use super::*;

#[test]
fn the_examples_that_need_no_media_are_answered_byte_for_byte() {
    let mut world = World::new();
    let table = [
        ("5323_1 d7:command4:pinge", "5323_1 d6:result4:ponge"),
        ("5323_2 {\"command\": \"ping\"}", "5323_2 {\"result\":\"pong\"}"),
        (
            "5323_9b d7:command6:delete7:call-id4:nopee",
            "5323_9b d7:warning38:Call-ID not found or tags didn't match6:result2:oke",
        ),
        (
            "5323_12 d7:command6:answer7:call-id4:nope8:from-tag1:a6:to-tag1:b3:sdp5:v=0\r\ne",
            "5323_12 d6:result5:error12:error-reason15:Unknown call-ide",
        ),
        ("5323_13 d7:command5:query7:call-id4:nopee", "5323_13 d6:result5:error12:error-reason15:Unknown call-ide"),
        ("5323_20 d7:command4:liste", "5323_20 d5:callsle6:result2:oke"),
        ("5323_14 d7:command4:PINGe", "5323_14 d6:result5:error12:error-reason20:Unrecognized commande"),
        ("5323_15 de", "5323_15 d6:result5:error12:error-reason36:Dictionary contains no key \"command\"e"),
        ("5323_16 ", "5323_16 d6:result5:error12:error-reason25:Invalid data (no payload)e"),
        ("5323_17  de", "5323_17 d6:result5:error12:error-reason22:Invalid NG data formate"),
        ("5323_1 d7:command4:pinge", "5323_1 d6:result4:ponge"),
    ];
    for (request, reply) in table {
        assert_eq!(world.send(request).as_deref(), Some(reply), "{request}");
    }
    world.sdp(&offer("c1"));
    world.sdp(&offer("x3"));
    let list = world.send("5323_21 d7:command4:liste");
    assert_eq!(list.as_deref(), Some("5323_21 d5:callsl2:c12:x3e6:result2:oke"));
    let fast = world.send("5323_22 d7:command6:delete7:call-id2:c15:flagsl4:faste12:delete delayi0ee");
    assert_eq!(fast.as_deref(), Some("5323_22 d6:result2:oke"));
    assert_eq!(world.listed(), ["x3"]);
}

#[test]
fn what_kamailio_and_opensips_send_is_done() {
    use super::captured::*;
    let mut world = World::new();
    for (datagram, start) in [
        (KAMAILIO_PING, "d6:result4:pong"),
        (KAMAILIO_BARE_OFFER, "d3:sdp"),
        (KAMAILIO_OFFER_TO_PBX, "d3:sdp"),
        (KAMAILIO_OFFER_TO_WEBRTC, "d3:sdp"),
        (KAMAILIO_ANSWER, "d6:result5:error12:error-reason15:Unknown call-id"),
        (KAMAILIO_QUERY, "d7:created"),
        (KAMAILIO_DELETE, "d7:created"),
        (OPENSIPS_OFFER, "d3:sdp"),
        (OPENSIPS_DELETE, "d7:created"),
    ] {
        let reply = world.send(whole(datagram)).expect("a reply");
        let (cookie, body) = reply.split_once(' ').expect("a cookie");
        assert!(datagram.starts_with(cookie) && body.starts_with(start), "{datagram}: {reply}");
    }
    assert_eq!(world.listed(), ["cid-none", "cid-std", "cid-webrtc", "os1"]);
    let webrtc = "a webrtc offer, again under another cookie";
    let reply = world.send(whole(&KAMAILIO_OFFER_TO_WEBRTC.replacen("0_3997_3", "0_3997_9", 1))).expect(webrtc);
    for line in ["UDP/TLS/RTP/SAVPF", "a=ice-ufrag:", "a=fingerprint:sha-256 ", "a=rtcp-mux", "opus/48000/2"] {
        assert!(reply.contains(line), "{line}: {reply}");
    }
}

#[test]
fn a_limit_of_the_engine_has_the_error_text_that_proxies_expect() {
    let mut world = World::with(|config| config.max_sessions = Some(1));
    world.sdp(&offer("first"));
    let new = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8\r\n";
    let request = format!("7:command5:offer7:call-id1:k8:from-tag1:a3:sdp{}:{new}e", new.len());
    let knows = world.send(format!("k2 d8:supportsl10:load limite{request}"));
    assert_eq!(knows.as_deref(), Some("k2 d6:result10:load limit7:message30:Parallel session limit reachede"));
    let legacy = world.send(format!("k1 d{request}"));
    assert_eq!(legacy.as_deref(), Some("k1 d6:result5:error12:error-reason30:Parallel session limit reachede"));
    // A re-offer is no new call.
    world.sdp(&offer("first"));
    world.done(&command("delete", "first"));
    world.sdp(&offer("k"));
}

#[test]
fn an_offer_and_its_answer_open_two_legs_on_one_shard() {
    let mut world = World::new();
    let to_callee = world.sdp(&offer("c"));
    let to_caller = world.sdp(&answer("c"));
    assert_ne!(port(&to_callee), port(&to_caller));
    assert_eq!(world.engine().ports_in_use(), 2);
    assert_eq!(world.controller.counters().calls, 1);
    // Again under a new cookie, as after a lost 200: the same text.
    assert_eq!(world.sdp(&offer("c")), to_callee);
    assert_eq!(world.sdp(&answer("c")), to_caller);
    assert_eq!(world.engine().ports_in_use(), 2);
}

#[test]
fn a_retransmit_gets_the_same_bytes_and_changes_nothing() {
    let mut world = World::new();
    let request = [b"r1 ", &bencode::write(&offer("c"))[..]].concat();
    let first = world.send(&request);
    for second in [0, 1, 10, 48] {
        world.pass(Duration::from_secs(second));
        assert_eq!(world.send(&request), first);
    }
    assert_eq!((world.engine().applied, world.controller.counters().retransmits), (1, 4));
}

#[test]
fn a_retransmit_of_a_pending_request_has_one_reply() {
    let mut world = World::new();
    let request = [b"r1 ", &bencode::write(&offer("c"))[..]].concat();
    world.engine_mut().asleep = true;
    assert_eq!(world.send(&request), None);
    assert_eq!(world.send(&request), None);
    world.wake_engine();
    assert!(world.reply().expect("one reply").starts_with("r1 d3:sdp"));
    assert_eq!(world.engine().applied, 1);
}

#[test]
fn a_cookie_of_another_sender_does_not_open_its_reply() {
    let mut world = World::new();
    let request = [b"r1 ", &bencode::write(&offer("c"))[..]].concat();
    world.send(&request).expect("an SDP");
    assert_eq!(
        world.send("r1 d7:command4:pinge").as_deref(),
        Some("r1 d6:result5:error12:error-reason13:cookie-reusede")
    );
    let stranger = SocketAddr::from(([127, 0, 0, 1], 6_666));
    assert_eq!(world.send_from(stranger, "r1 d7:command4:pinge").as_deref(), Some("r1 d6:result4:ponge"));
    // The first caller's reply is still there for it.
    assert!(world.send(&request).expect("an SDP").contains("m=audio"));
}

#[test]
fn requests_for_a_busy_call_wait_their_turn() {
    let mut world = World::new();
    world.engine_mut().asleep = true;
    for dict in [offer("c"), answer("c"), command("query", "c"), command("delete", "c"), answer("c"), offer("c")] {
        assert_eq!(world.request(&dict), None);
    }
    assert_eq!(world.engine().mailbox.len(), 1);
    // Another call does not wait.
    assert_eq!(world.request(&offer("d")), None);
    assert_eq!(world.engine().mailbox.len(), 2);
    world.wake_engine();
    let replies: BTreeMap<String, String> = std::mem::take(&mut world.replies)
        .into_iter()
        .map(|(_, bytes)| {
            String::from_utf8(bytes)
                .expect("text")
                .split_once(' ')
                .map(|(c, r)| (c.into(), r.into()))
                .expect("a cookie")
        })
        .collect();
    assert_eq!(replies.len(), 7);
    assert!(replies["c1"].starts_with("d3:sdp") && replies["c2"].starts_with("d3:sdp"));
    assert!(replies["c3"].starts_with("d7:created") && replies["c4"].starts_with("d7:created"));
    assert_eq!(replies["c5"], "d6:result5:error12:error-reason15:Unknown call-ide");
    assert!(replies["c6"].starts_with("d3:sdp"), "an offer after the delete opens the call anew");
}

#[test]
fn too_many_requests_for_one_call_are_refused() {
    let mut world = World::new();
    world.engine_mut().asleep = true;
    let replies: Vec<_> = (0..30).filter_map(|_| world.request(&offer("c"))).collect();
    assert_eq!(replies.len(), 30 - 1 - 16);
    assert!(replies[0].contains("Busy"));
}

#[test]
fn a_delete_is_carried_out_after_what_waits_however_much_that_is() {
    let mut world = World::new();
    world.engine_mut().asleep = true;
    let busy = (0..200).filter_map(|_| world.request(&offer("c"))).count();
    assert_eq!(busy, 200 - 1 - 16);
    assert_eq!(world.request(&command("delete", "c")), None, "it waits");
    assert!(world.request(&offer("c")).expect("a reply").contains("Busy"), "the limit of other requests is as before");
    world.wake_engine();
    let replies: Vec<_> = world.replies.drain(..).map(|(_, bytes)| String::from_utf8(bytes).expect("text")).collect();
    assert_eq!(replies.len(), 1 + 16 + 1);
    assert!(replies[17].contains("totals"), "{}", replies[17]);
    assert_eq!((world.engine().calls.len(), world.controller.counters().calls), (0, 0));
}

#[test]
fn more_deletes_than_can_wait_end_the_call_too() {
    for delete in [command("delete", "c"), command("delete", "c").with("via-branch", "z9hG4bK-unknown")] {
        let mut world = World::new();
        world.sdp(&offer("c").with("via-branch", "z9hG4bK-1"));
        world.engine_mut().asleep = true;
        assert_eq!(world.request(&offer("c")), None);
        let early: Vec<_> = (0..100).filter_map(|_| world.request(&delete)).collect();
        assert_eq!(early.len(), 100 - 64);
        assert!(early.iter().all(|reply| reply.contains("many deletes of this call wait")), "{}", early[0]);
        assert_eq!(world.request(&command("delete", "c")).map(|reply| reply.contains("2:ok")), Some(true));
        world.wake_engine();
        assert_eq!((world.engine().calls.len(), world.controller.counters().calls), (0, 0));
        assert_eq!(world.replies.drain(..).count(), 1 + 64, "those that waited");
        world.talk("c");
    }
}

#[test]
fn a_refused_first_offer_leaves_nothing_behind() {
    let mut world = World::new();
    let broken = command("offer", "c").with("sdp", "v=0\r\nthis is no SDP\r\n").with("from-tag", "a");
    assert!(world.error(&broken).starts_with("Failed to parse SDP"));
    world.engine_mut().refuse = Some(CommandError::NoPorts);
    assert_eq!(world.error(&offer("c")), "Ran out of ports");
    world.engine_mut().refuse = Some(CommandError::TooManyCalls);
    assert_eq!(world.error(&offer("c")), "Parallel session limit reached");
    world.engine_mut().refuse = None;
    world.engine_mut().full = true;
    assert_eq!(world.error(&offer("c")), "Parallel session limit reached");
    let supports = offer("c").with("supports", vec!["load limit".into()]);
    assert_eq!(world.request(&supports).as_deref(), Some("d6:result10:load limit7:message19:Load limit exceedede"));
    world.engine_mut().full = false;
    assert_eq!(world.listed(), [""; 0]);
    assert_eq!((world.engine().ports_in_use(), world.controller.counters().calls), (0, 0));
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.poll_timeout(), None);
    world.talk("c");
}

#[test]
fn ports_of_other_threads_serve_a_call_before_it_is_refused() {
    let mut world = World::new();
    world.talk("c");
    for request in [offer("new"), offer("c").with("to-tag", "b")] {
        world.engine_mut().refuse = Some(CommandError::NoPorts);
        world.engine_mut().frees_ports = true;
        world.sdp(&request);
    }
    // `connect` opens legs, too.
    world.sdp(&answer("new"));
    world.engine_mut().refuse = Some(CommandError::NoPorts);
    world.done(&command("connect", "c").with("from-tag", "a").with("to-call-id", "new").with("to-tag", "b"));
    assert_eq!(world.engine().refuse, None);
    assert!(!world.controller.awaits_engine());

    world.engine_mut().refuse = Some(CommandError::NoPorts);
    world.engine_mut().frees_ports = false;
    assert_eq!(world.error(&offer("third")), "Ran out of ports");
    // At once again, no thread is asked: what it could give is known.
    world.engine_mut().frees_ports = true;
    assert_eq!(world.error(&offer("third")), "Ran out of ports");
    world.pass(Duration::from_millis(20));
    world.sdp(&offer("third"));
}

#[test]
fn what_waits_for_a_call_that_fails_to_open_finds_none() {
    let mut world = World::new();
    world.engine_mut().asleep = true;
    world.request(&offer("c"));
    world.request(&answer("c"));
    world.engine_mut().refuse = Some(CommandError::NoPorts);
    world.wake_engine();
    let replies: Vec<_> = world.replies.drain(..).map(|(_, bytes)| String::from_utf8(bytes).expect("text")).collect();
    assert!(replies[0].contains("Ran out of ports") && replies[1].contains("Unknown call-id"), "{replies:?}");
}

#[test]
fn a_refused_re_offer_leaves_the_call_as_it_was() {
    let mut world = World::new();
    world.talk("c");
    let mut wrong = offer("c");
    wrong.0.retain(|(key, _)| key != b"sdp");
    assert!(
        world.error(&wrong.clone().with("sdp", "v=0\r\n")).starts_with("Incomplete SDP") || world.listed() == ["c"]
    );
    world.engine_mut().refuse = Some(CommandError::BadPlan("a candidate without a port"));
    assert!(world.error(&offer("c")).ends_with("a candidate without a port"));
    world.engine_mut().refuse = None;
    assert_eq!(world.engine().ports_in_use(), 2);
    world.done(&command("query", "c"));
}

#[test]
fn a_whatsapp_call_towards_a_pbx_is_answered_in_webrtc() {
    let mut world = World::new();
    let flags = vec!["replace-origin".into(), "codec-mask-opus".into(), "transcode-PCMA".into()];
    let offer = command("offer", "wa").with("sdp", META).with("from-tag", "m").with("flags", flags);
    let offer = offer.with("ICE", "remove").with("DTLS", "off").with("transport-protocol", "RTP/AVP");
    let to_pbx = world.sdp(&offer);
    assert!(to_pbx.contains(" RTP/AVP 8") && !to_pbx.contains("a=candidate"), "{to_pbx}");
    let pbx = "v=0\r\no=- 5 1 IN IP4 192.0.2.8\r\ns=-\r\nc=IN IP4 192.0.2.8\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
    let answer = command("answer", "wa").with("sdp", pbx).with("from-tag", "m").with("to-tag", "p");
    let to_meta = world.sdp(&answer);
    assert!(to_meta.contains("UDP/TLS/RTP/SAVPF 111") && to_meta.contains("a=setup:active"), "{to_meta}");
    assert_ne!(port(&to_meta), port(&to_pbx));
}

#[test]
fn json_replies_have_warnings_of_what_was_not_understood() {
    let mut world = World::new();
    let sdp = SDP.replace("\r\n", "\\r\\n");
    let request =
        format!(r#"j1 {{"command":"offer","call-id":"j","from-tag":"a","sdp":"{sdp}","flags":["bogus"],"hue":3}}"#);
    let reply = world.send(request).expect("a reply");
    let json: serde_json::Value = serde_json::from_str(reply.strip_prefix("j1 ").expect("cookie")).expect("JSON");
    assert_eq!(json["result"], "ok");
    assert_eq!(json["warnings"][0], "unknown flag `bogus` ignored");
    assert_eq!(json["warnings"][1], "unknown key `hue` ignored");
    let reply = world.send(r#"j2 {"command":"dance"}"#).expect("a reply");
    assert!(reply.starts_with(r#"j2 {"result":"error","error-reason":"Unrecognized command","warnings":["#), "{reply}");
    let reply = world.send(r#"j3 {"command":}"#).expect("a reply");
    assert!(reply.starts_with(r#"j3 {"result":"error","error-reason":"Failed to parse JSON document""#), "{reply}");
}

#[test]
fn statistics_are_the_sum_of_all_shards() {
    let mut world = World::new();
    world.talk("c");
    let reply = world.done(&Dict::default().with("command", "statistics"));
    let Some(Value::Dict(statistics)) = reply.get("statistics") else { panic!("{reply:?}") };
    let number = |dict: &str, key: &str| match statistics.get(dict) {
        Some(Value::Dict(dict)) => dict.get(key).and_then(Value::to_integer),
        _ => None,
    };
    assert_eq!(number("currentstatistics", "sessionsown"), Some(1));
    assert_eq!(number("totalstatistics", "digits"), Some(6));
    assert_eq!(number("controlstatistics", "offer"), Some(1));
    assert!(bencode::write(&reply).len() < 1_200);
}

#[test]
fn a_digit_is_reported_in_the_format_of_rtpengine() {
    let mut world = World::new();
    world.sdp(&offer("dt\"1").with("label", "caller"));
    world.sdp(&answer("dt\"1"));
    world.pass(Duration::from_secs(3));
    let source = SocketAddr::from(([127, 0, 0, 1], 42_000));
    let press = |leg| EventKind::Digit {
        leg: LegId(leg),
        digit: Digit::from_event(7).expect("a digit"),
        duration: Duration::from_millis(120),
        volume: 10,
        source,
    };
    let legs: Vec<u16> = world.engine().calls[&CallId(1)].keys().map(|leg| leg.0).collect();
    legs.into_iter().for_each(|leg| world.event(1, press(leg)));
    let digits: Vec<_> = world.digits.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    let tail = r#""tags":["a","b"],"type":"DTMF","timestamp":1795310854,"source_ip":"127.0.0.1","event":7,"duration":120,"volume":10}"#;
    let expected = [
        format!(r#"{{"callid":"dt\"1","source_tag":"a","source_label":"caller",{tail}"#),
        format!(r#"{{"callid":"dt\"1","source_tag":"b","source_label":"",{tail}"#),
    ];
    assert_eq!(digits, expected);
}

#[test]
fn an_sdp_that_trestle_has_written_is_refused_in_each_place_of_a_peer_s() {
    let mut world = World::new();
    let sdp = world.sdp(&offer("c"));
    let echo = command("answer", "c").with("from-tag", "a").with("to-tag", "b");
    let reason = world.error(&echo.clone().with("sdp", sdp.clone()));
    let port_b = port(&sdp);
    assert!(reason.starts_with("Error rewriting SDP: line "), "{reason}");
    assert!(reason.contains(&format!("127.0.0.1:{port_b}: it is a media port of this Trestle")), "{reason}");
    let offer_of = |call_id: &str, sdp: String| command("offer", call_id).with("from-tag", "a").with("sdp", sdp);
    // A request that passes through this daemon twice: loop-protect is for that.
    assert!(world.error(&offer_of("spiral", sdp)).contains("loop-protect"));
    let answered = world.sdp(&answer("c"));
    for request in [echo.with("sdp", answered.clone()), offer_of("c", answered).with("to-tag", "b")] {
        let reason = world.error(&request);
        assert!(reason.contains("it is a media port of this Trestle"), "{reason}");
    }
}

#[test]
fn an_overloaded_machine_refuses_new_calls_and_executes_other_requests() {
    let some = |number: f64| Some(Hundredths::try_from(number).unwrap());
    let mut world = World::with(|config| config.load.cpu = some(90.0));
    world.sdp(&offer("first"));
    let tell = |world: &mut World, cpu| {
        world.now += LOAD_EVERY;
        world.trestle.controller.handle_load(world.trestle.now, Load { cpu: some(cpu), ..Load::default() });
    };
    tell(&mut world, 95.0);
    world.sdp(&offer("second"));
    tell(&mut world, 95.0);

    let new = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8\r\n";
    let request = format!("7:command5:offer7:call-id1:k8:from-tag1:a3:sdp{}:{new}e", new.len());
    let knows = world.send(format!("k1 d8:supportsl10:load limite{request}"));
    assert_eq!(knows.as_deref(), Some("k1 d6:result10:load limit7:message24:CPU usage limit exceedede"));
    let legacy = world.send(format!("k2 d{request}"));
    assert_eq!(legacy.as_deref(), Some("k2 d6:result5:error12:error-reason30:Parallel session limit reachede"));
    assert_eq!(world.engine().ports_in_use(), 4, "those of the two calls there are");

    world.sdp(&answer("first"));
    world.sdp(&offer("first"));
    world.sdp(&answer("second"));
    world.done(&command("delete", "second"));
    let counters = world.controller.counters();
    assert_eq!((counters.overloaded, counters.rejected.get(Limit::Cpu)), (Some(Limit::Cpu), 2));

    (0..5).for_each(|_| tell(&mut world, 10.0));
    world.sdp(&offer("k"));
}
