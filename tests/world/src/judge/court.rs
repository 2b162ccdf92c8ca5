//! Carries out the steps of a trial: what the peers and their signalling do, and what each party may expect.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_core::CallId;
use trestle_peers::{Codec, MetaReport};
use trestle_wire::Pt;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::read_header;

use super::Judged;
use super::desk::Desk;
use super::hostile::Stranger;
use super::signalling::phone_address;
use super::step::{MediaVerb, Peer, Step, Trial, Weather};
use crate::actor::ActorId;
use crate::net::{Datagram, Link};
use crate::setup::TrestleSetup;
use crate::world::World;

/// Datagrams of Trestle in the trace of a finding.
const LAST_SENT: usize = 60;
/// A peer hangs up this long after its call was deleted.
const HANG_UP_AFTER: Duration = Duration::from_millis(300);
/// So much is filled after a stall that is as short as a late timer.
const FILLED_MAX_MS: u32 = 60;
/// What a slow and jittery link (`Weather`) has taken up before it was mended has arrived by then.
pub(super) const ON_THE_WAY_MS: u64 = 550;
/// Audio that waited for longer than this in the sockets is not sent any more (decision 0022).
const OLD_AUDIO_MAX_MS: u32 = 200;
/// Between two digits.
const DIGIT_PAUSE_MS: u64 = 250;

/// Names a party: number of the call, number of the party.
pub(super) type PartyId = (u8, usize);

/// One participant of a call.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) peer: Peer,
    pub(super) actor: ActorId,
    pub(super) tag: String,
    pub(super) branch: Option<String>,
    pub(super) hz: f64,
    /// Its last SDP.
    pub(super) sdp: String,
    /// What Trestle has written for it before it answered.
    pub(super) proposed: Option<String>,
    pub(super) is_answered: bool,
    /// Who it must have audio with.
    pub(super) talks_to: Option<PartyId>,
    pub(super) is_holding: bool,
    pub(super) is_moved: bool,
    pub(super) codecs: u8,
    pub(super) moves: u16,
    /// Its link has lost, repeated or delayed datagrams.
    pub(super) is_disturbed: bool,
}

/// A call as its signalling knows it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) parties: Vec<Party>,
    pub(super) is_over: bool,
    /// A request with another meaning was accepted for this call: nothing is expected of it any more.
    pub(super) is_muddled: bool,
    pub(super) is_shut: bool,
    pub(super) is_closed: bool,
}

impl Party {
    /// The packet time of what it sends, and of what it is sent.
    fn ptime_ms(&self) -> u32 {
        match self.peer {
            Peer::WhatsApp(_) => 20,
            Peer::Sip(kind) => kind.ptime_ms,
        }
    }

    /// False if its last SDP holds the call, or answers one that does.
    pub(super) fn is_talking(&self) -> bool {
        !["a=sendonly", "a=recvonly", "a=inactive"].iter().any(|line| self.sdp.contains(line))
    }

    /// True if it can be sent Opus, whose decoder remembers what it decoded before.
    pub(super) fn has_opus(&self) -> bool {
        match self.peer {
            Peer::WhatsApp(_) => true,
            Peer::Sip(_) => super::CODECS[usize::from(self.codecs) % super::CODECS.len()].contains(&Codec::Opus),
        }
    }

    /// True if this payload type is that of telephone-events in the SDP of either side.
    fn is_event(&self, pt: Pt) -> bool {
        let line = format!("a=rtpmap:{} telephone-event/", pt.get());
        self.sdp.contains(&line) || self.proposed.as_ref().is_some_and(|sdp| sdp.contains(&line))
    }
}

/// A trial in progress.
pub(super) struct Court {
    pub(super) world: World,
    pub(super) desk: Desk,
    pub(super) cases: BTreeMap<u8, Case>,
    pub(super) judged: Judged,
    /// How long all digits of the trial last.
    pub(super) digits: Duration,
    stranger: Stranger,
    /// Whose datagrams the stranger copies.
    copied: Option<PartyId>,
    mailbox_full_until: Option<Instant>,
    hang_ups: Vec<(Instant, ActorId, bool)>,
    trace: Vec<String>,
}

