//! A recipe's process with everything around it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions, Voice};

use crate::WAIT_MAX;
use crate::graph::{self, Graph};
use crate::pbx::Pbx;
use crate::place::{Place, Trestle};

/// The tone of WhatsApp's user, which the PBX has to receive.
pub(crate) const USER_HZ: f64 = 440.0;
/// The tone of the PBX.
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
    trestle: Option<Trestle>,
    process: Process,
    _place: Place,
}

/// Ended with the test, whatever becomes of it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bridge {
    pub(crate) fn start(recipe: Recipe) -> Self {
        let place = Place::new();
        let trestle = Trestle::start(&place);
        let (mut graph, mut pbx) = (Graph::start(place.at(2, 0)), Pbx::bind(place.at(3, 0)));
        let mut command = recipe.command(place.directory());
        command
            .env("GRAPH", graph.url())
            .env("PHONE_NUMBER_ID", graph::NUMBER_ID)
            .env("TOKEN", graph::TOKEN)
            .env("APP_SECRET", graph::SECRET)
            .env("VERIFY_TOKEN", graph::VERIFY_TOKEN)
            .env("TRESTLE_NG", trestle.ng().to_string())
            .env("LISTEN", place.at(4, 0).to_string())
            .env("SIP_LISTEN", place.at(4, 0).to_string())
            .env("PBX", pbx.address().to_string())
            .env("EXTENSION", "4711")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(place.log());
        let process = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}. Run .ci/install", command.get_program().display())
        });
        let mut process = Process(process);
        let ready = first_line(&mut process.0);
        let addresses = ready.strip_prefix("ready: web hook ").and_then(|rest| rest.split_once(", SIP "));
        let (hook, sip) = addresses.unwrap_or_else(|| panic!("the recipe does not start: {ready:?}"));
        graph.meet(hook.trim().parse().unwrap());
        pbx.meet(sip.trim().parse().unwrap());
        let voice = |hz| Voice::Tone { hz, peak: 10_000 };
        let meta = MetaOptions { voice: voice(USER_HZ), ..MetaOptions::new(place.at(5, 3_480), Flavour::WebRtc) };
        let phone = PhoneOptions { voice: voice(PBX_HZ), ..PhoneOptions::new(place.at(3, 4_000)) };
        let now = Instant::now();
        let (meta, phone) = (Meta::new(now, meta), Phone::new(now, phone));
        Self { graph, pbx, meta, phone, trestle: Some(trestle), process, _place: place }
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

    /// Both sides have got every message, nothing is left in Trestle, and the recipe is still running.
    pub(crate) fn end(mut self) {
        if let Some(trestle) = self.trestle.take() {
            trestle.end();
        }
        // It has handled the last message once it has answered this.
        assert_eq!(self.graph.verify(graph::VERIFY_TOKEN), (200, "1158201444".to_owned()));
        self.graph.expect_nothing_more();
        self.pbx.expect_nothing_more();
        assert!(self.process.0.try_wait().unwrap().is_none(), "the recipe has ended");
    }
}

fn first_line(process: &mut Child) -> String {
    let stdout = BufReader::new(process.stdout.take().unwrap());
    let (announced, lines) = mpsc::channel();
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| announced.send(line)));
    lines.recv_timeout(WAIT_MAX).unwrap_or_else(|error| panic!("the recipe does not start: {error}"))
}
