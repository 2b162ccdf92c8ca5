use std::net::SocketAddr;

use proptest::prelude::*;
use trestle_core::plan::{Codec, Fingerprint};
use trestle_srtp::Profile;
use trestle_wire::ClockRate;

use super::*;
use crate::meta_samples::META;

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

/// What `read` skips.
fn skipped_by(read: impl FnOnce(&mut Skipped)) -> Vec<SdpError> {
    let mut skipped = Skipped::default();
    read(&mut skipped);
    skipped.iter().cloned().collect()
}

fn audio(lines: &str) -> String {
    format!("{HEAD}m=audio 4000 RTP/AVP 8\r\n{lines}")
}

fn media(text: &str) -> (Sdp, MediaDescription) {
    let sdp = Sdp::parse(text).unwrap();
    let media = sdp.media[0].clone();
    (sdp, media)
}

#[test]
fn all_nine_samples_round_trip_byte_for_byte() {
    for (name, text) in META {
        assert_eq!(Sdp::parse(text).unwrap().to_string(), text, "{name}");
    }
}

#[test]
fn lf_is_read_like_crlf_and_written_as_crlf() {
    for (name, text) in META {
        assert_eq!(Sdp::parse(&text.replace("\r\n", "\n")).unwrap().to_string(), text, "{name}");
    }
}

#[test]
fn unknown_lines_keep_their_place() {
    let text = format!(
        "{HEAD}y=0100000001\r\na=x-session:1\r\nm=audio 4000 RTP/AVP 8\r\nf=v/1/2\r\na=x-media\r\na=ptime:20\r\n"
    );
    assert_eq!(Sdp::parse(&text).unwrap().to_string(), text);
}

#[test]
fn a_description_without_meaning_is_refused_with_its_line_and_reason() {
    let huge = "a=x\r\n".repeat(7_000);
    let media = "m=audio 1 RTP/AVP 0\r\n".repeat(33);
    let table: [(&str, String, Option<usize>, &str); 12] = [
        ("nothing", String::new(), None, "no lines"),
        ("only line ends", "\r\n\r\n".into(), None, "no lines"),
        ("no version first", "o=- 1 1 IN IP4 192.0.2.1\r\n".into(), Some(1), "must be v=0"),
        ("another version", "v=1\r\n".into(), Some(1), "must be v=0"),
        ("no SDP", "hello\r\nv=0\r\n".into(), Some(1), "lower-case letter"),
        ("two versions", "v=0\r\nv=0\r\n".into(), Some(2), "second v="),
        ("two descriptions", format!("{}{HEAD}", audio("")), Some(7), "second v="),
        ("huge", audio(&huge), None, "longer than 32768"),
        ("33 media", format!("{HEAD}{media}"), Some(38), "more than 32"),
        ("m= without a port", format!("{HEAD}m=audio\r\n"), Some(6), "m= must have"),
        ("a port of words", format!("{HEAD}m=audio x RTP/AVP 0\r\n"), Some(6), "port"),
        ("port 65536", format!("{HEAD}m=audio 65536 RTP/AVP 0\r\n"), Some(6), "port"),
    ];
    for (what, text, line, reason) in table {
        let error = Sdp::parse(&text).expect_err(what);
        assert_eq!(error.line, line, "{what}: {error}");
        assert!(error.reason.contains(reason), "{what}: {error}");
    }
}

