//! Headless Chromium with `page.html`. The page asks for a step, does it, and brings the result when it asks for the
//! next; so the test is the conductor and there is nothing to poll.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::calls::WebRtc;

/// A page that takes longer than this for a step hangs. Chromium's own start is the longest.
const WAIT_MAX: Duration = Duration::from_secs(40);

const PAGE: &str = include_str!("page.html");

const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    // Candidates on the loopback, as addresses and not as mDNS names.
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
];

/// Held by the one Chromium that runs: two at once are too much for a small machine to keep time.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) struct Chromium {
    _alone: MutexGuard<'static, ()>,
    process: Child,
    profile: PathBuf,
    server: Server,
    /// The page, waiting for its next step.
    waiting: Option<Request>,
}

impl Chromium {
    /// Opens the page, which sends a tone of `hz`.
    pub(crate) fn start(hz: f64) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("chromium-{}-{}", process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&profile).unwrap();
        let server = Server::http("127.0.0.1:0").unwrap();
        let process = Command::new("chromium")
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("http://{}/?hz={hz}", server.server_addr()))
            .env("HOME", &profile)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(profile.join("stderr")).unwrap())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("chromium does not start ({error}): run .ci/install"));
        let mut chromium = Self { _alone: alone, process, profile, server, waiting: None };
        let ready = chromium.result();
        println!("{}", String::from_utf8_lossy(&ready));
        chromium
    }

    /// Has the page do `step`; fails with its error.
    pub(crate) fn step(&mut self, step: Value) -> Value {
        let result: Value = serde_json::from_slice(&self.bytes(&step)).unwrap();
        assert!(result.get("error").is_none(), "{step}\n{result}");
        result
    }

    /// What the page has recorded so far, at 8 kHz.
    pub(crate) fn recording(&mut self) -> Vec<i16> {
        let bytes = self.bytes(&json!({"do": "recording"}));
        bytes.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
    }

    fn bytes(&mut self, step: &Value) -> Vec<u8> {
        let page = self.waiting.take().expect("the page waits between steps");
        page.respond(Response::from_string(step.to_string())).unwrap();
        self.result()
    }

    /// Serves the page, until it brings a result.
    fn result(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(mut request) = self.server.recv_timeout(left).unwrap() else {
                let stderr = fs::read_to_string(self.profile.join("stderr")).unwrap_or_default();
                panic!("the page did not answer in {WAIT_MAX:?}; Chromium's log:\n{stderr}")
            };
            match (request.method(), request.url()) {
                (Method::Post, "/step") => {
                    let mut result = Vec::new();
                    request.as_reader().read_to_end(&mut result).unwrap();
                    self.waiting = Some(request);
                    return result;
                }
                (_, url) if url.starts_with("/?") => {
                    let html = Header::from_bytes("Content-Type", "text/html; charset=utf-8").unwrap();
                    request.respond(Response::from_string(PAGE).with_header(html)).unwrap();
                }
                _ => request.respond(Response::empty(404)).unwrap(),
            }
        }
    }
}

impl WebRtc for Chromium {
    fn offer(&mut self) -> String {
        self.step(json!({"do": "offer"}))["sdp"].as_str().unwrap().to_owned()
    }

    fn accept(&mut self, sdp: &str) {
        self.step(json!({"do": "accept", "sdp": sdp}));
    }

    fn answer(&mut self, sdp: &str) -> String {
        self.step(json!({"do": "answer", "sdp": sdp}))["sdp"].as_str().unwrap().to_owned()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its processes are one group, which has the id of the first.
        let group = format!("kill -s KILL -- -{}", self.process.id());
        let _ = Command::new("sh").args(["-c", &group]).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
