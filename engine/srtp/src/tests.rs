//! The guarantees of a context: every packet once, nothing without the key, no index twice.

mod vectors;

use proptest::prelude::*;
use trestle_wire::rtp::Header;
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};

use crate::{
    KeyingMaterial, OVERHEAD_MAX, Profile, ProtectError, RETIRED_SSRCS_MAX, SSRCS_MAX, SrtpContext, UnprotectError,
};

const OURS: Ssrc = Ssrc(0xcafe_babe);
const LAST: u64 = (1 << 48) - 1;

fn material(profile: Profile) -> KeyingMaterial {
    let bytes: Vec<u8> = (1..=46).collect();
    KeyingMaterial::new(profile, &bytes[..profile.key_len()], &bytes[32..32 + profile.salt_len()]).unwrap()
}

fn pair(profile: Profile) -> (SrtpContext, SrtpContext) {
    (SrtpContext::new(&material(profile)), SrtpContext::new(&material(profile)))
}

fn rtp(ssrc: Ssrc, seq: u16) -> Vec<u8> {
    let header = Header { marker: false, pt: Pt::PCMA, seq: Seq(seq), time: RtpTime(u32::from(seq) * 160), ssrc };
    [&header.write()[..], b"forty bytes of speech, more or less"].concat()
}

/// An empty receiver report.
fn rtcp(ssrc: Ssrc) -> Vec<u8> {
    [&[0x80, 201, 0, 1][..], &ssrc.0.to_be_bytes()].concat()
}

fn protect(sender: &mut SrtpContext, mut packet: Vec<u8>) -> Result<Vec<u8>, ProtectError> {
    let len = packet.len();
    packet.resize(len + OVERHEAD_MAX, 0xee);
    let end = sender.protect_rtp(&mut packet, len)?;
    packet.truncate(end);
    Ok(packet)
}

fn protect_rtcp(sender: &mut SrtpContext, mut packet: Vec<u8>) -> Result<Vec<u8>, ProtectError> {
    let len = packet.len();
    packet.resize(len + OVERHEAD_MAX, 0xee);
    let end = sender.protect_rtcp(&mut packet, len)?;
    packet.truncate(end);
    Ok(packet)
}

fn unprotect(receiver: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, UnprotectError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtp(&mut packet)?.len;
    packet.truncate(len);
    Ok(packet)
}

fn unprotect_rtcp(receiver: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, UnprotectError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtcp(&mut packet)?.len;
    packet.truncate(len);
    Ok(packet)
}

/// The packet that a sender with the same key sends at `index`, whatever it sent before.
fn at_index(profile: Profile, ssrc: Ssrc, index: u64) -> Vec<u8> {
    let mut sender = SrtpContext::new(&material(profile));
    if let Some(before) = index.checked_sub(1) {
        sender.set_rtp_index(ssrc, before);
    }
    let packet = protect(&mut sender, rtp(ssrc, index as u16)).unwrap();
    assert_eq!(sender.rtp_index(ssrc), Some(index));
    packet
}

#[test]
fn a_packet_is_restored_and_encrypted_in_between() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        let plain = rtp(OURS, 7);
        let sent = protect(&mut sender, plain.clone()).unwrap();
        assert_eq!(sent.len(), plain.len() + profile.rtp_tag_len(), "{profile:?}");
        assert_eq!(sent[..12], plain[..12], "{profile:?}: the header travels in clear");
        assert_ne!(sent[12..plain.len()], plain[12..], "{profile:?}: the payload does not");
        assert_eq!(unprotect(&mut receiver, &sent), Ok(plain), "{profile:?}");

        let plain = [rtcp(OURS), b"\x81\xca\0\x03cafe\x01\x04here\0\0".to_vec()].concat();
        let sent = protect_rtcp(&mut sender, plain.clone()).unwrap();
        assert_eq!(sent.len(), plain.len() + 4 + profile.rtcp_tag_len(), "{profile:?}");
        assert_eq!(sent[..8], plain[..8], "{profile:?}");
        assert_ne!(sent[8..plain.len()], plain[8..], "{profile:?}");
        assert_eq!(unprotect_rtcp(&mut receiver, &sent), Ok(plain), "{profile:?}");
    }
}

