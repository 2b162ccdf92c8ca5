//! Invalid requests, and sequences of requests that no proxy sends on purpose.

use super::*;

/// Malformed frames: each has one short error, or none where there is no cookie, and changes nothing.
#[test]
fn malformed_datagrams_change_nothing() {
    let deep = |open: &str, n: usize| format!("x {{\"command\":\"ping\",\"a\":{}", open.repeat(n)).into_bytes();
    let bodies: Vec<Vec<u8>> = vec![
        b"x".to_vec(),
        b" ".to_vec(),
        b" x".to_vec(),
        b"x ".to_vec(),
        b"x  ".to_vec(),
        b"x null".to_vec(),
        b"x []".to_vec(),
        b"x 5".to_vec(),
        b"x \"ping\"".to_vec(),
        b"x \0".to_vec(),
        b"x \xff\xfe".to_vec(),
        b"x \xef\xbb\xbf{\"command\":\"ping\"}".to_vec(),
        b"x {".to_vec(),
        b"x {}".to_vec(),
        b"x {\"command\"".to_vec(),
        b"x {\"command\":null}".to_vec(),
        b"x {\"command\":1}".to_vec(),
        b"x {\"command\":[\"ping\"]}".to_vec(),
        b"x {\"command\":{\"ping\":1}}".to_vec(),
        b"x {\"command\":\"ping\",\"a\":1e999}".to_vec(),
        b"x {\"command\":\"ping\xff\"}".to_vec(),
        b"x {\"command\":\"offer\"}".to_vec(),
        b"x {\"command\":\"offer\",\"sdp\":1}".to_vec(),
        b"x {\"command\":\"offer\",\"sdp\":\"v=0\",\"call-id\":[]}".to_vec(),
        b"x {\"command\":\"offer\",\"sdp\":\"v=0\",\"call-id\":\"c\",\"from-tag\":{}}".to_vec(),
        b"x {\"command\":\"offer\",\"sdp\":\"v=0\",\"call-id\":\"c\",\"from-tag\":\"a\"}".to_vec(),
        b"x {\"command\":\"offer\",\"sdp\":\"\\u0000\",\"call-id\":\"c\",\"from-tag\":\"a\"}".to_vec(),
        b"x {\"command\":\"list\",\"limit\":-1}".to_vec(),
        b"x {\"command\":\"list\",\"limit\":\"many\"}".to_vec(),
        b"x {\"command\":\"delete\"}".to_vec(),
        b"x d".to_vec(),
        b"x de".to_vec(),
        b"x d7:commande".to_vec(),
        b"x d7:command4:pin".to_vec(),
        b"x d7:command-4:pinge".to_vec(),
        b"x d7:command99999999999999999999:pinge".to_vec(),
        b"x d7:command18446744073709551615:pinge".to_vec(),
        b"x d7:commandi1ee".to_vec(),
        b"x d1:ai18446744073709551616e7:command4:pinge".to_vec(),
        b"x di1e4:pinge".to_vec(),
        [b"x d1:a", &b"l".repeat(10_000)[..]].concat(),
        [b"x ", &b"l".repeat(60_000)[..]].concat(),
        [b"x ", &b"d1:a".repeat(8_000)[..]].concat(),
        deep("[", 33),
        deep("[", 10_000),
        deep("{\"a\":", 5_000),
        [b"x {\"command\":\"ping\",\"a\":\"", &b"z".repeat(65_400)[..], b"\"}"].concat(),
        [&b"c".repeat(65)[..], b" d7:command4:pinge"].concat(),
        b"c".repeat(50_000),
    ];
    let mut world = World::new();
    world.talk("known");
    for (n, body) in bodies.iter().enumerate() {
        // Each its own cookie: they are all named x.
        let peer = SocketAddr::from(([127, 0, 0, 1], 10_000 + n as u16));
        let has_cookie = frame::split(body).is_some();
        let name = String::from_utf8_lossy(&body[..body.len().min(50)]).into_owned();
        match world.send_from(peer, body) {
            Some(reply) => {
                assert!(has_cookie && reply.len() <= 1_024, "{name}: {reply}");
                assert!(reply.contains("5:error") || reply.contains("\"error\""), "{name}: {reply}");
            }
            None => assert!(!has_cookie, "{name}"),
        }
    }
    assert_eq!((world.listed(), world.engine().ports_in_use()), (vec!["known".to_owned()], 2));
    assert_eq!(world.engine().applied, 2);
}

