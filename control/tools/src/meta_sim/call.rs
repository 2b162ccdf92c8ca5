//! One call of the WhatsApp user: Meta's relay, the network to it, the speech and digits, and the end. It has no
//! clock and no socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_peers::{
    GaveUp, Meta, MetaOptions, MetaReport, Network, NetworkOptions, Patience, SdpError, Transmit, Voice,
};

use super::graph::{Refusal, SignalDirection};
use trestle_sdp::lint::{Context, LintReport, Role, Severity, Writer, lint};

/// How long a call may ring: "about 30 to 60 seconds".
const RING_MAX: Duration = Duration::from_secs(60);
/// How often the relay is polled for news. Its reports carry their own time.
const LOOK: Duration = Duration::from_millis(20);
/// Digits begin that long after the acceptance.
const BEFORE_DIGITS: Duration = Duration::from_secs(1);

/// What the user does, and over which network.
#[derive(Debug, Clone)]
pub struct UserScript {
    /// Who calls.
    pub direction: SignalDirection,
    /// The relay.
    pub meta: MetaOptions,
    /// The network, each way.
    pub network: NetworkOptions,
    /// From the acceptance until the user hangs up.
    pub length: Duration,
    /// How long a call that the business makes rings.
    pub ring: Duration,
    /// The keys that are pressed, 500 ms each with 100 ms between.
    pub digits: String,
    /// From the acceptance to Meta's first packet.
    pub first_packet: Duration,
    /// How long the app waits for media.
    pub patience: Patience,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnding {
    /// The user hung up at the end of the script.
    UserHungUp,
    /// The business hung up.
    BusinessHungUp,
    /// The business did not want the call.
    Rejected,
    /// The call was not answered in time.
    NotAnswered,
    /// The app hung up because no media arrived.
    GaveUp(GaveUp),
    /// The business' SDP was refused, and no other can be sent.
    Refused,
}

impl CallEnding {
    /// Meta's code in the web hook, if this is a failure.
    pub fn code(self) -> Option<u32> {
        match self {
            Self::GaveUp(why) => Some(why.code()),
            Self::NotAnswered => Some(138_007),
            Self::UserHungUp | Self::BusinessHungUp | Self::Rejected | Self::Refused => None,
        }
    }
}

/// Something that happened, so long after the offer.
#[derive(Debug, Clone, PartialEq)]
pub struct CallMoment {
    /// Since the offer.
    pub after: Duration,
    /// In one line.
    pub what: String,
}

/// A call.
pub struct SimulatedCall {
    script: UserScript,
    pub(super) meta: Meta,
    /// To the business, and from it.
    networks: [Network; 2],
    offer: Option<String>,
    /// The business' description, as in pre_accept or accept.
    theirs: Option<String>,
    schedule: UserSchedule,
    look_at: Option<Instant>,
    end: Option<(Instant, CallEnding)>,
    timeline: SimTimeline,
    pub(super) sdp_findings: SdpFindings,
}

/// When the user does what.
#[derive(Default)]
struct UserSchedule {
    /// When the business' description was accepted by Meta.
    taken_at: Option<Instant>,
    /// When the call was accepted.
    accepted_at: Option<Instant>,
    /// When the user's first packet is due.
    speaks_at: Option<Instant>,
    /// When the user's digits are due.
    presses_at: Option<Instant>,
}

/// What happened, in order.
struct SimTimeline {
    began_at: Instant,
    steps: [bool; 5],
    digits: usize,
    moments: VecDeque<CallMoment>,
}

impl SimTimeline {
    fn note(&mut self, at: Instant, what: impl Into<String>) {
        self.moments.push_back(CallMoment { after: at.saturating_duration_since(self.began_at), what: what.into() });
    }

    /// Notes those of `steps` that have a time and were not noted before, in order of time.
    fn note_steps(&mut self, steps: [(Option<Instant>, &str); 5]) {
        let mut news: Vec<_> =
            steps.into_iter().enumerate().filter_map(|(n, (at, what))| Some((at?, n, what))).collect();
        news.sort_by_key(|(at, ..)| *at);
        for (at, n, what) in news {
            if !std::mem::replace(&mut self.steps[n], true) {
                self.note(at, what);
            }
        }
    }
}

/// What Meta finds in the business' descriptions.
#[derive(Default)]
pub(super) struct SdpFindings {
    pub(super) lints: Vec<LintReport>,
    pub(super) refusals: Vec<String>,
}

impl SimulatedCall {
    /// A call that was not offered yet.
    pub fn new(now: Instant, script: UserScript) -> Self {
        let seed = script.meta.seed;
        // The user is inaudible before the call is accepted.
        let meta = Meta::new(now, MetaOptions { silent: true, ..script.meta.clone() });
        let networks = [seed, seed + 1].map(|seed| Network::new(script.network, seed));
        let mut call = Self {
            script,
            meta,
            networks,
            offer: None,
            theirs: None,
            schedule: UserSchedule::default(),
            look_at: None,
            end: None,
            timeline: SimTimeline { began_at: now, steps: [false; 5], digits: 0, moments: VecDeque::new() },
            sdp_findings: SdpFindings::default(),
        };
        call.meta.ring();
        call
    }

