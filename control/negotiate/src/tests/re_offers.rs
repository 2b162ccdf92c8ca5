//! Re-offers: only an answer changes media (RFC 3264 section 8, RFC 3261 14.1, RFC 6337).

use trestle_core::plan::{Codec, ReceivePlan, Transport};
use trestle_wire::Pt;

use super::*;

const ANSWER_FORMATS: &str = "8 0 101";

/// A call of two phones, or of two phones with SDES, and the plans that its first answer has agreed on.
struct Dialog {
    desk: Desk,
    /// SDP of each party.
    sdp: [String; 2],
    agreed: [LegPlan; 2],
}

impl Dialog {
    fn plain() -> Self {
        Self::new(SIP_OFFER, sip_answer("RTP/AVP", ANSWER_FORMATS))
    }

    fn with_keys() -> Self {
        Self::new(SDES_OFFER, sip_answer("RTP/SAVP", "8 101"))
    }

    fn new(offer: &str, answer: String) -> Self {
        let mut desk = Desk::new();
        desk.offer(&signal(offer, "a", None, Flags::default())).unwrap();
        let written = desk.answer(&signal(&answer, "a", Some("b"), Flags::default())).unwrap();
        Self { desk, sdp: [offer.to_owned(), answer], agreed: [written.receiver.1, written.sender.1] }
    }

    /// The party at `from` offers `sdp`. Returns the plans of both.
    fn offer(&mut self, from: usize, sdp: &str) -> [LegPlan; 2] {
        let tags = ["a", "b"];
        let written = self.desk.offer(&signal(sdp, tags[from], Some(tags[1 - from]), Flags::default())).unwrap();
        if from == 0 { [written.sender.1, written.receiver.1] } else { [written.receiver.1, written.sender.1] }
    }

    /// The other one answers it with `sdp`. Returns the plans of both.
    fn answer(&mut self, to: usize, sdp: &str) -> [LegPlan; 2] {
        let tags = ["a", "b"];
        let written = self.desk.answer(&signal(sdp, tags[to], Some(tags[1 - to]), Flags::default())).unwrap();
        if to == 0 { [written.receiver.1, written.sender.1] } else { [written.sender.1, written.receiver.1] }
    }
}

/// What a plan does with media, but for payload types that may come early.
fn media(plan: &LegPlan) -> LegPlan {
    let receive = ReceivePlan { formats: Vec::new(), events: Vec::new(), proposed: None, ..plan.receive };
    LegPlan { receive, ..plan.clone() }
}

