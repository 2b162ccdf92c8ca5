//! Verdicts on whole calls: the verdict on a good one, and on those that go wrong.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use trestle_peers::{Meta, Phone, PhoneOptions};
use trestle_wire::demux::DatagramKind;
use trestle_world::calls::{self, Call};
use trestle_world::{Link, World};

/// A WhatsApp user calls a phone that answers after 4 s; 50 ms each way.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    for ip in ["31.13.65.60", "198.51.100.20"] {
        world.set_link(ip.parse().expect("an address"), Link::CLEAN.delayed(25));
    }
    world
}

fn rung(world: &mut World, phone: PhoneOptions) -> Call {
    let (meta, phone) = (Meta::new(world.now(), calls::meta()), Phone::new(world.now(), phone));
    let call = Call { id: "wacid.HBgL".to_owned(), meta: world.add_meta(meta), phone: world.add_phone(phone) };
    let offer = {
        let now = world.now();
        world.meta(call.meta).offer(now).expect("Meta's offer")
    };
    let to_phone = json!({
        "ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"], "gate": "shut",
    });
    let written = calls::offer_sdp(world, &call.id, "whatsapp", &offer, to_phone);
    world.run_for_ms(4_000);
    let now = world.now();
    let answer = world.phone(call.phone).answer(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
    let written = calls::answer_sdp(world, &call.id, "whatsapp", "agent", &answer);
    world.meta(call.meta).accept(now, &written).unwrap_or_else(|e| panic!("{e:?} in\n{written}"));
    call
}

fn open_gate(world: &mut World, call: &Call) {
    let reply = world.ng(&json!({"command": "gate", "call-id": call.id, "op": "open"}));
    assert_eq!(reply["result"], "ok", "{reply}");
    let meta = call.meta;
    world.meta(meta).accepted();
}

fn hang_up(world: &mut World, call: &Call, tag: &str) -> Value {
    let reply = world
        .ng(&json!({"command": "delete", "call-id": call.id, "from-tag": tag, "delete-delay": 0, "flags": ["fast"]}));
    assert_eq!(reply["result"], "ok", "{reply}");
    let reply = world.ng(&json!({"command": "query", "call-id": call.id, "flags": ["verdict"]}));
    println!("{}", serde_json::to_string_pretty(&reply["verdict"]).expect("JSON"));
    reply["verdict"].clone()
}

#[test]
fn a_good_call_gets_a_good_verdict() {
    let mut world = world(1_001);
    let call = rung(&mut world, calls::phone());
    world.run_for_ms(700);
    open_gate(&mut world, &call);
    world.run_for_ms(10_000);
    world.whatsapp_presses(&call, "12#", 500);
    world.run_for_ms(15_000);
    let verdict = hang_up(&mut world, &call, "whatsapp");
    assert_eq!((&verdict["grade"], &verdict["cause"]), (&"good".into(), &"normal".into()));
    assert!(verdict["mos-x10"].as_u64() >= Some(40));
    assert_eq!((&verdict["hints"], &verdict["meta-code"]), (&Value::Null, &Value::Null));
    let whatsapp = &verdict["legs"][0];
    assert_eq!((&whatsapp["digits-in"], &whatsapp["clipped-ms"]), (&"---".into(), &0.into()));
    assert!(whatsapp["first-media-after-ms"].as_u64() < Some(20), "{whatsapp}");
    let timeline: Vec<_> =
        verdict["timeline"].as_array().unwrap().iter().map(|moment| moment["what"].as_str()).collect();
    for what in ["answer applied", "ICE connected", "DTLS connected", "gate opened", "call ended: `delete`"] {
        assert!(timeline.contains(&Some(what)), "{what}: {timeline:?}");
    }
}

/// A firewall between WhatsApp and us, which lets nothing through of what `kept` names.
fn without(world: &mut World, kept: impl Fn(SocketAddr, SocketAddr, Option<DatagramKind>) -> bool + 'static) {
    world.set_filter(move |datagram| kept(datagram.from, datagram.to, DatagramKind::of(&datagram.bytes)));
}

fn is_whatsapp(address: SocketAddr) -> bool {
    address.ip() == calls::meta().locals[0].ip()
}

#[test]
fn what_goes_wrong_is_named() {
    type Wire = fn(SocketAddr, SocketAddr, Option<DatagramKind>) -> bool;
    let table: [(&str, Wire, u64, &str, u64); 5] = [
        ("nothing gets to WhatsApp", |_, to, _| !is_whatsapp(to), 20_300, "ice_never_connected", 138_021),
        (
            "DTLS does not get through",
            |from, to, kind| kind != Some(DatagramKind::Dtls) || !is_whatsapp(from) && !is_whatsapp(to),
            20_300,
            "dtls_stuck",
            138_021,
        ),
        (
            "WhatsApp's media does not get through",
            |from, _, kind| kind != Some(DatagramKind::Rtp) || !is_whatsapp(from),
            25_000,
            "no_media_from_whatsapp",
            138_022,
        ),
        (
            "the phone's media does not get through",
            |from, _, kind| kind != Some(DatagramKind::Rtp) || from.ip() != calls::phone().rtp.ip(),
            25_000,
            "one_way",
            0,
        ),
        ("all is well", |_, _, _| true, 25_000, "normal", 0),
    ];
    for (what, wire, ms, cause, code) in table {
        println!("{what}");
        let mut world = world(1_002);
        without(&mut world, wire);
        let call = rung(&mut world, calls::phone());
        world.run_for_ms(300);
        open_gate(&mut world, &call);
        world.run_for_ms(ms);
        let verdict = hang_up(&mut world, &call, "agent");
        assert_eq!(verdict["cause"], cause, "{what}");
        assert_eq!(verdict["meta-code"].as_u64().unwrap_or(0), code, "{what}");
        assert_eq!(verdict["grade"], if cause == "normal" { "good" } else { "bad" }, "{what}");
    }
}

#[test]
fn losses_in_mid_call_are_named() {
    for (what, silent_ms, cause) in [("WhatsApp's path is lost", 40_000, "consent_lost"), ("a pause", 15_000, "normal")]
    {
        println!("{what}");
        let mut world = world(1_003);
        let call = rung(&mut world, calls::phone());
        open_gate(&mut world, &call);
        world.run_for_ms(10_000);
        without(&mut world, |from, to, _| !is_whatsapp(from) && !is_whatsapp(to));
        world.run_for_ms(silent_ms);
        if cause == "normal" {
            without(&mut world, |_, _, _| true);
            world.run_for_ms(10_000);
        }
        let verdict = hang_up(&mut world, &call, "agent");
        assert_eq!(verdict["cause"], cause, "{what}");
        if cause == "normal" {
            assert_eq!((&verdict["grade"], &verdict["hints"][0]), (&"fair".into(), &"media_interrupted".into()));
        }
    }
}

#[test]
fn a_phone_that_is_gone_is_named() {
    let mut world = world(1_004);
    let call = rung(&mut world, calls::phone());
    open_gate(&mut world, &call);
    world.run_for_ms(10_000);
    without(&mut world, |from, _, _| from.ip() != calls::phone().rtp.ip());
    world.run_for_ms(22_000);
    let verdict = hang_up(&mut world, &call, "whatsapp");
    assert_eq!((&verdict["cause"], &verdict["grade"]), (&"sip_side_gone".into(), &"bad".into()));
    assert_eq!(verdict["meta-code"], Value::Null, "WhatsApp was sent media all the time");
    let age = Duration::from_millis(verdict["age-ms"].as_u64().unwrap());
    assert_eq!(age, Duration::from_millis(36_000));
}
