//! Effects of flags and descriptions on the plans.

use std::net::IpAddr;
use trestle_ng::command::flags::{MediaFlags, RoutingFlags};
use trestle_ng::command::{Switch, Switches};

use trestle_core::plan::{Codec, LatchPolicy, RtpPeer, Transport};
use trestle_sdp::Skipped;
use trestle_srtp::Profile as Suite;

use super::*;
use trestle_ng::command::flags::{AddressFamily, EndpointLearning};

fn peer(plan: &LegPlan) -> &RtpPeer {
    match &plan.transport {
        Transport::Plain(peer) | Transport::Sdes { peer, .. } => peer,
        Transport::WebRtc(_) => panic!("a WebRTC leg"),
    }
}

fn offered(text: &str, flags: Flags) -> Written {
    Desk::new().offer(&signal(text, "a", None, flags)).unwrap()
}

#[test]
fn addresses_are_latched_as_the_flags_ask() {
    let address: IpAddr = "203.0.113.77".parse().unwrap();
    let plain = Flags::default;
    let table = [
        ("nothing", plain(), LatchPolicy::SameIp, "198.51.100.7:4000"),
        (
            "asymmetric",
            Flags { switches: Switches::of(&[Switch::Asymmetric]), ..plain() },
            LatchPolicy::Asymmetric,
            "198.51.100.7:4000",
        ),
        ("strict-source", plain(), LatchPolicy::SameIp, "198.51.100.7:4000"),
        (
            "learning off",
            Flags {
                routing: RoutingFlags { endpoint_learning: EndpointLearning::Off, ..Default::default() },
                ..plain()
            },
            LatchPolicy::Exact,
            "198.51.100.7:4000",
        ),
        (
            "immediate",
            Flags {
                routing: RoutingFlags { endpoint_learning: EndpointLearning::Immediate, ..Default::default() },
                ..plain()
            },
            LatchPolicy::Any,
            "198.51.100.7:4000",
        ),
        (
            "SIP source",
            Flags { switches: Switches::of(&[Switch::SipSourceAddress]), ..plain() },
            LatchPolicy::Ip("203.0.113.5".parse().unwrap()),
            "203.0.113.5:4000",
        ),
        (
            "media-address",
            Flags { routing: RoutingFlags { media_address: Some(address), ..Default::default() }, ..plain() },
            LatchPolicy::SameIp,
            "198.51.100.7:4000",
        ),
        (
            "delayed",
            Flags {
                routing: RoutingFlags { endpoint_learning: EndpointLearning::Delayed, ..Default::default() },
                ..plain()
            },
            LatchPolicy::Delayed,
            "198.51.100.7:4000",
        ),
        (
            "heuristic",
            Flags {
                routing: RoutingFlags { endpoint_learning: EndpointLearning::Heuristic, ..Default::default() },
                ..plain()
            },
            LatchPolicy::Delayed,
            "198.51.100.7:4000",
        ),
    ];
    for (what, flags, policy, rtp) in table {
        let mut message = signal(SIP_OFFER, "a", None, flags);
        message.received_from = Some("203.0.113.5".parse().unwrap());
        let written = Desk::new().offer(&message).unwrap();
        let peer = peer(&written.sender.1);
        assert_eq!((peer.latch, peer.rtp), (policy, Some(rtp.parse().unwrap())), "{what}");
        assert_eq!(peer.rtcp.unwrap().port(), 4_001, "{what}");
    }
}