impl Court {
    pub(super) fn new(trial: &Trial) -> Self {
        let mut setup = TrestleSetup::new(trial.seed);
        setup.shard_seed = std::array::from_fn(|n| trial.seed.to_le_bytes()[n % 8].wrapping_add(n as u8));
        setup.ports = [20_000, 20_000 + 2 * trial.port_pairs];
        let mut world = World::unannounced(setup);
        world.trestle().set_opus_complexity(0);
        world.capture();
        let desk = Desk::default();
        Self {
            stranger: Stranger::new(&mut world),
            world,
            desk,
            cases: BTreeMap::new(),
            judged: Judged::default(),
            digits: Duration::ZERO,
            copied: None,
            mailbox_full_until: None,
            hang_ups: Vec::new(),
            trace: Vec::new(),
        }
    }

    pub(super) fn trace(&self) -> &[String] {
        &self.trace
    }

    /// The last datagrams that Trestle has sent.
    pub(super) fn last_sent(&self) -> Vec<String> {
        let sent = self.world.captured();
        let start = crate::instant_zero();
        let lines = sent[sent.len().saturating_sub(LAST_SENT)..].iter().map(|(at, datagram)| {
            let (kind, ms) = (DatagramKind::of(&datagram.bytes), (*at - start).as_millis());
            let what = match (kind, read_header(&datagram.bytes)) {
                (Some(DatagramKind::Rtp), Ok(header)) => {
                    format!("RTP pt {} seq {} time {}", header.pt.get(), header.seq.0, header.time.0)
                }
                _ => format!("{kind:?}, {} bytes", datagram.bytes.len()),
            };
            format!("{ms:>6} ms  {} -> {}  {what}", datagram.from, datagram.to)
        });
        lines.collect()
    }

    pub(super) fn note(&mut self, text: String) {
        let at = self.world.elapsed_ms();
        self.trace.push(format!("{at:>6} ms  {text}"));
    }

    /// Runs the trial to its end.
    pub(super) fn play(&mut self, steps: &[Step]) {
        for step in steps {
            self.note(format!("{step:?}"));
            self.forget_ended();
            self.take(*step);
            self.check();
        }
        self.note("the faults are over".to_owned());
        self.judge_liveness();
        self.note("every call is deleted".to_owned());
        let calls: Vec<u8> = self.cases.keys().copied().collect();
        for call in calls {
            self.delete(call);
        }
        self.wait(1_000);
        self.check();
        self.desk.check_all_answered(&mut self.world);
        self.judged.replies = self.desk.replies;
        let list = self.desk.ask(&mut self.world, None, &json!({"command": "list", "limit": 1_000}));
        // What was damaged on its way may have opened calls of its own.
        let unknown = list["calls"].as_array().map_or(0, Vec::len)
            - self.cases.len().min(list["calls"].as_array().map_or(0, Vec::len));
        if unknown == 0 && self.cases.values().all(|case| !case.is_muddled) {
            assert_eq!(self.world.ports_in_use(), 0, "ports in use after every call was deleted");
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Wait { ms } => self.wait(ms.into()),
            Step::Offer { call, from, to, branches, shut } => self.offer(call, from, to, branches, shut),
            Step::Answer { call, party } => self.answer(call, party.into()),
            Step::ReOffer { call, party, change } => self.re_offer(call, party.into(), change),
            Step::Gate { call, open } => self.gate(call, open),
            Step::Media { call, party, verb } => self.media(call, party, verb),
            Step::Play { call, party, digit, ms } => self.play_digit(call, party.into(), digit, ms),
            Step::Press { call, party, digit, ms } => self.press(call, party.into(), digit, ms),
            Step::Connect { call, party, with_call, with } => {
                self.connect((call, party.into()), (with_call, with.into()));
            }
            Step::EndBranch { call, party } => self.end_branch(call, party.into()),
            Step::Delete { call } => self.delete(call),
            Step::Query { call } => {
                if let Some(id) = self.cases.get(&call).map(|case| case.id.clone()) {
                    self.ask(call, json!({"command": "query", "call-id": id, "flags": ["verbose"]}));
                }
            }
            Step::Repeat { back, anew } => {
                let muddled = self.desk.repeat(&mut self.world, back, anew);
                self.muddle(muddled);
            }
            Step::Garble { back, seed } => {
                let muddled = self.desk.garble(&mut self.world, back, seed);
                self.muddle(muddled);
            }
            Step::Wire { call, party, weather } => {
                self.end_copies((call, party.into()));
                if let Some(ip) = self.address_of((call, party.into())).map(|at| at.ip()) {
                    self.world.set_link(ip, link(weather));
                }
                if let Some(party) = self.party_mut((call, party.into())) {
                    party.is_disturbed |= weather != Weather::Fair;
                }
            }
            Step::Move { call, party } => self.move_phone((call, party.into())),
            Step::Talk { call, party, on } => self.talk((call, party.into()), on),
            Step::NewStream { call, party } => {
                if let Some((actor, Peer::Sip(_))) = self.actor((call, party.into())) {
                    self.world.phone(actor).change_ssrc();
                }
            }
            Step::Hostile { seed, times } => {
                self.judged.hostile += self.stranger.attack(&mut self.world, seed, times);
            }
            Step::Copy { call, party, ms } => {
                let id = (call, party.into());
                let Some(at) = self.address_of(id) else { return };
                let ip = at.ip();
                // A network that holds the originals back looks as if the peer had moved.
                self.world.set_link(ip, Link::CLEAN);
                if self.party(id).is_some_and(|party| party.is_disturbed) {
                    self.wait(ON_THE_WAY_MS);
                }
                // Of two addresses that deliver the same packets from the first one on, the faster one is followed (decision 0014):
                // what must not be followed is a copy of a peer that Trestle sends to already.
                if self.is_learnt(at) {
                    self.world.copy(ip, self.stranger.at(), ms.into());
                    self.copied = Some(id);
                }
            }
            Step::Stall { ms } => self.stall(ms.into()),
            Step::MailboxFull { ms } => {
                self.mailbox_full_until = Some(self.world.now() + Duration::from_millis(ms.into()));
                self.world.trestle().is_mailbox_full = true;
            }
            Step::Lose { call } => {
                if let Some(id) = self.engine_call(call) {
                    self.world.trestle().lose(id);
                    self.over(call);
                }
            }
        }
    }

