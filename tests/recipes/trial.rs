//! The trial that docs/recipes/kamailio.md begins with: its commands, its phones and its Kamailio, at other addresses.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use trestle_peers::{ear, speech};

use crate::pbx::Pbx;
use crate::place::{Place, Trestle};

/// A call takes seven seconds; on a machine that has other things to do, more.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often a file is looked at.
const PACE: Duration = Duration::from_millis(10);
/// Over this it is the same speech: G.711 and Opus keep 0.95.
const SIMILAR: f64 = 0.9;
/// So much of the audio must come in one piece. A busy machine delays a phone now and then.
const PIECE_MS: u32 = 2_000;

/// A command of the recipe in the background, asked to end with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

struct Trial {
    /// What the reader pastes.
    commands: Vec<String>,
    /// The recipe's addresses, and this test's.
    elsewhere: [(&'static str, String); 5],
    trestle: Trestle,
    place: Place,
}

impl Trial {
    fn prepare() -> Self {
        let place = Place::new();
        let trestle = Trestle::start(&place);
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes");
        let text = fs::read_to_string(recipes.join("kamailio.md")).unwrap();
        let trial = text.split("\n## ").find(|section| section.starts_with("Try it\n")).expect("a section Try it");
        let commands = trial.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
        let elsewhere = [
            ("127.0.0.1:2223", trestle.ng().to_string()),
            ("127.0.0.1:5060", place.at(2, 5_060).to_string()),
            ("127.0.0.1:5080", place.at(3, 5_080).to_string()),
            ("127.0.0.2:5070", place.at(4, 5_070).to_string()),
            ("PBX_IP \"127.0.0.1\"", format!("PBX_IP \"{}\"", place.at(3, 0).ip())),
        ];
        let trial = Self { commands, elsewhere, trestle, place };
        for file in ["kamailio.cfg", "agent/config", "agent/accounts", "user/config", "user/accounts"] {
            let (from, to) = (recipes.join("kamailio").join(file), trial.place.directory().join(file));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, trial.moved(&fs::read_to_string(from).unwrap())).unwrap();
        }
        for clip in ["agent_8k.wav", "caller_16k.wav"] {
            let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control/tools/peers/assets");
            fs::copy(assets.join(clip), trial.place.directory().join(clip)).unwrap();
        }
        trial
    }

    fn moved(&self, text: &str) -> String {
        self.elsewhere.iter().fold(text.to_owned(), |text, (recipe, here)| text.replace(recipe, here))
    }

    /// Pastes the only command with this beginning and these words in it; `more` goes behind its arguments.
    fn paste(&self, beginning: &str, words: &str, more: &str) -> Running {
        let mut fitting = self.commands.iter().filter(|line| line.starts_with(beginning) && line.contains(words));
        let (command, other) = (fitting.next(), fitting.next());
        let command = command.unwrap_or_else(|| panic!("the recipe has no command {beginning}...{words}"));
        assert_eq!(other, None, "which one is {beginning}...{words}?");
        let (command, log) = command.split_once(" >").unwrap();
        let log = log.strip_suffix(" 2>&1 &").unwrap();
        let log = File::create(self.place.directory().join(log)).unwrap();
        let child = Command::new("sh")
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .args(["-c", &format!("exec {} {more}", self.moved(command))])
            .current_dir(self.place.directory())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running(child)
    }

    fn kamailio(&self) -> Running {
        let directory = self.place.directory().display();
        let kamailio = self.paste("kamailio ", "", &format!("-m 64 -M 8 -Y {directory}"));
        let mut asking = Pbx::bind(self.place.at(6, 5_060));
        asking.meet(self.place.at(2, 5_060));
        asking.wait_for_the_other();
        kamailio
    }

    /// One of the two phones. It ends by itself, but not sooner than this test.
    fn phone(&self, who: &str, words: &str) -> Running {
        let phone = self.paste(&format!("baresip -f {who} "), words, "-t 90");
        self.wait_for(who, "baresip is ready.");
        phone
    }

    fn wait_for(&self, who: &str, announced: &str) {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let log = fs::read(self.place.directory().join(format!("{who}.log"))).unwrap();
            let log = String::from_utf8_lossy(&log);
            if log.contains(announced) {
                return;
            }
            assert!(Instant::now() < deadline, "{who} never writes {announced:?}, but:\n{log}");
            thread::sleep(PACE);
        }
    }

    fn assert_recorded(&self, who: &str, clip: &[i16], clip_hz: u32) {
        let files = fs::read_dir(self.place.directory().join(who)).unwrap().map(|file| file.unwrap().path());
        let mut received = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        let (pcm, hz) = read_wav(&received.next().unwrap_or_else(|| panic!("{who} has received nothing")));
        assert_eq!(received.next(), None, "{who} was in one call");
        let recorded_ms = pcm.len() as u32 / (hz / 1_000);
        assert!(recorded_ms >= PIECE_MS, "{who} has received {recorded_ms} ms");
        let (piece, step) = (clip_hz / 1_000 * PIECE_MS, clip_hz / 1_000 * 250);
        let pieces = clip.windows(piece as usize).step_by(step as usize);
        let found = pieces.filter_map(|piece| ear::find(piece, clip_hz, &pcm, hz, recorded_ms - PIECE_MS));
        let best = found.map(|found| found.similarity).fold(0.0, f64::max);
        assert!(best > SIMILAR, "what {who} received has a similarity of only {best:.2}");
    }

    /// One whole call, and what both received.
    fn call(&self, callee: &str, caller: &str) {
        let _callee = self.phone(callee, "-t 15");
        let _caller = self.phone(caller, "/dial");
        for who in [caller, callee] {
            self.wait_for(who, " terminated (duration: ");
        }
        self.assert_recorded("agent", &speech::caller(), speech::CALLER_HZ);
        self.assert_recorded("user", &speech::agent(), speech::AGENT_HZ);
    }
}

/// The first channel of a WAV file with 16 bits, and its sample rate.
fn read_wav(path: &Path) -> (Vec<i16>, u32) {
    let wav = fs::read(path).unwrap();
    let data = wav.windows(4).position(|four| four == b"data").unwrap() + 8;
    let channels = u16::from_le_bytes(wav[22..24].try_into().unwrap());
    let hz = u32::from_le_bytes(wav[24..28].try_into().unwrap());
    let frames = wav[data..].chunks_exact(usize::from(channels) * 2);
    (frames.map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect(), hz)
}

#[test]
fn whatsapp_calls_the_pbx_in_the_trial() {
    let trial = Trial::prepare();
    let kamailio = trial.kamailio();
    trial.call("agent", "user");
    drop(kamailio);
    trial.trestle.end();
}

#[test]
fn the_pbx_calls_whatsapp_in_the_trial() {
    let trial = Trial::prepare();
    let kamailio = trial.kamailio();
    trial.call("user", "agent");
    drop(kamailio);
    trial.trestle.end();
}
