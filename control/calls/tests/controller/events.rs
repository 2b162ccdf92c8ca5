//! Events for applications, and subscriptions to them.

use std::net::Ipv4Addr;

use trestle_core::{LegFailure, Milestone, Risk};

use super::*;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl World {
    /// Names of the events so far, with their risks.
    fn event_names(&mut self) -> Vec<String> {
        let named = |event: serde_json::Value| {
            let risk = event["risk"].as_str().map(|risk| format!(" {risk}")).unwrap_or_default();
            let tag = event["tag"].as_str().map(|tag| format!(" {tag}")).unwrap_or_default();
            format!("{}{risk}{tag}", event["event"].as_str().expect("a name"))
        };
        self.published.drain(..).map(named).collect()
    }

    fn milestone(&mut self, leg: u16, milestone: Milestone) {
        self.event(1, EventKind::Milestone { leg: LegId(leg), milestone });
    }

    fn risk(&mut self, leg: u16, risk: Risk) {
        let (lasted, reached) = (Duration::from_secs(10), Milestone::DtlsConnected);
        self.event(1, EventKind::AtRisk { leg: LegId(leg), risk, lasted, reached });
    }

    fn recovered(&mut self, leg: u16, risk: Risk) {
        self.event(1, EventKind::Recovered { leg: LegId(leg), risk });
    }

    /// Port of the receiver and text of each datagram not yet returned.
    fn datagrams(&mut self) -> Vec<(u16, String)> {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        self.replies.drain(..).map(|(peer, bytes)| (peer.port(), text(bytes))).collect()
    }

    fn subscribe(&mut self, port: u16, keys: &str) -> String {
        self.subscribe_from(at(port), keys)
    }

    /// The reply to a request that is repeated with the token of its refusal.
    fn subscribe_confirmed(&mut self, peer: SocketAddr, keys: &str) -> String {
        let token = token(&self.subscribe_from(peer, keys));
        self.subscribe_from(peer, &format!("{keys},\"token\":\"{token}\""))
    }

    fn subscribe_from(&mut self, peer: SocketAddr, keys: &str) -> String {
        self.next_cookie += 1;
        let cookie = format!("s{}", self.next_cookie);
        let request = format!("{cookie} {{\"command\":\"subscribe events\"{keys}}}");
        let reply = self.send_from(peer, request).expect("a reply");
        reply.strip_prefix(&format!("{cookie} ")).expect("the cookie").to_owned()
    }
}