    /// What holds after each step.
    fn check(&mut self) {
        self.world.trestle().check_held();
        let strays = self.world.received_by_stranger(self.stranger.actor()).len();
        assert_eq!(strays, 0, "datagrams sent to a stranger");
        for case in self.cases.values() {
            for party in &case.parties {
                let Peer::WhatsApp(_) = party.peer else { continue };
                let MetaReport { stream, ice, .. } = self.world.meta(party.actor).report();
                assert!(stream.ssrcs.len() <= 1, "WhatsApp receives the SSRCs {:?}", stream.ssrcs);
                assert_eq!(stream.early_packets, 0, "WhatsApp receives media before the call is accepted");
                if case.is_muddled {
                    continue;
                }
                assert_eq!(stream.auth_failures, stream.copies, "WhatsApp receives packets that do not authenticate");
                assert_eq!(stream.unknown_pt, 0, "WhatsApp receives payload types that were not agreed");
                // On a link that loses or delays, a packet may overtake the end of the handshake.
                let early = ice.map_or(0, |ice| ice.media_before_keys);
                assert!(early == 0 || party.is_disturbed, "WhatsApp receives {early} packets before it has their keys");
            }
        }
    }

    /// Lets time pass, with what falls due in it.
    pub(super) fn wait(&mut self, ms: u64) {
        let until = self.world.now() + Duration::from_millis(ms);
        loop {
            let now = self.world.now();
            let due = |at: &Instant| *at <= now;
            if self.mailbox_full_until.as_ref().is_some_and(due) {
                self.mailbox_full_until = None;
                self.world.trestle().is_mailbox_full = false;
            }
            let (done, later) = std::mem::take(&mut self.hang_ups).into_iter().partition(|(at, ..)| due(at));
            self.hang_ups = later;
            let done: Vec<(Instant, ActorId, bool)> = done;
            for (_, actor, is_phone) in done {
                if is_phone {
                    self.world.phone(actor).set_silent(true);
                } else {
                    self.world.meta(actor).set_silent(true);
                }
            }
            let next =
                self.hang_ups.iter().map(|(at, ..)| *at).chain(self.mailbox_full_until).fold(until, Instant::min);
            if now >= until {
                return;
            }
            self.world.run_for_ms(((next.max(now) - now).as_millis() as u64).max(1));
        }
    }

