//! Bodies of the fuzz targets, as plain functions of bytes. `fuzz/` feeds them what libFuzzer finds; the tests here feed
//! them some seeds, and every input that ever failed (`fuzz/regressions/TARGET/`).
//!
//! A body panics if an invariant is broken. It returns how many things it has checked, so that a test can tell that it
//! checked any.

mod input;
mod leg_preauth;
mod ng_datagram;
mod rtp_rewrite;
mod samples;
mod sdp;
mod srtp_model;
#[cfg(test)]
mod tests;

pub use leg_preauth::leg_preauth;
pub use ng_datagram::ng_datagram;
pub use rtp_rewrite::rtp_rewrite;
pub use sdp::sdp;
pub use srtp_model::srtp_model;

use trestle_world::{SimulatedTrestle, TrestleSetup};

/// The same Trestle for every input, with ports for two calls and a half, so that inputs exhaust them.
fn trestle() -> SimulatedTrestle {
    let mut setup = TrestleSetup { ports: [20_000, 20_020], ..TrestleSetup::new(1) };
    setup.controller.max_sessions = Some(10);
    SimulatedTrestle::new(setup)
}
