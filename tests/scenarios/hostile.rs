//! Those who have no part in a call, and peers that misbehave: nothing of theirs is forwarded, nothing is sent to them, and
//! the call goes on.

use std::net::SocketAddr;

use serde_json::json;
use trestle_core::{Discard, EventKind, LegFailure};
use trestle_peers::{Codec, Meta, MetaOptions, Phone, PhoneOptions, SetupAnswer};
use trestle_srtp::Profile;
use trestle_wire::demux::DatagramKind;
use trestle_world::calls::{self, Call};
use trestle_world::raw::{self, RawPhone};
use trestle_world::{ActorId, World, world};

mod forged;
mod handshake;

/// A host that no SDP names.
const STRANGER: &str = "203.0.113.66:6000";
const CM: Profile = Profile::AesCm128HmacSha1_80;

fn stranger(world: &mut World) -> (ActorId, SocketAddr) {
    let at = calls::addr(STRANGER);
    (world.add_stranger(at), at)
}

fn opus_phone() -> PhoneOptions {
    PhoneOptions { codecs: vec![Codec::Opus], ..calls::phone() }
}

/// Calls of every kind of leg; both ends with the same codec, so that each packet lost or injected shows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kinds {
    Plain,
    Sdes,
    WebRtc,
    WhatsappSdes,
}

impl Kinds {
    const ALL: [Self; 4] = [Self::Plain, Self::Sdes, Self::WebRtc, Self::WhatsappSdes];

    fn call(self, world: &mut World, silent: bool) -> Call {
        let secured = PhoneOptions { suites: vec![CM], silent, ..calls::phone() };
        let phone = PhoneOptions { silent, ..opus_phone() };
        let meta = |options: MetaOptions| MetaOptions { silent, ..options };
        match self {
            Self::Plain => {
                let phone = PhoneOptions { silent, ..calls::phone() };
                calls::between_phones(world, PhoneOptions { silent, ..calls::caller() }, phone)
            }
            Self::Sdes => {
                calls::between_phones(world, PhoneOptions { suites: vec![CM], silent, ..calls::caller() }, secured)
            }
            Self::WebRtc => calls::user_initiated(world, meta(calls::meta()), phone),
            Self::WhatsappSdes => {
                let secured = PhoneOptions { codecs: vec![Codec::Opus], ..secured };
                calls::business_initiated(world, meta(calls::meta_sdes()), secured)
            }
        }
    }

    fn speak(self, world: &mut World, call: &Call) {
        match self {
            Self::Plain | Self::Sdes => world.phone(call.meta).set_silent(false),
            Self::WebRtc | Self::WhatsappSdes => world.meta(call.meta).set_silent(false),
        }
        world.phone(call.phone).set_silent(false);
    }

    /// Both hear each other, and neither has got a packet too many or too few.
    fn assert_untouched(self, world: &mut World, call: &Call) {
        let first = match self {
            Self::Plain | Self::Sdes => {
                world.assert_audio_between_phones(call);
                world.phone(call.meta).report().clone()
            }
            Self::WebRtc | Self::WhatsappSdes => {
                world.assert_audio_both_ways(call);
                world.meta(call.meta).report().stream
            }
        };
        for report in [first, world.phone(call.phone).report().clone()] {
            assert_eq!(report.ssrcs.len(), 1, "{self:?}: {report:?}");
            let faults = (report.lost, report.duplicates, report.unknown_pt, report.undecodable);
            assert_eq!(faults, (0, 0, 0, 0), "{self:?}: {report:?}");
            assert_eq!((report.auth_failures, report.strays, report.byes), (0, 0, 0), "{self:?}: {report:?}");
        }
    }
}

/// RTP as a stranger makes it: one packet to every bound port, each 20 ms.
fn spray(world: &mut World, from: SocketAddr, ms: u64) {
    for n in 0..ms / 20 {
        for port in world.media_ports().into_iter().filter(SocketAddr::is_ipv4) {
            let packet = raw::plain_packet(0xbad0_bad0, 30_000 + n, n as u32 * 160);
            world.inject(from, port, &packet);
        }
        world.run_for_ms(20);
    }
}

#[test]
fn packets_of_a_stranger_to_every_port_in_mid_call_are_neither_answered_nor_forwarded() {
    for kind in Kinds::ALL {
        let mut world = World::new(501);
        let (stranger, from) = stranger(&mut world);
        let call = kind.call(&mut world, false);
        world.run_for_ms(1_000);
        spray(&mut world, from, 2_000);
        kind.assert_untouched(&mut world, &call);
        assert_eq!(world.received_by_stranger(stranger).len(), 0, "{kind:?}");
        let discards = world.totals().discards;
        let seen = discards.get(Discard::ForeignSource) + discards.get(Discard::AuthFailed);
        assert!(seen >= 200, "{kind:?}: {:?}", discards.nonzero());
    }
}

#[test]
fn packets_of_a_stranger_before_the_calls_own_media_are_neither_answered_nor_forwarded() {
    for kind in Kinds::ALL {
        let mut world = World::new(502);
        let (stranger, from) = stranger(&mut world);
        let call = kind.call(&mut world, true);
        spray(&mut world, from, 1_000);
        kind.speak(&mut world, &call);
        spray(&mut world, from, 2_000);
        kind.assert_untouched(&mut world, &call);
        assert_eq!(world.received_by_stranger(stranger).len(), 0, "{kind:?}");
    }
}

