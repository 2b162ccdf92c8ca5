//! The project's own phone on real sockets.

use std::time::Instant;

use trestle_peers::{Phone, PhoneOptions};

/// A phone and the thread that carries its datagrams.
pub(crate) type Line = trestle_tests::line::Line<Phone>;

/// A phone on its own sockets.
pub(crate) fn open(options: PhoneOptions) -> Line {
    Line::open("the phone", Phone::new(Instant::now(), options))
}
