//! Where media goes when a phone is not at the address of its SDP, and which source is believed.

use std::net::SocketAddr;

use serde_json::{Value, json};
use trestle_core::Discard;
use trestle_peers::{Phone, PhoneOptions};
use trestle_srtp::{OVERHEAD_MAX, Profile, SrtpContext};
use trestle_world::calls::{self, Call};
use trestle_world::raw::{self, RawPhone};
use trestle_world::{World, world};

const CM: Profile = Profile::AesCm128HmacSha1_80;
/// The address that the callee's packets really come from in most of these tests.
const OTHER_IP: &str = "192.0.2.77:41000";
const OTHER_PORT: &str = "198.51.100.20:41000";

/// A call to a phone behind a NAT that shows it as `seen_as`; `flags` are in the answer, which is the phone's word.
fn behind_nat(world: &mut World, seen_as: &str, phone: PhoneOptions, flags: &Value) -> Call {
    let now = world.now();
    let protocol = if phone.suites.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
    let phone = PhoneOptions { sends_from: Some(calls::addr(seen_as)), ..phone };
    let caller = world.add_phone(Phone::new(now, calls::caller()));
    let phone = world.add_phone(Phone::new(now, phone));
    let offer = world.phone(caller).offer();
    let to_phone = calls::offer_sdp(world, "nat", "caller", &offer, json!({"transport-protocol": protocol}));
    let answer = world.phone(phone).answer(now, &to_phone).expect("an answer");
    let mut request =
        json!({"command": "answer", "call-id": "nat", "from-tag": "caller", "to-tag": "callee", "sdp": answer});
    for (key, value) in flags.as_object().expect("flags") {
        request[key] = value.clone();
    }
    let to_caller = calls::sdp_of(&world.ng(&request));
    world.phone(caller).accept(now, &to_caller).expect("accepted");
    Call { id: "nat".into(), meta: caller, phone }
}

/// Neither side has received anything from the other.
fn assert_deaf(world: &mut World, call: &Call, what: &str) {
    world.run_for_ms(2_000);
    let arrived = (world.phone(call.meta).report().packets, world.phone(call.phone).report().packets);
    assert_eq!(arrived, (0, 0), "{what}");
}

#[test]
fn a_phone_on_another_port_of_its_address_is_followed_by_default() {
    let mut world = World::new(601);
    let call = behind_nat(&mut world, OTHER_PORT, calls::phone(), &json!({}));
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
}

#[test]
fn the_offerer_may_be_the_one_behind_the_nat() {
    let mut world = World::new(602);
    let caller = PhoneOptions { sends_from: Some(calls::addr("198.51.100.10:5555")), ..calls::caller() };
    let call = calls::between_phones(&mut world, caller, calls::phone());
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
}

#[test]
fn a_phone_on_another_address_is_not_accepted_unless_signalling_allows_it() {
    let source = json!(["IP4", "192.0.2.77"]);
    for (what, flags) in [
        ("no key", json!({})),
        ("received-from alone is what every proxy sends", json!({"received-from": source})),
        ("another received-from", json!({"received-from": ["IP4", "192.0.2.78"], "flags": ["SIP-source-address"]})),
        ("trust-address", json!({"received-from": source, "flags": ["trust-address"]})),
        ("learning is off", json!({"endpoint-learning": "off"})),
        ("strict-source", json!({"flags": ["strict-source"]})),
        ("media-address is for the SDP of the receiver", json!({"media-address": "192.0.2.77"})),
        ("asymmetric", json!({"flags": ["asymmetric"], "endpoint-learning": "immediate"})),
    ] {
        let mut world = World::new(603);
        let call = behind_nat(&mut world, OTHER_IP, calls::phone(), &flags);
        assert_deaf(&mut world, &call, what);
    }
    for (what, flags) in [
        ("SIP-source-address", json!({"received-from": source, "flags": ["SIP-source-address"]})),
        ("the same spelt differently", json!({"received from": "192.0.2.77", "flags": ["sip source address"]})),
        ("endpoint-learning=immediate", json!({"endpoint-learning": "immediate"})),
        ("the same as a flag", json!({"flags": ["endpoint-learning-immediate"]})),
    ] {
        println!("{what}");
        let mut world = World::new(604);
        let call = behind_nat(&mut world, OTHER_IP, calls::phone(), &flags);
        world.run_for_ms(2_000);
        world.assert_audio_between_phones(&call);
    }
}