#[test]
fn a_private_address_behind_a_public_source_is_believed_beside_it() {
    let public: IpAddr = "203.0.113.5".parse().unwrap();
    for (signalled, from, policy) in [
        ("192.168.1.5", "203.0.113.5", LatchPolicy::SameIpOr(public)),
        ("10.1.2.3", "203.0.113.5", LatchPolicy::SameIpOr(public)),
        ("172.16.0.9", "203.0.113.5", LatchPolicy::SameIpOr(public)),
        ("100.64.0.9", "203.0.113.5", LatchPolicy::SameIpOr(public)),
        ("198.51.100.7", "203.0.113.5", LatchPolicy::SameIp),
        ("192.168.1.5", "10.0.0.9", LatchPolicy::SameIp),
        ("192.168.1.5", "2001:db8::9", LatchPolicy::SameIp),
    ] {
        let mut message = signal(
            &SIP_OFFER.replace("c=IN IP4 198.51.100.7", &format!("c=IN IP4 {signalled}")),
            "a",
            None,
            Flags::default(),
        );
        message.received_from = Some(from.parse().unwrap());
        let written = Desk::new().offer(&message).unwrap();
        let peer = peer(&written.sender.1);
        assert_eq!(
            (peer.latch, peer.rtp),
            (policy, Some(format!("{signalled}:4000").parse().unwrap())),
            "{signalled} {from}"
        );
    }
}

#[test]
fn media_address_is_written_for_the_receiver_and_strict_source_is_obeyed() {
    let media_address = Some("203.0.113.77".parse().unwrap());
    let flags = || Flags { routing: RoutingFlags { media_address, ..Default::default() }, ..Default::default() };
    let mut desk = Desk::new();
    let offered = desk.offer(&signal(SIP_OFFER, "a", None, flags())).unwrap();
    assert!(offered.sdp.contains("\r\nc=IN IP4 203.0.113.77\r\n"), "{}", offered.sdp);
    let answered = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    assert!(!answered.sdp.contains("203.0.113.77"), "{}", answered.sdp);
    assert!(!peer(&answered.sender.1).strict_source);
    let strict = Flags { switches: Switches::of(&[Switch::StrictSource]), ..Default::default() };
    let written = Desk::new().offer(&signal(SIP_OFFER, "a", None, strict)).unwrap();
    assert!(peer(&written.sender.1).strict_source);
}

#[test]
fn hold_by_0_0_0_0_reaches_the_other_side_as_a_direction() {
    let held = |direction: &str| {
        let offer = SIP_OFFER.replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0").replace("a=sendrecv", direction);
        let mut desk = Desk::new();
        desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
        desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
        let offered = desk.offer(&signal(&offer, "a", Some("b"), Flags::default())).unwrap().sdp;
        let direction =
            |sdp: &str| trestle_sdp::Sdp::parse(sdp).map(|sdp| sdp.direction(&sdp.media[0]).as_str()).unwrap();
        let mirrored = match direction(&offered) {
            "sendonly" => "recvonly",
            other => other,
        };
        let answer = sip_answer("RTP/AVP", "8 101").replace("a=sendrecv", &format!("a={mirrored}"));
        let answered = desk.answer(&signal(&answer, "a", Some("b"), Flags::default())).unwrap();
        let (sender, receiver) = (answered.receiver.1, answered.sender.1);
        (
            direction(&offered),
            direction(&answered.sdp),
            sender.receive.enabled,
            sender.send.enabled,
            receiver.send.enabled,
        )
    };
    // What the other side is offered, what the holder is answered; the holder is received from, is not sent to, and is forwarded.
    assert_eq!(held("a=sendrecv"), ("sendonly", "recvonly", true, false, true));
    assert_eq!(held("a=sendonly"), ("sendonly", "recvonly", true, false, true));
    assert_eq!(held("a=x"), ("sendonly", "recvonly", true, false, true));
    assert_eq!(held("a=recvonly"), ("inactive", "inactive", false, false, false));
    assert_eq!(held("a=inactive"), ("inactive", "inactive", false, false, false));
}

