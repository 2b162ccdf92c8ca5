//! Messages as proxies put them on the wire, through to typed operations.

use std::net::IpAddr;
use std::time::Duration;

mod golden;

use super::captured::*;
use super::flags::*;
use super::*;
use crate::{Dict, Value, frame};
use trestle_sdp::Protocol;

fn request(datagram: &str) -> Request {
    let datagram = whole(datagram);
    let (_, body) = frame::split(datagram.as_bytes()).expect("a cookie");
    let (_, dict) = frame::read(body).expect("a dictionary");
    Request::read(&dict).expect("a request")
}

fn offer(datagram: &str) -> Signal {
    match request(datagram).verb {
        Verb::Offer(signal) => *signal,
        other => panic!("{other:?}"),
    }
}

fn list(specs: &[&str]) -> CodecList {
    let mut list = CodecList::default();
    specs.iter().for_each(|spec| assert!(list.add(spec)));
    list
}

/// The flags of a flag string.
fn string(text: &str) -> Flags {
    words::read(&Dict::default().with("rtpp-flags", text))
}

/// The flags of a list of words.
fn listed(words: &[&str]) -> Flags {
    words::read(&Dict::default().with("flags", words.iter().map(|word| (*word).into()).collect::<Vec<Value>>()))
}

#[test]
fn kamailio_ping() {
    assert_eq!(request(KAMAILIO_PING).verb, Verb::Ping);
}

#[test]
fn kamailio_offer_without_flags_has_every_default() {
    let signal = offer(KAMAILIO_BARE_OFFER);
    assert_eq!(
        signal,
        Signal {
            call_id: "cid-none".to_owned(),
            from_tag: "ft1".to_owned(),
            to_tag: None,
            via_branch: None,
            sdp: SDP.to_owned(),
            flags: Flags { call: CallFlags { supports_load_limit: true, ..Default::default() }, ..Flags::default() },
            received_from: Some(IpAddr::from([127, 0, 0, 1])),
        }
    );
}

#[test]
fn kamailio_offer_towards_a_pbx() {
    let expected = Flags {
        transport_protocol: Some(Protocol::RtpAvp),
        ice: IceFlag::Remove,
        dtls: DtlsFlag::Off.into(),
        rtcp_mux: RtcpMuxFlags { demux: true, ..Default::default() },
        codec: CodecFlags { mask: list(&["opus"]), transcode: list(&["PCMA"]), ..Default::default() },
        replace: ReplaceFlags { origin: true, ..Default::default() },
        call: CallFlags { supports_load_limit: true, ..Default::default() },
        ..Flags::default()
    };
    assert_eq!(offer(KAMAILIO_OFFER_TO_PBX).flags, expected);
}

#[test]
fn kamailio_offer_towards_webrtc() {
    let signal = offer(KAMAILIO_OFFER_TO_WEBRTC);
    assert_eq!(signal.via_branch.as_deref(), Some("z9hG4bK-webrtc"));
    let expected = Flags {
        transport_protocol: Some(Protocol::UdpTlsRtpSavpf),
        ice: IceFlag::Force,
        dtls: DtlsFlag::Passive.into(),
        sdes: SdesFlags { off: true, ..Default::default() },
        rtcp_mux: RtcpMuxFlags { require: true, ..Default::default() },
        codec: CodecFlags { mask: list(&["PCMA"]), transcode: list(&["opus/48000/2"]), ..Default::default() },
        replace: ReplaceFlags { origin: true, ..Default::default() },
        warnings: vec![
            "`record-call=on` is not supported and was ignored".to_owned(),
            "unknown flag `bogus` ignored".to_owned(),
        ],
        switches: Switches::of(&[Switch::GenerateMid]),
        routing: RoutingFlags {
            direction: Some(["priv".to_owned(), "pub".to_owned()]),
            media_address: Some(IpAddr::from([192, 0, 2, 9])),
            ..Default::default()
        },
        media: MediaFlags { tos: Tos::Byte(184), ..Default::default() },
        call: CallFlags { supports_load_limit: true, ..Default::default() },
        ..Flags::default()
    };
    assert_eq!(signal.flags, expected);
}

