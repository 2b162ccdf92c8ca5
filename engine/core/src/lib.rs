//! The media engine: a state machine without clock, socket, thread or entropy.
//!
//! A [`Shard`] owns the calls of one thread. A call owns its legs. A leg owns the path to its peer and a stream in each direction. The
//! controller describes each leg by a [`LegPlan`] ([`Command::Apply`]); [`plan`] and [`command`] are the interface to it.
//!
//! After any `handle_*`, call `poll_output` until it returns [`Output::Timeout`]. Then wait for the first of: a datagram, a command,
//! that instant.
//!
//! ```text
//! handle_datagram(now, socket, remote, bytes)   handle_command(now, id, command)   handle_timeout(now)
//! poll_output() -> Transmit | Reply | Event | Release | Timeout(Option<Instant>)
//! ```

#![cfg_attr(not(test), warn(clippy::print_stderr, clippy::print_stdout))]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test takes one instant to count from"))]

pub mod address_policy;
mod call;
pub mod command;
pub mod discard;
pub mod dtmf;
pub mod id;
pub mod leg;
pub mod limits;
pub mod opus_complexity;
pub mod output;
pub mod plan;
mod ports;
pub mod report;
pub mod shard;
pub mod stream;
pub mod time;
mod timers;
pub mod transcode;

pub use address_policy::{AddressClass, AddressPolicy, AddressRefusal, MediaAddress};
pub use command::{
    Command, CommandError, CommandReply, EngineReply, Event, EventKind, LegFailure, LegPorts, Milestone, Risk,
};
pub use discard::Discard;
pub use id::{CallId, InterfaceId, LegId, RequestId, SocketId};
pub use leg::webrtc::DtlsIdentity;
pub use output::{Output, Transmit};
pub use plan::LegPlan;
pub use report::PortPair;
pub use shard::{Shard, ShardConfig};
pub use stream::OwnSsrcs;
pub use time::Epoch;
