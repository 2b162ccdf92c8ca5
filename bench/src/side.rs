//! [`Side`]: codec and security of one leg of a measured call.

use std::net::SocketAddr;
use std::time::Duration;

use trestle_core::plan::{
    Codec, DtlsRole, Filler, Fingerprint, Gate, IceCredentials, LatchPolicy, Muting, OpusSettings, ReceiveFormat,
    ReceivePlan, RtpPeer, SendFormat, SendPlan, SendPolicy, Source, Transport, WebRtcPlan, WebRtcRemote,
};
use trestle_core::{DtlsIdentity, InterfaceId, LegId, LegPlan};
use trestle_srtp::{KeyingMaterial, Profile};
use trestle_wire::{ClockRate, Pt, Ptime, Ssrc};

/// The properties of a leg that the scenarios vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Codec that its peer sends and receives.
    pub codec: Codec,
    /// Security of its media.
    pub security: Security,
    /// True for a leg towards WhatsApp: it has only packets of 20 ms, and comfort noise while there is nothing to forward.
    pub unbroken: bool,
}

/// How a leg's media is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain RTP.
    Plain,
    /// SRTP with signalled keys.
    Sdes(Profile),
    /// ICE, DTLS and SRTP.
    Dtls,
}

/// The two ends of a leg, and for which of them a plan is made.
pub(crate) struct Ends<'a> {
    /// Number of the leg. Keys, SSRCs and ICE credentials follow from it, the same on both ends.
    pub(crate) name: u32,
    pub(crate) peer: SocketAddr,
    pub(crate) peer_identity: &'a DtlsIdentity,
    /// True for the plan of the measured engine, false for the plan of the shard that simulates its peer.
    pub(crate) ours: bool,
}

impl Side {
    /// G.711 over RTP.
    pub const PHONE: Self = Self { codec: Codec::Pcma, security: Security::Plain, unbroken: false };

    /// G.711 over SRTP.
    pub const SECURE_PHONE: Self = Self { security: Security::Sdes(Profile::AesCm128HmacSha1_80), ..Self::PHONE };

    /// Opus over DTLS-SRTP.
    pub const BROWSER: Self = Self { codec: Codec::Opus, security: Security::Dtls, unbroken: false };

    /// Opus over DTLS-SRTP, towards WhatsApp.
    pub const META: Self = Self { unbroken: true, ..Self::BROWSER };

    /// Opus over SRTP with signalled keys.
    pub const SECURE_OPUS: Self = Self { codec: Codec::Opus, ..Self::SECURE_PHONE };

    /// This side with another security.
    pub const fn over(self, security: Security) -> Self {
        Self { security, ..self }
    }

    /// Payload type of audio.
    pub fn pt(&self) -> Pt {
        match self.codec {
            Codec::Pcmu => Pt::PCMU,
            Codec::Pcma => Pt::PCMA,
            Codec::Opus => Pt::new(111).expect("7 bits"),
        }
    }

    /// Payload type and clock rate of telephone-events. The clock rate is that of the audio.
    pub fn event(&self) -> (Pt, ClockRate) {
        (Pt::new(101).expect("7 bits"), self.codec.clock())
    }

    /// The plan of leg `leg` (0 or 1). Its source is the other leg.
    pub(crate) fn plan(&self, leg: usize, ends: &Ends<'_>) -> LegPlan {
        let rtcp = SocketAddr::new(ends.peer.ip(), ends.peer.port() + 1);
        let peer = RtpPeer { rtp: Some(ends.peer), rtcp: Some(rtcp), latch: LatchPolicy::SameIp, strict_source: false };
        let transport = match self.security {
            Security::Plain => Transport::Plain(peer),
            Security::Sdes(suite) => Transport::Sdes {
                peer,
                send_key: Some(key(suite, !ends.name)),
                receive_key: Some(key(suite, ends.name)),
                receive_mki_len: 0,
            },
            Security::Dtls => Transport::WebRtc(self.webrtc(ends)),
        };
        let policy = SendPolicy {
            gate: Gate::Open,
            preroll_max: if self.unbroken { Duration::from_secs(5) } else { Duration::ZERO },
            filler: if self.unbroken { Filler::ComfortNoise } else { Filler::Nothing },
        };
        LegPlan {
            interface: InterfaceId(0),
            ipv6: false,
            transport,
            rtcp_mux: self.security == Security::Dtls,
            ssrc: Ssrc(if ends.ours { 0x7e51_0000 } else { 0x0abc_0000 } | ends.name),
            cname: "trestle".to_owned(),
            tos: None,
            send: SendPlan {
                format: Some(SendFormat {
                    pt: self.pt(),
                    codec: self.codec,
                    ptime: Ptime::MS_20,
                    strict_ptime: self.unbroken,
                    opus: OpusSettings::default(),
                    event: Some(self.event()),
                }),
                source: Source::Leg(LegId(1 - leg as u16)),
                muting: Muting::default(),
                policy,
                enabled: true,
            },
            receive: ReceivePlan {
                is_linked: false,
                proposed: None,
                formats: vec![ReceiveFormat { pt: self.pt(), codec: self.codec }],
                events: vec![self.event()],
                detect_inband_dtmf: false,
                enabled: true,
            },
        }
    }

    fn webrtc(&self, ends: &Ends<'_>) -> WebRtcPlan {
        let credentials = |ours: bool| IceCredentials {
            ufrag: format!("{}{:08x}", if ours { "ours" } else { "peer" }, ends.name),
            pwd: format!("{}passwordpassword{:08x}", if ours { "ours" } else { "peer" }, ends.name).into(),
        };
        let candidate = format!("candidate:1 1 udp 2130706431 {} {} typ host", ends.peer.ip(), ends.peer.port());
        WebRtcPlan {
            local: credentials(ends.ours),
            remote: Some(WebRtcRemote {
                credentials: credentials(!ends.ours),
                candidates: vec![candidate],
                lite: false,
                controlling: ends.ours,
                fingerprints: vec![Fingerprint::Sha256(ends.peer_identity.fingerprint())],
            }),
            dtls_role: if ends.ours { DtlsRole::Client } else { DtlsRole::Server },
        }
    }
}

/// The SRTP key with which the peer of leg `name` sends. With `!name`, the key with which the engine sends.
pub(crate) fn key(suite: Profile, name: u32) -> KeyingMaterial {
    let seed = name.to_be_bytes();
    let bytes: Vec<u8> =
        (0..suite.key_len() + suite.salt_len()).map(|n| seed[n % 4].wrapping_mul(31) ^ n as u8).collect();
    KeyingMaterial::from_key_and_salt(suite, &bytes).expect("the suite's lengths")
}
