//! The plan of a leg: the outcome of negotiation as plain data.
//!
//! A plan is declarative and complete. The same plan twice changes nothing; a new one changes what differs (another remote address,
//! other keys, another codec). The leg's port, its SSRC and the numbering of its outgoing stream live as long as the leg.
//!
//! The controller draws everything secret or random in a plan (keys, ICE credentials, SSRC). The engine adds the ports
//! ([`crate::EngineReply::Applied`]).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use trestle_audio::Codec;
use trestle_srtp::KeyingMaterial;
use trestle_wire::{ClockRate, Pt, Ptime, Ssrc};
use zeroize::Zeroizing;

use crate::{InterfaceId, LegId};

/// One leg, as negotiated so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegPlan {
    /// Where the leg's ports are taken from. Fixed by the first plan of the leg; later values are ignored.
    pub interface: InterfaceId,
    /// IPv6 rather than IPv4 port. Fixed by the first plan as well.
    pub ipv6: bool,
    /// How media is secured and how the peer's address is found.
    pub transport: Transport,
    /// RTCP on the RTP port (RFC 5761). If false, on the next higher port.
    pub rtcp_mux: bool,
    /// SSRC of everything Trestle sends on this leg, one of [`crate::OwnSsrcs`]. Fixed by the first plan.
    pub ssrc: Ssrc,
    /// Canonical name in RTCP SDES.
    pub cname: String,
    /// DSCP byte for outgoing packets; `None` leaves the interface's default.
    pub tos: Option<u8>,
    /// What is sent to the peer.
    pub send: SendPlan,
    /// What is taken from the peer.
    pub receive: ReceivePlan,
}

/// What the peer is sent, and when. The default: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendPlan {
    /// Codec and payload types. `None` while the peer's answer is not known; nothing is sent then.
    pub format: Option<SendFormat>,
    /// Where the media comes from.
    pub source: Source,
    /// What of the source is left out.
    pub muting: Muting,
    /// From when on media is sent, and what if the source sends none.
    pub policy: SendPolicy,
    /// False while the peer has put us on hold (`sendonly`, `inactive`): nothing but RTCP is sent to it.
    pub enabled: bool,
}

impl SendPlan {
    /// True if the peer gets a packet per packet time, whether or not the source sends.
    pub(crate) fn has_filler(&self) -> bool {
        self.policy.filler != Filler::Nothing
    }

    pub(crate) fn is_gate_shut(&self) -> bool {
        self.policy.gate == Gate::Shut
    }

    pub(crate) fn takes_events(&self) -> bool {
        self.format.is_some_and(|format| format.event.is_some())
    }

    /// Clock of the peer's telephone-events.
    pub(crate) fn event_clock(&self) -> ClockRate {
        self.format.and_then(|format| format.event).map_or(ClockRate::HZ_8000, |(_, clock)| clock)
    }
}

/// What a leg may receive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceivePlan {
    /// Payload types of audio; packets of any other are discarded.
    pub formats: Vec<ReceiveFormat>,
    /// The peer's telephone-event payload types and their clock rates.
    pub events: Vec<(Pt, ClockRate)>,
    /// Detect digits in the peer's audio until it has sent its first telephone-event.
    pub detect_inband_dtmf: bool,
    /// False while the peer has announced that it sends nothing; its packets are then discarded.
    pub enabled: bool,
    /// The peer is a leg of another call of this process (`connect`), so that an SSRC of Trestle's own is expected.
    pub is_linked: bool,
    /// What an offer of the peer announces that no answer has confirmed.
    pub proposed: Option<ProposedPeer>,
}

/// What an offer of the peer announces that no answer has confirmed (RFC 3264 section 8): packets by it are taken, since the peer may
/// begin before its answer has arrived here. Nothing is sent by it. Fields are `None` if the offer keeps what is agreed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProposedPeer {
    /// Another address of its RTP. A packet from exactly there is taken; it does not change where media goes.
    pub rtp: Option<SocketAddr>,
    /// Another key of an SDES leg, and the octets of MKI beside it.
    pub key: Option<(KeyingMaterial, u8)>,
}

