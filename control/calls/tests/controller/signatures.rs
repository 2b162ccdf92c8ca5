//! Signed requests: what has an effect, what is counted, and what comes back.

use trestle_ng::{NgSecrets, signature};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The wall clock at the start of the world.
const START: Duration = Duration::from_secs(1_795_310_851);

fn policy(unsigned: &[&str]) -> SignaturePolicy {
    let unsigned = unsigned.iter().map(|net| UnsignedSource::Network(net.parse().unwrap())).collect();
    SignaturePolicy { secrets: NgSecrets::read(SECRET).unwrap(), unsigned }
}

/// A world that takes only signed requests, ten milliseconds after its start.
fn strict() -> World {
    let mut world = World::with(|config| config.signatures = Some(policy(&[])));
    world.pass(Duration::from_millis(10));
    world
}

impl World {
    fn unix(&self, start: std::time::Instant) -> Duration {
        START + (self.trestle.now - start)
    }

    fn count(&self, reason: DroppedRequest) -> u64 {
        self.trestle.controller.counters().dropped.get(reason)
    }
}

/// `COOKIE SIGNATURE BODY`
fn signed(unix: Duration, cookie: &str, body: &str) -> String {
    let secrets = NgSecrets::read(SECRET).unwrap();
    format!("{cookie} {} {body}", secrets.sign_request(unix, cookie.as_bytes(), body.as_bytes()).unwrap())
}

/// The body of a reply whose signature is that of the reply to `request`.
fn verified(request: &str, reply: &str) -> String {
    let mut words = request.splitn(3, ' ');
    let (cookie, of_request) = (words.next().unwrap(), words.next().unwrap());
    let rest = reply.strip_prefix(cookie).and_then(|rest| rest.strip_prefix(' ')).unwrap_or_else(|| panic!("{reply}"));
    let (signature, body) = signature::split(rest.as_bytes());
    let secrets = NgSecrets::read(SECRET).unwrap();
    assert!(secrets.is_reply(of_request, signature, cookie.as_bytes(), body), "{reply}");
    String::from_utf8(body.to_vec()).unwrap()
}

fn offer_text(call_id: &str) -> String {
    String::from_utf8(bencode::write(&offer(call_id))).unwrap()
}

#[test]
fn a_signed_request_is_executed_once_and_its_repetitions_get_the_same_signed_reply() {
    let mut world = strict();
    let start = world.trestle.now - Duration::from_millis(10);
    for (cookie, body) in [("j", "{\"command\":\"ping\"}"), ("b", "d7:command4:pinge")] {
        let request = signed(world.unix(start), cookie, body);
        let reply = world.send(&request).unwrap();
        assert!(verified(&request, &reply).contains("pong"));
        assert_eq!(world.send(&request), Some(reply));
    }
    let request = signed(world.unix(start), "o", &offer_text("c"));
    let reply = world.send(&request).unwrap();
    assert!(verified(&request, &reply).contains("2:ok"));
    world.pass(Duration::from_secs(29));
    assert_eq!(world.send(&request), Some(reply), "also after some seconds");
    // The client signs the same request again, as another program would that repeats it.
    let again = signed(world.unix(start), "o", &offer_text("c"));
    let reply = world.send(&again).unwrap();
    assert!(verified(&again, &reply).contains("2:ok"));
    assert_eq!(world.engine().calls.len(), 1);
}