    /// The user calls: Meta's offer.
    ///
    /// # Errors
    /// The relay has no address to offer.
    pub fn offer(&mut self, now: Instant) -> Result<String, SdpError> {
        self.timeline.began_at = now;
        let offer = self.meta.offer(now)?;
        self.offer = Some(offer.clone());
        self.timeline.note(now, "WhatsApp offers");
        Ok(offer)
    }

    /// The business' answer, in `pre_accept` or `accept`. The same again does nothing.
    ///
    /// # Errors
    /// What Graph answers to a description that it does not take, or to another than before.
    pub fn take_answer(&mut self, now: Instant, sdp: &str) -> Result<(), Refusal> {
        if let Some(theirs) = &self.theirs {
            if theirs == sdp {
                return Ok(());
            }
            let why = "the SDP answer in accept does not match the SDP answer given in pre_accept for the same call_id";
            return Err(self.refused(now, Refusal::parameter(why)));
        }
        let offer = self.offer.clone();
        self.judge(now, sdp, Role::Answer, offer.as_deref())?;
        let taken = self.meta.accept(now, sdp);
        self.taken(now, sdp, taken, "WhatsApp has the answer")
    }

    /// The business calls: Meta's answer to its offer.
    ///
    /// # Errors
    /// What Graph answers to a description that it does not take.
    pub fn take_offer(&mut self, now: Instant, sdp: &str) -> Result<String, Refusal> {
        self.timeline.began_at = now;
        self.judge(now, sdp, Role::Offer, None)?;
        self.timeline.note(now, "WhatsApp has the offer");
        match self.meta.answer(now, sdp) {
            Ok(answer) => {
                self.taken(now, sdp, Ok(()), "WhatsApp answers, and rings")?;
                Ok(answer)
            }
            Err(error) => Err(self.refused(now, Refusal::sdp(error.to_string()))),
        }
    }

    /// The SDP doctor's errors are what Meta's validator would find, as far as is known. An address on this machine
    /// or network is none here: there the sim is.
    fn judge(&mut self, now: Instant, sdp: &str, role: Role, offer: Option<&str>) -> Result<(), Refusal> {
        let mut verdict = lint(sdp, &Context { writer: Some(Writer::Us), role: Some(role), offer });
        verdict.findings.retain(|finding| finding.rule != trestle_sdp::lint::Rule::PublicAddress);
        let errors: Vec<String> = verdict
            .findings
            .iter()
            .filter(|finding| finding.rule.severity() == Severity::Error)
            .map(ToString::to_string)
            .collect();
        self.sdp_findings.lints.push(verdict);
        if errors.is_empty() { Ok(()) } else { Err(self.refused(now, Refusal::sdp(errors.join("; ")))) }
    }

    fn taken(&mut self, now: Instant, sdp: &str, taken: Result<(), SdpError>, step: &str) -> Result<(), Refusal> {
        match taken {
            Ok(()) => {
                self.look(now);
                self.theirs = Some(sdp.to_owned());
                self.schedule.taken_at = Some(now);
                self.timeline.note(now, step);
                Ok(())
            }
            Err(error) => Err(self.refused(now, Refusal::sdp(error.to_string()))),
        }
    }

    fn refused(&mut self, now: Instant, refusal: Refusal) -> Refusal {
        self.timeline.note(now, format!("WhatsApp refuses the SDP ({}): {}", refusal.code, refusal.details));
        self.sdp_findings.refusals.push(format!("the SDP was refused ({}): {}", refusal.code, refusal.details));
        refusal
    }

    /// The call is accepted: the app's clocks run, the user speaks, and may be spoken to.
    pub fn accept(&mut self, now: Instant) {
        if self.schedule.accepted_at.is_some() || self.end.is_some() {
            return;
        }
        self.look(now);
        self.schedule.accepted_at = Some(now);
        self.meta.accepted();
        self.meta.be_impatient(now, self.script.patience);
        self.schedule.speaks_at = (!self.script.meta.silent).then_some(now + self.script.first_packet);
        self.schedule.presses_at =
            (!self.script.digits.is_empty()).then_some(now + BEFORE_DIGITS + self.script.first_packet);
        self.timeline.note(now, "the call is accepted");
        self.handle_timeout(now);
    }

    /// The call is over.
    pub fn end(&mut self, now: Instant, end: CallEnding) {
        if self.end.is_none() {
            self.look(now);
            self.end = Some((now, end));
            self.timeline.note(
                now,
                match end {
                    CallEnding::UserHungUp => "the user hangs up".to_owned(),
                    CallEnding::BusinessHungUp => "the business hangs up".to_owned(),
                    CallEnding::Rejected => "the business rejects the call".to_owned(),
                    CallEnding::NotAnswered => "the call is not answered".to_owned(),
                    CallEnding::GaveUp(_) => "WhatsApp hangs up".to_owned(),
                    CallEnding::Refused => "there is no call".to_owned(),
                },
            );
        }
    }

