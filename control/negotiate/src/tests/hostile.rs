//! Descriptions that must not pass, and what must not pass through those that do.

use std::collections::BTreeSet;

use super::*;
use trestle_sdp::PeerDescriptionError;

/// Changes a good offer into a bad one.
struct Bad {
    what: &'static str,
    sdp: String,
    /// Line that the error must name; `None` if the fault is in no single line.
    line: Option<usize>,
    reason: &'static str,
}

fn bad(what: &'static str, sdp: String, line: impl Into<Option<usize>>, reason: &'static str) -> Bad {
    Bad { what, sdp, line: line.into(), reason }
}

#[test]
fn an_offer_that_leaves_no_way_to_bridge_is_refused_with_line_and_reason_and_leaves_nothing_behind() {
    let sip = |from: &str, to: &str| SIP_OFFER.replace(from, to);
    let sdes = |from: &str, to: &str| SDES_OFFER.replace(from, to);
    let meta = |from: &str, to: &str| meta_sample("user_initiated.sip_webrtc.meta_offer").replace(from, to);
    let two = "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n";
    let one = "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==\r\n";
    let table = [
        bad("empty", String::new(), None, "no lines"),
        bad("no version", sip("v=0\r\n", ""), 1, "must be v=0"),
        bad("no media", SIP_OFFER.split("m=").next().unwrap().into(), None, "no m="),
        bad("video alone", sip("m=audio", "m=video"), 6, "no audio"),
        bad("a codec unknown to us alone", sip("RTP/AVP 8 0 101", "RTP/AVP 9 18 101"), 6, "no codec"),
        bad("events alone", sip("RTP/AVP 8 0 101", "RTP/AVP 101"), 6, "no codec"),
        bad("comfort noise alone", sip("RTP/AVP 8 0 101", "RTP/AVP 13"), 6, "no codec"),
        bad("port 0", sip("m=audio 4000", "m=audio 0"), 6, "port 0"),
        bad("port 65536", sip("m=audio 4000", "m=audio 65536"), 6, "port"),
        bad("TCP", sip("RTP/AVP", "TCP/RTP/AVP"), 6, "protocol"),
        bad("a typing error", sip("RTP/AVP", "RTP/SAVPFF"), 6, "protocol"),
        bad("fax", sip("m=audio 4000 RTP/AVP 8 0 101", "m=image 4000 udptl t38"), 6, "no audio"),
        bad("no connection", sip("c=IN IP4 198.51.100.7\r\n", ""), 5, "no c="),
        bad("a name", sip("c=IN IP4 198.51.100.7", "c=IN IP4 pbx.example.com"), 4, "literal"),
        bad("multicast", sip("c=IN IP4 198.51.100.7", "c=IN IP4 239.0.0.1"), 4, "multicast"),
        bad("the wrong family", sip("c=IN IP4", "c=IN IP6"), 4, "family"),
        bad("SDES without keys", sdes(one, "").replace(two, ""), 6, "a=crypto or an a=fingerprint"),
        bad(
            "SDES with suites unknown to us",
            sdes(one, "").replace("AES_CM_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80"),
            9,
            "no a=crypto",
        ),
        bad(
            "encryption off",
            sdes(one, "").replace("GBkaGxwd\r\n", "GBkaGxwd UNENCRYPTED_SRTP\r\n"),
            9,
            "switches protection off",
        ),
        bad(
            "a short key",
            sdes(one, "").replace("inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n", "inline:AAEC\r\n"),
            9,
            "takes a key of",
        ),
        bad(
            "a key that is no base64",
            sdes(one, "").replace("inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n", "inline:!!!!\r\n"),
            9,
            "base64",
        ),
        bad("an MKI beyond 128 bytes", sdes(one, "").replace("GBkaGxwd\r\n", "GBkaGxwd|1:129\r\n"), 9, "MKI"),
        bad("no fingerprint", meta("a=fingerprint", "a=x-fingerprint"), 8, "a=fingerprint"),
        bad("a short fingerprint", meta(":D6:19\r\n", "\r\n"), 15, "length"),
        bad("no ice-pwd", meta("a=ice-pwd", "a=x-ice-pwd"), 8, "a=ice-pwd is missing"),
        bad("no ICE", meta("a=ice-ufrag", "a=x-ice-ufrag"), 8, "a=ice-ufrag is missing"),
        bad("a long ice-pwd", meta("a=ice-pwd:", &format!("a=ice-pwd:{}", "x".repeat(256))), 14, "256"),
    ];
    for Bad { what, sdp, line, reason } in table {
        let mut desk = Desk::new();
        let error = desk.offer(&signal(&sdp, "a", None, Flags::default())).expect_err(what);
        let shown = error.to_string();
        let NegotiationError::Sdp(
            PeerDescriptionError::Malformed(detail)
            | PeerDescriptionError::Incomplete(detail)
            | PeerDescriptionError::Unbridgeable(detail),
        ) = &error
        else {
            panic!("{what}: {error:?}");
        };
        assert_eq!(detail.line, line, "{what}: {shown}");
        assert!(shown.contains(reason), "{what}: {shown}");
        assert!(shown.starts_with(error.contract()) && !shown.contains(char::is_control), "{what}: {shown:?}");
        assert!(desk.session.parties().is_empty(), "{what}");
    }
}

