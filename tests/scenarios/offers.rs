//! Re-offers and forks on the wire: what flows between an offer and its answer, and after an answer that changes a leg.

use serde_json::{Value, json};
use trestle_peers::{Codec, PhoneOptions};
use trestle_srtp::{KeyingMaterial, Profile};
use trestle_world::calls;
use trestle_world::raw::{self, RawPhone};
use trestle_world::{World, world};

const CM: Profile = Profile::AesCm128HmacSha1_80;

fn secured_and_plain(world: &mut World, profile: Profile) -> (RawPhone, RawPhone) {
    let secured = RawPhone::new(world, "198.51.100.10:20000", Some(raw::key(profile, 1)));
    let plain = RawPhone::new(world, "198.51.100.20:30000", None);
    (secured, plain)
}

/// When a phone begins to use the key that it has offered anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    WithItsOffer,
    WithTheAnswer,
    /// The answer is on its way to it.
    AfterTheAnswer,
}

#[test]
fn a_re_offer_with_a_new_key_loses_no_packet_whenever_the_phone_begins_to_use_it() {
    for suite in [CM, Profile::AeadAes128Gcm] {
        for renewal in [Renewal::WithItsOffer, Renewal::WithTheAnswer, Renewal::AfterTheAnswer] {
            for (keep_roc, before_wrap) in [(true, false), (false, false), (true, true)] {
                let what = format!("{suite:?}, {renewal:?}, ROC kept: {keep_roc}, at a wrap: {before_wrap}");
                let mut world = World::new(901);
                let (mut secured, mut plain) = secured_and_plain(&mut world, suite);
                raw::call(&mut world, "re-key", &mut secured, &mut plain);
                if before_wrap {
                    secured.seq = 65_430;
                }
                secured.talk(&mut world, 20);
                let new = raw::key(suite, 77);
                // The offer has the new key, whether or not the phone uses it already.
                let offer = |secured: &mut RawPhone| {
                    let old = secured.key.replace(new.clone());
                    let sdp = secured.sdp();
                    secured.key = old;
                    sdp
                };
                let sdp = offer(&mut secured);
                let to_plain = calls::offer_sdp(&mut world, "re-key", "a", &sdp, json!({"to-tag": "b"}));
                plain.accept(&to_plain);
                if renewal == Renewal::WithItsOffer {
                    secured.set_key(new.clone(), keep_roc);
                }
                secured.talk(&mut world, 100);
                let overtaken: Vec<_> = (0..2).map(|_| secured.packet()).collect();
                calls::answer_sdp(&mut world, "re-key", "a", "b", &plain.sdp());
                match renewal {
                    Renewal::WithItsOffer => {}
                    Renewal::WithTheAnswer => secured.set_key(new.clone(), keep_roc),
                    Renewal::AfterTheAnswer => {
                        secured.talk(&mut world, 20);
                        secured.set_key(new.clone(), keep_roc);
                    }
                }
                secured.talk(&mut world, 3);
                overtaken.iter().for_each(|packet| secured.send_bytes(&mut world, packet));
                secured.talk(&mut world, 20);
                let sent = 20 + 100 + 2 + 3 + 20 + if renewal == Renewal::AfterTheAnswer { 20 } else { 0 };
                assert_eq!(plain.received(&world).len(), sent, "{what}");
            }
        }
    }
}

#[test]
fn a_refused_re_offer_with_a_new_key_leaves_the_old_one_in_use() {
    let mut world = World::new(902);
    let (mut secured, mut plain) = secured_and_plain(&mut world, CM);
    raw::call(&mut world, "refused", &mut secured, &mut plain);
    secured.talk(&mut world, 10);
    for n in [77, 78] {
        let old = secured.key.replace(raw::key(CM, n));
        let sdp = secured.sdp();
        secured.key = old;
        calls::offer_sdp(&mut world, "refused", "a", &sdp, json!({"to-tag": "b"}));
        secured.talk(&mut world, 20);
        plain.talk(&mut world, 20);
    }
    assert_eq!(plain.received(&world).len(), 50);
    assert_eq!((secured.received(&world).len(), secured.refused), (40, 0));
    // The offer that follows replaces them.
    secured.set_key(raw::key(CM, 79), true);
    raw::re_offer(&mut world, "refused", (&mut secured, "a"), (&mut plain, "b"));
    secured.talk(&mut world, 20);
    assert_eq!(plain.received(&world).len(), 20);
}