#[test]
fn packets_without_payload_are_protected_too() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        let plain = rtp(OURS, 1)[..12].to_vec();
        let sent = protect(&mut sender, plain.clone()).unwrap();
        assert_eq!(unprotect(&mut receiver, &sent), Ok(plain));
        let sent = protect_rtcp(&mut sender, rtcp(OURS)).unwrap();
        assert_eq!(unprotect_rtcp(&mut receiver, &sent), Ok(rtcp(OURS)));
    }
}

#[test]
fn a_packet_is_accepted_once() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        let sent: Vec<_> = (0..300).map(|seq| protect(&mut sender, rtp(OURS, seq)).unwrap()).collect();
        for packet in &sent {
            assert!(unprotect(&mut receiver, packet).is_ok());
            assert_eq!(unprotect(&mut receiver, packet), Err(UnprotectError::Replay));
        }
        for packet in &sent {
            assert_eq!(unprotect(&mut receiver, packet), Err(UnprotectError::Replay), "long after");
        }
        let report = protect_rtcp(&mut sender, rtcp(OURS)).unwrap();
        assert!(unprotect_rtcp(&mut receiver, &report).is_ok());
        assert_eq!(unprotect_rtcp(&mut receiver, &report), Err(UnprotectError::Replay));
    }
}

#[test]
fn a_packet_with_any_bit_flipped_is_refused() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        let sent = protect(&mut sender, rtp(OURS, 7)).unwrap();
        let report = protect_rtcp(&mut sender, rtcp(OURS)).unwrap();
        for bit in 0..sent.len() * 8 {
            let mut forged = sent.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect(&mut receiver, &forged).is_err(), "{profile:?} SRTP bit {bit}");
        }
        for bit in 0..report.len() * 8 {
            let mut forged = report.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect_rtcp(&mut receiver, &forged).is_err(), "{profile:?} SRTCP bit {bit}");
        }
        assert_eq!(receiver.ssrcs().count(), 0, "{profile:?}: refused packets leave no trace");
        assert!(unprotect(&mut receiver, &sent).is_ok());
        assert!(unprotect_rtcp(&mut receiver, &report).is_ok());
    }
}

#[test]
fn cut_packets_are_refused_at_every_length() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        let sent = protect(&mut sender, rtp(OURS, 7)).unwrap();
        let report = protect_rtcp(&mut sender, rtcp(OURS)).unwrap();
        for len in 0..sent.len() {
            assert!(unprotect(&mut receiver, &sent[..len]).is_err(), "{profile:?} SRTP {len}");
        }
        for len in 0..report.len() {
            assert!(unprotect_rtcp(&mut receiver, &report[..len]).is_err(), "{profile:?} SRTCP {len}");
        }
    }
}

#[test]
fn forged_packets_move_neither_roll_over_counter_nor_window() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        for seq in [65_000, 65_001] {
            unprotect(&mut receiver, &protect(&mut sender, rtp(OURS, seq)).unwrap()).unwrap();
        }
        for seq in (0..=u16::MAX).step_by(97) {
            let forged = [rtp(OURS, seq), vec![0; profile.rtp_tag_len()]].concat();
            assert!(unprotect(&mut receiver, &forged).is_err());
        }
        assert_eq!(receiver.rtp_index(OURS), Some(65_001));
        let next = protect(&mut sender, rtp(OURS, 65_002)).unwrap();
        assert!(unprotect(&mut receiver, &next).is_ok());
    }
}

