//! [`PeerDescription`]: what a peer's SDP states about its audio, read and checked once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use trestle_audio::CODECS;
use trestle_core::limits::REMOTE_CANDIDATES_MAX;
use trestle_core::plan::{Fingerprint, IceCredentials};
use trestle_wire::Ssrc;
use zeroize::Zeroizing;

use crate::Protocol;
use crate::{Candidate, Crypto, Direction, Format, MediaDescription, Sdp, SdpError, Setup, Skipped};

/// How media is protected. It decides the kind of transport of the leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// Plain RTP.
    Plain,
    /// SRTP with keys from `a=crypto`.
    Sdes,
    /// ICE and DTLS-SRTP.
    Dtls,
}

/// A peer's SDP, with the values of the one audio stream that Trestle bridges. Its text, which has keys, is wiped from memory when
/// dropped, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerDescription {
    /// The SDP as received.
    pub text: Zeroizing<String>,
    /// Its lines. [`Sdp::skipped`] has also the malformed and surplus items within lines of the audio stream.
    pub sdp: Sdp,
    /// Index of the audio stream in [`Sdp::media`].
    pub audio: usize,
    /// Protocol of that `m=` line.
    pub protocol: Protocol,
    /// How media is protected.
    pub security: Security,
    /// Payload types in the order of the `m=` line.
    pub formats: Vec<Format>,
    /// Direction attribute; `sendrecv` if there is none. Without reception if `c=` is 0.0.0.0, the old form of hold (RFC 3264
    /// section 8.4), except with ICE: there the candidates have the addresses.
    pub direction: Direction,
    /// Where the peer receives RTP and RTCP.
    pub addresses: PeerAddresses,
    /// `a=crypto` lines with a supported suite, in the peer's order.
    pub cryptos: Vec<Crypto>,
    /// ICE and certificate; only with [`Security::Dtls`].
    pub ice: Option<PeerIce>,
    /// `a=setup`.
    pub setup: Option<Setup>,
    /// `a=mid`.
    pub mid: Option<String>,
    /// True if an `a=group:BUNDLE` contains the `a=mid`.
    pub bundled: bool,
    /// `a=ptime`, but not more than `a=maxptime`, milliseconds.
    pub ptime_ms: Option<u32>,
    /// SSRCs of `a=ssrc`.
    pub ssrcs: Vec<Ssrc>,
}

impl std::fmt::Debug for PeerDescription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerDescription")
            .field("sdp", &self.sdp)
            .field("security", &self.security)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Where a peer receives RTP and RTCP, as signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddresses {
    /// Address of `c=` and port of `m=`.
    pub rtp: SocketAddr,
    /// `a=rtcp`, else the port above that of RTP (RFC 3605). Not used with `a=rtcp-mux`.
    pub rtcp: SocketAddr,
    /// `a=rtcp-mux`: RTCP is received on the RTP port.
    pub rtcp_mux: bool,
}

/// Why a party's SDP cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerDescriptionError {
    /// The text is not SDP, or a line that Trestle needs is malformed.
    Malformed(SdpError),
    /// A part that a call needs is missing.
    Incomplete(SdpError),
    /// Valid SDP that Trestle cannot bridge.
    Unbridgeable(SdpError),
}

impl PeerDescriptionError {
    /// The text that signalling proxies compare; the details follow it after a colon.
    pub fn contract(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Failed to parse SDP",
            Self::Incomplete(_) => "Incomplete SDP specification",
            Self::Unbridgeable(_) => "Error rewriting SDP",
        }
    }
}

impl std::fmt::Display for PeerDescriptionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Malformed(error) | Self::Incomplete(error) | Self::Unbridgeable(error)) = self;
        write!(f, "{}: {error}", self.contract())
    }
}

impl std::error::Error for PeerDescriptionError {}

impl From<SdpError> for PeerDescriptionError {
    fn from(error: SdpError) -> Self {
        Self::Malformed(error)
    }
}

/// `a=ice-*`, `a=candidate`, `a=fingerprint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIce {
    /// User name fragment and password.
    pub credentials: IceCredentials,
    /// The candidates that Trestle can use.
    pub candidates: Vec<Candidate>,
    /// `a=ice-lite`.
    pub lite: bool,
    /// Digests of the peer's certificates, at least one.
    pub fingerprints: Vec<Fingerprint>,
}

