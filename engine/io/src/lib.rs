//! The edge of the engine: sockets, poller, clock, entropy, worker threads and the mailboxes between them.
//!
//! Packets are not interpreted here. One [`Worker`] is one thread that owns one [`trestle_core::Shard`] with all
//! its sockets; it and the control thread exchange messages through bounded [`mailbox`]es and share nothing else.

#![cfg_attr(not(test), warn(clippy::print_stderr, clippy::print_stdout))]

pub mod bound_ports;
pub mod clock;
pub mod entropy;
pub mod files;
pub mod heartbeat;
mod lateness;
pub mod mailbox;
mod poller;
pub mod ports;
mod queue_time;
pub mod socket;
pub mod worker;

pub use bound_ports::BoundPorts;
pub use heartbeat::{Heartbeat, ThreadState};
pub use lateness::Lateness;
pub use mailbox::MailboxFull;
pub use ports::{InterfacePorts, PortPool, PortRange};
pub use worker::{FromShard, IoCounts, ShardMessage, StartError, Worker, WorkerConfig};