/// Where the media that a leg sends comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// There is none.
    #[default]
    Nothing,
    /// Another leg of the same call.
    Leg(LegId),
}

/// What of its source a leg does not send. The default: it sends everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Muting {
    /// Audio.
    pub audio: AudioMuting,
    /// Digits. A digit that is pressed when this becomes true still ends.
    pub digits: bool,
}

/// What replaces muted audio. SSRC and numbering go on in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AudioMuting {
    /// Audio is not muted.
    #[default]
    Off,
    /// Frames of silence, one per packet time, whether or not the source sends.
    Silence,
    /// No packets.
    NoPackets,
}

/// From when on a peer is sent media, and what it is sent without a source. The default suits a phone: media is sent as soon as
/// there is a path, nothing is kept until then, and nothing fills gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendPolicy {
    /// Whether media may be sent.
    pub gate: Gate,
    /// Audio that cannot be sent yet (the gate is shut, there is no path or no key) is kept, the newest so much of it, and
    /// sent first once that is possible. Zero keeps none.
    pub preroll_max: Duration,
    /// What the peer is sent while there is nothing from the source.
    pub filler: Filler,
}

/// Whether media and RTCP may be sent to a peer. STUN and DTLS always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// As soon as there is a path.
    #[default]
    Open,
    /// Not yet.
    Shut,
}

/// What a peer is sent, one frame per packet time from the moment that media may be sent, while its source sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filler {
    /// No packets.
    #[default]
    Nothing,
    /// Digital silence.
    Silence,
    /// Faint noise, which shows a listener that the line is alive.
    ComfortNoise,
    /// Two soft beeps every few seconds, after a while without a source.
    HoldTone,
}

/// How media on a leg is secured, and where it comes from and goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// RTP/AVP.
    Plain(RtpPeer),
    /// RTP/SAVP with keys from `a=crypto` (RFC 4568).
    Sdes {
        /// The peer's address.
        peer: RtpPeer,
        /// The key that Trestle encrypts with. `None` until the suite is agreed.
        send_key: Option<KeyingMaterial>,
        /// The key that the peer encrypts with. `None` until known; its packets are discarded until then.
        receive_key: Option<KeyingMaterial>,
        /// Octets of MKI in the peer's packets (RFC 3711 3.1), 0 for none. Trestle sends none.
        receive_mki_len: u8,
    },
    /// ICE and DTLS-SRTP.
    WebRtc(WebRtcPlan),
}

/// The peer of a leg without ICE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPeer {
    /// Where to send RTP: the address in the peer's SDP. `None` while unknown, or on hold with 0.0.0.0: then nothing is sent, and
    /// packets are accepted as before.
    pub rtp: Option<SocketAddr>,
    /// Where to send RTCP if not multiplexed.
    pub rtcp: Option<SocketAddr>,
    /// Which source addresses are accepted.
    pub latch: LatchPolicy,
    /// After an address is learnt, packets from other sources are always dropped (`strict-source`).
    pub strict_source: bool,
}

/// Which source addresses a plain or SDES leg takes packets from, and when it follows them.
///
/// A secured leg learns only from authenticated packets, whatever the policy; then the first authenticated packet
/// may come from anywhere unless the policy is [`LatchPolicy::Exact`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LatchPolicy {
    /// The signalled IP address, any port (symmetric NAT, wrong ports in SDP); the first valid packet fixes the port. Another port is
    /// followed if the learnt one has been silent for 60 ms.
    #[default]
    SameIp,
    /// The signalled address and port, never anything else (`endpoint-learning=off`).
    Exact,
    /// As `SameIp`, but media is always sent to the signalled address: for a peer that receives on one port and sends from another
    /// (`asymmetric`).
    Asymmetric,
    /// As `SameIp`, but against this address: where the signalling came from (`SIP-source-address`).
    Ip(IpAddr),
    /// As `SameIp`, or from this address: where the signalling came from. For a peer that signals a private address.
    SameIpOr(IpAddr),
    /// As `SameIp`; if packets of one stream come for 3 s from elsewhere and none from the signalled address, that source
    /// (`endpoint-learning=delayed` and `heuristic`).
    Delayed,
    /// The first packets from anywhere fix the address (`endpoint-learning=immediate`); for peers behind NAT without security.
    Any,
}