#[test]
fn hold_in_every_form() {
    // what is changed, sending, receiving
    for (from, to, sending, receiving) in [
        ("a=sendrecv", "a=sendrecv", true, true),
        ("a=sendrecv", "a=sendonly", false, true),
        ("a=sendrecv", "a=recvonly", true, false),
        ("a=sendrecv", "a=inactive", false, false),
        ("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0", false, true),
    ] {
        let written = offered(&SIP_OFFER.replace(from, to), Flags::default());
        assert_eq!((written.sender.1.send.enabled, written.sender.1.receive.enabled), (sending, receiving), "{to}");
    }
    let written = offered(&SIP_OFFER.replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0"), Flags::default());
    assert_eq!(peer(&written.sender.1).rtp, None);
    // For a WebRTC peer port 9 and 0.0.0.0 are nothing of the kind.
    let written = offered(meta_sample("business_initiated.graph_webrtc.browser_offer"), Flags::default());
    assert!(written.sender.1.send.enabled);
}

#[test]
fn a_stream_that_ends_with_port_0_is_silent_both_ways() {
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    desk.offer(&signal(&SIP_OFFER.replace("4000", "0"), "a", Some("b"), Flags::default())).unwrap();
    let ended = sip_answer("RTP/AVP", "8 101").replace("4000", "0");
    let written = desk.answer(&signal(&ended, "a", Some("b"), Flags::default())).unwrap();
    assert!(!written.sender.1.send.enabled && !written.sender.1.receive.enabled);
    assert!(!written.receiver.1.send.enabled && !written.receiver.1.receive.enabled);
}

#[test]
fn each_codec_flag_has_its_effect() {
    let codecs = |written: &Written| {
        let line = written.sdp.lines().find(|line| line.starts_with("m=audio")).unwrap();
        line.split(' ').skip(3).collect::<Vec<_>>().join(" ")
    };
    type Set = fn(&mut Flags);
    let sip: [(&str, Set, &str); 10] = [
        ("nothing", |_| {}, "8 0 101"),
        ("strip", |f| f.codec.strip = list(&["PCMU"]), "8 101"),
        ("strip all except", |f| (f.codec.strip, f.codec.except) = (list(&["all"]), list(&["PCMU"])), "0 101"),
        ("strip all, offer", |f| (f.codec.strip, f.codec.offer) = (list(&["all"]), list(&["PCMU", "PCMA"])), "0 8 101"),
        ("offer reorders", |f| f.codec.offer = list(&["PCMU"]), "0 8 101"),
        ("transcode", |f| f.codec.transcode = list(&["opus"]), "8 0 111 101"),
        ("mask and transcode", |f| (f.codec.mask, f.codec.transcode) = (list(&["all"]), list(&["opus"])), "111 101"),
        ("consume", |f| (f.codec.consume, f.codec.transcode) = (list(&["PCMA"]), list(&["opus"])), "0 111 101"),
        ("strip events", |f| f.codec.strip = list(&["telephone-event"]), "8 0"),
        ("strip full, transcode", |f| (f.codec.strip, f.codec.transcode) = (list(&["full"]), list(&["opus"])), "111"),
    ];
    for (what, set, expected) in sip {
        let mut flags = Flags::default();
        set(&mut flags);
        assert_eq!(codecs(&offered(SIP_OFFER, flags)), expected, "{what}");
    }
    // A codec we do not speak is left out, and named in a warning if it is asked for.
    let text = SIP_OFFER.replace("AVP 8 0 101", "AVP 9 8 18 13 101");
    assert_eq!(codecs(&offered(&text, Flags::default())), "8 101");
    let mut flags = Flags::default();
    flags.codec.transcode = list(&["G722", "opus"]);
    let written = offered(SIP_OFFER, flags);
    assert!(written.warnings.iter().any(|warning| warning.contains("G722")), "{:?}", written.warnings);
    // Nothing left is an error, not an empty m= line.
    let mut flags = Flags::default();
    flags.codec.strip = list(&["all"]);
    let error = Desk::new().offer(&signal(SIP_OFFER, "a", None, flags)).unwrap_err();
    assert!(error.to_string().contains("every codec off"), "{error}");
}

#[test]
fn strip_all_in_place_of_mask_still_answers_with_what_was_offered() {
    let (mut offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    offer.codec.mask = list(&[]);
    offer.codec.strip = list(&["all"]);
    let mut desk = Desk::new();
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer");
    let written = desk.offer(&signal(meta, "a", None, offer)).unwrap();
    assert!(written.warnings.iter().any(|warning| warning.contains("codec-strip")), "{:?}", written.warnings);
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8 126"), "a", Some("b"), answer)).unwrap();
    super::table_3_3::check(&written.sdp, super::table_3_3::Handed::AnswerTo(meta));
}

#[test]
fn a_codec_that_both_have_is_forwarded_and_else_there_is_transcoding() {
    // B answers -> answer to A, what A is sent, what B is sent
    for (formats, expected, to_a, to_b) in [
        ("8 0 101", "8 0 101", Codec::Pcma, Codec::Pcma),
        ("0 8 101", "8 0 101", Codec::Pcma, Codec::Pcma),
        ("0 101", "0 101", Codec::Pcmu, Codec::Pcmu),
        ("111 101", "8 101", Codec::Pcma, Codec::Opus),
        ("111 0 101", "0 101", Codec::Pcmu, Codec::Pcmu),
    ] {
        let mut flags = Flags::default();
        flags.codec.transcode = list(&["opus"]);
        let mut desk = Desk::new();
        desk.offer(&signal(SIP_OFFER, "a", None, flags)).unwrap();
        let written = desk.answer(&signal(&sip_answer("RTP/AVP", formats), "a", Some("b"), Flags::default())).unwrap();
        assert!(written.sdp.contains(&format!("RTP/AVP {expected}\r\n")), "{formats}\n{}", written.sdp);
        let sent = (written.receiver.1.send.format.unwrap().codec, written.sender.1.send.format.unwrap().codec);
        assert_eq!(sent, (to_a, to_b), "{formats}");
    }
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    let flags = Flags { switches: Switches::of(&[Switch::SingleCodec]), ..Flags::default() };
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8 0 101"), "a", Some("b"), flags)).unwrap();
    assert!(written.sdp.contains("RTP/AVP 8 101\r\n"), "{}", written.sdp);
}

#[test]
fn a_phone_is_offered_events_although_the_other_side_takes_none_and_that_side_may_send_tones() {
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8"), "a", Some("b"), Flags::default())).unwrap();
    assert!(written.sdp.contains("a=rtpmap:101 telephone-event/8000"), "{}", written.sdp);
    let (a, b) = if written.sender.1.send.format.unwrap().event.is_some() {
        (written.sender.1, written.receiver.1)
    } else {
        (written.receiver.1, written.sender.1)
    };
    assert!(a.send.format.unwrap().event.is_some() && !a.receive.detect_inband_dtmf);
    assert!(b.send.format.unwrap().event.is_none() && b.receive.detect_inband_dtmf);
}

#[test]
fn tones_are_detected_where_no_events_are_announced_or_the_flag_asks_for_it() {
    for (formats, detect_dtmf, expected) in [("8", false, true), ("8 101", false, false), ("8 101", true, true)] {
        let flags = Flags {
            switches: if detect_dtmf { Switches::of(&[Switch::DetectDtmf]) } else { Switches::default() },
            ..Flags::default()
        };
        let mut desk = Desk::new();
        desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
        let written = desk.answer(&signal(&sip_answer("RTP/AVP", formats), "a", Some("b"), flags)).unwrap();
        assert_eq!(written.sender.1.receive.detect_inband_dtmf, expected, "{formats}, {detect_dtmf}");
        assert!(!written.receiver.1.receive.detect_inband_dtmf);
    }
}

#[test]
fn a_browser_is_held_to_events_in_the_clock_of_opus_if_it_has_them() {
    let browser = meta_sample("business_initiated.graph_webrtc.browser_offer");
    for (codec, expected) in
        [("opus", "a=rtpmap:110 telephone-event/48000"), ("PCMA", "a=rtpmap:126 telephone-event/8000")]
    {
        let (offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, codec);
        let mut desk = Desk::new();
        desk.offer(&signal(browser, "a", None, offer)).unwrap();
        let answered = if codec == "opus" { "111 101" } else { "8 101" };
        let written = desk.answer(&signal(&sip_answer("RTP/AVP", answered), "a", Some("b"), answer)).unwrap();
        assert!(written.sdp.contains(expected), "{codec}: {}", written.sdp);
    }
}

#[test]
fn events_of_several_clocks_are_all_received_and_one_is_offered() {
    let browser = meta_sample("business_initiated.graph_webrtc.browser_offer");
    let written = offered(browser, whatsapp_to_sip(Protocol::RtpAvp, "PCMA").0);
    let events: Vec<_> = written.sender.1.receive.events.iter().map(|(pt, clock)| (pt.get(), clock.hz())).collect();
    assert_eq!(events, [(110, 48_000), (126, 8_000)]);
    assert_eq!(written.sdp.matches("telephone-event").count(), 1);
    // A peer that has only the 48 kHz kind is answered with it, and the phone still gets the usual one.
    let text = browser.replace(" 110 126\r\n", " 110\r\n").replace("a=rtpmap:126 telephone-event/8000\r\n", "");
    let (offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    let mut desk = Desk::new();
    let written = desk.offer(&signal(&text, "a", None, offer)).unwrap();
    assert!(written.sdp.contains("a=rtpmap:101 telephone-event/8000\r\n"), "{}", written.sdp);
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), answer)).unwrap();
    assert!(written.sdp.contains("a=rtpmap:110 telephone-event/48000\r\n"), "{}", written.sdp);
}

