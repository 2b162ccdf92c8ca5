//! Where the audio of a party comes from, and its place in offer/answer exchanges.

use trestle_core::LegId;
use trestle_core::plan::Source;

/// The relations of a party to the other legs of its call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routing {
    peer: Option<LegId>,
    offered_by: Option<LegId>,
    source: Source,
    connected: bool,
}

impl Routing {
    /// The routing of a callee that gets the offer of `offerer`.
    pub(crate) fn offered_by_leg(offerer: Option<LegId>) -> Self {
        Self { offered_by: offerer, ..Self::default() }
    }

    /// The leg on the other side of the party's last offer/answer exchange.
    pub(crate) fn peer(&self) -> Option<LegId> {
        self.peer
    }

    /// The leg whose offer the party got last, and so whose answerer it may be.
    pub(crate) fn offered_by(&self) -> Option<LegId> {
        self.offered_by
    }

    /// Source of the audio that is sent to the party.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// The source was set by `connect`.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(crate) fn has_source(&self, leg: LegId) -> bool {
        self.source == Source::Leg(leg)
    }

    pub(crate) fn set_peer(&mut self, peer: LegId) {
        self.peer = Some(peer);
    }

    pub(crate) fn set_offered_by(&mut self, offerer: LegId) {
        self.offered_by = Some(offerer);
    }

    /// Takes audio from `leg`, by an offer or an answer.
    pub(crate) fn forward_from(&mut self, leg: LegId) {
        if !self.has_source(leg) {
            (self.source, self.connected) = (Source::Leg(leg), false);
        }
    }

    /// Takes audio from `leg` and makes it the peer, by `connect`.
    pub(crate) fn connect_to(&mut self, leg: LegId) {
        (self.source, self.peer, self.connected) = (Source::Leg(leg), Some(leg), true);
    }

    /// Takes audio from no leg any more.
    pub(crate) fn disconnect(&mut self) {
        (self.source, self.connected) = (Source::Nothing, false);
    }

    /// `leg` is removed from the call.
    pub(crate) fn forget(&mut self, leg: LegId) {
        if self.has_source(leg) {
            self.source = Source::Nothing;
        }
        for known in [&mut self.peer, &mut self.offered_by] {
            *known = known.filter(|known| *known != leg);
        }
    }
}
