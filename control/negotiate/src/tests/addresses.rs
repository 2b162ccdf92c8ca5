//! Addresses of peers: each way in which an SDP or a flag can name one. The class of each address is tested beside the policy.

use super::{Desk, SDES_OFFER, SIP_OFFER, meta_sample, signal, sip_answer, whatsapp_to_sip};
use trestle_core::plan::{Transport, WebRtcPlan};
use trestle_ng::command::flags::{Flags, RoutingFlags};
use trestle_ng::command::{Signal, Switch, Switches};
use trestle_sdp::Protocol;

const META: &str = "user_initiated.graph_webrtc.meta_offer";

/// Addresses, with their port, that no peer may have, and words of the reason.
const BAD: [(&str, u16, &str); 8] = [
    ("127.0.0.1", 2_223, "itself listens"),
    ("203.0.113.9", 2_223, "itself listens"),
    ("192.0.2.1", 30_004, "media port"),
    ("203.0.113.9", 40_000, "media port"),
    ("127.0.0.1", 4_000, "loopback"),
    ("169.254.169.254", 80, "link-local"),
    ("224.0.0.1", 4_000, "multicast"),
    ("192.0.2.255", 4_000, "broadcast"),
];

fn at(sdp: &str, address: &str, port: u16) -> String {
    sdp.replace("c=IN IP4 198.51.100.7", &format!("c=IN IP4 {address}"))
        .replace("m=audio 4000", &format!("m=audio {port}"))
}

fn refusal(signal: &Signal) -> String {
    Desk::new().offer(signal).expect_err(&signal.sdp).to_string()
}

#[test]
fn a_bad_address_is_refused_in_an_offer_an_answer_and_a_re_offer() {
    for (address, port, reason) in BAD {
        for offer in [SIP_OFFER, SDES_OFFER] {
            let text = refusal(&signal(&at(offer, address, port), "a", None, Flags::default()));
            assert!(text.starts_with("Error rewriting SDP: line 4 \"c="), "{text}");
            assert!(text.contains(reason) && text.contains(address), "{text}");
        }
        let mut desk = Desk::new();
        desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
        let answer = sip_answer("RTP/AVP", "8 101");
        let bad = desk.answer(&signal(&at(&answer, address, port), "a", Some("b"), Flags::default()));
        assert!(bad.unwrap_err().to_string().contains(reason));
        desk.answer(&signal(&answer, "a", Some("b"), Flags::default())).unwrap();
        let bad = desk.offer(&signal(&at(SIP_OFFER, address, port), "a", Some("b"), Flags::default()));
        assert!(bad.unwrap_err().to_string().contains(reason));
    }
}

#[test]
fn a_bad_address_of_rtcp_is_refused_signalled_or_not() {
    for (address, port, reason) in BAD {
        let text =
            refusal(&signal(&format!("{SIP_OFFER}a=rtcp:{port} IN IP4 {address}\r\n"), "a", None, Flags::default()));
        assert!(text.contains("a=rtcp") && text.contains(reason), "{text}");
    }
    // Without a=rtcp the next port is RTCP's.
    let text = refusal(&signal(&at(SIP_OFFER, "192.0.2.1", 29_999), "a", None, Flags::default()));
    assert!(text.contains("192.0.2.1:30000: it is a media port"), "{text}");
    let text = refusal(&signal(&at(SIP_OFFER, "203.0.113.9", 2_222), "a", None, Flags::default()));
    assert!(text.contains("203.0.113.9:2223: Trestle itself listens"), "{text}");
    let other = format!("{SIP_OFFER}a=rtcp:4001 IN IP6 2001:db8::7\r\n");
    assert!(refusal(&signal(&other, "a", None, Flags::default())).contains("other family"));
}

#[test]
fn a_bad_address_of_a_flag_is_refused_and_the_flag_is_named() {
    for (address, port, reason) in BAD {
        let sdp = at(SIP_OFFER, "198.51.100.7", port);
        let address = Some(address.parse().unwrap());
        let flags = Flags { switches: Switches::of(&[Switch::SipSourceAddress]), ..Default::default() };
        let message = Signal { received_from: address, ..signal(&sdp, "a", None, flags) };
        let text = refusal(&message);
        assert!(
            text.starts_with("Error rewriting SDP: received-from gives the peer") && text.contains(reason),
            "{text}"
        );
        // Without the flag it has no effect.
        Desk::new().offer(&Signal { flags: Flags::default(), ..message }).unwrap();
    }
    let flags = |address: &str| {
        let media_address = Some(address.parse().unwrap());
        Flags { routing: RoutingFlags { media_address, ..Default::default() }, ..Default::default() }
    };
    for address in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "0.0.0.1"] {
        let text = refusal(&signal(SIP_OFFER, "a", None, flags(address)));
        assert!(text.contains("media-address") && text.contains("cannot be sent to"), "{address}: {text}");
    }
    let written = Desk::new().offer(&signal(SIP_OFFER, "a", None, flags("2001:db8::7"))).unwrap();
    assert!(
        written.sdp.contains("c=IN IP4 192.0.2.1") || written.sdp.contains("c=IN IP4 203.0.113.9"),
        "{}",
        written.sdp
    );
    assert!(written.warnings.iter().any(|warning| warning.contains("media-address 2001:db8::7 ignored")));
}