#[test]
fn packet_times_and_encoder_settings_reach_the_sender() {
    for (line, ms) in [("ptime:20", 20), ("ptime:30", 30), ("ptime:25", 20), ("ptime:5", 10), ("ptime:120", 60)] {
        let mut desk = Desk::new();
        desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
        let text = sip_answer("RTP/AVP", "8 101").replace("ptime:20", line);
        let written = desk.answer(&signal(&text, "a", Some("b"), Flags::default())).unwrap();
        let send = written.sender.1.send.format.unwrap();
        assert_eq!((send.ptime.ms(), send.strict_ptime), (ms, false), "{line}");
    }
    // ptime towards the receiver, ptime-reverse towards the sender.
    let flags = Flags {
        media: MediaFlags { ptime_ms: Some(40), ptime_reverse_ms: Some(10), ..Default::default() },
        ..Flags::default()
    };
    let mut desk = Desk::new();
    assert!(desk.offer(&signal(SIP_OFFER, "a", None, flags)).unwrap().sdp.contains("a=ptime:40\r\n"));
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8"), "a", Some("b"), Flags::default())).unwrap();
    let (to_b, to_a) = (written.sender.1.send.format.unwrap(), written.receiver.1.send.format.unwrap());
    assert_eq!(((to_b.ptime.ms(), to_b.strict_ptime), (to_a.ptime.ms(), to_a.strict_ptime)), ((40, true), (10, true)));

    // Opus as the receiver's fmtp wants it; the operator may ask for less.
    let opus = |fmtp: &str, set: Option<&str>| {
        let mut desk = Desk::new();
        desk.offer(&signal(meta_sample("user_initiated.sip_webrtc.meta_offer"), "a", None, Flags::default())).unwrap();
        let text = sip_answer("RTP/SAVP", "111 126").replace("a=ptime", &format!("{fmtp}a=ptime"));
        let mut flags = Flags::default();
        flags.codec.set = list(set.as_slice());
        desk.answer(&signal(&text, "a", Some("b"), flags)).unwrap().sender.1.send.format.unwrap().opus
    };
    let none = opus("", None);
    assert_eq!((none.bitrate_bps, none.inband_fec), (20_000, true));
    let announced = opus("a=fmtp:111 maxaveragebitrate=16000;usedtx=1;maxplaybackrate=48000\r\n", None);
    assert_eq!(
        (announced.bitrate_bps, announced.inband_fec, announced.dtx, announced.max_playback_hz),
        (16_000, false, true, 48_000)
    );
    assert_eq!(opus("a=fmtp:111 maxaveragebitrate=16000\r\n", Some("opus/48000/2/64000")).bitrate_bps, 16_000);
    assert_eq!(opus("", Some("opus/48000/2/12000")).bitrate_bps, 12_000);
    assert_eq!(opus("a=fmtp:111 maxaveragebitrate=1\r\n", None).bitrate_bps, 6_000);
}

