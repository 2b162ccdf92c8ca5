//! `play DTMF`, `block ...`, `silence ...`, `connect`.

use trestle_core::plan::{AudioMuting, Muting, Source};

use super::*;

const WITH_EVENTS: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 41000 \
                           RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

impl World {
    /// Two phones that take telephone-events; a is labelled and at 192.0.2.1, b at 192.0.2.2.
    fn talk_with_digits(&mut self, call_id: &str) {
        self.sdp(&command("offer", call_id).with("sdp", WITH_EVENTS).with("from-tag", "a").with("label", "caller"));
        let sdp = WITH_EVENTS.replace("192.0.2.1", "192.0.2.2");
        self.sdp(&command("answer", call_id).with("sdp", sdp).with("from-tag", "a").with("to-tag", "b"));
    }

    /// WhatsApp (`wa`) calls a phone (`pbx`).
    fn talk_with_whatsapp(&mut self, call_id: &str) {
        self.sdp(&command("offer", call_id).with("sdp", META).with("from-tag", "wa").with("flags", "RTP/AVP"));
        self.sdp(&command("answer", call_id).with("sdp", WITH_EVENTS).with("from-tag", "wa").with("to-tag", "pbx"));
    }

    /// What the party of leg `leg` does not get.
    fn muting(&self, leg: u16) -> Muting {
        self.engine().plans[&LegId(leg)].send.muting
    }
}

fn whole_call(audio: AudioMuting, digits: bool) -> Muting {
    Muting { audio, digits }
}

#[test]
fn a_digit_goes_to_the_party_that_receives_from_the_named_one() {
    let mut world = World::new();
    world.talk_with_digits("c");
    for (who, name, sink) in
        [("from-tag", "a", 1), ("from-tag", "b", 0), ("label", "caller", 1), ("address", "192.0.2.2", 0)]
    {
        world.done(
            &command("play DTMF", "c").with(who, name).with("code", "5").with("duration", "160").with("volume", "-12"),
        );
        let played = world.engine_mut().played.pop().expect("a digit");
        assert_eq!(played, (LegId(sink), Digit::from_char('5').unwrap(), Duration::from_millis(160), 12), "{who}");
    }
}

#[test]
fn opensips_plays_with_both_tags_and_a_code_that_is_text() {
    let mut world = World::new();
    world.talk_with_digits("c");
    let reply = world.send(
        "9 d7:call-id1:c13:received-froml3:IP49:192.0.2.7e8:from-tag1:b6:to-tag1:a4:code1:*7:command9:play DTMFe",
    );
    assert_eq!(reply.as_deref(), Some("9 d6:result2:oke"));
    assert_eq!(world.engine().played[0].1.to_char(), '*');
}

#[test]
fn errors_of_play_dtmf_have_the_texts_that_proxies_expect() {
    let mut world = World::new();
    world.talk_with_digits("c");
    let play = |call_id: &str| command("play DTMF", call_id).with("code", "1");
    for (dict, reason) in [
        (play("unknown").with("from-tag", "a"), "Unknown call-ID"),
        (command("play DTMF", "").with("code", "1"), "No call-id in message"),
        (play("c"), "No participant party specified"),
        (play("c").with("from-tag", "x"), "From-tag given, but no such tag exists"),
        (play("c").with("label", "x"), "No monologue matching the given label"),
        (play("c").with("address", "x"), "Failed to parse network address"),
        (play("c").with("address", "192.0.2.9"), "Failed to match address to any tag"),
        (play("c").with("from-tag", "a").with("to-tag", "x"), "To-tag not found"),
        (play("c").with("from-tag", "a").with("to-tag", "a"), "There is no sink media capable of DTMF playback"),
        (command("play DTMF", "c").with("from-tag", "a").with("code", "17"), "Out of range 'code' specified"),
    ] {
        assert_eq!(world.error(&dict), reason);
    }
    assert!(world.engine().played.is_empty());
}

