//! One call: both peers, what a signalling server would say between them, and its timeline. Without clock or socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_peers::{
    Flavour, HeardDigit, Loss, Meta, MetaOptions, Phone, PhoneOptions, SdpError, Transmit, Voice, speech,
};
use trestle_srtp::Profile;

use super::scene::{Direction, Party, Press, Scene, Script};

/// How long ICE and DTLS may take before the call is given up.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a command may go unanswered; on the loopback none is lost.
const REPLY_MAX: Duration = Duration::from_secs(2);
/// How often the peers are asked what is new. What they say carries its own time.
const LOOK: Duration = Duration::from_millis(20);

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moment {
    /// Since the offer.
    pub(crate) after: Duration,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A step of the set-up, as one line.
    Step(&'static str),
    /// A key was pressed on one side, and the other heard that; told when it has ended.
    Digit(Press, HeardDigit),
}

/// A call that was made: when it came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun.
    Waiting,
    /// The offer is with Trestle.
    Offering,
    /// The answer is with Trestle.
    Answering,
    /// Both have an answer; WhatsApp's transport does not stand yet.
    Connecting,
    /// People talk.
    Talking,
    /// Trestle is asked for its own account.
    Asking,
    HangingUp,
    Over,
}

pub(crate) struct Call {
    pub(crate) scene: Scene,
    pub(crate) script: Script,
    pub(crate) meta: Meta,
    pub(crate) phone: Phone,
    id: String,
    stage: Stage,
    begins_at: Instant,
    /// When both legs stood.
    talking_since: Option<Instant>,
    requests: VecDeque<Value>,
    asked_at: Option<Instant>,
    look_at: Option<Instant>,
    /// When each party's first packet left.
    spoke_at: [Option<Instant>; 2],
    pressed: usize,
    /// Digits heard by each party that have been told.
    told_digits: [usize; 2],
    told_steps: Vec<&'static str>,
    news: VecDeque<Moment>,
    moments: Vec<Moment>,
    /// Trestle's `query`, and what it warned of.
    pub(crate) account: Option<Value>,
    pub(crate) warnings: Vec<String>,
    pub(crate) failure: Option<String>,
    loss: [Loss; 2],
    /// Datagrams that overtook the answer, at each party. Media may (RFC 3264 5.1), and cannot be known for the peer's yet.
    overtook: [u64; 2],
}

/// The peers' sockets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) meta: SocketAddr,
    /// RTCP is on the next port.
    pub(crate) phone: SocketAddr,
}

impl Call {
    /// A call that begins at `begins_at`. `seed` decides what the peers draw, and which packets of theirs are lost.
    pub(crate) fn new(begins_at: Instant, scene: Scene, script: Script, addresses: Addresses, seed: u64) -> Self {
        let loss = [seed, seed + 1].map(|seed| Loss::new(script.loss_percent, seed));
        let meta = MetaOptions {
            voice: voice(&script.caller, speech::CALLER_HZ, script.length),
            seed,
            ..MetaOptions::new(addresses.meta, scene.flavour)
        };
        let suites = if scene.phone_is_secured() { vec![Profile::AesCm128HmacSha1_80] } else { Vec::new() };
        let phone = PhoneOptions {
            suites,
            codecs: vec![scene.codec],
            voice: voice(&script.agent, speech::AGENT_HZ, script.length),
            seed: seed + 1,
            ..PhoneOptions::new(addresses.phone)
        };
        let mut presses = script.presses.clone();
        presses.sort_by_key(|press| press.at);
        Self {
            scene,
            script: Script { presses, ..script },
            meta: Meta::new(begins_at, meta),
            phone: Phone::new(begins_at, phone),
            id: format!("{}-{seed}", scene.slug()),
            stage: Stage::Waiting,
            begins_at,
            talking_since: None,
            requests: VecDeque::new(),
            asked_at: None,
            look_at: None,
            spoke_at: [None; 2],
            pressed: 0,
            told_digits: [0; 2],
            told_steps: Vec::new(),
            news: VecDeque::new(),
            moments: Vec::new(),
            account: None,
            warnings: Vec::new(),
            failure: None,
            loss,
            overtook: [0; 2],
        }
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        if self.meta.locals().contains(&local) {
            self.meta.handle_datagram(now, local, remote, bytes);
        } else {
            self.phone.handle_datagram(now, local, remote, bytes);
        }
        self.note_speakers(now);
    }

