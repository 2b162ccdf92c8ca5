mod client;

use super::*;
use crate::wire::{Machine, Wire};
use crate::{Phone, PhoneOptions, ear};
use client::Client;

const META: &str = "198.51.100.40:3480";
const US: &str = "192.0.2.5:30000";

fn tone(hz: f64) -> Voice {
    Voice::Tone { hz, peak: 10_000 }
}

fn options(flavour: Flavour) -> MetaOptions {
    MetaOptions { voice: tone(440.0), ..MetaOptions::new(META.parse().unwrap(), flavour) }
}

fn assert_tone(recorded: &[i16], hz: f64) {
    let tone = ear::tone_hz(recorded, 16_000);
    assert!(tone.is_some_and(|tone| (tone - hz).abs() < 5.0), "measured {tone:?}, not {hz}");
}

/// Meta calls; the answer is `active`.
fn user_initiated(wire: &Wire, options: MetaOptions) -> (Meta, Client) {
    let mut meta = Meta::new(wire.now, options);
    let mut client = Client::new(wire.now, US.parse().unwrap(), (111, 126), tone(1_000.0));
    let offer = meta.offer(wire.now).unwrap();
    client.learn(wire.now, &offer, true);
    meta.accept(wire.now, &client.text("audio", "active")).unwrap();
    (meta, client)
}

/// Meta is called; `setup` is what it answers.
fn business_initiated(wire: &Wire, setup: SetupAnswer, client_is_dtls_client: bool) -> (Meta, Client) {
    let mut meta = Meta::new(wire.now, MetaOptions { setup, padded_pwd: true, ..options(Flavour::WebRtc) });
    let mut client = Client::new(wire.now, US.parse().unwrap(), (107, 101), tone(1_000.0));
    let offer = client.text("0", "actpass");
    let answer = meta.answer(wire.now, &offer).unwrap();
    assert!(answer.contains("a=group:BUNDLE 0\r\n") && answer.contains("SAVPF 107 101\r\n"), "{answer}");
    assert!(answer.contains("==\r\n"), "the password is padded");
    client.learn(wire.now, &answer, client_is_dtls_client);
    (meta, client)
}

fn run_with_digits(wire: &mut Wire, meta: &mut Meta, client: &mut Client) {
    wire.run(meta, client, 1.5);
    "15".chars().for_each(|digit| meta.press(digit));
    client.talker.press(Digit::from_char('#').unwrap(), Duration::from_millis(160));
    wire.run(meta, client, 3.0);
    assert_tone(&meta.recording()[..16_000], 1_000.0);
    assert_tone(&client.listener.pcm()[..16_000], 440.0);
    assert_eq!(client.listener.report.digits_received(), "15");
    let durations: Vec<f64> = client.listener.report.digits.iter().map(|digit| digit.duration_ms).collect();
    assert_eq!(durations, [500.0, 500.0]);
    let report = meta.report();
    assert_eq!(report.stream.digits_received(), "#");
    assert!((report.stream.digits[0].duration_ms - 160.0).abs() < 1.0);
    assert!(report.stream.digits[0].off_line_ms.abs() < 1.0);
    assert_eq!((report.stream.lost, report.stream.auth_failures, report.stream.ptime_violations), (0, 0, 0));
    assert!(report.stream.sender_reports >= 1 && report.stream.reception_reports >= 1, "{report:?}");
    assert_eq!((report.ssrc_as_signalled, report.stream.ssrcs.len()), (Some(true), 1));
}

#[test]
fn a_user_initiated_call_connects_and_meta_judges_it_well() {
    let mut wire = Wire::new();
    let (mut meta, mut client) = user_initiated(&wire, options(Flavour::WebRtc));
    run_with_digits(&mut wire, &mut meta, &mut client);
    let report = meta.report();
    let ice = report.ice.unwrap();
    assert_eq!((ice.controlling, ice.regular_nomination), (Some(true), Some(true)));
    assert_eq!((ice.switches, ice.media_before_nomination, ice.consent_gaps), (0, 0, 0));
    assert!(report.dtls_connected_at > ice.nominated_at);
    assert_eq!(report.sdp_remarks, Vec::<String>::new());
}

