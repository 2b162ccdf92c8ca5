//! Tests: for each rule there is a description that breaks it alone. The SDP samples of Meta and the SDP of Trestle break none.

mod breaches;
mod samples;
mod shown;

use super::*;
use crate::meta_samples::{META, meta_sample};

/// As Trestle answers Meta.
const ANSWER: &str = "v=0\r\no=- 4611 1 IN IP4 203.0.113.9\r\ns=-\r\nt=0 0\r\na=group:BUNDLE audio\r\n\
    m=audio 30000 UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 203.0.113.9\r\n\
    a=candidate:1 1 udp 2130706431 203.0.113.9 30000 typ host\r\na=end-of-candidates\r\n\
    a=ice-ufrag:aB3+\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:active\r\na=mid:audio\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
    a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1\r\n\
    a=rtpmap:126 telephone-event/8000\r\na=maxptime:20\r\na=ptime:20\r\na=ssrc:4711 cname:x7\r\n";

/// The same with SDES.
const SDES: &str = "v=0\r\no=- 4611 1 IN IP4 203.0.113.9\r\ns=-\r\nt=0 0\r\na=group:BUNDLE audio\r\n\
    m=audio 30000 RTP/SAVP 111 126\r\nc=IN IP4 203.0.113.9\r\na=mid:audio\r\na=sendrecv\r\na=rtcp-mux\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:HR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6\r\n\
    a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
    a=rtpmap:126 telephone-event/8000\r\na=maxptime:20\r\na=ptime:20\r\na=ssrc:4711 cname:x7\r\n";

/// What a PBX offers.
const PHONE: &str = "v=0\r\no=pbx 1 1 IN IP4 10.0.0.7\r\ns=call\r\nc=IN IP4 10.0.0.7\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn context_of(writer: Writer, role: Role) -> Context<'static> {
    Context { writer: Some(writer), role: Some(role), offer: None }
}

fn broken(report: &LintReport) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.rule.id()).collect()
}
