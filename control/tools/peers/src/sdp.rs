//! Just enough SDP for a peer: one audio line, read attribute by attribute. Deliberately not control's reader.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::Codec;

/// Why a peer refused the other side's SDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SdpError {
    /// No readable `m=audio` line.
    NoAudio,
    /// A line that has to be there is missing, or its value cannot be read. Names the line.
    Bad(&'static str),
    /// No codec in common.
    NoCodec,
    /// No crypto suite in common.
    NoSuite,
    /// What Meta answers with its error 138008, "SDP Validation error". One sentence per broken rule.
    Invalid(Vec<String>),
}

impl std::fmt::Display for SdpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAudio => f.write_str("no m=audio line"),
            Self::Bad(line) => write!(f, "missing or unreadable {line}"),
            Self::NoCodec => f.write_str("no codec in common"),
            Self::NoSuite => f.write_str("no crypto suite in common"),
            Self::Invalid(rules) => write!(f, "SDP Validation error: {}", rules.join("; ")),
        }
    }
}

impl std::error::Error for SdpError {}

/// The session part and the first audio part of an SDP text, attributes in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerSdp {
    session: Vec<(char, String)>,
    audio: Vec<(char, String)>,
    /// From `m=`: 0 refuses the stream.
    pub(crate) port: u16,
    /// From `m=`, for example `RTP/SAVP`.
    pub(crate) proto: String,
    /// Payload types, preferred first.
    pub(crate) formats: Vec<u8>,
    /// `m=` lines in the text.
    pub(crate) media_lines: usize,
}

impl PeerSdp {
    pub(crate) fn read(text: &str) -> Result<Self, SdpError> {
        let mut description = Self::default();
        for line in text.lines() {
            let Some((kind, value)) = line.trim_end().split_once('=') else { continue };
            let Some(kind) = kind.chars().next() else { continue };
            if kind == 'm' {
                description.media_lines += 1;
                if description.media_lines == 1 {
                    description.read_media(value)?;
                }
                continue;
            }
            match description.media_lines {
                0 => description.session.push((kind, value.to_owned())),
                1 => description.audio.push((kind, value.to_owned())),
                _ => {}
            }
        }
        if description.media_lines == 0 { Err(SdpError::NoAudio) } else { Ok(description) }
    }

    fn read_media(&mut self, value: &str) -> Result<(), SdpError> {
        let mut words = value.split_whitespace();
        if words.next() != Some("audio") {
            return Err(SdpError::NoAudio);
        }
        self.port = words.next().and_then(|w| w.parse().ok()).ok_or(SdpError::NoAudio)?;
        self.proto = words.next().ok_or(SdpError::NoAudio)?.to_owned();
        self.formats = words.filter_map(|w| w.parse().ok()).collect();
        Ok(())
    }

    fn lines(&self, kind: char) -> impl Iterator<Item = &str> {
        self.audio.iter().chain(&self.session).filter(move |(k, _)| *k == kind).map(|(_, v)| v.as_str())
    }