#[test]
fn the_sdes_flags_choose_suites() {
    type Set = fn(&mut Flags);
    let offer: [(&str, Set, &[Suite]); 6] = [
        (
            "no",
            |f| f.sdes.no = vec!["AES_CM_128_HMAC_SHA1_80".into()],
            &[
                Suite::AeadAes256Gcm,
                Suite::AeadAes128Gcm,
                Suite::AesCm256HmacSha1_80,
                Suite::AesCm128HmacSha1_32,
                Suite::AesCm256HmacSha1_32,
            ],
        ),
        (
            "only",
            |f| f.sdes.only = vec!["AEAD_AES_128_GCM".into(), "AES_CM_128_HMAC_SHA1_32".into()],
            &[Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_32],
        ),
        (
            "only beats no",
            |f| (f.sdes.only, f.sdes.no) = (vec!["AEAD_AES_128_GCM".into()], vec!["AEAD_AES_128_GCM".into()]),
            &[Suite::AeadAes128Gcm],
        ),
        ("nonew", |f| f.sdes.nonew = true, &[Suite::AesCm128HmacSha1_80, Suite::AesCm256HmacSha1_80]),
        (
            "order",
            |f| (f.sdes.nonew, f.sdes.order) = (true, vec!["AES_256_CM_HMAC_SHA1_80".into()]),
            &[Suite::AesCm256HmacSha1_80, Suite::AesCm128HmacSha1_80],
        ),
        ("only short", |f| f.sdes.only = vec!["AES_CM_128_HMAC_SHA1_32".into()], &[Suite::AesCm128HmacSha1_32]),
    ];
    for (what, set, expected) in offer {
        let mut flags = Flags::default();
        set(&mut flags);
        let written = offered(SDES_OFFER, flags);
        let suites: Vec<&str> =
            written.sdp.lines().filter_map(|line| line.strip_prefix("a=crypto:")?.split(' ').nth(1)).collect();
        assert_eq!(suites, expected.iter().map(|suite| suite.name()).collect::<Vec<_>>(), "{what}");
        let tags: Vec<String> = written
            .sdp
            .lines()
            .filter_map(|line| Some(line.strip_prefix("a=crypto:")?.split(' ').next()?.to_owned()))
            .collect();
        assert_eq!(tags, (1..=expected.len()).map(|tag| tag.to_string()).collect::<Vec<_>>(), "{what}");
    }
    // Towards the offerer: its first line, or what is preferred among its lines, with its tag.
    let answered = |flags: Flags| {
        let mut desk = Desk::new();
        desk.offer(&signal(SDES_OFFER, "a", None, flags)).unwrap();
        let written = desk.answer(&signal(&sip_answer("RTP/SAVP", "8"), "a", Some("b"), Flags::default())).unwrap();
        let lines: Vec<&str> = written.sdp.lines().filter_map(|line| line.strip_prefix("a=crypto:")).collect();
        assert_eq!(lines.len(), 1);
        lines[0].split(" inline:").next().unwrap().to_owned()
    };
    assert_eq!(answered(Flags::default()), "1 AES_256_CM_HMAC_SHA1_80");
    let mut flags = Flags::default();
    flags.sdes.offerer_pref = vec!["AES_CM_128_HMAC_SHA1_80".into()];
    assert_eq!(answered(flags), "2 AES_CM_128_HMAC_SHA1_80");
    let mut flags = Flags::default();
    flags.sdes.no = vec!["AES_256_CM_HMAC_SHA1_80".into()];
    assert_eq!(answered(flags), "2 AES_CM_128_HMAC_SHA1_80");
}

