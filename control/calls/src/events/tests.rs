//! Every event, as a line.

use trestle_core::{LegFailure, Milestone};
use trestle_negotiate::GateState;
use trestle_wire::telephone_event::Digit;

use super::*;
use crate::ended::EndedBy;

/// One of each event, with the JSON of its own fields.
fn every_event() -> Vec<(EventBody, &'static str)> {
    let ms = Duration::from_millis;
    let at_risk = EventBody::AtRisk {
        risk: RiskName::DtlsStuck,
        stage: Milestone::IceConnected,
        lasted: ms(10_000),
        reason: "\"why\"".to_owned(),
    };
    let leg = EndedLeg {
        tag: Some("wa".to_owned()),
        label: None,
        packets_in: 500,
        packets_out: 490,
        packets_lost: -1,
        concealed_frames: 2,
        filled_frames: 3,
        preroll: ms(1_500),
        clipped: ms(0),
        caught_up: Some(ms(6_200)),
    };
    let without_names = EndedLeg { tag: None, preroll: ms(0), caught_up: None, ..leg.clone() };
    let ended = EventBody::Ended { cause: EndedBy::Deleted, legs: vec![leg, without_names], verdict: None };
    vec![
        (EventBody::Opened, ""),
        (EventBody::Answered, ""),
        (EventBody::IceConnected, ""),
        (EventBody::DtlsConnected, ""),
        (EventBody::GateOpened, ""),
        (EventBody::GateClosed, ""),
        (EventBody::GateTimedOut { gate: GateState::TimedOut }, r#","gate":"shut""#),
        (EventBody::FirstMediaIn, ""),
        (EventBody::FirstMediaOut, ""),
        (EventBody::CaughtUp, ""),
        (
            EventBody::Digit { digit: Digit::from_char('#').unwrap(), duration: ms(500), volume: Dbm0(10) },
            r##","digit":"#","duration-ms":500,"volume":10"##,
        ),
        (at_risk, r#","risk":"dtls-stuck","stage":"ice-connected","lasted-ms":10000,"reason":"\"why\"""#),
        (EventBody::Recovered { risk: RiskName::OneWay }, r#","risk":"one-way""#),
        (EventBody::LegFailed { failure: LegFailure::DtlsClosed }, r#","reason":"peer closed DTLS""#),
        (EventBody::MediaTimeout, ""),
        (
            ended,
            concat!(
                r#","cause":"deleted","legs":[{"tag":"wa","packets-in":500,"packets-out":490,"packets-lost":-1,"#,
                r#""concealed-frames":2,"filled-frames":3,"pre-roll-ms":1500,"clipped-ms":0,"caught-up-ms":6200},"#,
                r#"{"packets-in":500,"packets-out":490,"packets-lost":-1,"concealed-frames":2,"filled-frames":3,"#,
                r#""pre-roll-ms":0,"clipped-ms":0}]"#,
            ),
        ),
    ]
}

#[test]
fn every_event_is_one_line_with_its_call_and_its_party() {
    let events = every_event();
    let table: Vec<&str> = EventBody::table().into_iter().map(|event| event.name).collect();
    assert_eq!(events.iter().map(|(body, _)| body.name()).collect::<Vec<_>>(), table);
    for (body, fields) in events {
        let name = body.name();
        let event = CallEvent {
            id: 7,
            unix: Duration::from_millis(1_795_310_851_123),
            after: Duration::from_micros(2_345_678),
            call_id: "wacid.\n1".to_owned(),
            party: Some(PartyName { tag: Some("wa".to_owned()), label: Some("caller".to_owned()) }),
            body,
        };
        assert_eq!(
            event.line(),
            format!(
                r#"{{"event":"{name}","event-id":7,"time-ms":1795310851123,"call-id":"wacid.\n1","tag":"wa","label":"caller","after-ms":2345{fields}}}"#
            )
        );
    }
}

#[test]
fn every_risk_has_a_reason_of_its_own_that_names_the_party() {
    use trestle_ng::command::flags::ProfileName;
    let mut reasons: Vec<String> =
        RiskName::ALL.map(|risk| reason(risk, Milestone::DtlsConnected, ProfileName::Sip)).into();
    assert!(reasons.iter().all(|reason| reason.contains("the SIP side")), "{reasons:#?}");
    let stages = [Milestone::Opened, Milestone::FirstCheck, Milestone::IceConnected, Milestone::DtlsConnected];
    reasons.extend(stages.map(|stage| reason(RiskName::NothingSent, stage, ProfileName::Whatsapp)));
    let count = reasons.len();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), count);
}