#[test]
fn ssrcs_are_counted_only_once_authentic_and_are_bounded() {
    let (mut sender, mut receiver) = pair(Profile::AesCm128HmacSha1_80);
    for ssrc in 0..1_000 {
        let forged = [rtp(Ssrc(ssrc), 1), vec![0; 10]].concat();
        assert_eq!(unprotect(&mut receiver, &forged), Err(UnprotectError::AuthFailed));
        let forged = [rtcp(Ssrc(ssrc)), vec![0x80, 0, 0, 1], vec![0; 10]].concat();
        assert_eq!(unprotect_rtcp(&mut receiver, &forged), Err(UnprotectError::AuthFailed));
    }
    assert_eq!(receiver.ssrcs().count(), 0);

    // Each sends one packet while Ssrc(0) sends on.
    let mut recorded = Vec::new();
    let ssrcs = (SSRCS_MAX + RETIRED_SSRCS_MAX) as u32;
    for ssrc in 0..ssrcs {
        let sent = at_index(Profile::AesCm128HmacSha1_80, Ssrc(ssrc), 10);
        assert!(unprotect(&mut receiver, &sent).is_ok(), "SSRC {ssrc}");
        if ssrc % 100 == 1 {
            let (on, report) = (protect(&mut sender, rtp(Ssrc(0), ssrc as u16 / 10 + 11)).unwrap(), rtcp(Ssrc(ssrc)));
            assert!(unprotect(&mut receiver, &on).is_ok(), "those in use remain");
            let report = protect_rtcp(&mut sender, report).unwrap();
            assert!(unprotect_rtcp(&mut receiver, &report).is_ok());
            recorded.push((ssrc, sent, report));
        }
    }
    for (ssrc, sent, report) in &recorded {
        assert_eq!(unprotect(&mut receiver, sent), Err(UnprotectError::Replay), "SSRC {ssrc}");
        assert_eq!(unprotect_rtcp(&mut receiver, report), Err(UnprotectError::Replay), "SSRC {ssrc}");
        let older = at_index(Profile::AesCm128HmacSha1_80, Ssrc(*ssrc), 9);
        let is_retired = *ssrc < ssrcs - SSRCS_MAX as u32;
        assert_eq!(unprotect(&mut receiver, &older).is_err(), is_retired, "SSRC {ssrc}");
    }
    let again = at_index(Profile::AesCm128HmacSha1_80, Ssrc(101), 11);
    assert!(unprotect(&mut receiver, &again).is_ok(), "a retired SSRC continues");
    let one_more = at_index(Profile::AesCm128HmacSha1_80, Ssrc(ssrcs), 1);
    assert_eq!(unprotect(&mut receiver, &one_more), Err(UnprotectError::TooManySsrcs));
    assert_eq!(receiver.ssrcs().count(), ssrcs as usize);
}

#[test]
fn an_index_is_never_used_twice() {
    for profile in Profile::ALL {
        let mut sender = SrtpContext::new(&material(profile));
        protect(&mut sender, rtp(OURS, 100)).unwrap();
        assert_eq!(protect(&mut sender, rtp(OURS, 100)), Err(ProtectError::IndexReused));
        protect(&mut sender, rtp(OURS, 300)).unwrap();
        assert!(protect(&mut sender, rtp(OURS, 299)).is_ok(), "late, but not sent before");
        assert_eq!(protect(&mut sender, rtp(OURS, 299)), Err(ProtectError::IndexReused));
        assert_eq!(protect(&mut sender, rtp(OURS, 101)), Err(ProtectError::IndexReused), "too old to tell");
        assert!(protect(&mut sender, rtp(Ssrc(1), 300)).is_ok(), "another SSRC has indices of its own");
    }
}

#[test]
fn a_sender_continued_from_a_snapshot_uses_no_index_again() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        for seq in [65_534, 65_535, 0, 1] {
            unprotect(&mut receiver, &protect(&mut sender, rtp(OURS, seq)).unwrap()).unwrap();
        }
        let report = protect_rtcp(&mut sender, rtcp(OURS)).unwrap();
        unprotect_rtcp(&mut receiver, &report).unwrap();

        let (mut sender_after, mut receiver_after) = pair(profile);
        sender_after.set_rtp_index(OURS, sender.rtp_index(OURS).unwrap());
        sender_after.set_srtcp_index(sender.srtcp_index());
        receiver_after.set_rtp_index(OURS, receiver.rtp_index(OURS).unwrap());
        receiver_after.set_received_srtcp_index(OURS, receiver.received_srtcp_index(OURS).unwrap());

        for seq in [65_535, 0, 1] {
            assert_eq!(protect(&mut sender_after, rtp(OURS, seq)), Err(ProtectError::IndexReused));
        }
        assert_eq!(unprotect_rtcp(&mut receiver_after, &report), Err(UnprotectError::Replay));
        let next = protect(&mut sender_after, rtp(OURS, 2)).unwrap();
        assert_eq!(sender_after.rtp_index(OURS), Some(0x1_0002));
        assert!(unprotect(&mut receiver_after, &next).is_ok());
        let report = protect_rtcp(&mut sender_after, rtcp(OURS)).unwrap();
        assert!(unprotect_rtcp(&mut receiver_after, &report).is_ok());
    }
}