#[test]
fn keys_of_both_ways_differ_and_go_where_they_belong() {
    let mut desk = Desk::new();
    let offer = desk.offer(&signal(SDES_OFFER, "a", None, Flags::default())).unwrap();
    let b = sip_answer("RTP/SAVP", "8 101");
    let written = desk.answer(&signal(&b, "a", Some("b"), Flags::default())).unwrap();
    let key_in = |text: &str, tag: &str| {
        let sdp = trestle_sdp::Sdp::parse(text).unwrap();
        sdp.media[0]
            .cryptos(&mut Skipped::default())
            .into_iter()
            .find(|crypto| crypto.tag.to_string() == tag)
            .unwrap()
            .key
    };
    let Transport::Sdes { send_key, receive_key, .. } = &written.sender.1.transport else { panic!() };
    assert_eq!((send_key, receive_key), (&Some(key_in(&offer.sdp, "1")), &Some(key_in(&b, "1"))));
    let Transport::Sdes { send_key, receive_key, .. } = &written.receiver.1.transport else { panic!() };
    assert_eq!((send_key, receive_key), (&Some(key_in(&written.sdp, "1")), &Some(key_in(SDES_OFFER, "1"))));
}

#[test]
fn an_mki_is_expected_where_the_peer_announced_one() {
    let text = SDES_OFFER.replace("LQ==\r\n", "LQ==|2^20|1:4\r\n");
    let written = offered(&text, Flags::default());
    let Transport::Sdes { receive_mki_len, .. } = written.sender.1.transport else { panic!() };
    assert_eq!(receive_mki_len, 4);
}