#[test]
fn kamailio_answer_delete_and_query() {
    let Verb::Answer(answer) = request(KAMAILIO_ANSWER).verb else { panic!("no answer") };
    assert_eq!((answer.from_tag.as_str(), answer.to_tag.as_deref()), ("ft1", Some("tt9")));
    assert_eq!(answer.flags.ice, IceFlag::Force);
    let Verb::Delete(delete) = request(KAMAILIO_DELETE).verb else { panic!("no delete") };
    assert_eq!((delete.call_id.as_str(), delete.from_tag.as_deref(), delete.delay), ("cid-std", Some("ft1"), None));
    let Verb::Query(query) = request(KAMAILIO_QUERY).verb else { panic!("no query") };
    assert_eq!((query.call_id.as_str(), query.to_tag.as_deref(), query.verbose), ("cid-std", Some("tt1"), false));
}

#[test]
fn opensips_spellings_mean_the_same_as_kamailios() {
    let signal = offer(OPENSIPS_OFFER);
    let expected = Flags {
        transport_protocol: Some(Protocol::RtpAvp),
        ice: IceFlag::Remove,
        dtls: DtlsFlag::Off.into(),
        sdes: SdesFlags { off: true, ..Default::default() },
        rtcp_mux: RtcpMuxFlags { demux: true, ..Default::default() },
        codec: CodecFlags { mask: list(&["opus"]), transcode: list(&["PCMA"]), ..Default::default() },
        replace: ReplaceFlags { origin: true, sdp_version: true, session_name: true, ..Default::default() },
        switches: Switches::of(&[Switch::GenerateMid]),
        routing: RoutingFlags {
            direction: Some(["priv".to_owned(), "pub".to_owned()]),
            address_family: Some(AddressFamily::Ip4),
            ..Default::default()
        },
        ..Flags::default()
    };
    assert_eq!(signal.flags, expected);
    assert_eq!(signal.received_from, Some(IpAddr::from([192, 0, 2, 7])));
    let Verb::Delete(delete) = request(OPENSIPS_DELETE).verb else { panic!("no delete") };
    assert_eq!((delete.from_tag, delete.delay), (None, Some(Duration::from_secs(5))));
}

#[test]
fn a_flag_string_a_list_of_words_and_keys_are_equivalent() {
    let keys = Dict::default()
        .with("Transport Protocol", "RTP/SAVP")
        .with("sdes", vec!["no-AES_CM_128_HMAC_SHA1_32".into(), "pad".into()])
        .with("RTCP_mux", "offer, require")
        .with("codec", Dict::default().with("strip", "all").with("except", vec!["PCMA".into(), "opus/48000/2".into()]))
        .with("replace", "origin,SDP-version")
        .with("flags", "strict source, no rtcp attribute")
        .with("delete_delay", "7");
    let keys = words::read(&keys);
    let words = listed(&[
        "RTP/SAVP",
        "SDES-no-AES_CM_128_HMAC_SHA1_32",
        "SDES-pad",
        "rtcp-mux-offer",
        "rtcp-mux-require",
        "codec-strip-all",
        "codec-except-PCMA",
        "codec-except-opus/48000/2",
        "replace-origin",
        "replace-SDP-version",
        "strict-source",
        "no-rtcp-attribute",
        "delete-delay=7",
    ]);
    let text = string(
        "RTP/SAVP SDES=[no-AES_CM_128_HMAC_SHA1_32 pad] rtcp-mux=[offer require] codec=[strip=[all] except=[PCMA \
         opus/48000/2]] replace-origin replace-SDP-version strict-source no-rtcp-attribute delete-delay=7",
    );
    assert_eq!(keys.sdes.no, ["AES_CM_128_HMAC_SHA1_32"]);
    assert!(keys.codec.strip.all && keys.rtcp_mux.require);
    assert_eq!(keys.call.delete_delay, Some(Duration::from_secs(7)));
    assert_eq!(keys.warnings, [""; 0]);
    assert_eq!(keys, words);
    assert_eq!(keys, text);
}

#[test]
fn the_last_of_two_flags_wins_and_lists_add_up() {
    let dict = Dict::default()
        .with("ICE", "remove")
        .with("codec-transcode", vec!["PCMA".into()])
        .with("ICE", "force")
        .with("codec-transcode", vec!["PCMU".into()]);
    let flags = words::read(&dict);
    assert_eq!(flags.ice, IceFlag::Force);
    assert_eq!(flags.codec.transcode, list(&["PCMA", "PCMU"]));
    assert!(!listed(&["SIP-source-address", "trust-address"]).has(Switch::SipSourceAddress));
}

