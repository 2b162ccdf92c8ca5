//! Every kind of event, as a line.

use super::*;

fn party(tag: &str) -> PartyName {
    PartyName { tag: Some(tag.to_owned()), label: None }
}

/// One of each kind, with what it says of itself.
fn every_kind() -> Vec<(Kind, &'static str)> {
    let ms = Duration::from_millis;
    let at_risk = Kind::AtRisk {
        risk: RiskName::DtlsStuck,
        stage: Milestone::IceConnected,
        lasted: ms(10_000),
        reason: "\"why\"".to_owned(),
    };
    let preroll = Preroll { kept: ms(1_500), clipped: ms(0), caught_up: Some(ms(6_200)) };
    let leg = EndedLeg {
        party: party("wa"),
        packets_in: 500,
        packets_out: 490,
        packets_lost: -1,
        concealed_frames: 2,
        filled_frames: 3,
        preroll,
    };
    let nobody = EndedLeg { party: PartyName::default(), preroll: Preroll::default(), ..leg.clone() };
    let ended = Kind::Ended(Ended { cause: EndedBy::Deleted, legs: vec![leg, nobody], verdict: None });
    vec![
        (Kind::Opened, ""),
        (Kind::Answered, ""),
        (Kind::IceConnected, ""),
        (Kind::DtlsConnected, ""),
        (Kind::GateOpened, ""),
        (Kind::GateClosed, ""),
        (Kind::GateTimedOut { gate: GateState::TimedOut }, r#","gate":"shut""#),
        (Kind::FirstMediaIn, ""),
        (Kind::FirstMediaOut, ""),
        (Kind::CaughtUp, ""),
        (
            Kind::Digit { digit: Digit::from_char('#').unwrap(), duration: ms(500), volume: 10 },
            r##","digit":"#","duration-ms":500,"volume":10"##,
        ),
        (at_risk, r#","risk":"dtls-stuck","stage":"ice-connected","lasted-ms":10000,"reason":"\"why\"""#),
        (Kind::Recovered { risk: RiskName::OneWay }, r#","risk":"one-way""#),
        (Kind::LegFailed { failure: LegFailure::DtlsClosed }, r#","reason":"peer closed DTLS""#),
        (Kind::MediaTimeout, ""),
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
fn every_event_is_one_line_that_says_which_call_and_who() {
    let kinds = every_kind();
    assert_eq!(kinds.iter().map(|(kind, _)| kind.name()).collect::<Vec<_>>(), Kind::NAMES);
    for (kind, says) in kinds {
        let name = kind.name();
        let event = CallEvent {
            id: 7,
            unix: Duration::from_millis(1_795_310_851_123),
            after: Duration::from_micros(2_345_678),
            call_id: "wacid.\n1".to_owned(),
            party: Some(PartyName { tag: Some("wa".to_owned()), label: Some("caller".to_owned()) }),
            kind,
        };
        assert_eq!(
            event.line(),
            format!(
                r#"{{"event":"{name}","event-id":7,"time-ms":1795310851123,"call-id":"wacid.\n1","tag":"wa","label":"caller","after-ms":2345{says}}}"#
            )
        );
    }
}

#[test]
fn the_schema_knows_every_name() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../ng/schema/events.schema.json")).unwrap();
    let listed = |schema: &serde_json::Value| -> Vec<String> {
        let names = schema["enum"].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let properties = &schema["$defs"]["event"]["properties"];
    assert_eq!(listed(&schema["$defs"]["event-name"]), Kind::NAMES);
    assert_eq!(listed(&properties["risk"]), RiskName::ALL.map(RiskName::name));
    let stages = [
        Milestone::Opened,
        Milestone::RemoteKnown,
        Milestone::FirstCheck,
        Milestone::IceConnected,
        Milestone::DtlsConnected,
        Milestone::Latched,
        Milestone::FirstMediaIn,
        Milestone::FirstMediaOut,
        Milestone::GateOpened,
        Milestone::CaughtUp,
    ];
    assert_eq!(listed(&properties["stage"]), stages.map(stage));
    let causes =
        [EndedBy::Deleted, EndedBy::OfferTimeout, EndedBy::MediaTimeout, EndedBy::SilentTimeout, EndedBy::Failed];
    assert_eq!(listed(&properties["cause"]), causes.map(EndedBy::name));
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