#[test]
fn a_business_initiated_call_connects_whatever_setup_meta_answers() {
    for (setup, client_is_dtls_client) in [
        (SetupAnswer::Active, false),
        (SetupAnswer::Passive, true),
        (SetupAnswer::ActpassThenActive, false),
        (SetupAnswer::ActpassThenPassive, true),
    ] {
        let mut wire = Wire::new();
        let (mut meta, mut client) = business_initiated(&wire, setup, client_is_dtls_client);
        run_with_digits(&mut wire, &mut meta, &mut client);
    }
}

#[test]
fn without_a_nomination_there_is_no_dtls() {
    // Both claim to be controlled. Whose tie-breaker is larger decides who gives way (RFC 8445 7.3.1.1), and str0m draws it.
    let mut wire = Wire::new();
    let (mut meta, mut client) = user_initiated(&wire, options(Flavour::WebRtc));
    client.set_controlling(false);
    wire.run(&mut meta, &mut client, 3.0);
    let report = meta.report();
    let ice = report.ice.unwrap();
    assert!(ice.checks > 0);
    assert_eq!(report.dtls_connected_at.is_some(), ice.nominated_at.is_some(), "{ice:?}");
}

#[test]
fn media_before_nomination_and_before_acceptance_is_counted() {
    let mut wire = Wire::new();
    let (mut meta, mut client) = user_initiated(&wire, options(Flavour::WebRtc));
    meta.ring();
    client.impatient = Some(META.parse().unwrap());
    client.handle_timeout(wire.now);
    wire.run(&mut meta, &mut client, 1.0);
    let report = meta.report();
    assert_eq!(report.ice.unwrap().media_before_nomination, 1);
    let early = report.stream.early_packets;
    assert!(early > 30, "the client talked while it rang: {early}");
    meta.accepted();
    wire.run(&mut meta, &mut client, 1.0);
    assert_eq!(meta.report().stream.early_packets, early);
}

#[test]
fn a_silent_meta_sends_nothing_and_still_receives() {
    let mut wire = Wire::new();
    let (mut meta, mut client) = user_initiated(&wire, MetaOptions { silent: true, ..options(Flavour::WebRtc) });
    wire.run(&mut meta, &mut client, 2.0);
    assert_eq!((client.listener.report.packets, meta.packets_sent()), (0, 0));
    assert_tone(meta.recording(), 1_000.0);
    meta.set_silent(false);
    wire.run(&mut meta, &mut client, 1.0);
    assert_tone(client.listener.pcm(), 440.0);
}

#[test]
fn loss_towards_meta_shows_in_its_report() {
    let mut wire = Wire::new();
    let (mut meta, mut client) = user_initiated(&wire, options(Flavour::WebRtc));
    wire.run(&mut client, &mut meta, 1.0);
    wire.lost_per_mille = 50;
    wire.run(&mut client, &mut meta, 10.0);
    wire.lost_per_mille = 0;
    wire.run(&mut client, &mut meta, 0.5);
    let lost = meta.report().stream.lost;
    // STUN and RTCP were lost too, if anything.
    assert!(wire.lost > 10 && lost <= wire.lost && wire.lost - lost < 5, "{} lost, {lost} noticed", wire.lost);
    assert!(meta.report().stream.longest_gap >= Duration::from_millis(40));
}

