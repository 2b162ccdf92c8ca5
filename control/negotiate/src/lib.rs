//! Offer and answer (RFC 3264) as pure functions: from the descriptions of two parties to plans for the engine.
//!
//! A [`Session`] is what negotiation remembers of one call. [`Session::offer`] and [`Session::answer`] do not change it: they
//! return a [`NegotiationStep`] with the session after the message, the plans to apply, and an [`SdpTemplate`] that becomes SDP once the
//! engine has bound the ports. The caller commits the new session only if the engine has applied the plans.
//!
//! ```text
//! step = session.offer(&signal, &environment, &mut rng)?     Command::Apply { legs: step.legs }
//! Reply::Applied(ports):  sdp = step.description.write(&ports)   session = step.session
//! ```
//!
//! An offer is a proposal; only an answer changes media (`party/negotiation.rs`).
//!
//! Secrets (SDES keys, ICE credentials, SSRC, CNAME, session ids) are drawn here, once per leg, and never taken from a peer.
//!
//! Imports go one way: `party` (one participant) <- `rules`, `write` <- `session` (a call) <- `exchange` (one message).

mod environment;
mod error;
mod exchange;
mod own_keys;
mod party;
mod rules;
mod session;
mod write;

#[cfg(test)]
mod tests;

pub use environment::{Environment, Interface};
pub use error::{DescriptionKind, FlagsError, NegotiationError, OutOfPlace};
pub use exchange::NegotiationStep;
pub use own_keys::OwnKeys;
pub use party::{GatePolicy, GateState, Party, SdpTemplate};
pub use session::{CrossCallConnection, LinkEnd, PartyLookupError, Session, SessionChange};