#[test]
fn a_hundred_thousand_unsigned_late_forged_or_copied_requests_have_no_effect_and_are_counted() {
    let mut world = strict();
    let start = world.trestle.now - Duration::from_millis(10);
    let good = signed(world.unix(start), "good", &offer_text("good"));
    world.send(&good).unwrap();
    let (calls, commands) = (world.engine().calls.clone(), world.engine().applied);
    let before = world.trestle.controller.counters();
    let stranger = SocketAddr::from(([127, 0, 0, 1], 6_666));
    let delete = String::from_utf8(bencode::write(&command("delete", "good").with("delete-delay", 0))).unwrap();
    let now = world.unix(start);
    let [old, future] = [now - Duration::from_secs(31), now + Duration::from_secs(31)];
    let other = NgSecrets::read(b"1123456789abcdef0123456789abcdef").unwrap();
    let of_its_reply = |cookie: &str| {
        let signature = good.split(' ').nth(1).unwrap();
        format!("{cookie} {signature} {delete}")
    };
    for n in 0..20_000_u32 {
        let cookie = format!("x{n}");
        let forged = other.sign_request(now, cookie.as_bytes(), delete.as_bytes()).unwrap();
        for (request, replies) in [
            (format!("{cookie} {delete}"), 0),
            (format!("{cookie} {forged} {delete}"), 0),
            (of_its_reply(&cookie), 0),
            (signed(if n % 2 == 0 { old } else { future }, &cookie, &delete), 1),
            (good.clone(), 0),
        ] {
            let reply = world.send_from(stranger, &request);
            assert_eq!(reply.is_some(), replies == 1, "{request} {reply:?}");
            if let Some(reply) = reply {
                assert!(reply.len() < 170, "{reply}");
                assert!(verified(&request, &reply).contains("Late signature: compare the clocks"));
            }
        }
    }
    let counts = [
        DroppedRequest::Unsigned,
        DroppedRequest::BadSignature,
        DroppedRequest::LateSignature,
        DroppedRequest::Replayed,
    ];
    assert_eq!(counts.map(|reason| world.count(reason)), [20_000, 40_000, 20_000, 20_000]);
    assert_eq!((&world.engine().calls, world.engine().applied), (&calls, commands));
    let after = world.trestle.controller.counters();
    assert_eq!((after.calls, after.requests, after.ended), (before.calls, before.requests, before.ended));
    assert!(world.send(&good).is_some(), "the client itself gets its reply again");
}

#[test]
fn a_repetition_whose_reply_is_not_kept_any_more_is_not_executed_again() {
    let mut world = strict();
    let start = world.trestle.now - Duration::from_millis(10);
    // So many further cookies make the cache of replies forget the first one.
    let request = signed(world.unix(start), "first", &offer_text("first"));
    world.send(&request).unwrap();
    for n in 0..100_001 {
        world.send(signed(world.unix(start), &format!("n{n}"), "d7:command4:pinge"));
    }
    assert_eq!(world.send(&request), None);
    assert_eq!((world.count(DroppedRequest::Replayed), world.engine().calls.len()), (1, 1));
}

#[test]
fn a_restart_does_not_take_what_was_signed_before_it() {
    let mut world = World::with(|config| config.signatures = Some(policy(&[])));
    let start = world.trestle.now;
    let recorded = signed(START - Duration::from_millis(1), "a", &offer_text("c"));
    let reply = world.send(&recorded).unwrap();
    assert!(verified(&recorded, &reply).contains("Late signature"));
    world.pass(Duration::from_millis(1));
    let fresh = signed(world.unix(start), "a", &offer_text("c"));
    assert!(verified(&fresh, &world.send(&fresh).unwrap()).contains("2:ok"));
}

#[test]
fn networks_without_signatures_are_an_exception_and_their_wrong_signatures_are_not() {
    let mut world = World::with(|config| config.signatures = Some(policy(&["127.0.0.0/8"])));
    let ping = "{\"command\":\"ping\"}";
    let outside = SocketAddr::from(([192, 0, 2, 1], 5_060));
    assert_eq!(world.send(format!("1 {ping}")).as_deref(), Some("1 {\"result\":\"pong\"}"));
    assert_eq!(world.send_from(outside, format!("1 {ping}")), None);
    assert_eq!(world.send(format!("2 hmac1:1:{} {ping}", "0".repeat(64))), None);
    assert_eq!((world.count(DroppedRequest::Unsigned), world.count(DroppedRequest::BadSignature)), (1, 1));
}

#[test]
fn the_unix_socket_needs_signatures_unless_it_is_an_exception_and_its_connections_are_one_sender() {
    let ask = |world: &mut World, request: &str| {
        world.trestle.controller.handle_datagram(world.trestle.now, Origin::Unix, request.as_bytes());
        world.drain();
        world.reply()
    };
    let mut world = World::with(|config| config.signatures = Some(policy(&["0.0.0.0/0", "::/0"])));
    assert_eq!(ask(&mut world, "1 {\"command\":\"ping\"}"), None);
    let unsigned = vec![UnsignedSource::Unix];
    let signatures = Some(SignaturePolicy { unsigned, ..policy(&[]) });
    let mut world = World::with(|config| config.signatures = signatures);
    assert_eq!(ask(&mut world, "1 {\"command\":\"ping\"}").as_deref(), Some("1 {\"result\":\"pong\"}"));
    assert_eq!(world.send("1 {\"command\":\"ping\"}"), None);
    let reply = ask(&mut world, &format!("2 {}", offer_text("c")));
    assert_eq!(ask(&mut world, &format!("2 {}", offer_text("c"))), reply);
    assert_eq!(world.engine().calls.len(), 1);
}