#[test]
fn an_answer_is_never_weaker_than_the_offer_and_never_other_than_it() {
    // Offered: RTP/SAVP with tag 1 AES_CM_128_HMAC_SHA1_80 only.
    let good = sip_answer("RTP/SAVP", "8 101");
    let key = "inline:HR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6";
    let table = [
        ("plain RTP", sip_answer("RTP/AVP", "8 101"), "cannot change how media is secured"),
        ("plain RTP with a key", good.replace("RTP/SAVP", "RTP/AVP"), "cannot change how media is secured"),
        ("no key", good.replace("a=crypto", "a=x-crypto"), "needs an a=crypto"),
        ("another tag", good.replace("crypto:1", "crypto:2"), "tag and suite"),
        ("tag 0", good.replace("crypto:1", "crypto:0"), "tag and suite"),
        ("a weaker suite", good.replace("SHA1_80", "SHA1_32"), "tag and suite"),
        ("encryption off", good.replace(key, &format!("{key} UNENCRYPTED_SRTCP")), "switches protection off"),
        ("authentication off", good.replace(key, &format!("{key} UNAUTHENTICATED_SRTP")), "switches protection off"),
        ("no codec of the offer", sip_answer("RTP/SAVP", "0 101"), "no codec that was offered"),
        ("refused", good.replace("m=audio 4000", "m=audio 0"), "port 0"),
        ("IPv6", good.replace("c=IN IP4 198.51.100.7", "c=IN IP6 2001:db8::7"), "IPv6"),
    ];
    for (what, answer, reason) in table {
        let mut flags = Flags { transport_protocol: Some(Protocol::RtpSavp), ..Flags::default() };
        flags.sdes.only = vec!["AES_CM_128_HMAC_SHA1_80".into()];
        flags.codec.strip = list(&["PCMU"]);
        let mut desk = Desk::new();
        desk.offer(&signal(SIP_OFFER, "a", None, flags)).unwrap();
        let error = desk.answer(&signal(&answer, "a", Some("b"), Flags::default())).expect_err(what);
        assert!(error.to_string().contains(reason) && error.to_string().contains("line "), "{what}: {error}");
        assert!(desk.session.party_by_tag("b").is_none(), "{what}: the session is as before");
        assert!(
            desk.answer(&signal(&good, "a", Some("b"), Flags::default())).is_ok(),
            "{what}: a good answer still works"
        );
    }
}

#[test]
fn a_leg_that_was_secured_stays_secured_until_an_answer_to_a_plain_re_offer_of_its_own() {
    let mut desk = Desk::new();
    desk.offer(&signal(SDES_OFFER, "a", None, Flags::default())).unwrap();
    let b = sip_answer("RTP/SAVP", "8");
    let agreed = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    // The other side is not offered less than it has, and may not answer with less.
    let offered = desk.offer(&signal(SIP_OFFER, "a", Some("b"), Flags::default())).unwrap();
    assert!(offered.sdp.contains("RTP/SAVP ") && offered.sdp.contains("a=crypto:1 "), "{}", offered.sdp);
    assert_eq!(offered.sender.1.transport, agreed.receiver.1.transport);
    let error = desk.answer(&signal(&sip_answer("RTP/AVP", "8"), "a", Some("b"), Flags::default())).unwrap_err();
    assert!(error.to_string().contains("cannot change how media is secured"), "{error}");
    assert_eq!(desk.session.party_by_tag("a").unwrap().security(), trestle_sdp::Security::Sdes);
    let written = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    assert!(matches!(written.receiver.1.transport, trestle_core::plan::Transport::Plain(_)));
    assert!(matches!(written.sender.1.transport, trestle_core::plan::Transport::Sdes { .. }));
}