    /// How it ended, when it has.
    pub fn ended(&self) -> Option<CallEnding> {
        self.end.map(|(_, end)| end)
    }

    /// True once the user has called.
    pub fn has_offered(&self) -> bool {
        self.offer.is_some()
    }

    /// True once the business' description was taken.
    pub fn has_theirs(&self) -> bool {
        self.theirs.is_some()
    }

    /// True once it was accepted.
    pub fn is_accepted(&self) -> bool {
        self.schedule.accepted_at.is_some()
    }

    /// The addresses it needs sockets on.
    pub fn locals(&self) -> &[SocketAddr] {
        self.meta.locals()
    }

    /// A datagram that came to one of [`SimulatedCall::locals`].
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        self.networks[1].send(now, Transmit { local, remote, bytes: bytes.to_vec() });
        self.arrive(now);
    }

    fn arrive(&mut self, now: Instant) {
        while let Some(Transmit { local, remote, bytes }) = self.networks[1].poll(now) {
            if self.end.is_none() {
                self.meta.handle_datagram(now, local, remote, &bytes);
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.arrive(now);
        if self.end.is_some() {
            return;
        }
        self.meta.handle_timeout(now);
        if let Some((at, why)) = self.meta.gave_up() {
            return self.end(at, CallEnding::GaveUp(why));
        }
        if self.schedule.speaks_at.take_if(|at| now >= *at).is_some() {
            self.meta.set_silent(false);
        }
        if self.schedule.presses_at.take_if(|at| now >= *at).is_some() {
            for digit in self.script.digits.clone().chars() {
                self.meta.press(digit);
            }
        }
        if self.look_at.is_none_or(|at| now >= at) {
            self.look_at = Some(now + LOOK);
            self.look(now);
        }
        let answered = self.theirs.is_some() && self.script.direction == SignalDirection::BusinessInitiated;
        match (self.schedule.accepted_at, self.schedule.taken_at) {
            (Some(at), _) if now >= at + self.script.length => self.end(now, CallEnding::UserHungUp),
            (None, Some(at)) if answered && now >= at + self.script.ring => self.accept(now),
            (None, _) if now >= self.timeline.began_at + RING_MAX && self.offer.is_some() => {
                self.end(now, CallEnding::NotAnswered)
            }
            _ => {}
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(transmit) = self.meta.poll_transmit() {
            if self.end.is_none() {
                self.networks[0].send(now, transmit);
            }
        }
        self.networks[0].poll(now)
    }

    /// When [`SimulatedCall::handle_timeout`] is due; `None` once it is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.end.is_some() {
            return None;
        }
        let flying = self.networks.iter().filter_map(Network::poll_timeout);
        let accepted = self.schedule.accepted_at.map(|at| at + self.script.length);
        let answered = self.theirs.is_some() && self.script.direction == SignalDirection::BusinessInitiated;
        let rings = self
            .schedule
            .taken_at
            .filter(|_| answered && self.schedule.accepted_at.is_none())
            .map(|at| at + self.script.ring);
        let unanswered =
            (self.offer.is_some() && self.schedule.accepted_at.is_none()).then_some(self.timeline.began_at + RING_MAX);
        let due = [
            self.meta.poll_timeout(),
            self.look_at,
            self.schedule.speaks_at,
            self.schedule.presses_at,
            accepted,
            rings,
            unanswered,
        ];
        due.into_iter().flatten().chain(flying).min()
    }

    /// What happened since this was asked last.
    pub fn poll_moment(&mut self) -> Option<CallMoment> {
        self.timeline.moments.pop_front()
    }

    /// What Meta noticed.
    pub fn report(&self) -> MetaReport {
        self.meta.report()
    }

    /// The received audio at 16 kHz, from the first packet on.
    pub fn recording(&self) -> &[i16] {
        self.meta.recording()
    }

    /// When it was accepted, and the media packets that the network lost: to the business, from it.
    pub(super) fn account(&self) -> (Option<Instant>, [u64; 2]) {
        (self.schedule.accepted_at, [self.networks[0].lost(), self.networks[1].lost()])
    }

    /// True if the user sends audio.
    pub(super) fn speaks(&self) -> bool {
        !matches!(self.script.meta.voice, Voice::Silence)
    }

    fn look(&mut self, now: Instant) {
        let report = self.meta.report();
        let ice = report.ice.unwrap_or_default();
        let steps = [
            (ice.first_check_at, "the first connectivity check reaches WhatsApp"),
            (ice.nominated_at, "an ICE pair is nominated"),
            (report.dtls_connected_at, "DTLS is connected"),
            (report.stream.first_rtp_at, "the first packet reaches WhatsApp"),
            ((self.meta.packets_sent() > 0).then_some(now), "WhatsApp sends its first packet"),
        ];
        self.timeline.note_steps(steps);
        while let Some(digit) = report.stream.digits.get(self.timeline.digits).filter(|digit| digit.ends > 0) {
            self.timeline.digits += 1;
            self.timeline
                .note(digit.at, format!("the user's app receives digit {}, {:.0} ms", digit.digit, digit.duration_ms));
        }
    }
}
