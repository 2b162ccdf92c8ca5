//! Whole descriptions for the flag sets that operators use.

use super::table_3_3::{Handed, check};
use super::*;

const FINGERPRINT: &str =
    "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";

/// The description with what was drawn for the leg replaced by names, and LF for CRLF.
fn masked(written: &Written) -> String {
    let plan = &written.receiver.1;
    let mut text = written.sdp.replace("\r\n", "\n").replace(FINGERPRINT, "DIGEST");
    if let trestle_core::plan::Transport::WebRtc(plan) = &plan.transport {
        text = text.replace(&plan.local.ufrag, "UFRAG").replace(plan.local.pwd.as_str(), "PWD");
    }
    text = text.replace(&plan.ssrc.0.to_string(), "SSRC").replace(&plan.cname, "CNAME");
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.split_once("inline:") {
            Some((head, _)) => format!("{head}inline:KEY"),
            None => line.to_owned(),
        })
        .collect();
    lines.join("\n") + "\n"
}

/// Our session id in `o=` replaced by a name.
fn without_id(text: &str) -> String {
    let id = text.lines().nth(1).unwrap().split(' ').nth(1).unwrap();
    text.replace(id, "ID")
}

const META_ANSWERED: &str = "v=0
o=- ID 1 IN IP4 203.0.113.9
s=-
t=0 0
a=group:BUNDLE audio
m=audio 30000 UDP/TLS/RTP/SAVPF 111 126
c=IN IP4 203.0.113.9
a=candidate:1 1 udp 2130706431 203.0.113.9 30000 typ host
a=end-of-candidates
a=ice-ufrag:UFRAG
a=ice-pwd:PWD
a=fingerprint:sha-256 DIGEST
a=setup:active
a=mid:audio
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1
a=rtpmap:126 telephone-event/8000
a=maxptime:20
a=ptime:20
a=ssrc:SSRC cname:CNAME
";

#[test]
fn whatsapp_to_sip_with_sdes() {
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer");
    let (offer, answer) = whatsapp_to_sip(Protocol::RtpSavp, "PCMA");
    let mut desk = Desk::new();
    let written = desk.offer(&signal(meta, "a", None, offer)).unwrap();
    assert_eq!(
        masked(&written),
        "v=0
o=- 1741113186367 2 IN IP4 192.0.2.1
s=-
t=0 0
m=audio 30002 RTP/SAVP 8 126
c=IN IP4 192.0.2.1
a=rtpmap:8 PCMA/8000
a=rtpmap:126 telephone-event/8000
a=fmtp:126 0-15
a=sendrecv
a=rtcp:30003
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY
a=ptime:20
"
    );
    let written = desk.answer(&signal(&sip_answer("RTP/SAVP", "8 126"), "a", Some("b"), answer)).unwrap();
    assert_eq!(without_id(&masked(&written)), META_ANSWERED);
    check(&written.sdp, Handed::AnswerTo(meta));
}

#[test]
fn whatsapp_to_sip_in_the_clear() {
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer");
    for codec in ["PCMA", "PCMU"] {
        let pt = if codec == "PCMA" { 8 } else { 0 };
        let (offer, answer) = whatsapp_to_sip(Protocol::RtpAvp, codec);
        let mut desk = Desk::new();
        let written = desk.offer(&signal(meta, "a", None, offer)).unwrap();
        assert_eq!(
            masked(&written),
            format!(
                "v=0
o=- 1741113186367 2 IN IP4 192.0.2.1
s=-
t=0 0
m=audio 30002 RTP/AVP {pt} 126
c=IN IP4 192.0.2.1
a=rtpmap:{pt} {codec}/8000
a=rtpmap:126 telephone-event/8000
a=fmtp:126 0-15
a=sendrecv
a=rtcp:30003
a=ptime:20
"
            )
        );
        let sdp = sip_answer("RTP/AVP", &format!("{pt} 101"));
        let written = desk.answer(&signal(&sdp, "a", Some("b"), answer)).unwrap();
        assert_eq!(without_id(&masked(&written)), META_ANSWERED);
    }
}

