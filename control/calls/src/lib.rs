//! The controller of calls: a second machine of the engine's shape, without a clock or a socket. Requests come in as ng
//! datagrams; commands for the engine, replies and events go out.

#![cfg_attr(not(test), warn(clippy::print_stderr, clippy::print_stdout))]

pub mod controller;
pub mod diagnosis;
pub mod ended;
pub mod event_schema;
pub mod events;
pub mod histogram;
mod leg_map;
