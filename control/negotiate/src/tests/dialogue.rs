//! Which party a message belongs to, and what the same or another message does the second time.

use trestle_core::plan::{Source, Transport};
use trestle_ng::command::flags::{CallFlags, MediaFlags};
use trestle_ng::command::{Switch, Switches};

use super::*;

fn meta_offer() -> &'static str {
    meta_sample("user_initiated.sip_webrtc.meta_offer")
}

#[test]
fn the_same_offer_again_is_answered_with_the_same_bytes() {
    for (text, flags) in [
        (meta_offer(), whatsapp_to_sip(Protocol::RtpSavp, "PCMA").0),
        (SIP_OFFER, sip_to_whatsapp(true).0),
        (SIP_OFFER, sip_to_whatsapp(false).0),
        (SDES_OFFER, Flags::default()),
    ] {
        let mut desk = Desk::new();
        let message = signal(text, "a", None, flags);
        let first = desk.offer(&message).unwrap();
        assert_eq!(desk.offer(&message).unwrap(), first);
        assert_eq!(desk.session.parties().len(), 2);
    }
}

#[test]
fn pre_accept_and_accept_are_the_same_bytes() {
    let (offer, answer) = whatsapp_to_sip(Protocol::RtpSavp, "PCMA");
    let mut desk = Desk::new();
    desk.offer(&signal(meta_offer(), "a", None, offer)).unwrap();
    let message = signal(&sip_answer("RTP/SAVP", "8 101"), "a", Some("b"), answer.clone());
    let first = desk.answer(&message).unwrap();
    assert_eq!(desk.answer(&message).unwrap(), first);
    // Neither a 200 that differs from the 183, nor another codec, nor hold changes what WhatsApp was written.
    for changed in [
        sip_answer("RTP/SAVP", "8 101").replace("4000", "5000"),
        sip_answer("RTP/SAVP", "8"),
        sip_answer("RTP/SAVP", "8 101").replace("sendrecv", "sendonly"),
    ] {
        let written = desk.answer(&signal(&changed, "a", Some("b"), answer.clone())).unwrap();
        assert_eq!(written.sdp, first.sdp);
        assert_eq!(written.receiver.1.send.format, first.receiver.1.send.format);
    }
}

