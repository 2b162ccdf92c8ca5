//! State of offer/answer on one leg: what is proposed, and what is agreed.

use trestle_core::plan::SendFormat;
use trestle_sdp::{Format, PeerDescription};

use super::agreed::{Agreed, ReceiveFormats};
use super::proposal::{IncomingOffer, OutgoingOffer, PeerTerms};

/// What is proposed and what is agreed, as different values. Only `agreed` drives media.
///
/// ```text
///              first offer              answer                   re-offer
///   (new leg) -------------> proposed ----------> agreed <-----------------------> agreed, and a proposal
///                                                          answer; or none at all
/// ```
///
/// Before the first answer the plan of the leg is made of the proposals, so that ICE and early media work. From the first
/// answer on it is made of `agreed` alone, but for payload types of an offer of ours, which the peer may use as soon as it
/// has answered. So a re-offer that is refused, or never answered, changes no media (RFC 3264 section 8; RFC 3261 14.1).
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

    /// An exchange is complete: from now on media is as `agreed`.
    pub(crate) fn agree(&mut self, agreed: Agreed) {
        self.agreed = Some(agreed);
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
