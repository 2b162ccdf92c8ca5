//! One good call, and everything that can be wrong with it, one at a time.

#![allow(clippy::disallowed_methods, reason = "a report has to be of some time")]

use std::time::Instant;

use trestle_peers::{IceReport, Report};

use super::*;

fn digit(digit: char, duration_ms: f64) -> ReceivedDigit {
    ReceivedDigit { digit, at: Instant::now(), duration_ms, updates: 24, ends: 3, markers: 1, off_line_ms: 0.0 }
}

fn press(by: DemoParty, digit: char, ms: u64) -> ScriptedPress {
    ScriptedPress { by, digit, length: Duration::from_millis(ms), at: Duration::ZERO }
}

fn good(listener: DemoParty) -> Hearing {
    let (by, pressed) = match listener {
        DemoParty::Phone => (DemoParty::WhatsApp, [('5', 500), ('#', 500)]),
        DemoParty::WhatsApp => (DemoParty::Phone, [('2', 120), ('*', 360)]),
    };
    let pressed: Vec<ScriptedPress> = pressed.iter().map(|(digit, ms)| press(by, *digit, *ms)).collect();
    Hearing {
        listener,
        report: Report {
            packets: 500,
            ssrcs: vec![1],
            longest_gap: Duration::from_millis(22),
            digits: pressed.iter().map(|p| digit(p.digit, p.length.as_secs_f64() * 1e3)).collect(),
            ..Report::default()
        },
        sent_by_other: 500,
        lost_on_the_way: 0,
        slip_ms: -0.4,
        speech: Some(Speech {
            similarity: 0.98,
            delay_ms: 8.0,
            missing_ms: 40.0,
            first_word_ms: 100.0,
            said_dbov: -20.0,
            heard_dbov: -20.3,
            hole_ms: 0,
        }),
        clipped_peaks: 0,
        pressed,
    }
}

fn meta() -> MetaReport {
    let ice = IceReport { controlling: Some(true), regular_nomination: Some(true), ..IceReport::default() };
    MetaReport { ice: Some(ice), ssrc_as_signalled: Some(true), ..MetaReport::default() }
}

fn judged(meta: &MetaReport, hearings: &[Hearing]) -> Vec<String> {
    judge(None, meta, Flavour::WebRtc, hearings).into_iter().map(|fault| fault.what).collect()
}

#[test]
fn a_good_call_has_no_fault() {
    assert_eq!(judged(&meta(), &[good(DemoParty::Phone), good(DemoParty::WhatsApp)]), Vec::<String>::new());
}

#[test]
fn a_call_that_was_never_connected_has_one_fault_and_none_that_follows_from_it() {
    let deaf = Hearing { report: Report::default(), speech: None, ..good(DemoParty::Phone) };
    let faults = judge(Some("Trestle refused the offer: no"), &MetaReport::default(), Flavour::WebRtc, &[deaf]);
    assert_eq!(faults.iter().map(|f| f.what.as_str()).collect::<Vec<_>>(), ["Trestle refused the offer: no"]);
}