impl PeerDescription {
    /// Reads an SDP. `known` has the formats that Trestle sent: a dynamic payload type without `a=rtpmap` is looked up
    /// there. If the peer offers both DTLS and SDES, DTLS is used unless `prefer_sdes`.
    ///
    /// A malformed or surplus item that the call does not need goes to [`Sdp::skipped`], and so does one that the peer
    /// offers beside a good one: an `a=crypto`, a fingerprint, a candidate, a format.
    ///
    /// # Errors
    ///
    /// The text is not SDP, or lacks a part that a call needs, or Trestle cannot bridge it.
    pub fn read(text: &str, known: &[Format], prefer_sdes: bool) -> Result<Self, PeerDescriptionError> {
        let mut sdp = Sdp::parse(text)?;
        let audio = find_audio(&sdp)?;
        let mut skipped = std::mem::take(&mut sdp.skipped);
        let media = &sdp.media[audio];
        if media.port == 0 {
            return Ok(Self::read_ended(text, sdp, audio, skipped));
        }
        let protocol = Protocol::parse(&media.proto).ok_or_else(|| {
            let known: Vec<&str> = Protocol::ALL.iter().map(|protocol| protocol.as_str()).collect();
            unbridgeable(media, format!("the protocol must be one of {}", known.join(", ")))
        })?;
        let formats = media.audio_formats(known, &mut skipped);
        if !formats.iter().any(|format| format.codec().is_some()) {
            let supported: Vec<&str> = CODECS.iter().rev().map(|info| info.name).collect();
            return Err(unbridgeable(media, format!("no codec that Trestle supports ({})", supported.join(", "))));
        }
        let keys = OfferedKeys::read(&sdp, media, protocol);
        let security = keys.security(media, protocol, prefer_sdes)?;
        let ice =
            (security == Security::Dtls).then(|| read_ice(&sdp, media, keys.fingerprints, &mut skipped)).transpose()?;
        if protocol.is_secure() {
            // Of plain RTP, and of the kind of keys that is not used, no line matters.
            skipped.extend(if ice.is_some() { keys.skipped_fingerprints } else { keys.skipped_cryptos });
        }
        let address = match (sdp.connection(media), security) {
            (Ok(connection), _) => connection.address,
            // The candidates have the addresses.
            (Err(error), Security::Dtls) => {
                skipped.add(error);
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            }
            (Err(error), _) => return Err(PeerDescriptionError::Incomplete(error)),
        };
        let rtp = SocketAddr::new(address, media.port);
        let mid = skipped.take(media.mid()).map(str::to_owned);
        let bundled = mid.as_deref().is_some_and(|mid| {
            let groups = sdp.attributes().filter(|attribute| attribute.name == "group").filter_map(|a| a.value);
            groups
                .map(str::split_ascii_whitespace)
                .any(|mut words| words.next() == Some("BUNDLE") && words.any(|word| word == mid))
        });
        let ptime_ms = skipped.take(media.milliseconds("ptime"));
        let ptime_ms = match skipped.take(media.milliseconds("maxptime")) {
            Some(max) => ptime_ms.map(|ms| ms.min(max)).or((max < 20).then_some(max)),
            None => ptime_ms,
        };
        let ssrcs = media
            .attributes()
            .filter(|attribute| attribute.name == "ssrc")
            .filter_map(|attribute| attribute.value?.split_ascii_whitespace().next()?.parse().ok().map(Ssrc));
        let rtcp = sdp.rtcp_address(media, rtp, &mut skipped);
        let setup = if security == Security::Dtls { skipped.take(sdp.setup(media)) } else { None };
        Ok(Self {
            text: text.to_owned().into(),
            audio,
            protocol,
            security,
            formats,
            direction: direction(&sdp, media, security, address),
            addresses: PeerAddresses { rtp, rtcp, rtcp_mux: media.rtcp_mux() },
            cryptos: keys.cryptos,
            ice,
            setup,
            mid,
            bundled,
            ptime_ms,
            ssrcs: ssrcs.collect(),
            sdp: Sdp { skipped, ..sdp },
        })
    }