/// Each warning repeats a name, and names can be long: the reply has one packet all the same.
#[test]
fn a_query_for_unknown_tags_of_control_characters_is_answered_in_one_packet() {
    let mut world = World::new();
    world.talk("c");
    for (n, from) in ["\\u0001", "\u{10ffff}", "x"].into_iter().enumerate() {
        let (from, to) = (from.repeat(60), "\\u0002".repeat(250));
        let query = format!(r#"q{n} {{"command":"query","call-id":"c","from-tag":"{from}","to-tag":"{to}"}}"#);
        let reply = world.send(query).expect("a reply");
        assert!(reply.contains("the call has no tag") && reply.len() <= 1_200, "{} octets: {reply}", reply.len());
        assert!(reply.ends_with(r#""result":"ok"}"#), "{reply}");
    }
}

#[test]
fn a_shard_that_takes_no_commands_gets_no_new_calls_until_it_does() {
    let mut world = World::new();
    world.engine_mut().full_shard = Some(0);
    for call in ["a", "b", "c"] {
        world.talk(call);
    }
    assert!(world.engine().shards.values().all(|shard| *shard == 1));
    assert_eq!(world.controller.counters().mailbox_full, 1, "the first call was refused there, the others did not try");
    world.engine_mut().full_shard = Some(1);
    world.pass(Duration::from_secs(2));
    world.talk("d");
    assert_eq!(world.engine().shards[&world.call_id("d")], 0);
    world.engine_mut().full = true;
    assert_eq!(world.error(&offer("e")), "Parallel session limit reached");
    assert_eq!(world.controller.counters().calls, 4, "nothing of it is left");
}

#[test]
fn long_rubbish_has_a_short_error() {
    let mut world = World::new();
    let long = "\u{7}z\u{e4}\"".repeat(2_500);
    for sdp in [
        long.clone(),
        format!("v=0\r\n{long}"),
        format!("{SDP}a=rtpmap:{long}\r\n"),
        format!("{SDP}a=crypto:{long}\r\n"),
        SDP.replace("RTP/AVP", &long),
        SDP.replace("127.0.0.1", &long),
    ] {
        let tags = Dict::default().with("command", "offer").with("call-id", "c").with("from-tag", "a");
        let reply = world.request(&tags.with("sdp", sdp)).expect("a reply");
        assert!(reply.len() <= 1_024, "{} bytes", reply.len());
    }
    let unknown = Dict::default().with("command", long.as_str());
    assert!(world.request(&unknown).expect("a reply").len() <= 1_024);
}

#[test]
fn names_of_files_have_no_effect() {
    let mut world = World::new();
    world.talk("c");
    let before = world.engine().applied;
    let paths = ["../../etc/passwd", "/etc/passwd", "/dev/zero", "/proc/self/mem", "/tmp/fifo\0x", &"a/".repeat(2_048)];
    for path in paths {
        for verb in ["play media", "start recording", "start forwarding", "stop media"] {
            let mut request = command(verb, "c").with("from-tag", "a");
            for key in
                ["file", "recording-file", "recording-dir", "recording-path", "recording-pattern", "xmlrpc-callback"]
            {
                request.push(key, path);
            }
            assert_eq!(world.error(&request), "Unrecognized command", "{verb}");
        }
        let mut again = offer("c").with("to-tag", "b").with("record-call", "yes");
        for key in ["recording-file", "recording-dir", "recording-pattern", "metadata"] {
            again.push(key, path);
        }
        let sdp = world.sdp(&again);
        assert!(!sdp.contains("passwd") && !sdp.contains("a/a/"), "{sdp}");
    }
    assert_eq!(world.engine().applied, before + paths.len());
}

#[test]
fn what_callers_write_is_one_line_of_the_log() {
    let (log, mut world) = (super::media::Log::default(), World::new());
    log.keep(|| {
        for hostile in ["a\r\nINFO forged", "a\u{1b}[2Jb", "a\u{85}b", "a\u{2028}b", "\u{7}\0", &"x\n".repeat(120)] {
            let offer = command("offer", hostile).with("sdp", SDP).with("from-tag", hostile).with("label", hostile);
            world.sdp(&offer.with("via-branch", hostile));
            world.sdp(&command("answer", hostile).with("sdp", SDP).with("from-tag", hostile).with("to-tag", "b"));
            world.error(&command("offer", "x").with("sdp", format!("v=0\r\n{hostile}\r\n")).with("from-tag", "a"));
            world.done(&command("query", hostile).with("flags", vec!["verdict".into()]));
            world.done(&command("delete", hostile));
        }
    });
    let text = log.text();
    assert!(text.lines().count() > 20 && text.contains("forged"), "{text}");
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let line_ends = ['\u{85}', '\u{2028}', '\u{2029}'];
        assert!(!line.contains(|char: char| char.is_control() || line_ends.contains(&char)), "{line:?}");
        assert!([" INFO ", " WARN ", "DEBUG ", "TRACE "].iter().any(|level| line.starts_with(level)), "{line:?}");
    }
}

#[test]
fn duplicate_keys_are_no_error() {
    let mut world = World::new();
    assert_eq!(world.send("1 d7:command4:ping7:command4:liste").as_deref(), Some("1 d6:result4:ponge"));
    assert_eq!(world.send("2 {\"command\":\"ping\",\"command\":7}").as_deref(), Some("2 {\"result\":\"pong\"}"));
    assert_eq!(world.send("3 d7:command4:pinge trailing").as_deref(), Some("3 d6:result4:ponge"));
}

/// What a call is to those who speak of it: nothing, offered, answered, or deleted and remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Model {
    Absent,
    Offered,
    Answered,
    Deleted,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Offer,
    Answer,
    SwappedAnswer,
    Delete,
    Query,
    Wait,
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Any order of requests for a few calls ends as in the model, and no port is left when all are deleted.
    #[test]
    fn requests_in_any_order_leave_no_port(
        steps in proptest::collection::vec((0usize..3, 0usize..6), 1..40),
        sleepy in proptest::bool::ANY,
    ) {
        let kinds = [Step::Offer, Step::Answer, Step::SwappedAnswer, Step::Delete, Step::Query, Step::Wait];
        // Short enough that no sequence here gets as far as the offer timeout.
        let mut world = World::with(|config| config.delete_delay = Duration::from_secs(2));
        let mut model = [Model::Absent; 3];
        for (call, kind) in steps {
            let name = format!("call{call}");
            let state = &mut model[call];
            let dict = match kinds[kind] {
                Step::Offer => offer(&name),
                Step::Answer => answer(&name),
                Step::SwappedAnswer => {
                    command("answer", &name).with("sdp", SDP).with("from-tag", "b").with("to-tag", "x")
                }
                Step::Delete => command("delete", &name),
                Step::Query => command("query", &name),
                Step::Wait => {
                    world.pass(Duration::from_secs(3));
                    model.iter_mut().filter(|state| **state == Model::Deleted).for_each(|state| *state = Model::Absent);
                    continue;
                }
            };
            // Sometimes the engine takes its time.
            world.engine_mut().asleep = sleepy;
            let early = world.request(&dict);
            world.wake_engine();
            let late = world.reply();
            let reply = early.or(late).expect("a reply");
            let ok = reply.contains("6:result2:ok");
            let was = *state;
            match kinds[kind] {
                Step::Offer => {
                    proptest::prop_assert!(ok, "{reply}");
                    if !matches!(was, Model::Answered) {
                        *state = Model::Offered;
                    }
                }
                Step::Answer => {
                    proptest::prop_assert_eq!(ok, matches!(was, Model::Offered | Model::Answered), "{}", reply);
                    if ok {
                        *state = Model::Answered;
                    }
                }
                // No party of that tag has made an offer, unless it is the answerer of the call.
                Step::SwappedAnswer => proptest::prop_assert!(!ok || was == Model::Answered, "{reply}"),
                Step::Delete => {
                    proptest::prop_assert!(ok);
                    proptest::prop_assert_eq!(reply.contains("7:warning"), was == Model::Absent);
                    if was != Model::Absent {
                        *state = Model::Deleted;
                    }
                }
                Step::Query => proptest::prop_assert_eq!(ok, was != Model::Absent),
                Step::Wait => {}
            }
            let live = model.iter().filter(|state| matches!(state, Model::Offered | Model::Answered)).count();
            proptest::prop_assert_eq!(world.engine().calls.len(), live);
            proptest::prop_assert_eq!(world.controller.counters().calls, live);
        }
        for call in 0..3 {
            world.request(&command("delete", &format!("call{call}")));
        }
        world.pass(Duration::from_secs(61));
        proptest::prop_assert_eq!(world.engine().ports_in_use(), 0);
        proptest::prop_assert_eq!(world.controller.poll_timeout(), None);
        proptest::prop_assert!(!world.controller.awaits_engine());
    }
}

#[test]
fn shards_share_the_calls() {
    let mut world = World::new();
    (0..10).for_each(|n| world.talk(&format!("c{n}")));
    let shards: BTreeSet<(usize, usize)> =
        (0..2).map(|shard| (shard, world.engine().shards.values().filter(|of| **of == shard).count())).collect();
    assert_eq!(shards, BTreeSet::from([(0, 5), (1, 5)]));
}