#[test]
fn a_key_ends_with_its_last_index() {
    let (mut sender, mut receiver) = pair(Profile::AesCm128HmacSha1_80);
    sender.set_rtp_index(OURS, LAST - 1);
    receiver.set_rtp_index(OURS, LAST - 1);
    let last = protect(&mut sender, rtp(OURS, 0xffff)).unwrap();
    assert!(unprotect(&mut receiver, &last).is_ok());
    assert_eq!(protect(&mut sender, rtp(OURS, 0)), Err(ProtectError::KeyExhausted));
    let forged = [rtp(OURS, 0), vec![0; 10]].concat();
    assert_eq!(unprotect(&mut receiver, &forged), Err(UnprotectError::AuthFailed));

    sender.set_srtcp_index((1 << 31) - 1);
    let last = protect_rtcp(&mut sender, rtcp(OURS)).unwrap();
    assert!(unprotect_rtcp(&mut receiver, &last).is_ok());
    assert_eq!(protect_rtcp(&mut sender, rtcp(OURS)), Err(ProtectError::KeyExhausted));
    assert_eq!(sender.srtcp_index(), 1 << 31);
}

#[test]
fn three_wraps_with_loss_in_both_directions() {
    for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes256Gcm] {
        let (mut a_sends, mut b_receives) = pair(profile);
        let (mut b_sends, mut a_receives) = pair(profile);
        for index in 30_000..30_000 + 3 * 65_536u64 {
            let seq = index as u16;
            // Lost: one in eleven, and 20 in a row across each wrap.
            let lost = index % 11 == 0 || seq.wrapping_add(10) < 20;
            for (sender, receiver) in [(&mut a_sends, &mut b_receives), (&mut b_sends, &mut a_receives)] {
                let sent = protect(sender, rtp(OURS, seq)).unwrap();
                if !lost {
                    assert!(unprotect(receiver, &sent).is_ok(), "{profile:?} index {index}");
                }
            }
        }
        assert_eq!(b_receives.rtp_index(OURS), a_sends.rtp_index(OURS));
        assert_eq!(a_sends.rtp_index(OURS).map(|index| index >> 16), Some(3));
    }
}

#[test]
fn packets_out_of_order_around_the_wrap_are_all_accepted() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        let mut sent: Vec<_> =
            (0..120u16).map(|n| protect(&mut sender, rtp(OURS, 65_476u16.wrapping_add(n))).unwrap()).collect();
        for stretch in sent.chunks_mut(40) {
            stretch.reverse();
        }
        for (n, packet) in sent.iter().enumerate() {
            assert!(unprotect(&mut receiver, packet).is_ok(), "{profile:?} delivery {n}");
        }
    }
}

#[test]
fn a_stream_whose_first_packets_were_lost_over_a_wrap_is_found() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = pair(profile);
        let early = protect(&mut sender, rtp(OURS, 65_530)).unwrap();
        let first_received = protect(&mut sender, rtp(OURS, 3)).unwrap();
        assert!(unprotect(&mut receiver, &first_received).is_ok(), "{profile:?}");
        assert_eq!(receiver.rtp_index(OURS), Some(0x1_0003));
        assert!(unprotect(&mut receiver, &early).is_ok(), "{profile:?}: late, of the roll-over before");
    }
}