    /// Reads an SDP whose audio has port 0: of such a stream nothing is needed, and its attributes may be left out (RFC 3264
    /// section 8.2).
    fn read_ended(text: &str, sdp: Sdp, audio: usize, mut skipped: Skipped) -> Self {
        let media = &sdp.media[audio];
        let protocol = Protocol::parse(&media.proto).unwrap_or(Protocol::RtpAvp);
        let address = sdp.connection(media).map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |connection| connection.address);
        let rtp = SocketAddr::new(address, 0);
        Self {
            text: text.to_owned().into(),
            audio,
            protocol,
            security: match protocol {
                _ if !protocol.is_secure() => Security::Plain,
                _ if protocol.is_dtls() => Security::Dtls,
                _ => Security::Sdes,
            },
            formats: media.audio_formats(&[], &mut skipped),
            direction: Direction::Inactive,
            addresses: PeerAddresses { rtp, rtcp: rtp, rtcp_mux: false },
            cryptos: Vec::new(),
            ice: None,
            setup: None,
            mid: skipped.take(media.mid()).map(str::to_owned),
            bundled: false,
            ptime_ms: None,
            ssrcs: Vec::new(),
            sdp: Sdp { skipped, ..sdp },
        }
    }

    /// True if the audio has port 0: in an offer the stream ends, in an answer it is refused (RFC 3264 sections 6 and 8.2).
    pub fn is_ended(&self) -> bool {
        self.addresses.rtp.port() == 0
    }

    /// The `m=` line.
    pub fn media(&self) -> &MediaDescription {
        &self.sdp.media[self.audio]
    }

    /// The codecs that Trestle supports, the first payload type of each.
    pub fn codecs(&self) -> Vec<Format> {
        let mut codecs: Vec<Format> = Vec::new();
        for format in self.formats.iter().filter(|format| format.codec().is_some()) {
            if !codecs.iter().any(|other| other.codec() == format.codec()) {
                codecs.push(format.clone());
            }
        }
        codecs
    }

    /// The telephone-event formats, at any clock rate.
    pub fn events(&self) -> impl Iterator<Item = &Format> {
        self.formats.iter().filter(|format| format.event_clock().is_some())
    }

    /// True if media goes to an IPv6 address, or, without an address in `c=`, if all candidates are IPv6.
    pub fn prefers_ipv6(&self) -> bool {
        if !self.addresses.rtp.ip().is_unspecified() {
            return self.addresses.rtp.is_ipv6();
        }
        let candidates = self.ice.as_ref().map_or(&[][..], |ice| &ice.candidates);
        !candidates.is_empty() && candidates.iter().all(|candidate| candidate.address.is_ipv6())
    }

    /// The candidates of one address family as attribute values; those with the highest priority if there are more than
    /// [`REMOTE_CANDIDATES_MAX`].
    pub fn candidates(&self, ipv6: bool) -> Vec<String> {
        let candidates = self.ice.as_ref().map_or(&[][..], |ice| &ice.candidates);
        let mut usable: Vec<&Candidate> = candidates.iter().filter(|c| c.address.is_ipv6() == ipv6).collect();
        usable.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        usable.into_iter().take(REMOTE_CANDIDATES_MAX).map(ToString::to_string).collect()
    }

    /// True if packets may be sent to the peer: it receives, at a known address.
    pub fn can_receive(&self) -> bool {
        !self.is_ended() && self.direction.receives()
    }

    /// True if the peer may send packets.
    pub fn can_send(&self) -> bool {
        !self.is_ended() && self.direction.sends()
    }

    /// The peer's address, or `None` if it is unspecified.
    pub fn address(&self) -> Option<IpAddr> {
        (!self.addresses.rtp.ip().is_unspecified()).then_some(self.addresses.rtp.ip())
    }
}

