//! Descriptions of the load's own sides, and the little that has to be read of an engine's.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use trestle_srtp::{KeyingMaterial, Profile};

use super::workload::{LoadCodec, SideSecurity};

/// The suite that is spoken where keys come from the SDP.
pub const SUITE: Profile = Profile::AesCm128HmacSha1_80;
/// Payload type of telephone-event where it is offered.
const EVENT_PT: u8 = 101;
/// The same at WhatsApp.
const WHATSAPP_EVENT_PT: u8 = 126;

/// The contents of a description that the load generator writes.
#[derive(Debug)]
pub struct Ours<'a> {
    /// Where media is wanted.
    pub address: SocketAddrV4,
    /// Where RTCP is wanted, if not there.
    pub rtcp_port: u16,
    /// How media is secured.
    pub security: SideSecurity,
    /// Audio and its payload type.
    pub codec: (LoadCodec, u8),
    /// Payload type of telephone-event; `None` for the usual one.
    pub event_pt: Option<u8>,
    /// Tag and key of `a=crypto`.
    pub key: Option<(u32, &'a KeyingMaterial)>,
    /// User fragment, password and fingerprint of ICE and DTLS.
    pub ice: Option<(&'a str, &'a str, &'a str)>,
    /// SSRC of the audio.
    pub ssrc: u32,
}

impl Ours<'_> {
    /// The text.
    pub fn write(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        let (codec, pt) = self.codec;
        let webrtc = self.security == SideSecurity::Dtls;
        let event_pt = self.event_pt.unwrap_or(if webrtc { WHATSAPP_EVENT_PT } else { EVENT_PT });
        let mut text = format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n");
        if webrtc {
            text.push_str("a=group:BUNDLE audio\r\na=msid-semantic: WMS load\r\na=ice-lite\r\n");
        }
        let mut line = |value: std::fmt::Arguments<'_>| {
            // Writing to a String does not fail.
            let _: std::fmt::Result = write!(text, "{value}\r\n");
        };
        line(format_args!("m=audio {port} {} {pt} {event_pt}", self.security.profile()));
        line(format_args!("c=IN IP4 {ip}"));
        line(format_args!("a=rtpmap:{pt} {}", codec.rtpmap()));
        if codec == LoadCodec::Opus {
            line(format_args!("a=fmtp:{pt} maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;useinbandfec=1"));
        }
        line(format_args!("a=rtpmap:{event_pt} telephone-event/8000"));
        line(format_args!("a=ptime:20"));
        line(format_args!("a=maxptime:20"));
        line(format_args!("a=sendrecv"));
        if let Some((tag, key)) = self.key {
            let encoded = STANDARD.encode(key.key_and_salt().as_slice());
            line(format_args!("a=crypto:{tag} {} inline:{encoded}", key.profile().name()));
        }
        match self.ice {
            Some((ufrag, pwd, fingerprint)) => {
                // WhatsApp writes it at session level; some engines accept it here only.
                line(format_args!("a=ice-lite"));
                line(format_args!("a=ice-ufrag:{ufrag}"));
                line(format_args!("a=ice-pwd:{pwd}"));
                line(format_args!("a=fingerprint:sha-256 {fingerprint}"));
                line(format_args!("a=setup:actpass"));
                line(format_args!("a=mid:audio"));
                line(format_args!("a=rtcp-mux"));
                line(format_args!("a=candidate:1 1 udp 2122260223 {ip} {port} typ host generation 0"));
                line(format_args!("a=ssrc:{} cname:load", self.ssrc));
            }
            None => line(format_args!("a=rtcp:{}", self.rtcp_port)),
        }
        text
    }
}

/// The parts of an engine's description that are used.
#[derive(Debug, PartialEq, Eq)]
pub struct EngineSdp {
    /// Where media goes.
    pub address: SocketAddrV4,
    /// Payload type of the codec that was looked for.
    pub pt: u8,
    /// Payload type of telephone-event/8000, if there is one.
    pub event_pt: Option<u8>,
    /// Tag and key of the first `a=crypto` in [`SUITE`].
    pub key: Option<(u32, KeyingMaterial)>,
    /// `a=setup:passive`: ours is the ClientHello.
    pub passive: bool,
}