#[test]
fn a_new_key_in_mid_stream_works_with_the_counter_kept_or_reset() {
    for profile in Profile::ALL {
        for index in [0x2_0005, 0x3_0005, 0x0_0005] {
            let mut receiver = SrtpContext::new(&material(profile)).with_roc_hint(2);
            assert!(unprotect(&mut receiver, &at_index(profile, OURS, index)).is_ok(), "{profile:?} {index:#x}");
        }
        let mut receiver = SrtpContext::new(&material(profile));
        let sent = at_index(profile, OURS, 0x2_0005);
        assert_eq!(unprotect(&mut receiver, &sent), Err(UnprotectError::AuthFailed), "{profile:?}: without the hint");
    }
}

#[test]
fn srtcp_that_is_not_encrypted_is_refused_even_if_authentic() {
    // Made by hand, as a peer with UNENCRYPTED_SRTCP would send it.
    let mut receiver = SrtpContext::new(&material(Profile::AesCm128HmacSha1_80));
    let body = [rtcp(OURS), vec![0, 0, 0, 9]].concat();
    let crate::cipher::Cipher::Cm(cm) = &receiver.rtcp else { panic!("AES-CM profile") };
    let tag = cm.sign([&body, &[]]);
    let packet = [&body, &tag.as_ref()[..10]].concat();
    assert_eq!(unprotect_rtcp(&mut receiver, &packet), Err(UnprotectError::Malformed));
    assert_eq!(receiver.received_srtcp_index(OURS), None);
}

#[test]
fn a_master_key_identifier_is_removed() {
    for profile in Profile::ALL {
        let (mut sender, receiver) = pair(profile);
        let mut receiver = receiver.with_mki_len(4);
        let aead = profile.is_aead();
        let sent = protect(&mut sender, rtp(OURS, 1)).unwrap();
        let at = if aead { sent.len() } else { sent.len() - profile.rtp_tag_len() };
        let with_mki = [&sent[..at], b"key1", &sent[at..]].concat();
        assert_eq!(unprotect(&mut receiver, &with_mki), Ok(rtp(OURS, 1)), "{profile:?}");

        let sent = protect_rtcp(&mut sender, rtcp(OURS)).unwrap();
        let at = if aead { sent.len() } else { sent.len() - profile.rtcp_tag_len() };
        let with_mki = [&sent[..at], b"key1", &sent[at..]].concat();
        assert_eq!(unprotect_rtcp(&mut receiver, &with_mki), Ok(rtcp(OURS)), "{profile:?}");
    }
}

#[test]
fn an_invalid_packet_or_one_without_room_is_not_protected_and_uses_no_index() {
    let mut sender = SrtpContext::new(&material(Profile::AeadAes256Gcm));
    let plain = rtp(OURS, 1);
    let mut exact = plain.clone();
    assert_eq!(sender.protect_rtp(&mut exact, plain.len()), Err(ProtectError::Malformed), "no room");
    assert_eq!(sender.protect_rtp(&mut exact, plain.len() + 1), Err(ProtectError::Malformed), "longer than the buffer");
    assert_eq!(sender.protect_rtp(&mut exact, usize::MAX), Err(ProtectError::Malformed));
    assert_eq!(sender.protect_rtcp(&mut exact, usize::MAX), Err(ProtectError::Malformed));
    assert_eq!(protect(&mut sender, vec![0x80; 11]), Err(ProtectError::Malformed));
    assert_eq!(protect(&mut sender, vec![0; 40]), Err(ProtectError::Malformed), "version 0");
    assert_eq!(protect_rtcp(&mut sender, vec![0x80; 7]), Err(ProtectError::Malformed));
    assert_eq!(protect(&mut sender, vec![0x80; 70_000]), Err(ProtectError::Malformed), "longer than a datagram");
    assert_eq!((sender.ssrcs().count(), sender.srtcp_index()), (0, 0));
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    for profile in Profile::ALL {
        let whole = profile.key_len() + profile.salt_len();
        for len in 0..64 {
            let made = KeyingMaterial::from_key_and_salt(profile, &vec![7; len]);
            assert_eq!(made.is_ok(), len == whole, "{profile:?} {len}");
        }
        assert!(
            KeyingMaterial::new(profile, &vec![7; profile.key_len() + 1], &vec![7; profile.salt_len() - 1]).is_err()
        );
    }
}