    /// Trestle's reply to what [`Call::poll_request`] gave last.
    pub(crate) fn handle_reply(&mut self, now: Instant, reply: &Value) {
        self.asked_at = None;
        if self.is_over() {
            return;
        }
        self.look(now);
        let words = reply["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        self.warnings.extend(words.map(str::to_owned));
        if !matches!(self.stage, Stage::HangingUp) && reply["result"] != "ok" {
            let reason = reply["error-reason"].as_str().unwrap_or("without a reason");
            return self.fail(now, format!("Trestle refused the {}: {reason}", self.asked_for()));
        }
        let sdp = reply["sdp"].as_str().unwrap_or_default().to_owned();
        match self.stage {
            Stage::Offering => self.take_offer(now, &sdp),
            Stage::Answering => self.take_answer(now, &sdp),
            Stage::Asking => {
                self.account = Some(reply.clone());
                self.request(json!({"command": "delete", "delete-delay": 0}), Stage::HangingUp);
            }
            Stage::HangingUp => self.stage = Stage::Over,
            Stage::Waiting | Stage::Connecting | Stage::Talking | Stage::Over => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.stage == Stage::Waiting {
            if now < self.begins_at {
                return;
            }
            // What is measured is counted from here, not from when it should have been.
            self.begins_at = now;
            self.begin(now);
        }
        if self.is_over() {
            return;
        }
        if self.asked_at.is_some_and(|at| now >= at + REPLY_MAX) {
            return self.fail(now, format!("Trestle did not answer to the {}", self.asked_for()));
        }
        self.meta.handle_timeout(now);
        self.phone.handle_timeout(now);
        self.note_speakers(now);
        if self.look_at.is_none_or(|at| now >= at) {
            self.look_at = Some(now + LOOK);
            self.look(now);
        }
        match (self.stage, self.talking_since) {
            (Stage::Connecting, _) if self.meta.is_connected() => {
                self.talking_since = Some(now);
                self.stage = Stage::Talking;
            }
            (Stage::Connecting, _) if now >= self.begins_at + CONNECT_MAX => self.fail(now, self.why_unconnected()),
            (Stage::Talking, Some(since)) => self.talk(now, since),
            _ => {}
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        loop {
            let by_meta = self.meta.poll_transmit().map(|transmit| (Party::WhatsApp, transmit));
            let by_phone = || self.phone.poll_transmit().map(|transmit| (Party::Phone, transmit));
            let (party, transmit) = by_meta.or_else(by_phone)?;
            if !self.loss[party as usize].takes(&transmit.bytes) {
                return Some(transmit);
            }
        }
    }

    /// Datagrams that came to `party` before the answer that tells where they are from.
    pub(crate) fn overtook_answer(&self, party: Party) -> u64 {
        self.overtook[party as usize]
    }

    /// Media packets of `party` that the network lost, as was asked for.
    pub(crate) fn lost_of(&self, party: Party) -> u64 {
        self.loss[party as usize].lost()
    }

    /// The next ng command to send; one at a time.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<Value> {
        let request = self.requests.pop_front()?;
        self.asked_at = Some(now);
        Some(request)
    }

    /// When [`Call::handle_timeout`] is due; `None` once the call is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Over => None,
            Stage::Waiting => Some(self.begins_at),
            _ => [self.meta.poll_timeout(), self.phone.poll_timeout(), self.look_at].into_iter().flatten().min(),
        }
    }

    /// What happened since this was asked last, in order of time where two were seen together.
    pub(crate) fn poll_moment(&mut self) -> Option<Moment> {
        self.news.pop_front()
    }

    /// Everything that happened, in order of time.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let mut moments = self.moments.clone();
        moments.sort_by_key(|moment| moment.after);
        moments
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// How long people have talked; `None` while they cannot.
    pub(crate) fn talked(&self, now: Instant) -> Option<Duration> {
        self.talking_since.map(|since| now.saturating_duration_since(since))
    }

