//! One call: both peers, what a signalling server would say between them, and its timeline. Without clock or socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_peers::{Flavour, Meta, MetaOptions, Phone, PhoneOptions, SdpError, Transmit, Voice, speech};
use trestle_srtp::Profile;

use super::scene::{CallDirection, DemoParty, DemoScript, Scene};
use super::timeline::{CallOutcome, CallTimeline, Traffic};

/// How long ICE and DTLS may take before the call is given up.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a command may go unanswered; on the loopback none is lost.
const REPLY_MAX: Duration = Duration::from_secs(2);
/// How often the peers are asked what is new. What they say carries its own time.
const LOOK: Duration = Duration::from_millis(20);

/// A call that was made: when it came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallPhase {
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

pub(crate) struct DemoCall {
    pub(crate) scene: Scene,
    pub(crate) script: DemoScript,
    pub(crate) meta: Meta,
    pub(crate) phone: Phone,
    phase: CallPhase,
    /// When both legs were connected.
    talking_since: Option<Instant>,
    requests: Requests,
    look_at: Option<Instant>,
    /// Number of scripted presses made so far.
    pressed: usize,
    pub(crate) timeline: CallTimeline,
    pub(crate) traffic: Traffic,
    pub(crate) outcome: CallOutcome,
}

/// The ng commands of one call: one at a time.
struct Requests {
    call_id: String,
    queue: VecDeque<Value>,
    asked_at: Option<Instant>,
}

impl Requests {
    fn push(&mut self, mut request: Value) {
        request["call-id"] = self.call_id.as_str().into();
        self.queue.push_back(request);
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.asked_at.is_some_and(|at| now >= at + REPLY_MAX)
    }
}

/// The peers' sockets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) meta: SocketAddr,
    /// RTCP is on the next port.
    pub(crate) phone: SocketAddr,
}

