//! `trestle meta-sim`: WhatsApp and Meta as a tool. It signals over files, pipes, or as Graph does with web hooks; its media
//! are those of [`trestle_peers::Meta`], which the demo and the tests use too. At the end it prints a verdict on the
//! engine on the other side.
//!
//! ```text
//! application > graph::Request > Exchange > Call > Meta > Network > engine
//! ```
//!
//! [`SimulatedCall`] and [`SimExchange`] are machines without a clock; the edge around them is in [`run`].

mod call;
mod exchange;
pub mod graph;
mod options;
mod run;
mod server;
mod verdict;
pub mod wav;

#[cfg(test)]
mod tests;

pub use call::{CallEnding, CallMoment, SimulatedCall, UserScript};
pub use exchange::SimExchange;
pub use options::{Caller, FileArgs, GraphArgs, KeyAgreement, MetaSimArgs, NetworkArgs, SetupRole, UserArgs};
pub use run::run;
pub use verdict::SimVerdict;
