//! Simulated calls, each with the verdict that is expected.

use trestle_core::plan::Codec;
use trestle_core::report::Preroll;
use trestle_core::{Discard, LegFailure, LegId, Milestone};

use super::*;
use crate::events::{EventBody, RiskName};
use trestle_negotiate::GateState;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Security;

mod simulated_call;

use simulated_call::{SIP, SimulatedCall, WA, ms, party};

type Change = fn(&mut SimulatedCall);
/// The call, and its cause, grade, Meta's code and hints.
type Row = (&'static str, Change, EndCause, Grade, Option<u32>, &'static [Hint]);

const TABLE: &[Row] = &[
    ("a call as it should be", |_| {}, EndCause::Normal, Grade::Good, None, &[]),
    ("the same, not over", |c| c.ended = None, EndCause::Running, Grade::Good, None, &[]),
    (
        "not answered",
        |c| {
            c.history = CallHistory::default();
            c.ended = Some(EndedBy::OfferTimeout);
        },
        EndCause::Unanswered,
        Grade::None,
        None,
        &[],
    ),
    (
        "hung up at once",
        |c| {
            c.lasts(900);
            c.gets_to(Milestone::FirstCheck);
        },
        EndCause::TooShort,
        Grade::None,
        None,
        &[],
    ),
    (
        "ICE is never connected, and WhatsApp waits its 20 s",
        |c| {
            c.lasts(20_400);
            c.gets_to(Milestone::FirstCheck);
        },
        EndCause::IceNeverConnected,
        Grade::Bad,
        Some(138_021),
        &[],
    ),
    (
        "ICE is never connected, and a party hangs up before that",
        |c| {
            c.lasts(8_000);
            c.gets_to(Milestone::FirstCheck);
        },
        EndCause::IceNeverConnected,
        Grade::Bad,
        Some(138_023),
        &[],
    ),
    (
        "ICE is not connected yet, in an active call",
        |c| {
            c.ended = None;
            c.lasts(8_000);
            c.gets_to(Milestone::FirstCheck);
        },
        EndCause::IceNeverConnected,
        Grade::Bad,
        None,
        &[],
    ),
    (
        "DTLS is stuck",
        |c| {
            c.lasts(20_400);
            c.gets_to(Milestone::IceConnected);
        },
        EndCause::DtlsStuck,
        Grade::Bad,
        Some(138_021),
        &[],
    ),
    (
        "the wrong certificate",
        |c| {
            c.lasts(10_000);
            c.gets_to(Milestone::IceConnected);
            let failed = EventBody::LegFailed { failure: LegFailure::FingerprintMismatch };
            c.history.note(ms(4_400), Some(LegId(0)), &failed);
        },
        EndCause::FingerprintMismatch,
        Grade::Bad,
        Some(138_023),
        &[],
    ),
    (
        "the gate is never opened, and WhatsApp sends media",
        |c| {
            c.lasts(20_500);
            c.parties[WA].gate = Some(GateState::Shut);
            c.gets_nothing(WA);
        },
        EndCause::GateNeverOpened,
        Grade::Bad,
        Some(138_021),
        &[],
    ),
    (
        "the gate is never opened, because the call is not accepted",
        |c| {
            c.lasts(25_000);
            c.parties[WA].gate = Some(GateState::Closed);
            c.gets_nothing(WA);
            c.silence(WA);
        },
        EndCause::GateNeverOpened,
        Grade::None,
        None,
        &[],
    ),
    (
        "a shut gate in a call that rings",
        |c| {
            c.ended = None;
            c.parties[WA].gate = Some(GateState::Shut);
            c.gets_nothing(WA);
        },
        EndCause::Running,
        Grade::Good,
        None,
        &[],
    ),
    (
        "the same, and WhatsApp sends nothing",
        |c| {
            c.ended = None;
            c.parties[WA].gate = Some(GateState::Shut);
            c.gets_nothing(WA);
            c.silence(WA);
        },
        EndCause::Running,
        Grade::None,
        None,
        &[],
    ),
    (
        "the gate is opened when WhatsApp gives up",
        |c| {
            c.lasts(20_300);
            c.reached(WA, Milestone::GateOpened, 23_900);
            c.reached(WA, Milestone::FirstMediaOut, 23_910);
        },
        EndCause::GateOpenedLate,
        Grade::Bad,
        Some(138_021),
        &[],
    ),
    (
        "the gate is opened after long ringing",
        |c| {
            c.reached(WA, Milestone::GateOpened, 25_000);
            c.reached(WA, Milestone::FirstMediaOut, 25_010);
        },
        EndCause::Normal,
        Grade::Good,
        None,
        &[],
    ),
    (
        "the first media is late by 20 s",
        |c| {
            c.lasts(20_900);
            c.reached(WA, Milestone::IceConnected, 24_000);
            c.reached(WA, Milestone::DtlsConnected, 24_200);
            c.reached(WA, Milestone::FirstMediaOut, 24_210);
        },
        EndCause::MediaToWhatsappLate,
        Grade::Bad,
        Some(138_021),
        &[Hint::SlowMediaSetup],
    ),
    (
        "the first media takes 5 s",
        |c| c.reached(WA, Milestone::FirstMediaOut, 9_000),
        EndCause::Normal,
        Grade::Fair,
        None,
        &[Hint::SlowMediaSetup],
    ),
    (
        "a path, and nothing to send",
        |c| {
            c.lasts(20_400);
            c.gets_nothing(WA);
        },
        EndCause::NoMediaToWhatsapp,
        Grade::Bad,
        Some(138_021),
        &[],
    ),
    (
        "no more media in mid-call, until WhatsApp gives up",
        |c| c.risk(0, RiskName::NothingSent, 33_500),
        EndCause::MediaToWhatsappStopped,
        Grade::Bad,
        Some(138_021),
        &[],
    ),
    ("no media from WhatsApp", |c| c.silence(WA), EndCause::NoMediaFromWhatsapp, Grade::Bad, Some(138_022), &[]),
    (
        "no media from WhatsApp, in a call of some seconds",
        |c| {
            c.lasts(9_000);
            c.silence(WA);
        },
        EndCause::NoMediaFromWhatsapp,
        Grade::Bad,
        Some(138_020),
        &[],
    ),
    (
        "WhatsApp falls silent",
        |c| c.risk(0, RiskName::FellSilent, 33_000),
        EndCause::WhatsappFellSilent,
        Grade::Bad,
        Some(138_022),
        &[],
    ),
    (
        "no media from the phone, because it sends from another address",
        |c| {
            c.silence(SIP);
            c.legs[SIP].discards = vec![(Discard::ForeignSource, 2_900)];
        },
        EndCause::OneWay,
        Grade::Bad,
        None,
        &[Hint::ForeignSource],
    ),
    (
        "the phone is on hold and silent",
        |c| {
            c.silence(SIP);
            c.parties[SIP].sends = false;
        },
        EndCause::Normal,
        Grade::Good,
        None,
        &[],
    ),
    (
        "no media from any party",
        |c| {
            c.silence(WA);
            c.silence(SIP);
            c.ended = Some(EndedBy::MediaTimeout);
        },
        EndCause::NoMedia,
        Grade::Bad,
        Some(138_023),
        &[],
    ),
    (
        "consent is lost, and WhatsApp gives up",
        |c| {
            let failed = EventBody::LegFailed { failure: LegFailure::IceDisconnected };
            c.history.note(ms(40_000), Some(LegId(0)), &failed);
            c.risk(0, RiskName::FellSilent, 10_000);
        },
        EndCause::ConsentLost,
        Grade::Bad,
        Some(138_021),
        &[],
    ),
    (
        "consent is lost and comes back",
        |c| {
            let failed = EventBody::LegFailed { failure: LegFailure::IceDisconnected };
            c.history.note(ms(30_000), Some(LegId(0)), &failed);
            c.history.note(ms(32_000), Some(LegId(0)), &EventBody::Recovered { risk: RiskName::IceStuck });
        },
        EndCause::Normal,
        Grade::Good,
        None,
        &[],
    ),
    ("the SIP side is gone", |c| c.risk(1, RiskName::SipGone, 30_000), EndCause::SipSideGone, Grade::Bad, None, &[]),
    (
        "the SIP side is silent for a while",
        |c| {
            c.risk(1, RiskName::SipGone, 20_000);
            c.history.note(ms(33_000), Some(LegId(1)), &EventBody::Recovered { risk: RiskName::SipGone });
        },
        EndCause::Normal,
        Grade::Fair,
        None,
        &[Hint::MediaInterrupted],
    ),
    (
        "the end that a lost ACK brings",
        |c| c.lasts(32_100),
        EndCause::Normal,
        Grade::Good,
        None,
        &[Hint::SipAckTimeoutSuspected],
    ),
    ("held for an hour", |c| c.ended = Some(EndedBy::SilentTimeout), EndCause::HeldTooLong, Grade::None, None, &[]),
    (
        "the first words are lost",
        |c| c.legs[WA].preroll = Preroll { kept: ms(3_000), clipped: ms(700), caught_up: None },
        EndCause::Normal,
        Grade::Fair,
        None,
        &[Hint::Clipped],
    ),
    (
        "a network that loses 5 %",
        |c| {
            c.legs[WA].lost = 158;
            c.legs[SIP].concealed_frames = 150;
        },
        EndCause::Normal,
        Grade::Bad,
        None,
        &[Hint::PacketLoss],
    ),
    (
        "the engine loses the call",
        |c| {
            c.lost = true;
            c.ended = Some(EndedBy::Failed);
        },
        EndCause::InternalError,
        Grade::Bad,
        None,
        &[],
    ),
];

