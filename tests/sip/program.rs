//! Programs that a test starts and ends.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything, before a test fails.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// A program without workers that has not ended after this is killed: baresip waits for answers to its BYEs.
const GRACE: Duration = Duration::from_secs(1);

/// How often something is looked at that does not tell by itself.
const PACE: Duration = Duration::from_millis(10);

/// A program in the background. It ends with the value; and if this process dies, with that.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
}

impl Program {
    /// Starts `name` in `dir`; its output goes to the file `log`.
    pub(crate) fn start(name: &'static str, arguments: &[&str], dir: &Path, log: &Path) -> Self {
        let output = File::create(log).unwrap();
        let child = Command::new(find("setpriv"))
            .args(["--pdeathsig", "TERM"])
            .arg(find(name))
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { name, child }
    }

    pub(crate) fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} has ended: {status}", self.name);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The standard library can only kill, which would leave Kamailio's workers behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let grace = if self.name == "kamailio" { WAIT_MAX } else { GRACE };
        let deadline = Instant::now() + grace;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(PACE);
        }
    }
}

/// A program's path. Debian keeps daemons where ordinary users do not look.
fn find(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")]);
    let found = places.find_map(|place| Some(place.join(name)).filter(|path| path.exists()));
    found.unwrap_or_else(|| panic!("there is no {name}: run .ci/install"))
}

/// Looks until `done`; for files and programs, which cannot be waited for.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::sleep(PACE);
    }
}