#[test]
fn a_digit_is_played_to_a_party_that_takes_no_events_too() {
    let mut world = World::new();
    world.talk("c");
    world.done(&command("play DTMF", "c").with("code", "1").with("from-tag", "a"));
    assert_eq!(world.engine().played.len(), 1);
}

#[test]
fn blocking_one_party_withholds_it_from_the_other_only() {
    let mut world = World::new();
    world.talk_with_digits("c");
    let table = [
        ("block DTMF", "unblock DTMF", whole_call(AudioMuting::Off, true)),
        ("block media", "unblock media", whole_call(AudioMuting::NoPackets, true)),
        ("silence media", "unsilence media", whole_call(AudioMuting::Silence, false)),
    ];
    for (verb, undo, muting) in table {
        world.done(&command(verb, "c").with("from-tag", "a").with("flags", "directional"));
        assert_eq!((world.muting(0), world.muting(1)), (Muting::default(), muting), "{verb}");
        world.done(&command(undo, "c").with("label", "caller"));
        assert_eq!((world.muting(0), world.muting(1)), (Muting::default(), Muting::default()), "{undo}");
        world.done(&command(verb, "c"));
        assert_eq!((world.muting(0), world.muting(1)), (muting, muting), "{verb} for all");
        world.done(&command(verb, "c").with("from-tag", "b"));
        world.done(&command(undo, "c").with("from-tag", "a").with("flags", "all"));
        assert_eq!((world.muting(0), world.muting(1)), (Muting::default(), Muting::default()), "{undo} for all");
    }
}

#[test]
fn blocked_media_is_silence_to_whatsapp_and_no_packets_to_a_phone() {
    let mut world = World::new();
    world.talk_with_whatsapp("c");
    world.done(&command("block media", "c"));
    assert_eq!(world.muting(0), whole_call(AudioMuting::Silence, true), "WhatsApp");
    assert_eq!(world.muting(1), whole_call(AudioMuting::NoPackets, true), "the phone");
}

#[test]
fn a_block_outlives_a_reoffer_and_holds_for_parties_to_come() {
    let mut world = World::new();
    world.sdp(&offer("c"));
    world.done(&command("silence media", "c"));
    world.sdp(&answer("c"));
    world.sdp(&offer("c").with("to-tag", "b"));
    assert_eq!((world.muting(0).audio, world.muting(1).audio), (AudioMuting::Silence, AudioMuting::Silence));
}

#[test]
fn the_flag_block_dtmf_in_an_offer_blocks_the_digits_of_its_sender() {
    let mut world = World::new();
    world.sdp(&offer("c").with("flags", "block-DTMF"));
    world.sdp(&answer("c"));
    assert_eq!((world.muting(0).digits, world.muting(1).digits), (false, true));
}

/// What is logged, as text.
#[derive(Clone, Default)]
#[expect(clippy::disallowed_types, reason = "the log's writer must be shared and `Send`; no thread waits for it")]
pub(super) struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    /// What was logged so far.
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Runs `work`, and keeps everything that it logs.
    pub(super) fn keep<T>(&self, work: impl FnOnce() -> T) -> T {
        // With only one subscriber in the process, tracing asks that of the thread that comes first to a line of the log. A test
        // without a subscriber would disable the line for this one.
        static SECOND: std::sync::OnceLock<tracing::Dispatch> = std::sync::OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish()));
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            // Another test may have found a line of the log disabled before, and that is cached for all threads.
            tracing::callsite::rebuild_interest_cache();
            work()
        })
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_never_names_a_digit_and_the_feed_does() {
    let (log, mut world) = (Log::default(), World::new());
    world.talk_with_digits("c");
    let press = |world: &mut World| {
        let (digit, duration) = (Digit::from_char('7').unwrap(), Duration::from_millis(100));
        let source = SocketAddr::from(([192, 0, 2, 1], 4_000));
        world.event(1, EventKind::Digit { leg: LegId(0), digit, duration, volume: 10, source });
    };
    log.keep(|| {
        let of_caller = |verb: &str| command(verb, "c").with("from-tag", "a");
        press(&mut world);
        for (block, unblock) in [("block DTMF", "unblock DTMF"), ("block media", "unblock media")] {
            for target in [of_caller as fn(&str) -> Dict, |verb| command(verb, "c")] {
                world.done(&target(block));
                press(&mut world);
                world.done(&target(unblock));
            }
        }
        world.done(&command("block DTMF", "c").with("from-tag", "b"));
        press(&mut world);
    });
    let text = log.text();
    let of_digits: Vec<&str> = text.lines().filter(|line| line.contains(": digit ")).collect();
    assert_eq!(of_digits.len(), 6, "{text}");
    assert!(of_digits.iter().all(|line| !line.contains('7')), "{text}");
    assert_eq!(world.digits.len(), 6);
}

