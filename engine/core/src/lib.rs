//! The media engine: calls, legs, streams and routes as a machine without a clock, socket, thread or entropy.
//!
//! Contract of every machine here: after any `handle_*`, drain `poll_output` until it says [`Output::Timeout`], then wait
//! for whichever comes first: a datagram, a command, or that instant.
//!
//! ```text
//! handle_datagram(now, socket, remote, bytes)   handle_command(now, id, command)   handle_timeout(now)
//! poll_output() -> Transmit | Reply | Event | Release | Timeout(Option<Instant>)
//! ```

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test takes one instant to count from"))]

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

pub use command::{Answer, Command, CommandError, Event, EventKind, LegFailure, LegPorts, Milestone, Reply, Risk};
pub use discard::Discard;
pub use id::{CallId, InterfaceId, LegId, RequestId, SocketId};
pub use leg::webrtc::DtlsIdentity;
pub use output::{Output, Transmit};
pub use plan::LegPlan;
pub use report::PortPair;
pub use shard::{Shard, ShardConfig};
pub use time::Epoch;