#[test]
fn bare_protocol_words_add_up() {
    for (words, protocol) in [
        ("RTP AVP", Protocol::RtpAvp),
        ("SRTP", Protocol::RtpSavp),
        ("SRTP AVPF", Protocol::RtpSavpf),
        ("RTP AVPF", Protocol::RtpAvpf),
        ("DTLS SRTP AVPF", Protocol::UdpTlsRtpSavpf),
        ("UDP/TLS/RTP/SAVP", Protocol::UdpTlsRtpSavp),
        ("transport-protocol=rtp/savpf", Protocol::RtpSavpf),
    ] {
        assert_eq!(string(words).transport_protocol, Some(protocol), "{words}");
    }
}

#[test]
fn the_webrtc_flag_is_the_sum_of_its_parts() {
    let parts = "transport-protocol=UDP/TLS/RTP/SAVPF ICE=force trickle-ICE rtcp-mux-offer rtcp-mux-require \
                 no-rtcp-attribute SDES-off generate-mid";
    assert_eq!(string("WebRTC"), string(parts));
    assert_eq!(string("WebRTC ICE=remove").ice, IceFlag::Remove);
}

#[test]
fn sdes_orders_and_sets_of_suites() {
    let flags =
        string("SDES-order:AES_256_CM_HMAC_SHA1_80;AES_CM_128_HMAC_SHA1_80; SDES=[only-aead_aes_128_gcm nonew]");
    assert_eq!(flags.sdes.order, ["AES_256_CM_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_80"]);
    assert_eq!(flags.sdes.only, ["AEAD_AES_128_GCM"]);
    assert!(flags.sdes.nonew);
    let pref = words::read(&Dict::default().with("SDES", vec!["offerer_pref:AES_CM_128_HMAC_SHA1_32;".into()]));
    assert_eq!(pref.sdes.offerer_pref, ["AES_CM_128_HMAC_SHA1_32"]);
}

#[test]
fn numbers_beyond_sense_fall_back() {
    let tos = |n: i64| words::read(&Dict::default().with("TOS", Value::Integer(n))).media.tos;
    assert_eq!([tos(184), tos(256), tos(-1), tos(0)], [Tos::Byte(184), Tos::Default, Tos::Keep, Tos::Byte(0)]);
    let delay = |n: i64| words::read(&Dict::default().with("delete delay", Value::Integer(n))).call.delete_delay;
    assert_eq!([delay(0), delay(-5), delay(i64::MAX)], [Some(Duration::ZERO), None, Some(Duration::from_secs(3_600))]);
}

#[test]
fn directions_come_as_a_list_one_by_one_or_as_interfaces() {
    let expected = Some(["a".to_owned(), "b".to_owned()]);
    assert_eq!(string("direction=a direction=b").routing.direction, expected);
    assert_eq!(string("direction=[a b]").routing.direction, expected);
    assert_eq!(string("from-interface=a to-interface=b").routing.direction, expected);
    assert_eq!(string("internal external").routing.direction, Some(["internal".to_owned(), "external".to_owned()]));
    assert_eq!(string("direction=a").routing.direction, None);
    assert_eq!(string("direction=a").warnings.len(), 1);
}

#[test]
fn what_is_not_understood_is_named_and_never_an_error() {
    for (text, warning) in [
        ("bogus", "unknown flag `bogus` ignored"),
        ("bogus=1", "unknown key `bogus` ignored"),
        ("ICE=perhaps", "unknown value `perhaps` of `ICE` ignored"),
        ("codec-mask-/8000", "unknown value `/8000` of `codec-mask` ignored"),
        ("pierce-NAT", "flag `pierce-NAT` is not supported and was ignored"),
        ("media-address=nowhere", "unknown value `nowhere` of `media-address` ignored"),
        ("label=[a b]", "value of `label` is not of the expected kind; ignored"),
        ("rtpp-flags=[x]", "unknown key `rtpp-flags` ignored"),
        ("ptime=long", "value of `ptime` is not of the expected kind; ignored"),
    ] {
        assert_eq!(string(text).warnings, [warning], "{text}");
    }
    for silent in ["session-connection", "symmetric", "trust-address", "recrypt", "DTLS=active", "profile=whatsapp"] {
        assert_eq!(string(silent).warnings, [""; 0], "{silent}");
    }
}

