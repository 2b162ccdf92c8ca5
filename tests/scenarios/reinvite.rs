//! The phone's side changes in mid-call: hold, another address, another codec. WhatsApp notices nothing.

use serde_json::{Value, json};
use trestle_peers::{Codec, MetaOptions, PhoneOptions};
use trestle_srtp::Profile;
use trestle_world::calls::{self, Call};
use trestle_world::raw;
use trestle_world::{ActorId, World, captured};

const CM: Profile = Profile::AesCm128HmacSha1_80;

fn opus_phone() -> PhoneOptions {
    PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() }
}

/// What must not change in Trestle's SDPs for a leg: address, port, keys, SSRC.
fn anchors(sdp: &str) -> Vec<String> {
    let kept = ["c=", "m=", "a=crypto", "a=ssrc", "a=ice-", "a=fingerprint"];
    let lines = sdp.lines().filter(|line| kept.iter().any(|start| line.starts_with(start)));
    // Formats may change with a codec.
    lines.map(|line| line.split(" RTP/").next().unwrap_or(line).to_owned()).collect()
}

/// The phone of a WhatsApp call offers `sdp`; for WhatsApp answers the SDP that it has given before, as a proxy does that
/// keeps WhatsApp out of it. Returns the SDP for the phone.
fn phone_re_offers(world: &mut World, call: &Call, sdp: &str) -> String {
    let shown = calls::offer_sdp(world, &call.id, "phone", sdp, json!({"to-tag": "meta"}));
    assert!(world.written.contains(&shown), "WhatsApp is shown what it knows");
    let meta = world.signalled[&(call.id.clone(), "meta".to_owned())].clone();
    let written = calls::answer_sdp(world, &call.id, "phone", "meta", &meta);
    let now = world.now();
    world.phone(call.phone).accept(now, &written).unwrap_or_else(|error| panic!("{error} in\n{written}"));
    written
}

/// One phone offers anew and the other answers. Returns the SDPs for both: the answerer's first.
fn re_offer(world: &mut World, call: &Call, (from, to): (&str, &str), sdp: &str) -> (String, String) {
    let ids: (ActorId, ActorId) = if from == "caller" { (call.meta, call.phone) } else { (call.phone, call.meta) };
    let now = world.now();
    let to_answerer = calls::offer_sdp(world, &call.id, from, sdp, json!({"to-tag": to}));
    let answer = world.phone(ids.1).answer(now, &to_answerer).unwrap_or_else(|e| panic!("{e} in\n{to_answerer}"));
    let to_offerer = calls::answer_sdp(world, &call.id, from, to, &answer);
    world.phone(ids.0).accept(now, &to_offerer).unwrap_or_else(|e| panic!("{e} in\n{to_offerer}"));
    (to_answerer, to_offerer)
}

/// One stream without a hole in its numbers, whose timestamps have kept time.
fn assert_one_stream(world: &mut World, call: &Call) {
    let report = world.meta(call.meta).report().stream;
    assert_eq!(report.ssrcs.len(), 1, "{report:?}");
    assert_eq!((report.lost, report.duplicates, report.reordered, report.unknown_pt), (0, 0, 0, 0), "{report:?}");
    assert!(report.max_drift_ms.abs() <= 21.0, "timestamps left the line: {report:?}");
    assert_eq!((report.auth_failures, report.strays), (0, 0), "{report:?}");
}

type Caller = fn(&mut World, MetaOptions, PhoneOptions) -> Call;
/// A piece of a re-offer, and its replacement.
type Edit = (&'static str, &'static str);

