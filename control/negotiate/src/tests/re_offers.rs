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

/// What a plan does with media, but for what may come early.
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
        assert_eq!(plans.each_ref().map(media), dialog.agreed.each_ref().map(media), "party {from}");
        // Until then packets under the new key are taken beside those under the old one (RFC 4568 7.1).
        let early = plans[from].receive.proposed.clone().unwrap();
        assert_eq!(early.rtp, None);
        assert_ne!(early.key.as_ref().unwrap().0, key(&dialog.agreed[from]), "party {from}");
        assert_eq!(plans[1 - from].receive.proposed, None);
        let other = dialog.sdp[1 - from].clone();
        // The suite in use is offered as line 1.
        let other = other.replace("a=crypto:2", "a=crypto:1");
        let plans = dialog.answer(from, &if from == 0 { other } else { only_suite_in_use(&other) });
        assert_ne!(key(&plans[from]), key(&dialog.agreed[from]), "party {from}");
        assert_eq!(key(&plans[from]), early.key.unwrap().0);
        assert_eq!(plans[from].receive.proposed, None);
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

#[test]
fn what_an_offer_announces_is_taken_early_until_an_answer_or_the_next_offer() {
    for from in [0, 1] {
        let mut dialog = Dialog::plain();
        let early = |plans: &[LegPlan; 2]| plans[from].receive.proposed.as_ref().and_then(|early| early.rtp);
        let [own, other] = [dialog.sdp[from].clone(), dialog.sdp[1 - from].clone()];
        let moved = |port: &str| own.replace("m=audio 4000", &format!("m=audio {port}"));
        let at = |port: u16| Some(([198, 51, 100, 7], port).into());
        assert_eq!(early(&dialog.offer(from, &moved("4100"))), at(4_100), "party {from}");
        assert_eq!(early(&dialog.offer(from, &moved("4200"))), at(4_200), "the following offer replaces it");
        assert_eq!(early(&dialog.offer(from, &moved("0"))), None, "party {from}");
        assert_eq!(early(&dialog.offer(from, &own)), None, "as agreed");
        assert_eq!(early(&dialog.offer(from, &moved("4300"))), at(4_300));
        // The other side offers, and this party answers: its own offer is over.
        assert_eq!(early(&dialog.offer(1 - from, &other)), at(4_300), "offers that cross");
        let plans = dialog.answer(1 - from, &own);
        assert_eq!(plans, dialog.agreed, "party {from}");
    }
}

/// Formats of an SDP: number and name.
fn rtpmaps(sdp: &str) -> Vec<&str> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=rtpmap:")).collect()
}

fn with_formats(o: &str, formats: &[(u8, &str)]) -> String {
    let numbers: Vec<String> = formats.iter().map(|(number, _)| number.to_string()).collect();
    let maps: String = formats.iter().map(|(number, name)| format!("a=rtpmap:{number} {name}\r\n")).collect();
    format!(
        "v=0\r\no={o} 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP {}\r\n{maps}",
        numbers.join(" ")
    )
}

const OPUS: &str = "opus/48000/2";
const EVENT: &str = "telephone-event/8000";