#[test]
fn packets_of_a_stranger_during_call_setup_disturb_no_call() {
    let mut world = World::new(503);
    let (stranger, from) = stranger(&mut world);
    let mut set_up = Vec::new();
    for n in 0..8u16 {
        spray(&mut world, from, 40);
        let at = |options: PhoneOptions| PhoneOptions {
            rtp: SocketAddr::new(options.rtp.ip(), options.rtp.port() + 2 * n),
            ..options
        };
        let now = world.now();
        let caller = world.add_phone(Phone::new(now, at(calls::caller())));
        let callee = world.add_phone(Phone::new(now, at(calls::phone())));
        let name = format!("sprayed-{n}");
        let offer = world.phone(caller).offer();
        let offer = calls::offer_sdp(&mut world, &name, "caller", &offer, json!({}));
        spray(&mut world, from, 40);
        let now = world.now();
        let answer = world.phone(callee).answer(now, &offer).expect("an answer");
        let answer = calls::answer_sdp(&mut world, &name, "caller", "callee", &answer);
        let now = world.now();
        world.phone(caller).accept(now, &answer).expect("accepted");
        set_up.push(Call { id: name, meta: caller, phone: callee });
    }
    spray(&mut world, from, 1_100);
    for call in &set_up {
        Kinds::Plain.assert_untouched(&mut world, call);
    }
    assert_eq!(world.received_by_stranger(stranger).len(), 0);
}

#[test]
fn plain_rtp_to_an_srtp_leg_is_discarded_even_from_the_peers_own_address() {
    let mut world = World::new(504);
    let mut secured = RawPhone::new(&mut world, "198.51.100.10:20000", Some(raw::key(CM, 1)));
    let mut plain = RawPhone::new(&mut world, "198.51.100.20:30000", None);
    raw::call(&mut world, "clear", &mut secured, &mut plain);
    for n in 0..50u64 {
        // With its own SSRC, with another, before and between its own packets.
        for ssrc in [secured.ssrc, 7] {
            let packet = raw::plain_packet(ssrc, 999 + n, 5_000 + n as u32 * 160);
            secured.send_bytes(&mut world, &packet);
        }
        if n >= 10 {
            secured.send(&mut world);
        }
        world.run_for_ms(20);
    }
    let arrived = plain.received(&world);
    assert_eq!(arrived.len(), 40, "its own packets and no others");
    assert_eq!(world.totals().discards.get(Discard::AuthFailed), 100);
}

#[test]
fn garbage_of_every_length_and_first_byte_on_every_port_is_counted_and_never_answered() {
    for kind in Kinds::ALL {
        let mut world = World::new(505);
        let (stranger, from) = stranger(&mut world);
        let call = kind.call(&mut world, false);
        world.run_for_ms(1_000);
        let ports: Vec<SocketAddr> = world.media_ports().into_iter().filter(SocketAddr::is_ipv4).take(6).collect();
        let count = |world: &mut World| world.totals().discards.nonzero().iter().map(|(_, n)| n).sum::<u64>();
        let before = count(&mut world);
        let mut sent = 0;
        for first in 0..=255u8 {
            for len in 0..=64usize {
                let mut bytes: Vec<u8> = (0..len).map(|at| (at * 37) as u8 ^ first.rotate_left(3)).collect();
                if let Some(byte) = bytes.first_mut() {
                    *byte = first;
                }
                for port in &ports {
                    world.inject(from, *port, &bytes);
                    sent += 1;
                }
            }
            world.run_for_ms(4);
        }
        world.run_for_ms(1_500);
        assert_eq!(count(&mut world) - before, sent, "{kind:?}");
        assert_eq!(world.received_by_stranger(stranger).len(), 0, "{kind:?}");
        kind.assert_untouched(&mut world, &call);
    }
}

#[test]
fn garbage_from_the_peers_own_address_does_not_end_the_call() {
    for kind in Kinds::ALL {
        let mut world = World::new(506);
        let call = kind.call(&mut world, false);
        world.capture();
        world.run_for_ms(1_000);
        let paths: std::collections::BTreeSet<(SocketAddr, SocketAddr)> =
            world.received().iter().map(|(_, datagram)| (datagram.from, datagram.to)).collect();
        for first in 0..=255u8 {
            for len in 0..=64usize {
                let mut bytes: Vec<u8> = (0..len).map(|at| (at * 91) as u8 ^ first.rotate_left(5)).collect();
                if let Some(byte) = bytes.first_mut() {
                    *byte = first;
                }
                for (from, to) in &paths {
                    world.inject(*from, *to, &bytes);
                }
            }
            world.run_for_ms(4);
        }
        world.run_for_ms(2_000);
        match kind {
            Kinds::Plain | Kinds::Sdes => world.assert_audio_between_phones(&call),
            Kinds::WebRtc | Kinds::WhatsappSdes => world.assert_audio_both_ways(&call),
        }
        let failed = world.events.iter().find(|(_, event)| matches!(event.kind, EventKind::LegFailed { .. }));
        assert_eq!(failed, None, "{kind:?}");
    }
}

#[test]
fn late_packets_of_a_deleted_call_reach_no_peer() {
    let mut world = World::new(507);
    let mut first = RawPhone::new(&mut world, "198.51.100.30:20000", None);
    let mut second = RawPhone::new(&mut world, "198.51.100.40:30000", None);
    raw::call(&mut world, "over", &mut first, &mut second);
    first.talk(&mut world, 5);
    assert_eq!(second.received(&world).len(), 5);
    world.ng(&world::delete("over"));
    let before = world.totals().discards.get(Discard::Unroutable);
    let port = first.remote.expect("an address");
    assert!(!world.media_ports().contains(&port), "the port is closed");
    let call = calls::between_phones(&mut world, calls::caller(), calls::phone());
    first.talk(&mut world, 100);
    assert_eq!(second.received(&world).len(), 0);
    assert_eq!(world.totals().discards.get(Discard::Unroutable), before);
    Kinds::Plain.assert_untouched(&mut world, &call);
}