#[test]
fn whatsapp_receives_one_stream_before_and_after_a_hold_of_the_phone() {
    let inactive = ("a=sendonly", "a=inactive");
    let nowhere = ("c=IN IP4 198.51.100.20", "c=IN IP4 0.0.0.0");
    let rows: [(&str, Caller, Edit, Vec<Profile>); 4] = [
        ("user-initiated, sendonly", calls::user_initiated, ("", ""), vec![]),
        ("user-initiated with keys, inactive", calls::user_initiated, inactive, vec![CM]),
        ("business-initiated, 0.0.0.0", calls::business_initiated, nowhere, vec![]),
        ("business-initiated with keys, sendonly", calls::business_initiated, ("", ""), vec![CM]),
    ];
    for (what, caller, (line, other), suites) in rows {
        println!("{what}");
        let mut world = World::new(801);
        let call = caller(&mut world, calls::meta(), PhoneOptions { suites, ..opus_phone() });
        world.run_for_ms(2_000);
        let meta = world.written.iter().find(|sdp| sdp.contains("a=ice-ufrag")).expect("Meta's").clone();
        let before = world.written.iter().find(|sdp| **sdp != meta).expect("the phone's").clone();
        world.phone(call.phone).set_hold(true);
        let offer = world.phone(call.phone).offer();
        let offer = if line.is_empty() { offer } else { offer.replace(line, other) };
        let written = phone_re_offers(&mut world, &call, &offer);
        let received = world.phone(call.phone).report().packets;
        world.phone(call.phone).set_silent(true);
        world.run_for_ms(2_000);
        let more = world.phone(call.phone).report().packets - received;
        assert!(more <= 1, "{more} packets while it wanted none");
        assert!(other.starts_with("c=") || !written.contains("a=sendrecv"), "{written}");
        assert_eq!(raw::read(&written).0, raw::read(&before).0, "our address stays");
        assert_eq!(kept_key(&written), kept_key_of(&before, &written), "our key stays");

        world.phone(call.phone).set_hold(false);
        world.phone(call.phone).set_silent(false);
        let offer = world.phone(call.phone).offer();
        let written = phone_re_offers(&mut world, &call, &offer);
        assert!(written.contains("a=sendrecv"), "{written}");
        assert_eq!(raw::read(&written).0, raw::read(&before).0);
        assert_eq!(kept_key(&written), kept_key_of(&before, &written));
        world.run_for_ms(2_000);
        world.assert_audio_both_ways(&call);
        assert_one_stream(&mut world, &call);
    }
}

fn kept_key(written: &str) -> Option<Vec<u8>> {
    raw::keys(written).first().map(|key| key.key_and_salt().to_vec())
}

/// The key of `before` with the suite that `written` has: an offer has one for each suite.
fn kept_key_of(before: &str, written: &str) -> Option<Vec<u8>> {
    let suite = raw::keys(written).first()?.profile();
    raw::keys(before).iter().find(|key| key.profile() == suite).map(|key| key.key_and_salt().to_vec())
}

#[test]
fn either_phone_may_hold_and_resume_and_ports_keys_and_ssrc_stay() {
    for suites in [vec![], vec![CM]] {
        let mut world = World::new(802);
        world.capture();
        let secured = |options: PhoneOptions| PhoneOptions { suites: suites.clone(), ..options };
        let call = calls::between_phones(&mut world, secured(calls::caller()), secured(calls::phone()));
        world.run_for_ms(1_500);
        let ports = world.ports_in_use();
        let (first_to_callee, first_to_caller) = (world.written[0].clone(), world.written[1].clone());
        for (from, to) in [("caller", "callee"), ("callee", "caller")] {
            let holder = if from == "caller" { call.meta } else { call.phone };
            for hold in [true, false] {
                world.phone(holder).set_hold(hold);
                let offer = world.phone(holder).offer();
                let (to_answerer, to_offerer) = re_offer(&mut world, &call, (from, to), &offer);
                let (to_caller, to_callee) =
                    if from == "caller" { (to_offerer, to_answerer) } else { (to_answerer, to_offerer) };
                assert_eq!(raw::read(&to_caller).0, raw::read(&first_to_caller).0);
                assert_eq!(raw::read(&to_callee).0, raw::read(&first_to_callee).0);
                assert_eq!(kept_key(&to_caller), kept_key_of(&first_to_caller, &to_caller));
                assert_eq!(kept_key(&to_callee), kept_key_of(&first_to_callee, &to_callee));
                assert_eq!(world.ports_in_use(), ports);
                let before = world.phone(holder).report().packets;
                world.run_for_ms(1_500);
                let received = world.phone(holder).report().packets - before;
                assert!(if hold { received <= 1 } else { received >= 70 }, "{from}, hold {hold}: {received} packets");
            }
        }
        world.assert_audio_between_phones(&call);
        for phone in [call.meta, call.phone] {
            let report = world.phone(phone).report();
            assert_eq!((report.ssrcs.len(), report.lost, report.duplicates), (1, 0, 0), "{report:?}");
            assert_eq!(report.auth_failures, 0, "{report:?}");
        }
        if !suites.is_empty() {
            let written = world.written.clone();
            assert!(captured::judge(&world, &written).rtp > 400);
        }
    }
}