#[test]
fn rtcp_is_multiplexed_when_both_agree() {
    let muxed = SIP_OFFER.replace("a=sendrecv", "a=rtcp-mux\r\na=sendrecv");
    let b = |mux: bool| {
        let text = sip_answer("RTP/AVP", "8 101");
        if mux { text.replace("a=sendrecv", "a=rtcp-mux\r\na=sendrecv") } else { text }
    };
    type Set = fn(&mut Flags);
    // offer, flags, B answers mux -> offered to B, its RTCP port written, B multiplexed, A multiplexed
    let table: [(&str, Set, bool, [bool; 4]); 7] = [
        (&muxed, |_| {}, true, [true, true, true, true]),
        (&muxed, |_| {}, false, [true, true, false, true]),
        (&muxed, |f| f.rtcp_mux.demux = true, false, [false, true, false, true]),
        (&muxed, |f| f.rtcp_mux.reject = true, false, [false, true, false, false]),
        (SIP_OFFER, |_| {}, false, [false, true, false, false]),
        (SIP_OFFER, |f| f.rtcp_mux.offer = true, true, [true, true, true, false]),
        (SIP_OFFER, |f| f.rtcp_mux.require = true, false, [true, false, true, false]),
    ];
    for (n, (text, set, answer, expected)) in table.into_iter().enumerate() {
        let mut flags = Flags::default();
        set(&mut flags);
        let mut desk = Desk::new();
        let offer = desk.offer(&signal(text, "a", None, flags)).unwrap();
        let written = desk.answer(&signal(&b(answer), "a", Some("b"), Flags::default())).unwrap();
        let seen = [
            offer.sdp.contains("a=rtcp-mux\r\n"),
            offer.sdp.contains("a=rtcp:"),
            written.sender.1.rtcp_mux,
            written.receiver.1.rtcp_mux,
        ];
        assert_eq!(seen, expected, "row {n}");
        assert_eq!(written.sdp.contains("a=rtcp-mux\r\n"), expected[3], "row {n}");
        assert_eq!(written.sdp.contains("a=rtcp:30001\r\n"), !expected[3], "row {n}");
    }
}

