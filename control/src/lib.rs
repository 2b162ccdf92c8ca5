//! Control: the ng protocol, SDP, negotiation. A second machine of the engine's shape, without a clock or a socket;
//! these come in at the edge: [`serve`], [`http`] and [`tcp`], with what [`config`] says.
//!
//! ```text
//! datagram > ng::frame > ng::replay > op::Request > negotiate::Session > Command::Apply
//!   > engine > negotiate::Description > ng::Reply > datagram
//! ```

pub mod ask;
mod by_leg;
pub mod config;
pub mod connections;
pub mod controller;
pub mod events;
pub mod http;
pub mod lint;
pub mod load;
pub mod meta_sim;
pub mod metrics;
pub mod negotiate;
pub mod ng;
pub mod op;
pub mod publish;
pub mod sdp;
pub mod serve;
pub mod tcp;
pub mod verdict;