#[test]
fn sip_to_whatsapp_by_name() {
    let (offer, answer) = sip_to_whatsapp(true);
    let mut desk = Desk::new();
    let written = desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
    let expected = META_ANSWERED.replace("30000", "30002").replace("setup:active", "setup:actpass");
    assert_eq!(without_id(&masked(&written)), expected);
    check(&written.sdp, Handed::Offer);
    let written = desk.answer(&signal(&meta_answer("active"), "a", Some("b"), answer)).unwrap();
    assert_eq!(
        masked(&written),
        "v=0
o=- 741807839102053725 2 IN IP4 192.0.2.1
s=-
t=0 0
m=audio 30000 RTP/AVP 8 101
c=IN IP4 192.0.2.1
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=sendrecv
a=rtcp:30001
"
    );
}

#[test]
fn sip_to_whatsapp_by_rtpengines_flags_alone() {
    let (offer, _) = sip_to_whatsapp(false);
    let mut desk = Desk::new();
    let written = desk.offer(&signal(SIP_OFFER, "a", None, offer)).unwrap();
    assert_eq!(
        masked(&written),
        "v=0
o=pbx 1 1 IN IP4 203.0.113.9
s=call
c=IN IP4 203.0.113.9
t=0 0
a=group:BUNDLE audio
m=audio 30002 UDP/TLS/RTP/SAVPF 111 126
a=mid:audio
a=rtpmap:111 opus/48000/2
a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1
a=rtpmap:126 telephone-event/8000
a=sendrecv
a=rtcp-mux
a=setup:actpass
a=fingerprint:sha-256 DIGEST
a=ptime:20
a=maxptime:20
a=ice-ufrag:UFRAG
a=ice-pwd:PWD
a=candidate:1 1 udp 2130706431 203.0.113.9 30002 typ host
a=end-of-candidates
a=msid:CNAME audio
a=ssrc:SSRC cname:CNAME
"
    );
    let slow = SIP_OFFER.replace("a=ptime:20", "a=ptime:40");
    let (offer, _) = sip_to_whatsapp(false);
    let written = Desk::new().offer(&signal(&slow, "a", None, offer)).unwrap();
    assert!(masked(&written).contains("a=ptime:20\na=maxptime:20\n"), "the phone's packet time is the phone's");
    // The answer shows that it is Meta: from here on the leg is WhatsApp's.
    desk.answer(&signal(&meta_answer("active"), "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(desk.session.party_by_tag("b").unwrap().profile(), ProfileName::Whatsapp);
}

#[test]
fn whatsapp_without_any_flags_reaches_a_phone() {
    let meta = meta_sample("user_initiated.sip_webrtc.meta_offer");
    let mut desk = Desk::new();
    let written = desk.offer(&signal(meta, "a", None, Flags::default())).unwrap();
    assert_eq!(
        masked(&written),
        "v=0
o=- 1741113186367 2 IN IP4 127.0.0.1
s=-
t=0 0
m=audio 30002 RTP/SAVP 111 8 0 126
c=IN IP4 203.0.113.9
a=rtpmap:111 opus/48000/2
a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:126 telephone-event/8000
a=fmtp:126 0-15
a=sendrecv
a=rtcp:30003
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY
a=crypto:2 AEAD_AES_256_GCM inline:KEY
a=crypto:3 AEAD_AES_128_GCM inline:KEY
a=crypto:4 AES_256_CM_HMAC_SHA1_80 inline:KEY
a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:KEY
a=crypto:6 AES_256_CM_HMAC_SHA1_32 inline:KEY
a=ptime:20
"
    );
    let written = desk.answer(&signal(&sip_answer("RTP/SAVP", "8 126"), "a", Some("b"), Flags::default())).unwrap();
    assert_eq!(without_id(&masked(&written)), META_ANSWERED);
}

#[test]
fn sip_to_whatsapp_needs_nothing_but_the_profile() {
    let mut desk = Desk::new();
    let flags = Flags { profile: Some(ProfileName::Whatsapp), ..Flags::default() };
    let written = desk.offer(&signal(SIP_OFFER, "a", None, flags)).unwrap();
    let expected = META_ANSWERED.replace("30000", "30002").replace("setup:active", "setup:actpass");
    assert_eq!(without_id(&masked(&written)), expected);
    let written = desk.answer(&signal(&meta_answer("active"), "a", Some("b"), Flags::default())).unwrap();
    assert!(written.sdp.contains("m=audio 30000 RTP/AVP 8 101\r\n"), "{}", written.sdp);
}

#[test]
fn sip_to_whatsapp_with_sdes_has_one_key() {
    let flags =
        Flags { profile: Some(ProfileName::Whatsapp), transport_protocol: Some(Protocol::RtpSavp), ..Flags::default() };
    let mut desk = Desk::new();
    let offer = meta_sample("business_initiated.sip_sdes.partner_offer");
    let written = desk.offer(&signal(offer, "a", None, flags)).unwrap();
    assert_eq!(
        without_id(&masked(&written)),
        "v=0
o=- ID 1 IN IP4 203.0.113.9
s=-
t=0 0
a=group:BUNDLE audio
m=audio 30002 RTP/SAVP 111 126
c=IN IP4 203.0.113.9
a=mid:audio
a=sendrecv
a=rtcp-mux
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY
a=rtpmap:111 opus/48000/2
a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1
a=rtpmap:126 telephone-event/8000
a=maxptime:20
a=ptime:20
a=ssrc:SSRC cname:CNAME
"
    );
    check(&written.sdp, Handed::Offer);
}

#[test]
fn sip_to_sip_looks_as_rtpengine_makes_it() {
    let mut flags = Flags { ice: IceFlag::Remove, ..Flags::default() };
    flags.routing.interface = Some("sip".into());
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8 101\r\n\
               a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";
    let expected = |port: u16| {
        format!(
            "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio {port} RTP/AVP 8 101\n\
             a=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=sendrecv\na=rtcp:{}\na=ptime:20\n",
            port + 1
        )
    };
    let mut desk = Desk::new();
    let written = desk.offer(&signal(sdp, "ft", None, flags.clone())).unwrap();
    assert_eq!(masked(&written), expected(30_002));
    let written = desk.answer(&signal(&sdp.replace("41000", "41002"), "ft", Some("tt"), flags)).unwrap();
    assert_eq!(masked(&written), expected(30_000));
}

#[test]
fn lines_for_the_application_are_copied_and_those_of_the_peers_leg_are_not() {
    let meta = meta_sample("user_initiated.graph_webrtc.meta_offer")
        .replace("t=0 0\r\n", "b=AS:64\r\nt=0 0\r\na=tool:x\r\n")
        .replace("a=mid:audio\r\n", "a=mid:audio\r\na=label:7\r\na=X-nat:0\r\n");
    let mut desk = Desk::new();
    let (offer, _) = whatsapp_to_sip(Protocol::RtpAvp, "PCMA");
    let written = desk.offer(&signal(&meta, "a", None, offer)).unwrap();
    for kept in ["\r\na=tool:x\r\n", "\r\na=label:7\r\n"] {
        assert!(written.sdp.contains(kept), "{kept:?} in\n{}", written.sdp);
    }
    for gone in [
        "b=",
        "X-nat",
        "ssrc",
        "msid",
        "a=mid",
        "maxptime",
        "rtcp-fb",
        "extmap",
        "candidate",
        "ice-",
        "fingerprint",
        "setup",
        "group",
    ] {
        assert!(!written.sdp.contains(gone), "{gone} in\n{}", written.sdp);
    }
}
