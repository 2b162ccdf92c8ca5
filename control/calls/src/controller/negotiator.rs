//! Negotiation with what it needs of this machine: addresses and a random generator.

use std::net::SocketAddr;

use rand_chacha::ChaCha12Rng;
use trestle_core::plan::Transport;
use trestle_core::{CallId, LegId};
use trestle_negotiate::{
    CrossCallConnection, Environment, GatePolicy, NegotiationError, NegotiationStep, PartyLookupError, Session,
};
use trestle_ng::command::Signal;

use super::call::CallRecord;

/// One of the ways in which a [`Session`] takes a message.
pub(super) type Negotiate =
    fn(&Session, &Signal, &Environment, &mut ChaCha12Rng) -> Result<NegotiationStep, NegotiationError>;

/// Runs negotiation steps. They are pure; the random generator draws keys, ICE credentials and SSRCs.
#[derive(Debug)]
pub(super) struct Negotiator {
    environment: Environment,
    rng: ChaCha12Rng,
}

impl Negotiator {
    pub(super) fn new(environment: Environment, rng: ChaCha12Rng) -> Self {
        Self { environment, rng }
    }

    /// Takes other defaults for the parties of later offers.
    pub(super) fn reconfigure(&mut self, gate_policy: GatePolicy, default_tos: Option<u8>) {
        (self.environment.gate_policy, self.environment.default_tos) = (gate_policy, default_tos);
    }

    /// # Errors
    ///
    /// Those of `negotiate`.
    pub(super) fn run(
        &mut self,
        negotiate: Negotiate,
        session: &Session,
        signal: &Signal,
    ) -> Result<NegotiationStep, NegotiationError> {
        negotiate(session, signal, &self.environment, &mut self.rng)
    }

    /// Plans a link between a party of each of two calls. `None` if they are linked already.
    ///
    /// # Errors
    ///
    /// Those of [`CrossCallConnection::new`].
    pub(super) fn link(
        &mut self,
        near: (CallId, &Session, &str),
        far: (CallId, &Session, &str),
    ) -> Result<Option<CrossCallConnection>, PartyLookupError> {
        CrossCallConnection::new(near, far, &self.environment, &mut self.rng)
    }

    /// True if Trestle wrote this SDP.
    pub(super) fn has_written(&self, sdp: &str) -> bool {
        self.environment.has_written(sdp)
    }

    /// The address of a party whose SDP names the address of its own leg: our SDP was sent back in place of the party's,
    /// so the leg would receive its own media. An address of another leg or call is valid, since a request may pass
    /// through Trestle twice.
    pub(super) fn own_address(&self, call: &CallRecord, step: &NegotiationStep) -> Option<SocketAddr> {
        let planned = step.legs.iter().filter_map(|(leg, plan)| match &plan.transport {
            Transport::Plain(peer) | Transport::Sdes { peer, .. } => Some((*leg, peer.rtp?)),
            Transport::WebRtc(_) => None,
        });
        let is_own = |(leg, address): &(LegId, SocketAddr)| {
            let ports = call.legs.get(*leg).and_then(|leg| leg.ports);
            ports.is_some_and(|ports| self.environment.is_at(ports.rtp, *address))
        };
        planned.chain(step.sender_address).find(is_own).map(|(_, address)| address)
    }
}
