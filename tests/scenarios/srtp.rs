//! Legs with keys from the SDP: suites, tags, keys, roll-overs, and what Trestle puts on the wire.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trestle_peers::{Codec, PhoneOptions};
use trestle_srtp::Profile;
use trestle_world::raw::{self, RawPhone};
use trestle_world::{World, calls, captured, world};

const CM: Profile = Profile::AesCm128HmacSha1_80;

/// A secured raw phone that calls a plain one; both know each other by name `a` and `b`.
fn secured_and_plain(world: &mut World, profile: Profile) -> (RawPhone, RawPhone) {
    let secured = RawPhone::new(world, "198.51.100.10:20000", Some(raw::key(profile, 1)));
    let plain = RawPhone::new(world, "198.51.100.20:30000", None);
    (secured, plain)
}

fn refused(world: &mut World, request: &Value, part: &str) {
    let reply = world.ng(request);
    let reason = reply["error-reason"].as_str().unwrap_or_else(|| panic!("taken: {reply}"));
    assert!(reason.contains(part), "{reason}");
}

#[test]
fn all_six_suites_carry_a_call_in_either_direction() {
    for (n, suite) in Profile::ALL.into_iter().enumerate() {
        let mut world = World::new(400 + n as u64);
        world.capture();
        // Trestle answers the first call's suite, and offers all six of which the second's callee takes this one.
        let secured = |options: PhoneOptions| PhoneOptions { suites: vec![suite], ..options };
        let first = calls::between_phones(&mut world, secured(calls::caller()), calls::phone());
        world.run_for_ms(1_300);
        world.assert_audio_between_phones(&first);
        world.ng(&world::delete(&first.id));
        let moved = |options: PhoneOptions, rtp: &str| PhoneOptions { rtp: calls::addr(rtp), ..options };
        let caller = moved(calls::caller(), "198.51.100.11:20000");
        let second = calls::between_phones(&mut world, caller, secured(moved(calls::phone(), "198.51.100.21:30000")));
        world.run_for_ms(5_500);
        world.assert_audio_between_phones(&second);
        for phone in [first.meta, first.phone, second.meta, second.phone] {
            let report = world.phone(phone).report();
            assert_eq!((report.auth_failures, report.lost, report.strays), (0, 0, 0), "{suite:?}: {report:?}");
        }
        assert!(world.phone(second.phone).report().sender_reports > 0, "{suite:?}");
        let written = world.written.clone();
        let judged = captured::judge(&world, &written);
        assert!(judged.rtp > 300 && judged.rtcp > 0, "{suite:?}: {judged:?}");
    }
}

#[test]
fn an_answer_may_pick_any_tag_that_was_offered_and_no_other() {
    let mut world = World::new(410);
    let mut caller = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut tags = BTreeSet::new();
    for (n, suite) in Profile::ALL.into_iter().enumerate() {
        let name = format!("tag-{n}");
        let mut callee = RawPhone::new(&mut world, &format!("198.51.100.{}:30000", 20 + n), Some(raw::key(suite, 3)));
        raw::call(&mut world, &name, &mut caller, &mut callee);
        tags.insert(callee.tag);
        callee.talk(&mut world, 3);
        assert_eq!(caller.received(&world).len(), 3, "{suite:?}, tag {}", callee.tag);
        world.ng(&world::delete(&name));
        world.run_for_ms(100);
        caller.received(&world);
    }
    assert_eq!(tags, (1..=6).collect());

    let mut callee = RawPhone::new(&mut world, "198.51.100.30:30000", Some(raw::key(CM, 3)));
    let extra = json!({"transport-protocol": "RTP/SAVP"});
    let offered = calls::offer_sdp(&mut world, "wrong", "a", &caller.sdp(), extra);
    let right = 1 + raw::keys(&offered).iter().position(|key| key.profile() == CM).expect("offered") as u32;
    for tag in [0, 7, 99, if right == 1 { 2 } else { 1 }] {
        callee.tag = tag;
        let answer =
            json!({"command": "answer", "call-id": "wrong", "from-tag": "a", "to-tag": "b", "sdp": callee.sdp()});
        refused(&mut world, &answer, "no a=crypto has tag and suite of a line that was offered");
    }
}

