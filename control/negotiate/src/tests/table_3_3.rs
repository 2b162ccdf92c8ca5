//! The rules for what WhatsApp is handed, one check each. Rules that are about more than one description (the same bytes
//! again, never a second exchange) have their tests in `dialogue`.

use super::meta_sample;
use trestle_sdp::{Direction, FormatKind, MediaDescription, Sdp, Setup, Skipped};

/// What the description is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Handed<'a> {
    /// Our offer of a business-initiated call.
    Offer,
    /// Our answer to this offer of Meta's.
    AnswerTo(&'a str),
}

/// Checks every rule on one description; panics with the rule's number.
pub(crate) fn check(text: &str, handed: Handed<'_>) {
    let sdp = Sdp::parse(text).unwrap_or_else(|error| panic!("rule 12: {error}\n{text}"));
    let audio = &sdp.media[0];
    let all = |name: &str| -> Vec<String> {
        let session = sdp.attributes().chain(audio.attributes());
        session.filter(|a| a.name == name).map(|a| a.value.unwrap_or_default().to_owned()).collect()
    };
    let metas = match handed {
        Handed::AnswerTo(offer) => Some(Sdp::parse(offer).unwrap()),
        Handed::Offer => None,
    };
    let theirs: Option<&MediaDescription> = metas.as_ref().map(|sdp| &sdp.media[0]);

    // 1: one audio, one group, Meta's mid.
    assert_eq!((sdp.media.len(), audio.media.as_str()), (1, "audio"), "rule 1\n{text}");
    let mid = audio.mid().unwrap().expect("rule 1: mid");
    assert_eq!(all("group"), [format!("BUNDLE {mid}")], "rule 1\n{text}");
    if let Some(theirs) = theirs.and_then(|media| media.mid().unwrap()) {
        assert_eq!(mid, theirs, "rule 1");
    }

    // 3: DTLS with ICE or SDES with one key, never both.
    let dtls = match audio.proto.as_str() {
        "UDP/TLS/RTP/SAVPF" => true,
        "RTP/SAVP" => false,
        other => panic!("rule 3: {other}"),
    };
    assert_eq!(all("crypto").len(), usize::from(!dtls), "rule 3\n{text}");
    if let Some(theirs) = theirs {
        assert_eq!(audio.proto, theirs.proto, "rule 3");
    }

    // 2: one fingerprint, SHA-256, upper case, at media level.
    let fingerprints: Vec<&str> =
        audio.attributes().filter(|a| a.name == "fingerprint").filter_map(|a| a.value).collect();
    assert_eq!(fingerprints.len(), usize::from(dtls), "rule 2\n{text}");
    for fingerprint in fingerprints {
        let digest = fingerprint.strip_prefix("sha-256 ").expect("rule 2: sha-256");
        assert!(digest.len() == 95 && !digest.contains(|c: char| c.is_ascii_lowercase()), "rule 2: {digest}");
    }
    assert!(!sdp.attributes().any(|a| a.name == "fingerprint"), "rule 2: session level");

    // 4: active in answers, actpass in offers.
    let setup = sdp.setup(audio).unwrap();
    let expected = match handed {
        Handed::Offer => Setup::ActPass,
        Handed::AnswerTo(_) => Setup::Active,
    };
    assert_eq!(setup, dtls.then_some(expected), "rule 4");

    // 5: a full agent with all it has, no trickle.
    assert!(!sdp.ice_lite(audio), "rule 5");
    assert_eq!(all("ice-options"), [""; 0], "rule 5");
    assert_eq!((all("ice-ufrag").len(), all("ice-pwd").len()), if dtls { (1, 1) } else { (0, 0) }, "rule 5");

    // 6: one host candidate, which c= and m= repeat.
    let connection = sdp.connection(audio).unwrap().address;
    assert_eq!(sdp.session.iter().chain(&audio.lines).filter(|line| line.letter == 'c').count(), 1, "rule 6");
    let candidates = audio.candidates(&mut Skipped::default());
    assert_eq!((candidates.len(), all("candidate").len()), if dtls { (1, 1) } else { (0, 0) }, "rule 6\n{text}");
    for candidate in &candidates {
        assert_eq!(candidate.address, (connection, audio.port).into(), "rule 6");
        assert_eq!(candidate.kind, "host", "rule 6");
    }
    assert!(!connection.is_unspecified() && audio.port > 1_023, "rule 6");

    // 8: Opus and events at 8000 Hz, perhaps G.711, with Meta's numbers; and nothing else.
    let formats = audio.audio_formats(&[], &mut Skipped::default());
    assert!(formats.iter().filter(|f| matches!(f.kind, FormatKind::Event(_))).all(|f| f.clock_hz == 8_000), "rule 8");
    assert_eq!(formats.iter().filter(|f| matches!(f.kind, FormatKind::Event(_))).count(), 1, "rule 8\n{text}");
    assert!(formats.iter().all(|f| matches!(f.kind, FormatKind::Audio(_) | FormatKind::Event(_))), "rule 8\n{text}");
    assert_eq!(all("rtpmap").len(), formats.len(), "rule 8");
    if let Some(theirs) = theirs {
        let offered = theirs.audio_formats(&[], &mut Skipped::default());
        for format in &formats {
            let same = |other: &&trestle_sdp::Format| (other.pt, other.kind) == (format.pt, format.kind);
            assert!(offered.iter().any(|other| same(&other)), "rule 8: {format:?} was not offered");
        }
    }

    // 9: packets of 20 ms, Meta's own parameters, no feedback and no extensions that we do not send.
    assert_eq!((all("ptime"), all("maxptime")), (vec!["20".to_owned()], vec!["20".to_owned()]), "rule 9");
    for surplus in ["rtcp-fb", "extmap", "extmap-allow-mixed", "msid", "msid-semantic", "rtcp"] {
        assert!(all(surplus).is_empty(), "rule 9: a={surplus}\n{text}");
    }
    let fmtp = |media: &MediaDescription| -> Vec<String> {
        media.attributes().filter(|a| a.name == "fmtp").filter_map(|a| a.value).map(str::to_owned).collect()
    };
    if let Some(theirs) = theirs {
        let known = fmtp(theirs);
        assert!(fmtp(audio).iter().all(|ours| known.contains(ours)), "rule 9\n{text}");
        assert!(known.is_empty() || !fmtp(audio).is_empty() || formats[0].clock_hz == 8_000, "rule 9\n{text}");
    }

    // 10: multiplexed, both ways.
    assert!(audio.rtcp_mux(), "rule 10");
    assert_eq!(sdp.direction(audio), Direction::SendRecv, "rule 10");
    assert_eq!(all("sendrecv").len(), 1, "rule 10");

    // 11: one SSRC with a name.
    let ssrc = all("ssrc");
    assert_eq!(ssrc.len(), 1, "rule 11\n{text}");
    let (number, cname) = ssrc[0].split_once(" cname:").expect("rule 11: cname");
    assert!(number.parse::<u32>().is_ok_and(|ssrc| ssrc != 0) && !cname.is_empty(), "rule 11");

    // 12: ASCII, CRLF at the end of every line and nowhere else.
    assert!(text.is_ascii() && text.ends_with("\r\n") && !text.contains("\\"), "rule 12");
    assert!(text.split_terminator("\r\n").all(|line| !line.is_empty() && !line.contains(['\r', '\n'])), "rule 12");

    // 15: as RFC 8866 wants the head.
    let head: Vec<char> = sdp.session.iter().map(|line| line.letter).filter(|letter| *letter != 'a').collect();
    assert_eq!(head, ['v', 'o', 's', 't'], "rule 15\n{text}");
    assert!(text.contains("\r\ns=-\r\nt=0 0\r\n"), "rule 15");
    let origin: Vec<&str> = sdp.session[1].value.split(' ').collect();
    assert!(origin[0] == "-" && origin[1].parse::<u64>().is_ok() && origin[2].parse::<u64>().is_ok(), "rule 15");
}