#[test]
fn the_events_of_a_call_come_in_order_with_rising_ids() {
    let mut world = World::new();
    let meta = command("offer", "c").with("sdp", META).with("from-tag", "wa").with("label", "caller");
    world.sdp(&meta.with("transport-protocol", "RTP/AVP"));
    world.sdp(&command("answer", "c").with("sdp", SDP).with("from-tag", "wa").with("to-tag", "agent"));
    world.pass(Duration::from_millis(250));
    for milestone in
        [Milestone::FirstCheck, Milestone::IceConnected, Milestone::DtlsConnected, Milestone::FirstMediaOut]
    {
        world.milestone(0, milestone);
    }
    world.milestone(1, Milestone::FirstMediaIn);
    let digit = Digit::from_char('7').unwrap();
    let duration = Duration::from_millis(500);
    world.event(1, EventKind::Digit { leg: LegId(0), digit, duration, volume: 10, source: at(1) });
    world.event(1, EventKind::LegFailed { leg: LegId(0), reason: LegFailure::IceDisconnected });
    world.done(&command("delete", "c"));
    let events = world.published.clone();
    let ids: Vec<u64> = events.iter().map(|event| event["event-id"].as_u64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert_eq!(ids[0], 1_795_310_851_000_001, "where the clock was at the start");
    assert!(events.iter().all(|event| event["call-id"] == "c"));
    let ice = &events[2];
    assert_eq!(
        (&ice["label"], &ice["after-ms"], &ice["time-ms"]),
        (&"caller".into(), &250.into(), &1_795_310_851_250_u64.into())
    );
    assert_eq!(events.last().unwrap()["legs"][1]["packets-in"], 500);
    assert_eq!(
        world.event_names(),
        [
            "call.opened",
            "call.answered",
            "call.ice.connected wa",
            "call.dtls.connected wa",
            "call.media.first-out wa",
            "call.media.first-in agent",
            "call.dtmf wa",
            "call.leg.failed wa",
            "call.ended",
        ]
    );
}

#[test]
fn one_way_audio_has_one_event_and_so_has_its_end() {
    let mut world = World::new();
    world.talk("c");
    world.event_names();
    world.risk(1, Risk::NothingReceived);
    assert_eq!(
        world.event_names(),
        ["call.at-risk nothing-received b"],
        "no media from either side: not one-way audio"
    );
    world.milestone(0, Milestone::FirstMediaIn);
    assert_eq!(world.event_names(), ["call.media.first-in a", "call.at-risk one-way b"]);
    world.risk(1, Risk::NothingReceived);
    assert_eq!(
        world.event_names(),
        ["call.at-risk nothing-received b"],
        "sent again while it lasts, but one-way only once"
    );
    world.recovered(1, Risk::NothingReceived);
    assert_eq!(world.event_names(), ["call.recovered nothing-received b", "call.recovered one-way b"]);
    world.risk(0, Risk::NothingSent);
    assert_eq!(
        world.event_names(),
        ["call.at-risk nothing-sent a"],
        "a risk of the sending side does not change one-way audio"
    );
}

#[test]
fn a_sip_side_that_falls_silent_may_be_gone() {
    let mut world = World::new();
    world.talk("c");
    world.milestone(0, Milestone::FirstMediaIn);
    world.milestone(1, Milestone::FirstMediaIn);
    world.event_names();
    world.risk(1, Risk::FellSilent);
    let reason = world.published[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("the phone or its network is gone"), "{reason}");
    assert_eq!(
        (&world.published[0]["stage"], &world.published[0]["lasted-ms"]),
        (&"dtls-connected".into(), &10_000.into())
    );
    assert_eq!(world.event_names(), ["call.at-risk sip-gone b", "call.at-risk one-way b"]);
    // The other stops too: no media from either side is not one-way audio.
    world.risk(0, Risk::FellSilent);
    assert_eq!(world.event_names(), ["call.at-risk sip-gone a", "call.recovered one-way b"]);
}

#[test]
fn a_call_that_ends_without_media_has_an_event_before_its_end() {
    let mut world = World::new();
    world.talk("c");
    world.event_names();
    world.event(1, EventKind::MediaTimeout);
    assert_eq!(world.published[1]["cause"], "media_timeout");
    assert_eq!(world.event_names(), ["call.media.timeout", "call.ended"]);
}

#[test]
fn an_offer_that_fails_has_no_event() {
    let mut world = World::new();
    world.engine_mut().refuse = Some(CommandError::NoPorts);
    world.error(&offer("c"));
    assert_eq!(world.event_names(), [""; 0]);
}

#[test]
fn subscribers_get_every_event_as_a_datagram_until_they_expire() {
    let mut world = World::with(|config| config.publish_events = false);
    assert_eq!(world.subscribe(7_001, ",\"expires\":60"), "{\"expires\":60,\"result\":\"ok\"}");
    world.subscribe(7_002, ",\"call-id\":\"other\"");
    world.talk("c");
    assert_eq!(world.published.len(), 0, "no event output is configured");
    world.event(1, EventKind::MediaTimeout);
    let events = world.datagrams();
    assert!(events.iter().all(|(port, event)| *port == 7_001 && event.starts_with("{\"event\":\"call.")), "{events:?}");
    world.talk("other");
    assert_eq!(world.datagrams().iter().filter(|(port, _)| *port == 7_002).count(), 2);
    world.pass(Duration::from_secs(59));
    world.subscribe(7_001, ",\"expires\":60");
    world.pass(Duration::from_secs(59));
    world.datagrams();
    world.talk("renewed");
    assert_eq!(world.datagrams().iter().filter(|(port, _)| *port == 7_001).count(), 2);
    world.subscribe(7_001, ",\"expires\":0");
    world.talk("after expiry");
    assert_eq!(world.datagrams(), []);
    world.subscribe(7_001, ",\"expires\":60");
    world.pass(Duration::from_secs(60));
    world.datagrams();
    world.talk("late");
    assert_eq!(world.datagrams(), []);
}

#[test]
fn an_address_that_subscribes_to_all_and_to_one_call_gets_each_event_once() {
    let mut world = World::new();
    world.subscribe(7_001, "");
    world.subscribe(7_001, ",\"call-id\":\"c\"");
    world.talk("c");
    let opened = world.datagrams().into_iter().filter(|(_, event)| event.contains("call.opened")).count();
    assert_eq!(opened, 1);
}

#[test]
fn there_is_room_for_so_many_subscribers_and_a_stream_is_none() {
    let mut world = World::new();
    for port in 7_000..7_064 {
        assert!(world.subscribe(port, "").contains("\"ok\""));
    }
    assert_eq!(world.subscribe(8_000, ""), "{\"result\":\"error\",\"error-reason\":\"Too many subscribers\"}");
    assert!(world.subscribe(7_000, "").contains("\"ok\""), "renewed");
    world.pass(Duration::from_secs(300));
    assert!(world.subscribe(8_000, "").contains("\"ok\""), "the others have expired");
    let request = b"1 {\"command\":\"subscribe events\"}";
    world.trestle.controller.handle_datagram(world.trestle.now, Origin::Stream { peer: at(9_000) }, request);
    world.drain();
    let reply = world.reply().unwrap();
    assert!(reply.contains("use UDP, listen-events or event-webhook"), "{reply}");
}

/// The token in a refusal.
fn token(reply: &str) -> String {
    let reply: serde_json::Value = serde_json::from_str(reply).unwrap();
    assert!(reply["error-reason"].as_str().unwrap().starts_with("Confirmation required: "), "{reply}");
    reply["token"].as_str().expect("a token").to_owned()
}

#[test]
fn a_source_that_may_be_forged_gets_one_reply_and_no_event() {
    let mut world = World::new();
    let victim = SocketAddr::from(([192, 0, 2, 1], 7_001));
    let reply = world.subscribe_from(victim, "");
    assert!(reply.len() < 150, "{reply}");
    let made = token(&reply);
    // A token of another address or of another time is none, and neither is a guess.
    let other = token(&world.subscribe_from(SocketAddr::from(([192, 0, 2, 1], 7_002)), ""));
    for wrong in [&other, "0000000000000000", ""] {
        token(&world.subscribe_from(victim, &format!(",\"token\":\"{wrong}\"")));
    }
    world.talk("c");
    assert!(world.datagrams().is_empty(), "nothing is sent to an address that has not confirmed");
    let with_token = format!(",\"token\":\"{made}\"");
    assert!(world.subscribe_from(victim, &with_token).contains("\"ok\""));
    world.talk("d");
    assert!(world.datagrams().iter().all(|(port, _)| *port == 7_001));
    world.pass(Duration::from_secs(121));
    token(&world.subscribe_from(victim, &with_token));
    // A forged request cannot end the subscription either.
    token(&world.subscribe_from(victim, ",\"expires\":0"));
    world.talk("e");
    assert!(!world.datagrams().is_empty());
}

#[test]
fn one_machine_does_not_take_every_place_for_subscribers() {
    let mut world = World::new();
    let from = |host: u8, port: u16| SocketAddr::from(([192, 0, 2, host], port));
    for port in 7_000..7_016 {
        assert!(world.subscribe_confirmed(from(1, port), "").contains("\"ok\""));
    }
    let full = "{\"result\":\"error\",\"error-reason\":\"Too many subscribers\"}";
    assert_eq!(world.subscribe_confirmed(from(1, 7_016), ""), full);
    assert_eq!(world.subscribe_confirmed(from(1, 7_000), ",\"call-id\":\"c\""), full, "nor one more of the same port");
    assert!(world.subscribe_confirmed(from(1, 7_000), "").contains("\"ok\""), "renewed");
    assert!(world.subscribe_confirmed(from(2, 7_016), "").contains("\"ok\""), "another machine");
    assert!(world.subscribe_confirmed(from(1, 7_000), ",\"expires\":0").contains("\"ok\""));
    assert!(world.subscribe_confirmed(from(1, 7_016), "").contains("\"ok\""), "one has left");
}