#[test]
fn an_sdes_meta_and_an_opus_phone_talk_in_both_call_directions() {
    for user_calls in [true, false] {
        let mut wire = Wire::new();
        let mut meta = Meta::new(wire.now, options(Flavour::Sdes));
        let phone = PhoneOptions {
            suites: vec![Profile::AesCm128HmacSha1_80],
            codecs: vec![Codec::Opus],
            event_pt: Some(101),
            rtcp_mux: true,
            voice: tone(1_000.0),
            ..PhoneOptions::new(US.parse().unwrap())
        };
        let mut phone = Phone::new(wire.now, phone);
        if user_calls {
            let answer = phone.answer(wire.now, &meta.offer(wire.now).unwrap()).unwrap();
            meta.accept(wire.now, &answer).unwrap();
        } else {
            let answer = meta.answer(wire.now, &phone.offer()).unwrap();
            assert!(answer.contains("RTP/SAVP 107 101\r\n"), "{answer}");
            phone.accept(wire.now, &answer).unwrap();
        }
        meta.press('7');
        phone.press('8', Duration::from_millis(100));
        wire.run(&mut meta, &mut phone, 3.0);
        assert_tone(meta.recording(), 1_000.0);
        let recorded = ear::tone_hz(phone.recording(), 8_000);
        assert!(recorded.is_some_and(|hz| (hz - 440.0).abs() < 5.0), "{recorded:?}");
        assert_eq!(
            (phone.report().digits_received(), meta.report().stream.digits_received()),
            ("7".into(), "8".into())
        );
        assert_eq!(phone.report().digits[0].duration_ms, 500.0);
        let report = meta.report();
        assert_eq!((report.stream.lost, report.stream.auth_failures, report.stream.sender_reports), (0, 0, 1));
        assert!(report.ice.is_none());
    }
}

#[test]
fn sdp_that_meta_refuses_is_refused_with_the_rule() {
    let mut wire = Wire::new();
    let mut meta = Meta::new(wire.now, options(Flavour::WebRtc));
    let mut client = Client::new(wire.now, US.parse().unwrap(), (111, 126), tone(1_000.0));
    let good = client.text("0", "actpass");
    let lite = good.replace("a=group", "a=ice-lite\r\na=group");
    let refusal = meta.answer(wire.now, &lite);
    assert_eq!(refusal, Err(SdpError::Invalid(vec!["two ICE-lite agents never connect".to_owned()])));
    let no_opus = good.replace("opus/48000/2", "G722/8000");
    assert!(matches!(meta.answer(wire.now, &no_opus), Err(SdpError::Invalid(_))));
    assert_eq!(meta.answer(wire.now, ""), Err(SdpError::NoAudio));
    assert!(meta.answer(wire.now, &good.replace("a=ptime:20\r\n", "")).is_ok());
    assert_eq!(meta.report().sdp_remarks, ["a=ptime:20"]);
    wire.run(&mut meta, &mut client, 0.1);
}

#[test]
fn whatsapp_hangs_up_when_nothing_comes_and_when_nothing_comes_any_more() {
    for flavour in [Flavour::WebRtc, Flavour::Sdes] {
        let mut wire = Wire::new();
        let accepted_at = wire.now;
        let mut meta = Meta::new(wire.now, options(flavour));
        // No peer answers the offer, but the application accepted the call.
        meta.offer(wire.now).unwrap();
        meta.be_impatient(wire.now, Patience::METAS);
        let mut absent = Phone::new(wire.now, PhoneOptions::new(US.parse().unwrap()));
        wire.run(&mut meta, &mut absent, 19.9);
        assert_eq!(meta.gave_up(), None);
        wire.run(&mut meta, &mut absent, 1.0);
        assert_eq!(meta.gave_up(), Some((accepted_at + Duration::from_secs(20), GaveUp::NoConnection)));
        assert_eq!(meta.poll_timeout(), None);
    }
    let mut wire = Wire::new();
    let (mut meta, mut client) = user_initiated(&wire, options(Flavour::WebRtc));
    // The real clocks, ten times faster.
    meta.be_impatient(wire.now, Patience { first: Duration::from_secs(2), later: Duration::from_secs(3) });
    wire.run(&mut meta, &mut client, 3.0);
    assert_eq!(meta.gave_up(), None, "media flows");
    // The line is cut.
    wire.lost_per_mille = 1_000;
    wire.run(&mut client, &mut meta, 2.9);
    assert_eq!(meta.gave_up(), None);
    wire.run(&mut client, &mut meta, 0.2);
    assert!(matches!(meta.gave_up(), Some((_, GaveUp::MediaStopped))), "{:?}", meta.gave_up());
}
