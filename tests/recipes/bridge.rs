//! A recipe's process with everything around it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use trestle_control::config::{Config, Settings};
use trestle_control::serve::Server;
use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions, Voice};

use crate::IN_VAIN;
use crate::graph::{self, Graph};
use crate::pbx::Pbx;

/// What WhatsApp's user says, and the PBX has to hear.
pub(crate) const USER_HZ: f64 = 440.0;
/// What the PBX says.
pub(crate) const PBX_HZ: f64 = 600.0;

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Recipe {
    Python,
    Node,
}

impl Recipe {
    /// `place` is a directory of its own.
    fn command(self, place: &Path) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let in_root = |path: &str| -> PathBuf { root.join(path) };
        match self {
            Self::Python => {
                let mut command = Command::new(in_root("target/python/bin/python"));
                command.args(["-W", "error"]).arg(in_root("docs/recipes/graph-python/bridge.py"));
                command.env("PYTHONPATH", in_root("control/clients/python/src")).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            Self::Node => {
                // As `npm install` would make it.
                for file in ["bridge.js", "sip.js", "package.json"] {
                    fs::copy(in_root("docs/recipes/graph-node").join(file), place.join(file)).unwrap();
                }
                fs::create_dir(place.join("node_modules")).unwrap();
                symlink(in_root("control/clients/npm"), place.join("node_modules/trestle-client")).unwrap();
                let mut command = Command::new("node");
                command.arg(place.join("bridge.js"));
                command
            }
        }
    }
}

pub(crate) struct Bridge {
    pub(crate) graph: Graph,
    pub(crate) pbx: Pbx,
    pub(crate) meta: Meta,
    pub(crate) phone: Phone,
    trestle: Option<Server>,
    ng: UdpSocket,
    requests: u32,
    process: Child,
    place: PathBuf,
}

impl Bridge {
    pub(crate) fn start(recipe: Recipe) -> Self {
        static CALLS: AtomicU8 = AtomicU8::new(0);
        // Another run of these tests may be on this machine.
        let (run, call) = (1 + (process::id() % 250) as u8, CALLS.fetch_add(1, Ordering::Relaxed));
        let at = |n: u8, port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, run, call, n)), port);
        let settings = Settings {
            interface: vec![at(1, 0).ip().to_string()],
            listen_ng: vec![at(1, 0).to_string()],
            port_min: Some(20_000),
            port_max: Some(20_099),
            num_threads: Some(1),
            ..Settings::default()
        };
        let trestle = Server::start(&Config::new(settings).unwrap()).unwrap();
        let (mut graph, mut pbx) = (Graph::start(at(2, 0)), Pbx::bind(at(3, 0)));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recipe-{run}-{call}"));
        // Left behind by another run of the same number.
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        let mut command = recipe.command(&place);
        command
            .env("GRAPH", graph.url())
            .env("PHONE_NUMBER_ID", graph::NUMBER_ID)
            .env("TOKEN", graph::TOKEN)
            .env("APP_SECRET", graph::SECRET)
            .env("VERIFY_TOKEN", graph::VERIFY_TOKEN)
            .env("TRESTLE_NG", trestle.ng_addr().to_string())
            .env("LISTEN", at(4, 0).to_string())
            .env("SIP_LISTEN", at(4, 0).to_string())
            .env("PBX", pbx.address().to_string())
            .env("EXTENSION", "4711")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(place.join("log")).unwrap());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}. Run .ci/install", command.get_program().display())
        });
        let ready = first_line(&mut process);
        let addresses = ready.strip_prefix("ready: web hook ").and_then(|rest| rest.split_once(", SIP "));
        let (hook, sip) = addresses.unwrap_or_else(|| panic!("the recipe does not start: {ready:?}"));
        graph.meet(hook.trim().parse().unwrap());
        pbx.meet(sip.trim().parse().unwrap());
        let voice = |hz| Voice::Tone { hz, peak: 10_000 };
        let meta = MetaOptions { voice: voice(USER_HZ), ..MetaOptions::new(at(5, 3_480), Flavour::WebRtc) };
        let phone = PhoneOptions { voice: voice(PBX_HZ), ..PhoneOptions::new(at(3, 4_000)) };
        let ng = UdpSocket::bind(at(6, 0)).unwrap();
        ng.set_read_timeout(Some(IN_VAIN)).unwrap();
        ng.connect(trestle.ng_addr()).unwrap();
        let now = Instant::now();
        let (meta, phone) = (Meta::new(now, meta), Phone::new(now, phone));
        Self { graph, pbx, meta, phone, trestle: Some(trestle), ng, requests: 0, process, place }
    }

    /// Meta's offer.
    pub(crate) fn meta_offer(&mut self) -> String {
        self.meta.offer(Instant::now()).unwrap()
    }

    /// Meta judges, and takes, the answer to its offer.
    pub(crate) fn meta_accepts(&mut self, answer: &str) {
        self.meta.accept(Instant::now(), answer).unwrap_or_else(|error| panic!("Meta refuses: {error}\n{answer}"));
    }

    /// Meta judges an offer, and answers it.
    pub(crate) fn meta_answer(&mut self, offer: &str) -> String {
        self.meta.answer(Instant::now(), offer).unwrap_or_else(|error| panic!("Meta refuses: {error}\n{offer}"))
    }

    /// The PBX's answer to an offer.
    pub(crate) fn phone_answer(&mut self, offer: &str) -> String {
        self.phone.answer(Instant::now(), offer).unwrap_or_else(|error| panic!("the PBX refuses: {error}\n{offer}"))
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.requests += 1;
        let cookie = format!("test{} ", self.requests);
        self.ng.send(format!("{cookie}{request}").as_bytes()).unwrap();
        let mut reply = vec![0; 65_536];
        let len = self.ng.recv(&mut reply).expect("Trestle replies");
        serde_json::from_slice(reply[..len].strip_prefix(cookie.as_bytes()).unwrap()).unwrap()
    }

    /// Everybody was told everything, nothing is left in Trestle, and the recipe is still there.
    pub(crate) fn end(mut self) {
        let deadline = Instant::now() + IN_VAIN;
        loop {
            let reply = self.ask(&json!({"command": "statistics"}));
            if reply["statistics"]["currentstatistics"]["sessionsown"] == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "a call is left in Trestle");
            thread::yield_now();
        }
        // What it was told last, it has worked on when it has answered this.
        assert_eq!(self.graph.verify(graph::VERIFY_TOKEN), (200, "1158201444".to_owned()));
        self.graph.expect_nothing_more();
        self.pbx.expect_nothing_more();
        assert!(self.process.try_wait().unwrap().is_none(), "the recipe has ended");
        if let Some(trestle) = self.trestle.take() {
            trestle.stop();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            println!("the recipe said:\n{}", fs::read_to_string(self.place.join("log")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(&self.place);
    }
}

fn first_line(process: &mut Child) -> String {
    let stdout = BufReader::new(process.stdout.take().unwrap());
    let (said, lines) = mpsc::channel();
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    lines.recv_timeout(IN_VAIN).unwrap_or_else(|error| panic!("the recipe does not start: {error}"))
}
