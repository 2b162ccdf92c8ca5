//! Items of a description that are malformed, surplus or irrelevant: the call works without them, and they do not reach the other
//! side.

use super::*;

/// Odd lines beside a good description of plain RTP, and whether the reply has a warning. What plain RTP does not use has none.
const ODD_LINES: [(&str, bool); 52] = [
    ("a=ptime:0", true),
    ("a=ptime:", true),
    ("a=ptime:fast", true),
    ("a=ptime:4", false),
    ("a=ptime:125", false),
    ("a=ptime:20.0", false),
    ("a=maxptime:0", true),
    ("a=maxptime:-1", true),
    ("a=rtcp:53020 IN IP4 media.example.net", true),
    ("a=rtcp:", true),
    ("a=rtcp:x", true),
    ("a=rtcp:0", false),
    ("a=ssrc:abc cname:x", false),
    ("a=ssrc:1406527973", false),
    ("a=fmtp:8", false),
    ("a=fmtp:101", false),
    ("a=fmtp:", false),
    ("a=fmtp:101 0-15,66,70", false),
    ("a=rtpmap:98", false),
    ("a=rtpmap:", false),
    ("a=rtpmap:x PCMA/8000", false),
    ("a=sendrecv\r\na=sendrecv", false),
    ("a=sendrecv ", false),
    ("a=setup:holdconn", false),
    ("a=setup:", false),
    ("a=silenceSupp:off - - - -", false),
    ("a=candidate:Hbffcc1d2 2 UDP 2130706430 MY_IP 18491 typ host", false),
    ("a=candidate:", false),
    ("a=ice-ufrag:x", false),
    ("a=ice-pwd:", false),
    ("a=fingerprint:sha-256 zz", false),
    ("a=crypto:1", false),
    ("a=crypto:", false),
    ("a=mid:two words", true),
    ("a=mid:", true),
    ("a=extmap:1/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level", false),
    ("a=rtcp-xr:voip-metrics", false),
    ("b=AS:abc", false),
    ("b=", false),
    ("i=audio stream", false),
    ("k=prompt", false),
    ("a=", false),
    ("a=:", false),
    ("a=ebuacip:version 0", false),
    ("a=key-mgmt:mikey AQAFgM0X", false),
    ("a=curr:qos local none\r\na=des:qos mandatory local sendrecv", false),
    ("z=0 0", false),
    ("\r\na=x", false),
    ("no line at all", true),
    ("A=capital", true),
    ("a=\u{1b}[2J", true),
    ("o=second 1 1 IN IP4 198.51.100.8", false),
];

#[test]
fn an_odd_line_costs_itself_and_not_the_call() {
    for (line, warned) in ODD_LINES {
        // Below m=, a second o= line is malformed.
        let warned = warned || line.starts_with("o=");
        let mut desk = Desk::new();
        let offer = format!("{}{line}\r\n", SIP_OFFER.replace("a=ptime:20\r\na=maxptime:150\r\n", ""));
        let offered =
            desk.offer(&signal(&offer, "a", None, Flags::default())).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        assert_eq!(
            offered.warnings.iter().any(|w| w.starts_with("not used: line ")),
            warned,
            "{line:?} {:?}",
            offered.warnings
        );
        let answer = format!("{}{line}\r\n", sip_answer("RTP/AVP", "8 101").replace("a=ptime:20\r\n", ""));
        let answered = desk.answer(&signal(&answer, "a", Some("b"), Flags::default()));
        let answered = answered.unwrap_or_else(|error| panic!("{line:?} in the answer: {error}"));
        for written in [&offered.sdp, &answered.sdp] {
            let read = trestle_sdp::Sdp::parse(written).unwrap();
            assert_eq!(read.skipped.count(), 0, "{line:?}\n{written}");
        }
    }
}