#[test]
fn a_malformed_or_surplus_line_is_skipped_with_its_number_and_reason() {
    let table: [(&str, String, usize, &str); 8] = [
        ("no equals sign", "ptime\r\n".into(), 7, "lower-case letter"),
        ("capital letter", "A=ptime\r\n".into(), 7, "lower-case letter"),
        ("control character", "a=x\u{0}y\r\n".into(), 7, "control character"),
        ("bare CR", "a=x\ry\r\n".into(), 7, "control character"),
        ("long line", format!("a={}\r\n", "x".repeat(1_023)), 7, "longer than 1024"),
        ("many lines", "a=x\r\n".repeat(1_019), 1_025, "more than 1024 lines"),
        ("a second origin", "o=- 2 2 IN IP4 192.0.2.2\r\n".into(), 7, "o= must occur once"),
        ("behind an empty line", "\r\n\r\nx\r\n".into(), 9, "lower-case letter"),
    ];
    for (what, lines, number, reason) in table {
        let sdp = Sdp::parse(&audio(&lines)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let skipped: Vec<_> = sdp.skipped.iter().collect();
        assert_eq!(skipped.len(), 1, "{what}: {skipped:?}");
        assert_eq!(skipped[0].line, Some(number), "{what}: {skipped:?}");
        assert!(skipped[0].reason.contains(reason), "{what}: {skipped:?}");
    }
}

#[test]
fn of_many_skipped_lines_eight_are_kept_and_all_are_counted() {
    let sdp = Sdp::parse(&audio(&"junk\r\n".repeat(100))).unwrap();
    assert_eq!((sdp.skipped.iter().count(), sdp.skipped.count()), (Skipped::KEPT_MAX, 100));
    let warnings: Vec<String> = sdp.skipped.warnings().collect();
    assert_eq!(warnings.len(), Skipped::KEPT_MAX + 1);
    assert_eq!(warnings[0], "not used: line 7 \"junk\": a line must be a lower-case letter, \"=\" and a value");
    assert_eq!(warnings[8], "92 more items of the SDP are not used");
}

#[test]
fn lines_that_others_write_are_read() {
    // Text behind the head, and what the m= line is read as.
    let table: [(&str, &str, u16, &str, usize); 6] = [
        ("a number of ports", "m=audio 4000/2 RTP/AVP 0 8\r\n", 4_000, "RTP/AVP", 2),
        ("a refused stream without format", "m=application 0 *\r\n", 0, "*", 0),
        ("an empty line before it", "\r\nm=audio 4000 RTP/AVP 0\r\n", 4_000, "RTP/AVP", 1),
        ("a line of spaces before it", "  \r\nm=audio 4000 RTP/AVP 0\r\n", 4_000, "RTP/AVP", 1),
        ("tabs", "m=audio\t4000\tRTP/AVP\t0\r\n", 4_000, "RTP/AVP", 1),
        ("a format too many", &format!("m=audio 4000 RTP/AVP{}\r\n", " 0".repeat(65)), 4_000, "RTP/AVP", 64),
    ];
    for (what, text, port, proto, formats) in table {
        let (_, media) = media(&format!("{HEAD}{text}"));
        assert_eq!((media.port, media.proto.as_str(), media.formats.len()), (port, proto, formats), "{what}");
    }
    for origin in ["", "o=- 1\r\n", "o=John Doe 1 1 IN IP4 192.0.2.1\r\n"] {
        assert!(Sdp::parse(&format!("v=0\r\n{origin}s=-\r\nm=audio 1 RTP/AVP 0\r\n")).is_ok(), "{origin:?}");
    }
}

#[test]
fn a_malformed_rtpmap_costs_its_own_payload_type_only() {
    // Payload type, value of its rtpmap, and what it is.
    let table: [(u8, &str, FormatKind); 9] = [
        (8, "8 PCMA", FormatKind::Audio(Codec::Pcma)),
        (8, "8", FormatKind::Audio(Codec::Pcma)),
        (8, "8 PCMA/fast", FormatKind::Audio(Codec::Pcma)),
        (101, "101 telephone-event", FormatKind::Event(ClockRate::HZ_8000)),
        (96, "96 opus", FormatKind::Audio(Codec::Opus)),
        (96, "96 opus/0/2", FormatKind::Other),
        (96, "96 /8000", FormatKind::Other),
        (96, "96", FormatKind::Other),
        (96, "", FormatKind::Other),
    ];
    for (pt, value, kind) in table {
        let (_, media) = media(&format!("{HEAD}m=audio 1 RTP/AVP 0 {pt}\r\na=rtpmap:{value}\r\n"));
        let kinds: Vec<_> =
            media.audio_formats(&[], &mut Skipped::default()).iter().map(|format| format.kind).collect();
        assert_eq!(kinds, [FormatKind::Audio(Codec::Pcmu), kind], "{value:?}");
    }
    let (_, media) = media(&format!("{HEAD}m=audio 1 RTP/AVP 128 x 4294967304 8\r\n"));
    let mut skipped = Skipped::default();
    assert_eq!(media.audio_formats(&[], &mut skipped).len(), 1);
    assert_eq!(skipped.count(), 3);
}

#[test]
fn an_error_shows_control_characters_escaped_and_secrets_not_at_all() {
    let sdp = Sdp::parse(&audio("a=x\u{1b}[2J\u{7}\r\n")).unwrap();
    let error = sdp.skipped.iter().next().unwrap().to_string();
    assert!(error.chars().all(|c| !c.is_control()), "{error:?}");
    let (sdp, media) = media(&audio("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET\r\na=ice-pwd:SECRET~\r\n"));
    let key = skipped_by(|skipped| drop(media.cryptos(skipped))).remove(0).to_string();
    let pwd = sdp.ice_credential(&media, "ice-pwd").unwrap_err().to_string();
    assert!(!key.contains("SECRET") && !pwd.contains("SECRET"), "{key} {pwd}");
    assert!(!format!("{sdp:?}").contains("SECRET"), "{sdp:?}");
    for malformed in [
        "A=CRYPTO:1 X inline:SECRET",
        " a=ice-pwd:SECRET",
        "m=audio 1 inline:SECRET",
        "k=clear:SECRET",
        "a=key-mgmt:x SECRET",
    ] {
        let shown = SdpError::at(3, malformed, "x").to_string();
        assert!(!shown.contains("SECRET"), "{shown}");
    }
    assert_eq!(SdpError::at(3, "a=x:mark=1", "x").text, "a=x:mark=1", "not every `k=` is a key");
}

#[test]
fn metas_offer_is_read_completely() {
    let (sdp, media) = media(META[8].1);
    assert!(sdp.ice_lite(&media) && media.rtcp_mux());
    assert_eq!(sdp.setup(&media).unwrap(), Some(Setup::ActPass));
    assert_eq!(media.mid().unwrap(), Some("audio"));
    assert_eq!(sdp.ice_credential(&media, "ice-ufrag").unwrap().as_deref(), Some("RmDDkfzkwbexPfbC"));
    assert_eq!(media.milliseconds("maxptime").unwrap(), Some(20));
    let mut skipped = Skipped::default();
    let fingerprints = sdp.fingerprints(&media, &mut skipped);
    assert!(matches!(fingerprints[..], [Fingerprint::Sha256(digest)] if digest[0] == 0xCA));
    let formats = media.audio_formats(&[], &mut skipped);
    assert_eq!(formats[0].kind, FormatKind::Audio(Codec::Opus));
    assert_eq!(formats[0].opus_settings().bitrate_bps, 20_000);
    assert_eq!(formats[1].kind, FormatKind::Event(ClockRate::HZ_8000));
    let candidates: Vec<String> = media.candidates(&mut skipped).iter().map(ToString::to_string).collect();
    assert_eq!(
        candidates,
        [
            "candidate:1775469887 1 udp 2122260223 57.144.135.35 3480 typ host",
            "candidate:3355715111 1 udp 2122262783 2a03:2880:f343:131:face:b00c:0:699c 3480 typ host",
        ]
    );
    assert_eq!(skipped.count(), 0, "{skipped:?}");
}

#[test]
fn candidates_are_parsed_with_any_extensions_and_unusable_ones_are_ignored() {
    let (_, media) = media(&audio(concat!(
        "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host ufrag abc network-cost 50 generation 0\r\n",
        "a=candidate:2 1 tcp 2130706431 192.0.2.1 9 typ host tcptype active\r\n",
        "a=candidate:3 2 udp 2130706430 192.0.2.1 4001 typ host\r\n",
        "a=candidate:4 1 udp 2130706431 0aa1-1.local 4000 typ host\r\n",
        "a=candidate:5 1 udp 1694498815 203.0.113.9 4000 typ srflx raddr 10.0.0.1 rport 4000\r\n",
        "a=candidate:8 1 udp 1 192.0.2.1 4000 typ other\r\n",
    )));
    let candidates = media.candidates(&mut Skipped::default());
    assert_eq!(candidates.iter().map(|c| c.foundation.as_str()).collect::<Vec<_>>(), ["1", "5"]);
    assert_eq!(
        candidates[1].to_string(),
        "candidate:5 1 udp 1694498815 203.0.113.9 4000 typ srflx raddr 0.0.0.0 rport 0"
    );
}

#[test]
fn a_malformed_candidate_is_skipped_and_the_good_one_beside_it_is_kept() {
    for bad in [
        "1 1 udp",
        "1 x udp 1 192.0.2.1 1 typ host",
        "1 1 udp 4294967296 192.0.2.1 1 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "; 1 udp 1 192.0.2.1 1 typ host",
    ] {
        let good = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host";
        let (_, media) = media(&audio(&format!("a=candidate:{bad}\r\n{good}\r\n")));
        let mut skipped = Skipped::default();
        assert_eq!(media.candidates(&mut skipped).len(), 1, "{bad}");
        assert_eq!(skipped.iter().map(|error| error.line).collect::<Vec<_>>(), [Some(7)], "{bad}");
    }
}

#[test]
fn crypto_lines_of_every_suite_read_back_with_and_without_padding() {
    for profile in Profile::ALL {
        let raw: Vec<u8> = (0..(profile.key_len() + profile.salt_len()) as u8).collect();
        let key = trestle_srtp::KeyingMaterial::from_key_and_salt(profile, &raw).unwrap();
        for (pad, lifetime) in [(true, false), (false, false), (false, true)] {
            let text = Crypto::text(7, &key, pad, lifetime);
            let (_, media) = media(&audio(&format!("a=crypto:{text}\r\n")));
            let read = media.cryptos(&mut Skipped::default());
            assert_eq!((read[0].tag, &read[0].key, read[0].mki_len), (7, &key, 0), "{text}");
        }
    }
}

#[test]
fn crypto_parameters_have_known_outcomes() {
    const KEY: &str = "5CI+0g1+pXQKMm4rJoym25HQQc9RlPV345OoujuF";
    let suite = format!("AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    // Line and outcome: Some(mki_len) if it is accepted, None if Trestle does not support it, words of the reason if it is malformed.
    let table: [(String, Result<Option<u8>, &str>); 25] = [
        (format!("1 {suite}"), Ok(Some(0))),
        (format!("1 {suite}|2^31"), Ok(Some(0))),
        (format!("1 {suite}|1048576"), Ok(Some(0))),
        (format!("1 {suite}|2^20|1:4"), Ok(Some(4))),
        (format!("1 {suite}|1:1"), Ok(Some(1))),
        (format!("1 {suite}|1:5"), Ok(Some(5))),
        (format!("1 {suite}|2^31|340282366920938463463374607431768211455:128"), Ok(Some(128))),
        (format!("1 {suite}|1:129"), Err("MKI")),
        (format!("1 {suite}|1:0"), Err("MKI")),
        (format!("1 {suite}|x:1"), Err("MKI")),
        (format!("1 {suite}|2^49"), Err("lifetime")),
        (format!("1 {suite}|"), Err("lifetime")),
        (format!("1 {suite};inline:{KEY}|2^20|2:4"), Ok(None)),
        (format!("1 {suite} UNENCRYPTED_SRTP"), Err("switches protection off")),
        (format!("1 {suite} unencrypted_srtcp"), Err("switches protection off")),
        (format!("1 {suite} WSH=128 UNAUTHENTICATED_SRTP"), Err("switches protection off")),
        (format!("1 {suite} KDR=0 WSH=128 -X-TRA"), Ok(Some(0))),
        (format!("1 {suite} KDR=4"), Err("not supported")),
        (format!("1 {suite} FEC_ORDER=FEC_SRTP"), Err("not supported")),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:AAAA".into(), Err("takes a key")),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:%%%%".into(), Err("base64")),
        (format!("1 AES_CM_128_HMAC_SHA1_80 exline:{KEY}"), Err("inline")),
        (format!("1234567890 {suite}"), Err("tag")),
        ("1 AES_CM_128_HMAC_SHA1_80".into(), Err("expected TAG")),
        ("1 F8_128_HMAC_SHA1_80 inline:AAAA".into(), Ok(None)),
    ];
    for (value, expected) in table {
        let (_, media) = media(&audio(&format!("a=crypto:{value}\r\n")));
        let mut skipped = Skipped::default();
        let read = media.cryptos(&mut skipped).first().map(|crypto| crypto.mki_len);
        match (skipped.iter().next(), expected) {
            (None, Ok(expected)) => assert_eq!(read, expected, "{value}"),
            (Some(error), Err(words)) => {
                assert_eq!((error.line, read), (Some(7), None), "{value}");
                assert!(error.reason.contains(words), "{value}: {error}");
            }
            (skipped, expected) => panic!("{value}: {read:?}, {skipped:?}, expected {expected:?}"),
        }
        let good = format!("a=crypto:2 {suite}");
        let (_, media) = self::media(&audio(&format!("a=crypto:{value}\r\n{good}\r\n")));
        let chosen = media.cryptos(&mut Skipped::default());
        assert_eq!(chosen.last().map(|crypto| crypto.tag), Some(2), "{value} beside a good line");
    }
}

#[test]
fn each_fingerprint_counts_but_sha_1_beside_another() {
    let digest = |n: usize| vec!["AB"; n].join(":");
    let (sdp, media) = media(&audio(&format!(
        "a=fingerprint:sha-512 {}\r\na=fingerprint:SHA-256 {}\r\na=fingerprint:sha-1 {}\r\na=fingerprint:md5 {}\r\n",
        digest(64),
        digest(32).to_lowercase(),
        digest(20),
        digest(16),
    )));
    let mut skipped = Skipped::default();
    let found = sdp.fingerprints(&media, &mut skipped);
    assert_eq!(found, [Fingerprint::Sha512([0xAB; 64]), Fingerprint::Sha256([0xAB; 32])]);
    assert_eq!(skipped.iter().map(|error| error.line).collect::<Vec<_>>(), [Some(10)], "md5");
    let (sdp, media) = self::media(&audio(&format!("a=fingerprint:sha-1 {}\r\n", digest(20))));
    assert_eq!(sdp.fingerprints(&media, &mut skipped), [Fingerprint::Sha1([0xAB; 20])]);
}

#[test]
fn a_malformed_fingerprint_is_skipped_before_and_behind_a_good_one() {
    for bad in ["sha-256", "sha-256 AB:CD", "sha-256 XY", "md5 AB:CD"] {
        let (bad, good) =
            (format!("a=fingerprint:{bad}\r\n"), format!("a=fingerprint:sha-256 {}\r\n", vec!["ab"; 32].join(":")));
        for (lines, number) in [(format!("{bad}{good}"), 7), (format!("{good}{bad}"), 8)] {
            let (sdp, media) = media(&audio(&lines));
            let mut skipped = Skipped::default();
            assert_eq!(sdp.fingerprints(&media, &mut skipped), [Fingerprint::Sha256([0xAB; 32])], "{lines}");
            assert_eq!(skipped.iter().map(|error| error.line).collect::<Vec<_>>(), [Some(number)], "{lines}");
        }
    }
}

#[test]
fn ice_passwords_with_base64_padding_are_taken_at_either_level() {
    let text = format!(
        "{HEAD}a=ice-pwd:+219v9nKr3xSQIn8s+Fy8g==\r\nm=audio 1 RTP/AVP 8\r\na=ice-ufrag:{}\r\n",
        "u".repeat(256)
    );
    let (sdp, media) = media(&text);
    assert_eq!(sdp.ice_credential(&media, "ice-pwd").unwrap().as_deref(), Some("+219v9nKr3xSQIn8s+Fy8g=="));
    assert_eq!(sdp.ice_credential(&media, "ice-ufrag").unwrap().unwrap().len(), 256);
}

#[test]
fn connection_addresses_are_literals() {
    for (value, good) in [
        ("IN IP4 192.0.2.1", true),
        ("IN IP6 2001:db8::1", true),
        ("IN IP4 0.0.0.0", true),
        ("IN IP4 sip.example.com", false),
        ("IN IP4 239.1.1.1/127", false),
        ("IN IP4 127.1", false),
        ("IN IP4 0177.0.0.1", false),
        ("IN IP6 [::1]", false),
        ("IN IP6 fe80::1%eth0", false),
        ("IN IP4 2001:db8::1", false),
        ("IN IP6 192.0.2.1", false),
        ("IP4 192.0.2.1", false),
    ] {
        let (sdp, media) = media(&audio(&format!("c={value}\r\n")));
        assert_eq!(sdp.connection(&media).is_ok(), good, "{value}");
    }
}

#[test]
fn rtcp_goes_to_the_signalled_port_and_port_9_is_no_port() {
    let rtp: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    for (lines, expected) in [
        ("", "192.0.2.1:4001"),
        ("a=rtcp:5001\r\n", "192.0.2.1:5001"),
        ("a=rtcp:5001 IN IP4 192.0.2.7\r\n", "192.0.2.7:5001"),
        ("a=rtcp:9 IN IP4 0.0.0.0\r\n", "192.0.2.1:4001"),
        ("a=rtcp:0\r\n", "192.0.2.1:4001"),
        ("a=rtcp:5001  IN IP4 192.0.2.7 \r\n", "192.0.2.7:5001"),
        ("a=rtcp:5001 IN IP4 media.example.net\r\n", "192.0.2.1:5001"),
        ("a=rtcp:\r\n", "192.0.2.1:4001"),
        ("a=rtcp\r\n", "192.0.2.1:4001"),
        ("a=rtcp:x\r\n", "192.0.2.1:4001"),
    ] {
        let (sdp, media) = media(&audio(lines));
        let rtcp = sdp.rtcp_address(&media, rtp, &mut Skipped::default());
        assert_eq!(rtcp, expected.parse().unwrap(), "{lines}");
    }
}

#[test]
fn a_stray_word_in_fmtp_does_no_harm() {
    let (_, media) = media(&format!(
        "{HEAD}m=audio 1 RTP/AVP 111 13 72 9\r\na=rtpmap:111 OPUS/48000/2\r\na=fmtp:111 0 maxplaybackrate=16000; useinbandfec=1\r\na=rtpmap:72 opus/48000/2\r\n"
    ));
    let formats = media.audio_formats(&[], &mut Skipped::default());
    let opus = formats[0].opus_settings();
    assert_eq!((opus.max_playback_hz, opus.inband_fec, opus.bitrate_bps), (16_000, true, 20_000));
    let kinds: Vec<_> = formats[1..].iter().map(|format| format.kind).collect();
    assert_eq!(kinds, [FormatKind::ComfortNoise, FormatKind::Other, FormatKind::Other]);
}

#[test]
fn a_payload_type_without_rtpmap_is_what_was_offered() {
    let (_, media) = media(&format!("{HEAD}m=audio 1 RTP/AVP 8 101 97\r\n"));
    let known = [Format::event(trestle_wire::Pt::new(101).unwrap(), None)];
    let kinds: Vec<_> = media.audio_formats(&known, &mut Skipped::default()).iter().map(|format| format.kind).collect();
    assert_eq!(kinds, [FormatKind::Audio(Codec::Pcma), FormatKind::Event(ClockRate::HZ_8000), FormatKind::Other]);
}

#[test]
fn directions_answer_each_other() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for (wanted, offered, answer) in [
        (SendRecv, SendRecv, SendRecv),
        (SendRecv, SendOnly, RecvOnly),
        (SendRecv, RecvOnly, SendOnly),
        (SendRecv, Inactive, Inactive),
        (RecvOnly, SendOnly, RecvOnly),
        (SendOnly, SendOnly, Inactive),
    ] {
        assert_eq!(wanted.within(offered), answer, "{wanted:?} to {offered:?}");
    }
}

proptest! {
    #[test]
    fn a_description_that_can_be_parsed_is_unchanged_after_writing_and_parsing(text in "(v=0\r\n)?(o=- 1 1 IN IP4 a\r\n)?([a-z]=[ -~]{0,20}\r\n){0,8}(m=audio [0-9]{1,6} RTP/AVP [0-9]{1,3}\r\n)?([a-z]=[ -~]{0,30}\r\n){0,8}") {
        if let Ok(sdp) = Sdp::parse(&text) {
            let written = sdp.to_string();
            prop_assert_eq!(&Sdp::parse(&written).unwrap().to_string(), &written);
            if let Some(media) = sdp.media.first() {
                // Any outcome but a panic.
                let skipped = &mut Skipped::default();
                drop((media.audio_formats(&[], skipped), media.candidates(skipped), media.cryptos(skipped)));
                drop((sdp.fingerprints(media, skipped), sdp.connection(media)));
            }
        }
    }
}
