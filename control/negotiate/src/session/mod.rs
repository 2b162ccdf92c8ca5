//! What negotiation remembers of one call.

mod cross_call;
mod media_control;
pub(crate) mod routing;

use std::time::Duration;

use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::plan::LegPlan;
use trestle_core::{CallId, LegId};

pub use cross_call::{CrossCallConnection, LinkEnd};
pub use media_control::{PartyLookupError, SessionChange};

use crate::NegotiationError;
use crate::party::{GateState, MutedMedia, Party};

/// The parties of a call, in order of appearance, and what holds for all of them.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub(crate) parties: Vec<Party>,
    /// Number of the next leg: a leg's number is never used again.
    next_leg: u16,
    /// Media of all parties that is not forwarded, for parties to come as well.
    pub(crate) muted: MutedMedia,
    /// Branches whose legs were removed for newer ones, the newest last. Their SDP names ports that the call no longer has.
    pub(crate) removed_branches: Vec<String>,
}

impl Session {
    /// The parties in order of appearance.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// The party with this tag.
    pub fn party_by_tag(&self, tag: &str) -> Option<&Party> {
        self.index_of_tag(tag).map(|index| &self.parties[index])
    }

    /// The party of this leg.
    pub fn party(&self, leg: LegId) -> Option<&Party> {
        self.parties.iter().find(|party| party.leg() == leg)
    }

    /// True once an offer/answer exchange of the call is complete.
    pub fn answered(&self) -> bool {
        self.parties.iter().any(Party::answered)
    }

    /// State of each gate, by the leg of its party.
    pub fn gates(&self) -> impl Iterator<Item = (LegId, GateState)> {
        self.parties.iter().filter_map(|party| Some((party.leg(), party.gate?.state())))
    }

    /// How long the shut gates may stay shut; `None` if none of a party that has answered is shut.
    pub fn gate_timeout(&self) -> Option<Duration> {
        let gates = self.parties.iter().filter(|party| party.answered()).filter_map(|party| party.gate.as_ref());
        gates.filter_map(|gate| gate.timeout()).min()
    }

    /// True if this leg is one end of a cross-call link.
    pub fn is_link(&self, leg: LegId) -> bool {
        self.party(leg).is_some_and(|party| party.link().is_some())
    }

    /// Ends of cross-call links in this call, each with the call and the leg of the far end.
    pub fn links(&self) -> impl Iterator<Item = (LegId, (CallId, LegId))> + '_ {
        self.parties.iter().filter_map(|party| Some((party.leg(), party.link()?.far())))
    }

    /// Links that are the source of no party, or have no source themselves: their parties have other sources now.
    pub fn idle_links(&self) -> Vec<(LegId, (CallId, LegId))> {
        let is_source = |leg: LegId| self.parties.iter().any(|party| party.routing.has_source(leg));
        let has_source = |leg: LegId| self.party(leg).is_some_and(|link| link.source() != Default::default());
        self.links().filter(|(leg, _)| !is_source(*leg) || !has_source(*leg)).collect()
    }

    /// Removes a leg. Parties whose source it was have none any more.
    pub fn remove_leg(&mut self, leg: LegId) {
        self.parties.retain(|party| party.leg() != leg);
        self.parties.iter_mut().for_each(|party| party.routing.forget(leg));
    }

    /// Number of the leg that is added next.
    ///
    /// # Errors
    ///
    /// The call has as many legs as it may have, or all numbers are used.
    pub(crate) fn next_leg(&self) -> Result<LegId, NegotiationError> {
        if self.parties.len() >= LEGS_PER_CALL_MAX || self.next_leg == u16::MAX {
            return Err(NegotiationError::TooManyLegs);
        }
        Ok(LegId(self.next_leg))
    }

    /// Adds the party of [`Session::next_leg`]; returns its index.
    pub(crate) fn add(&mut self, party: Party) -> usize {
        self.next_leg = party.leg().0 + 1;
        self.parties.push(party);
        self.parties.len() - 1
    }

    pub(crate) fn index_of_tag(&self, tag: &str) -> Option<usize> {
        self.parties.iter().position(|party| party.names.has_tag(tag))
    }

    /// The plan of a party's leg.
    pub(crate) fn plan(&self, party: &Party) -> LegPlan {
        party.plan(media_control::muting(self, party))
    }

    /// The plans by which `session` differs from this one.
    pub(crate) fn change_to(&self, session: Self) -> SessionChange {
        let before = |leg: LegId| self.party(leg).map(|party| self.plan(party));
        let plans = session.parties.iter().map(|party| (party.leg(), session.plan(party)));
        let legs = plans.filter(|(leg, plan)| before(*leg).as_ref() != Some(plan)).collect();
        SessionChange { session, legs }
    }
}