#[test]
fn the_checker_finds_what_metas_validator_refuses() {
    // The same description with one thing wrong each time must fail; this guards the checker itself.
    let mut desk = super::Desk::new();
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer");
    desk.offer(&super::signal(meta, "a", None, trestle_ng::command::Flags::default())).unwrap();
    let answer =
        super::signal(&super::sip_answer("RTP/SAVP", "8 126"), "a", Some("b"), trestle_ng::command::Flags::default());
    let good = desk.answer(&answer).unwrap().sdp;
    check(&good, Handed::AnswerTo(meta));
    let fingerprint = good.lines().find(|line| line.starts_with("a=fingerprint")).unwrap();
    for (what, bad) in [
        ("another mid", good.replace("audio\r\n", "0\r\n")),
        ("two fingerprints", good.replace(fingerprint, &format!("{fingerprint}\r\n{fingerprint}"))),
        ("a key beside DTLS", good.replace("a=rtcp-mux", "a=rtcp-mux\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x")),
        ("passive", good.replace("setup:active", "setup:passive")),
        ("lite", good.replace("t=0 0", "t=0 0\r\na=ice-lite")),
        ("another port", good.replace(" 30000 typ", " 30002 typ")),
        ("events at 48 kHz", good.replace("telephone-event/8000", "telephone-event/48000")),
        ("feedback", good.replace("a=rtcp-mux", "a=rtcp-mux\r\na=rtcp-fb:111 transport-cc")),
        ("ptime 30", good.replace("a=ptime:20", "a=ptime:30")),
        ("hold", good.replace("sendrecv", "sendonly")),
        ("no SSRC", good.replace("a=ssrc:", "a=x-ssrc:")),
        ("LF", good.replace("\r\n", "\n")),
        ("a name", good.replace("s=-", "s=call")),
    ] {
        assert_ne!(bad, good, "{what}");
        let outcome = std::panic::catch_unwind(|| check(&bad, Handed::AnswerTo(meta)));
        assert!(outcome.is_err(), "{what} was not noticed");
    }
}
