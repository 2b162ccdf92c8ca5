//! All calls of a run: set up, talked through, deleted. Without a socket or a clock.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use serde_json::Value;
use trestle_srtp::KeyingMaterial;
use trestle_wire::demux::DatagramKind;

use super::arrivals::SentFrames;
use super::call_end::{CallEnd, Setting};
use super::counts::Counts;
use super::leg::{PACKET_ROOM, ReceivedFrame};
use super::ng::{Client, CommandOutcome, LoadVerb};
use super::pace::{FrameDue, Ns};
use super::sdp::EngineSdp;
use super::send_batch::{FrameStamp, SendBatch};
use super::states::{CallState, CallStates, LoadCall};
use super::whatsapp::{Now, wanted_ufrag};
use super::workload::SideSecurity;

/// A call that has no keys so long after its answer has failed.
const CONNECT_MAX_NS: Ns = 10_000_000_000;

/// The calls.
pub struct LoadCalls {
    setting: Setting,
    /// How far each call is.
    pub calls: CallStates,
    legs: Vec<CallEnd>,
    sent: Vec<SentFrames>,
    by_source: HashMap<(usize, SocketAddrV4), usize>,
    ng: Client,
    /// Frames from, and up to, which are counted.
    measured: std::ops::Range<u64>,
    scratch: Vec<Vec<u8>>,
    /// What was counted.
    pub counts: Counts,
    /// What is to be sent.
    pub out: SendBatch,
}

impl std::fmt::Debug for LoadCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}

impl LoadCalls {
    /// None is set up yet.
    pub fn new(setting: Setting) -> Self {
        let count = setting.places.len() / 2;
        let legs = (0..2 * count).map(|number| CallEnd::new(&setting, number)).collect();
        let ng = Client::new(&format!("load{:x}", setting.seed));
        Self {
            calls: CallStates::new(count),
            legs,
            sent: (0..2 * count).map(|_| SentFrames::default()).collect(),
            by_source: HashMap::new(),
            ng,
            measured: u64::MAX..u64::MAX,
            scratch: Vec::new(),
            counts: Counts::default(),
            out: SendBatch::default(),
            setting,
        }
    }

    /// Packets of the frames in `frames` are counted.
    pub fn measure(&mut self, frames: std::ops::Range<u64>) {
        self.measured = frames;
    }

    /// Commands without a reply yet.
    pub fn waiting(&self) -> usize {
        self.ng.waiting()
    }

    /// Commands that had to be sent again.
    pub fn repeats(&self) -> u64 {
        self.ng.repeats
    }

    fn id(&self, call: usize) -> String {
        format!("load-{:x}-{call}", self.setting.seed)
    }

    /// Offers call number `call`, whose time was `at`.
    pub fn start(&mut self, now: Ns, call: usize, at: Ns) {
        let leg = 2 * call;
        let sdp = self.legs[leg].describe(&self.setting, leg, None);
        self.calls[call] = LoadCall { state: CallState::Offered, started_at: at, since: now };
        let request = self.setting.manner.offer(self.setting.work, &self.id(call), &sdp);
        self.ask(now, call, LoadVerb::Offer, &request);
    }

    /// Deletes a call, whatever became of it. False if there is nothing to delete.
    pub fn delete(&mut self, now: Ns, call: usize) -> bool {
        if matches!(self.calls[call].state, CallState::Idle | CallState::Deleting | CallState::Over) {
            return false;
        }
        self.calls[call].state = CallState::Deleting;
        let request = self.setting.manner.delete(&self.id(call));
        self.ask(now, call, LoadVerb::Delete, &request);
        true
    }

    fn ask(&mut self, now: Ns, call: usize, verb: LoadVerb, request: &Value) {
        let datagram = self.ng.ask(now, call, verb, request);
        let (socket, to) = self.setting.ng;
        self.out.push(socket, to, &datagram);
    }

    fn fail(&mut self, call: usize, reason: impl Into<String>) {
        self.calls[call].state = CallState::Failed;
        *self.counts.failed.entry(reason.into()).or_default() += 1;
    }

    /// Makes the packet that is due. Nothing, if its call does not talk.
    pub fn speak(&mut self, now: Ns, due: FrameDue) {
        let FrameDue { stream: leg, frame, at } = due;
        if self.calls[leg / 2].state != CallState::Up {
            return;
        }
        let CallEnd { remote: Some(to), out, .. } = &mut self.legs[leg] else { return };
        let socket = self.setting.places[leg].socket;
        let stamp = FrameStamp { leg, frame };
        let made = self.out.push_with(socket, *to, stamp, PACKET_ROOM, |buf| out.write(leg, frame, buf));
        if made && self.measured.contains(&frame) {
            self.counts.late.add(now.saturating_sub(at));
        }
    }

