//! The edge of control: what reads the configuration, opens sockets, starts threads and reads clocks around the controller.
//!
//! [`config::Config`] is the checked configuration, [`Server`] runs it: the control thread with the controller, the media threads,
//! and one thread each for ng over TCP, HTTP, and the outputs of events.

pub mod config;
mod control_thread;
pub mod event_outputs;
pub mod listen;
pub mod metrics;
mod open_files;
mod runtime_thread;
mod server;
mod stream_io;

pub use open_files::raise_file_limit;
pub use server::{ServeError, Server};
