//! baresip, scripted over its control socket.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;
use std::{fs, thread};

use serde_json::{Value, json};

use crate::ear;
use crate::place::Place;
use crate::program::{Program, WAIT_MAX, wait_until};

/// Every callee's user name: baresip takes only calls for its account.
pub(crate) const USER: &str = "ua";

/// What an account speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pcma,
    /// With SRTP, keys by SDES.
    PcmaSdes,
    Opus,
}

/// A running baresip that answers every call at once, sends a tone, and records what it receives.
pub(crate) struct Baresip {
    who: String,
    dir: PathBuf,
    control: TcpStream,
    events: Receiver<Value>,
    /// Keys the other side has pressed, as far as events have been read.
    digits: String,
    _program: Program,
}

impl Baresip {
    /// At the `n`th address of `place`.
    pub(crate) fn start(place: &Place, n: u8, kind: Kind, hz: f64) -> Self {
        let (who, ip) = (format!("baresip{n}"), place.ip(n));
        let dir = place.path(&who);
        fs::create_dir(&dir).unwrap();
        let wav = dir.join("tone.wav");
        let (modules, account) = match kind {
            Kind::Pcma => (&["g711"][..], "audio_codecs=pcma/8000/1"),
            Kind::PcmaSdes => (&["g711", "srtp"][..], "audio_codecs=pcma/8000/1;mediaenc=srtp-mand"),
            Kind::Opus => (&["opus"][..], "audio_codecs=opus/48000/2"),
        };
        match kind {
            Kind::Pcma | Kind::PcmaSdes => ear::write_tone(&wav, hz, 8_000, 1),
            Kind::Opus => ear::write_tone(&wav, hz, 48_000, 2),
        }
        // Its RTP sockets are bound to no address, so that on the loopback RTP comes from 127.0.0.1; SDP must say the same.
        // Names of what it writes down are cut off if they are long, so it works in the directory.
        let mut config = format!(
            "poll_method epoll\nsip_listen {}\ncall_local_timeout 120\ncall_max_calls 4\naudio_player aubridge,nil\n\
             audio_source aufile,{}\naudio_alert aubridge,nil\nausrc_format s16\nauplay_format s16\nauenc_format s16\n\
             audec_format s16\naudio_buffer 20-160\nrtp_ports 12000-19999\njitter_buffer_delay 1-5\nnet_interface 127.0.0.1\n\
             opus_bitrate 32000\nopus_application audio\nmodule_path /usr/lib/baresip/modules\nsnd_path .\n\
             ctrl_tcp_listen {ip}:4444\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n",
            place.sip(n),
            wav.display(),
        );
        for module in ["sndfile", "aufile", "aubridge"].iter().chain(modules) {
            writeln!(config, "module {module}.so").unwrap();
        }
        fs::write(dir.join("config"), config).unwrap();
        let sip = place.sip(n);
        let account =
            format!("<sip:{USER}@{sip}>;regint=0;answermode=auto;ptime=20;auth_user=ua;auth_pass=ua;{account}\n");
        fs::write(dir.join("accounts"), account).unwrap();
        fs::write(dir.join("contacts"), "").unwrap();
        let arguments = ["-f", dir.to_str().unwrap()];
        let mut program = Program::start("baresip", &arguments, &dir, &place.path(&format!("{who}.log")));
        let mut connected = None;
        wait_until("baresip's control socket", || {
            program.assert_runs();
            connected = TcpStream::connect((ip, 4_444)).ok();
            connected.is_some()
        });
        let control = connected.unwrap();
        let (mut incoming, (sender, events)) = (control.try_clone().unwrap(), mpsc::channel());
        thread::spawn(move || {
            while let Some(message) = read_netstring(&mut incoming) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Self { who, dir, control, events, digits: String::new(), _program: program }
    }

    fn command(&mut self, command: &str, parameters: &str) {
        let message = json!({"command": command, "params": parameters, "token": command}).to_string();
        write!(self.control, "{}:{message},", message.len()).unwrap();
        let reply = self.wait_for(&format!("the reply to {command}"), |message| message["token"] == command);
        assert_eq!(reply["ok"], true, "{}: {command}: {reply}", self.who);
    }

    /// The next message that `is_it`; others are passed over, but digits are written down.
    fn wait_for(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + WAIT_MAX;
        let mut passed = Vec::new();
        loop {
            let Ok(message) = self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                panic!("{} waited too long for {what}; it saw {passed:?}", self.who);
            };
            if message["type"] == "CALL_DTMF_START" {
                self.digits += message["param"].as_str().unwrap();
            }
            if is_it(&message) {
                return message;
            }
            passed.push(message["type"].as_str().unwrap_or("a reply").to_owned());
        }
    }

    fn wait_for_event(&mut self, kind: &str) -> Value {
        self.wait_for(kind, |message| message["type"] == kind)
    }

    pub(crate) fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Waits until a call is established. Returns its Call-ID.
    pub(crate) fn wait_until_established(&mut self) -> String {
        self.wait_for_event("CALL_ESTABLISHED")["id"].as_str().unwrap().to_owned()
    }

    /// Until the other side has answered a re-INVITE of ours.
    fn wait_for_answer(&mut self) {
        self.wait_for("an answer", |message| message["type"] == "CALL_REMOTE_SDP" && message["param"] == "answer");
    }

    /// Until the other side has ended the call, or refused it.
    pub(crate) fn wait_until_closed(&mut self) -> String {
        self.wait_for_event("CALL_CLOSED")["param"].as_str().unwrap().to_owned()
    }

    pub(crate) fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// Puts the other side on hold, until it has agreed.
    pub(crate) fn hold(&mut self) {
        self.command("hold", "");
        self.wait_for_answer();
    }

    /// Takes the other side from hold again.
    pub(crate) fn resume(&mut self) {
        self.command("resume", "");
        self.wait_for_answer();
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, digit: char) {
        self.command("sndcode", &digit.to_string());
    }

    /// Until the other side has pressed these keys, and no others.
    pub(crate) fn wait_for_digits(&mut self, digits: &str) {
        while self.digits.len() < digits.len() {
            self.wait_for_event("CALL_DTMF_START");
        }
        // baresip reports a digit's end by repeating what has not yet been read of it, never by another start.
        self.wait_for_event("CALL_DTMF_END");
        assert_eq!(self.digits, digits, "{}", self.who);
    }

    /// What it has recorded up to the first re-INVITE, and its sample rate.
    fn recording(&self) -> (Vec<i16>, u32) {
        let is_recording = |path: &PathBuf| path.to_string_lossy().ends_with("-dec.wav");
        let mut files: Vec<PathBuf> = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(is_recording);
        // Named by the time at which they were begun.
        files.sort();
        files.last().and_then(|path| ear::read_wav(path)).unwrap_or((Vec::new(), 8_000))
    }

    /// From now on it receives this tone.
    pub(crate) fn assert_receives_tone(&self, hz: f64) {
        ear::assert_tone(&self.who, hz, |wanted| {
            let mut received = (Vec::new(), 0);
            wait_until(&format!("{} to hear something", self.who), || {
                received = self.recording();
                received.0.len() >= wanted
            });
            received
        });
    }
}

/// The next message of `LENGTH:JSON,`; `None` at the end.
fn read_netstring(stream: &mut TcpStream) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        match byte[0] {
            b':' => break,
            digit => length = length * 10 + usize::from(digit.checked_sub(b'0')?),
        }
    }
    let mut message = vec![0; length + 1];
    stream.read_exact(&mut message).ok()?;
    serde_json::from_slice(&message[..length]).ok()
}
