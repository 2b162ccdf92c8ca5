//! State of offer/answer on one leg: what is proposed, and what is agreed.

use std::sync::Arc;

use trestle_core::plan::{ProposedPeer, SendFormat};
use trestle_sdp::{Format, PeerDescription};

use super::agreed::{Agreed, ReceiveFormats, StreamState};
use super::endpoint::PartyKind;
use super::proposal::{IncomingOffer, OfferState, OutgoingOffer, PeerTerms};

/// What is proposed and what is agreed, as different values. Only `agreed` drives media.
///
/// ```text
///              first offer              answer                   re-offer
///   (new leg) -------------> proposed ----------> agreed <-----------------------> agreed, and a proposal
///                                                          answer; or none at all
/// ```
///
/// Before the first answer the plan of the leg is made of the proposals, so that ICE and early media work. From the first
/// answer on it is made of `agreed` alone, but for what the peer may use before its own answer or ours has arrived here: payload types
/// of an offer of ours, and the address and the key of an offer of its own. So a re-offer that is refused, or never answered, changes no
/// media that is sent, and takes nothing from what is received (RFC 3264 section 8; RFC 3261 14.1; decision 0031).
/// Offers of both directions are kept apart, so that offers that cross (RFC 3261 14.1, 491) do not mix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Negotiation {
    incoming: Option<IncomingOffer>,
    outgoing: Option<OutgoingOffer>,
    agreed: Option<Agreed>,
}

impl Negotiation {
    /// The last offer that the peer made.
    pub(crate) fn incoming(&self) -> Option<&IncomingOffer> {
        self.incoming.as_ref()
    }

    /// The kind of leg that the peer's last offer proposes.
    pub(crate) fn offered_kind(&self) -> Option<PartyKind> {
        self.incoming.as_ref().map(|offer| offer.kind)
    }

    /// The last offer that was sent to the peer.
    pub(crate) fn outgoing(&self) -> Option<&OutgoingOffer> {
        self.outgoing.as_ref()
    }

    /// The outcome of the last complete exchange.
    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// The peer has made an offer.
    pub(super) fn propose(&mut self, offer: IncomingOffer) {
        self.incoming = Some(offer);
    }

    /// An offer is sent to the peer.
    pub(crate) fn propose_to(&mut self, offer: OutgoingOffer) {
        self.outgoing = Some(offer);
    }

    /// An exchange is complete: from now on media is as `agreed`. An offer of the peer that the other side has not answered cannot be
    /// open any more, since a party has one open offer at most (RFC 3264 section 4).
    pub(crate) fn agree(&mut self, agreed: Agreed) {
        self.agreed = Some(agreed);
        if let Some(offer) = &mut self.incoming {
            offer.state = OfferState::Settled;
        }
    }

    /// What is taken from the peer of a leg of this kind by its re-offer that is not answered.
    pub(super) fn proposed(&self, kind: PartyKind) -> Option<ProposedPeer> {
        self.incoming.as_ref()?.early(kind, self.agreed.as_ref()?.terms.as_ref()?)
    }

    /// An exchange is complete that has left no audio stream: the leg stays as it is but for `remote`, the peer's description. Returns
    /// false if nothing was agreed with the peer before.
    pub(crate) fn agree_to_end(&mut self, remote: &Arc<PeerDescription>) -> bool {
        let Some(agreed) = &self.agreed else { return false };
        let mut agreed = Agreed { stream: StreamState::Ended, ..agreed.clone() };
        if let Some(terms) = &mut agreed.terms {
            terms.remote = Arc::clone(remote);
        }
        self.agree(agreed);
        true
    }

    /// The last offer of the peer ends its audio stream.
    pub(crate) fn is_end_offered(&self) -> bool {
        self.incoming.as_ref().is_some_and(|offer| offer.terms.remote.is_ended())
    }

    /// The last exchange has left no audio stream.
    pub(super) fn is_ended(&self) -> bool {
        self.agreed.as_ref().is_some_and(|agreed| agreed.stream == StreamState::Ended)
    }

    /// What is in force of the peer's own description.
    pub(crate) fn terms(&self) -> Option<&PeerTerms> {
        match &self.agreed {
            Some(agreed) => agreed.terms.as_ref(),
            None => self.incoming.as_ref().map(|offer| &offer.terms),
        }
    }

    pub(super) fn remote(&self) -> Option<&PeerDescription> {
        self.terms().map(|terms| &*terms.remote)
    }

    /// True if `sdp` is a description of the peer, in force or proposed.
    pub(super) fn has_received(&self, sdp: &str) -> bool {
        let proposed = self.incoming.as_ref().map(|offer| &*offer.terms.remote);
        self.remote().into_iter().chain(proposed).any(|remote| remote.text.as_str() == sdp)
    }

    pub(super) fn send_format(&self) -> Option<&SendFormat> {
        self.agreed.as_ref().map(|agreed| &agreed.send)
    }

    /// RTCP is multiplexed; before an answer, if the last offer requires it.
    pub(super) fn rtcp_mux(&self) -> bool {
        match self.terms() {
            Some(terms) => terms.rtcp_mux,
            None => self.outgoing.as_ref().is_some_and(|offer| offer.rtcp_mux),
        }
    }

    /// A peer may use the payload types of an offer to it before its answer arrives (RFC 3264 5.1), besides those in force.
    pub(super) fn receive(&self, whatsapp: bool) -> ReceiveFormats {
        let offered: &[Format] = self.outgoing.as_ref().map_or(&[], |offer| &offer.formats);
        match &self.agreed {
            Some(agreed) => {
                let mut receive = agreed.receive.clone();
                receive.add(offered);
                receive
            }
            None => ReceiveFormats::new(offered, self.remote().map_or(&[], |remote| &remote.formats), whatsapp),
        }
    }
}