#[test]
fn each_fault_of_the_received_audio_is_reported_once() {
    type Change = fn(&mut Hearing);
    fn speech(hearing: &mut Hearing) -> &mut Speech {
        hearing.speech.as_mut().unwrap()
    }
    let table: &[(Change, &str)] = &[
        (|h| h.report.packets = 0, "the phone received nothing at all"),
        (|h| h.speech = None, "the phone did not receive the speech"),
        (|h| speech(h).similarity = 0.7, "what the phone received is only 0.70 like the sent audio"),
        (|h| speech(h).heard_dbov = -26.0, "the phone received -26 dBov of -20 dBov"),
        (|h| speech(h).missing_ms = 180.0, "the phone missed the first 80 ms of the first word"),
        (|h| speech(h).hole_ms = 60, "the phone received 60 ms of silence where there was speech"),
        (|h| h.clipped_peaks = 3, "the phone received 3 clipped peaks"),
        (|h| h.report.lost = 2, "sequence numbers missing at the phone: 2"),
        (|h| h.report.duplicates = 1, "packets that came twice at the phone: 1"),
        (|h| h.report.reordered = 1, "packets out of order at the phone: 1"),
        (|h| h.report.unknown_pt = 9, "packets of a payload type not agreed on at the phone: 9"),
        (|h| h.report.ptime_violations = 1, "packets not as long as agreed at the phone: 1"),
        (|h| h.report.undecodable = 1, "packets that cannot be decoded at the phone: 1"),
        (|h| h.report.auth_failures = 1, "packets that did not authenticate at the phone: 1"),
        (|h| h.report.strays = 1, "datagrams from elsewhere or of no known kind at the phone: 1"),
        (|h| h.report.ssrcs.push(2), "the phone saw 2 SSRCs"),
        (|h| h.slip_ms = -487.0, "RTP clock and wall clock are -487 ms apart at the phone"),
        (|h| h.report.longest_gap = Duration::from_millis(900), "the phone received nothing for 900 ms"),
        (|h| h.report.digits.clear(), "the phone should receive the digits 5#, received none"),
        (|h| h.report.digits.insert(0, digit('5', 500.0)), "the phone should receive the digits 5#, received 55#"),
        (|h| h.report.digits.swap(0, 1), "the phone should receive the digits 5#, received #5"),
        (|h| h.report.digits[0].duration_ms = 120.0, "the phone received digit 5 for 120 ms, pressed for 500 ms"),
        (|h| h.report.digits[0].off_line_ms = 600.0, "digit 5 at the phone is +600 ms off the time line of the audio"),
        (|h| h.report.digits[1].ends = 0, "digit # never ended at the phone"),
    ];
    for (change, expected) in table {
        let mut hearing = good(DemoParty::Phone);
        change(&mut hearing);
        assert_eq!(judged(&meta(), &[hearing, good(DemoParty::WhatsApp)]), [*expected]);
    }
}

#[test]
fn silence_missing_before_the_first_word_and_one_packet_of_a_digit_are_forgiven() {
    let mut hearing = good(DemoParty::WhatsApp);
    hearing.speech.as_mut().unwrap().missing_ms = 110.0;
    hearing.report.digits[0].duration_ms = 140.0;
    hearing.slip_ms = 19.0;
    assert_eq!(judged(&meta(), &[hearing]), Vec::<String>::new());
}

#[test]
fn what_the_network_lost_is_not_held_against_the_bridge() {
    let mut hearing = good(DemoParty::Phone);
    (hearing.lost_on_the_way, hearing.report.lost) = (3, 3);
    let speech = hearing.speech.as_mut().unwrap();
    (speech.hole_ms, speech.similarity) = (60, 0.8);
    assert_eq!(judged(&meta(), &[hearing.clone()]), Vec::<String>::new());
    hearing.report.lost = 4;
    assert_eq!(judged(&meta(), &[hearing]), ["sequence numbers missing at the phone: 1"]);
}

#[test]
fn what_whatsapp_does_not_like_is_a_fault_even_if_audio_flows() {
    type Change = fn(&mut MetaReport);
    fn ice(meta: &mut MetaReport) -> &mut IceReport {
        meta.ice.as_mut().unwrap()
    }
    let table: &[(Change, &str)] = &[
        (|m| m.sdp_remarks.push("a=ptime:20".to_owned()), "SDP not as WhatsApp asks: a=ptime:20"),
        (|m| m.ssrc_as_signalled = Some(false), "WhatsApp received another SSRC than a=ssrc announced"),
        (|m| ice(m).controlling = Some(false), "Trestle did not take the controlling role"),
        (|m| ice(m).regular_nomination = Some(false), "nomination was not regular"),
        (|m| ice(m).switches = 1, "the ICE pair was switched 1 times"),
        (|m| ice(m).media_before_nomination = 4, "4 packets before the nomination"),
        (|m| ice(m).consent_gaps = 1, "consent was missed 1 times"),
    ];
    for (change, expected) in table {
        let mut meta = meta();
        change(&mut meta);
        assert_eq!(judged(&meta, &[]), [*expected]);
    }
    let faults =
        judge(None, &MetaReport { ssrc_as_signalled: Some(true), ..MetaReport::default() }, Flavour::Sdes, &[]);
    assert_eq!(faults, [], "SDES has no ICE to be judged");
}
