//! One bad description for each rule, which breaks that rule alone.

use super::*;

/// `text` with each `from` replaced; panics if there is none.
fn swap(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    text.replace(from, to)
}

struct Breach {
    rule: Rule,
    writer: Writer,
    role: Role,
    offer: Option<String>,
    text: String,
}

fn ours(rule: Rule, from: &str, to: &str) -> Breach {
    Breach { rule, writer: Writer::Us, role: Role::Answer, offer: None, text: swap(ANSWER, from, to) }
}

fn sdes(rule: Rule, role: Role, from: &str, to: &str) -> Breach {
    Breach { rule, writer: Writer::Us, role, offer: None, text: swap(SDES, from, to) }
}

/// An answer to Meta's offer, checked together with the offer.
fn pair(rule: Rule, text: String) -> Breach {
    let offer = Some(meta_sample("user_initiated.sip_webrtc.meta_offer").to_owned());
    Breach { rule, writer: Writer::Us, role: Role::Answer, offer, text }
}

fn meta(rule: Rule, role: Role, name: &str, from: &str, to: &str) -> Breach {
    Breach { rule, writer: Writer::Meta, role, offer: None, text: swap(meta_sample(name), from, to) }
}

fn breaches() -> Vec<Breach> {
    let webrtc = "user_initiated.sip_webrtc.meta_offer";
    let digest = "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";
    let fingerprint = &format!("a=fingerprint:sha-256 {digest}\r\n");
    let candidate = "a=candidate:1 1 udp 2130706431 203.0.113.9 30000 typ host\r\n";
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:HR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6\r\n";
    let json = |outer: &str, sdp: &str| outer.replace("SDP", &serde_json::to_string(sdp).unwrap());
    vec![
        Breach { text: ANSWER.replace("\r\n", "\\r\\n"), ..ours(Rule::Escaped, "v=0", "") },
        Breach { text: json(r#"{"connection":{"webrtc":{"sdp":SDP}}}"#, ANSWER), ..ours(Rule::SessionSdp, "v=0", "") },
        Breach {
            text: json(r#"{"action":"accept","session":{"sdp_type":"offer","sdp":SDP}}"#, ANSWER),
            ..ours(Rule::SdpType, "v=0", "")
        },
        Breach { text: json(r#"{"action":"accept","session":{"sdp":SDP}}"#, ANSWER), ..ours(Rule::SdpType, "v=0", "") },
        ours(Rule::LineEnds, "\r\n", "\n"),
        ours(Rule::LineEnds, "a=ptime:20\r\n", "a=ptime:20\n"),
        Breach { text: ANSWER.trim_end().to_owned(), ..ours(Rule::LineEnds, "v=0", "") },
        ours(Rule::Ascii, "cname:x7", "cname:é"),
        ours(Rule::Ascii, "v=0", "\u{feff}v=0"),
        ours(Rule::LineForm, "\r\na=", "\r\n    a="),
        ours(Rule::LineForm, "a=sendrecv", "\r\na=sendrecv"),
        ours(Rule::LineForm, "a=sendrecv", "and so on\r\na=sendrecv"),
        ours(Rule::Readable, "o=- 4611 1 IN", "o=- 4611 IN"),
        ours(Rule::Readable, "c=IN IP4 203.0.113.9", "c=IN IP4 host.example"),
        ours(Rule::SessionLines, "t=0 0\r\n", ""),
        ours(Rule::SessionLines, "s=-\r\nt=0 0", "t=0 0\r\ns=-"),
        ours(Rule::Origin, "o=- 4611", "o=- x"),
        ours(Rule::Time, "t=0 0", "t=1 0"),
        ours(Rule::OneMedia, "a=ssrc:4711 cname:x7\r\n", "a=ssrc:4711 cname:x7\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"),
        ours(Rule::OneMedia, "m=audio", "m=video"),
        ours(Rule::Bundle, "a=group:BUNDLE audio\r\n", ""),
        ours(Rule::Bundle, "a=group:BUNDLE audio\r\n", "a=group:BUNDLE 0\r\n"),
        ours(Rule::Profile, "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"),
        ours(Rule::Keying, "a=rtcp-mux\r\n", &format!("a=rtcp-mux\r\n{crypto}")),
        ours(Rule::OneFingerprint, fingerprint, ""),
        ours(Rule::OneFingerprint, fingerprint, &format!("{fingerprint}a=fingerprint:sha-512 00\r\n")),
        ours(Rule::FingerprintHash, "sha-256", "sha-1"),
        ours(Rule::FingerprintHash, ":1F\r\n", "\r\n"),
        ours(Rule::FingerprintCapitals, digest, &digest.to_lowercase()),
        Breach {
            text: swap(&swap(ANSWER, fingerprint, ""), "t=0 0\r\n", &format!("t=0 0\r\n{fingerprint}")),
            ..ours(Rule::FingerprintPlace, "v=0", "")
        },
        sdes(Rule::OneCrypto, Role::Offer, crypto, ""),
        sdes(Rule::OneCrypto, Role::Answer, crypto, &format!("{crypto}{}", crypto.replace(":1 ", ":2 "))),
        sdes(Rule::CryptoKey, Role::Offer, "NTY3ODk6", ""),
        sdes(Rule::CryptoSuite, Role::Offer, "SHA1_80", "SHA1_32"),
        ours(Rule::Setup, "setup:active", "setup:actpass"),
        ours(Rule::Setup, "a=setup:active\r\n", ""),
        Breach { role: Role::Offer, ..ours(Rule::Setup, "s=-", "s=x") },
        ours(Rule::DtlsClient, "setup:active", "setup:passive"),
        meta(Rule::SetupAnswered, Role::Answer, webrtc, "s=-", "s=x"),
        ours(Rule::IceLite, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n"),
        meta(Rule::LiteExpected, Role::Offer, webrtc, "a=ice-lite\r\n", ""),
        ours(Rule::IceCredentials, "a=ice-pwd:0123456789abcdefghijkl\r\n", ""),
        ours(Rule::IceCredentials, "aB3+", "aB3"),
        ours(Rule::IceChars, "aB3+", "aB3_"),
        meta(Rule::PaddedPwd, Role::Offer, webrtc, "zyPln/cHen", "zyPln/cH=="),
        ours(Rule::Candidates, candidate, ""),
        meta(Rule::CandidatesExpected, Role::Offer, webrtc, "typ host", "typ srflx"),
        ours(Rule::Trickle, "a=mid", "a=ice-options:trickle\r\na=mid"),
        ours(Rule::CandidateForm, candidate, &format!("{candidate}a=candidate:2 1 udp x\r\n")),
        ours(Rule::CandidateKind, candidate, &format!("{candidate}{}", candidate.replace("udp", "tcp"))),
        ours(Rule::CandidateKind, candidate, &format!("{candidate}{}", candidate.replace("203.0.113.9", "x.local"))),
        ours(Rule::CandidateCount, candidate, &format!("{candidate}{}", candidate.replace("113.9", "113.8"))),
        ours(Rule::PublicAddress, "203.0.113.9", "10.0.0.5"),
        sdes(Rule::PublicAddress, Role::Offer, "c=IN IP4 203.0.113.9", "c=IN IP4 100.64.0.1"),
        ours(Rule::CandidateAddress, "m=audio 30000", "m=audio 30002"),
        sdes(Rule::MediaPort, Role::Offer, "m=audio 30000", "m=audio 9"),
        sdes(Rule::MediaPort, Role::Offer, "c=IN IP4 203.0.113.9", "c=IN IP4 0.0.0.0"),
        Breach {
            text: swap(&swap(ANSWER, "SAVPF 111 126", "SAVPF 126"), "a=rtpmap:111 opus/48000/2\r\n", ""),
            ..ours(Rule::Codecs, "v=0", "")
        },
        ours(Rule::Opus, "111 opus/48000/2", "111 PCMA/8000"),
        ours(Rule::CodecList, "SAVPF 111 126", "SAVPF 111 9 126"),
        ours(Rule::CodecList, "a=rtpmap:126", "a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126")
            .with("SAVPF 111 126", "SAVPF 111 110 126"),
        ours(Rule::TelephoneEvent, "SAVPF 111 126", "SAVPF 111"),
        Breach { text: swap(PHONE, "8 101", "8"), writer: Writer::Phone, ..ours(Rule::TelephoneEvent, "v=0", "") },
        ours(Rule::Rtpmap, "SAVPF 111 126", "SAVPF 111 112 126"),
        ours(Rule::OpusClock, "opus/48000/2", "opus/48000"),
        ours(Rule::OpusClock, "opus/48000/2", "opus/16000/2"),
        ours(Rule::Ptime, "a=ptime:20", "a=ptime:40"),
        ours(Rule::Ptime, "a=maxptime:20", "a=maxptime:10"),
        ours(Rule::PtimeExplicit, "a=ptime:20\r\n", ""),
        ours(Rule::OpusFec, ";useinbandfec=1", ""),
        pair(Rule::OpusFmtp, swap(ANSWER, "maxplaybackrate=16000", "maxplaybackrate=48000")),
        ours(Rule::RtcpFb, "a=fmtp:111", "a=rtcp-fb:111 transport-cc\r\na=fmtp:111"),
        ours(Rule::RtcpMux, "a=rtcp-mux\r\n", ""),
        ours(Rule::SendRecv, "a=sendrecv", "a=sendonly"),
        meta(Rule::SendRecv, Role::Offer, webrtc, "a=sendrecv", "a=inactive"),
        ours(Rule::OneSsrc, "a=ssrc:4711 cname:x7\r\n", "a=ssrc:4711 cname:x7\r\na=ssrc:4712 cname:x7\r\n"),
        ours(Rule::SsrcAnnounced, "a=ssrc:4711 cname:x7\r\n", ""),
        pair(Rule::MidEcho, swap(ANSWER, "audio\r\n", "0\r\n")),
        pair(Rule::AnswerShape, SDES.to_owned()),
        pair(Rule::AnswerFormats, swap(&swap(ANSWER, "SAVPF 111", "SAVPF 107"), ":111 ", ":107 ")),
        pair(
            Rule::AnswerFormats,
            swap(&swap(&swap(ANSWER, "SAVPF 111 126", "SAVPF 126 111"), ":126 ", ":0 "), ":111 ", ":126 ")
                .replace(":0 telephone-event", ":111 telephone-event"),
        ),
        pair(Rule::AnswerExtmap, swap(ANSWER, "a=mid", "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=mid")),
        Breach { text: swap(PHONE, "RTP/AVP", "RTP/XYZ"), writer: Writer::Phone, ..ours(Rule::Bridgeable, "v=0", "") },
    ]
}

impl Breach {
    fn with(self, from: &str, to: &str) -> Self {
        Self { text: swap(&self.text, from, to), ..self }
    }

    fn judged(&self) -> LintReport {
        let context = Context { offer: self.offer.as_deref(), ..context_of(self.writer, self.role) };
        lint(&self.text, &context)
    }
}

#[test]
fn each_bad_description_breaks_its_rule_and_no_other() {
    let mut wrong = Vec::new();
    for (n, breach) in breaches().iter().enumerate() {
        let mut found = broken(&breach.judged());
        found.dedup();
        if found != [breach.rule.id()] {
            wrong.push(format!("{n}, {}: {found:?}", breach.rule.id()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_rule_is_without_a_bad_description() {
    let breaches = breaches();
    let missing: Vec<&str> =
        Rule::ALL.iter().filter(|rule| !breaches.iter().any(|b| b.rule == **rule)).map(|rule| rule.id()).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_finding_has_the_line_number_of_the_file() {
    for (text, line) in [
        (swap(ANSWER, "setup:active", "setup:actpass"), 13),
        // Removed lines are counted too.
        (swap(&swap(ANSWER, "setup:active", "setup:actpass"), "s=-\r\n", "s=-\r\n\r\n"), 14),
        (swap(&swap(ANSWER, "setup:active", "setup:actpass"), "\r\n", "\r"), 13),
    ] {
        let report = lint(&text, &context_of(Writer::Us, Role::Answer));
        let finding = report.findings.iter().find(|finding| finding.rule == Rule::Setup).unwrap();
        assert_eq!((finding.line, finding.text.as_str()), (Some(line), "a=setup:actpass"));
    }
}