#[test]
fn a_lifetime_and_a_master_key_identifier_are_no_obstacle() {
    for (n, suite) in Profile::ALL.into_iter().enumerate() {
        for (parameters, mki) in [("|2^31", vec![]), ("|1:4", vec![0, 0, 0, 1]), ("|2^20|9:1", vec![9])] {
            let mut world = World::new(420 + n as u64);
            let (mut secured, mut plain) = secured_and_plain(&mut world, suite);
            (secured.key_parameters, secured.mki) = (parameters, mki);
            raw::call(&mut world, "mki", &mut secured, &mut plain);
            secured.talk(&mut world, 10);
            plain.talk(&mut world, 10);
            assert_eq!(plain.received(&world).len(), 10, "{suite:?}{parameters}");
            // Ours come without one: we announced none.
            assert_eq!((secured.received(&world).len(), secured.refused), (10, 0), "{suite:?}{parameters}");
        }
    }
}

#[test]
fn no_key_of_trestle_equals_a_peers_key_or_serves_a_second_leg() {
    let mut world = World::new(430);
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    let bytes = |key: &trestle_srtp::KeyingMaterial| key.key_and_salt().to_vec();
    for n in 0..200u8 {
        let suite = Profile::ALL[usize::from(n) % 6];
        let mut caller = RawPhone::new(&mut world, "198.51.100.10:20000", Some(raw::key(suite, n)));
        let mut callee = RawPhone::new(&mut world, "198.51.100.20:30000", Some(raw::key(suite, n)));
        for key in [&caller.key, &callee.key] {
            seen.insert(bytes(key.as_ref().expect("a key")));
        }
        let name = format!("keys-{n}");
        world.written.clear();
        raw::call(&mut world, &name, &mut caller, &mut callee);
        let ours: Vec<_> = world.written.iter().flat_map(|sdp| raw::keys(sdp)).collect();
        assert_eq!(ours.len(), 6 + 1, "six offered, one answered");
        for key in &ours {
            assert!(seen.insert(bytes(key)), "a key for the second time, call {n}");
        }
        world.ng(&world::delete(&name));
    }
}

#[test]
fn a_peer_that_sends_a_key_of_trestle_is_refused() {
    let mut world = World::new(431);
    let caller = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let extra = json!({"transport-protocol": "RTP/SAVP"});
    let offered = calls::offer_sdp(&mut world, "echo", "a", &caller.sdp(), extra);
    let echo = offered.lines().filter(|line| !line.starts_with("a=crypto")).map(|line| format!("{line}\r\n"));
    let line = offered.lines().find(|line| line.starts_with("a=crypto:1 ")).expect("a first line");
    let sdp = echo.collect::<String>() + line + "\r\n";
    let answer = json!({"command": "answer", "call-id": "echo", "from-tag": "a", "to-tag": "b", "sdp": sdp});
    refused(&mut world, &answer, "the key is one of ours");
}

#[test]
fn an_answer_never_weakens_what_was_offered() {
    let mut world = World::new(432);
    let (caller, plain) = secured_and_plain(&mut world, CM);
    calls::offer_sdp(&mut world, "down", "a", &caller.sdp(), json!({"transport-protocol": "RTP/SAVP"}));
    let answer =
        |sdp: String| json!({"command": "answer", "call-id": "down", "from-tag": "a", "to-tag": "b", "sdp": sdp});
    let reason = "an answer cannot change how media is secured";
    refused(&mut world, &answer(plain.sdp()), reason);
    let mut secured = RawPhone::new(&mut world, "198.51.100.21:30000", Some(raw::key(CM, 9)));
    // A key beside a plain profile is no SRTP.
    refused(&mut world, &answer(secured.sdp().replace("RTP/SAVP", "RTP/AVP")), reason);
    refused(&mut world, &answer(plain.sdp().replace("RTP/AVP", "RTP/SAVP")), "SRTP needs an a=crypto");
    for parameter in ["UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP"] {
        secured.key_parameters = " UNENCRYPTED_SRTP";
        let sdp = secured.sdp().replace("UNENCRYPTED_SRTP", parameter);
        refused(&mut world, &answer(sdp), "switches protection off");
    }
    for (good, bad) in
        [("AES_CM_128_HMAC_SHA1_80", "NULL_HMAC_SHA1_80"), ("inline:", "inline:AAAA"), ("inline:", "https:")]
    {
        secured.key_parameters = "";
        let reply = world.ng(&answer(secured.sdp().replace(good, bad)));
        assert_eq!(reply["result"], "error", "{bad}: {reply}");
    }
    world.run_for_ms(1_000);
    assert_eq!(world.received_by_stranger(plain.actor).len() + world.received_by_stranger(secured.actor).len(), 0);
}