#[test]
fn interfaces_and_families_are_picked() {
    let mut flags = Flags::default();
    direction(&mut flags, "sip", "wa");
    flags.routing.address_family = Some(AddressFamily::Ip6);
    let written = offered(SIP_OFFER, flags.clone());
    assert_eq!((written.sender.1.interface.0, written.receiver.1.interface.0), (1, 0));
    assert_eq!((written.sender.1.ipv6, written.receiver.1.ipv6), (false, true));
    assert!(written.sdp.contains("c=IN IP6 2001:db8::5\r\n"), "{}", written.sdp);
    direction(&mut flags, "sip", "lan");
    let error = Desk::new().offer(&signal(SIP_OFFER, "a", None, flags)).unwrap_err();
    assert!(error.to_string().contains("there is wa, sip"), "{error}");
    let v6 = SIP_OFFER.replace("IP4 198.51.100.7", "IP6 2001:db8::7");
    let written = offered(&v6, Flags::default());
    assert!(written.sender.1.ipv6 && written.receiver.1.ipv6);
}

#[test]
fn further_streams_are_refused_in_their_place() {
    let video = "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n";
    let offer = format!("{}m=audio 4002 RTP/AVP 8\r\n", SIP_OFFER.replace("m=audio", &format!("{video}m=audio")));
    let mut desk = Desk::new();
    let written = desk.offer(&signal(&offer, "a", None, Flags::default())).unwrap();
    assert_eq!(written.sdp.matches("\r\nm=").count(), 1, "the other side is offered the audio alone");
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    let media: Vec<&str> = written.sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(media, ["m=video 0 RTP/AVP 96", "m=audio 30000 RTP/AVP 8 101", "m=audio 0 RTP/AVP 8"]);
    assert_eq!(peer(&written.receiver.1).rtp.unwrap().port(), 4_000);
}

#[test]
fn a_browser_talks_to_a_phone() {
    let browser = meta_sample("business_initiated.graph_webrtc.browser_offer");
    let (offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    let mut desk = Desk::new();
    desk.offer(&signal(browser, "a", None, offer)).unwrap();
    let written = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), answer)).unwrap();
    for line in ["a=group:BUNDLE 0", "a=mid:0", "a=setup:active", "a=rtcp-mux", "a=rtpmap:126 telephone-event/8000"] {
        assert!(written.sdp.contains(&format!("{line}\r\n")), "{line}\n{}", written.sdp);
    }
    assert!(!written.sdp.contains("a=rtcp:"), "{}", written.sdp);
    assert_eq!(
        written.receiver.1.send.format.unwrap().codec,
        Codec::Pcma,
        "it has PCMA itself, so nothing is transcoded"
    );
}

#[test]
fn replace_flags_touch_what_they_name() {
    let line = |set: fn(&mut Flags), letter: &str| {
        let mut flags = Flags::default();
        set(&mut flags);
        let written = offered(SIP_OFFER, flags);
        written.sdp.lines().find(|line| line.starts_with(letter)).unwrap().to_owned()
    };
    assert_eq!(line(|_| {}, "o="), "o=pbx 1 1 IN IP4 198.51.100.7");
    assert_eq!(line(|f| f.replace.origin = true, "o="), "o=pbx 1 1 IN IP4 203.0.113.9");
    assert_eq!(line(|f| f.replace.username = true, "o="), "o=- 1 1 IN IP4 198.51.100.7");
    assert_eq!(line(|f| f.replace.session_name = true, "s="), "s=-");
    let full = line(|f| f.replace.origin_full = true, "o=");
    assert!(full.starts_with("o=- ") && full.ends_with(" 1 IN IP4 203.0.113.9") && !full.contains(" 1 1 "), "{full}");

    let flags = |force: bool| {
        let mut flags = Flags::default();
        (flags.replace.sdp_version, flags.replace.force_increment_sdp_version) = (true, force);
        flags
    };
    let mut desk = Desk::new();
    let versions: Vec<String> = [
        (SIP_OFFER.to_owned(), false),
        (SIP_OFFER.to_owned(), false),
        (SIP_OFFER.replace("8 0", "8"), false),
        (SIP_OFFER.replace("8 0", "8"), true),
    ]
    .iter()
    .map(|(text, force)| {
        let written = desk.offer(&signal(text, "a", None, flags(*force))).unwrap();
        written.sdp.lines().nth(1).unwrap().split(' ').nth(2).unwrap().to_owned()
    })
    .collect();
    assert_eq!(versions, ["1", "1", "2", "3"]);
}