#[test]
fn keying_material_reads_back_and_shows_nothing() {
    for profile in Profile::ALL {
        let material = material(profile);
        let bytes = material.key_and_salt();
        assert_eq!(KeyingMaterial::from_key_and_salt(profile, &bytes), Ok(material.clone()));
        assert_eq!(format!("{material:?}"), format!("KeyingMaterial({})", profile.name()));
        assert!(!format!("{:?}", SrtpContext::new(&material)).contains("key"));
    }
    assert_ne!(material(Profile::AesCm128HmacSha1_80), material(Profile::AesCm128HmacSha1_32));
}

#[test]
fn a_dtls_export_is_client_key_server_key_client_salt_server_salt() {
    for profile in Profile::ALL {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        let parts = [vec![1; key_len], vec![2; key_len], vec![3; salt_len], vec![4; salt_len]];
        let exported = parts.concat();
        let client = KeyingMaterial::new(profile, &parts[0], &parts[2]).unwrap();
        let server = KeyingMaterial::new(profile, &parts[1], &parts[3]).unwrap();
        assert_eq!(exported.len(), KeyingMaterial::dtls_export_len(profile));
        let as_client = KeyingMaterial::from_dtls(profile, &exported, true);
        assert_eq!(as_client, Some((client.clone(), server.clone())));
        assert_eq!(KeyingMaterial::from_dtls(profile, &exported, false), Some((server, client)));
        assert_eq!(KeyingMaterial::from_dtls(profile, &exported[1..], true), None);
        assert_eq!(KeyingMaterial::from_dtls(profile, &[&exported[..], &[0]].concat(), true), None);
    }
}

/// What a receiver accepts according to RFC 3711, written with a set and a search instead of a window and a rule.
#[derive(Default)]
struct Model {
    accepted: std::collections::BTreeSet<u64>,
}

impl Model {
    fn accepts(&mut self, index: u64) -> bool {
        let accept = match self.accepted.last() {
            None => index >> 16 <= 1,
            Some(&highest) => {
                let roc = highest >> 16;
                let near = roc.saturating_sub(1)..=roc + 1;
                let candidates = near.map(|roc| roc << 16 | (index & 0xffff));
                let guess = candidates.min_by_key(|guess| (guess.abs_diff(highest), (guess >> 16).abs_diff(roc)));
                guess == Some(index) && index + 128 > highest && !self.accepted.contains(&index)
            }
        };
        if accept {
            self.accepted.insert(index);
        }
        accept
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_receiver_accepts_what_the_model_accepts(
        profile in prop::sample::select(Profile::ALL.to_vec()),
        start in 64_000u64..67_000,
        steps in prop::collection::vec(prop_oneof![8 => -140i64..150, 1 => -70_000i64..70_000], 1..120),
    ) {
        let mut receiver = SrtpContext::new(&material(profile));
        let mut model = Model::default();
        let mut index = start;
        for step in steps {
            index = index.saturating_add_signed(step);
            let accepted = unprotect(&mut receiver, &at_index(profile, OURS, index));
            prop_assert_eq!(accepted.is_ok(), model.accepts(index), "index {:#x}: {:?}", index, accepted);
            prop_assert_eq!(receiver.rtp_index(OURS), model.accepted.last().copied());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        profile in prop::sample::select(Profile::ALL.to_vec()),
        mki_len in 0usize..200,
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        version in any::<bool>(),
    ) {
        if version && let Some(first) = bytes.first_mut() {
            *first = *first & 0x3f | 0x80;
        }
        let mut receiver = SrtpContext::new(&material(profile)).with_mki_len(mki_len);
        prop_assert!(receiver.unprotect_rtp(&mut bytes.clone()).is_err());
        prop_assert!(receiver.unprotect_rtcp(&mut bytes.clone()).is_err());
        let mut sender = SrtpContext::new(&material(profile));
        let len = bytes.len();
        bytes.resize(len + OVERHEAD_MAX, 0);
        // Both results are allowed for random bytes; the test is that nothing panics.
        let _ = sender.protect_rtp(&mut bytes.clone(), len);
        let _ = sender.protect_rtcp(&mut bytes, len);
    }
}
