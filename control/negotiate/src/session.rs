//! One call's negotiation.

use rand_chacha::ChaCha12Rng;
use trestle_core::LegId;
use trestle_core::plan::LegPlan;

use super::description::Description;
use super::exchange::Exchange;
use super::party::Party;
use super::standing::Blocked;
use super::{Environment, NegotiationError};
use trestle_ng::command::Signal;

/// What negotiation remembers of a call.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub(super) parties: Vec<Party>,
    pub(super) next_leg: u16,
    /// What is kept from everybody, of everybody.
    pub(super) blocked: Blocked,
}

/// What an offer or an answer leads to.
#[derive(Debug)]
pub struct Step {
    /// The session from now on, provided that the engine takes the plans.
    pub session: Session,
    /// Plans to apply: the sender's leg, the receiver's, and those of parties that either has left.
    pub legs: Vec<(LegId, LegPlan)>,
    /// Legs that are no more: earlier attempts that nobody answered.
    pub removed: Vec<LegId>,
    /// What the receiver is told, once the ports are known.
    pub description: Description,
    /// What was not done as asked, one sentence each.
    pub warnings: Vec<String>,
}

impl Session {
    /// The parties in order of appearance.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// The party of this tag.
    pub fn party_by_tag(&self, tag: &str) -> Option<&Party> {
        self.parties.iter().find(|party| party.has_tag(tag))
    }

    /// The party of this leg.
    pub fn party(&self, leg: LegId) -> Option<&Party> {
        self.parties.iter().find(|party| party.leg == leg)
    }

    /// An offer: `signal.from_tag` says `signal.sdp`, and the other side is to be told.
    ///
    /// The same offer again gives the same plans and the same text. Other text from the same tag is a re-offer: ports,
    /// SSRCs and our keys stay.
    pub fn offer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<Step, NegotiationError> {
        Exchange::new(self, signal, environment, rng).offer()
    }

    /// An answer: `signal.to_tag` says `signal.sdp` in answer to what `signal.from_tag` offered.
    pub fn answer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<Step, NegotiationError> {
        Exchange::new(self, signal, environment, rng).answer()
    }

    /// An offer of our own to the party `signal.from_tag`, which is made for it; `signal.sdp` is not looked at.
    pub fn create(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<Step, NegotiationError> {
        Exchange::new(self, signal, environment, rng).create()
    }

    /// That party's answer. Nobody is to be told anything; the description is the offer's.
    pub fn create_answer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<Step, NegotiationError> {
        Exchange::new(self, signal, environment, rng).create_answer()
    }

    pub(super) fn index_of_tag(&self, tag: &str) -> Option<usize> {
        self.parties.iter().position(|party| party.has_tag(tag))
    }

    pub(super) fn unknown_tag(&self, tag: &str) -> NegotiationError {
        let known = self.parties.iter().flat_map(|party| party.tags.iter().cloned()).collect();
        NegotiationError::UnknownTag { tag: tag.to_owned(), known }
    }
}