    /// A packet left.
    pub fn note_sent(&mut self, stamp: FrameStamp, at: Ns) {
        self.sent[stamp.leg].note(stamp.frame, at);
        if self.measured.contains(&stamp.frame) {
            self.counts.sent[stamp.leg % 2] += 1;
        }
    }

    /// Takes a datagram that came at `at`.
    pub fn handle_datagram(&mut self, now: Now, at: Ns, socket: usize, from: SocketAddrV4, bytes: &mut [u8]) {
        if socket == self.setting.ng.0 {
            if let Some(outcome) = self.ng.handle_datagram(at, bytes) {
                self.handle_outcome(now, outcome);
            }
            return;
        }
        match DatagramKind::of(bytes) {
            Some(DatagramKind::Rtp) => self.hear(at, socket, from, bytes),
            Some(DatagramKind::Stun | DatagramKind::Dtls) => self.handle_handshake(now, socket, from, bytes),
            Some(DatagramKind::Rtcp) | None => {}
        }
    }

    fn hear(&mut self, at: Ns, socket: usize, from: SocketAddrV4, bytes: &mut [u8]) {
        let Some(&leg) = self.by_source.get(&(socket, from)) else {
            self.counts.strange += 1;
            return;
        };
        let speaker = leg ^ 1;
        let marked = !self.setting.work.transcodes();
        let incoming = &mut self.legs[leg].incoming;
        match incoming.take(bytes, marked) {
            ReceivedFrame::Marked(by, frame) if by == speaker => {
                let came = self.sent[speaker].came(frame, at);
                self.counts.note(&self.measured, speaker % 2, frame, came);
            }
            ReceivedFrame::Numbered(number) => {
                if incoming.window.push(number, at) {
                    for (frame, came) in incoming.window.pair(&mut self.sent[speaker]) {
                        self.counts.note(&self.measured, speaker % 2, frame, came);
                    }
                }
            }
            ReceivedFrame::Marked(..) => self.counts.strange += 1,
            ReceivedFrame::Other => {}
            ReceivedFrame::Bad => self.counts.bad += 1,
        }
    }

    /// Pairs what has not been paired yet.
    pub fn finish(&mut self) {
        for leg in 0..self.legs.len() {
            let speaker = leg ^ 1;
            for (frame, came) in self.legs[leg].incoming.window.pair(&mut self.sent[speaker]) {
                self.counts.note(&self.measured, speaker % 2, frame, came);
            }
        }
    }

    fn handle_handshake(&mut self, now: Now, socket: usize, from: SocketAddrV4, bytes: &[u8]) {
        let known = self.by_source.get(&(socket, from)).copied();
        let called = || usize::from_str_radix(wanted_ufrag(bytes)?.strip_prefix("load")?, 16).ok().map(|call| 2 * call);
        let Some(leg) =
            known.or_else(called).filter(|leg| self.legs.get(*leg).is_some_and(|leg| leg.whatsapp.is_some()))
        else {
            return;
        };
        self.by_source.entry((socket, from)).or_insert(leg);
        let Some(whatsapp) = self.legs[leg].whatsapp.as_mut() else { return };
        let mut out = std::mem::take(&mut self.scratch);
        let keys = whatsapp.handle_datagram(now.instant, (u32::from(*from.ip()), from.port()), bytes, &mut out);
        out.drain(..).for_each(|datagram| self.out.push(socket, from, &datagram));
        self.scratch = out;
        if let Some(keys) = keys {
            self.take_keys(now.ns, leg, &keys);
        }
    }

    fn take_keys(&mut self, now: Ns, leg: usize, (ours, theirs): &(KeyingMaterial, KeyingMaterial)) {
        self.legs[leg].out.secure(ours);
        self.legs[leg].incoming.secure(theirs);
        let call = leg / 2;
        if self.calls[call].state == CallState::Connecting {
            self.counts.connected.add(now.saturating_sub(self.calls[call].since));
            self.come_up(now, call);
        }
    }

    fn come_up(&mut self, now: Ns, call: usize) {
        let started_at = self.calls[call].started_at;
        self.calls[call] = LoadCall { state: CallState::Up, started_at, since: now };
        self.counts.set_up.add(now.saturating_sub(started_at));
        self.counts.up += 1;
    }

    /// Repeats lost requests, gives up those that time out, and deletes calls whose time is over. Call it about every millisecond.
    pub fn handle_timeout(&mut self, now: Now) {
        let mut again = Vec::new();
        for outcome in self.ng.handle_timeout(now.ns, &mut again) {
            self.handle_outcome(now, outcome);
        }
        let (socket, to) = self.setting.ng;
        again.iter().for_each(|datagram| self.out.push(socket, to, datagram));
        for call in 0..self.calls.len() {
            let LoadCall { state, since, .. } = self.calls[call];
            match state {
                CallState::Connecting => self.look_after(now, call, since),
                CallState::Up if self.setting.hold_ns.is_some_and(|hold| now.ns >= since + hold) => {
                    self.delete(now.ns, call);
                }
                _ => {}
            }
        }
    }

