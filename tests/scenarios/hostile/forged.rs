//! Packets that look like the call's own: replays, flipped bits, foreign SSRCs, sizes that no peer sends.

use super::*;

#[test]
fn replayed_srtp_and_srtcp_are_dropped_from_any_source() {
    for kind in [Kinds::Sdes, Kinds::WhatsappSdes, Kinds::WebRtc] {
        let mut world = World::new(511);
        let (stranger, from) = stranger(&mut world);
        let call = kind.call(&mut world, false);
        world.capture();
        world.run_for_ms(4_000);
        let media = |bytes: &[u8]| matches!(DatagramKind::of(bytes), Some(DatagramKind::Rtp | DatagramKind::Rtcp));
        let recorded: Vec<_> = world
            .received()
            .iter()
            .filter(|(_, datagram)| media(&datagram.bytes))
            .map(|(_, datagram)| datagram.clone())
            .collect();
        let rtcp =
            recorded.iter().filter(|datagram| DatagramKind::of(&datagram.bytes) == Some(DatagramKind::Rtcp)).count();
        assert!(recorded.len() > 300 && rtcp > 0, "{kind:?}: {} and {rtcp}", recorded.len());
        let before = world.totals();
        for pause_ms in [0, 30_000] {
            world.run_for_ms(pause_ms);
            for datagram in &recorded {
                world.inject(datagram.from, datagram.to, &datagram.bytes);
                world.inject(from, datagram.to, &datagram.bytes);
            }
            world.run_for_ms(20);
        }
        world.run_for_ms(1_000);
        kind.assert_untouched(&mut world, &call);
        let after = world.totals();
        // Only the leg without keys takes a replayed packet for what it looks like: WebRTC's other leg is plain.
        let secured =
            recorded.iter().filter(|d| kind != Kinds::WebRtc || d.from.ip() != calls::phone().rtp.ip()).count();
        let replays = after.discards.get(Discard::Replay) - before.discards.get(Discard::Replay);
        let foreign = after.discards.get(Discard::ForeignSource) - before.discards.get(Discard::ForeignSource);
        assert!(
            replays + foreign >= 4 * secured as u64,
            "{kind:?}: {replays} + {foreign} of {secured} each four times"
        );
        assert_eq!(world.received_by_stranger(stranger).len(), 0, "{kind:?}");
    }
}

#[test]
fn srtp_with_flipped_bits_from_the_peers_own_address_costs_no_packet_of_the_call() {
    for kind in [Kinds::Sdes, Kinds::WhatsappSdes, Kinds::WebRtc] {
        let mut world = World::new(512);
        let call = kind.call(&mut world, false);
        world.capture();
        world.run_for_ms(1_000);
        let secured = if kind == Kinds::WebRtc { calls::meta().locals[0].ip() } else { calls::phone().rtp.ip() };
        let is_ours =
            |from: SocketAddr, bytes: &[u8]| from.ip() == secured && DatagramKind::of(bytes) == Some(DatagramKind::Rtp);
        let refused = |world: &mut World| {
            let discards = world.totals().discards;
            // A number that has come already is not even authenticated, nor is what is no RTP any more.
            discards.get(Discard::AuthFailed) + discards.get(Discard::Replay) + discards.get(Discard::Malformed)
        };
        let before = refused(&mut world);
        let mut sent = 0;
        for _ in 0..3 {
            let (_, fresh) = world
                .received()
                .iter()
                .rfind(|(_, datagram)| is_ours(datagram.from, &datagram.bytes))
                .cloned()
                .expect("a packet");
            for n in 0..5_000usize {
                let mut forged = fresh.clone();
                // Ahead of the stream by up to a few seconds, so that it is no mere replay; one bit is wrong besides.
                let seq = u16::from_be_bytes([forged.bytes[2], forged.bytes[3]]).wrapping_add((n % 97) as u16 + 1);
                forged.bytes[2..4].copy_from_slice(&seq.to_be_bytes());
                let bit = 32 + n % ((forged.bytes.len() - 4) * 8);
                forged.bytes[bit / 8] ^= 1 << (bit % 8);
                if DatagramKind::of(&forged.bytes) == Some(DatagramKind::Rtp) {
                    sent += 1;
                    world.inject(forged.from, forged.to, &forged.bytes);
                }
                if n % 5 == 4 {
                    world.run_for_ms(1);
                }
            }
        }
        world.run_for_ms(1_500);
        kind.assert_untouched(&mut world, &call);
        assert_eq!(refused(&mut world) - before, sent, "{kind:?}");
    }
}

#[test]
fn a_second_ssrc_from_the_same_tuple_is_not_mixed_into_the_first() {
    for key in [None, Some(raw::key(CM, 1))] {
        let mut world = World::new(513);
        let mut noisy = RawPhone::new(&mut world, "198.51.100.10:20000", key.clone());
        let mut listener = RawPhone::new(&mut world, "198.51.100.20:30000", None);
        raw::call(&mut world, "two", &mut noisy, &mut listener);
        for n in 0..100 {
            noisy.send(&mut world);
            let packet = noisy.packet_of(0x2222_2222, 40_000 + n, n as u32 * 160);
            noisy.send_bytes(&mut world, &packet);
            world.run_for_ms(20);
        }
        let arrived = listener.received(&world);
        // The first packet of an authenticated SSRC is taken: it may be a change. Then the first stream continues, and stays.
        let taken = usize::from(key.is_some());
        assert_eq!(arrived.len(), 100 + taken, "key: {}", key.is_some());
        assert_eq!(arrived.iter().filter(|packet| packet.origin().0 != noisy.ssrc).count(), taken);
        assert!(arrived.windows(2).all(|two| two[1].header.seq == two[0].header.seq.next()));
        assert_eq!(world.totals().discards.get(Discard::ForeignSsrc), 100 - taken as u64);
    }
}