    /// When the offer was made.
    pub(crate) fn began_at(&self) -> Instant {
        self.begins_at
    }

    /// When a party's first packet left.
    pub(crate) fn spoke_at(&self, party: Party) -> Option<Instant> {
        self.spoke_at[party as usize]
    }

    fn begin(&mut self, now: Instant) {
        match self.scene.direction {
            Direction::UserInitiated => match self.meta.offer(now) {
                Ok(sdp) => {
                    self.step(now, "WhatsApp offers");
                    let mut offer = json!({"command": "offer", "from-tag": "whatsapp", "sdp": sdp});
                    // What is secret on one side is sent in the clear on the other only if somebody says so.
                    if !self.scene.phone_is_secured() {
                        offer["transport-protocol"] = "RTP/AVP".into();
                    }
                    self.request(offer, Stage::Offering);
                }
                Err(error) => self.fail(now, format!("WhatsApp cannot offer: {error}")),
            },
            Direction::BusinessInitiated => {
                let sdp = self.phone.offer();
                self.step(now, "the phone offers");
                let mut offer = json!({"command": "offer", "from-tag": "phone", "sdp": sdp, "profile": "whatsapp"});
                if self.scene.flavour == Flavour::Sdes {
                    offer["transport-protocol"] = "RTP/SAVP".into();
                }
                self.request(offer, Stage::Offering);
            }
        }
    }

    /// Trestle's offer reaches the other side, which answers.
    fn take_offer(&mut self, now: Instant, sdp: &str) {
        let (answer, from, to, steps, refused) = match self.scene.direction {
            Direction::UserInitiated => {
                let steps = ["the phone has Trestle's offer", "the phone answers"];
                (self.phone.answer(now, sdp), "whatsapp", "phone", steps, "the phone refuses Trestle's offer")
            }
            Direction::BusinessInitiated => {
                let steps = ["WhatsApp has Trestle's offer", "WhatsApp answers"];
                (self.meta.answer(now, sdp), "phone", "whatsapp", steps, "WhatsApp refuses Trestle's offer")
            }
        };
        match answer {
            Ok(answer) => {
                steps.into_iter().for_each(|step| self.step(now, step));
                let request = json!({"command": "answer", "from-tag": from, "to-tag": to, "sdp": answer});
                self.request(request, Stage::Answering);
            }
            Err(error) => self.refuse(now, refused, &error),
        }
    }

    /// Trestle's answer reaches whoever offered.
    fn take_answer(&mut self, now: Instant, sdp: &str) {
        self.overtook[Party::WhatsApp as usize] = self.meta.report().stream.strays;
        self.overtook[Party::Phone as usize] = self.phone.report().strays;
        let (taken, step, refused) = match self.scene.direction {
            Direction::UserInitiated => {
                (self.meta.accept(now, sdp), "WhatsApp has the answer", "WhatsApp refuses Trestle's answer")
            }
            Direction::BusinessInitiated => {
                (self.phone.accept(now, sdp), "the phone has the answer", "the phone refuses Trestle's answer")
            }
        };
        match taken {
            Ok(()) => {
                self.step(now, step);
                self.stage = Stage::Connecting;
            }
            Err(error) => self.refuse(now, refused, &error),
        }
    }

    fn talk(&mut self, now: Instant, since: Instant) {
        while let Some(press) = self.script.presses.get(self.pressed).filter(|press| now >= since + press.at) {
            match press.by {
                Party::WhatsApp => self.meta.press_for(press.digit, press.length),
                Party::Phone => self.phone.press(press.digit, press.length),
            }
            self.pressed += 1;
        }
        if now >= since + self.script.length {
            self.look(now);
            self.request(json!({"command": "query", "flags": ["verbose"]}), Stage::Asking);
        }
    }

