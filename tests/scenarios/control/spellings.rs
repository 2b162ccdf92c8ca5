//! The same call as Kamailio and OpenSIPS ask for it.

use super::*;

type Pairs = Vec<(&'static str, Value)>;

/// What each proxy puts around an SDP on its way from WhatsApp to a PCMA trunk, and back.
fn kamailio(call_id: &str, sdp: &str, answer: bool) -> Pairs {
    let mut pairs = vec![("supports", json!(["load limit"])), ("sdp", json!(sdp))];
    if answer {
        pairs.extend([("ICE", json!("force")), ("flags", json!(["trust-address"]))]);
    } else {
        pairs.extend([
            ("ICE", json!("remove")),
            ("DTLS", json!("off")),
            ("TOS", json!(184)),
            ("flags", json!(["trust-address"])),
            ("transport-protocol", json!("RTP/AVP")),
            ("rtcp-mux", json!(["demux"])),
        ]);
    }
    pairs.extend([
        ("replace", json!(["origin", "session-connection"])),
        ("call-id", json!(call_id)),
        ("via-branch", json!("z9hG4bK7e2a.84cff422d5c70d617fbb5b7b805c9b79.0")),
        ("received-from", json!(["IP4", "127.0.0.1"])),
        ("from-tag", json!("ft1")),
    ]);
    if answer {
        pairs.push(("to-tag", json!("tt9")));
    }
    let command = if answer { "answer" } else { "offer" };
    pairs.extend([("command", json!(command)), ("sip-message-type", json!("sip_request"))]);
    pairs
}

fn opensips(call_id: &str, sdp: &str, answer: bool) -> Pairs {
    let mut pairs = vec![("sdp", json!(sdp))];
    if answer {
        pairs.extend([("ICE", json!("force")), ("flags", json!(["trust-address", "rtcp-mux-offer"]))]);
    } else {
        pairs.extend([
            ("ICE", json!("remove")),
            ("address family", json!("IP4")),
            ("flags", json!(["trust-address", "SDES-off", "DTLS-off", "codec-accept-all", "generate-mid"])),
            ("transport-protocol", json!("RTP/AVP")),
            ("rtcp-mux", json!(["demux"])),
        ]);
    }
    pairs.extend([
        ("replace", json!(["SDP version", "zero address"])),
        ("call-id", json!(call_id)),
        ("received-from", json!(["IP4", "127.0.0.1"])),
        ("from-tag", json!("ft1")),
    ]);
    if answer {
        pairs.push(("to-tag", json!("tt9")));
    }
    pairs.push(("command", json!(if answer { "answer" } else { "offer" })));
    pairs
}

/// Signals a WhatsApp call with messages whose keys are turned by `turn` places.
fn call_by(world: &mut World, dialect: fn(&str, &str, bool) -> Pairs, turn: usize) -> Call {
    let now = world.now();
    let meta = world.add_meta(Meta::new(now, calls::meta()));
    let phone = world.add_phone(Phone::new(now, opus_phone()));
    let call = Call { id: format!("proxy-{turn}@192.0.2.1"), meta, phone };
    let exchange = |world: &mut World, cookie: &str, sdp: &str, answer: bool| {
        let mut pairs = dialect(&call.id, sdp, answer);
        let turn = turn % pairs.len();
        pairs.rotate_left(turn);
        let reply = in_bencode(world, cookie, &pairs);
        assert_eq!(reply["result"], "ok", "{reply}");
        reply["sdp"].as_str().expect("an SDP").to_owned()
    };
    let offer = world.meta(meta).offer(now).expect("Meta's offer");
    let offer = exchange(world, "0_3997_1", &offer, false);
    let answer = world.phone(phone).answer(now, &offer).expect("an answer");
    let answer = exchange(world, "0_3997_2", &answer, true);
    world.meta(meta).accept(now, &answer).unwrap_or_else(|error| panic!("{error} in\n{answer}"));
    call
}

#[test]
fn a_call_signalled_by_kamailio_has_audio_both_ways_in_any_order_of_keys() {
    for turn in [0, 5] {
        let mut world = World::new(320 + turn as u64);
        let call = call_by(&mut world, kamailio, turn);
        world.run_for_ms(2_500);
        world.assert_audio_both_ways(&call);
        let bye = [
            ("supports", json!(["load limit"])),
            ("call-id", json!(call.id)),
            ("received-from", json!(["IP4", "127.0.0.1"])),
            ("from-tag", json!("ft1")),
            ("command", json!("delete")),
        ];
        assert_eq!(in_bencode(&mut world, "0_3997_5", &bye)["result"], "ok");
        assert_eq!(world.ports_in_use(), 0);
    }
}

#[test]
fn a_call_signalled_by_opensips_has_audio_both_ways_in_any_order_of_keys() {
    for turn in [0, 5] {
        let mut world = World::new(330 + turn as u64);
        let call = call_by(&mut world, opensips, turn);
        world.run_for_ms(2_500);
        world.assert_audio_both_ways(&call);
        // OpenSIPS names no tag when it deletes.
        let bye = [
            ("call-id", json!(call.id)),
            ("received-from", json!(["IP4", "127.0.0.1"])),
            ("delete-delay", json!(0)),
            ("command", json!("delete")),
        ];
        assert_eq!(in_bencode(&mut world, "12_7_5", &bye)["result"], "ok");
        assert_eq!((listed(&mut world), world.ports_in_use()), (Vec::new(), 0));
    }
}

#[test]
fn the_same_request_in_json_and_in_bencode_gives_the_same_sdp() {
    let mut json_world = World::new(340);
    let mut bencode_world = World::new(340);
    let in_json = calls::sdp_of(&json_world.ng(&offer("same", SDP)));
    let pairs =
        [("command", json!("offer")), ("call-id", json!("same")), ("from-tag", json!("a")), ("sdp", json!(SDP))];
    assert_eq!(in_bencode(&mut bencode_world, "1", &pairs)["sdp"], json!(in_json));
}