#[test]
fn rubbish_by_the_hundred_makes_few_and_short_warnings() {
    let words = (0..500).map(|n| format!("{n}{}", "\u{e4}".repeat(300)).into()).collect::<Vec<Value>>();
    let flags = words::read(&Dict::default().with("flags", words));
    assert_eq!(flags.warnings.len(), Flags::WARNINGS_MAX);
    assert!(flags.warnings.iter().all(|warning| warning.len() <= Flags::WARNING_BYTES_MAX + 3));
}

#[test]
fn what_lacks_is_named_in_rtpengines_order() {
    let answer = Dict::default().with("command", "answer");
    let table: [(Dict, RequestError); 9] = [
        (Dict::default(), RequestError::NoCommand),
        (Dict::default().with("command", "PING"), RequestError::UnknownCommand),
        (Dict::default().with("command", "play media"), RequestError::UnknownCommand),
        (answer.clone(), RequestError::NoSdp),
        (answer.clone().with("sdp", "v=0"), RequestError::NoCallId),
        (answer.clone().with("sdp", "v=0").with("call-id", "c"), RequestError::NoFromTag),
        (answer.with("sdp", "v=0").with("call-id", "c").with("from-tag", "a"), RequestError::NoToTag),
        (Dict::default().with("command", "delete"), RequestError::NoCallId),
        (Dict::default().with("command", "list").with("limit", Value::Integer(-1)), RequestError::InvalidLimit),
    ];
    for (dict, error) in table {
        assert_eq!(Request::read(&dict), Err(error));
    }
}

#[test]
fn any_key_of_any_type_is_taken_or_refused() {
    let keys = [
        "command",
        "call-id",
        "from-tag",
        "to-tag",
        "via-branch",
        "sdp",
        "flags",
        "rtpp-flags",
        "ICE",
        "DTLS",
        "SDES",
        "codec",
        "replace",
        "rtcp-mux",
        "direction",
        "received-from",
        "TOS",
        "ptime",
        "delete delay",
        "supports",
        "label",
        "limit",
        "media-address",
    ];
    let values = [
        Value::Integer(i64::MIN),
        Value::Bytes(b"\xff\0".to_vec()),
        Value::from(""),
        Value::List(vec![Value::Integer(1), Value::List(vec![]), Dict::default().into()]),
        Value::Dict(Dict::default().with("x", Value::List(vec![]))),
    ];
    for command in ["offer", "answer", "delete", "query", "list", "statistics", "ping"] {
        for key in keys {
            for value in &values {
                let dict = Dict::default().with(key, value.clone());
                let rest = Dict::default().with("command", command).with("sdp", SDP).with("call-id", "c");
                let rest = rest.with("from-tag", "a").with("to-tag", "b");
                // Either way is fine; what matters is that there is one.
                match Request::read(&Dict([dict.0, rest.0].concat())) {
                    Ok(request) => assert!(request.warnings.len() <= Flags::WARNINGS_MAX),
                    Err(error) => assert!(error.to_string().len() < 100),
                }
            }
        }
    }
}

#[test]
fn names_and_sdp_have_a_length() {
    let dict = |call_id: &str, sdp: &str| {
        let dict = Dict::default().with("command", "offer").with("call-id", call_id).with("from-tag", "a");
        Request::read(&dict.with("sdp", sdp)).map(|_| ())
    };
    assert_eq!(dict(&"x".repeat(NAME_BYTES_MAX), SDP), Ok(()));
    assert_eq!(dict(&"x".repeat(NAME_BYTES_MAX + 1), SDP), Err(RequestError::NameTooLong("call-id")));
    assert_eq!(dict("c", &"x".repeat(SDP_BYTES_MAX + 1)), Err(RequestError::SdpTooLong));
}

proptest::proptest! {
    #[test]
    fn any_flag_string_is_read(text in "[a-zA-Z0-9=\\[\\] /:;,.-]{0,200}") {
        string(&text);
    }

    #[test]
    fn any_word_is_read(words in proptest::collection::vec(
        "(codec-|SDES-|transcode-|rtcp-mux-|codec-mask-|SDES-order:|SDES-no-|replace-|\u{e4})?.{0,12}", 0..8)) {
        listed(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
