//! Descriptions that Meta is known to accept or to write, and the rules that some of them break.

use super::*;

/// Samples in Meta's documentation that break rules, with these rules.
const ODD: &[(&str, &[Rule])] = &[
    // A browser offers all it has, and gathers later; Meta took the offer. Its a=ptime is the default.
    (
        "business_initiated.graph_webrtc.browser_offer",
        &[Rule::Candidates, Rule::PtimeExplicit, Rule::Trickle, Rule::CodecList, Rule::CodecList, Rule::CodecList],
    ),
    // The same from Meta's example of an answer: no candidate, no a=ptime.
    ("user_initiated.graph_webrtc.partner_answer", &[Rule::Candidates, Rule::PtimeExplicit]),
];

fn who(name: &str) -> (Writer, Role) {
    let writer = if name.contains("meta") { Writer::Meta } else { Writer::Us };
    (writer, if name.ends_with("offer") { Role::Offer } else { Role::Answer })
}

#[test]
fn samples_of_meta_break_only_the_known_rules() {
    for (name, text) in META {
        let (writer, role) = who(name);
        let report = lint(text, &context_of(writer, role));
        let odd = ODD.iter().find(|(odd, _)| *odd == name).map_or(&[][..], |(_, rules)| rules);
        let mut found: Vec<Rule> = report.findings.iter().map(|finding| finding.rule).collect();
        found.sort();
        let mut expected = odd.to_vec();
        expected.sort();
        assert_eq!(found, expected, "{name}\n{}", report.text(name));
        assert!(!report.has_errors());
    }
}

#[test]
fn answers_fit_their_offers() {
    for (offer, answer) in [
        ("business_initiated.graph_webrtc.browser_offer", "business_initiated.graph_webrtc.meta_answer"),
        ("business_initiated.sip_sdes.partner_offer", "business_initiated.sip_sdes.meta_answer"),
        ("user_initiated.graph_webrtc.meta_offer", "user_initiated.graph_webrtc.partner_answer"),
        ("user_initiated.sip_sdes.meta_offer", "user_initiated.sip_sdes.partner_answer"),
    ] {
        let context = Context { writer: Some(who(answer).0), role: None, offer: Some(meta_sample(offer)) };
        let report = lint(meta_sample(answer), &context);
        assert_eq!(report.role, Some(Role::Answer));
        let alone = lint(meta_sample(answer), &context_of(who(answer).0, Role::Answer));
        assert_eq!(broken(&report), broken(&alone), "{answer}: the offer adds nothing");
    }
}

#[test]
fn writer_and_role_can_be_guessed() {
    for (name, text) in META {
        let report = lint(text, &Context::default());
        let (writer, role) = who(name);
        assert_eq!((report.writer, report.writer_guessed), (Some(writer), true), "{name}");
        let sdes = name.contains("sdes");
        assert_eq!(report.role, (!sdes).then_some(role), "{name}: the halves of SDES cannot be distinguished");
    }
    assert_eq!(lint(PHONE, &Context::default()).writer, Some(Writer::Phone));
}

#[test]
fn descriptions_of_trestle_and_of_a_phone_have_no_finding() {
    for (text, writer, role) in [
        (ANSWER.to_owned(), Writer::Us, Role::Answer),
        (ANSWER.replace("setup:active", "setup:actpass"), Writer::Us, Role::Offer),
        (SDES.to_owned(), Writer::Us, Role::Answer),
        (SDES.to_owned(), Writer::Us, Role::Offer),
        (PHONE.to_owned(), Writer::Phone, Role::Offer),
        // Line ends matter only to Meta.
        (PHONE.replace("\r\n", "\n"), Writer::Phone, Role::Offer),
    ] {
        assert_eq!(broken(&lint(&text, &context_of(writer, role))), [""; 0]);
    }
}

#[test]
fn a_description_is_found_in_any_json_around_it() {
    let sdp = serde_json::to_string(ANSWER).unwrap();
    let offer = serde_json::to_string(meta_sample("user_initiated.sip_webrtc.meta_offer")).unwrap();
    let session = |kind: &str, sdp: &str| format!(r#""session":{{"sdp_type":"{kind}","sdp":{sdp}}}"#);
    for (json, writer, role) in [
        (sdp.clone(), Writer::Us, Role::Answer),
        (format!(r#"{{"type":"answer","sdp":{sdp}}}"#), Writer::Us, Role::Answer),
        (format!(r#"{{"result":"ok","sdp":{sdp}}}"#), Writer::Us, Role::Answer),
        (format!(r#"{{"sdp_type":"answer","sdp":{sdp}}}"#), Writer::Us, Role::Answer),
        (format!(r#"{{"action":"pre_accept",{}}}"#, session("answer", &sdp)), Writer::Us, Role::Answer),
        (
            format!(
                r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"calls","value":
                {{"calls":[{{"id":"wacid.1","event":"connect","direction":"USER_INITIATED",
                "connection":{{"webrtc":{{"sdp":{offer}}}}},{}}}]}}}}]}}]}}"#,
                session("offer", &offer)
            ),
            Writer::Meta,
            Role::Offer,
        ),
    ] {
        let report = lint(&json, &Context::default());
        assert_eq!((report.writer, report.role), (Some(writer), Some(role)), "{json}");
        assert_eq!(broken(&report), [""; 0], "{json}");
    }
}

#[test]
fn text_that_is_no_description_is_reported_as_none() {
    for text in ["", "\r\n\r\n", "{}", "[]", "\"\"", "{\"sdp\":1}", "hello", "\u{0}", "v", "v=0"] {
        let report = lint(text, &Context::default());
        assert!(report.has_errors(), "{text:?}");
        assert!(
            broken(&report)
                .iter()
                .all(|rule| ["readable", "line-form", "one-media", "session-lines", "line-ends"].contains(rule)),
            "{text:?} {:?}",
            broken(&report)
        );
    }
}
