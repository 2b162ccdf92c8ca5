//! Where a test takes place: its addresses and its directory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

/// Where everybody speaks SIP.
pub(crate) const SIP_PORT: u16 = 5060;

/// Addresses of its own, and a directory that is gone afterwards, or kept as `target/sip-logs/TEST` if the test
/// failed.
pub(crate) struct Place {
    name: String,
    net: [u8; 3],
    dir: PathBuf,
}

impl Place {
    /// For the test whose thread calls.
    pub(crate) fn new() -> Self {
        let name = thread::current().name().unwrap_or("main").replace("::", ".");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sip-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let _ = fs::remove_dir_all(kept(&name));
        Self { name, net: free_net(), dir }
    }

    /// The `n`th address.
    pub(crate) fn ip(&self, n: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, n)
    }

    /// The SIP socket of the `n`th address.
    pub(crate) fn sip(&self, n: u8) -> SocketAddr {
        (self.ip(n), SIP_PORT).into()
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Where a failed test's directory goes.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("sip-logs").join(name)
}

/// Another run of these tests, or whatever else, may be on this machine.
fn free_net() -> [u8; 3] {
    static TAKEN: AtomicU8 = AtomicU8::new(0);
    let run = 1 + (process::id() % 250) as u8;
    loop {
        // The lower half belongs to the tests with other WebRTC stacks.
        let n = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(n < 128, "no free addresses in 127.{run}.128.0/17");
        let net = [127, run, 128 + n];
        if UdpSocket::bind((Ipv4Addr::new(net[0], net[1], net[2], 1), SIP_PORT)).is_ok() {
            return net;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            let kept = kept(&self.name);
            let parent = kept.parent().expect("a directory in target");
            if fs::create_dir_all(parent).and_then(|()| fs::rename(&self.dir, &kept)).is_ok() {
                eprintln!("logs: {}", kept.display());
                return;
            }
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
