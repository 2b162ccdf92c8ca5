//! Meta's nine samples through the negotiation, each in every role that it can have.

use trestle_core::plan::{Codec, DtlsRole, Transport};
use trestle_wire::{ClockRate, Pt};

use super::meta_samples::META;
use super::table_3_3::{Handed, check};
use super::*;

#[test]
fn every_sample_is_taken_as_an_offer() {
    for (name, text) in META {
        // Half of them are answers; as offers they would leave the role open.
        let text = &text.replace("a=setup:active", "a=setup:actpass");
        for protocol in [Protocol::RtpAvp, Protocol::RtpSavp] {
            let (offer, answer) = whatsapp_to_sip(protocol, "PCMA");
            let mut desk = Desk::new();
            let written = desk.offer(&signal(text, "a", None, offer)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let audio = written.sdp.lines().find(|line| line.starts_with("m=audio")).unwrap();
            assert!(audio.contains(protocol.as_str()) && audio.contains(" 8"), "{name}: {audio}");
            assert!(!audio.contains(" 111") && !audio.contains(" 107"), "{name}: {audio}");
            let proto = protocol.as_str();
            let written = desk
                .answer(&signal(&sip_answer(proto, "8 101"), "a", Some("b"), answer))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let profile = desk.session.party_by_tag("a").unwrap().profile();
            assert_eq!(profile == ProfileName::Whatsapp, name.contains("meta_"), "{name}");
            if profile == ProfileName::Whatsapp {
                check(&written.sdp, Handed::AnswerTo(text));
            }
            let plan = written.receiver.1;
            assert!(
                plan.send.format.is_some() && plan.receive.formats.iter().any(|format| format.codec == Codec::Opus),
                "{name}"
            );
        }
    }
}

#[test]
fn every_sample_that_can_be_an_answer_is_taken_as_one() {
    for (name, text) in META {
        let sdes = name.contains("sdes");
        let (mut offer, answer) = sip_to_whatsapp(true);
        if sdes {
            offer.transport_protocol = Some(Protocol::RtpSavp);
            offer.sdes.off = false;
        }
        let mut desk = Desk::new();
        let written = desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
        check(&written.sdp, Handed::Offer);
        // A key of Meta's in an answer must be for the suite and tag that were offered: they are.
        let written =
            desk.answer(&signal(text, "a", Some("b"), answer)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(written.sdp.contains("m=audio 30000 RTP/AVP 8 101\r\n"), "{name}\n{}", written.sdp);
        let send = written.sender.1.send.format.unwrap();
        assert_eq!((send.codec, send.ptime.ms(), send.strict_ptime), (Codec::Opus, 20, true), "{name}");
        assert!(
            written.sender.1.receive.events.iter().any(|event| *event == (Pt::new(126).unwrap(), ClockRate::HZ_8000))
        );
    }
}

#[test]
fn meta_keeps_the_offerers_payload_types_and_we_follow() {
    let (mut offer, _) = sip_to_whatsapp(true);
    offer.transport_protocol = Some(Protocol::RtpSavp);
    offer.sdes.off = false;
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
    let answer = meta_sample("business_initiated.sip_sdes.meta_answer");
    let written = desk.answer(&signal(answer, "a", Some("b"), Flags::default())).unwrap();
    let send = written.sender.1.send.format.unwrap();
    assert_eq!((send.pt.get(), send.event.unwrap().0.get()), (107, 101));
    assert!(written.sender.1.rtcp_mux, "Meta multiplexes whether it was offered or not");
    // What Meta sends may carry its numbers or ours.
    let received: Vec<u8> = written.sender.1.receive.formats.iter().map(|format| format.pt.get()).collect();
    assert_eq!(received, [111, 107]);
    let events: Vec<u8> = written.sender.1.receive.events.iter().map(|(pt, _)| pt.get()).collect();
    assert_eq!(events, [126, 101]);
}

#[test]
fn meta_sends_126_even_where_its_answer_lacks_it() {
    let (offer, answer) = sip_to_whatsapp(true);
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
    let text =
        meta_answer("active").replace(" 110 126\r\n", "\r\n").replace("a=rtpmap:126 telephone-event/8000\r\n", "");
    let written = desk.answer(&signal(&text, "a", Some("b"), answer)).unwrap();
    let event = (Pt::new(126).unwrap(), ClockRate::HZ_8000);
    assert_eq!(written.sender.1.send.format.unwrap().event, Some(event));
    assert!(written.sender.1.receive.events.contains(&event));
}

#[test]
fn dtls_roles_follow_the_table() {
    // Meta's answer to our actpass -> our role.
    for (setup, role) in [("active", DtlsRole::Server), ("passive", DtlsRole::Client), ("actpass", DtlsRole::Either)] {
        let (offer, answer) = sip_to_whatsapp(true);
        let mut desk = Desk::new();
        let written = desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
        assert_eq!(dtls_role(&written.receiver.1), DtlsRole::Either);
        let written = desk.answer(&signal(&meta_answer(setup), "a", Some("b"), answer)).unwrap();
        assert_eq!(dtls_role(&written.sender.1), role, "answer {setup}");
    }
    // Meta's offer -> our answer and role. An absent setup counts as actpass.
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer");
    for (setup, ours, role) in [
        ("a=setup:actpass\r\n", "active", DtlsRole::Client),
        ("a=setup:passive\r\n", "active", DtlsRole::Client),
        ("a=setup:active\r\n", "passive", DtlsRole::Server),
        ("", "active", DtlsRole::Client),
    ] {
        let mut desk = Desk::new();
        let text = meta.replace("a=setup:actpass\r\n", setup);
        let written = desk.offer(&signal(&text, "a", None, Flags::default())).unwrap();
        assert_eq!(dtls_role(&written.sender.1), role, "offer {setup}");
        let flags = Flags { dtls: DtlsFlag::Passive.into(), ..Flags::default() };
        let written = desk.answer(&signal(&sip_answer("RTP/SAVP", "8"), "a", Some("b"), flags)).unwrap();
        assert!(written.sdp.contains(&format!("a=setup:{ours}\r\n")), "offer {setup}\n{}", written.sdp);
    }
}

fn dtls_role(plan: &LegPlan) -> DtlsRole {
    match &plan.transport {
        Transport::WebRtc(plan) => plan.dtls_role,
        other => panic!("{other:?}"),
    }
}

#[test]
fn we_control_when_we_offer_and_when_the_peer_is_lite() {
    let controlling = |plan: &LegPlan| match &plan.transport {
        Transport::WebRtc(plan) => plan.remote.as_ref().unwrap().controlling,
        other => panic!("{other:?}"),
    };
    let lite = meta_sample("user_initiated.sip_webrtc.meta_offer");
    for (offer, expected) in [
        (lite.to_owned(), true),
        (lite.replace("a=ice-lite\r\n", "").replace("a=mid", "a=ice-lite\r\na=mid"), true),
        (meta_sample("business_initiated.graph_webrtc.browser_offer").to_owned(), false),
    ] {
        let written = Desk::new().offer(&signal(&offer, "a", None, Flags::default())).unwrap();
        assert_eq!(controlling(&written.sender.1), expected);
    }
    let (offer, answer) = sip_to_whatsapp(true);
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
    let full = meta_answer("passive").replace("a=ice-lite\r\n", "");
    let written = desk.answer(&signal(&full, "a", Some("b"), answer)).unwrap();
    assert!(controlling(&written.sender.1));
}

#[test]
fn padded_ice_passwords_reach_the_engine() {
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer")
        .replace("a=ice-pwd:yg3yyVqhRMHQ/y/zyPln/cHen", "a=ice-pwd:+219v9nKr3xSQIn8s+Fy8g==");
    let written = Desk::new().offer(&signal(&meta, "a", None, Flags::default())).unwrap();
    let Transport::WebRtc(plan) = written.sender.1.transport else { panic!() };
    assert_eq!(plan.remote.unwrap().credentials.pwd.as_str(), "+219v9nKr3xSQIn8s+Fy8g==");
}

#[test]
fn a_number_with_g711_forwards_it_if_the_other_side_has_nothing_else() {
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer").replace("SAVPF 111 126", "SAVPF 111 8 0 126");
    let mut desk = Desk::new();
    desk.offer(&signal(&meta, "a", None, Flags::default())).unwrap();
    let written = desk.answer(&signal(&sip_answer("RTP/SAVP", "0 126"), "a", Some("b"), Flags::default())).unwrap();
    check(&written.sdp, Handed::AnswerTo(&meta));
    assert!(written.sdp.contains(" 0 126\r\n"), "{}", written.sdp);
    assert_eq!(written.receiver.1.send.format.unwrap().codec, Codec::Pcmu);
}

#[test]
fn a_private_address_is_warned_of_towards_whatsapp() {
    let mut desk = Desk::new();
    desk.environment.interfaces = Environment::read_interfaces(&["10.0.0.5"]).unwrap();
    let flags = Flags { profile: Some(ProfileName::Whatsapp), ..Flags::default() };
    let written = desk.offer(&signal(SIP_OFFER, "a", None, flags)).unwrap();
    assert!(written.warnings.iter().any(|warning| warning.contains("10.0.0.5")), "{:?}", written.warnings);
}
