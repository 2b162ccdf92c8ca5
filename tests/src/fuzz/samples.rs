//! Real descriptions and flags to begin from.

use trestle_ng::Value;
use trestle_ng::value::Dict;

use super::input::Input;

/// What WhatsApp and its partners say, and a phone in the clear and with SDES.
pub(super) const SDP: [&str; 11] = [
    include_str!("../../vectors/meta/user_initiated.graph_webrtc.meta_offer.sdp"),
    include_str!("../../vectors/meta/user_initiated.sip_webrtc.meta_offer.sdp"),
    include_str!("../../vectors/meta/user_initiated.sip_sdes.meta_offer.sdp"),
    include_str!("../../vectors/meta/business_initiated.sip_sdes.partner_offer.sdp"),
    include_str!("../../vectors/meta/business_initiated.graph_webrtc.browser_offer.sdp"),
    "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\n\
     a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
     a=ptime:20\r\n",
    "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8 101\r\n\
     a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
     a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\r\n",
    include_str!("../../vectors/meta/user_initiated.graph_webrtc.partner_answer.sdp"),
    include_str!("../../vectors/meta/user_initiated.sip_sdes.partner_answer.sdp"),
    include_str!("../../vectors/meta/business_initiated.graph_webrtc.meta_answer.sdp"),
    include_str!("../../vectors/meta/business_initiated.sip_sdes.meta_answer.sdp"),
];

/// Flags that proxies send with an offer or an answer.
const FLAGS: [(&str, &str); 39] = [
    ("gate", "shut"),
    ("gate", "open"),
    ("gate-timeout", "1"),
    ("pre-roll", "500"),
    ("filler", "silence"),
    ("transport-protocol", "RTP/AVP"),
    ("transport-protocol", "RTP/SAVP"),
    ("transport-protocol", "UDP/TLS/RTP/SAVPF"),
    ("transport-protocol", "RTP/SAVPF"),
    ("profile", "whatsapp"),
    ("profile", "sip"),
    ("profile", "webrtc"),
    ("ICE", "remove"),
    ("ICE", "force"),
    ("DTLS", "off"),
    ("DTLS", "passive"),
    ("SDES", "off"),
    ("SDES", "prefer"),
    ("SDES", "lifetime"),
    ("SDES", "only-AES_CM_128_HMAC_SHA1_32"),
    ("rtcp-mux", "offer"),
    ("rtcp-mux", "require"),
    ("rtcp-mux", "demux"),
    ("rtcp-mux", "reject"),
    ("bundle", "offer"),
    ("replace", "origin"),
    ("replace", "session-connection"),
    ("flags", "codec-mask-all"),
    ("flags", "codec-transcode-opus"),
    ("flags", "codec-transcode-PCMA"),
    ("flags", "codec-strip-telephone-event"),
    ("flags", "generate-mid"),
    ("flags", "asymmetric"),
    ("flags", "inject-dtmf"),
    ("address-family", "IP6"),
    ("address-family", "IP4"),
    ("ptime", "30"),
    ("media-address", "198.51.100.9"),
    ("label", "a b\u{fc}"),
];

/// Up to four flags as a message has them.
pub(super) fn flags(input: &mut Input<'_>) -> Dict {
    let chosen: Vec<(&str, &str)> = (0..input.below(5)).map(|_| input.one_of(&FLAGS)).collect();
    chosen.into_iter().fold(Dict::default(), |dict, (key, value)| dict.with(key, vec![Value::from(value)]))
}