#[test]
fn an_offer_that_others_write_is_bridged() {
    let sip = |from: &str, to: &str| {
        assert!(SIP_OFFER.contains(from));
        SIP_OFFER.replace(from, to)
    };
    let table = [
        ("no origin", sip("o=pbx 1 1 IN IP4 198.51.100.7\r\n", "")),
        ("a short origin", sip("o=pbx 1 1 IN IP4 198.51.100.7", "o=pbx 1")),
        ("a user name of two words", sip("o=pbx 1 1", "o=the pbx 1 1")),
        ("a port count", sip("m=audio 4000", "m=audio 4000/2")),
        ("payload type 128", sip("RTP/AVP 8", "RTP/AVP 128 8")),
        ("payload type of 32 bits", sip("RTP/AVP 8", "RTP/AVP 4294967304 8")),
        ("a clock of 0", sip("PCMA/8000", "PCMA/0")),
        ("a clock of words", sip("PCMA/8000", "PCMA/fast")),
        ("no clock", sip("PCMA/8000", "PCMA")),
        ("a codec without name", sip("PCMA/8000", "/8000")),
        ("a NUL", sip("s=call", "s=ca\0ll")),
        ("a bare CR", sip("s=call", "s=call\ra=inactive")),
        ("an empty line within", sip("a=ptime:20", "\r\na=ptime:20")),
        ("more line ends behind it", format!("{SIP_OFFER}\r\n\r\n")),
        ("line ends of one byte", SIP_OFFER.replace("\r\n", "\n")),
        ("tabs", sip("RTP/AVP 8 0 101", "RTP/AVP\t8\t0 101")),
        ("protocol in small letters", sip("RTP/AVP", "rtp/avp")),
    ];
    for (what, offer) in table {
        let mut desk = Desk::new();
        let offered =
            desk.offer(&signal(&offer, "a", None, Flags::default())).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(offered.sdp.matches("\r\no=").count(), 1, "{what}\n{}", offered.sdp);
        let answered = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default()));
        let answered = answered.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!answered.sdp.contains("inactive"), "{what}\n{}", answered.sdp);
        assert!(answered.sdp.contains(" RTP/AVP 8 101\r\n"), "{what}\n{}", answered.sdp);
    }
}

#[test]
fn each_stream_of_a_conference_offer_has_its_line_in_the_answer() {
    let others = [
        "video 30002 RTP/AVP 107",
        "application 30090 UDP/BFCP *",
        "video 30004 RTP/AVP 107",
        "application 30006 RTP/AVP 100",
    ];
    let odd = ["application 30008 UDP/UDT/IX *", "application 0 *", "image 0 udptl t38", "text 0 RTP/AVP 255"];
    let behind: String = others.iter().chain(&odd).map(|media| format!("m={media}\r\n")).collect();
    let mut desk = Desk::new();
    let offered = desk.offer(&signal(&format!("{SIP_OFFER}{behind}"), "a", None, Flags::default())).unwrap();
    assert_eq!(offered.sdp.matches("m=").count(), 1, "the other side is offered the audio\n{}", offered.sdp);
    let answered = desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    let media: Vec<&str> = answered.sdp.lines().filter_map(|line| line.strip_prefix("m=")).collect();
    assert!(media[0].starts_with("audio ") && media[0].ends_with(" RTP/AVP 8 101"), "{media:?}");
    let refused = [
        "video 0 RTP/AVP 107",
        "application 0 UDP/BFCP *",
        "video 0 RTP/AVP 107",
        "application 0 RTP/AVP 100",
        "application 0 UDP/UDT/IX *",
        "application 0 *",
        "image 0 udptl t38",
        "text 0 RTP/AVP 255",
    ];
    assert_eq!(media[1..], refused, "RFC 3264 section 6");
}

#[test]
fn the_good_key_is_chosen_among_bad_ones() {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
    let suite = "AES_CM_128_HMAC_SHA1_80";
    // A line that is not used, before and behind a good one with tag 2.
    let bad = [
        format!("1 {suite} inline:{KEY}|2^48 UNENCRYPTED_SRTCP"),
        format!("1 {suite} inline:{KEY} UNENCRYPTED_SRTP"),
        format!("1 {suite} inline:{KEY} UNAUTHENTICATED_SRTP"),
        format!("1 {suite} inline:{KEY} KDR=24"),
        format!("1 {suite} inline:{KEY} FEC_KEY=inline:{KEY}"),
        format!("1 {suite} inline:{KEY} X-PRIVATE"),
        format!("1 {suite} inline:AAEC"),
        format!("1 {suite} inline:!!!!"),
        format!("1 {suite} inline:"),
        format!("1 {suite} exline:{KEY}"),
        format!("1 {suite} inline:{KEY}|1:129"),
        format!("1 {suite} inline:{KEY}|2^99"),
        format!("1 {suite} inline:{KEY}|1:1;inline:{KEY}|2:1"),
        format!("1 {suite}"),
        format!("x {suite} inline:{KEY}"),
        "1 F8_128_HMAC_SHA1_80 inline:AAAA".to_owned(),
        "1".to_owned(),
        String::new(),
    ];
    for bad in bad {
        let (bad, good) = (format!("a=crypto:{bad}\r\n"), format!("a=crypto:2 {suite} inline:{KEY}\r\n"));
        for lines in [format!("{bad}{good}"), format!("{good}{bad}")] {
            let at = SDES_OFFER.find("a=crypto").unwrap();
            let mut desk = Desk::new();
            let offer = signal(&format!("{}{lines}", &SDES_OFFER[..at]), "a", None, Flags::default());
            desk.offer(&offer).unwrap_or_else(|error| panic!("{lines}: {error}"));
            let answer = signal(&sip_answer("RTP/SAVP", "8 101"), "a", Some("b"), Flags::default());
            let answered = desk.answer(&answer).unwrap_or_else(|error| panic!("{lines}: {error}"));
            assert!(answered.sdp.contains(&format!("a=crypto:2 {suite} inline:")), "{lines}\n{}", answered.sdp);
        }
    }
}

