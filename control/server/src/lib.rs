//! The edge of control: what reads the configuration, opens sockets, starts threads and reads clocks around the controller.

pub mod ask;
pub mod config;
pub mod connections;
pub mod http;
pub mod metrics;
pub mod publish;
pub mod serve;
pub mod tcp;
