//! The controller of calls: a second machine of the engine's shape, without a clock or a socket. Requests come in as ng
//! datagrams; commands for the engine, replies and events go out.

mod by_leg;
pub mod controller;
pub mod events;
pub mod verdict;
