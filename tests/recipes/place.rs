//! What each test has for itself: addresses, a directory, and a Trestle.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde_json::json;
use trestle_tests::running::{LoopbackNet, RunningTrestle, settings};

use crate::WAIT_MAX;

/// A network in 127.0.0.0/8 and a directory.
pub(crate) struct Place {
    net: LoopbackNet,
    directory: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let net = LoopbackNet::next(0);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recipe-{}", net.name()));
        // Left behind by another run of the same number.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Self { net, directory }
    }

    pub(crate) fn at(&self, n: u8, port: u16) -> SocketAddr {
        self.net.at(n, port)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Printed if the test fails.
    pub(crate) fn log(&self) -> File {
        File::create(self.directory.join("log")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("its log:\n{}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A whole Trestle, as `trestle serve` has it.
pub(crate) struct Trestle(RunningTrestle);

impl Trestle {
    pub(crate) fn start(place: &Place) -> Self {
        Self(RunningTrestle::start(settings(place.at(1, 0), place.net.ip(1))))
    }

    pub(crate) fn ng(&self) -> SocketAddr {
        self.0.ng()
    }

    /// Waits until no call is left.
    pub(crate) fn end(mut self) {
        let deadline = Instant::now() + WAIT_MAX;
        let statistics = json!({"command": "statistics"});
        while self.0.request(&statistics)["statistics"]["currentstatistics"]["sessionsown"] != 0 {
            assert!(Instant::now() < deadline, "a call is left in Trestle");
            thread::yield_now();
        }
        self.0.stop();
    }
}
