//! Calls from offer to delete: repeats, forks, retries with credentials, ends.

use super::*;

#[test]
fn a_call_is_deleted_by_its_call_id_alone_and_its_ports_are_free_at_once() {
    let mut world = World::new(351);
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    world.run_for_ms(1_000);
    let stranger = world.phone(call.meta).report().packets;
    assert!(stranger > 0);
    let reply = world.ng(&world::delete(&call.id));
    assert_eq!(reply["result"], "ok", "{reply}");
    assert_eq!(world.ports_in_use(), 0);
    // Neither phone is sent anything from then on, though both still talk.
    world.run_for_ms(100);
    let received = (world.phone(call.meta).report().packets, world.phone(call.phone).report().packets);
    world.run_for_ms(1_000);
    assert_eq!((world.phone(call.meta).report().packets, world.phone(call.phone).report().packets), received);
}

#[test]
fn a_delete_reports_on_the_call_unless_it_is_to_be_fast() {
    let mut world = World::new(352);
    for fast in [false, true] {
        let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
        world.run_for_ms(2_000);
        let flags: &[&str] = if fast { &["fast"] } else { &[] };
        let reply = world.ng(&json!({"command": "delete", "call-id": call.id, "flags": flags}));
        assert_eq!(reply["result"], "ok");
        if fast {
            assert_eq!(reply, json!({"result": "ok"}));
        } else {
            let packets = reply["totals"]["RTP"]["packets"].as_u64().expect("a number");
            // Two phones at 50 packets a second for 2 s.
            assert!((190..=202).contains(&packets), "{reply}");
            assert!(reply["tags"]["caller"].is_object() && reply["tags"]["callee"].is_object(), "{reply}");
        }
        world.run_for_ms(1_000);
    }
}

#[test]
fn a_deleted_call_can_be_queried_for_the_delete_delay() {
    let mut world = World::new(353);
    for (n, delay) in [None, Some(0), Some(5)].into_iter().enumerate() {
        let name = format!("late-{n}");
        calls::sdp_of(&world.ng(&offer(&name, SDP)));
        calls::sdp_of(&world.ng(&answer(&name, SDP)));
        let mut delete = world::delete(&name);
        if let Some(seconds) = delay {
            delete["delete-delay"] = json!(seconds);
        }
        assert_eq!(world.ng(&delete)["result"], "ok");
        let kept_ms: u64 = delay.unwrap_or(30) * 1_000;
        let query = json!({"command": "query", "call-id": name});
        if kept_ms > 0 {
            world.run_for_ms(kept_ms - 1);
            assert_eq!(world.ng(&query)["result"], "ok", "{delay:?}");
            assert_eq!(listed(&mut world), std::slice::from_ref(&name));
            assert_eq!(world.ng(&answer(&name, SDP))["error-reason"], "Unknown call-id", "{delay:?}");
        }
        world.run_for_ms(2);
        assert_eq!(world.ng(&query)["error-reason"], "Unknown call-id", "{delay:?}");
        assert_eq!((listed(&mut world), world.ports_in_use()), (Vec::new(), 0), "{delay:?}");
    }
}

#[test]
fn deleting_what_is_not_there_is_a_warning_and_with_fatal_an_error() {
    let mut world = World::new(354);
    calls::sdp_of(&world.ng(&offer("here", SDP)));
    let warning = "Call-ID not found or tags didn't match";
    for target in [json!({"call-id": "gone"}), json!({"call-id": "here", "from-tag": "unknown"})] {
        let mut delete = target.clone();
        delete["command"] = json!("delete");
        let reply = world.ng(&delete);
        assert_eq!((&reply["result"], &reply["warning"]), (&json!("ok"), &json!(warning)), "{target}");
        delete["flags"] = json!(["fatal"]);
        let reply = world.ng(&delete);
        assert_eq!((&reply["result"], &reply["error-reason"]), (&json!("error"), &json!(warning)), "{target}");
    }
    assert_eq!(listed(&mut world), ["here"]);
}

#[test]
fn the_same_answer_again_gets_the_same_sdp() {
    let mut world = World::new(355);
    let now = world.now();
    let (mut meta, mut phone) = (Meta::new(now, calls::meta()), Phone::new(now, opus_phone()));
    let offer = meta.offer(now).expect("an offer");
    let to_phone = calls::offer_sdp(&mut world, "twice", "meta", &offer, json!({"transport-protocol": "RTP/AVP"}));
    let answer = phone.answer(now, &to_phone).expect("an answer");
    let (meta, phone) = (world.add_meta(meta), world.add_phone(phone));
    let call = Call { id: "twice".into(), meta, phone };
    // 183 for the pre_accept, 200 for the accept, and a 200 that was sent twice.
    let first = calls::answer_sdp(&mut world, "twice", "meta", "phone", &answer);
    world.meta(meta).accept(now, &first).expect("accepted");
    for _ in 0..3 {
        world.run_for_ms(700);
        assert_eq!(calls::answer_sdp(&mut world, "twice", "meta", "phone", &answer), first);
    }
    world.run_for_ms(1_500);
    world.assert_audio_both_ways(&call);
    let ice = world.meta(meta).report().ice.expect("ICE");
    assert_eq!(ice.switches, 0);
}