#[test]
fn flags_that_would_send_secrets_in_the_clear_unasked_are_refused() {
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer");
    let mut off = Flags { dtls: DtlsFlag::Off.into(), ..Flags::default() };
    off.sdes.off = true;
    let dtls = |ice| Flags { ice, transport_protocol: Some(Protocol::UdpTlsRtpSavpf), ..Flags::default() };
    let profile =
        |name, protocol| Flags { profile: Some(name), transport_protocol: Some(protocol), ..Flags::default() };
    for (flags, reason) in [
        (off, "without keys"),
        (dtls(IceFlag::Remove), "needs DTLS and ICE"),
        (profile(ProfileName::Webrtc, Protocol::RtpAvp), "needs DTLS-SRTP"),
    ] {
        let error = Desk::new().offer(&signal(meta, "a", None, flags)).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    for protocol in [Protocol::RtpAvp, Protocol::RtpSavpf, Protocol::UdpTlsRtpSavp] {
        let error =
            Desk::new().offer(&signal(SIP_OFFER, "a", None, profile(ProfileName::Whatsapp, protocol))).unwrap_err();
        assert!(error.to_string().contains("WhatsApp takes"), "{error}");
    }
}

#[test]
fn over_a_thousand_offers_no_key_is_seen_twice_and_none_of_a_peer_comes_back() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let keys = |sdp: &str| -> Vec<String> {
        sdp.lines().filter_map(|line| Some(line.split_once("inline:")?.1.trim_end_matches('=').to_owned())).collect()
    };
    let theirs: BTreeSet<String> = keys(SDES_OFFER).into_iter().chain(keys(&sip_answer("RTP/SAVP", "8"))).collect();
    let mut desk = Desk::seeded(7);
    for n in 0..1_000 {
        // Every third call is a fork of two branches.
        desk.session = Session::default();
        let branches = if n % 3 == 0 { 2 } else { 1 };
        for branch in 0..branches {
            let mut message = signal(SDES_OFFER, "a", None, Flags::default());
            message.via_branch = Some(format!("z{branch}"));
            for key in keys(&desk.offer(&message).unwrap().sdp) {
                assert!(!theirs.contains(&key) && seen.insert(key), "offer {n}");
            }
        }
        let written = desk.answer(&signal(&sip_answer("RTP/SAVP", "8"), "a", Some("b"), Flags::default())).unwrap();
        for key in keys(&written.sdp) {
            assert!(!theirs.contains(&key) && seen.insert(key), "answer {n}");
        }
    }
}

#[test]
fn a_peer_that_sends_our_own_key_back_is_refused() {
    let mut desk = Desk::new();
    let ours = desk.offer(&signal(SDES_OFFER, "a", None, Flags::default())).unwrap().sdp;
    let line = ours.lines().find(|line| line.starts_with("a=crypto:1 ")).unwrap();
    let good = sip_answer("RTP/SAVP", "8 101");
    let known = good.lines().find(|line| line.starts_with("a=crypto")).unwrap();
    let error = desk.answer(&signal(&good.replace(known, line), "a", Some("b"), Flags::default())).unwrap_err();
    assert!(error.to_string().contains("one of ours"), "{error}");
}