#[test]
fn a_re_offer_that_is_refused_changes_no_media_and_an_accepted_one_still_works() {
    let edits: [Edit; 6] = [
        ("a=sendrecv", "a=sendonly"),
        ("a=sendrecv", "a=inactive"),
        ("RTP/AVP 8 ", "RTP/AVP 0 "),
        ("c=IN IP4 198.51.100", "c=IN IP4 198.51.101"),
        ("m=audio 30", "m=audio 31"),
        ("c=IN IP4 198.51.100.20", "c=IN IP4 0.0.0.0"),
    ];
    for (from, to) in [("caller", "callee"), ("callee", "caller")] {
        let mut world = World::new(806);
        let pcma = |options: PhoneOptions| PhoneOptions { codecs: vec![Codec::Pcma], ..options };
        let call = calls::between_phones(&mut world, pcma(calls::caller()), pcma(calls::phone()));
        world.run_for_ms(1_000);
        let offerer = if from == "caller" { call.meta } else { call.phone };
        let mut refused = 0;
        for (old, new) in edits {
            let own = world.phone(offerer).offer();
            let offer = own.replace(old, new);
            refused += u32::from(offer != own);
            let before = [call.meta, call.phone].map(|phone| world.phone(phone).report().packets);
            // 488: the proxy sends nothing more about it.
            calls::offer_sdp(&mut world, &call.id, from, &offer, json!({"to-tag": to}));
            world.run_for_ms(1_000);
            for (phone, before) in [call.meta, call.phone].into_iter().zip(before) {
                let received = world.phone(phone).report().packets - before;
                assert!(received >= 49, "{from} offers {new}: {received} of 50 packets");
            }
        }
        assert!(refused >= 4, "{refused} edits fit the offer");
        for hold in [true, false] {
            world.phone(offerer).set_hold(hold);
            let offer = world.phone(offerer).offer();
            re_offer(&mut world, &call, (from, to), &offer);
            let before = world.phone(offerer).report().packets;
            world.run_for_ms(1_000);
            let received = world.phone(offerer).report().packets - before;
            assert!(if hold { received <= 1 } else { received >= 48 }, "{from}, hold {hold}: {received} packets");
        }
        world.assert_audio_between_phones(&call);
        for phone in [call.meta, call.phone] {
            let report = world.phone(phone).report();
            assert_eq!((report.ssrcs.len(), report.lost, report.duplicates), (1, 0, 0), "{report:?}");
        }
    }
}

#[test]
fn whatsapp_and_its_phone_talk_on_when_the_proxy_drops_a_re_offer() {
    let mut world = World::new(807);
    let call = calls::user_initiated(&mut world, calls::meta(), opus_phone());
    world.run_for_ms(1_500);
    let offer = world.phone(call.phone).offer().replace("a=sendrecv", "a=inactive");
    calls::offer_sdp(&mut world, &call.id, "phone", &offer, json!({"to-tag": "meta"}));
    let before = world.phone(call.phone).report().packets;
    world.run_for_ms(2_000);
    let received = world.phone(call.phone).report().packets - before;
    assert!(received >= 98, "{received} of 100 packets");
    world.assert_audio_both_ways(&call);
    assert_one_stream(&mut world, &call);
}

#[test]
fn a_phone_that_moves_by_re_offer_sends_and_receives_at_its_new_address() {
    for suites in [vec![], vec![CM]] {
        let mut world = World::new(803);
        let call = calls::user_initiated(&mut world, calls::meta(), PhoneOptions { suites, ..opus_phone() });
        world.run_for_ms(2_000);
        let before = anchors(&world.written[0]);
        for address in ["198.51.100.20:30100", "192.0.2.150:4000"] {
            world.phone(call.phone).move_to(calls::addr(address));
            let offer = world.phone(call.phone).offer();
            let written = phone_re_offers(&mut world, &call, &offer);
            assert_eq!(anchors(&written)[..2], before[..2], "our address stays");
            let received = world.phone(call.phone).report().packets;
            world.run_for_ms(2_000);
            let more = world.phone(call.phone).report().packets - received;
            assert!(more >= 97, "{more} of 100 packets at {address}");
        }
        world.assert_audio_both_ways(&call);
        assert_one_stream(&mut world, &call);
    }
}

