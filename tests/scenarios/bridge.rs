//! The main job: WhatsApp on one side, a phone on the other, speech both ways.

use std::collections::BTreeSet;

use trestle_peers::{Codec, MetaOptions, PhoneOptions, SetupAnswer};
use trestle_srtp::Profile;
use trestle_wire::demux::DatagramKind;
use trestle_world::calls::{self, Call};
use trestle_world::{Link, World};

type Caller = fn(&mut World, MetaOptions, PhoneOptions) -> Call;

const DIRECTIONS: [(&str, Caller); 2] =
    [("user-initiated", calls::user_initiated), ("business-initiated", calls::business_initiated)];

/// Both hear each other; WhatsApp saw one well-formed stream and had nothing to remark on our SDP.
fn assert_good(world: &mut World, call: &Call, what: &str) {
    println!("{what}");
    world.run_for_ms(3_000);
    world.assert_audio_both_ways(call);
    let report = world.meta(call.meta).report();
    assert_eq!(report.sdp_remarks, Vec::<String>::new(), "{what}");
    assert_eq!(report.stream.ssrcs.len(), 1, "{what}");
    assert_eq!(report.ssrc_as_signalled, Some(true), "{what}");
    assert_eq!((report.stream.lost, report.stream.duplicates, report.stream.reordered), (0, 0, 0), "{what}");
    assert_eq!((report.stream.ptime_violations, report.stream.unknown_pt), (0, 0), "{what}");
    assert!(report.stream.max_drift_ms.abs() <= 20.0, "{what}: {:?}", report.stream);
    if let Some(ice) = report.ice {
        assert_eq!(ice.controlling, Some(true), "{what}");
        assert_eq!(ice.regular_nomination, Some(true), "{what}");
        assert_eq!((ice.switches, ice.media_before_nomination), (0, 0), "{what}");
    }
    let stream = world.phone(call.phone).report();
    assert_eq!(stream.ssrcs.len(), 1, "{what}");
    assert_eq!((stream.lost, stream.duplicates, stream.strays, stream.unknown_pt), (0, 0, 0, 0), "{what}");
}

#[test]
fn audio_flows_both_ways_in_every_combination_of_direction_keying_and_codec() {
    for (direction, call) in DIRECTIONS {
        for (keying, meta) in [("DTLS", calls::meta()), ("SDES", calls::meta_sdes())] {
            for codec in Codec::ALL {
                for (secured, phone) in [("RTP", calls::phone()), ("SRTP", calls::phone_sdes())] {
                    let mut world = World::new(101);
                    let phone = PhoneOptions { codecs: vec![codec], seed: 2, ..phone };
                    let call = call(&mut world, meta.clone(), phone);
                    assert_good(&mut world, &call, &format!("{direction}, {keying}, {codec:?} over {secured}"));
                }
            }
        }
    }
}

#[test]
fn every_dtls_role_that_whatsapp_may_answer_with_comes_to_a_call() {
    for setup in
        [SetupAnswer::Active, SetupAnswer::Passive, SetupAnswer::ActpassThenActive, SetupAnswer::ActpassThenPassive]
    {
        let mut world = World::new(102);
        let call = calls::business_initiated(&mut world, MetaOptions { setup, ..calls::meta() }, calls::phone());
        assert_good(&mut world, &call, &format!("{setup:?}"));
    }
}

#[test]
fn a_password_with_base64_padding_and_an_ipv6_candidate_are_no_obstacle() {
    let mut world = World::new(103);
    let locals = vec![calls::addr("31.13.65.60:40012"), calls::addr("[2001:db8:face::1]:40012")];
    let meta = MetaOptions { padded_pwd: true, locals, ..calls::meta() };
    let call = calls::user_initiated(&mut world, meta, calls::phone());
    assert_good(&mut world, &call, "padded password, two candidates");
}

#[test]
fn a_phone_on_ipv6_talks_to_whatsapp_on_ipv4() {
    for (direction, call) in DIRECTIONS {
        let mut world = World::new(104);
        let phone = PhoneOptions { rtp: calls::addr("[2001:db8:1::20]:30000"), ..calls::phone() };
        let call = call(&mut world, calls::meta(), phone);
        assert_good(&mut world, &call, direction);
    }
}