#[test]
fn what_the_engine_refuses_is_not_remembered() {
    let mut world = World::new();
    world.talk("c");
    world.engine_mut().refuse = Some(CommandError::UnknownCall);
    assert_eq!(world.error(&command("block media", "c")), "Unknown call-ID");
    world.engine_mut().refuse = None;
    world.engine_mut().full = true;
    assert_eq!(world.error(&command("block media", "c")), "Load limit exceeded");
    world.engine_mut().full = false;
    world.sdp(&answer("c"));
    assert_eq!((world.muting(0), world.muting(1)), (Muting::default(), Muting::default()));
}

#[test]
fn a_created_party_answers_and_has_no_peer() {
    let mut world = World::new();
    let create = |tag: &str| command("create", "c").with("from-tag", tag);
    let answer = |tag: &str| command("create answer", "c").with("from-tag", tag).with("sdp", WITH_EVENTS);
    assert_eq!(world.error(&command("create", "c")), "No from-tag in message");
    assert_eq!(world.error(&answer("a")), "Unknown call-id");
    let plain = world.sdp(&create("a"));
    assert!(plain.contains(" RTP/AVP 111 8 0 101\r\n"), "{plain}");
    // Another try before the answer takes the place of the first.
    let sdes = world.sdp(&create("a").with("transport-protocol", "RTP/SAVP"));
    assert!(sdes.contains(" RTP/SAVP ") && sdes.contains("a=crypto:1 "), "{sdes}");
    assert_eq!(world.engine().ports_in_use(), 1);
    world.sdp(&create("a"));
    assert_eq!(world.error(&command("create answer", "c").with("from-tag", "a")), "No SDP body in message");
    assert!(world.error(&answer("x")).starts_with("Invalid dialogue association"));
    let g722 = answer("a").0.into_iter().filter(|(key, _)| key != b"sdp").collect();
    let g722 = Dict(g722).with("sdp", WITH_EVENTS.replace("AVP 8", "AVP 9"));
    assert!(world.error(&g722).starts_with("Error rewriting SDP"));
    assert_eq!(world.done(&answer("a")), Dict::default().with("result", "ok"));
    assert_eq!(world.done(&answer("a")), Dict::default().with("result", "ok"), "repeated");
    assert_eq!(world.engine().plans[&LegId(2)].send.source, Source::Nothing);
    assert!(world.error(&create("a")).starts_with("Invalid dialogue association: \"a\" has answered"));
    world.talk("d");
    let foreign = command("create answer", "d").with("from-tag", "a").with("sdp", SDP);
    assert!(world.error(&foreign).contains("was not made by create"));
}