#[test]
fn a_signed_request_to_a_trestle_without_a_secret_fails_and_changes_nothing() {
    let mut world = World::new();
    let reply = world.send(signed(START, "a", &offer_text("c"))).unwrap();
    assert!(
        reply.starts_with("a d") && reply.contains("Unknown signature: this Trestle has no ng-secret-file"),
        "{reply}"
    );
    assert_eq!(world.engine().calls.len(), 0);
}

#[test]
fn a_reload_changes_the_secrets_and_a_clock_that_is_set_is_followed() {
    let mut world = strict();
    let start = world.trestle.now - Duration::from_millis(10);
    let ping = "{\"command\":\"ping\"}";
    let change = |world: &mut World, signatures: Option<SignaturePolicy>| {
        let controller = ControllerConfig { signatures, ..ControllerConfig::default() };
        let gate_policy = trestle_negotiate::GatePolicy::default();
        let settings = RunTimeSettings { controller, gate_policy, default_tos: None };
        let now = world.trestle.now;
        world.trestle.controller.handle_operator(now, OperatorCommand::Reconfigure(Box::new(settings)));
        world.drain();
    };
    let both = [b"ffffffffffffffffffffffffffffffff\n", SECRET].concat();
    change(&mut world, Some(SignaturePolicy { secrets: NgSecrets::read(&both).unwrap(), unsigned: Vec::new() }));
    let request = signed(world.unix(start), "1", ping);
    assert!(verified(&request, &world.send(&request).unwrap()).contains("pong"));
    let new = &both[..32];
    change(&mut world, Some(SignaturePolicy { secrets: NgSecrets::read(new).unwrap(), unsigned: Vec::new() }));
    assert_eq!(world.send(signed(world.unix(start), "2", ping)), None);
    change(&mut world, None);
    assert_eq!(world.send(format!("3 {ping}")).as_deref(), Some("3 {\"result\":\"pong\"}"));

    change(&mut world, Some(policy(&[])));
    let hour = Duration::from_secs(3_600);
    let epoch = trestle_core::Epoch { instant: world.trestle.now, unix: world.unix(start) + hour };
    let now = world.trestle.now;
    world.trestle.controller.handle_operator(now, OperatorCommand::WallClock(epoch));
    let request = signed(world.unix(start) + hour, "4", ping);
    assert!(verified(&request, &world.send(&request).unwrap()).contains("pong"));
}

#[test]
fn events_are_signed_for_subscribers_whose_requests_are() {
    let mut world = strict();
    let start = world.trestle.now - Duration::from_millis(10);
    let subscribe = signed(world.unix(start), "s", "{\"command\":\"subscribe events\"}");
    assert!(verified(&subscribe, &world.send(&subscribe).unwrap()).contains("\"result\":\"ok\""));
    let now = world.unix(start);
    world.trestle.controller.handle_datagram(
        world.trestle.now,
        Origin::Udp { listener: 0, local: None, peer: World::peer() },
        signed(now, "o", &offer_text("c")).as_bytes(),
    );
    world.drain();
    let sent: Vec<Vec<u8>> = world.replies.drain(..).map(|(_, bytes)| bytes).collect();
    let event = sent.iter().find(|bytes| bytes.starts_with(b"hmac1:")).expect("an event");
    let (signature, body) = signature::split(event);
    let secrets = NgSecrets::read(SECRET).unwrap();
    let request = secrets.sign_request(now, b"", b"").unwrap();
    assert!(!secrets.is_reply(&request, signature, b"", body));
    let mut text = b"event ".to_vec();
    text.extend(now.as_millis().to_string().bytes());
    text.extend([b" ", body].concat());
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let mac: String = aws_lc_rs::hmac::sign(&key, &text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(String::from_utf8_lossy(signature), format!("hmac1:{}:{mac}", now.as_millis()));
    assert!(String::from_utf8_lossy(body).contains("call.opened"));
}

#[test]
fn a_request_over_a_connection_that_is_refused_is_not_waited_for() {
    let mut world = strict();
    let to = Origin::Stream { peer: World::peer() };
    let now = world.trestle.now;
    world.trestle.controller.handle_datagram(now, to, b"a {\"command\":\"ping\"}");
    let output = world.trestle.controller.poll_output();
    let ControllerOutput::NoReply { to: closed, cookie } = output else { panic!("{output:?}") };
    assert_eq!((closed, cookie.as_bytes()), (to, &b"a"[..]));
}