    pub(super) fn ask(&mut self, call: u8, request: Value) -> Value {
        self.desk.ask(&mut self.world, Some(call), &request)
    }

    /// Trestle may understand this call in another way than its peers. It may exist again.
    pub(super) fn muddle(&mut self, call: Option<u8>) {
        if let Some(case) = call.and_then(|call| self.cases.get_mut(&call)) {
            case.is_muddled = true;
            case.is_over = false;
        }
    }

    pub(super) fn party(&self, id: PartyId) -> Option<&Party> {
        self.cases.get(&id.0)?.parties.get(id.1)
    }

    pub(super) fn party_mut(&mut self, id: PartyId) -> Option<&mut Party> {
        self.cases.get_mut(&id.0)?.parties.get_mut(id.1)
    }

    /// The actor of a party of a call that is not over.
    pub(super) fn actor(&self, id: PartyId) -> Option<(ActorId, Peer)> {
        self.cases.get(&id.0).filter(|case| !case.is_over)?;
        self.party(id).map(|party| (party.actor, party.peer))
    }

    fn address_of(&mut self, id: PartyId) -> Option<SocketAddr> {
        let party = self.party(id)?;
        let (actor, peer) = (party.actor, party.peer);
        match peer {
            Peer::WhatsApp(_) => self.world.meta(actor).locals().first().copied(),
            Peer::Sip(_) => self.world.phone(actor).locals().first().copied(),
        }
    }

    /// True if Trestle sends media to the peer that sends from `at`, and the last RTP packet from there has come.
    fn is_learnt(&mut self, at: SocketAddr) -> bool {
        let is_rtp = |datagram: &Datagram| DatagramKind::of(&datagram.bytes) == Some(DatagramKind::Rtp);
        let mut received = self.world.received().iter().rev().map(|(_, datagram)| datagram);
        let last = received.find(|datagram| datagram.from.ip() == at.ip() && is_rtp(datagram));
        let Some(to) = last.filter(|last| last.from == at).map(|last| last.to) else { return false };
        let report = self.world.trestle().owner(to).and_then(|call| self.world.trestle().report(call));
        report.is_some_and(|report| report.legs.iter().any(|leg| leg.local == to && leg.remote == Some(at)))
    }

    /// Trestle does nothing for `ms`. Then it sends at most [`OLD_AUDIO_MAX_MS`] of what has waited (decision 0022).
    fn stall(&mut self, ms: u64) {
        self.world.stall(ms);
        self.wait(ms);
        let first = self.world.captured().len();
        self.wait(1);
        let every = || self.cases.values().flat_map(|case| &case.parties);
        // The source of a party's audio may be any other one.
        let shortest = every().map(Party::ptime_ms).min().unwrap_or(20);
        let longest = every().map(Party::ptime_ms).max().unwrap_or(20);
        // A packet more has begun before that time, a transcoder fills what it cannot tell from a loss, and a frame is due of its own.
        let allowed = (OLD_AUDIO_MAX_MS + longest + FILLED_MAX_MS).div_ceil(shortest) + 1;
        if every().any(|party| party.is_disturbed) || self.cases.values().any(|case| case.is_muddled) {
            // A network that delays delivers more than that within 200 ms.
            return;
        }
        let parties = self.cases.iter().flat_map(|(call, case)| (0..case.parties.len()).map(|number| (*call, number)));
        for id in parties.collect::<Vec<PartyId>>() {
            let (Some(at), Some(party)) = (self.address_of(id), self.party(id)) else { continue };
            let is_audio = |datagram: &Datagram| {
                datagram.to.ip() == at.ip()
                    && DatagramKind::of(&datagram.bytes) == Some(DatagramKind::Rtp)
                    && read_header(&datagram.bytes).is_ok_and(|header| !party.is_event(header.pt))
            };
            let sent = self.world.captured()[first..].iter().filter(|(_, datagram)| is_audio(datagram)).count();
            assert!(
                sent <= allowed as usize,
                "{sent} packets of audio at once towards {id:?} after a stall of {ms} ms, {allowed} are allowed"
            );
        }
    }

