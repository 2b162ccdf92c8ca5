//! The edge of control: what reads the configuration, opens sockets, starts threads and reads clocks around the controller.
//!
//! [`config::Config`] is the checked configuration, [`Server`] runs it: the control thread with the controller, the media threads,
//! and one thread each for ng over TCP, HTTP, and the outputs of events.

#![cfg_attr(not(test), warn(clippy::print_stderr, clippy::print_stdout))]

mod allowed_sources;
pub mod config;
mod control_thread;
pub mod event_outputs;
mod exposure;
pub mod health;
pub mod listen;
mod log_filter;
mod log_queue;
mod machine;
pub mod metrics;
mod open_files;
mod places;
mod runtime_thread;
mod server;
mod stream_io;

pub use log_filter::log_filter;
pub use log_queue::{LogQueue, log_lines_lost};
pub use open_files::raise_file_limit;
pub use server::{EVENTS_WAIT, ServeError, Server};