#[test]
fn a_phone_that_sends_from_its_new_port_before_the_answer_is_received_and_is_sent_to_there_after_it() {
    for keys in [None, Some(raw::key(CM, 1))] {
        let mut world = World::new(903);
        let mut phone = RawPhone::new(&mut world, "198.51.100.10:20000", keys.clone());
        let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
        raw::call(&mut world, "moves", &mut phone, &mut other);
        let both = |world: &mut World, from: &mut RawPhone, other: &mut RawPhone, packets: usize| {
            for _ in 0..packets {
                from.send(world);
                other.send(world);
                world.run_for_ms(20);
            }
        };
        both(&mut world, &mut phone, &mut other, 20);
        let mut moved = RawPhone::new(&mut world, "198.51.100.10:22000", None);
        let old_at = std::mem::replace(&mut phone.at, moved.at);
        let to_other = calls::offer_sdp(&mut world, "moves", "a", &phone.sdp(), json!({"to-tag": "b"}));
        other.accept(&to_other);
        // Unauthenticated media from a third port of the same host is not the phone's.
        let stray = raw::plain_packet(7, 1, 1);
        world.inject(calls::addr("198.51.100.10:24000"), phone.remote.expect("known"), &stray);
        both(&mut world, &mut phone, &mut other, 20);
        assert_eq!(other.received(&world).len(), 40, "from both ports");
        phone.at = old_at;
        assert_eq!(phone.received(&world).len(), 40, "to the old port");
        assert_eq!(world.received_by_stranger(moved.actor).len(), 0);
        // Refused: it goes on as before.
        both(&mut world, &mut phone, &mut other, 20);
        assert_eq!((other.received(&world).len(), phone.received(&world).len()), (20, 20));
        phone.at = moved.at;
        raw::re_offer(&mut world, "moves", (&mut phone, "a"), (&mut other, "b"));
        both(&mut world, &mut phone, &mut other, 20);
        assert_eq!(other.received(&world).len(), 20);
        moved.accept(&world.written.last().expect("an SDP").clone());
        assert_eq!(world.received_by_stranger(moved.actor).len(), 20, "to the new port");
    }
}

/// Sends the phone's next packet as `pt`.
fn send_as(world: &mut World, phone: &mut RawPhone, pt: u8) {
    let mut packet = phone.packet();
    packet[1] = packet[1] & 0x80 | pt;
    phone.send_bytes(world, &packet);
}

fn payload_types(phone: &mut RawPhone, world: &World) -> Vec<u8> {
    phone.received(world).iter().map(|packet| packet.header.pt.get()).collect()
}

