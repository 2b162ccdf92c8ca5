//! The tests of the clients and of the schema, in Python and Node, with the `trestle` of this build.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "this test is the outside world")]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The tests have shorter timeouts, with better messages; this one is for an interpreter that hangs.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A process that is killed at the end of the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // In most cases it has ended already; an error is then expected.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pass(program: &Path, arguments: &[&str], directory: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let child = Command::new(program)
        .args(arguments)
        .current_dir(root.join("..").join(directory))
        .env("TRESTLE", env!("CARGO_BIN_EXE_trestle"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}. Run .ci/install", program.display()));
    let mut process = Process(child);
    let pipes: [Box<dyn Read + Send>; 2] =
        [Box::new(process.0.stdout.take().unwrap()), Box::new(process.0.stderr.take().unwrap())];
    let (output_sender, outputs) = mpsc::channel();
    for mut pipe in pipes {
        let output_sender = output_sender.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            let _ = output_sender.send(String::from_utf8_lossy(&text).into_owned());
        });
    }
    let mut output = String::new();
    for _ in 0..2 {
        output += &outputs.recv_timeout(TEST_TIMEOUT).unwrap_or_else(|_| panic!("it hangs\n{output}"));
    }
    let status = process.0.wait().unwrap();
    println!("{output}");
    assert!(status.success(), "{status}\n{output}");
}

#[test]
fn the_python_client_and_the_schema_pass_their_tests() {
    // A path, so that a missing interpreter and a failing test give different errors.
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python/bin/python");
    pass(&python, &["-W", "error", "-m", "unittest", "discover", "-s", "tests"], "clients/python");
}

#[test]
fn the_types_of_the_python_client_are_strict() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python/bin/python");
    pass(&python, &["-m", "mypy", "--cache-dir", "../../../target/mypy"], "clients/python");
}

#[test]
fn the_types_of_the_npm_client_let_right_calls_pass_and_wrong_ones_not() {
    pass(Path::new("tsc"), &["--project", "test/types"], "clients/npm");
}

#[test]
fn the_npm_client_passes_its_tests() {
    pass(Path::new("node"), &["--test", "test/client.test.js"], "clients/npm");
}