#[test]
fn a_peer_that_begins_a_new_ssrc_is_followed_without_a_new_one_on_the_other_side() {
    let mut world = World::new(514);
    let mut restless = RawPhone::new(&mut world, "198.51.100.10:20000", None);
    let mut listener = RawPhone::new(&mut world, "198.51.100.20:30000", Some(raw::key(CM, 1)));
    raw::call(&mut world, "new ssrc", &mut restless, &mut listener);
    let mut arrived = Vec::new();
    for n in 0..12u64 {
        (restless.ssrc, restless.seq, restless.time) = (0x3000_0000 + n as u32, (n * 7_919) & 0x7fff, 1 << n);
        restless.talk(&mut world, 10);
        let new = listener.received(&world);
        // The first packet of each later SSRC is spent on proving it.
        assert!(new.len() >= 9, "SSRC {n}: {} of 10", new.len());
        arrived.extend(new);
    }
    assert_eq!(listener.refused, 0);
    assert!(arrived.iter().all(|packet| packet.header.ssrc == arrived[0].header.ssrc), "one SSRC");
    assert!(arrived.windows(2).all(|two| two[1].header.seq == two[0].header.seq.next()), "no gap");
}

#[test]
fn a_peer_that_uses_our_ssrc_makes_no_loop_and_no_second_pad() {
    let mut world = World::new(515);
    world.capture();
    let mut thief = RawPhone::new(&mut world, "198.51.100.10:20000", Some(raw::key(CM, 1)));
    let mut other = RawPhone::new(&mut world, "198.51.100.20:30000", Some(raw::key(CM, 2)));
    raw::call(&mut world, "thief", &mut thief, &mut other);
    other.talk(&mut world, 5);
    let ours = thief.received(&world)[0].header.ssrc;
    thief.ssrc = ours.0;
    for _ in 0..50 {
        thief.send(&mut world);
        other.send(&mut world);
        world.run_for_ms(20);
    }
    let (to_thief, to_other) = (thief.received(&world), other.received(&world));
    assert_eq!(to_thief.len(), 50);
    assert!(to_thief.iter().all(|packet| packet.origin().0 == other.ssrc), "it receives the other side, not itself");
    assert!(to_other.len() >= 49 && to_other.iter().all(|packet| packet.origin().0 == ours.0));
    assert!(to_other.iter().all(|packet| packet.header.ssrc != ours));
    let written = world.written.clone();
    assert!(trestle_world::captured::judge(&world, &written).rtp >= 100);
}

#[test]
fn datagrams_that_are_too_long_go_no_further() {
    for key in [None, Some(raw::key(CM, 1))] {
        let mut world = World::new(516);
        let mut wordy = RawPhone::new(&mut world, "198.51.100.10:20000", key.clone());
        let mut listener = RawPhone::new(&mut world, "198.51.100.20:30000", key.as_ref().map(|_| raw::key(CM, 2)));
        raw::call(&mut world, "long", &mut wordy, &mut listener);
        for len in [1_400, 1_900, 2_030, 2_036, 2_037, 2_048, 2_049, 4_000, 30_000, 65_507] {
            wordy.send(&mut world);
            let mut long = raw::plain_packet(wordy.ssrc, wordy.seq, wordy.time);
            long.resize(len, 0x55);
            wordy.seq += 1;
            wordy.send_bytes(&mut world, &long);
            // Not RTP either: STUN, DTLS, RTCP and rubbish of that length.
            for first in [[0, 1], [22, 254], [0x80, 200], [0xff, 0xff]] {
                long[..2].copy_from_slice(&first);
                wordy.send_bytes(&mut world, &long);
            }
            world.run_for_ms(20);
        }
        wordy.talk(&mut world, 20);
        let own = listener.received(&world).iter().filter(|packet| packet.payload.len() == 160).count();
        assert!(own >= 29, "key: {}: {own} of 30", key.is_some());
        assert!(world.received_by_stranger(listener.actor).iter().all(|datagram| datagram.bytes.len() <= 2_048));
    }
}

#[test]
fn unauthenticated_rtcp_changes_nothing() {
    let mut world = World::new(517);
    let (_, from) = stranger(&mut world);
    let call = Kinds::Plain.call(&mut world, false);
    // The phones' own first reports are through.
    world.run_for_ms(1_500);
    let rtcp_in = world.totals().rtcp_in;
    for ssrc in [0u32, 1, u32::MAX] {
        // A BYE, and an SR that claims to be from 2036.
        let bye = [&[0x81, 203, 0, 1][..], &ssrc.to_be_bytes()].concat();
        let report = [&[0x80, 200, 0, 6][..], &ssrc.to_be_bytes(), &[0xff; 20]].concat();
        for port in world.media_ports().into_iter().filter(SocketAddr::is_ipv4) {
            world.inject(from, port, &bye);
            world.inject(from, port, &report);
        }
    }
    world.run_for_ms(200);
    assert_eq!(world.totals().rtcp_in, rtcp_in);
    // A BYE from the phone itself ends nothing either: signalling ends calls.
    let bye = [&[0x81, 203, 0, 1][..], &[0; 4]].concat();
    let (to, _) = raw::read(&world.written[1]);
    world.inject(calls::caller().rtp, to, &bye);
    world.run_for_ms(1_500);
    Kinds::Plain.assert_untouched(&mut world, &call);
}