#[test]
fn a_number_keeps_its_meaning_towards_each_party_through_re_offers_of_both() {
    // sipwise and FreeSWITCH meet this: the callee answers with the two numbers the other way round.
    let (a, b) = (with_formats("a", &[(96, OPUS), (101, EVENT)]), with_formats("b", &[(101, OPUS), (96, EVENT)]));
    let mut desk = Desk::new();
    let to_b = desk.offer(&signal(&a, "a", None, Flags::default())).unwrap().sdp;
    let answered = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    let to_a = answered.sdp.clone();
    let maps = ["96 opus/48000/2", "101 telephone-event/8000"];
    assert_eq!((rtpmaps(&to_b), rtpmaps(&to_a)), (maps.to_vec(), maps.to_vec()));
    let is_as_before = |plan: &LegPlan, before: &LegPlan| {
        (&plan.send.format, &plan.receive.formats) == (&before.send.format, &before.receive.formats)
    };
    for _ in 0..2 {
        let offered = desk.offer(&signal(&b, "b", Some("a"), Flags::default())).unwrap();
        assert_eq!(rtpmaps(&offered.sdp), maps, "b offers: {}", offered.sdp);
        let written = desk.answer(&signal(&a, "b", Some("a"), Flags::default())).unwrap();
        assert_eq!(rtpmaps(&written.sdp), maps, "and is answered: {}", written.sdp);
        assert!(
            is_as_before(&written.sender.1, &answered.receiver.1)
                && is_as_before(&written.receiver.1, &answered.sender.1)
        );
        let offered = desk.offer(&signal(&a, "a", Some("b"), Flags::default())).unwrap();
        assert_eq!(rtpmaps(&offered.sdp), maps, "a offers: {}", offered.sdp);
        let written = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
        assert_eq!(rtpmaps(&written.sdp), maps);
        assert!(
            is_as_before(&written.receiver.1, &answered.receiver.1)
                && is_as_before(&written.sender.1, &answered.sender.1)
        );
    }
}