#[test]
fn until_the_answer_the_offerer_of_another_codec_is_sent_the_old_one_and_both_are_taken() {
    for from_caller in [true, false] {
        let mut world = World::new(904);
        let mut a = RawPhone::new(&mut world, "198.51.100.10:20000", None);
        let mut b = RawPhone::new(&mut world, "198.51.100.20:30000", None);
        raw::call(&mut world, "codec", &mut a, &mut b);
        let tags = if from_caller { ["a", "b"] } else { ["b", "a"] };
        let (offerer, answerer) = if from_caller { (&mut a, &mut b) } else { (&mut b, &mut a) };
        for _ in 0..10 {
            offerer.send(&mut world);
            answerer.send(&mut world);
            world.run_for_ms(20);
        }
        let pcmu = |phone: &RawPhone| phone.sdp().replace("RTP/AVP 8", "RTP/AVP 0");
        calls::offer_sdp(&mut world, "codec", tags[0], &pcmu(offerer), json!({"to-tag": tags[1]}));
        for _ in 0..50 {
            send_as(&mut world, offerer, 8);
            // The answerer changes with its answer, which is late here.
            send_as(&mut world, answerer, 0);
            world.run_for_ms(20);
        }
        let received = payload_types(offerer, &world);
        assert!(received.len() >= 59 && received.iter().all(|pt| *pt == 8), "{received:?}");
        assert_eq!(payload_types(answerer, &world), [8; 60]);
        calls::answer_sdp(&mut world, "codec", tags[0], tags[1], &pcmu(answerer));
        // Packets in the old codec are still on their way.
        for pt in [8, 8, 0, 0, 0] {
            send_as(&mut world, offerer, pt);
            send_as(&mut world, answerer, 0);
            world.run_for_ms(20);
        }
        world.run_for_ms(200);
        let (received, sent) = (payload_types(offerer, &world), payload_types(answerer, &world));
        assert!(received.len() >= 5 && received.iter().all(|pt| *pt == 0), "{received:?}");
        assert!(sent.len() >= 5 && sent.iter().all(|pt| *pt == 0), "{sent:?}");
    }
}

#[test]
fn each_of_many_parallel_forks_may_answer_with_audio_both_ways() {
    for (forks, answers) in [(7, 0), (8, 0), (8, 7), (12, 0), (12, 6), (12, 11), (20, 0), (20, 8), (20, 19)] {
        let mut world = World::new(905);
        let mut caller = RawPhone::new(&mut world, "198.51.100.10:20000", None);
        let mut callee = RawPhone::new(&mut world, "198.51.100.20:30000", None);
        let branch = |n: usize| format!("z9hG4bK-{n}");
        for n in 0..forks {
            let to_fork = calls::offer_sdp(&mut world, "forks", "a", &caller.sdp(), json!({"via-branch": branch(n)}));
            if n == answers {
                callee.accept(&to_fork);
            }
        }
        let answer = json!({
            "command": "answer", "call-id": "forks", "from-tag": "a", "to-tag": "b", "sdp": callee.sdp(),
            "via-branch": branch(answers),
        });
        let to_caller = calls::sdp_of(&world.ng(&answer));
        caller.accept(&to_caller);
        for _ in 0..10 {
            caller.send(&mut world);
            callee.send(&mut world);
            world.run_for_ms(20);
        }
        let received = (caller.received(&world).len(), callee.received(&world).len());
        assert_eq!(received, (10, 10), "{answers} of {forks}");
        // The branches that have failed end, and the call does not.
        for n in (0..forks).filter(|n| *n != answers) {
            let mut delete = world::delete("forks");
            delete["via-branch"] = branch(n).into();
            world.ng(&delete);
        }
        caller.talk(&mut world, 10);
        assert_eq!(callee.received(&world).len(), 10, "{answers} of {forks}");
    }
}

