//! Many calls: lists, statistics, sizes of replies, and the end of the ports.

use trestle_world::TrestleSetup;

use super::*;

#[test]
fn replies_fit_into_one_packet_unless_more_is_asked_for() {
    let mut world = World::new(371);
    let whatsapp = calls::user_initiated(&mut world, calls::meta(), opus_phone());
    for n in 0..60 {
        calls::sdp_of(&world.ng(&offer(&format!("{n}-{}@198.51.100.1", "0123456789".repeat(6)), SDP)));
    }
    world.run_for_ms(3_000);
    let requests = [
        json!({"command": "query", "call-id": whatsapp.id}),
        json!({"command": "list"}),
        json!({"command": "statistics"}),
        json!({"command": "delete", "call-id": whatsapp.id}),
    ];
    for (n, request) in requests.iter().enumerate() {
        let reply = world.ng_raw(format!("size-{n} {request}").as_bytes()).expect("a reply");
        assert!(reply.len() <= 1_200, "{} bytes: {}", reply.len(), String::from_utf8_lossy(&reply));
        assert!(reply.ends_with(b"\"result\":\"ok\"}"), "{request}");
    }
}

#[test]
fn a_list_that_is_asked_to_be_long_is_long() {
    let mut world = World::new(372);
    for n in 0..100 {
        calls::sdp_of(&world.ng(&offer(&format!("call-{n:03}@198.51.100.1"), SDP)));
    }
    let short = world.ng(&json!({"command": "list"}));
    assert_eq!(short["calls"].as_array().map(Vec::len), Some(32), "{short}");
    assert!(short["warnings"].to_string().contains("68 more"), "{short}");
    let long = world.ng(&json!({"command": "list", "limit": 1000}));
    assert_eq!(long["calls"].as_array().map(Vec::len), Some(100));
    assert_eq!(world.ng(&json!({"command": "list", "limit": 0}))["calls"], json!([]));
}

#[test]
fn a_query_reports_media_addresses_and_counters() {
    let mut world = World::new(373);
    let call = calls::user_initiated(&mut world, calls::meta(), opus_phone());
    world.run_for_ms(2_000);
    let reply = world.ng(&json!({"command": "query", "call-id": call.id, "flags": ["verbose"]}));
    assert_eq!(reply["result"], "ok");
    let stream = |tag: &str| &reply["tags"][tag]["medias"][0]["streams"][0];
    assert_eq!(stream("meta")["endpoint"]["address"], "31.13.65.60", "{reply}");
    assert_eq!(stream("phone")["endpoint"], json!({"family": "IPv4", "address": "198.51.100.20", "port": 30_000}));
    let sent = world.phone(call.phone).packets_sent();
    let counted = stream("phone")["stats"]["packets"].as_u64().expect("a number");
    assert!(counted.abs_diff(u64::from(sent)) <= 1, "{counted} of {sent}");
    let timeline = reply["tags"]["meta"]["leg"]["timeline-ms"].as_object().expect("a timeline");
    for milestone in ["opened", "ice-connected", "dtls-connected", "first-media-in", "first-media-out"] {
        assert!(timeline.contains_key(milestone), "{milestone} is missing in {timeline:?}");
    }
}

#[test]
fn statistics_count_calls_packets_and_requests() {
    let mut world = World::new(374);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    world.run_for_ms(2_000);
    world.ng_raw(b"odd {\"command\":\"nonsense\"}");
    let reply = world.ng(&json!({"command": "statistics"}));
    let tree = &reply["statistics"];
    assert_eq!(tree["currentstatistics"]["sessionsown"], 1, "{tree}");
    assert_eq!(tree["currentstatistics"]["legs"], 2);
    let relayed = tree["totalstatistics"]["relayedpackets"].as_u64().expect("a number");
    assert!((190..=202).contains(&relayed), "{tree}");
    assert_eq!((&tree["controlstatistics"]["offer"], &tree["controlstatistics"]["answer"]), (&json!(1), &json!(1)));
    assert_eq!(tree["controlstatistics"]["errors"], 1);
    world.ng(&world::delete(&call.id));
    let tree = world.ng(&json!({"command": "statistics"}))["statistics"].clone();
    assert_eq!(tree["currentstatistics"]["sessionsown"], 0, "{tree}");
    assert_eq!(tree["totalstatistics"]["regularterminatedsessions"], 1);
    assert_eq!(tree["totalstatistics"]["managedsessions"], 1);
}

#[test]
fn when_ports_run_out_calls_are_refused_in_words_and_deletes_make_room_again() {
    // Pairs for IPv4 and IPv6 come from one range here; 16 of each are kept in stock.
    let mut world = World::with(TrestleSetup { ports: [40_000 - 2 * 132, 40_000], ..TrestleSetup::new(375) });
    let first = calls::between_phones(&mut world, calls::caller(), calls::phone());
    let fill = |world: &mut World, round: &str| -> Vec<String> {
        let mut taken = Vec::new();
        loop {
            let name = format!("{round}-{}", taken.len());
            let reply = world.ng(&offer(&name, SDP));
            if reply["result"] != "ok" {
                assert_eq!(reply, json!({"result": "error", "error-reason": "Ran out of ports"}));
                return taken;
            }
            taken.push(name);
            assert!(taken.len() <= 100, "ports without end");
        }
    };
    let taken = fill(&mut world, "one");
    assert!(taken.len() > 20, "{} calls", taken.len());
    let (ports, calls_listed) = (world.ports_in_use(), world.totals().calls);
    for n in 0..50 {
        assert_eq!(world.ng(&offer(&format!("more-{n}"), SDP))["error-reason"], "Ran out of ports");
    }
    // A proxy that supports `load limit` takes the next node on exactly these words.
    let pairs = [
        ("supports", json!(["load limit"])),
        ("sdp", json!(SDP)),
        ("call-id", json!("b")),
        ("from-tag", json!("a")),
        ("command", json!("offer")),
    ];
    assert_eq!(in_bencode(&mut world, "1", &pairs)["error-reason"], "Ran out of ports");
    assert_eq!((world.ports_in_use(), world.totals().calls), (ports, calls_listed), "refused offers hold nothing");
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&first);

    let half = taken.len() / 2;
    for name in &taken[..half] {
        assert_eq!(world.ng(&world::delete(name))["result"], "ok");
    }
    assert_eq!(fill(&mut world, "two").len(), half, "what was given back can be taken again");
    world.run_for_ms(1_500);
    world.assert_audio_between_phones(&first);
}
