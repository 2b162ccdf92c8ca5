//! A party's description, read from its SDP once for all later questions.

use std::net::{IpAddr, SocketAddr};

use trestle_core::limits::REMOTE_CANDIDATES_MAX;
use trestle_core::plan::{Fingerprint, IceCredentials};
use trestle_wire::Ssrc;

use crate::Protocol;
use crate::{Candidate, Crypto, Direction, Format, MediaDescription, Sdp, SdpError, Setup};

/// How media is protected, and so what kind of transport the leg has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// RTP as it is.
    Plain,
    /// SRTP with keys from `a=crypto`.
    Sdes,
    /// ICE and DTLS-SRTP.
    Dtls,
}

/// A party's SDP with its one audio stream understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// As received.
    pub text: String,
    /// The lines.
    pub sdp: Sdp,
    /// Which of its media is the audio that we bridge.
    pub audio: usize,
    /// Protocol of that `m=` line.
    pub protocol: Protocol,
    /// How it is protected.
    pub security: Security,
    /// Its formats, in its order.
    pub formats: Vec<Format>,
    /// Its direction attribute.
    pub direction: Direction,
    /// Address of `c=` and port of `m=`.
    pub rtp: SocketAddr,
    /// Where it wants RTCP if not multiplexed.
    pub rtcp: SocketAddr,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=crypto` lines that we can use.
    pub cryptos: Vec<Crypto>,
    /// Its ICE agent; only with [`Security::Dtls`].
    pub ice: Option<RemoteIce>,
    /// `a=setup`.
    pub setup: Option<Setup>,
    /// `a=mid`.
    pub mid: Option<String>,
    /// Its `a=mid` is listed in an `a=group:BUNDLE`.
    pub bundled: bool,
    /// `a=ptime`, but not more than `a=maxptime`, milliseconds.
    pub ptime_ms: Option<u32>,
    /// SSRCs that it announces.
    pub ssrcs: Vec<Ssrc>,
}

/// Why a party's SDP cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteError {
    /// The text is not SDP, or a line that Trestle needs is malformed.
    Malformed(SdpError),
    /// A part that a call needs is missing.
    Incomplete(SdpError),
    /// Valid SDP that Trestle cannot bridge.
    Unbridgeable(SdpError),
}

impl RemoteError {
    /// The words that signalling proxies compare.
    pub fn contract(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Failed to parse SDP",
            Self::Incomplete(_) => "Incomplete SDP specification",
            Self::Unbridgeable(_) => "Error rewriting SDP",
        }
    }
}

impl std::fmt::Display for RemoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Malformed(error) | Self::Incomplete(error) | Self::Unbridgeable(error)) = self;
        write!(f, "{}: {error}", self.contract())
    }
}

impl std::error::Error for RemoteError {}

impl From<SdpError> for RemoteError {
    fn from(error: SdpError) -> Self {
        Self::Malformed(error)
    }
}

/// `a=ice-*`, `a=candidate`, `a=fingerprint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteIce {
    /// User name fragment and password.
    pub credentials: IceCredentials,
    /// Usable candidates.
    pub candidates: Vec<Candidate>,
    /// `a=ice-lite`.
    pub lite: bool,
    /// The certificate's digest.
    pub fingerprint: Fingerprint,
}

impl Remote {
    /// Reads an SDP. `known` are formats that payload types without `a=rtpmap` may refer to. Where DTLS and SDES are both
    /// on offer, DTLS is taken unless `prefer_sdes`.
    pub fn read(text: &str, known: &[Format], prefer_sdes: bool) -> Result<Self, RemoteError> {
        let sdp = Sdp::parse(text)?;
        let audio = find_audio(&sdp)?;
        let media = &sdp.media[audio];
        let protocol = Protocol::parse(&media.proto).ok_or_else(|| {
            let known: Vec<&str> = Protocol::ALL.iter().map(|protocol| protocol.as_str()).collect();
            unbridgeable(media, format!("protocol must be one of {}", known.join(", ")))
        })?;
        let address = sdp.connection(media).map_err(RemoteError::Incomplete)?.address;
        let rtp = SocketAddr::new(address, media.port);
        let formats = media.audio_formats(known)?;
        if !formats.iter().any(|format| format.codec().is_some()) {
            return Err(unbridgeable(media, "no codec that Trestle speaks (opus, PCMA, PCMU)"));
        }
        let cryptos = media.cryptos()?;
        let fingerprint = if protocol.is_secure() { sdp.fingerprint(media)? } else { None };
        let security = security(media, protocol, &cryptos, fingerprint.is_some(), prefer_sdes)?;
        let ice = match (security, fingerprint) {
            (Security::Dtls, Some(fingerprint)) => Some(read_ice(&sdp, media, fingerprint)?),
            (Security::Dtls, None) => {
                return Err(RemoteError::Incomplete(media.line.error("DTLS-SRTP needs an a=fingerprint")));
            }
            _ => None,
        };
        let mid = media.mid()?.map(str::to_owned);
        let bundled = mid.as_deref().is_some_and(|mid| {
            let groups = sdp.attributes().filter(|attribute| attribute.name == "group").filter_map(|a| a.value);
            groups
                .map(str::split_ascii_whitespace)
                .any(|mut words| words.next() == Some("BUNDLE") && words.any(|word| word == mid))
        });
        let ptime_ms = media.milliseconds("ptime")?;
        let ptime_ms = match media.milliseconds("maxptime")? {
            Some(max) => ptime_ms.map(|ms| ms.min(max)).or((max < 20).then_some(max)),
            None => ptime_ms,
        };
        let ssrcs = media
            .attributes()
            .filter(|attribute| attribute.name == "ssrc")
            .filter_map(|attribute| attribute.value?.split_ascii_whitespace().next()?.parse().ok().map(Ssrc));
        Ok(Self {
            text: text.to_owned(),
            audio,
            protocol,
            security,
            formats,
            direction: sdp.direction(media),
            rtp,
            rtcp: sdp.rtcp_address(media, rtp)?,
            rtcp_mux: media.rtcp_mux(),
            cryptos,
            ice,
            setup: sdp.setup(media)?,
            mid,
            bundled,
            ptime_ms,
            ssrcs: ssrcs.collect(),
            sdp,
        })
    }