#[test]
fn connect_makes_two_parties_receive_from_each_other_only() {
    let mut world = World::new();
    world.talk("c");
    // A second callee of a, on a branch of its own.
    world.sdp(&offer("c").with("via-branch", "2"));
    let second = command("answer", "c").with("sdp", SDP).with("from-tag", "a").with("to-tag", "b2");
    world.sdp(&second.with("via-branch", "2"));
    let sources = |world: &World| [0, 1, 2].map(|leg| world.engine().plans[&LegId(leg)].send.source);
    let connect = |from: &str, to: &str| command("connect", "c").with("from-tag", from).with("to-tag", to);
    world.done(&connect("a", "b"));
    assert_eq!(sources(&world), [Source::Leg(LegId(1)), Source::Leg(LegId(0)), Source::Nothing]);
    world.done(&connect("b2", "b"));
    assert_eq!(sources(&world), [Source::Nothing, Source::Leg(LegId(2)), Source::Leg(LegId(1))]);
    assert_eq!(world.error(&connect("x", "b")), "From-tag given, but no such tag exists");
    assert_eq!(world.error(&connect("a", "x")), "To-tag not found");
    assert_eq!(world.error(&connect("a", "a")), "from-tag and to-tag name the same party");
}

#[test]
fn a_party_left_by_connect_receives_nothing_and_is_not_reconnected_by_a_new_offer() {
    let mut world = World::new();
    world.talk_with_whatsapp("c");
    let create = |tag: &str| command("create", "c").with("from-tag", tag);
    world.sdp(&create("expert"));
    world.done(&command("create answer", "c").with("from-tag", "expert").with("sdp", WITH_EVENTS));
    let sources = |world: &World, legs: u16| -> Vec<Source> {
        (0..legs).map(|leg| world.engine().plans[&LegId(leg)].send.source).collect()
    };
    let (whatsapp, agent, expert) = (Source::Leg(LegId(0)), Source::Leg(LegId(1)), Source::Leg(LegId(2)));
    let connect = |to: &str| command("connect", "c").with("from-tag", "wa").with("to-tag", to);
    let connected = [expert, Source::Nothing, whatsapp];
    world.done(&connect("expert"));
    assert_eq!(sources(&world, 3), connected);

    // Session timers (RFC 4028): of the agent, of WhatsApp's side, and between the two agents.
    let agents = WITH_EVENTS.replace("192.0.2.1", "192.0.2.9");
    for (from, to, offer, answer) in
        [("pbx", "wa", WITH_EVENTS, META), ("pbx", "wa", &agents, META), ("wa", "pbx", META, &agents)]
    {
        world.sdp(&command("offer", "c").with("sdp", offer).with("from-tag", from).with("to-tag", to));
        assert_eq!(sources(&world, 3), connected, "{from} has offered again");
        world.sdp(&command("answer", "c").with("sdp", answer).with("from-tag", from).with("to-tag", to));
        assert_eq!(sources(&world, 3), connected, "and {to} has answered");
    }

    // Another connect gives WhatsApp back, and then offers and answers between the two change nothing.
    world.done(&connect("pbx"));
    assert_eq!(sources(&world, 3), [agent, whatsapp, Source::Nothing]);
    world.sdp(&command("offer", "c").with("sdp", agents.as_str()).with("from-tag", "pbx").with("to-tag", "wa"));
    world.sdp(&command("answer", "c").with("sdp", META).with("from-tag", "pbx").with("to-tag", "wa"));
    assert_eq!(sources(&world, 3), [agent, whatsapp, Source::Nothing]);

    // A party that is new is connected to WhatsApp with the answer, and receives nothing before.
    world.done(&connect("expert"));
    world.sdp(&command("offer", "c").with("sdp", WITH_EVENTS).with("from-tag", "new").with("to-tag", "wa"));
    assert_eq!(sources(&world, 4)[3], Source::Nothing);
    world.sdp(&command("answer", "c").with("sdp", META).with("from-tag", "new").with("to-tag", "wa"));
    let sources = sources(&world, 4);
    assert_eq!((sources[0], sources[3]), (Source::Leg(LegId(3)), whatsapp));
}
