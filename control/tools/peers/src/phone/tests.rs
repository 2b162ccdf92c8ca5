use super::*;
use crate::ear;
use crate::wire::Wire;

const ANN: &str = "192.0.2.1:4000";
const BOB: &str = "198.51.100.2:5000";

fn tone(hz: f64) -> Voice {
    Voice::Tone { hz, peak: 10_000 }
}

/// Ann, who calls and sings 440 Hz, and Bob with 1,000 Hz.
fn pair(change: impl Fn(&mut PhoneOptions)) -> (PhoneOptions, PhoneOptions) {
    let mut ann = PhoneOptions { voice: tone(440.0), ..PhoneOptions::new(ANN.parse().unwrap()) };
    let mut bob = PhoneOptions { voice: tone(1_000.0), seed: 2, ..PhoneOptions::new(BOB.parse().unwrap()) };
    change(&mut ann);
    change(&mut bob);
    (ann, bob)
}

fn call(wire: &Wire, (ann, bob): (PhoneOptions, PhoneOptions)) -> (Phone, Phone) {
    let (mut ann, mut bob) = (Phone::new(wire.now, ann), Phone::new(wire.now, bob));
    let offer = ann.offer();
    let answer = bob.answer(wire.now, &offer).unwrap_or_else(|error| panic!("{error}\n{offer}"));
    ann.accept(wire.now, &answer).unwrap_or_else(|error| panic!("{error}\n{answer}"));
    (ann, bob)
}

fn assert_receives(phone: &Phone, hz: f64, label: &str) {
    let measured = ear::tone_hz(phone.recording(), 8_000);
    assert!(measured.is_some_and(|measured| (measured - hz).abs() < 5.0), "{label}: measured {measured:?}, not {hz}");
}

#[test]
fn every_codec_and_packet_time_carries_sound_and_digits_both_ways() {
    for codec in Codec::ALL {
        for ptime_ms in [10, 20, 30, 40, 50, 60] {
            if codec == Codec::Opus && [30, 50].contains(&ptime_ms) {
                continue;
            }
            let label = format!("{codec:?}, {ptime_ms} ms");
            let mut wire = Wire::new();
            let options = pair(|phone| (phone.codecs, phone.ptime_ms) = (vec![codec], ptime_ms));
            let (mut ann, mut bob) = call(&wire, options);
            wire.run(&mut ann, &mut bob, 1.0);
            assert_receives(&ann, 1_000.0, &label);
            assert_receives(&bob, 440.0, &label);
            "159#".chars().for_each(|digit| ann.press(digit, Duration::from_millis(120)));
            "0*".chars().for_each(|digit| bob.press(digit, Duration::from_millis(160)));
            wire.run(&mut ann, &mut bob, 3.0);
            let (at_ann, at_bob) = (ann.report(), bob.report());
            assert_eq!(
                (at_ann.digits_received().as_str(), at_bob.digits_received().as_str()),
                ("0*", "159#"),
                "{label}"
            );
            for (digit, pressed_ms) in
                at_bob.digits.iter().map(|d| (d, 120.0)).chain(at_ann.digits.iter().map(|d| (d, 160.0)))
            {
                let over = digit.duration_ms - pressed_ms;
                assert!((0.0..f64::from(ptime_ms)).contains(&over), "{label}: {digit:?}");
                assert_eq!((digit.markers, digit.ends), (1, 3), "{label}: {digit:?}");
                assert!(digit.off_line_ms.abs() < 1.0, "{label}: {digit:?}");
            }
            for report in [at_ann, at_bob] {
                assert_eq!((report.lost, report.duplicates, report.reordered), (0, 0, 0), "{label}");
                assert_eq!((report.ptime_violations, report.unknown_pt, report.strays), (0, 0, 0), "{label}");
                assert_eq!(report.ssrcs.len(), 1, "{label}");
                assert!(report.max_drift_ms.abs() < 1.0, "{label}: {}", report.max_drift_ms);
                assert!(
                    report.sr_off_line_ms.is_some_and(|ms| ms.abs() < 10.0),
                    "{label}: {:?}",
                    report.sr_off_line_ms
                );
                assert_eq!((report.sender_reports, report.reported_lost), (1, Some(0)), "{label}");
            }
        }
    }
}

