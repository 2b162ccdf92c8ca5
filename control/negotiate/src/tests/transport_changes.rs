//! A leg changes between RTP, SRTP with SDES, and ICE with DTLS-SRTP, by a re-offer of its peer or to it.

use trestle_core::plan::{Transport, WebRtcPlan};

use super::*;

fn browser() -> String {
    meta_sample("business_initiated.graph_webrtc.browser_offer").to_owned()
}

/// A browser's answer to our offer with DTLS.
fn browser_answer() -> String {
    browser().replace("a=setup:actpass", "a=setup:active")
}

fn kind(plan: &LegPlan) -> &'static str {
    match &plan.transport {
        Transport::Plain(_) => "RTP",
        Transport::Sdes { .. } => "SDES",
        Transport::WebRtc(_) => "DTLS",
    }
}

fn web_rtc(plan: &LegPlan) -> &WebRtcPlan {
    match &plan.transport {
        Transport::WebRtc(plan) => plan,
        other => panic!("{other:?}"),
    }
}

/// The three ways to secure media, as the re-offer of a party.
fn offers() -> [(&'static str, String); 3] {
    [("RTP", SIP_OFFER.to_owned()), ("SDES", SDES_OFFER.to_owned()), ("DTLS", browser())]
}

#[test]
fn the_offerers_leg_changes_with_the_answer_and_the_other_leg_stays() {
    for (before, first) in offers() {
        for (after, second) in offers() {
            let mut desk = Desk::new();
            let flags = Flags { transport_protocol: Some(Protocol::RtpAvp), ice: IceFlag::Remove, ..Flags::default() };
            let b = sip_answer("RTP/AVP", "8 101");
            let b = if before == "DTLS" { sip_answer("RTP/AVP", "8 126") } else { b };
            desk.offer(&signal(&first, "a", None, flags)).unwrap();
            let agreed = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
            assert_eq!(kind(&agreed.receiver.1), before);

            let offered = desk.offer(&signal(&second, "a", Some("b"), Flags::default())).unwrap();
            let sent = |plan: &LegPlan| (plan.transport.clone(), plan.send, plan.rtcp_mux);
            assert_eq!(sent(&offered.sender.1), sent(&agreed.receiver.1), "{before} to {after}: until the answer");
            assert!(offered.sdp.contains(" RTP/AVP "), "{before} to {after}: {}", offered.sdp);
            // A refused one leaves no trace, and an answer applies the last offer.
            let answered = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
            let plan = &answered.receiver.1;
            assert_eq!((kind(plan), kind(&answered.sender.1)), (after, "RTP"), "{before} to {after}");
            assert_eq!(plan.ssrc, agreed.receiver.1.ssrc);
            let protocol = second.lines().find(|line| line.starts_with("m=audio")).unwrap().split(' ').nth(2).unwrap();
            assert!(answered.sdp.contains(protocol), "{before} to {after}: {}", answered.sdp);
            let has = |start: &str| answered.sdp.lines().any(|line| line.starts_with(start));
            assert_eq!(
                (has("a=crypto:"), has("a=fingerprint:")),
                (after == "SDES", after == "DTLS"),
                "{}",
                answered.sdp
            );
            if after == "DTLS" && before != "DTLS" {
                assert!(!web_rtc(plan).remote.as_ref().unwrap().controlling, "the peer made this offer");
                assert!(has("a=setup:active"));
            }
        }
    }
}

#[test]
fn a_party_is_offered_another_protocol_if_transport_protocol_asks_for_it() {
    let to = [
        ("RTP", Protocol::RtpAvp, IceFlag::Remove, sip_answer("RTP/AVP", "8 101")),
        ("SDES", Protocol::RtpSavp, IceFlag::Remove, sip_answer("RTP/SAVP", "8 101")),
        ("DTLS", Protocol::UdpTlsRtpSavpf, IceFlag::Force, browser_answer()),
    ];
    for (before, first_protocol, first_ice, first) in &to {
        for (after, protocol, ice, second) in &to {
            let mut desk = Desk::new();
            let flags = |protocol: Protocol, ice: IceFlag| {
                let mut flags = Flags { transport_protocol: Some(protocol), ice, ..Flags::default() };
                flags.codec.transcode = list(&["opus"]);
                flags
            };
            desk.offer(&signal(SIP_OFFER, "a", None, flags(*first_protocol, *first_ice))).unwrap();
            let agreed = desk.answer(&signal(first, "a", Some("b"), Flags::default())).unwrap();
            assert_eq!(kind(&agreed.sender.1), *before);
            // Without the flag the leg stays.
            let offered = desk.offer(&signal(SIP_OFFER, "a", Some("b"), Flags::default())).unwrap();
            assert!(offered.sdp.contains(first_protocol.as_str()), "{}", offered.sdp);
            let offered = desk.offer(&signal(SIP_OFFER, "a", Some("b"), flags(*protocol, *ice))).unwrap();
            assert!(offered.sdp.contains(protocol.as_str()), "{before} to {after}: {}", offered.sdp);
            assert_eq!(
                offered.receiver.1.transport, agreed.sender.1.transport,
                "{before} to {after}: until the answer"
            );
            let answered = desk.answer(&signal(second, "a", Some("b"), Flags::default())).unwrap();
            assert_eq!((kind(&answered.sender.1), kind(&answered.receiver.1)), (*after, "RTP"), "{before} to {after}");
            if *after == "DTLS" {
                assert!(web_rtc(&answered.sender.1).remote.as_ref().unwrap().controlling, "Trestle made this offer");
            }
        }
    }
}

#[test]
fn a_leg_that_is_secured_again_has_other_secrets() {
    let flags = Flags { transport_protocol: Some(Protocol::RtpAvp), ice: IceFlag::Remove, ..Flags::default() };
    let b = sip_answer("RTP/AVP", "8 101");
    let mut desk = Desk::new();
    let mut seen: Vec<String> = Vec::new();
    for round in 0..3 {
        for (kind, offer) in offers() {
            desk.offer(&signal(&offer, "a", if round == 0 && kind == "RTP" { None } else { Some("b") }, flags.clone()))
                .unwrap();
            let written = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap().sdp;
            let secret = |line: &&str| line.starts_with("a=crypto:") || line.starts_with("a=ice-pwd:");
            let secrets: Vec<String> = written.lines().filter(secret).map(str::to_owned).collect();
            assert_eq!(secrets.len(), usize::from(kind != "RTP"), "{written}");
            for secret in secrets {
                assert!(!seen.contains(&secret), "{secret} again");
                seen.push(secret);
            }
        }
    }
}

#[test]
fn a_suite_may_change_in_a_re_offer_and_in_an_answer() {
    let suite = |plan: &LegPlan| match &plan.transport {
        Transport::Sdes { send_key, receive_key, .. } => {
            let suites = [send_key, receive_key].map(|key| key.as_ref().unwrap().profile().name());
            assert_eq!(suites[0], suites[1]);
            suites[0]
        }
        other => panic!("{other:?}"),
    };
    let mut desk = Desk::new();
    desk.offer(&signal(SDES_OFFER, "a", None, Flags::default())).unwrap();
    let b = sip_answer("RTP/SAVP", "8 101");
    let agreed = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(
        (suite(&agreed.receiver.1), suite(&agreed.sender.1)),
        ("AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80")
    );
    // A offers only the other one of its suites, and B takes another line than before.
    let one: String =
        SDES_OFFER.lines().filter(|line| !line.contains("AES_256")).map(|line| format!("{line}\r\n")).collect();
    let offered = desk.offer(&signal(&one, "a", Some("b"), Flags::default())).unwrap();
    let gcm = offered.sdp.lines().find(|line| line.contains("AEAD_AES_128_GCM")).unwrap();
    let tag = gcm.strip_prefix("a=crypto:").unwrap().split(' ').next().unwrap();
    let line = b.lines().find(|line| line.starts_with("a=crypto")).unwrap();
    let answer =
        b.replace(line, &format!("a=crypto:{tag} AEAD_AES_128_GCM inline:HR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3OA=="));
    let answered = desk.answer(&signal(&answer, "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(
        (suite(&answered.receiver.1), suite(&answered.sender.1)),
        ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM")
    );
    // Flags may take the suite in use away from a re-offer.
    let mut flags = Flags::default();
    flags.sdes.only = vec!["AES_CM_128_HMAC_SHA1_32".into()];
    let offered = desk.offer(&signal(&one, "a", Some("b"), flags)).unwrap();
    let lines: Vec<&str> = offered.sdp.lines().filter(|line| line.starts_with("a=crypto")).collect();
    assert!(matches!(lines.as_slice(), [line] if line.contains("AES_CM_128_HMAC_SHA1_32")), "{lines:?}");
}

#[test]
fn whatsapps_leg_keeps_its_transport_and_no_leg_becomes_whatsapps_later() {
    let (offer, answer) = sip_to_whatsapp(true);
    let mut desk = Desk::new();
    let known = desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
    let first = desk.answer(&signal(&meta_answer("active"), "a", Some("b"), answer.clone())).unwrap();
    let flags = Flags { transport_protocol: Some(Protocol::RtpAvp), ice: IceFlag::Remove, ..Flags::default() };
    let offered = desk.offer(&signal(SDES_OFFER, "a", Some("b"), flags)).unwrap();
    assert_eq!((&offered.sdp, &offered.receiver.1), (&known.sdp, &first.sender.1));
    let written = desk.answer(&signal(&meta_answer("active"), "a", Some("b"), answer)).unwrap();
    assert!(
        written.sdp.contains("RTP/SAVP") && written.sdp.contains("a=crypto:"),
        "the phone's leg may change: {}",
        written.sdp
    );
    assert_eq!(written.sender.1, first.sender.1);

    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    let metas = meta_sample("user_initiated.sip_webrtc.meta_offer");
    desk.offer(&signal(metas, "a", Some("b"), Flags::default())).unwrap();
    desk.answer(&signal(&sip_answer("RTP/AVP", "111 126"), "a", Some("b"), Flags::default())).unwrap();
    let (offer, _) = sip_to_whatsapp(true);
    let offered = desk.offer(&signal(metas, "a", Some("b"), offer)).unwrap();
    assert!(offered.sdp.contains(" RTP/AVP "), "{}", offered.sdp);
    assert!(desk.session.parties().iter().all(|party| party.profile() != ProfileName::Whatsapp));
}