#[test]
fn each_end_has_its_cause_its_grade_and_its_meta_code() {
    let mut met: Vec<EndCause> = Vec::new();
    for (what, change, cause, grade, code, hints) in TABLE {
        let mut call = SimulatedCall::new();
        change(&mut call);
        let verdict = call.verdict();
        let got = (verdict.cause, verdict.grade, verdict.code.map(MetaCode::number), verdict.hints.as_slice());
        assert_eq!(got, (*cause, *grade, *code, *hints), "{what}: {verdict:#?}");
        met.push(*cause);
    }
    let missing: Vec<_> = EndCause::ALL.into_iter().filter(|cause| !met.contains(cause)).collect();
    assert!(missing.is_empty(), "no call for {missing:?}");
}

#[test]
fn every_bad_call_has_evidence_and_advice() {
    for (what, change, ..) in TABLE {
        let mut call = SimulatedCall::new();
        change(&mut call);
        let verdict = call.verdict();
        let paragraph = verdict.paragraph();
        assert!(paragraph.ends_with('.') && !paragraph.contains(".."), "{what}: {paragraph}");
        if verdict.grade == Grade::Bad && verdict.cause != EndCause::Normal {
            assert!(!verdict.evidence.is_empty(), "{what}: {paragraph}");
            assert!(paragraph.contains(verdict.cause.advice().expect("advice")), "{what}: {paragraph}");
        }
        let times: Vec<_> = verdict.timeline.iter().map(|moment| moment.at).collect();
        assert!(times.is_sorted() && !times.is_empty(), "{what}");
        // With the usual names, all of it fits into the longest reply.
        assert!(trestle_ng::json::write(&verdict.full()).len() < 6_000, "{what}");
        assert!(trestle_ng::json::write(&verdict.brief()).len() < 200, "{what}");
    }
}

