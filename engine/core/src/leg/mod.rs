//! One participant's side of a call.

pub mod webrtc;