/// Index of the first audio stream whose port is not 0. If all have port 0 (ended streams), the index of the first one.
fn find_audio(sdp: &Sdp) -> Result<usize, PeerDescriptionError> {
    let audio = |media: &MediaDescription| media.media == "audio";
    sdp.media
        .iter()
        .position(|media| audio(media) && media.port != 0)
        .or_else(|| sdp.media.iter().position(audio))
        .ok_or_else(|| match (sdp.media.first(), sdp.skipped.iter().next()) {
            (Some(media), _) => unbridgeable(media, "there is no audio"),
            (None, Some(error)) => PeerDescriptionError::Malformed(error.clone()),
            (None, None) => PeerDescriptionError::Incomplete(SdpError::whole("no m= line")),
        })
}

fn direction(sdp: &Sdp, media: &MediaDescription, security: Security, address: IpAddr) -> Direction {
    let attribute = sdp.direction(media);
    let is_on_hold = security != Security::Dtls && address.is_unspecified();
    Direction::of(attribute.sends(), attribute.receives() && !is_on_hold)
}

/// The keys that a description offers, and the lines of each kind that cannot be used.
struct OfferedKeys {
    cryptos: Vec<Crypto>,
    skipped_cryptos: Skipped,
    fingerprints: Vec<Fingerprint>,
    skipped_fingerprints: Skipped,
}

impl OfferedKeys {
    fn read(sdp: &Sdp, media: &MediaDescription, protocol: Protocol) -> Self {
        let (mut skipped_cryptos, mut skipped_fingerprints) = (Skipped::default(), Skipped::default());
        let cryptos = media.cryptos(&mut skipped_cryptos);
        let is_secure = protocol.is_secure();
        let fingerprints = if is_secure { sdp.fingerprints(media, &mut skipped_fingerprints) } else { Vec::new() };
        Self { cryptos, skipped_cryptos, fingerprints, skipped_fingerprints }
    }

    /// # Errors
    ///
    /// The protocol requires keys, and the description has none that Trestle can use.
    fn security(
        &self,
        media: &MediaDescription,
        protocol: Protocol,
        prefer_sdes: bool,
    ) -> Result<Security, PeerDescriptionError> {
        if !protocol.is_secure() {
            return Ok(Security::Plain);
        }
        let (sdes, dtls) = (!self.cryptos.is_empty(), !self.fingerprints.is_empty());
        if dtls && (protocol.is_dtls() || !sdes || !prefer_sdes) {
            return Ok(Security::Dtls);
        }
        if sdes && !protocol.is_dtls() {
            return Ok(Security::Sdes);
        }
        let of_fingerprint = self.skipped_fingerprints.iter().next();
        let unusable =
            if protocol.is_dtls() { of_fingerprint } else { self.skipped_cryptos.iter().next().or(of_fingerprint) };
        Err(match (unusable, media.attribute("crypto")) {
            (Some(error), _) => PeerDescriptionError::Malformed(error.clone()),
            _ if protocol.is_dtls() => {
                PeerDescriptionError::Incomplete(media.line.error("DTLS-SRTP needs an a=fingerprint"))
            }
            (None, Some(attribute)) => PeerDescriptionError::Unbridgeable(
                attribute.line.error("no a=crypto has a suite that Trestle supports"),
            ),
            (None, None) => {
                PeerDescriptionError::Incomplete(media.line.error("SRTP needs an a=crypto or an a=fingerprint"))
            }
        })
    }
}

fn read_ice(
    sdp: &Sdp,
    media: &MediaDescription,
    fingerprints: Vec<Fingerprint>,
    skipped: &mut Skipped,
) -> Result<PeerIce, PeerDescriptionError> {
    let need = |name: &str| {
        let missing = || {
            PeerDescriptionError::Incomplete(media.line.error(format!("DTLS-SRTP needs ICE, and a={name} is missing")))
        };
        sdp.ice_credential(media, name)?.ok_or_else(missing)
    };
    Ok(PeerIce {
        credentials: IceCredentials { ufrag: need("ice-ufrag")?, pwd: need("ice-pwd")?.into() },
        candidates: media.candidates(skipped),
        lite: sdp.ice_lite(media),
        fingerprints,
    })
}

/// An error about the `m=` line.
fn unbridgeable(media: &MediaDescription, reason: impl Into<String>) -> PeerDescriptionError {
    PeerDescriptionError::Unbridgeable(media.line.error(reason))
}