#[test]
fn two_phones_without_webrtc_are_bridged_as_well() {
    for suites in [vec![], vec![Profile::AesCm128HmacSha1_80]] {
        for codec in Codec::ALL {
            let mut world = World::new(105);
            let caller = PhoneOptions { codecs: vec![codec], suites: suites.clone(), ..calls::phone() };
            let callee = PhoneOptions { rtp: calls::addr("198.51.100.77:9000"), seed: 9, ..calls::phone() };
            let call = calls::between_phones(&mut world, caller, callee);
            world.run_for_ms(3_000);
            let received = world.phone(call.meta).recording().to_vec();
            calls::assert_receives_tone("the caller", &received, 8_000, calls::AGENT_HZ);
            let received = world.phone(call.phone).recording().to_vec();
            calls::assert_receives_tone("the callee", &received, 8_000, calls::AGENT_HZ);
        }
    }
}

#[test]
fn rtcp_goes_to_the_next_port_or_the_same_one_as_agreed() {
    for rtcp_mux in [false, true] {
        let mut world = World::new(106);
        world.capture();
        let call = calls::user_initiated(&mut world, calls::meta(), PhoneOptions { rtcp_mux, ..calls::phone() });
        world.run_for_ms(12_000);
        let ports: BTreeSet<u16> = world
            .captured()
            .iter()
            .filter(|(_, datagram)| datagram.to.ip() == calls::addr("198.51.100.20:0").ip())
            .filter(|(_, datagram)| DatagramKind::of(&datagram.bytes) == Some(DatagramKind::Rtcp))
            .map(|(_, datagram)| datagram.to.port())
            .collect();
        assert_eq!(ports.into_iter().collect::<Vec<_>>(), [if rtcp_mux { 30_000 } else { 30_001 }]);
        assert!(world.phone(call.phone).report().sender_reports >= 2);
        let meta = world.meta(call.meta).report().stream;
        assert!(meta.sender_reports >= 2 && meta.reception_reports >= 2, "{meta:?}");
        assert!(meta.sr_off_line_ms.is_some_and(|off| off.abs() <= 20.0), "{:?}", meta.sr_off_line_ms);
    }
}

#[test]
fn clocks_keep_time_through_12_digits_and_20_seconds_of_speech() {
    for codec in Codec::ALL {
        let mut world = World::new(107);
        let phone = PhoneOptions { codecs: vec![codec], ..calls::phone() };
        let call = calls::user_initiated(&mut world, calls::meta(), phone);
        world.run_for_ms(1_000);
        world.whatsapp_presses(&call, "123456789*0#", 500);
        world.phone_presses(&call, "123456789*0#", 160);
        world.run_for_ms(20_000);
        let to_meta = world.meta(call.meta).report().stream;
        let to_phone = world.phone(call.phone).report().clone();
        for (who, stream) in [("WhatsApp", to_meta), ("the phone", to_phone)] {
            assert!(stream.drift_ms.abs() <= 20.0, "{who} with {codec:?}: {} ms off", stream.drift_ms);
            assert_eq!((stream.lost, stream.duplicates), (0, 0), "{who} with {codec:?}");
            assert_eq!(stream.ssrcs.len(), 1, "{who} with {codec:?}");
            assert_eq!(stream.digits_received(), "123456789*0#", "{who} with {codec:?}");
        }
    }
}

#[test]
fn a_call_survives_ten_percent_loss_from_its_first_packet_on() {
    for (direction, call) in DIRECTIONS {
        let mut world = World::new(108);
        for ip in ["31.13.65.60", "198.51.100.20"] {
            world.set_link(ip.parse().unwrap(), Link::CLEAN.delayed(40).losing(100));
        }
        let call = call(&mut world, calls::meta(), calls::phone());
        let meta = call.meta;
        assert!(world.run_until(10_000, |world| world.meta(meta).is_connected()), "{direction}");
        world.run_for_ms(5_000);
        world.assert_audio_both_ways(&call);
    }
}

#[test]
fn media_before_the_other_leg_is_connected_is_no_error() {
    // The phone's audio is there long before DTLS is; it must not be an error, and WhatsApp receives it once it can.
    let mut world = World::new(109);
    world.set_link("31.13.65.60".parse().unwrap(), Link::CLEAN.delayed(400));
    let call = calls::user_initiated(&mut world, calls::meta(), calls::phone());
    world.run_for_ms(8_000);
    world.assert_audio_both_ways(&call);
}
