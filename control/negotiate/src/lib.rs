//! What two parties said to what the engine does: offer and answer (RFC 3264) as pure functions.
//!
//! A [`Session`] is everything that negotiation remembers of one call. [`Session::offer`] and [`Session::answer`] change
//! nothing: they return a [`Step`] with the session as it would be, the plans to apply, and a [`Description`] that becomes
//! SDP once the engine has told the ports. Whoever drives this keeps the new session only if the engine took the plans.
//!
//! ```text
//! step = session.offer(&signal, &environment, &mut rng)?     Command::Apply { legs: step.legs }
//! Reply::Applied(ports):  sdp = step.description.write(&ports)   session = step.session
//! ```
//!
//! Secrets (SDES keys, ICE credentials, SSRC, CNAME, session ids) are drawn here, once per leg, and never taken from a peer.

mod answer;
mod codecs;
mod create;
mod describe;
mod description;
mod environment;
mod error;
mod exchange;
mod gate;
mod offer;
mod party;
mod profile;
mod secrets;
mod session;
mod standing;
mod transport;
mod trunk;
mod write_meta;
mod write_sip;

#[cfg(test)]
mod tests;

pub use description::Description;
pub use environment::{Address, Environment, Interface};
pub use error::NegotiationError;
pub use gate::{GateState, PresencePolicy};
pub use party::Party;
pub use session::{Session, Step};
pub use standing::{Change, StandingError};
pub use trunk::{End, Tie};