#[test]
fn a_browser_is_bridged_in_spite_of_odd_items_beside_good_ones() {
    let offer = meta_sample("user_initiated.sip_webrtc.meta_offer");
    let before = |name: &str, line: &str| offer.replacen(&format!("a={name}"), &format!("{line}\r\na={name}"), 1);
    let table = [
        ("an unknown hash", before("fingerprint", "a=fingerprint:sha-224 AA:BB")),
        ("a short digest", before("fingerprint", "a=fingerprint:sha-256 AA:BB")),
        ("a fingerprint without digest", before("fingerprint", "a=fingerprint:sha-256")),
        ("an empty fingerprint", before("fingerprint", "a=fingerprint:")),
        ("a candidate without port", before("candidate", "a=candidate:1 1 udp 1 192.0.2.9")),
        ("a priority of 33 bits", before("candidate", "a=candidate:1 1 udp 4294967296 192.0.2.9 1 typ host")),
        ("a candidate of words", before("candidate", "a=candidate:none")),
        ("an empty candidate", before("candidate", "a=candidate:")),
        ("holdconn", offer.replace("setup:actpass", "setup:holdconn")),
        ("a mid of two words", offer.replace("a=mid:audio", "a=mid:audio video")),
        ("a broken a=crypto", before("fingerprint", "a=crypto:1")),
    ];
    for (what, offer) in table {
        let written = Desk::new().offer(&signal(&offer, "a", None, Flags::default()));
        assert!(written.is_ok(), "{what}: {written:?}");
    }
    // Candidates have the addresses: a c= line without one does no harm.
    let c = offer.lines().find(|line| line.starts_with("c=")).unwrap();
    for other in ["c=IN IP4 browser.example.org", "c=IN IP4 x", "i=no connection"] {
        let written = Desk::new().offer(&signal(&offer.replace(c, other), "a", None, Flags::default()));
        assert!(written.is_ok(), "{other}: {written:?}");
    }
}

#[test]
fn what_belongs_to_one_leg_does_not_reach_the_other() {
    // The transport, the keys and the capabilities of the sender's leg (RFC 5939, 3407, 4567, 6189, 3556).
    let own = [
        "a=tcap:1 RTP/SAVP",
        "a=pcfg:1 t=1 a=1",
        "a=acfg:1 t=1",
        "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd",
        "a=csup:cap-v0",
        "a=creq:cap-v0",
        "a=rmcap:1 L16/8000/1",
        "a=mcap:1 18",
        "a=sqn: 0",
        "a=cdsc: 1 audio RTP/AVP 0 18 96",
        "a=cpar: a=fmtp:96 0-16,32-35",
        "a=key-mgmt:mikey AQAFgM0X",
        "a=zrtp-hash:1.10 ff",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd",
        "a=fingerprint:sha-256 AA",
        "a=ssrc:1 cname:x",
        "a=ssrc-group:FID 1 2",
        "a=ice-lite",
        "a=ice2",
        "a=candidate:1 1 udp 1 192.0.2.9 4000 typ host",
        "a=remote-candidates:1 192.0.2.9 4000",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=rtcp-fb:* nack",
        "a=rtcp-xr:voip-metrics",
        "a=rtcp:5005",
        "a=X-nat:0",
        "a=direction:active",
        "a=source-filter: incl IN IP4 * 192.0.2.9",
        "a=ts-refclk:ntp=192.0.2.9",
        "b=AS:64",
        "b=RS:0",
        "b=TIAS:64000",
        "k=clear:secret",
        "y=0100000001",
    ];
    for line in own {
        for at_session in [false, true] {
            let offer = if at_session {
                SIP_OFFER.replace("t=0 0\r\n", &format!("t=0 0\r\n{line}\r\n"))
            } else {
                format!("{SIP_OFFER}{line}\r\n")
            };
            let written = Desk::new().offer(&signal(&offer, "a", None, Flags::default())).unwrap();
            let value = line.split([' ', ':']).next_back().unwrap();
            assert!(!written.sdp.contains(line), "{line}\n{}", written.sdp);
            assert!(value.len() < 8 || !written.sdp.contains(value), "{line}\n{}", written.sdp);
        }
    }
    for line in
        ["a=label:1", "a=content:main", "a=lang:de", "a=silenceSupp:off - - - -", "a=curr:qos local none", "i=voice"]
    {
        let written =
            Desk::new().offer(&signal(&format!("{SIP_OFFER}{line}\r\n"), "a", None, Flags::default())).unwrap();
        assert!(written.sdp.contains(&format!("\r\n{line}\r\n")), "{line}\n{}", written.sdp);
    }
}