    /// Asks the peers what they noticed.
    fn look(&mut self, now: Instant) {
        let meta = self.meta.report();
        let ice = meta.ice.unwrap_or_default();
        let phone_first = self.phone.report().first_rtp_at;
        let steps = [
            (ice.first_check_at, "the first connectivity check reaches WhatsApp"),
            (ice.nominated_at, "an ICE pair is nominated"),
            (meta.dtls_connected_at, "DTLS is connected"),
            (phone_first, "the phone hears the first packet"),
            (meta.stream.first_rtp_at, "WhatsApp hears the first packet"),
        ];
        let mut news: Vec<_> = steps.into_iter().filter_map(|(at, step)| Some((at?, step))).collect();
        news.sort_by_key(|(at, _)| *at);
        for (at, step) in news {
            if !self.told_steps.contains(&step) {
                self.step(at, step);
            }
        }
        let by_phone = self.phone.report().digits.clone();
        self.look_for_digits(now, Party::WhatsApp, &by_phone);
        self.look_for_digits(now, Party::Phone, &meta.stream.digits);
    }

    /// Tells the digits that `by` pressed and that have ended on the other side.
    fn look_for_digits(&mut self, now: Instant, by: Party, heard: &[HeardDigit]) {
        let presses: Vec<Press> = self.script.presses.iter().filter(|press| press.by == by).copied().collect();
        let told = self.told_digits[by as usize];
        let Some((press, digit)) = presses.get(told).zip(heard.get(told)) else { return };
        // The E bit comes three times; the digit is told with all of them, or when the next has begun or none came.
        let settled = digit.ends >= 3 || heard.len() > told + 1 || now >= digit.at + press.length * 2;
        if settled {
            self.told_digits[by as usize] += 1;
            let ended_at = digit.at + Duration::from_secs_f64(digit.duration_ms.max(0.0) / 1e3);
            self.tell(ended_at, What::Digit(*press, digit.clone()));
        }
    }

    fn note_speakers(&mut self, now: Instant) {
        for (party, sent) in [(Party::WhatsApp, self.meta.packets_sent()), (Party::Phone, self.phone.packets_sent())] {
            if sent > 0 {
                self.spoke_at[party as usize].get_or_insert(now);
            }
        }
    }

    fn request(&mut self, mut request: Value, stage: Stage) {
        request["call-id"] = self.id.as_str().into();
        self.requests.push_back(request);
        self.stage = stage;
    }

    fn step(&mut self, at: Instant, step: &'static str) {
        self.told_steps.push(step);
        self.tell(at, What::Step(step));
    }

    fn tell(&mut self, at: Instant, what: What) {
        let moment = Moment { after: at.saturating_duration_since(self.begins_at), what };
        self.news.push_back(moment.clone());
        self.moments.push(moment);
    }

    fn asked_for(&self) -> &'static str {
        match self.stage {
            Stage::Offering => "offer",
            Stage::Answering => "answer",
            Stage::Asking => "query",
            Stage::HangingUp => "delete",
            Stage::Waiting | Stage::Connecting | Stage::Talking | Stage::Over => "command",
        }
    }

    fn refuse(&mut self, now: Instant, refused: &str, error: &SdpError) {
        self.fail(now, format!("{refused}: {error}"));
    }

    fn why_unconnected(&self) -> String {
        let ice = self.meta.report().ice.unwrap_or_default();
        let why = match (ice.first_check_at, ice.nominated_at) {
            (None, _) => "no connectivity check reached WhatsApp",
            (Some(_), None) => "checks came, but no pair was nominated",
            (Some(_), Some(_)) => "a pair was nominated, but the DTLS handshake did not end",
        };
        format!("WhatsApp's transport did not stand within {} s: {why}", CONNECT_MAX.as_secs())
    }

    /// The call is given up; Trestle is told to forget it, and its answer not waited for.
    fn fail(&mut self, now: Instant, reason: String) {
        self.look(now);
        self.failure = Some(reason);
        self.requests.clear();
        self.request(json!({"command": "delete", "delete-delay": 0}), Stage::Over);
    }
}

/// What is said once, then a silence that outlasts the call.
fn voice(said: &Arc<[i16]>, sample_hz: u32, length: Duration) -> Voice {
    let silence = (length + CONNECT_MAX * 2).as_secs() as usize * sample_hz as usize;
    Voice::Clip(said.iter().copied().chain(std::iter::repeat_n(0, silence)).collect())
}
