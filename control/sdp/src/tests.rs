use std::net::SocketAddr;

use proptest::prelude::*;
use trestle_core::plan::{Codec, Fingerprint};
use trestle_srtp::Profile;
use trestle_wire::ClockRate;

use super::*;
use crate::meta_samples::META;

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

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
fn a_broken_description_is_refused_with_its_line_and_reason() {
    let long = format!("a={}", "x".repeat(1_023));
    let many_lines = "a=x\r\n".repeat(510);
    let huge = "a=x\r\n".repeat(4_000);
    let media = "m=audio 1 RTP/AVP 0\r\n".repeat(5);
    let formats = (0..33).map(|pt| format!(" {pt}")).collect::<String>();
    let candidates = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n".repeat(33);
    let cryptos = "a=crypto:1 X inline:A\r\n".repeat(17);
    let table: [(&str, String, Option<usize>, &str); 18] = [
        ("nothing", String::new(), None, "no lines"),
        ("only line ends", "\r\n\r\n".into(), None, "no lines"),
        ("no version first", "o=- 1 1 IN IP4 192.0.2.1\r\n".into(), Some(1), "must be v=0"),
        ("another version", "v=1\r\n".into(), Some(1), "must be v=0"),
        ("two versions", "v=0\r\nv=0\r\n".into(), Some(2), "second v="),
        ("no origin", "v=0\r\ns=-\r\nm=audio 1 RTP/AVP 0\r\n".into(), None, "no o="),
        ("short origin", "v=0\r\no=- 1\r\n".into(), Some(2), "six fields"),
        ("no equals sign", audio("ptime\r\n"), Some(7), "lower-case letter"),
        ("capital letter", audio("A=ptime\r\n"), Some(7), "lower-case letter"),
        ("empty line inside", audio("\r\na=x\r\n"), Some(7), "line is empty"),
        ("control character", audio("a=x\u{0}y\r\n"), Some(7), "control character"),
        ("bare CR", audio("a=x\ry\r\n"), Some(7), "control character"),
        ("long line", audio(&long), Some(7), "longer than 1024"),
        ("many lines", audio(&many_lines), None, "more than 512"),
        ("huge", audio(&huge), None, "longer than 16384"),
        ("five media", format!("{HEAD}{media}"), Some(10), "more than 4"),
        ("33 formats", format!("{HEAD}m=audio 1 RTP/AVP{formats}\r\n"), Some(6), "more than 32 formats"),
        ("33 candidates", audio(&candidates), Some(39), "more than 32 a=candidate"),
    ];
    for (what, text, line, reason) in table {
        let error = Sdp::parse(&text).expect_err(what);
        assert_eq!(error.line, line, "{what}: {error}");
        assert!(error.reason.contains(reason), "{what}: {error}");
    }
    assert!(Sdp::parse(&audio(&cryptos)).unwrap_err().reason.contains("more than 16 a=crypto"));
    for m in ["audio", "audio x RTP/AVP 0", "audio 65536 RTP/AVP 0", "audio 1/2 RTP/AVP 0", "audio 1 RTP/AVP"] {
        assert_eq!(Sdp::parse(&format!("{HEAD}m={m}\r\n")).unwrap_err().line, Some(6), "{m}");
    }
}

#[test]
fn an_error_shows_control_characters_escaped_and_secrets_not_at_all() {
    let error = Sdp::parse(&audio("a=x\u{1b}[2J\u{7}\r\n")).unwrap_err().to_string();
    assert!(error.chars().all(|c| !c.is_control()), "{error:?}");
    let (sdp, media) = media(&audio("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET\r\na=ice-pwd:SECRET~\r\n"));
    let key = media.cryptos().unwrap_err().to_string();
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
    assert!(matches!(sdp.fingerprint(&media).unwrap(), Some(Fingerprint::Sha256(digest)) if digest[0] == 0xCA));
    let formats = media.audio_formats(&[]).unwrap();
    assert_eq!(formats[0].kind, FormatKind::Audio(Codec::Opus));
    assert_eq!(formats[0].opus_settings().bitrate_bps, 20_000);
    assert_eq!(formats[1].kind, FormatKind::Event(ClockRate::HZ_8000));
    let candidates: Vec<String> = media.candidates().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        candidates,
        [
            "candidate:1775469887 1 udp 2122260223 57.144.135.35 3480 typ host",
            "candidate:3355715111 1 udp 2122262783 2a03:2880:f343:131:face:b00c:0:699c 3480 typ host",
        ]
    );
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
    let candidates = media.candidates().unwrap();
    assert_eq!(candidates.iter().map(|c| c.foundation.as_str()).collect::<Vec<_>>(), ["1", "5"]);
    assert_eq!(
        candidates[1].to_string(),
        "candidate:5 1 udp 1694498815 203.0.113.9 4000 typ srflx raddr 0.0.0.0 rport 0"
    );
}