#[test]
fn every_suite_secures_sound_and_reports() {
    for suite in Profile::ALL {
        for rtcp_mux in [false, true] {
            let label = format!("{}, mux {rtcp_mux}", suite.name());
            let mut wire = Wire::new();
            let options = pair(|phone| (phone.suites, phone.rtcp_mux) = (vec![suite], rtcp_mux));
            let (mut ann, mut bob) = call(&wire, options);
            wire.run(&mut ann, &mut bob, 1.5);
            assert_receives(&ann, 1_000.0, &label);
            assert_receives(&bob, 440.0, &label);
            assert_eq!((bob.report().auth_failures, bob.report().sender_reports), (0, 1), "{label}");
        }
    }
}

#[test]
fn of_several_suites_the_first_that_both_support_is_taken() {
    let wire = Wire::new();
    let (mut ann, mut bob) = pair(|_| ());
    ann.suites = vec![Profile::AeadAes256Gcm, Profile::AesCm128HmacSha1_32, Profile::AesCm128HmacSha1_80];
    bob.suites = vec![Profile::AesCm128HmacSha1_80, Profile::AesCm128HmacSha1_32];
    let (mut ann, mut bob) = (Phone::new(wire.now, ann), Phone::new(wire.now, bob));
    let answer = bob.answer(wire.now, &ann.offer()).unwrap();
    assert!(answer.contains("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:"), "{answer}");
    assert_eq!(ann.accept(wire.now, &answer), Ok(()));
    let mut plain = Phone::new(wire.now, PhoneOptions::new(BOB.parse().unwrap()));
    assert_eq!(plain.answer(wire.now, &ann.offer()), Err(SdpError::Bad("m= profile")));
}

#[test]
fn a_wrong_key_is_reported_and_nothing_is_decoded() {
    let mut wire = Wire::new();
    let suites = vec![Profile::AesCm128HmacSha1_80];
    let (mut ann, mut bob) = call(&wire, pair(|phone| phone.suites = suites.clone()));
    let mallory = PhoneOptions { suites, seed: 99, ..PhoneOptions::new(ANN.parse().unwrap()) };
    bob.answer(wire.now, &Phone::new(wire.now, mallory).offer()).unwrap();
    wire.run(&mut ann, &mut bob, 1.0);
    assert_eq!(bob.report().packets, 0);
    assert!(bob.report().auth_failures > 40);
    assert!(bob.recording().is_empty());
}

#[test]
fn loss_doubling_and_reordering_are_counted_as_they_happened() {
    let mut wire = Wire::new();
    let (mut ann, mut bob) = call(&wire, pair(|phone| phone.rtcp_mux = true));
    // The first packet must arrive, else its loss cannot be known.
    wire.run(&mut ann, &mut bob, 0.1);
    (wire.lost_per_mille, wire.doubled_per_mille, wire.late_per_mille) = (50, 30, 20);
    wire.run(&mut ann, &mut bob, 20.0);
    (wire.lost_per_mille, wire.doubled_per_mille, wire.late_per_mille) = (0, 0, 0);
    wire.run(&mut ann, &mut bob, 0.9);
    let report = bob.report();
    assert!(wire.lost > 20 && wire.doubled > 15 && wire.late > 10, "the wire did something");
    // Up to five of what the wire touched are RTCP.
    let near = |counted: u64, done: u64| counted <= done && done - counted <= 5;
    assert!(near(report.lost, wire.lost), "{} lost, counted {}", wire.lost, report.lost);
    assert!(near(report.duplicates, wire.doubled), "{} doubled, counted {}", wire.doubled, report.duplicates);
    assert!(near(report.reordered, wire.late), "{} late, counted {}", wire.late, report.reordered);
    assert!(report.max_drift_ms < -49.0 && report.drift_ms.abs() < 1.0, "{report:?}");
    assert!(report.jitter_ms > 0.0);
    assert_eq!(ann.report().lost, 0, "the other direction is untouched");
    let lost = ann.report().reported_lost.unwrap();
    assert!(lost > 0 && lost as u64 <= report.lost, "reported to Ann: {lost}");
}

