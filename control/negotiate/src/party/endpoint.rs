//! What a leg is. Interface and address family are fixed when the party appears; an answer may change the kind.

use trestle_core::InterfaceId;
use trestle_core::plan::{LatchPolicy, RtpPeer, Transport, WebRtcPlan, WebRtcRemote};
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Protocol;
use trestle_sdp::{PeerDescription, Security};

use super::proposal::PeerTerms;
use super::secrets::Secrets;
use trestle_core::plan::DtlsRole;

/// The rules that apply to a party, and the transport of its leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartyKind {
    pub(crate) profile: ProfileName,
    /// Protocol of the `m=` line.
    pub(crate) protocol: Protocol,
    pub(crate) security: Security,
}

/// The local side of a leg.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// In force. A proposal of another kind is part of the offer.
    pub(crate) kind: PartyKind,
    pub(crate) interface: InterfaceId,
    pub(crate) ipv6: bool,
    /// Trestle made the offer that has given the leg its kind, and so is the ICE controlling agent (RFC 8445 6.1.1).
    pub(crate) we_offered: bool,
}

impl Endpoint {
    pub(crate) fn has_whatsapp_rules(&self) -> bool {
        self.kind.profile == ProfileName::Whatsapp
    }

    /// The transport of the leg's plan, by the peer's terms; `None` while the peer has sent no description.
    pub(super) fn transport(&self, secrets: &Secrets, terms: Option<&PeerTerms>) -> Transport {
        let no_peer = RtpPeer { rtp: None, rtcp: None, latch: LatchPolicy::SameIp, strict_source: false };
        let peer = || terms.map_or(no_peer, PeerTerms::rtp_peer);
        match self.kind.security {
            Security::Plain => Transport::Plain(peer()),
            Security::Sdes => {
                let crypto = terms.and_then(|terms| terms.crypto.as_ref());
                Transport::Sdes {
                    peer: peer(),
                    send_key: crypto.and_then(|crypto| secrets.known_key(crypto.key.profile())),
                    receive_key: crypto.map(|crypto| crypto.key.clone()),
                    receive_mki_len: crypto.map_or(0, |crypto| crypto.mki_len),
                }
            }
            Security::Dtls => Transport::WebRtc(WebRtcPlan {
                local: secrets.ice.clone(),
                remote: terms.and_then(|terms| self.web_rtc_remote(&terms.remote)),
                dtls_role: terms.map_or(DtlsRole::Either, |terms| terms.dtls_role),
            }),
        }
    }

    fn web_rtc_remote(&self, remote: &PeerDescription) -> Option<WebRtcRemote> {
        let ice = remote.ice.as_ref()?;
        Some(WebRtcRemote {
            credentials: ice.credentials.clone(),
            candidates: remote.candidates(self.ipv6),
            lite: ice.lite,
            // RFC 8445 6.1.1: the offerer controls, but a full agent always controls a lite one.
            controlling: self.we_offered || ice.lite,
            fingerprints: ice.fingerprints.clone(),
        })
    }
}