#[test]
fn names_are_unique_and_408_goes_with_138021_alone() {
    let mut names: Vec<_> = EndCause::ALL.map(EndCause::name).into();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), EndCause::ALL.len());
    let codes = [
        MetaCode::RelayConnectionFailed,
        MetaCode::MediaReceiveTimeout,
        MetaCode::MediaTransmitTimeout,
        MetaCode::NoMediaSignals,
    ];
    let numbers = codes.map(|code| (code.number(), code.sip_status()));
    assert_eq!(numbers, [(138_020, None), (138_021, Some(408)), (138_022, None), (138_023, None)]);
}

#[test]
fn a_good_call_reads_like_this() {
    let mut call = SimulatedCall::new();
    call.legs[WA].digits_in = "12#".to_owned();
    call.legs[WA].preroll = Preroll { kept: ms(340), clipped: ms(0), caught_up: Some(ms(2_900)) };
    assert_eq!(
        call.verdict().paragraph(),
        "Good: the call ended normally 1 min 0 s after the answer, estimated MOS 4.3. The signalling ended it (`delete` with the tag \
         of WhatsApp). WhatsApp received its first media 330 ms after the answer (ICE 210 ms after the answer, DTLS 110 ms after \
         ICE); 340 ms of early audio were kept and played, none was lost. WhatsApp: 3000 packets received (0.0 % lost, jitter 4 ms), \
         3000 Opus packets sent (3 frames concealed), estimated MOS 4.3 (E-model). The SIP side: 3000 packets received (0.0 % lost, \
         jitter 4 ms), 3000 PCMA packets sent (3 frames concealed), estimated MOS 4.3 (E-model). WhatsApp pressed 3 digits."
    );
}