#[test]
fn a_stream_is_forwarded_across_a_sequence_wrap_with_loss_and_reordering_around_it() {
    let mut world = World::new(440);
    let (mut secured, mut plain) = secured_and_plain(&mut world, CM);
    raw::call(&mut world, "wrap", &mut secured, &mut plain);
    secured.seq = 65_400;
    let mut sent = 0;
    let mut held: Vec<Vec<u8>> = Vec::new();
    for n in 0..300 {
        let packet = secured.packet();
        match n % 10 {
            // One in ten is lost, two are overtaken by up to nine.
            3 => {}
            5 | 6 => held.push(packet),
            _ => {
                secured.send_bytes(&mut world, &packet);
                sent += 1;
            }
        }
        if n % 10 == 9 {
            for packet in held.drain(..).rev() {
                secured.send_bytes(&mut world, &packet);
                sent += 1;
            }
        }
        world.run_for_ms(20);
    }
    let arrived = plain.received(&world);
    let distinct: BTreeSet<_> = arrived.iter().map(raw::ReceivedPacket::origin).collect();
    assert_eq!((arrived.len(), distinct.len()), (sent, sent));
}

#[test]
fn a_stream_whose_first_packets_are_lost_before_a_sequence_wrap_is_forwarded() {
    for suite in Profile::ALL {
        let mut world = World::new(441);
        let (mut secured, mut plain) = secured_and_plain(&mut world, suite);
        raw::call(&mut world, "early wrap", &mut secured, &mut plain);
        secured.seq = 65_530;
        for _ in 0..10 {
            secured.packet();
        }
        secured.talk(&mut world, 20);
        assert_eq!(plain.received(&world).len(), 20, "{suite:?}");
    }
}

#[test]
fn the_same_keys_again_go_on_across_a_wrap() {
    let mut world = World::new(442);
    let (mut secured, mut plain) = secured_and_plain(&mut world, CM);
    raw::call(&mut world, "same", &mut secured, &mut plain);
    secured.seq = 65_500;
    // The plain side loses 2,800 packets between any two, so that our own numbers towards the other side wrap soon.
    let both = |world: &mut World, secured: &mut RawPhone, plain: &mut RawPhone| {
        for _ in 0..30 {
            secured.send(world);
            plain.send(world);
            (plain.seq, plain.time) = (plain.seq + 2_800, plain.time.wrapping_add(160));
            world.run_for_ms(20);
        }
        (plain.received(world).len(), secured.received(world).len(), secured.refused)
    };
    let ours = secured.trestle_key.clone();
    assert_eq!(both(&mut world, &mut secured, &mut plain), (30, 30, 0));
    for from in [true, false, true] {
        if from {
            raw::re_offer(&mut world, "same", (&mut secured, "a"), (&mut plain, "b"));
        } else {
            raw::re_offer(&mut world, "same", (&mut plain, "b"), (&mut secured, "a"));
        }
        assert_eq!(secured.trestle_key, ours, "our key stays");
        assert_eq!(both(&mut world, &mut secured, &mut plain), (30, 30, 0));
    }
    assert!(secured.seq > 65_536 && plain.seq > 3 * 65_536, "{} and {}", secured.seq, plain.seq);
}