#[test]
fn learning_off_accepts_the_signalled_port_alone() {
    let flags = json!({"endpoint-learning": "off"});
    let mut world = World::new(605);
    let call = behind_nat(&mut world, OTHER_PORT, calls::phone(), &flags);
    assert_deaf(&mut world, &call, "learning is off");
    let mut world = World::new(606);
    let honest = calls::phone().rtp.to_string();
    let call = behind_nat(&mut world, &honest, calls::phone(), &flags);
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
}

#[test]
fn an_asymmetric_phone_sends_from_one_port_and_receives_on_the_other() {
    for key in [None, Some(raw::key(CM, 1))] {
        let mut world = World::new(614);
        let mut phone = RawPhone::new(&mut world, "198.51.100.10:20000", key);
        let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
        let flags = json!({"ICE": "remove", "transport-protocol": "RTP/AVP", "flags": ["asymmetric"]});
        other.accept(&calls::offer_sdp(&mut world, "asymmetric", "a", &phone.sdp(), flags));
        phone.accept(&calls::answer_sdp(&mut world, "asymmetric", "a", "b", &other.sdp()));
        let speaks = calls::addr("198.51.100.10:20100");
        let mail = world.add_stranger(speaks);
        for _ in 0..50 {
            let packet = phone.packet();
            world.inject(speaks, phone.remote.expect("Trestle's address"), &packet);
            other.send(&mut world);
            world.run_for_ms(20);
        }
        world.run_for_ms(200);
        assert_eq!((other.received(&world).len(), phone.received(&world).len()), (50, 50));
        assert_eq!(world.received_by_stranger(mail).len(), 0, "the port it speaks from");
    }
}

#[test]
fn no_other_port_of_the_same_address_is_accepted_while_the_peer_sends() {
    for flags in [json!({}), json!({"flags": ["strict-source"]}), json!({"endpoint-learning": "immediate"})] {
        let mut world = World::new(607);
        let call = behind_nat(&mut world, OTHER_PORT, calls::phone(), &flags);
        world.run_for_ms(1_000);
        let (to, _) = raw::read(&world.written[0]);
        let neighbour = calls::addr("198.51.100.20:42000");
        let mail = world.add_stranger(neighbour);
        for n in 0..50 {
            world.inject(neighbour, to, &raw::plain_packet(0xbad, n, n as u32 * 160));
            world.run_for_ms(20);
        }
        world.run_for_ms(1_000);
        world.assert_audio_between_phones(&call);
        let report = world.phone(call.meta).report();
        assert_eq!((report.ssrcs.len(), report.lost, report.duplicates), (1, 0, 0), "{flags}");
        assert_eq!(world.received_by_stranger(mail).len(), 0, "{flags}");
    }
}

#[test]
fn with_immediate_learning_a_single_packet_of_a_stranger_decides_nothing() {
    let mut world = World::new(608);
    let now = world.now();
    let stranger = calls::addr("203.0.113.66:6000");
    let mail = world.add_stranger(stranger);
    let silent = PhoneOptions { silent: true, ..calls::phone() };
    let flags = json!({"endpoint-learning": "immediate"});
    let call = behind_nat(&mut world, OTHER_IP, silent, &flags);
    let (to, _) = raw::read(&world.written[0]);
    for n in 0..20 {
        // Never two of one stream in order.
        world.inject(stranger, to, &raw::plain_packet(0xbad, n * 7, 0));
        world.run_for_ms(20);
    }
    world.phone(call.phone).set_silent(false);
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
    assert_eq!(world.received_by_stranger(mail).len(), 0);
    assert!(world.now() > now);
}

#[test]
fn a_phone_with_keys_is_accepted_at_any_address_by_its_packets() {
    let mut world = World::new(609);
    let secured = PhoneOptions { suites: vec![CM], ..calls::phone() };
    let call = behind_nat(&mut world, OTHER_IP, secured, &json!({}));
    world.run_for_ms(2_000);
    world.assert_audio_between_phones(&call);
    // But not where it is forbidden.
    let mut world = World::new(610);
    let secured = PhoneOptions { suites: vec![CM], ..calls::phone() };
    let call = behind_nat(&mut world, OTHER_IP, secured, &json!({"endpoint-learning": "off"}));
    assert_deaf(&mut world, &call, "learning is off");
}

