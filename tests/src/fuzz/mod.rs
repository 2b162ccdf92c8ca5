//! Bodies of the fuzz targets, as plain functions of bytes. `fuzz/` feeds them what libFuzzer finds; the tests here feed
//! them some seeds, and every input that ever failed (`fuzz/regressions/TARGET/`).
//!
//! A body panics if an invariant is broken. It returns how many things it has checked, so that a test can tell that it
//! checked any.

mod compat;
mod input;
mod leg_preauth;
mod ng_datagram;
mod opus_in;
mod rtp_rewrite;
mod samples;
mod sdp;
mod settings;
mod srtp_model;
mod stun;
#[cfg(test)]
mod tests;

pub use compat::compat;
pub use leg_preauth::{dtls_glue, leg_preauth};
pub use ng_datagram::ng_datagram;
pub use opus_in::opus_in;
pub use rtp_rewrite::{dtmf, jitter_plc, rtcp, rtp_rewrite};
pub use sdp::sdp;
pub use settings::settings;
pub use srtp_model::srtp_model;
pub use stun::stun;

use trestle_world::judge::{Trial, run};
use trestle_world::{SimulatedTrestle, TrestleSetup};

/// The same Trestle for every input, with ports for two calls and a half, so that inputs exhaust them.
fn trestle() -> SimulatedTrestle {
    let mut setup = TrestleSetup { ports: [20_000, 20_020], ..TrestleSetup::new(1) };
    setup.controller.max_sessions = Some(10);
    SimulatedTrestle::new(setup)
}

/// The judge: the first eight bytes are the seed of a trial.
pub fn engine_sim(data: &[u8]) -> usize {
    let seed = input::Input::new(data).u64();
    match run(&Trial::draw(seed)) {
        Ok(judged) => judged.replies as usize,
        Err(finding) => panic!("{finding}"),
    }
}