#[test]
fn a_phone_that_changes_its_codec_by_re_offer_goes_on_talking_to_whatsapp() {
    for (first, second, business) in [
        (Codec::Pcma, Codec::Pcmu, false),
        (Codec::Pcmu, Codec::Opus, false),
        (Codec::Opus, Codec::Pcma, false),
        (Codec::Opus, Codec::Pcmu, true),
    ] {
        println!("{first:?} to {second:?}, business-initiated: {business}");
        let mut world = World::new(804);
        let phone = PhoneOptions { codecs: vec![first], ..calls::phone() };
        let call = match business {
            true => calls::business_initiated(&mut world, calls::meta(), phone),
            false => calls::user_initiated(&mut world, calls::meta(), phone),
        };
        world.run_for_ms(1_500);
        world.assert_audio_both_ways(&call);
        world.phone(call.phone).set_codecs(vec![second]);
        let offer = world.phone(call.phone).offer();
        phone_re_offers(&mut world, &call, &offer);
        assert_eq!(world.phone(call.phone).codec(), Some(second));
        world.run_for_ms(2_500);
        world.assert_audio_both_ways(&call);
        let report = world.meta(call.meta).report().stream;
        assert_eq!((report.ssrcs.len(), report.lost, report.duplicates), (1, 0, 0), "{report:?}");
        assert_eq!((report.unknown_pt, report.undecodable, report.ptime_violations), (0, 0, 0), "{report:?}");
        assert!(report.max_drift_ms.abs() <= 60.0, "{report:?}");
        assert!(report.longest_gap.as_millis() <= 80, "{report:?}");
    }
}

#[test]
fn whatsapps_leg_is_not_renegotiated_and_the_refusal_names_the_remedy() {
    for business in [false, true] {
        let mut world = World::new(805);
        let call = match business {
            true => calls::business_initiated(&mut world, calls::meta(), opus_phone()),
            false => calls::user_initiated(&mut world, calls::meta(), opus_phone()),
        };
        world.run_for_ms(1_500);
        let own = world.signalled[&(call.id.clone(), "meta".to_owned())].clone();
        let changed = own.replace("a=sendrecv", "a=inactive");
        assert_ne!(own, changed);
        let offer = |sdp: &str| -> Value {
            json!({"command": "offer", "call-id": call.id, "from-tag": "meta", "to-tag": "phone", "sdp": sdp})
        };
        let answer = |sdp: &str| -> Value {
            json!({"command": "answer", "call-id": call.id, "from-tag": "phone", "to-tag": "meta", "sdp": sdp})
        };
        // In a call that WhatsApp began it has nothing to answer.
        for request in [offer(&changed), answer(&changed)].into_iter().take(if business { 2 } else { 1 }) {
            let reply = world.ng(&request);
            let reason = reply["error-reason"].as_str().unwrap_or_else(|| panic!("taken: {reply}"));
            for part in ["WhatsApp", "cannot be changed", "change the other side instead", "another call-id"] {
                assert!(reason.contains(part), "{part:?} is not in {reason:?}");
            }
        }
        // The SDP that it has given already does no harm.
        calls::sdp_of(&world.ng(&offer(&own)));
        world.run_for_ms(2_000);
        world.assert_audio_both_ways(&call);
        assert_one_stream(&mut world, &call);
    }
}

#[test]
fn a_re_offer_towards_whatsapp_comes_back_with_a_warning_not_to_send_it() {
    let mut world = World::new(806);
    let call = calls::user_initiated(&mut world, calls::meta(), opus_phone());
    world.run_for_ms(1_000);
    let offer = world.phone(call.phone).offer();
    let reply = world.ng(&json!({
        "command": "offer", "call-id": call.id, "from-tag": "phone", "to-tag": "meta", "sdp": offer,
    }));
    calls::sdp_of(&reply);
    assert!(reply["warnings"].to_string().contains("WhatsApp is never offered again"), "{reply}");
}