#[test]
fn a_phone_with_keys_that_moves_in_mid_call_is_followed_and_a_replay_from_elsewhere_is_not() {
    let mut world = World::new(611);
    let mut roaming = RawPhone::new(&mut world, "198.51.100.10:20000", Some(raw::key(CM, 1)));
    let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "roam", &mut roaming, &mut other);
    world.capture();
    roaming.talk(&mut world, 50);
    other.talk(&mut world, 10);
    assert_eq!(roaming.received(&world).len(), 10);
    // A stranger who has seen its packets sends them again while it is silent.
    let stranger: SocketAddr = calls::addr("203.0.113.66:6000");
    let mail = world.add_stranger(stranger);
    let recorded: Vec<_> = world.received().iter().map(|(_, datagram)| datagram.clone()).collect();
    for datagram in recorded.iter().filter(|datagram| datagram.from == roaming.at) {
        world.inject(stranger, datagram.to, &datagram.bytes);
        world.run_for_ms(20);
    }
    other.talk(&mut world, 10);
    assert_eq!((roaming.received(&world).len(), world.received_by_stranger(mail).len()), (10, 0));
    // It comes back from another address, with its key.
    roaming.at = calls::addr("192.0.2.200:7000");
    roaming.actor = world.add_stranger(roaming.at);
    roaming.restart_reading();
    other.received(&world);
    for _ in 0..10 {
        roaming.send(&mut world);
        other.send(&mut world);
        world.run_for_ms(20);
    }
    assert_eq!(other.received(&world).len(), 10, "it is forwarded from its first packet on");
    assert!(roaming.received(&world).len() >= 4, "and receives after 100 ms");
}

/// SRTCP packets of `phone`, from the one with `index` on.
fn srtcp(phone: &RawPhone, index: u32) -> impl FnMut() -> Vec<u8> + use<> {
    let mut context = SrtpContext::new(phone.key.as_ref().expect("a key"));
    context.set_srtcp_index(index);
    let ssrc = phone.ssrc;
    move || {
        let mut packet = [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes(), &[0; OVERHEAD_MAX]].concat();
        let len = context.protect_rtcp(&mut packet, 8).expect("a new index");
        packet.truncate(len);
        packet
    }
}

#[test]
fn copies_of_secured_packets_from_elsewhere_move_neither_rtp_nor_rtcp() {
    for (profile, seen_at) in [
        (CM, "198.51.100.10:20000"),
        (Profile::AeadAes128Gcm, "198.51.100.10:20000"),
        (CM, "198.51.100.10:41000"),
        (CM, "192.0.2.77:41000"),
    ] {
        let mut world = World::new(615);
        let mut phone = RawPhone::new(&mut world, "198.51.100.10:20000", Some(raw::key(profile, 1)));
        let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
        raw::call(&mut world, "copied", &mut phone, &mut other);
        let mut next_srtcp = srtcp(&phone, 0);
        if phone.at != calls::addr(seen_at) {
            phone.at = calls::addr(seen_at);
            phone.actor = world.add_stranger(phone.at);
        }
        let (rtp, rtcp_at) = (phone.remote.expect("an address"), SocketAddr::new(phone.at.ip(), phone.at.port() + 1));
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        let phones_rtcp = world.add_stranger(rtcp_at);
        let thief: SocketAddr = calls::addr("203.0.113.66:6000");
        let mail = world.add_stranger(thief);
        for n in 0..1_500 {
            let packet = phone.packet();
            if n >= 50 {
                world.inject(thief, rtp, &packet);
            }
            phone.send_bytes(&mut world, &packet);
            if n % 50 == 10 {
                let packet = next_srtcp();
                if n >= 250 {
                    world.inject(thief, rtcp, &packet);
                }
                world.inject(rtcp_at, rtcp, &packet);
            }
            other.send(&mut world);
            world.run_for_ms(20);
        }
        assert_eq!(world.received_by_stranger(mail).len(), 0, "{profile:?} {seen_at}");
        assert!(phone.received(&world).len() >= 1_490, "{profile:?} {seen_at}");
        assert!(world.received_by_stranger(phones_rtcp).len() >= 3, "{profile:?} {seen_at}");
        // One packet of each kind that the phone's network has lost.
        let lost = phone.packet();
        for _ in 0..50 {
            world.inject(thief, rtp, &lost);
        }
        world.inject(thief, rtcp, &next_srtcp());
        for _ in 0..500 {
            phone.send(&mut world);
            other.send(&mut world);
            world.run_for_ms(20);
        }
        assert_eq!(world.received_by_stranger(mail).len(), 0, "{profile:?} {seen_at}");
        assert_eq!(other.received(&world).len(), 2_001, "each packet once");
    }
}