    /// The engine's number of a call: that of the port that was written for its first party.
    fn engine_call(&mut self, call: u8) -> Option<CallId> {
        let case = self.cases.get(&call).filter(|case| !case.is_over)?;
        let sdp = case.parties.iter().find_map(|party| party.proposed.as_deref())?;
        let port =
            sdp.lines().find_map(|line| line.strip_prefix("m=audio "))?.split(' ').next()?.parse::<u16>().ok()?;
        let ports = self.world.trestle().leg_ports();
        let at = ports.into_iter().find(|at| at.port() == port)?;
        self.world.trestle().owner(at)
    }

    pub(super) fn gate(&mut self, call: u8, open: bool) {
        let Some(case) = self.cases.get(&call).filter(|case| !case.is_over) else { return };
        let id = case.id.clone();
        let metas: Vec<ActorId> = case
            .parties
            .iter()
            .filter(|party| matches!(party.peer, Peer::WhatsApp(_)))
            .map(|party| party.actor)
            .collect();
        if open {
            // The application opens the gate because WhatsApp has accepted.
            metas.iter().for_each(|meta| self.world.meta(*meta).accepted());
        }
        let op = if open { "open" } else { "close" };
        let reply = self.ask(call, json!({"command": "gate", "call-id": id, "op": op}));
        if reply["result"] == "ok"
            && let Some(case) = self.cases.get_mut(&call)
        {
            case.is_shut = false;
            case.is_closed |= !open;
        }
    }

    pub(super) fn media(&mut self, call: u8, party: Option<u8>, verb: MediaVerb) {
        let Some(case) = self.cases.get(&call).filter(|case| !case.is_over) else { return };
        let verb = match verb {
            MediaVerb::Block => "block media",
            MediaVerb::Unblock => "unblock media",
            MediaVerb::Silence => "silence media",
            MediaVerb::Unsilence => "unsilence media",
            MediaVerb::BlockDigits => "block DTMF",
            MediaVerb::UnblockDigits => "unblock DTMF",
        };
        let mut request = json!({"command": verb, "call-id": case.id});
        match party.map(|party| case.parties.get(usize::from(party))) {
            None => request["flags"] = json!(["all"]),
            Some(Some(party)) => request["from-tag"] = party.tag.as_str().into(),
            Some(None) => return,
        }
        self.ask(call, request);
    }

    fn play_digit(&mut self, call: u8, number: usize, digit: u8, ms: u16) {
        let Some(tag) = self.party((call, number)).map(|party| party.tag.clone()) else { return };
        let id = self.cases[&call].id.clone();
        let request = json!({"command": "play DTMF", "call-id": id, "from-tag": tag, "code": digit, "duration": ms});
        self.ask(call, request);
        self.digits += Duration::from_millis(u64::from(ms) + DIGIT_PAUSE_MS);
    }

    fn press(&mut self, call: u8, number: usize, digit: u8, ms: u16) {
        let Some((actor, peer)) = self.actor((call, number)) else { return };
        let digit = char::from(b"0123456789*#ABCD"[usize::from(digit) % 16]);
        let length = Duration::from_millis(ms.into());
        match peer {
            Peer::WhatsApp(_) => self.world.meta(actor).press_for(digit, length),
            Peer::Sip(_) => self.world.phone(actor).press(digit, length),
        }
        self.digits += Duration::from_millis(u64::from(ms) + DIGIT_PAUSE_MS);
    }

    fn connect(&mut self, from: PartyId, to: PartyId) {
        if from == to || self.actor(from).is_none() || self.actor(to).is_none() {
            return;
        }
        let (Some(a), Some(b)) = (self.party(from), self.party(to)) else { return };
        let is_answered = a.is_answered && b.is_answered;
        let mut request = json!({
            "command": "connect", "call-id": self.cases[&from.0].id, "from-tag": a.tag, "to-tag": b.tag,
        });
        if from.0 != to.0 {
            request["to-call-id"] = self.cases[&to.0].id.as_str().into();
        }
        let reply = self.ask(from.0, request);
        if reply["result"] != "ok" {
            return;
        }
        assert!(
            is_answered || self.cases[&from.0].is_muddled || self.cases[&to.0].is_muddled,
            "a party is connected that has not answered"
        );
        self.part(from);
        self.part(to);
        for (party, other) in [(from, to), (to, from)] {
            if let Some(party) = self.party_mut(party) {
                party.talks_to = Some(other);
            }
        }
    }