    /// The `m=` line.
    pub fn media(&self) -> &MediaDescription {
        &self.sdp.media[self.audio]
    }

    /// Its codecs of ours, the first payload type of each.
    pub fn codecs(&self) -> Vec<Format> {
        let mut codecs: Vec<Format> = Vec::new();
        for format in self.formats.iter().filter(|format| format.codec().is_some()) {
            if !codecs.iter().any(|other| other.codec() == format.codec()) {
                codecs.push(format.clone());
            }
        }
        codecs
    }

    /// Its telephone-events, whatever their clock.
    pub fn events(&self) -> impl Iterator<Item = &Format> {
        self.formats.iter().filter(|format| format.event_clock().is_some())
    }

    /// True if its media lives in IPv6 alone, as far as one can see.
    pub fn prefers_ipv6(&self) -> bool {
        if !self.rtp.ip().is_unspecified() {
            return self.rtp.is_ipv6();
        }
        let candidates = self.ice.as_ref().map_or(&[][..], |ice| &ice.candidates);
        !candidates.is_empty() && candidates.iter().all(|candidate| candidate.address.is_ipv6())
    }

    /// Its candidates in one family, as the engine takes them; those of highest priority if there are too many.
    pub fn candidates(&self, ipv6: bool) -> Vec<String> {
        let candidates = self.ice.as_ref().map_or(&[][..], |ice| &ice.candidates);
        let mut usable: Vec<&Candidate> = candidates.iter().filter(|c| c.address.is_ipv6() == ipv6).collect();
        usable.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        usable.into_iter().take(REMOTE_CANDIDATES_MAX).map(ToString::to_string).collect()
    }

    /// True if packets may be sent to it: it receives, at a known address. `c=0.0.0.0` is the old form of hold (RFC 3264 8.4),
    /// except with ICE, where candidates count.
    pub fn listens(&self) -> bool {
        let addressed = self.security == Security::Dtls || !self.rtp.ip().is_unspecified();
        self.rtp.port() != 0 && addressed && self.direction.receives()
    }

    /// True if it may send.
    pub fn speaks(&self) -> bool {
        self.rtp.port() != 0 && self.direction.sends()
    }

    /// The peer's address, or `None` if it is unspecified.
    pub fn address(&self) -> Option<IpAddr> {
        (!self.rtp.ip().is_unspecified()).then_some(self.rtp.ip())
    }
}

/// The first audio with a port; if all have port 0, that is an end of the stream which only re-offers may say, so the first.
fn find_audio(sdp: &Sdp) -> Result<usize, RemoteError> {
    let audio = |media: &MediaDescription| media.media == "audio";
    sdp.media
        .iter()
        .position(|media| audio(media) && media.port != 0)
        .or_else(|| sdp.media.iter().position(audio))
        .ok_or_else(|| match sdp.media.first() {
            Some(media) => unbridgeable(media, "there is no audio"),
            None => RemoteError::Incomplete(SdpError::whole("no m= line")),
        })
}

fn security(
    media: &MediaDescription,
    protocol: Protocol,
    cryptos: &[Crypto],
    fingerprint: bool,
    prefer_sdes: bool,
) -> Result<Security, RemoteError> {
    if !protocol.is_secure() {
        return Ok(Security::Plain);
    }
    if protocol.is_dtls() || (fingerprint && (cryptos.is_empty() || !prefer_sdes)) {
        return Ok(Security::Dtls);
    }
    if !cryptos.is_empty() {
        return Ok(Security::Sdes);
    }
    Err(match media.attribute("crypto") {
        Some(attribute) => {
            RemoteError::Unbridgeable(attribute.line.error("no a=crypto has a suite that Trestle speaks"))
        }
        None => RemoteError::Incomplete(media.line.error("SRTP needs an a=crypto or an a=fingerprint")),
    })
}

fn read_ice(sdp: &Sdp, media: &MediaDescription, fingerprint: Fingerprint) -> Result<RemoteIce, RemoteError> {
    let need = |name: &str| {
        let missing =
            || RemoteError::Incomplete(media.line.error(format!("DTLS-SRTP needs ICE, and a={name} is missing")));
        sdp.ice_credential(media, name)?.ok_or_else(missing)
    };
    Ok(RemoteIce {
        credentials: IceCredentials { ufrag: need("ice-ufrag")?, pwd: need("ice-pwd")? },
        candidates: media.candidates()?,
        lite: sdp.ice_lite(media),
        fingerprint,
    })
}

/// An error about the `m=` line.
fn unbridgeable(media: &MediaDescription, reason: impl Into<String>) -> RemoteError {
    RemoteError::Unbridgeable(media.line.error(reason))
}