#[test]
fn a_fax_that_is_refused_leaves_the_audio_and_one_that_is_accepted_ends_it_until_the_next_offer() {
    let mut world = World::new(906);
    let mut a = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut b = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "fax", &mut a, &mut b);
    let both = |world: &mut World, a: &mut RawPhone, b: &mut RawPhone| {
        for _ in 0..20 {
            a.send(world);
            b.send(world);
            world.run_for_ms(20);
        }
        (a.received(world).len(), b.received(world).len())
    };
    assert_eq!(both(&mut world, &mut a, &mut b), (20, 20));
    let image = "m=image 49158 udptl t38\r\na=T38FaxVersion:0\r\n";
    let head = "v=0\r\no=- 5 2 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\n";
    let request = |sdp: &str| json!({"command": "offer", "call-id": "fax", "from-tag": "b", "to-tag": "a", "sdp": sdp});
    let reply = world.ng(&request(&format!("{head}{image}")));
    assert!(reply["error-reason"].to_string().contains("there is no audio"), "{reply}");
    assert_eq!(both(&mut world, &mut a, &mut b), (20, 20));
    for audio in ["m=audio 0 RTP/AVP 8\r\n", "m=audio 0 RTP/AVP 18\r\n", "m=audio 0 RTP/SAVP 8\r\n"] {
        let offered = calls::sdp_of(&world.ng(&request(&format!("{head}{audio}{image}"))));
        assert!(offered.contains("m=audio 0 RTP/AVP 8\r\n"), "{offered}");
        assert_eq!(both(&mut world, &mut a, &mut b), (20, 20), "refused");
    }
    let offered = calls::sdp_of(&world.ng(&request(&format!("{head}m=audio 0 RTP/AVP 8\r\n{image}"))));
    assert!(!offered.contains("m=image"), "{offered}");
    let ended = a.sdp().replace("m=audio 20000", "m=audio 0");
    let answered = calls::answer_sdp(&mut world, "fax", "b", "a", &ended);
    let media: Vec<&str> = answered.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(media, ["m=audio 0 RTP/AVP 8", "m=image 0 udptl t38"], "{answered}");
    assert_eq!(both(&mut world, &mut a, &mut b), (0, 0));
    raw::re_offer(&mut world, "fax", (&mut b, "b"), (&mut a, "a"));
    assert_eq!(both(&mut world, &mut a, &mut b), (20, 20));
    // The other side may refuse the audio as well.
    calls::offer_sdp(&mut world, "fax", "b", &b.sdp(), json!({"to-tag": "a"}));
    let answered = calls::answer_sdp(&mut world, "fax", "b", "a", &ended);
    assert!(answered.contains("m=audio 0 RTP/AVP 8\r\n"), "{answered}");
    assert_eq!(both(&mut world, &mut a, &mut b), (0, 0));
    raw::re_offer(&mut world, "fax", (&mut a, "a"), (&mut b, "b"));
    assert_eq!(both(&mut world, &mut a, &mut b), (20, 20));
}

#[test]
fn a_phone_that_ends_its_audio_towards_whatsapp_gets_port_0_and_whatsapp_its_stream() {
    let mut world = World::new(907);
    let phone = PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() };
    let call = calls::user_initiated(&mut world, calls::meta(), phone);
    world.run_for_ms(1_500);
    let own = world.phone(call.phone).offer();
    let ended = own.replace("m=audio 30000", "m=audio 0");
    assert_ne!(own, ended);
    calls::offer_sdp(&mut world, &call.id, "phone", &ended, json!({"to-tag": "meta"}));
    let meta = world.signalled[&(call.id.clone(), "meta".to_owned())].clone();
    let written = calls::answer_sdp(&mut world, &call.id, "phone", "meta", &meta);
    assert!(written.contains("m=audio 0 "), "{written}");
    let before = world.phone(call.phone).report().packets;
    world.run_for_ms(1_000);
    assert!(world.phone(call.phone).report().packets <= before + 1);
    calls::offer_sdp(&mut world, &call.id, "phone", &own, json!({"to-tag": "meta"}));
    let written = calls::answer_sdp(&mut world, &call.id, "phone", "meta", &meta);
    let now = world.now();
    world.phone(call.phone).accept(now, &written).expect("accepted");
    world.run_for_ms(2_000);
    world.assert_audio_both_ways(&call);
    let report = world.meta(call.meta).report().stream;
    assert_eq!((report.ssrcs.len(), report.lost, report.auth_failures), (1, 0, 0), "{report:?}");
}

/// Changes how a raw phone secures its media, with the key for its next SDP.
fn secure(phone: &mut RawPhone, key: Option<KeyingMaterial>) {
    match key {
        Some(key) => phone.set_key(key, true),
        None => phone.unsecure(),
    }
}

