//! Tests of the text and JSON of a report.

use proptest::prelude::*;

use super::*;

#[test]
fn a_verdict_reads_as_it_is_documented() {
    let text = ANSWER.replace("a=mid", "a=fingerprint:sha-512 00\r\na=mid");
    let shown = lint(&text, &Context::default()).text("answer.sdp");
    assert_eq!(
        shown,
        "answer.sdp: from us (guessed), answer (guessed)

error[one-fingerprint] line 14: there are 2 fingerprints: sha-256, sha-512
    a=fingerprint:sha-512 00
  rule: with DTLS there is exactly one a=fingerprint
  why:  This is the most frequent cause of 138008 (subcode 2593093). If there is none, Meta's text is \"No fingerprint found in SDP\".
  fix:  Keep the sha-256 line and remove the others. Some stacks add sha-384 and sha-512.

1 error, 0 warnings, 0 hints
"
    );
    assert_eq!(lint(ANSWER, &context_of(Writer::Us, Role::Answer)).text("-"), "-: from us, answer\nno findings\n");
}

#[test]
fn programs_get_the_same_as_json() {
    let text = ANSWER.replace("ptime:20", "ptime:30");
    let json = lint(&text, &context_of(Writer::Us, Role::Answer)).json();
    assert_eq!((&json["from"], &json["role"], &json["errors"]), (&"us".into(), &"answer".into(), &1.into()));
    let finding = &json["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["severity"], &finding["line"]),
        (&"ptime".into(), &"error".into(), &21.into())
    );
    assert_eq!(finding["meta_error"], serde_json::Value::Null);
}

#[test]
fn no_key_and_no_password_is_shown() {
    let bad = SDES.replace("NTY3ODk6", "");
    let report = lint(&bad, &context_of(Writer::Us, Role::Offer));
    let shown = report.text("x") + &report.json().to_string();
    assert!(shown.contains("a=crypto:...") && !shown.contains("HR4fIC"), "{shown}");
    let bad = ANSWER.replace("a=ice-pwd:0123456789abcdefghijkl", "a=ice-pwd:secret");
    let report = lint(&bad, &context_of(Writer::Us, Role::Answer));
    let shown = report.text("x") + &report.json().to_string();
    assert!(shown.contains("a=ice-pwd:...") && !shown.contains("secret"), "{shown}");
}

#[test]
fn names_of_rules_are_unique_words() {
    let ids: std::collections::BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(ids.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert_eq!(Rule::by_id(rule.id()), Some(*rule));
        assert!(rule.id().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.id());
        assert!(!rule.writers().is_empty());
        // The texts are cells of a Markdown table.
        assert!(!format!("{:?}", rule.explain()).contains('|'));
    }
}

#[test]
fn the_document_contains_the_table_of_rules() {
    let document = include_str!("../../../../../docs/TOOLS.md");
    assert!(document.contains(&table()), "the table in docs/TOOLS.md should read\n{}", table());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_causes_a_panic(text in "\\PC{0,200}", cut in 0..ANSWER.len(), writer in 0..3usize) {
        let context = Context { writer: Some(Writer::ALL[writer]), role: None, offer: Some(&text) };
        lint(&text, &context);
        let mixed = format!("{}{text}{}", &ANSWER[..cut], &ANSWER[cut..]);
        lint(&mixed, &context).text(&text);
    }
}