#[test]
fn opus_chosen_first_stays_towards_whatsapp_when_the_phone_changes_its_mind() {
    let mut desk = Desk::new();
    desk.offer(&signal(meta_offer(), "a", None, Flags::default())).unwrap();
    let first = desk.answer(&signal(&sip_answer("RTP/SAVP", "111 126"), "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(
        first.sender.1.send.format.as_ref().unwrap().codec,
        trestle_core::plan::Codec::Opus,
        "forwarded as it is"
    );
    let second = desk.answer(&signal(&sip_answer("RTP/SAVP", "8 126"), "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(second.sender.1.send.format.unwrap().codec, trestle_core::plan::Codec::Pcma);
    assert_eq!((second.sdp, second.receiver.1.send.format), (first.sdp, first.receiver.1.send.format));
}

#[test]
fn each_party_is_the_source_of_the_other() {
    let mut desk = Desk::new();
    let written = desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    assert_eq!(written.sender.1.send.source, Source::Leg(written.receiver.0));
    assert_eq!(written.receiver.1.send.source, Source::Leg(written.sender.0));
    assert!(
        written.receiver.1.send.format.is_none() && written.sender.1.send.format.is_none(),
        "nothing is agreed yet"
    );
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(
        (written.sender.1.send.source, written.receiver.1.send.source),
        (Source::Leg(written.receiver.0), Source::Leg(written.sender.0))
    );
    assert!(written.receiver.1.send.format.is_some() && written.sender.1.send.format.is_some());
}

#[test]
fn a_re_offer_keeps_port_ssrc_and_trestles_keys_and_its_answer_brings_the_peers_new_ones() {
    let mut desk = Desk::new();
    let first = desk.offer(&signal(SDES_OFFER, "a", None, Flags::default())).unwrap();
    let b = sip_answer("RTP/SAVP", "8 101");
    let agreed = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    let a = agreed.receiver.1;
    let moved =
        SDES_OFFER.replace("4000", "4100").replace("inline:AAEC", "inline:BBEC").replace("o=pbx 1 1", "o=pbx 1 2");
    let again = desk.offer(&signal(&moved, "a", Some("b"), Flags::default())).unwrap();
    assert_eq!((again.sender.0, again.receiver.0), (first.sender.0, first.receiver.0));
    let sent = |plan: &LegPlan| (plan.transport.clone(), plan.send);
    assert_eq!(sent(&again.sender.1), sent(&a), "media is as agreed until the answer");
    assert_eq!(again.receiver.1, agreed.sender.1);
    // The receiver is offered every suite, the one in use first, with the keys it knows.
    let cryptos = |sdp: &str| -> Vec<String> {
        sdp.lines().filter(|line| line.starts_with("a=crypto")).map(str::to_owned).collect()
    };
    assert_eq!(cryptos(&again.sdp), cryptos(&first.sdp));
    assert_eq!(cryptos(&again.sdp).len(), 6);

    let answered = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    assert_eq!((answered.receiver.1.ssrc, answered.sender.1.ssrc), (a.ssrc, first.receiver.1.ssrc));
    let keys = |plan: &LegPlan| match &plan.transport {
        Transport::Sdes { send_key, receive_key, peer, .. } => (send_key.clone(), receive_key.clone(), peer.rtp),
        other => panic!("{other:?}"),
    };
    let (before, after) = (keys(&a), keys(&answered.receiver.1));
    assert_eq!(before.0, after.0, "our key");
    assert_ne!(before.1, after.1, "the peer's key");
    assert_eq!(after.2.unwrap().port(), 4_100);
    assert!(answered.receiver.1.send.format.is_some());
}

#[test]
fn the_callee_may_re_offer() {
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    let b = sip_answer("RTP/AVP", "8 101");
    let first = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    let held = b.replace("sendrecv", "sendonly");
    let written = desk.offer(&signal(&held, "b", Some("a"), Flags::default())).unwrap();
    assert!(written.sdp.contains("m=audio 30000 ") && written.sdp.contains("a=sendonly\r\n"), "{}", written.sdp);
    assert!(written.sender.1.send.enabled, "held once it is answered");
    let resumed = SIP_OFFER.replace("a=sendrecv", "a=recvonly");
    let written = desk.answer(&signal(&resumed, "b", Some("a"), Flags::default())).unwrap();
    assert!(written.sdp.contains("m=audio 30002 ") && written.sdp.contains("a=recvonly\r\n"), "{}", written.sdp);
    assert!(!written.receiver.1.send.enabled && written.receiver.1.receive.enabled);
    assert_eq!((written.sender.1.ssrc, written.receiver.1.ssrc), (first.receiver.1.ssrc, first.sender.1.ssrc));
    assert_eq!(desk.session.parties().len(), 2);
}

#[test]
fn hold_behind_whatsapp_never_reaches_it() {
    let (offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    let mut desk = Desk::new();
    desk.offer(&signal(meta_offer(), "a", None, offer)).unwrap();
    let b = sip_answer("RTP/AVP", "8 101");
    let known = desk.answer(&signal(&b, "a", Some("b"), answer)).unwrap();
    let written = desk.offer(&signal(&b.replace("sendrecv", "inactive"), "b", Some("a"), Flags::default())).unwrap();
    assert_eq!(written.sdp, known.sdp, "what it has already");
    assert!(written.warnings.iter().any(|warning| warning.contains("never offered again")), "{:?}", written.warnings);
    assert!(written.sender.1.send.enabled && written.receiver.1.send.enabled);
    assert_eq!(written.receiver.1, known.receiver.1, "its leg is untouched");
    let written = desk.answer(&signal(meta_offer(), "b", Some("a"), Flags::default())).unwrap();
    assert!(
        written.sdp.contains("a=inactive\r\n") && written.sdp.contains("m=audio 30002 RTP/AVP 8 101\r\n"),
        "{}",
        written.sdp
    );
    assert!(!written.receiver.1.send.enabled && written.sender.1.send.enabled);
    assert_eq!(written.sender.1, known.receiver.1);
}

#[test]
fn whatsapp_cannot_change_its_description() {
    let (offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    let mut desk = Desk::new();
    desk.offer(&signal(meta_offer(), "a", None, offer.clone())).unwrap();
    desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), answer)).unwrap();
    let changed = meta_offer().replace("ice-ufrag:R", "ice-ufrag:S");
    for to in [None, Some("b")] {
        let error = desk.session.offer(&signal(&changed, "a", to, offer.clone()), &desk.environment, &mut desk.rng);
        let error = error.unwrap_err();
        assert!(matches!(error, NegotiationError::WhatsappIsFixed(_)), "{error}");
        assert!(error.to_string().contains("repeat the known SDP"), "{error}");
    }
    assert!(desk.offer(&signal(meta_offer(), "a", Some("b"), offer)).is_ok(), "the known SDP may come again");

    let (offer, answer) = sip_to_whatsapp(true);
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
    let first = desk.answer(&signal(&meta_answer("active"), "a", Some("b"), answer.clone())).unwrap();
    assert_eq!(desk.answer(&signal(&meta_answer("active"), "a", Some("b"), answer.clone())).unwrap(), first);
    let error = desk.answer(&signal(&meta_answer("passive"), "a", Some("b"), answer)).unwrap_err();
    assert!(matches!(error, NegotiationError::WhatsappIsFixed(_)), "{error}");
}

#[test]
fn the_sip_side_of_a_business_call_may_re_offer_without_whatsapp() {
    let (offer, answer) = sip_to_whatsapp(true);
    let mut desk = Desk::new();
    let known = desk.offer(&signal(SIP_OFFER, "a", None, offer.clone())).unwrap();
    let first = desk.answer(&signal(&meta_answer("active"), "a", Some("b"), answer.clone())).unwrap();
    let moved = SIP_OFFER.replace("4000", "4100").replace("8 0 101", "0 101");
    let written = desk.offer(&signal(&moved, "a", Some("b"), offer)).unwrap();
    assert_eq!(written.sdp, known.sdp);
    assert_eq!(written.receiver.1, first.sender.1);
    let written = desk.answer(&signal(&meta_answer("active"), "a", Some("b"), answer)).unwrap();
    assert!(written.sdp.contains("m=audio 30000 RTP/AVP 0 101\r\n"), "{}", written.sdp);
    assert_eq!(written.receiver.1.send.format.unwrap().codec, trestle_core::plan::Codec::Pcmu);
    assert_eq!(written.sender.1, first.sender.1);
}

#[test]
fn branches_are_legs_of_their_own_with_secrets_of_their_own() {
    let branch = |name: &str| {
        let mut message = signal(SDES_OFFER, "a", None, Flags::default());
        message.via_branch = Some(name.into());
        message
    };
    let mut desk = Desk::new();
    let one = desk.offer(&branch("z1")).unwrap();
    let two = desk.offer(&branch("z2")).unwrap();
    assert_eq!(one.sender.0, two.sender.0);
    assert_ne!(one.receiver.0, two.receiver.0);
    assert_ne!(one.receiver.1.ssrc, two.receiver.1.ssrc);
    let keys = |written: &Written| {
        written.sdp.lines().filter(|line| line.starts_with("a=crypto")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(keys(&one).iter().all(|key| !keys(&two).contains(key)));
    assert_eq!(desk.offer(&branch("z1")).unwrap().receiver, one.receiver);

    // The second branch answers: it becomes the source.
    let mut answer = signal(&sip_answer("RTP/SAVP", "8 101"), "a", Some("b2"), Flags::default());
    answer.via_branch = Some("z2".into());
    let written = desk.answer(&answer).unwrap();
    assert_eq!(written.sender.0, two.receiver.0);
    assert_eq!(written.receiver.1.send.source, Source::Leg(two.receiver.0));
    let left: Vec<(LegId, Source)> = written.left.iter().map(|(leg, plan)| (*leg, plan.send.source)).collect();
    assert_eq!(left, [(one.receiver.0, Source::Nothing)], "the first has no source any more");
    // An early offer to a third does not take its place.
    let three = desk.offer(&branch("z3")).unwrap();
    assert_eq!(three.sender.1.send.source, Source::Leg(two.receiver.0));
}

#[test]
fn another_to_tag_is_another_name_of_the_callee() {
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    let ringing = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b1"), Flags::default())).unwrap();
    let fork = sip_answer("RTP/AVP", "8 101").replace("4000", "6000");
    let answered = desk.answer(&signal(&fork, "a", Some("b2"), Flags::default())).unwrap();
    assert_eq!(answered.sender.0, ringing.sender.0);
    assert_eq!(desk.session.party_by_tag("b2").unwrap().tags(), ["b1", "b2"]);
    let flags = Flags { switches: Switches::of(&[Switch::NewBranch]), ..Flags::default() };
    desk.answer(&signal(&fork, "a", Some("b3"), flags)).unwrap();
    assert_eq!(desk.session.party_by_tag("b3").unwrap().tags(), ["b3"]);
}

#[test]
fn a_request_repeated_with_credentials_works_with_and_without_branches() {
    for branches in [[None, None], [Some("z1"), Some("z2")]] {
        let (offer, answer) = sip_to_whatsapp(true);
        let mut desk = Desk::new();
        let mut first = signal(SIP_OFFER, "a", None, offer);
        first.via_branch = branches[0].map(str::to_owned);
        desk.offer(&first).unwrap();
        let mut second = first.clone();
        second.via_branch = branches[1].map(str::to_owned);
        let written = desk.offer(&second).unwrap();
        let mut reply = signal(&meta_answer("active"), "a", Some("b"), answer);
        reply.via_branch = branches[1].map(str::to_owned);
        assert_eq!(desk.answer(&reply).unwrap().sender.0, written.receiver.0);
    }
}

#[test]
fn another_attempt_with_another_protocol_takes_the_place_of_the_first() {
    let mut desk = Desk::new();
    let mut flags = Flags { transport_protocol: Some(Protocol::RtpSavp), ..Flags::default() };
    let first = desk.offer(&signal(SIP_OFFER, "a", None, flags.clone())).unwrap();
    flags.transport_protocol = Some(Protocol::RtpAvp);
    let second = desk.offer(&signal(SIP_OFFER, "a", None, flags)).unwrap();
    assert_eq!(second.removed, [first.receiver.0]);
    assert_eq!(second.sender.0, first.sender.0);
    assert_eq!(second.sender.1.send.source, Source::Leg(second.receiver.0));
    assert!(second.sdp.contains("RTP/AVP"));
}

#[test]
fn branch_after_branch_the_call_keeps_to_its_legs() {
    let mut desk = Desk::new();
    for n in 0..50 {
        let mut message = signal(SIP_OFFER, "a", None, Flags::default());
        message.via_branch = Some(format!("z{n}"));
        desk.offer(&message).unwrap();
        assert!(desk.session.parties().len() <= trestle_core::limits::LEGS_PER_CALL_MAX);
    }
}

#[test]
fn answers_without_an_offer_are_refused_and_name_the_tags_of_the_call() {
    let mut desk = Desk::new();
    let text = sip_answer("RTP/AVP", "8 101");
    let error = desk.answer(&signal(&text, "x", Some("b"), Flags::default())).unwrap_err();
    assert!(matches!(&error, NegotiationError::UnknownTag { known, .. } if known.is_empty()), "{error}");
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    let error = desk.answer(&signal(&text, "x", Some("b"), Flags::default())).unwrap_err();
    assert!(matches!(&error, NegotiationError::UnknownTag { known, .. } if *known == ["a"]), "{error}");
    assert_eq!(error.contract(), "Invalid dialogue association");
    let error = desk.answer(&signal(&text, "a", Some("a"), Flags::default())).unwrap_err();
    assert!(error.to_string().contains("same party"), "{error}");
    desk.answer(&signal(&text, "a", Some("b"), Flags::default())).unwrap();
    let error = desk.answer(&signal(&text, "b", Some("c"), Flags::default())).unwrap_err();
    assert!(matches!(error, NegotiationError::OutOfPlace(_)), "{error}");
}

#[test]
fn labels_and_tos_stick() {
    use trestle_ng::command::flags::Tos;
    let mut desk = Desk::new();
    desk.environment.default_tos = Some(184);
    let flags = Flags {
        call: CallFlags { label: Some("caller".into()), to_label: Some("called".into()), ..Default::default() },
        ..Flags::default()
    };
    let written = desk.offer(&signal(SIP_OFFER, "a", None, flags)).unwrap();
    assert_eq!(written.receiver.1.tos, Some(184));
    assert_eq!(desk.session.parties()[1].label(), Some("called"));
    let flags = Flags {
        call: CallFlags { label: Some("callee".into()), ..Default::default() },
        media: MediaFlags { tos: Tos::Byte(40), ..Default::default() },
        ..Flags::default()
    };
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8"), "a", Some("b"), flags)).unwrap();
    assert_eq!((written.sender.1.tos, written.receiver.1.tos), (Some(40), Some(40)));
    let labels: Vec<_> = desk.session.parties().iter().map(super::super::Party::label).collect();
    assert_eq!(labels, [Some("caller"), Some("callee")]);
}