#[test]
fn keys_and_the_certificate_of_any_call_are_refused_in_the_sdp_of_a_peer() {
    let mut other = Desk::seeded(8);
    let given = other.offer(&signal(SDES_OFFER, "a", None, Flags::default())).unwrap().sdp;
    other.session = Session::default();
    let with_crypto = |line: &str| {
        let others = SDES_OFFER.lines().filter(|line| !line.starts_with("a=crypto"));
        others.chain([line]).map(|line| format!("{line}\r\n")).collect::<String>()
    };
    // Whichever of the keys it is, in an offer and in an answer.
    for line in given.lines().filter(|line| line.starts_with("a=crypto")) {
        let offer = with_crypto(line);
        let error = Desk::new().offer(&signal(&offer, "a", None, Flags::default())).unwrap_err();
        assert!(error.to_string().contains("the key is one of ours"), "{line}: {error}");
    }
    let mut desk = Desk::new();
    desk.offer(&signal(SDES_OFFER, "a", None, Flags::default())).unwrap();
    let line = given.lines().find(|line| line.starts_with("a=crypto:1 ")).unwrap();
    let good = sip_answer("RTP/SAVP", "8 101");
    let known = good.lines().find(|line| line.starts_with("a=crypto")).unwrap();
    let error = desk.answer(&signal(&good.replace(known, line), "a", Some("b"), Flags::default())).unwrap_err();
    assert!(error.to_string().contains("the key is one of ours"), "{error}");
    desk.answer(&signal(&good, "a", Some("b"), Flags::default())).unwrap();
    // Another process gives out other keys.
    let mut elsewhere = Desk::new();
    elsewhere.environment.own_keys = OwnKeys::new([6; 32]);
    elsewhere.offer(&signal(&with_crypto(line), "a", None, Flags::default())).unwrap();
    // Our certificate as that of a peer.
    let webrtc = Flags { profile: Some(ProfileName::Webrtc), ..Flags::default() };
    let ours = Desk::new().offer(&signal(SIP_OFFER, "a", None, webrtc)).unwrap().sdp;
    let error = Desk::new().offer(&signal(&ours, "a", None, Flags::default())).unwrap_err();
    assert!(error.to_string().contains("the certificate is ours"), "{error}");
}

#[test]
fn nothing_a_caller_writes_becomes_a_line_of_its_own() {
    let nasty = ["x\r\na=inactive", "x\na=inactive", "x\0y", "a\r", "\u{1}", "\u{2}"];
    for text in nasty {
        for field in ["tag", "branch", "label", "codec", "fmtp"] {
            let mut flags = Flags::default();
            match field {
                "label" => flags.call.label = Some(text.into()),
                "codec" => flags.codec.transcode = list(&[text, "opus"]),
                "fmtp" => flags.codec.transcode = list(&[&format!("opus/48000/2///{text}")]),
                _ => {}
            }
            let mut message = signal(SIP_OFFER, if field == "tag" { text } else { "a" }, None, flags);
            message.via_branch = (field == "branch").then(|| text.to_owned());
            let Ok(written) = Desk::new().offer(&message) else { continue };
            assert!(!written.sdp.contains("a=inactive"), "{field} {text:?}\n{}", written.sdp);
            assert!(trestle_sdp::Sdp::parse(&written.sdp).is_ok(), "{field} {text:?}\n{}", written.sdp);
            assert!(
                written.warnings.iter().all(|warning| !warning.contains(char::is_control)),
                "{:?}",
                written.warnings
            );
        }
    }
}

#[test]
fn what_trestle_writes_can_be_read_and_has_one_statement_per_line() {
    let audio_lines = |sdp: &str, name: &str| sdp.lines().filter(|line| line.starts_with(&format!("a={name}"))).count();
    for (name, text) in meta_samples::META {
        for profile in [None, Some(ProfileName::Webrtc), Some(ProfileName::Sip), Some(ProfileName::Whatsapp)] {
            let flags = Flags { profile, ..Flags::default() };
            let written = Desk::new().offer(&signal(text, "a", None, flags)).unwrap();
            assert!(
                trestle_sdp::PeerDescription::read(&written.sdp, &[], false).is_ok(),
                "{name} {profile:?}\n{}",
                written.sdp
            );
            for once in
                ["setup:", "mid:", "ice-ufrag:", "ice-pwd:", "fingerprint:", "sendrecv", "rtcp-mux", "ptime:", "ssrc:"]
            {
                assert!(audio_lines(&written.sdp, once) <= 1, "{name} {profile:?} {once}\n{}", written.sdp);
            }
        }
    }
}