#[test]
fn new_keys_of_the_peer_recover_at_once_whatever_becomes_of_its_counters() {
    for suite in [CM, Profile::AeadAes128Gcm] {
        for wraps in [0u64, 1, 3] {
            for (keep_roc, new_ssrc) in [(true, false), (true, true), (false, false), (false, true)] {
                let what = format!("{suite:?}, {wraps} wraps, ROC kept: {keep_roc}, new SSRC: {new_ssrc}");
                let mut world = World::new(443);
                let (mut secured, mut plain) = secured_and_plain(&mut world, suite);
                raw::call(&mut world, "new", &mut secured, &mut plain);
                secured.seq = 65_500;
                for _ in 0..wraps {
                    // Jumps of less than half the number space, each followed by a packet that proves it.
                    for _ in 0..3 {
                        secured.talk(&mut world, 3);
                        secured.seq += 21_843;
                    }
                }
                secured.talk(&mut world, 20);
                plain.received(&world);
                if new_ssrc {
                    secured.ssrc += 1;
                }
                secured.set_key(raw::key(suite, 77), keep_roc);
                raw::re_offer(&mut world, "new", (&mut secured, "a"), (&mut plain, "b"));
                secured.talk(&mut world, 20);
                let arrived = plain.received(&world).len();
                // One packet of a new stream may be spent on proving it.
                assert!(arrived >= 19, "{what}: {arrived} of 20");
            }
        }
    }
}

#[test]
fn everything_that_leaves_in_a_whole_call_opens_with_the_announced_keys_and_repeats_no_index() {
    let mut world = World::new(450);
    world.capture();
    let phone = PhoneOptions { codecs: vec![Codec::Opus], suites: vec![CM], ..calls::phone() };
    let call = calls::business_initiated(&mut world, calls::meta_sdes(), phone);
    world.run_for_ms(2_000);
    world.whatsapp_presses(&call, "12", 200);
    world.phone_presses(&call, "34", 200);
    for hold in [true, false] {
        let now = world.now();
        world.phone(call.phone).set_hold(hold);
        let offer = world.phone(call.phone).offer();
        calls::offer_sdp(&mut world, &call.id, "phone", &offer, json!({"to-tag": "meta"}));
        let answer = meta_answer(&mut world, &call);
        let answer = calls::answer_sdp(&mut world, &call.id, "phone", "meta", &answer);
        world.phone(call.phone).accept(now, &answer).expect("accepted");
        world.run_for_ms(2_000);
    }
    world.run_for_ms(4_000);
    let written = world.written.clone();
    let judged = captured::judge(&world, &written);
    assert!(judged.rtp > 800 && judged.rtcp >= 4, "{judged:?}");
    world.assert_audio_both_ways(&call);
}

/// What WhatsApp has answered, again: a proxy that re-offers the phone's leg alone answers for WhatsApp like this.
fn meta_answer(world: &mut World, call: &calls::Call) -> String {
    world.signalled.get(&(call.id.clone(), "meta".to_owned())).cloned().expect("WhatsApp has answered")
}

#[test]
fn plain_text_never_leaves_on_a_leg_with_keys() {
    let mut world = World::new(451);
    world.capture();
    let phone = PhoneOptions { suites: vec![CM], ..calls::phone() };
    let call = calls::between_phones(&mut world, calls::caller(), phone);
    world.run_for_ms(6_000);
    world.ng(&world::delete(&call.id));
    world.run_for_ms(1_000);
    let spoken: BTreeSet<Vec<u8>> = world
        .received()
        .iter()
        .filter(|(_, datagram)| datagram.from.ip() == calls::caller().rtp.ip() && datagram.bytes.len() == 172)
        .map(|(_, datagram)| datagram.bytes[12..28].to_vec())
        .collect();
    let to_phone = world.captured().iter().filter(|(_, datagram)| datagram.to.ip() == calls::phone().rtp.ip());
    let mut packets = 0;
    for (at, datagram) in to_phone {
        packets += 1;
        let seen = datagram.bytes.windows(16).any(|window| spoken.contains(window));
        assert!(!seen, "speech in clear after {:?}", *at - world.captured()[0].0);
    }
    assert!(!spoken.is_empty() && packets > 250, "{} voices, {packets} packets", spoken.len());
}