#[test]
fn spellings_that_others_read_as_an_address_are_no_address() {
    for address in [
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.1",
        "2130706433",
        "127.0.0.1/127",
        "[::1]",
        "fe80::1%eth0",
        "::1%lo",
        "1.2.3.4.5",
    ] {
        let text = refusal(&signal(&at(SIP_OFFER, address, 4_000), "a", None, Flags::default()));
        assert!(text.contains("IP literal"), "{address}: {text}");
    }
    for address in ["::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "0:0:0:0:0:ffff:e000:1", "64:ff9b::7f00:1"] {
        let sdp = SIP_OFFER.replace("c=IN IP4 198.51.100.7", &format!("c=IN IP6 {address}"));
        let text = refusal(&signal(&sdp, "a", None, Flags::default()));
        assert!(text.contains("loopback") || text.contains("multicast"), "{address}: {text}");
    }
}

#[test]
fn hold_by_the_unspecified_address_stays_and_a_stream_that_ended_names_nothing() {
    Desk::new().offer(&signal(&at(SIP_OFFER, "0.0.0.0", 4_000), "a", None, Flags::default())).unwrap();
    let mut desk = Desk::new();
    desk.offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    desk.answer(&signal(&sip_answer("RTP/AVP", "8 101"), "a", Some("b"), Flags::default())).unwrap();
    desk.offer(&signal(&at(SIP_OFFER, "127.0.0.1", 0), "a", Some("b"), Flags::default())).unwrap();
}

/// Meta's offer with these candidates in place of its own.
fn meta_with(candidates: &[(&str, u16)]) -> String {
    let own = meta_sample(META);
    let kept: String = own.split_inclusive("\r\n").filter(|line| !line.starts_with("a=candidate")).collect();
    let lines = candidates.iter().enumerate().map(|(n, (address, port))| {
        format!("a=candidate:{n} 1 udp {} {address} {port} typ srflx raddr 127.0.0.1 rport 2223\r\n", 2_000_000 - n)
    });
    kept + &lines.collect::<String>()
}

#[test]
fn refused_candidates_are_passed_over_with_a_warning_and_an_offer_of_nothing_else_is_refused() {
    let (flags, _) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    for (address, port, reason) in BAD {
        let sdp = meta_with(&[(address, port), ("57.144.135.35", 3_480)]);
        let written = Desk::new().offer(&signal(&sdp, "a", None, flags.clone())).unwrap();
        let warning = written.warnings.iter().find(|text| text.starts_with("candidate ")).unwrap();
        assert!(warning.contains(reason) && warning.contains(address), "{warning}");
        let Transport::WebRtc(WebRtcPlan { remote: Some(remote), .. }) = written.sender.1.transport else { panic!() };
        assert_eq!(remote.candidates.len(), 1, "{:?}", remote.candidates);
        assert!(remote.candidates[0].contains("57.144.135.35"));
        let text = refusal(&signal(&meta_with(&[(address, port)]), "a", None, flags.clone()));
        assert!(text.contains("no candidate can be used") && text.contains(reason), "{text}");
    }
    // TCP, other components, and names were of no use before.
    let useless = meta_with(&[])
        + "a=candidate:9 1 tcp 1 127.0.0.1 2223 typ host tcptype passive\r\n\
        a=candidate:8 2 udp 1 127.0.0.1 2223 typ host\r\na=candidate:7 1 udp 1 host.local 4000 typ host\r\n";
    let written = Desk::new().offer(&signal(&useless, "a", None, flags)).unwrap();
    let Transport::WebRtc(WebRtcPlan { remote: Some(remote), .. }) = written.sender.1.transport else { panic!() };
    assert!(remote.candidates.is_empty());
}

#[test]
fn the_connection_line_of_a_leg_with_ice_may_be_a_placeholder_but_no_socket_of_ours() {
    let (flags, _) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    let own = meta_sample(META);
    let line = own.split("\r\n").find(|line| line.starts_with("c=")).unwrap();
    let with = |address: &str, port: u16| {
        let port_line = own.split("\r\n").find(|line| line.starts_with("m=audio")).unwrap();
        let mut words: Vec<String> = port_line.split(' ').map(str::to_owned).collect();
        words[1] = port.to_string();
        own.replace(line, &format!("c=IN IP4 {address}")).replace(port_line, &words.join(" "))
    };
    for (address, port) in [("127.0.0.1", 9), ("0.0.0.0", 9), ("10.0.0.1", 9)] {
        Desk::new().offer(&signal(&with(address, port), "a", None, flags.clone())).unwrap();
    }
    for (address, port) in [("127.0.0.1", 2_223), ("203.0.113.9", 30_000), ("224.0.0.1", 9), ("255.255.255.255", 9)] {
        refusal(&signal(&with(address, port), "a", None, flags.clone()));
    }
}

#[test]
fn the_port_of_a_service_causes_a_warning() {
    for (port, service) in
        [(1, "tcpmux"), (53, "DNS"), (123, "NTP"), (161, "SNMP"), (1_900, "SSDP"), (11_211, "memcached")]
    {
        let written =
            Desk::new().offer(&signal(&at(SIP_OFFER, "198.51.100.7", port), "a", None, Flags::default())).unwrap();
        assert!(written.warnings.iter().any(|text| text.contains(service)), "{port}: {:?}", written.warnings);
    }
    let written = Desk::new().offer(&signal(SIP_OFFER, "a", None, Flags::default())).unwrap();
    assert_eq!(written.warnings, [""; 0]);
}
