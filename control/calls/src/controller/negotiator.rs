//! Negotiation with what it needs of this machine: addresses and a random generator.

use ipnet::IpNet;
use rand_chacha::ChaCha12Rng;
use trestle_core::CallId;
use trestle_negotiate::{
    CrossCallConnection, Environment, GatePolicy, NegotiationError, NegotiationStep, PartyLookupError, Session,
};
use trestle_ng::command::Signal;

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

    /// Takes other addresses of this machine, each with its network.
    pub(super) fn set_machine_addresses(&mut self, machine: Vec<IpNet>) {
        self.environment.addresses.machine = machine;
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
}