    fn end_branch(&mut self, call: u8, number: usize) {
        let Some(case) = self.cases.get(&call).filter(|case| !case.is_over) else { return };
        let Some(party) = case.parties.get(number) else { return };
        let (Some(branch), false) = (party.branch.clone(), party.is_answered) else { return };
        let id = case.id.clone();
        let from = case.parties[0].tag.clone();
        let request = json!({"command": "delete", "call-id": id, "from-tag": from, "via-branch": branch});
        self.ask(call, request);
        if let Some(party) = self.party_mut((call, number)) {
            party.proposed = None;
        }
        let is_left = self.cases[&call].parties.iter().skip(1).any(|party| party.proposed.is_some());
        if !is_left {
            self.over(call);
        }
    }

    pub(super) fn delete(&mut self, call: u8) {
        let Some(case) = self.cases.get(&call) else { return };
        let id = case.id.clone();
        let reply = self.ask(call, json!({"command": "delete", "call-id": id}));
        // Without a reply yet, the call ends as soon as its shard takes commands again.
        if reply["result"] == "ok" || reply.is_null() {
            self.over(call);
        }
    }

    /// The call is no more; its peers notice it a little later.
    pub(super) fn over(&mut self, call: u8) {
        let at = self.world.now() + HANG_UP_AFTER;
        let Some(case) = self.cases.get_mut(&call) else { return };
        if std::mem::replace(&mut case.is_over, true) {
            return;
        }
        for party in &case.parties {
            self.hang_ups.push((at, party.actor, matches!(party.peer, Peer::Sip(_))));
        }
        let numbers = case.parties.len();
        (0..numbers).for_each(|number| self.part((call, number)));
    }

    /// A copy that arrives and an original that does not looks like a peer that has moved: the copier stops before the
    /// peer's link or address changes.
    fn end_copies(&mut self, id: PartyId) {
        if self.copied == Some(id) {
            self.world.copy(self.stranger.at().ip(), self.stranger.at(), 0);
            self.copied = None;
        }
    }

    pub(super) fn move_phone(&mut self, id: PartyId) {
        self.end_copies(id);
        let Some((actor, Peer::Sip(kind))) = self.actor(id) else { return };
        let Some(party) = self.party_mut(id) else { return };
        party.moves += 1;
        party.is_moved = true;
        let at = SocketAddr::new(phone_address(id.0, id.1, kind).ip(), 30_000 + 100 * party.moves);
        self.world.phone(actor).move_to(at);
    }

    pub(super) fn talk(&mut self, id: PartyId, on: bool) {
        match self.actor(id) {
            Some((actor, Peer::WhatsApp(_))) => self.world.meta(actor).set_silent(!on),
            Some((actor, Peer::Sip(_))) => self.world.phone(actor).set_silent(!on),
            None => {}
        }
    }

    /// Every fault of the network, the machine and the peers ends.
    pub(super) fn end_faults(&mut self) {
        self.world.copy(self.stranger.at().ip(), self.stranger.at(), 0);
        self.mailbox_full_until = None;
        self.world.trestle().is_mailbox_full = false;
        for call in self.cases.keys().copied().collect::<Vec<u8>>() {
            for number in 0..self.cases[&call].parties.len() {
                if let Some(at) = self.address_of((call, number)) {
                    self.world.set_link(at.ip(), Link::CLEAN);
                }
            }
        }
    }
}

fn link(weather: Weather) -> Link {
    match weather {
        Weather::Fair => Link::CLEAN,
        Weather::Losing(permille) => Link::CLEAN.losing(permille.into()),
        Weather::Bursty(permille) => Link::CLEAN.losing(permille.into()).bursty(9),
        Weather::Jittery(ms) => Link::CLEAN.jittery(ms.into()),
        Weather::Reordering(permille) => Link::CLEAN.reordering(permille.into()),
        Weather::Repeating(permille) => Link::CLEAN.repeating(permille.into()),
        Weather::Slow(ms) => Link::CLEAN.delayed(ms.into()),
        Weather::Down => Link::CLEAN.losing(1_000),
    }
}