#[test]
fn malformed_candidates_are_errors() {
    for bad in [
        "1 1 udp",
        "1 x udp 1 192.0.2.1 1 typ host",
        "1 1 udp 4294967296 192.0.2.1 1 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "; 1 udp 1 192.0.2.1 1 typ host",
    ] {
        let (_, media) = media(&audio(&format!("a=candidate:{bad}\r\n")));
        assert_eq!(media.candidates().unwrap_err().line, Some(7), "{bad}");
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
            let read = media.cryptos().unwrap();
            assert_eq!((read[0].tag, &read[0].key, read[0].mki_len), (7, &key, 0), "{text}");
        }
    }
}

#[test]
fn crypto_parameters_have_known_outcomes() {
    const KEY: &str = "5CI+0g1+pXQKMm4rJoym25HQQc9RlPV345OoujuF";
    let suite = format!("AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
    // Line and outcome: Some(mki_len) if it is accepted, None if it is ignored, Err with words of the reason.
    let table: [(String, Result<Option<u8>, &str>); 23] = [
        (format!("1 {suite}"), Ok(Some(0))),
        (format!("1 {suite}|2^31"), Ok(Some(0))),
        (format!("1 {suite}|1048576"), Ok(Some(0))),
        (format!("1 {suite}|2^20|1:4"), Ok(Some(4))),
        (format!("1 {suite}|1:1"), Ok(Some(1))),
        (format!("1 {suite}|1:5"), Err("MKI")),
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
        match (media.cryptos(), expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read.first().map(|crypto| crypto.mki_len), expected, "{value}"),
            (Err(error), Err(words)) => {
                assert_eq!(error.line, Some(7), "{value}");
                assert!(error.reason.contains(words), "{value}: {error}");
            }
            (got, expected) => panic!("{value}: {got:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn of_several_fingerprints_the_sha_256_is_taken() {
    let digest = |n: usize| vec!["AB"; n].join(":");
    let (sdp, media) = media(&audio(&format!(
        "a=fingerprint:sha-512 {}\r\na=fingerprint:SHA-256 {}\r\na=fingerprint:sha-1 {}\r\na=fingerprint:md5 {}\r\n",
        digest(64),
        digest(32).to_lowercase(),
        digest(20),
        digest(16),
    )));
    assert_eq!(sdp.fingerprint(&media).unwrap(), Some(Fingerprint::Sha256([0xAB; 32])));
}

#[test]
fn bad_fingerprints_are_errors() {
    for bad in ["sha-256", "sha-256 AB:CD", "sha-256 XY", "md5 AB:CD"] {
        let (sdp, media) = media(&audio(&format!("a=fingerprint:{bad}\r\n")));
        assert_eq!(sdp.fingerprint(&media).unwrap_err().line, Some(7), "{bad}");
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
    ] {
        let (sdp, media) = media(&audio(lines));
        assert_eq!(sdp.rtcp_address(&media, rtp).unwrap(), expected.parse().unwrap(), "{lines}");
    }
}

#[test]
fn a_stray_word_in_fmtp_does_no_harm() {
    let (_, media) = media(&format!(
        "{HEAD}m=audio 1 RTP/AVP 111 13 72 9\r\na=rtpmap:111 OPUS/48000/2\r\na=fmtp:111 0 maxplaybackrate=16000; useinbandfec=1\r\na=rtpmap:72 opus/48000/2\r\n"
    ));
    let formats = media.audio_formats(&[]).unwrap();
    let opus = formats[0].opus_settings();
    assert_eq!((opus.max_playback_hz, opus.inband_fec, opus.bitrate_bps), (16_000, true, 20_000));
    let kinds: Vec<_> = formats[1..].iter().map(|format| format.kind).collect();
    assert_eq!(kinds, [FormatKind::ComfortNoise, FormatKind::Other, FormatKind::Other]);
}

#[test]
fn a_payload_type_without_rtpmap_is_what_was_offered() {
    let (_, media) = media(&format!("{HEAD}m=audio 1 RTP/AVP 8 101 97\r\n"));
    let known = [Format::event(trestle_wire::Pt::new(101).unwrap(), None)];
    let kinds: Vec<_> = media.audio_formats(&known).unwrap().iter().map(|format| format.kind).collect();
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
                let _ = (media.audio_formats(&[]), media.candidates(), media.cryptos(), sdp.fingerprint(media), sdp.connection(media));
            }
        }
    }
}
