//! Control: the ng protocol, SDP, negotiation. A second machine of the engine's shape, without a clock or a socket.
//!
//! ```text
//! datagram > ng::frame > ng::replay > op::Request > negotiate::Session > Command::Apply
//!   > engine > negotiate::Description > ng::Reply > datagram
//! ```

pub mod controller;
pub mod negotiate;
pub mod ng;
pub mod op;
pub mod sdp;