/// The WebRTC side of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebRtcPlan {
    /// Trestle's ufrag and password.
    pub local: IceCredentials,
    /// ICE and DTLS parameters of the peer's SDP. `None` until it is known.
    pub remote: Option<WebRtcRemote>,
    /// Who sends the ClientHello.
    pub dtls_role: DtlsRole,
}

/// ICE user name fragment and password (RFC 8445 5.3). `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`. Wiped from memory when dropped.
    pub pwd: Zeroizing<String>,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// ICE agent and certificate of the peer, from its SDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebRtcRemote {
    /// Its ufrag and password.
    pub credentials: IceCredentials,
    /// Its UDP candidates for component 1 as written after `a=`: `candidate:FOUNDATION 1 udp PRIORITY ADDR PORT typ ...`.
    pub candidates: Vec<String>,
    /// `a=ice-lite`: the peer answers checks and sends none. Trestle controls then.
    pub lite: bool,
    /// Trestle is the ICE controlling agent: it made the offer, or the peer is lite.
    pub controlling: bool,
    /// Digests of its certificates (`a=fingerprint`). The certificate that it sends must have one of them (RFC 8122 section 5).
    pub fingerprints: Vec<Fingerprint>,
}

/// Digest of a DTLS certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fingerprint {
    /// SHA-1 (legacy peers).
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-384.
    Sha384([u8; 48]),
    /// SHA-512.
    Sha512([u8; 64]),
}

/// Trestle's role by `a=setup` (RFC 5763 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// `active`: Trestle sends the ClientHello as soon as a pair is nominated.
    Client,
    /// `passive`: the peer sends the ClientHello.
    Server,
    /// Not agreed: Trestle offered `actpass` and the peer (against the RFC) answered `actpass`, or has not answered. Trestle waits
    /// briefly for a ClientHello, then sends one, and drops it if the peer sends one after all.
    Either,
}

/// The format of the media for a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendFormat {
    /// The peer's payload type for the codec.
    pub pt: Pt,
    /// The codec.
    pub codec: Codec,
    /// Packet time of packets that Trestle encodes.
    pub ptime: Ptime,
    /// True if packets of any other duration must be repacked even if the codec is the same (Meta, `ptime` flag).
    pub strict_ptime: bool,
    /// Encoder settings from the peer's `a=fmtp`; used only for Opus.
    pub opus: OpusSettings,
    /// The peer's telephone-event payload type and its clock; `None` if it takes no events.
    pub event: Option<(Pt, ClockRate)>,
}

/// How to encode Opus for a peer (RFC 7587 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusSettings {
    /// `maxaveragebitrate`, bits per second.
    pub bitrate_bps: u32,
    /// `useinbandfec`.
    pub inband_fec: bool,
    /// `usedtx`. Trestle sends a frame per packet time in any case; DTX only makes frames of silence small.
    pub dtx: bool,
    /// `maxplaybackrate`, Hz. Without effect: Trestle encodes audio of 8 kHz.
    pub max_playback_hz: u32,
}

impl Default for OpusSettings {
    /// RFC 7587 defaults as far as telephony needs them: 20 kbit/s mono, FEC on.
    fn default() -> Self {
        Self { bitrate_bps: 20_000, inband_fec: true, dtx: false, max_playback_hz: 16_000 }
    }
}

/// A payload type that a peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveFormat {
    /// Payload type.
    pub pt: Pt,
    /// Codec.
    pub codec: Codec,
}