#[test]
fn a_bad_call_reads_like_this() {
    let mut call = SimulatedCall::new();
    call.lasts(20_400);
    call.gets_to(Milestone::FirstCheck);
    call.gets_nothing(SIP);
    assert_eq!(
        call.verdict().paragraph(),
        "Bad: no connectivity check with WhatsApp succeeded, so it had no media path. The signalling ended it (`delete` with the tag \
         of WhatsApp), 20.4 s after the answer. The first connectivity check was sent to WhatsApp 1 ms after the offer; none \
         succeeded within 20.4 s. This matches Meta's error 138021 \"Media receive timeout\", in SIP 408 \"RTP Timeout\". WhatsApp: 0 \
         packets received, 0 Opus packets sent. The SIP side: 3000 packets received (0.0 % lost, jitter 4 ms), 0 PCMA packets sent. \
         Check that the address in our SDP (`interface=LOCAL!PUBLIC`) is reachable from outside, that UDP to `port-min` to \
         `port-max` is open, and that the SDP of our reply was forwarded unchanged."
    );
}

#[test]
fn the_text_on_an_active_call_is_in_the_present_tense() {
    let mut call = SimulatedCall::new();
    call.ended = None;
    assert!(call.verdict().paragraph().starts_with("The call is active for 1 min 0 s, estimated MOS 4.3. "));
    call.silence(SIP);
    let wrong = "The call is active, with a fault: one-way audio: no media was received from the SIP side. ";
    assert!(call.verdict().paragraph().starts_with(wrong));
}

#[test]
fn two_parties_of_one_profile_are_named_with_their_tags() {
    let mut call = SimulatedCall::new();
    call.parties[WA] = party(0, "caller", ProfileName::Sip, Security::Plain, Codec::Pcma);
    call.silence(SIP);
    let verdict = call.verdict();
    assert_eq!((verdict.cause, verdict.about.as_deref()), (EndCause::OneWay, Some("the SIP side (agent)")));
}

#[test]
fn one_period_of_each_risk_is_kept_and_it_keeps_its_begin() {
    let mut history = CallHistory::default();
    let at_risk = |lasted| EventBody::AtRisk {
        risk: RiskName::SipGone,
        stage: Milestone::Opened,
        lasted: ms(lasted),
        reason: String::new(),
    };
    for n in 0..1_000 {
        let at = n * 100_000;
        history.note(ms(at + 10_000), Some(LegId(1)), &at_risk(10_000));
        history.note(ms(at + 20_000), Some(LegId(1)), &at_risk(20_000));
        assert_eq!(history.lasting(LegId(1), RiskName::SipGone), Some(ms(at)));
        history.note(ms(at + 30_000), Some(LegId(1)), &EventBody::Recovered { risk: RiskName::SipGone });
        assert_eq!(history.lasting(LegId(1), RiskName::SipGone), None);
    }
    assert_eq!(history.leg(LegId(1)).map(|leg| leg.risks.len()), Some(1));
}
