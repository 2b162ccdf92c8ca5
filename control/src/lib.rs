//! Control: the ng protocol, SDP, negotiation. A second machine of the engine's shape, without a clock or a socket.

pub mod ng;
pub mod op;