    /// The handshake of a call.
    fn look_after(&mut self, now: Now, call: usize, since: Ns) {
        let leg = 2 * call;
        if now.ns > since + CONNECT_MAX_NS {
            return self.fail(call, "no DTLS within 10 s");
        }
        let mut out = Vec::new();
        let Some(whatsapp) = self.legs[leg].whatsapp.as_mut() else { return };
        let keys = whatsapp.handle_timeout(now.instant, &mut out);
        if let Some(to) = self.legs[leg].remote {
            out.iter().for_each(|datagram| self.out.push(self.setting.places[leg].socket, to, datagram));
        }
        if let Some(keys) = keys {
            self.take_keys(now.ns, leg, &keys);
        }
    }

    fn handle_outcome(&mut self, now: Now, CommandOutcome { call, verb, reply, took }: CommandOutcome) {
        let wanted = match verb {
            LoadVerb::Offer => CallState::Offered,
            LoadVerb::Answer => CallState::Answered,
            LoadVerb::Delete => CallState::Deleting,
        };
        if self.calls[call].state != wanted {
            return;
        }
        let Some(reply) = reply else { return self.fail(call, format!("no reply to {verb:?}")) };
        self.counts.replies.entry(verb).or_default().add(took);
        if reply["result"] != "ok" {
            let reason = reply["error-reason"].as_str().or(reply["message"].as_str()).unwrap_or("no reason");
            return self.fail(call, format!("{verb:?}: {reason}"));
        }
        let sdp = reply["sdp"].as_str().unwrap_or_default();
        match verb {
            LoadVerb::Offer => match self.settle(2 * call + 1, sdp) {
                Ok(theirs) => self.answer(now.ns, call, &theirs),
                Err(reason) => self.fail(call, format!("the offer's reply: {reason}")),
            },
            LoadVerb::Answer => match self.settle(2 * call, sdp) {
                Ok(theirs) => self.begin(now, call, theirs.passive),
                Err(reason) => self.fail(call, format!("the answer's reply: {reason}")),
            },
            LoadVerb::Delete => {
                self.calls[call].state = CallState::Over;
                self.counts.deleted += 1;
                self.forget(call);
            }
        }
    }

    /// Takes the engine's description for `leg`: its address and its key.
    fn settle(&mut self, leg: usize, sdp: &str) -> Result<EngineSdp, String> {
        let theirs = EngineSdp::read(sdp, self.legs[leg].out.codec)?;
        let CallEnd { remote, security, key, out, incoming, .. } = &mut self.legs[leg];
        *remote = Some(theirs.address);
        (out.pt, incoming.pt) = (theirs.pt, theirs.pt);
        if *security == SideSecurity::Sdes {
            let (_, their_key) = theirs.key.as_ref().ok_or("no a=crypto in our suite")?;
            out.secure(key);
            incoming.secure(their_key);
        }
        self.by_source.insert((self.setting.places[leg].socket, theirs.address), leg);
        Ok(theirs)
    }

    fn answer(&mut self, now: Ns, call: usize, theirs: &EngineSdp) {
        let leg = 2 * call + 1;
        let sdp = self.legs[leg].describe(&self.setting, leg, Some(theirs));
        self.calls[call].state = CallState::Answered;
        let request = self.setting.manner.answer(self.setting.work, &self.id(call), &sdp);
        self.ask(now, call, LoadVerb::Answer, &request);
    }

    /// The engine has both descriptions.
    fn begin(&mut self, now: Now, call: usize, client: bool) {
        self.calls[call].since = now.ns;
        let leg = &mut self.legs[2 * call];
        match &mut leg.whatsapp {
            // Some engines connect before they are answered.
            Some(_) if leg.out.srtp.is_some() => self.come_up(now.ns, call),
            Some(whatsapp) => {
                whatsapp.start(now.instant, client);
                self.calls[call].state = CallState::Connecting;
            }
            None => self.come_up(now.ns, call),
        }
    }

    /// A later call may be given the same ports.
    fn forget(&mut self, call: usize) {
        for leg in [2 * call, 2 * call + 1] {
            if let Some(remote) = self.legs[leg].remote {
                let source = (self.setting.places[leg].socket, remote);
                if self.by_source.get(&source) == Some(&leg) {
                    self.by_source.remove(&source);
                }
            }
            self.legs[leg].whatsapp = None;
        }
    }
}
