//! Offers of a leg in either direction. An offer is a proposal: it changes the media of a leg only before the first answer.
//!
//! RFC 3264 section 8: a re-offer that is refused, or never answered, leaves the session as it was (RFC 3261 14.1 for SIP).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use trestle_core::plan::{DtlsRole, LatchPolicy, ProposedPeer, RtpPeer};
use trestle_sdp::{Crypto, Format, PeerDescription, Security};
use trestle_srtp::Profile as Suite;

use super::endpoint::PartyKind;

/// How the address of a peer without ICE is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressRule {
    /// Which sources are accepted.
    pub(crate) latch: LatchPolicy,
    /// After an address is learnt, no other one is (`strict-source`).
    pub(crate) strict_source: bool,
    /// Replaces the address of the SDP (`received-from` with `SIP-source-address`).
    pub(crate) source: Option<IpAddr>,
}

impl AddressRule {
    /// Where RTP and RTCP of a peer with this description go. `rtp` is `None` on hold with 0.0.0.0 and for a stream that ended with
    /// port 0.
    pub(crate) fn rtp_peer(&self, remote: &PeerDescription) -> RtpPeer {
        let mut peer = RtpPeer { rtp: None, rtcp: None, latch: self.latch, strict_source: self.strict_source };
        if remote.addresses.rtp.port() != 0
            && let Some(address) = self.source.or_else(|| remote.address())
        {
            // An address that replaces the one of the SDP holds for RTCP too, unless a=rtcp names another one.
            let rtcp_ip = if remote.addresses.rtcp.ip() == remote.addresses.rtp.ip() {
                address
            } else {
                remote.addresses.rtcp.ip()
            };
            peer.rtp = Some(SocketAddr::new(address, remote.addresses.rtp.port()));
            peer.rtcp = Some(SocketAddr::new(rtcp_ip, remote.addresses.rtcp.port()));
        }
        peer
    }
}

/// A peer's own description, and what of it holds for the leg.
#[derive(Debug, Clone)]
pub(crate) struct PeerTerms {
    pub(crate) remote: Arc<PeerDescription>,
    /// The `a=crypto` line in use; `None` for a leg without SDES.
    pub(crate) crypto: Option<Crypto>,
    pub(crate) dtls_role: DtlsRole,
    pub(crate) rtcp_mux: bool,
    pub(crate) address: AddressRule,
}

impl PeerTerms {
    /// Where RTP and RTCP go.
    pub(crate) fn rtp_peer(&self) -> RtpPeer {
        self.address.rtp_peer(&self.remote)
    }

    /// The SDES suite of the leg's keys.
    pub(crate) fn suite(&self) -> Option<Suite> {
        Some(self.crypto.as_ref()?.key.profile())
    }

    /// What these terms of an offer change for packets that are received before its answer; `None` if nothing.
    fn early(&self, agreed: &Self) -> Option<ProposedPeer> {
        let rtp = self.rtp_peer().rtp.filter(|rtp| agreed.rtp_peer().rtp != Some(*rtp));
        let key = |terms: &Self| terms.crypto.as_ref().map(|crypto| (crypto.key.clone(), crypto.mki_len));
        let key = key(self).filter(|proposed| key(agreed).as_ref() != Some(proposed));
        (rtp.is_some() || key.is_some()).then_some(ProposedPeer { rtp, key })
    }
}

/// Whether an offer waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfferState {
    /// No exchange with the party is complete since the offer. It may have been refused: Trestle does not learn of that.
    Open,
    /// An exchange is complete since. A repeated answer may still refer to the offer.
    Settled,
}

/// The last offer that the peer made.
#[derive(Debug, Clone)]
pub(crate) struct IncomingOffer {
    pub(crate) state: OfferState,
    /// What the leg is once this is answered.
    pub(crate) kind: PartyKind,
    pub(crate) terms: PeerTerms,
    /// Codecs of the offer that an answer to it may use, in the peer's order.
    pub(crate) answerable: Vec<Format>,
}

impl IncomingOffer {
    /// What is taken from the peer before the answer, if it has not had one. Packets that are secured in another way than the leg,
    /// which is of this kind, cannot be; ICE finds addresses by itself.
    pub(super) fn early(&self, kind: PartyKind, agreed: &PeerTerms) -> Option<ProposedPeer> {
        let is_open = self.state == OfferState::Open;
        let applies = self.kind.security == kind.security && kind.security != Security::Dtls;
        self.terms.early(agreed).filter(|_| is_open && applies)
    }
}

/// The last offer that was sent to the peer.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingOffer {
    /// What the leg is once this is answered.
    pub(crate) kind: PartyKind,
    pub(crate) formats: Vec<Format>,
    /// Suites of the `a=crypto` lines; their tags count from 1.
    pub(crate) suites: Vec<Suite>,
    /// RTCP is multiplexed whatever the answer is.
    pub(crate) rtcp_mux: bool,
}