#[test]
fn digits_survive_loss_of_some_of_their_packets() {
    let mut wire = Wire::new();
    let (mut ann, mut bob) = call(&wire, pair(|_| ()));
    wire.run(&mut ann, &mut bob, 0.1);
    wire.lost_per_mille = 100;
    "123456789*0#".chars().for_each(|digit| ann.press(digit, Duration::from_millis(100)));
    wire.run(&mut ann, &mut bob, 5.0);
    assert_eq!(bob.report().digits_received(), "123456789*0#");
    assert!(!ann.is_pressing());
}

#[test]
fn a_changed_ssrc_and_a_silent_start_show() {
    let mut wire = Wire::new();
    let (mut ann, mut bob) = call(&wire, pair(|phone| phone.silent = true));
    wire.run(&mut ann, &mut bob, 2.0);
    assert_eq!(bob.report().packets, 0);
    let started = wire.now;
    ann.set_silent(false);
    wire.run(&mut ann, &mut bob, 1.0);
    assert!(bob.report().first_rtp_at.is_some_and(|at| at - started < Duration::from_millis(50)));
    ann.change_ssrc();
    wire.run(&mut ann, &mut bob, 1.0);
    let report = bob.report();
    assert_eq!((report.ssrcs.len(), report.lost), (2, 0));
    assert!(bob.recording().len() > 15_000, "the second stream lies behind the first: {}", bob.recording().len());
    assert_receives(&bob, 440.0, "after the change");
}

#[test]
fn on_hold_one_side_falls_silent_and_comes_back_on_the_same_stream() {
    let mut wire = Wire::new();
    let (mut ann, mut bob) = call(&wire, pair(|phone| phone.suites = vec![Profile::AeadAes128Gcm]));
    wire.run(&mut ann, &mut bob, 1.0);
    ann.set_hold(true);
    let offer = ann.offer();
    assert!(offer.contains("a=sendonly\r\n"));
    let answer = bob.answer(wire.now, &offer).unwrap();
    assert!(answer.contains("a=recvonly\r\n"), "{answer}");
    ann.accept(wire.now, &answer).unwrap();
    wire.run(&mut ann, &mut bob, 0.1);
    let before = ann.report().packets;
    wire.run(&mut ann, &mut bob, 1.0);
    assert_eq!(ann.report().packets, before);
    ann.set_hold(false);
    let offer = ann.offer();
    let answer = bob.answer(wire.now, &offer).unwrap();
    ann.accept(wire.now, &answer).unwrap();
    wire.run(&mut ann, &mut bob, 1.0);
    let report = ann.report();
    assert_eq!((report.lost, report.ssrcs.len(), report.auth_failures), (0, 1, 0));
    assert!(report.longest_gap > Duration::from_secs(1) && report.drift_ms.abs() < 1.0);
}

#[test]
fn a_phone_behind_nat_signals_one_address_and_uses_another() {
    let mut wire = Wire::new();
    let (mut ann, bob) = pair(|_| ());
    ann.sends_from = Some("203.0.113.9:61000".parse().unwrap());
    let (mut ann, mut bob) = call(&wire, (ann, bob));
    assert!(ann.offer().contains("c=IN IP4 192.0.2.1\r\n"));
    wire.run(&mut ann, &mut bob, 1.0);
    assert_eq!(bob.report().packets, 0, "Bob believes nothing but what was signalled");
    assert!(bob.report().strays > 40);
}

#[test]
fn ipv6_is_an_address_like_any_other() {
    let mut wire = Wire::new();
    let (mut ann, mut bob) = pair(|_| ());
    (ann.rtp, bob.rtp) = ("[2001:db8::1]:4000".parse().unwrap(), "[2001:db8::2]:4000".parse().unwrap());
    let (mut ann, mut bob) = call(&wire, (ann, bob));
    wire.run(&mut ann, &mut bob, 1.0);
    assert_receives(&bob, 440.0, "IPv6");
}