type Edit = (&'static str, &'static str, &'static str);

const HOLDS: [Edit; 3] = [
    ("sendonly", "a=sendrecv", "a=sendonly"),
    ("inactive", "a=sendrecv", "a=inactive"),
    ("0.0.0.0", "c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0"),
];

#[test]
fn a_re_offer_without_an_answer_changes_no_media_in_either_direction() {
    let changes = [
        ("another codec", "8 0 101", "0 101"),
        ("another payload type", "8 0 101", "0 101"),
        ("another port", "m=audio 4000", "m=audio 4100"),
        ("another address", "c=IN IP4 198.51.100.7", "c=IN IP4 203.0.113.80"),
        ("the end of the stream", "m=audio 4000", "m=audio 0"),
        ("multiplexed RTCP", "a=sendrecv", "a=rtcp-mux\r\na=sendrecv"),
        ("no events", "8 0 101", "8 0"),
    ];
    for (what, old, new) in HOLDS.into_iter().chain(changes) {
        for from in [0, 1] {
            let mut dialog = Dialog::plain();
            let proposed = dialog.sdp[from].replace(old, new);
            assert_ne!(proposed, dialog.sdp[from], "{what}");
            let plans = dialog.offer(from, &proposed);
            for (plan, agreed) in plans.iter().zip(&dialog.agreed) {
                assert_eq!(media(plan), media(agreed), "{what}, party {from}");
                assert!(
                    agreed.receive.formats.iter().all(|format| plan.receive.formats.contains(format)),
                    "{what}, party {from}"
                );
                assert!(agreed.receive.events.iter().all(|event| plan.receive.events.contains(event)), "{what}");
            }
            // The same offer again changes nothing either, and a request about media applies the same plans.
            assert_eq!(dialog.offer(from, &proposed), plans, "{what}, party {from}");
            // A later offer as before, and its answer: the refused one has left no trace.
            let [a, b] = dialog.sdp.clone();
            let own = if from == 0 { [a, b] } else { [b, a] };
            dialog.offer(from, &own[0]);
            let plans = dialog.answer(from, &own[1]);
            for (plan, agreed) in plans.iter().zip(&dialog.agreed) {
                assert_eq!(media(plan), media(agreed), "{what}, party {from}");
            }
        }
    }
}

#[test]
fn new_keys_of_a_re_offer_are_used_from_its_answer_on() {
    let key = |plan: &LegPlan| match &plan.transport {
        Transport::Sdes { receive_key, .. } => receive_key.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    for (from, old, new) in [(0, "inline:AAEC", "inline:BBEC"), (1, "inline:HR4f", "inline:IR4f")] {
        let mut dialog = Dialog::with_keys();
        let proposed = dialog.sdp[from].replace(old, new);
        let plans = dialog.offer(from, &proposed);
        assert_eq!(plans, dialog.agreed, "party {from}");
        let other = dialog.sdp[1 - from].clone();
        // The suite in use is offered alone, as line 1.
        let other = other.replace("a=crypto:2", "a=crypto:1");
        let plans = dialog.answer(from, &if from == 0 { other } else { only_suite_in_use(&other) });
        assert_ne!(key(&plans[from]), key(&dialog.agreed[from]), "party {from}");
        assert_eq!(key(&plans[1 - from]), key(&dialog.agreed[1 - from]), "party {from}");
    }
}

/// The answer of the party that has offered two suites at first: the line of the one that is in use.
fn only_suite_in_use(sdp: &str) -> String {
    sdp.lines().filter(|line| !line.contains("AES_CM_128")).map(|line| format!("{line}\r\n")).collect()
}

#[test]
fn an_accepted_re_offer_takes_effect_with_its_answer() {
    for from in [0, 1] {
        for (what, old, new) in HOLDS {
            let mut dialog = Dialog::plain();
            let proposed = dialog.sdp[from].replace(old, new);
            dialog.offer(from, &proposed);
            let accepted = dialog.sdp[1 - from].clone();
            let plans = dialog.answer(from, &accepted);
            assert!(!plans[from].send.enabled, "{what}, party {from}");
            // And its end, which is refused at first.
            let resumed = dialog.sdp[from].clone();
            assert!(!dialog.offer(from, &resumed)[from].send.enabled, "{what}, party {from}");
            dialog.offer(from, &resumed);
            let plans = dialog.answer(from, &accepted);
            assert_eq!(plans.each_ref().map(media), dialog.agreed.each_ref().map(media), "{what}, party {from}");
        }
        let mut dialog = Dialog::plain();
        let moved = dialog.sdp[from].replace("4000", "4100").replace("8 0 101", "0 101");
        dialog.offer(from, &moved);
        let other = dialog.sdp[1 - from].replace("8 0 101", "0 101");
        let plans = dialog.answer(from, &other);
        let Transport::Plain(peer) = &plans[from].transport else { panic!("plain") };
        assert_eq!(peer.rtp.unwrap().port(), 4_100);
        assert!(plans.iter().all(|plan| plan.send.format.unwrap().codec == Codec::Pcmu));
    }
}

#[test]
fn the_answerer_may_use_new_payload_types_before_its_answer_is_here() {
    let mut dialog = Dialog::plain();
    let proposed = SIP_OFFER
        .replace("8 0 101", "96 101")
        .replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:96 opus/48000/2")
        .replace("a=rtpmap:0 PCMU/8000\r\n", "");
    let [a, b] = dialog.offer(0, &proposed);
    let has_opus = |plan: &LegPlan| plan.receive.formats.iter().any(|format| format.codec == Codec::Opus);
    assert!(has_opus(&b) && !has_opus(&a));
    assert_eq!(b.receive.formats.first().map(|format| format.pt), Some(Pt::PCMA), "those in use stay");
    // A payload type that is in use keeps its meaning until the answer (RFC 3264 8.3.2).
    let mut dialog = Dialog::plain();
    let swapped = SIP_OFFER.replace("a=rtpmap:8 PCMA", "a=rtpmap:101 PCMA").replace("8 0 101", "101");
    let swapped = swapped.replace("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n", "");
    let plans = dialog.offer(0, &swapped);
    for (plan, agreed) in plans.iter().zip(&dialog.agreed) {
        assert_eq!(plan.receive, agreed.receive);
    }
}

#[test]
fn a_session_timer_disturbs_no_media() {
    for from in [0, 1] {
        for mut dialog in [Dialog::plain(), Dialog::with_keys()] {
            let [own, other] = [dialog.sdp[from].clone(), dialog.sdp[1 - from].clone()];
            assert_eq!(dialog.offer(from, &own), dialog.agreed, "party {from}");
            let keyed = other.contains("a=crypto:2");
            let other = if keyed { only_suite_in_use(&other) } else { other };
            let plans = dialog.answer(from, &other);
            let same = |index: usize| media(&plans[index]) == media(&dialog.agreed[index]);
            // A party whose two suites were offered answers with the one in use, and so brings no other.
            assert!(same(0) && same(1), "party {from}: {plans:?}\n{:?}", dialog.agreed);
        }
    }
}

#[test]
fn offers_that_cross_change_no_media_and_do_not_mix() {
    let mut dialog = Dialog::plain();
    let hold = dialog.sdp[0].replace("sendrecv", "sendonly");
    let moved = dialog.sdp[1].replace("4000", "4100");
    dialog.offer(0, &hold);
    let plans = dialog.offer(1, &moved);
    assert_eq!(plans.each_ref().map(media), dialog.agreed.each_ref().map(media), "both are refused with 491");

    // One of the two is answered after all: it alone takes effect.
    let answer = dialog.sdp[1].clone();
    let [a, b] = dialog.answer(0, &answer);
    assert!(!a.send.enabled);
    assert_eq!(media(&b), media(&dialog.agreed[1]), "the offer of the other side is still a proposal");
    let answer = dialog.sdp[0].clone();
    let [a, b] = dialog.answer(1, &answer);
    let Transport::Plain(peer) = &b.transport else { panic!("plain") };
    assert_eq!(peer.rtp.unwrap().port(), 4_100);
    assert!(a.send.enabled);
}

#[test]
fn before_the_first_answer_the_last_offer_counts() {
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    let moved = SIP_OFFER.replace("4000", "4100").replace("sendrecv", "recvonly");
    let written = desk.offer(&signal(&moved, "a", None, Flags::default())).unwrap();
    let Transport::Plain(peer) = &written.sender.1.transport else { panic!("plain") };
    assert_eq!(peer.rtp.unwrap().port(), 4_100);
    assert!(!written.sender.1.receive.enabled);
}

#[test]
fn a_re_offer_on_a_webrtc_leg_restarts_ice_with_its_answer() {
    let browser = meta_sample("business_initiated.graph_webrtc.browser_offer");
    let (offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    let mut desk = Desk::new();
    desk.offer(&signal(browser, "a", None, offer.clone())).unwrap();
    let b = sip_answer("RTP/AVP", "8 101");
    let agreed = desk.answer(&signal(&b, "a", Some("b"), answer.clone())).unwrap();
    let ufrag = browser.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
    let restart = browser.replace(&format!("a=ice-ufrag:{ufrag}"), "a=ice-ufrag:New1");
    let proposed = desk.offer(&signal(&restart, "a", Some("b"), offer)).unwrap();
    assert_eq!(media(&proposed.sender.1), media(&agreed.receiver.1));
    let answered = desk.answer(&signal(&b, "a", Some("b"), answer)).unwrap();
    let Transport::WebRtc(plan) = &answered.receiver.1.transport else { panic!("WebRTC") };
    assert_eq!(plan.remote.as_ref().unwrap().credentials.ufrag, "New1");
}