#[test]
fn a_number_that_a_party_gives_to_another_codec_gets_another_one_on_the_other_side() {
    let (a, b) =
        (with_formats("a", &[(8, "PCMA/8000"), (101, EVENT)]), with_formats("b", &[(8, "PCMA/8000"), (101, EVENT)]));
    let mut desk = Desk::new();
    desk.offer(&signal(&a, "a", None, Flags::default())).unwrap();
    desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    // The same codec under another number, and a codec on the number that was telephone-event's.
    let again = with_formats("a", &[(101, OPUS), (8, "PCMA/8000"), (97, EVENT)]);
    let offered = desk.offer(&signal(&again, "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(
        rtpmaps(&offered.sdp),
        ["96 opus/48000/2", "8 PCMA/8000", "101 telephone-event/8000"],
        "{}",
        offered.sdp
    );
    let b = with_formats("b", &[(96, OPUS), (101, EVENT)]);
    let written = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(rtpmaps(&written.sdp), ["101 opus/48000/2", "97 telephone-event/8000"], "{}", written.sdp);
    let numbers = |plan: &LegPlan| plan.send.format.map(|send| (send.pt.get(), send.event.map(|(pt, _)| pt.get())));
    assert_eq!(numbers(&written.receiver.1), Some((101, Some(97))));
    assert_eq!(numbers(&written.sender.1), Some((96, Some(101))));
}

#[test]
fn an_audio_stream_with_port_0_is_offered_and_answered_with_port_0() {
    for from in [0, 1] {
        for ended in [
            "m=audio 0 RTP/AVP 8 0 101",
            "m=audio 0 RTP/AVP 18",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 0 UDP/TLS/RTP/SAVPF 8",
        ] {
            let mut dialog = Dialog::plain();
            let [own, other] = [dialog.sdp[from].clone(), dialog.sdp[1 - from].clone()];
            let live = "m=audio 4000 RTP/AVP 8 0 101";
            let no_attributes = |sdp: &str| sdp.split("a=").next().unwrap().to_owned();
            let proposed = no_attributes(&own.replace(live, ended)) + "m=image 5000 udptl t38\r\n";
            let tags = ["a", "b"];
            let offered =
                dialog.desk.offer(&signal(&proposed, tags[from], Some(tags[1 - from]), Flags::default())).unwrap();
            let audio = |sdp: &str| -> Vec<String> {
                sdp.lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect()
            };
            assert_eq!(audio(&offered.sdp), ["m=audio 0 RTP/AVP 8 0 101"], "{}", offered.sdp);
            assert!(
                media(&offered.sender.1).send.enabled && media(&offered.receiver.1).send.enabled,
                "until the answer"
            );
            // An answerer that keeps its port does not bring the stream back.
            for answer in [no_attributes(&other.replace(live, "m=audio 0 RTP/AVP 8")), other.clone()] {
                let written =
                    dialog.desk.answer(&signal(&answer, tags[from], Some(tags[1 - from]), Flags::default())).unwrap();
                assert_eq!(audio(&written.sdp), [ended, "m=image 0 udptl t38"], "{}", written.sdp);
                for plan in [&written.sender.1, &written.receiver.1] {
                    assert!(!plan.send.enabled && !plan.receive.enabled, "{ended}: {plan:?}");
                }
            }
            dialog.offer(from, &own);
            let plans = dialog.answer(from, &other);
            assert_eq!(plans.each_ref().map(media), dialog.agreed.each_ref().map(media), "{ended}, party {from}");
        }
        // The other side refuses a stream that was offered.
        let mut dialog = Dialog::with_keys();
        let [own, other] = [dialog.sdp[from].clone(), dialog.sdp[1 - from].clone()];
        dialog.offer(from, &own);
        let plans = dialog.answer(from, &other.replace("m=audio 4000", "m=audio 0"));
        assert!(plans.iter().all(|plan| !plan.send.enabled && !plan.receive.enabled));
        dialog.offer(from, &own);
        let plans = dialog.answer(from, &if from == 0 { other } else { only_suite_in_use(&other) });
        assert!(plans.iter().all(|plan| plan.send.enabled && plan.receive.enabled));
    }
}

#[test]
fn a_stream_with_port_0_is_refused_where_there_is_none_that_could_end() {
    let ended = SIP_OFFER.replace("m=audio 4000", "m=audio 0");
    let mut desk = Desk::new();
    let error = desk.offer(&signal(&ended, "a", None, Flags::default())).unwrap_err();
    assert!(error.to_string().contains("port 0"), "{error}");
    let mut dialog = Dialog::plain();
    let error = dialog.desk.offer(&signal(&ended, "a", Some("c"), Flags::default())).unwrap_err();
    assert!(error.to_string().contains("no stream that could end"), "{error}");
}

#[test]
fn a_re_offer_without_to_tag_finds_the_party_that_the_sender_is_in_a_call_with() {
    let answer = sip_answer("RTP/AVP", ANSWER_FORMATS);
    let branch = |mut message: Signal, branch: Option<&str>| {
        message.via_branch = branch.map(str::to_owned);
        message
    };
    for branches in [None, Some(["z1", "z2", "z3"])] {
        let mut desk = Desk::new();
        for index in 0..if branches.is_some() { 3 } else { 1 } {
            let message = signal(SIP_OFFER, "a", None, Flags::default());
            desk.offer(&branch(message, branches.map(|names| names[index]))).unwrap();
        }
        let message = signal(&answer, "a", Some("b"), Flags::default());
        let agreed = desk.answer(&branch(message, branches.map(|names| names[1]))).unwrap();
        let parties = desk.session.parties().len();
        let held = answer.replace("sendrecv", "sendonly");
        let offered = desk.offer(&signal(&held, "b", None, Flags::default())).unwrap();
        assert_eq!(offered.receiver.0, agreed.receiver.0, "{branches:?}");
        let written = desk.answer(&signal(SIP_OFFER, "b", Some("a"), Flags::default())).unwrap();
        assert_eq!((written.sender.0, written.receiver.0), (agreed.receiver.0, agreed.sender.0));
        assert_eq!(desk.session.parties().len(), parties, "no third leg");
        // And the caller, which names no fork.
        let offered = desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
        assert_eq!(offered.receiver.0, agreed.sender.0, "{branches:?}");
    }
}

#[test]
fn a_callee_whose_answer_had_no_to_tag_may_re_offer() {
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    let answer = sip_answer("RTP/AVP", ANSWER_FORMATS);
    let agreed = desk.answer(&signal(&answer, "a", None, Flags::default())).unwrap();
    for to in [None, Some("a")] {
        let offered = desk.offer(&signal(&answer, "b", to, Flags::default())).unwrap();
        assert_eq!((offered.sender.0, offered.receiver.0), (agreed.sender.0, agreed.receiver.0));
    }
    assert_eq!(desk.session.party_by_tag("b").unwrap().leg(), agreed.sender.0);
}

#[test]
fn any_of_many_forks_may_answer_and_one_whose_leg_was_removed_is_refused() {
    let branch = |n: usize| format!("z{n}");
    let offer = |n: usize, flags: Flags| {
        let mut message = signal(SIP_OFFER, "a", None, flags);
        message.via_branch = Some(branch(n));
        message
    };
    let answer = |n: usize, tag: &str| {
        let mut message = signal(&sip_answer("RTP/AVP", ANSWER_FORMATS), "a", Some(tag), Flags::default());
        message.via_branch = Some(branch(n));
        message
    };
    for answered in 0..30 {
        let mut desk = Desk::new();
        let offered: Vec<Written> = (0..30).map(|n| desk.offer(&offer(n, Flags::default())).unwrap()).collect();
        assert!(offered.iter().all(|written| written.removed.is_empty()));
        let written = desk.answer(&answer(answered, "b")).unwrap();
        assert_eq!(written.sender.0, offered[answered].receiver.0, "{answered}");
        assert_eq!(written.receiver.1.send.source, trestle_core::plan::Source::Leg(written.sender.0));
    }
    // A fork of another kind cannot share their leg, and there is room for two such kinds.
    let mut desk = Desk::new();
    (0..8).for_each(|n| drop(desk.offer(&offer(n, Flags::default())).unwrap()));
    let kinds = [(Protocol::RtpSavp, 0), (Protocol::RtpAvpf, 0), (Protocol::RtpSavpf, 1)];
    for (n, (protocol, removed)) in kinds.into_iter().enumerate() {
        let flags = || Flags { transport_protocol: Some(protocol), ..Flags::default() };
        let first = desk.offer(&offer(8 + n, flags())).unwrap();
        assert_eq!(first.removed.len(), removed);
        let second = desk.offer(&offer(20 + n, flags())).unwrap();
        assert_eq!((second.receiver.0, second.removed.len()), (first.receiver.0, 0));
    }
    let error = desk.answer(&answer(0, "b")).unwrap_err();
    assert!(error.to_string().contains("the leg of via-branch \"z0\" was removed"), "{error}");
    desk.answer(&answer(1, "b")).unwrap();
    // The branch is used again.
    let written = desk.offer(&offer(0, Flags::default())).unwrap();
    assert_eq!(desk.answer(&answer(0, "c")).unwrap().sender.0, written.receiver.0);
}

#[test]
fn the_version_of_o_rises_with_each_change_and_only_then() {
    // The phone counts nothing: its o= line is always the same.
    let mut desk = Desk::new();
    let mut versions = Vec::new();
    for direction in ["sendrecv", "sendonly", "sendonly", "inactive", "sendrecv", "sendrecv"] {
        let offer = SIP_OFFER.replace("a=sendrecv", &format!("a={direction}"));
        let to = if versions.is_empty() { None } else { Some("b") };
        let offered = desk.offer(&signal(&offer, "a", to, Flags::default())).unwrap().sdp;
        let origin = offered.lines().find_map(|line| line.strip_prefix("o=")).unwrap().to_owned();
        let fields: Vec<&str> = origin.split(' ').collect();
        assert_eq!((fields[0], fields[1]), ("pbx", "1"), "{origin}");
        versions.push(fields[2].parse::<u64>().unwrap());
        desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    }
    assert_eq!(versions, [1, 2, 2, 3, 4, 4]);
    // A version that the phone raises is passed on.
    let raised = SIP_OFFER.replace("o=pbx 1 1", "o=pbx 1 9").replace("a=sendrecv", "a=recvonly");
    let offered = desk.offer(&signal(&raised, "a", Some("b"), Flags::default())).unwrap().sdp;
    assert!(offered.contains("\r\no=pbx 1 9 IN "), "{offered}");
}