#[test]
fn a_leg_changes_between_rtp_and_srtp_with_the_answer_to_its_re_offer() {
    for offered_by_phone in [true, false] {
        let mut world = World::new(908);
        let (mut phone, mut other) = secured_and_plain(&mut world, CM);
        raw::call(&mut world, "change", &mut phone, &mut other);
        let both = |world: &mut World, phone: &mut RawPhone, other: &mut RawPhone| {
            for _ in 0..20 {
                phone.send(world);
                other.send(world);
                world.run_for_ms(20);
            }
            (phone.received(world).len(), other.received(world).len(), phone.refused)
        };
        assert_eq!(both(&mut world, &mut phone, &mut other), (20, 20, 0));
        let mut keys = Vec::new();
        let suites = [None, Some(CM), Some(Profile::AeadAes256Gcm), None, Some(CM)];
        for (n, suite) in suites.into_iter().enumerate() {
            let what = format!("{suite:?}, by the phone: {offered_by_phone}, {n}");
            let key = suite.map(|suite| raw::key(suite, 80 + n as u8));
            let protocol = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
            let old = std::mem::replace(&mut phone.key, key.clone());
            phone.tag = 1;
            if offered_by_phone {
                let sdp = phone.sdp();
                phone.key = old;
                let to_other = calls::offer_sdp(&mut world, "change", "a", &sdp, json!({"to-tag": "b"}));
                assert!(to_other.contains("RTP/AVP"), "the other leg stays: {to_other}");
                assert_eq!(both(&mut world, &mut phone, &mut other), (20, 20, 0), "{what}: until the answer");
                let to_phone = calls::answer_sdp(&mut world, "change", "a", "b", &other.sdp());
                // Packets on their way are still secured as before; plain ones are not taken by a secured leg.
                if phone.key.is_some() {
                    phone.talk(&mut world, 3);
                    assert_eq!(other.received(&world).len(), 3, "{what}: on their way");
                }
                phone.received(&world);
                phone.refused = 0;
                secure(&mut phone, key);
                assert!(to_phone.contains(protocol), "{to_phone}");
                phone.accept(&to_phone);
            } else {
                phone.key = old;
                let extra = json!({"to-tag": "a", "transport-protocol": protocol});
                let to_phone = calls::offer_sdp(&mut world, "change", "b", &other.sdp(), extra);
                assert!(to_phone.contains(protocol), "{to_phone}");
                assert_eq!(both(&mut world, &mut phone, &mut other), (20, 20, 0), "{what}: until the answer");
                secure(&mut phone, key);
                if let Some(suite) = suite {
                    let is_suite = |offered: &KeyingMaterial| offered.profile() == suite;
                    phone.tag = 1 + raw::keys(&to_phone).iter().position(is_suite).expect("offered") as u32;
                }
                phone.choose(&to_phone);
                calls::answer_sdp(&mut world, "change", "b", "a", &phone.sdp());
            }
            assert_eq!(both(&mut world, &mut phone, &mut other), (20, 20, 0), "{what}");
            if let Some(ours) = &phone.trestle_key {
                keys.push(ours.key_and_salt().to_vec());
            }
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 3, "no key of ours is used again after its leg was without it");
    }
}

#[test]
fn an_answer_that_secures_media_in_another_way_than_its_offer_is_refused_and_changes_nothing() {
    let mut world = World::new(909);
    let (mut secured, mut plain) = secured_and_plain(&mut world, CM);
    raw::call(&mut world, "answer", &mut plain, &mut secured);
    let reply = |world: &mut World, sdp: String| -> Value {
        world.ng(&json!({"command": "answer", "call-id": "answer", "from-tag": "a", "to-tag": "b", "sdp": sdp}))
    };
    calls::offer_sdp(&mut world, "answer", "a", &plain.sdp(), json!({"to-tag": "b"}));
    let weaker = plain.sdp();
    let refused = reply(&mut world, weaker);
    assert!(refused["error-reason"].to_string().contains("cannot change how media is secured"), "{refused}");
    for _ in 0..10 {
        secured.send(&mut world);
        plain.send(&mut world);
        world.run_for_ms(20);
    }
    assert_eq!((secured.received(&world).len(), plain.received(&world).len(), secured.refused), (10, 10, 0));
}