#[test]
fn a_200_with_another_to_tag_than_the_183_goes_on_with_the_call() {
    let mut world = World::new(356);
    let now = world.now();
    let mut meta = Meta::new(now, calls::meta());
    let offer = meta.offer(now).expect("an offer");
    let extra = json!({"transport-protocol": "RTP/AVP", "ICE": "remove"});
    let to_phone = calls::offer_sdp(&mut world, "fork", "meta", &offer, extra);
    let ringing = PhoneOptions { rtp: calls::addr("198.51.100.21:4000"), seed: 9, ..opus_phone() };
    let (mut announcer, mut phone) = (Phone::new(now, ringing), Phone::new(now, opus_phone()));
    let early = announcer.answer(now, &to_phone).expect("an answer");
    let to_meta = calls::answer_sdp(&mut world, "fork", "meta", "announcement", &early);
    meta.accept(now, &to_meta).expect("accepted");
    let ports = world.ports_in_use();
    let meta = world.add_meta(meta);
    world.add_phone(announcer);
    world.run_for_ms(1_500);
    let answer = phone.answer(world.now(), &to_phone).expect("an answer");
    let phone = world.add_phone(phone);
    assert_eq!(calls::answer_sdp(&mut world, "fork", "meta", "agent", &answer), to_meta, "WhatsApp's SDP is fixed");
    assert_eq!(world.ports_in_use(), ports);
    world.run_for_ms(2_500);
    world.assert_audio_both_ways(&Call { id: "fork".into(), meta, phone });
    let stream = world.meta(meta).report().stream;
    assert_eq!((stream.ssrcs.len(), stream.lost, stream.duplicates), (1, 0, 0), "{stream:?}");
}

/// WhatsApp answers the first INVITE with 407. Gives the call after the second one.
fn offered_again(world: &mut World, deleted: bool, branches: bool) -> Call {
    let now = world.now();
    let phone = world.add_phone(Phone::new(now, opus_phone()));
    let meta = world.add_meta(Meta::new(now, calls::meta()));
    let offer = world.phone(phone).offer();
    let extra = |branch: &str| {
        let mut extra = json!({"profile": "whatsapp", "transport-protocol": "UDP/TLS/RTP/SAVPF"});
        if branches {
            extra["via-branch"] = json!(branch);
        }
        extra
    };
    calls::offer_sdp(world, "retry", "phone", &offer, extra("z9hG4bK1"));
    world.run_for_ms(200);
    if deleted {
        let mut delete = json!({"command": "delete", "call-id": "retry", "from-tag": "phone"});
        if branches {
            delete["via-branch"] = json!("z9hG4bK1");
        }
        assert_eq!(world.ng(&delete)["result"], "ok");
    }
    let to_meta = calls::offer_sdp(world, "retry", "phone", &offer, extra("z9hG4bK2"));
    let now = world.now();
    let answer = world.meta(meta).answer(now, &to_meta).expect("an answer");
    let mut request = json!({
        "command": "answer", "call-id": "retry", "from-tag": "phone", "to-tag": "meta", "sdp": answer,
    });
    if branches {
        request["via-branch"] = json!("z9hG4bK2");
    }
    let to_phone = calls::sdp_of(&world.ng(&request));
    world.phone(phone).accept(now, &to_phone).expect("accepted");
    Call { id: "retry".into(), meta, phone }
}

#[test]
fn a_call_offered_again_with_credentials_comes_up() {
    for (n, (deleted, branches)) in [(true, true), (true, false), (false, true), (false, false)].into_iter().enumerate()
    {
        println!("deleted in between: {deleted}, with via-branch: {branches}");
        let mut world = World::new(360 + n as u64);
        let call = offered_again(&mut world, deleted, branches);
        world.run_for_ms(1_500);
        world.assert_audio_both_ways(&call);
        // What the first delete has left behind is over in half a minute, and must not take the call with it.
        for silent in [true, false] {
            world.phone(call.phone).set_silent(silent);
            world.meta(call.meta).set_silent(silent);
            world.run_for_ms(if silent { 31_000 } else { 1_500 });
        }
        world.assert_audio_both_ways(&call);
        assert_eq!(world.ng(&world::delete(&call.id))["result"], "ok");
        assert_eq!(world.ports_in_use(), 0);
    }
}