#[test]
fn old_packets_from_the_old_address_do_not_keep_a_phone_that_moved_from_being_followed() {
    let mut world = World::new(616);
    let mut phone = RawPhone::new(&mut world, "198.51.100.10:20000", Some(raw::key(CM, 1)));
    let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "moved", &mut phone, &mut other);
    let (before, to) = (phone.at, phone.remote.expect("an address"));
    let old: Vec<_> = (0..100).map(|_| phone.packet()).collect();
    for packet in &old {
        phone.send_bytes(&mut world, packet);
        other.send(&mut world);
        world.run_for_ms(20);
    }
    phone.at = calls::addr("198.51.100.10:50000");
    phone.actor = world.add_stranger(phone.at);
    phone.restart_reading();
    for packet in &old {
        world.inject(before, to, packet);
        phone.send(&mut world);
        other.send(&mut world);
        world.run_for_ms(20);
    }
    let received = phone.received(&world).len();
    assert!(received >= 75, "followed within 0.5 s: {received} of 100");
}

#[test]
fn one_plain_rtcp_packet_from_another_port_of_the_host_does_not_move_rtcp() {
    for with_signalled_port in [false, true] {
        let mut world = World::new(617);
        let mut phone = RawPhone::new(&mut world, "198.51.100.10:20000", None);
        let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
        if with_signalled_port {
            phone.extra_lines = "a=rtcp:20007\r\n".to_owned();
        }
        raw::call(&mut world, "rtcp", &mut phone, &mut other);
        let port = if with_signalled_port { 20_007 } else { 20_001 };
        let phones_rtcp = world.add_stranger(SocketAddr::new(phone.at.ip(), port));
        let neighbour = calls::addr("198.51.100.10:6000");
        let mail = world.add_stranger(neighbour);
        let to = phone.remote.expect("an address");
        let report = [&[0x80, 201, 0, 1][..], &phone.ssrc.to_be_bytes()].concat();
        for port in [to.port(), to.port() + 1] {
            world.inject(neighbour, SocketAddr::new(to.ip(), port), &report);
            world.run_for_ms(20);
        }
        for _ in 0..1_000 {
            phone.send(&mut world);
            other.send(&mut world);
            world.run_for_ms(20);
        }
        assert_eq!(world.received_by_stranger(mail).len(), 0);
        assert!(world.received_by_stranger(phones_rtcp).len() >= 3);
        assert!(phone.received(&world).len() >= 998);
    }
}

#[test]
fn the_same_sdp_again_does_not_cut_off_a_phone_behind_a_nat() {
    let mut world = World::new(612);
    let call = behind_nat(&mut world, OTHER_PORT, calls::phone(), &json!({}));
    world.run_for_ms(1_000);
    let before = world.phone(call.phone).report().packets;
    for _ in 0..3 {
        let offer = world.signalled[&("nat".to_owned(), "callee".to_owned())].clone();
        calls::offer_sdp(&mut world, "nat", "callee", &offer, json!({"to-tag": "caller"}));
        let answer = world.signalled[&("nat".to_owned(), "caller".to_owned())].clone();
        calls::answer_sdp(&mut world, "nat", "callee", "caller", &answer);
        world.run_for_ms(500);
    }
    world.run_for_ms(1_000);
    world.assert_audio_between_phones(&call);
    let report = world.phone(call.phone).report();
    assert!(report.packets - before >= 120 && report.lost == 0, "{report:?}");
    world.ng(&world::delete("nat"));
}

#[test]
fn a_source_at_which_the_machine_gets_an_address_is_discarded_from_then_on() {
    let mut world = World::new(631);
    let mut phone = RawPhone::new(&mut world, "198.51.100.11:20000", Some(raw::key(CM, 1)));
    let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "later", &mut phone, &mut other);
    phone.talk(&mut world, 10);
    assert_eq!(other.received(&world).len(), 10);
    // The source is now the broadcast address of a network of this machine.
    world.set_machine_addresses(&["198.51.100.9/30"]);
    phone.talk(&mut world, 10);
    assert_eq!(other.received(&world).len(), 0);
    assert_eq!(world.totals().discards.get(Discard::ForbiddenSource), 10);
}