    /// Values of every `a=name:value`, those of the media first. A flag (`a=name`) has the value "".
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines('a').filter_map(move |attribute| match attribute.split_once(':') {
            Some((n, value)) => (n == name).then_some(value.trim()),
            None => (attribute == name).then_some(""),
        })
    }

    pub(crate) fn first(&self, name: &str) -> Option<String> {
        self.all(name).next().map(str::to_owned)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// From `c=`; the media's own line counts before the session's.
    pub(crate) fn address(&self) -> Result<IpAddr, SdpError> {
        let line = self.lines('c').next().ok_or(SdpError::Bad("c="))?;
        line.split_whitespace().nth(2).and_then(|a| a.parse().ok()).ok_or(SdpError::Bad("c="))
    }

    /// Where RTP goes; `None` on hold with 0.0.0.0.
    pub(crate) fn rtp(&self) -> Result<Option<SocketAddr>, SdpError> {
        let ip = self.address()?;
        Ok((!ip.is_unspecified()).then_some(SocketAddr::new(ip, self.port)))
    }

    /// Where RTCP goes if it is not multiplexed: `a=rtcp` (RFC 3605), else the next port.
    pub(crate) fn rtcp(&self) -> Result<Option<SocketAddr>, SdpError> {
        let Some(rtp) = self.rtp()? else { return Ok(None) };
        let Some(value) = self.first("rtcp") else {
            return Ok(Some(SocketAddr::new(rtp.ip(), rtp.port().wrapping_add(1))));
        };
        let mut words = value.split_whitespace();
        let port = words.next().and_then(|w| w.parse().ok()).ok_or(SdpError::Bad("a=rtcp"))?;
        let ip = words.nth(2).and_then(|w| w.parse().ok()).unwrap_or(rtp.ip());
        Ok((ip != IpAddr::V4(Ipv4Addr::UNSPECIFIED)).then_some(SocketAddr::new(ip, port)))
    }

    /// The encoding of payload type `pt`: name in lower case, and clock rate.
    fn rtpmap(&self, pt: u8) -> Option<(String, u32)> {
        let mapped = self.all("rtpmap").find_map(|value| {
            let (number, encoding) = value.split_once(' ')?;
            if number.parse() != Ok(pt) {
                return None;
            }
            let mut parts = encoding.trim().split('/');
            Some((parts.next()?.to_ascii_lowercase(), parts.next()?.parse().ok()?))
        });
        // The static types of RFC 3551 need no a=rtpmap.
        mapped.or(match pt {
            0 => Some(("pcmu".to_owned(), 8_000)),
            8 => Some(("pcma".to_owned(), 8_000)),
            _ => None,
        })
    }

    /// The codecs that we know, preferred first.
    pub(crate) fn codecs(&self) -> Vec<(u8, Codec)> {
        let known = |pt: &u8| {
            let (name, hz) = self.rtpmap(*pt)?;
            let codec = match (name.as_str(), hz) {
                ("opus", 48_000) => Codec::Opus,
                ("pcma", 8_000) => Codec::Pcma,
                ("pcmu", 8_000) => Codec::Pcmu,
                _ => return None,
            };
            Some((*pt, codec))
        };
        self.formats.iter().filter_map(known).collect()
    }

    /// Telephone-event payload types and their clock rates.
    pub(crate) fn events(&self) -> Vec<(u8, u32)> {
        let event = |pt: &u8| self.rtpmap(*pt).filter(|(name, _)| name == "telephone-event").map(|(_, hz)| (*pt, hz));
        self.formats.iter().filter_map(event).collect()
    }

    /// Formats that are neither a codec of [`Codec`] nor telephone-event/8000.
    pub(crate) fn strange_formats(&self) -> Vec<u8> {
        let (codecs, events) = (self.codecs(), self.events());
        let known = |pt: &&u8| codecs.iter().any(|(known, _)| known == *pt) || events.contains(&(**pt, 8_000));
        self.formats.iter().filter(|pt| !known(pt)).copied().collect()
    }

    /// The parameters of `a=fmtp` for `pt`.
    pub(crate) fn fmtp(&self, pt: u8) -> Option<String> {
        self.all("fmtp").find_map(|value| {
            let (number, parameters) = value.split_once(' ')?;
            (number.parse() == Ok(pt)).then(|| parameters.trim().to_owned())
        })
    }

    /// False if the describing side will not send: `a=recvonly`, `a=inactive`.
    pub(crate) fn sends(&self) -> bool {
        !self.has("recvonly") && !self.has("inactive")
    }

    /// False if the describing side does not want to receive: `a=sendonly`, `a=inactive`, port 0, address 0.0.0.0.
    pub(crate) fn receives(&self) -> bool {
        !self.has("sendonly") && !self.has("inactive") && self.port != 0 && matches!(self.rtp(), Ok(Some(_)))
    }

    /// The SSRCs that it announces in `a=ssrc`.
    pub(crate) fn ssrcs(&self) -> Vec<u32> {
        let mut ssrcs: Vec<u32> =
            self.all("ssrc").filter_map(|value| value.split_whitespace().next()?.parse().ok()).collect();
        ssrcs.dedup();
        ssrcs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_offer_is_read() {
        let text = include_str!("../../../../tests/vectors/meta/user_initiated.sip_webrtc.meta_offer.sdp");
        let d = PeerSdp::read(text).unwrap();
        assert_eq!(d.rtp(), Ok(Some("57.144.135.35:3480".parse().unwrap())));
        assert_eq!(d.rtcp(), Ok(None), "a=rtcp:9 IN IP4 0.0.0.0 is a dummy");
        assert_eq!(d.codecs(), [(111, Codec::Opus)]);
        assert_eq!(d.events(), [(126, 8_000)]);
        assert!(d.has("ice-lite") && d.has("rtcp-mux"));
        assert_eq!(d.first("ice-ufrag").as_deref(), Some("RmDDkfzkwbexPfbC"));
        assert_eq!(d.ssrcs(), [849_255_537]);
    }

    #[test]
    fn a_trunk_offer_is_read() {
        let text = include_str!("../../../../tests/vectors/meta/business_initiated.sip_sdes.partner_offer.sdp");
        let d = PeerSdp::read(text).unwrap();
        assert_eq!(d.codecs(), [(107, Codec::Opus), (0, Codec::Pcmu), (8, Codec::Pcma)]);
        assert_eq!(d.rtcp(), Ok(Some("168.86.138.232:19535".parse().unwrap())));
        assert_eq!(d.all("crypto").count(), 1);
        assert!(d.strange_formats().is_empty());
    }

    #[test]
    fn text_without_audio_is_refused() {
        for text in ["", "v=0\r\n", "m=video 1 RTP/AVP 96\r\n", "m=audio x RTP/AVP 0\r\n", "m=audio"] {
            assert_eq!(PeerSdp::read(text).err(), Some(SdpError::NoAudio), "{text:?}");
        }
    }
}