impl DemoCall {
    /// A call that begins at `begins_at`. `seed` decides what the peers draw, and which packets of theirs are lost.
    pub(crate) fn new(begins_at: Instant, scene: Scene, script: DemoScript, addresses: Addresses, seed: u64) -> Self {
        let traffic = Traffic::new(script.loss_percent, seed);
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
            script: DemoScript { presses, ..script },
            meta: Meta::new(begins_at, meta),
            phone: Phone::new(begins_at, phone),
            phase: CallPhase::Waiting,
            talking_since: None,
            requests: Requests { call_id: format!("{}-{seed}", scene.slug()), queue: VecDeque::new(), asked_at: None },
            look_at: None,
            pressed: 0,
            timeline: CallTimeline::new(begins_at),
            traffic,
            outcome: CallOutcome::default(),
        }
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        if self.meta.locals().contains(&local) {
            self.meta.handle_datagram(now, local, remote, bytes);
        } else {
            self.phone.handle_datagram(now, local, remote, bytes);
        }
        self.note_senders(now);
    }

    /// Trestle's reply to what [`DemoCall::poll_request`] gave last.
    pub(crate) fn handle_reply(&mut self, now: Instant, reply: &Value) {
        self.requests.asked_at = None;
        if self.is_over() {
            return;
        }
        self.look(now);
        let words = reply["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        self.outcome.warnings.extend(words.map(str::to_owned));
        if !matches!(self.phase, CallPhase::HangingUp) && reply["result"] != "ok" {
            let reason = reply["error-reason"].as_str().unwrap_or("without a reason");
            return self.fail(now, format!("Trestle refused the {}: {reason}", self.asked_for()));
        }
        let sdp = reply["sdp"].as_str().unwrap_or_default().to_owned();
        match self.phase {
            CallPhase::Offering => self.take_offer(now, &sdp),
            CallPhase::Answering => self.take_answer(now, &sdp),
            CallPhase::Asking => {
                self.outcome.query = Some(reply.clone());
                self.request(json!({"command": "delete", "delete-delay": 0}), CallPhase::HangingUp);
            }
            CallPhase::HangingUp => self.phase = CallPhase::Over,
            CallPhase::Waiting | CallPhase::Connecting | CallPhase::Talking | CallPhase::Over => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.phase == CallPhase::Waiting {
            if now < self.timeline.begins_at {
                return;
            }
            // What is measured is counted from here, not from when it should have been.
            self.timeline.begins_at = now;
            self.begin(now);
        }
        if self.is_over() {
            return;
        }
        if self.requests.is_overdue(now) {
            return self.fail(now, format!("Trestle did not answer to the {}", self.asked_for()));
        }
        self.meta.handle_timeout(now);
        self.phone.handle_timeout(now);
        self.note_senders(now);
        if self.look_at.is_none_or(|at| now >= at) {
            self.look_at = Some(now + LOOK);
            self.look(now);
        }
        match (self.phase, self.talking_since) {
            (CallPhase::Connecting, _) if self.meta.is_connected() => {
                self.talking_since = Some(now);
                self.phase = CallPhase::Talking;
            }
            (CallPhase::Connecting, _) if now >= self.timeline.begins_at + CONNECT_MAX => {
                self.fail(now, self.why_unconnected())
            }
            (CallPhase::Talking, Some(since)) => self.talk(now, since),
            _ => {}
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        loop {
            let by_meta = self.meta.poll_transmit().map(|transmit| (DemoParty::WhatsApp, transmit));
            let by_phone = || self.phone.poll_transmit().map(|transmit| (DemoParty::Phone, transmit));
            let (party, transmit) = by_meta.or_else(by_phone)?;
            if !self.traffic.loses(party, &transmit.bytes) {
                return Some(transmit);
            }
        }
    }

    /// The next ng command to send; one at a time.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<Value> {
        let request = self.requests.queue.pop_front()?;
        self.requests.asked_at = Some(now);
        Some(request)
    }

    /// When [`DemoCall::handle_timeout`] is due; `None` once the call is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            CallPhase::Over => None,
            CallPhase::Waiting => Some(self.timeline.begins_at),
            _ => [self.meta.poll_timeout(), self.phone.poll_timeout(), self.look_at].into_iter().flatten().min(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == CallPhase::Over
    }

    /// How long people have talked; `None` while they cannot.
    pub(crate) fn talked(&self, now: Instant) -> Option<Duration> {
        self.talking_since.map(|since| now.saturating_duration_since(since))
    }

    /// When the offer was made.
    pub(crate) fn began_at(&self) -> Instant {
        self.timeline.begins_at
    }

    fn begin(&mut self, now: Instant) {
        match self.scene.direction {
            CallDirection::UserInitiated => match self.meta.offer(now) {
                Ok(sdp) => {
                    self.timeline.step(now, "WhatsApp offers");
                    let mut offer = json!({"command": "offer", "from-tag": "whatsapp", "sdp": sdp});
                    // Media encrypted on one side is sent in the clear on the other only if this flag allows it.
                    if !self.scene.phone_is_secured() {
                        offer["transport-protocol"] = "RTP/AVP".into();
                    }
                    self.request(offer, CallPhase::Offering);
                }
                Err(error) => self.fail(now, format!("WhatsApp cannot offer: {error}")),
            },
            CallDirection::BusinessInitiated => {
                let sdp = self.phone.offer();
                self.timeline.step(now, "the phone offers");
                let mut offer = json!({"command": "offer", "from-tag": "phone", "sdp": sdp, "profile": "whatsapp"});
                if self.scene.flavour == Flavour::Sdes {
                    offer["transport-protocol"] = "RTP/SAVP".into();
                }
                self.request(offer, CallPhase::Offering);
            }
        }
    }

    /// Trestle's offer reaches the other side, which answers.
    fn take_offer(&mut self, now: Instant, sdp: &str) {
        let (answer, from, to, steps, refused) = match self.scene.direction {
            CallDirection::UserInitiated => {
                let steps = ["the phone has Trestle's offer", "the phone answers"];
                (self.phone.answer(now, sdp), "whatsapp", "phone", steps, "the phone refuses Trestle's offer")
            }
            CallDirection::BusinessInitiated => {
                let steps = ["WhatsApp has Trestle's offer", "WhatsApp answers"];
                (self.meta.answer(now, sdp), "phone", "whatsapp", steps, "WhatsApp refuses Trestle's offer")
            }
        };
        match answer {
            Ok(answer) => {
                steps.into_iter().for_each(|step| self.timeline.step(now, step));
                let request = json!({"command": "answer", "from-tag": from, "to-tag": to, "sdp": answer});
                self.request(request, CallPhase::Answering);
            }
            Err(error) => self.refuse(now, refused, &error),
        }
    }

    /// Trestle's answer reaches the side that offered.
    fn take_answer(&mut self, now: Instant, sdp: &str) {
        self.traffic.before_answer[DemoParty::WhatsApp as usize] = self.meta.report().stream.strays;
        self.traffic.before_answer[DemoParty::Phone as usize] = self.phone.report().strays;
        let (taken, step, refused) = match self.scene.direction {
            CallDirection::UserInitiated => {
                (self.meta.accept(now, sdp), "WhatsApp has the answer", "WhatsApp refuses Trestle's answer")
            }
            CallDirection::BusinessInitiated => {
                (self.phone.accept(now, sdp), "the phone has the answer", "the phone refuses Trestle's answer")
            }
        };
        match taken {
            Ok(()) => {
                self.timeline.step(now, step);
                self.phase = CallPhase::Connecting;
            }
            Err(error) => self.refuse(now, refused, &error),
        }
    }

    fn talk(&mut self, now: Instant, since: Instant) {
        while let Some(press) = self.script.presses.get(self.pressed).filter(|press| now >= since + press.at) {
            match press.by {
                DemoParty::WhatsApp => self.meta.press_for(press.digit, press.length),
                DemoParty::Phone => self.phone.press(press.digit, press.length),
            }
            self.pressed += 1;
        }
        if now >= since + self.script.length {
            self.look(now);
            self.request(json!({"command": "query", "flags": ["verbose"]}), CallPhase::Asking);
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
            (phone_first, "the phone receives the first packet"),
            (meta.stream.first_rtp_at, "WhatsApp receives the first packet"),
        ];
        self.timeline.note_steps(&steps);
        let presses = &self.script.presses;
        self.timeline.note_digits(now, DemoParty::WhatsApp, presses, &self.phone.report().digits);
        self.timeline.note_digits(now, DemoParty::Phone, presses, &meta.stream.digits);
    }

    fn note_senders(&mut self, now: Instant) {
        self.traffic.note_sent(now, DemoParty::WhatsApp, self.meta.packets_sent());
        self.traffic.note_sent(now, DemoParty::Phone, self.phone.packets_sent());
    }

    fn request(&mut self, request: Value, phase: CallPhase) {
        self.requests.push(request);
        self.phase = phase;
    }

    fn asked_for(&self) -> &'static str {
        match self.phase {
            CallPhase::Offering => "offer",
            CallPhase::Answering => "answer",
            CallPhase::Asking => "query",
            CallPhase::HangingUp => "delete",
            CallPhase::Waiting | CallPhase::Connecting | CallPhase::Talking | CallPhase::Over => "command",
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

    /// The call is given up; Trestle gets a delete request, and its reply is not awaited.
    fn fail(&mut self, now: Instant, reason: String) {
        self.look(now);
        self.outcome.failure = Some(reason);
        self.requests.queue.clear();
        self.request(json!({"command": "delete", "delete-delay": 0}), CallPhase::Over);
    }
}

/// The clip once, then a silence that outlasts the call.
fn voice(spoken: &Arc<[i16]>, sample_hz: u32, length: Duration) -> Voice {
    let silence = (length + CONNECT_MAX * 2).as_secs() as usize * sample_hz as usize;
    Voice::Clip(spoken.iter().copied().chain(std::iter::repeat_n(0, silence)).collect())
}