impl EngineSdp {
    /// Reads a description with audio in `codec`. The reason why it cannot be used is the error.
    pub fn read(text: &str, codec: LoadCodec) -> Result<Self, String> {
        let values = |name: &'static str| text.lines().filter_map(move |line| line.trim_end().strip_prefix(name));
        let media = values("m=audio ").next().ok_or("no m=audio line")?;
        let mut words = media.split(' ');
        let port: u16 = words.next().and_then(|port| port.parse().ok()).ok_or("no port in m=audio")?;
        let formats: Vec<u8> = words.skip(1).filter_map(|word| word.parse().ok()).collect();
        let ip: Ipv4Addr =
            values("c=IN IP4 ").next_back().and_then(|ip| ip.parse().ok()).ok_or("no IPv4 address in c=")?;
        let mapped = |pt: u8, encoding: &str| {
            values("a=rtpmap:").any(|value| {
                let (number, name) = value.split_once(' ').unwrap_or_default();
                number.parse() == Ok(pt) && name.trim().eq_ignore_ascii_case(encoding)
            })
        };
        let spoken = |pt: &&u8| mapped(**pt, codec.rtpmap()) || (codec == LoadCodec::Pcma && **pt == 8);
        let pt = formats.iter().find(spoken).ok_or_else(|| format!("no {} among {formats:?}", codec.rtpmap()))?;
        let key = values("a=crypto:").find_map(|value| {
            let mut words = value.split_ascii_whitespace();
            let (tag, suite, keys) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
            let inline = keys.strip_prefix("inline:")?.split('|').next()?;
            let bytes = STANDARD_NO_PAD.decode(inline.trim_end_matches('=')).ok()?;
            (suite == SUITE.name())
                .then(|| KeyingMaterial::from_key_and_salt(SUITE, &bytes).ok())?
                .map(|key| (tag, key))
        });
        Ok(Self {
            address: SocketAddrV4::new(ip, port),
            pt: *pt,
            event_pt: formats.iter().copied().find(|pt| mapped(*pt, "telephone-event/8000")),
            key,
            passive: values("a=setup:").any(|value| value == "passive"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KeyingMaterial {
        KeyingMaterial::from_key_and_salt(SUITE, &[7; 30]).unwrap()
    }

    fn ours(security: SideSecurity, codec: (LoadCodec, u8)) -> Ours<'static> {
        let address = "127.0.0.31:4000".parse().unwrap();
        Ours { address, rtcp_port: 4001, security, codec, event_pt: None, key: None, ice: None, ssrc: 1 }
    }

    #[test]
    fn a_description_reads_back_as_written() {
        let material = key();
        let text = Ours { key: Some((3, &material)), ..ours(SideSecurity::Sdes, (LoadCodec::Pcma, 8)) }.write();
        let theirs = EngineSdp::read(&text, LoadCodec::Pcma).unwrap();
        let address = "127.0.0.31:4000".parse().unwrap();
        assert_eq!(theirs, EngineSdp { address, pt: 8, event_pt: Some(101), key: Some((3, key())), passive: false });
        assert!(text.contains("a=rtcp:4001\r\n"), "{text}");
        let text = Ours { ice: Some(("u", "p", "AA:BB")), ..ours(SideSecurity::Dtls, (LoadCodec::Opus, 111)) }.write();
        let theirs = EngineSdp::read(&text, LoadCodec::Opus).unwrap();
        assert_eq!((theirs.pt, theirs.event_pt, theirs.key), (111, Some(126), None));
        assert!(EngineSdp::read(&text, LoadCodec::Pcma).is_err());
    }

    #[test]
    fn the_suite_is_found_among_others_and_the_media_address_counts() {
        let text = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 30016 RTP/SAVP 0 8 126\r\nc=IN IP4 192.0.2.2\r\n\
            a=rtpmap:126 telephone-event/8000\r\na=crypto:1 AEAD_AES_256_GCM inline:AAAA\r\n\
            a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH|2^31\r\na=setup:passive\r\n";
        let theirs = EngineSdp::read(text, LoadCodec::Pcma).unwrap();
        assert_eq!((theirs.address, theirs.pt), ("192.0.2.2:30016".parse().unwrap(), 8));
        assert_eq!(theirs.key, Some((9, key())));
        assert!(theirs.passive);
        assert!(EngineSdp::read("v=0\r\n", LoadCodec::Pcma).is_err());
    }
}
