//! Carries out the steps of a trial: what the peers and their signalling do, and what each party may expect.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_core::CallId;
use trestle_peers::{Meta, MetaOptions, Phone, PhoneOptions, SdpError, Voice};

use super::desk::Desk;
use super::hostile::Stranger;
use super::step::{Change, Flavour, MediaVerb, Peer, PhoneKind, Step, Trial, Weather};
use super::{CODECS, Judged, SUITES};
use crate::actor::ActorId;
use crate::calls;
use crate::net::Link;
use crate::setup::TrestleSetup;
use crate::world::World;

/// Peak of a peer's tone.
const PEAK: i16 = 8_000;
/// A peer hangs up this long after its call was deleted.
const HANG_UP_AFTER: Duration = Duration::from_millis(300);
/// Between two digits.
const DIGIT_PAUSE_MS: u64 = 250;
/// Reasons with which a request may be refused although nothing is wrong with it.
const OF_WANT: [&str; 5] = ["Ran out of ports", "Parallel session limit", "Load limit", "load limit", "Busy"];

/// Names a party: number of the call, number of the party.
pub(super) type PartyId = (u8, usize);

/// One participant of a call.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) peer: Peer,
    pub(super) actor: ActorId,
    tag: String,
    branch: Option<String>,
    pub(super) hz: f64,
    /// Its last SDP.
    sdp: String,
    /// What Trestle has written for it before it answered.
    proposed: Option<String>,
    pub(super) is_answered: bool,
    /// Who it must have audio with.
    pub(super) talks_to: Option<PartyId>,
    pub(super) is_holding: bool,
    pub(super) is_moved: bool,
    codecs: u8,
    moves: u16,
    /// Its link has delivered datagrams twice, or later than its replay window is long.
    is_repeated: bool,
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

/// A trial in progress.
pub(super) struct Court {
    pub(super) world: World,
    pub(super) desk: Desk,
    pub(super) cases: BTreeMap<u8, Case>,
    pub(super) judged: Judged,
    /// How long all digits of the trial last.
    pub(super) digits: Duration,
    stranger: Stranger,
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
            mailbox_full_until: None,
            hang_ups: Vec::new(),
            trace: Vec::new(),
        }
    }

    pub(super) fn trace(&self) -> &[String] {
        &self.trace
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
                if let Some(ip) = self.address_of((call, party.into())).map(|at| at.ip()) {
                    self.world.set_link(ip, link(weather));
                }
                if let Some(party) = self.party_mut((call, party.into())) {
                    party.is_repeated |= matches!(weather, Weather::Repeating(_) | Weather::Reordering(_));
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
            Step::Stall { ms } => {
                self.world.stall(ms.into());
                self.wait(u64::from(ms) + 1);
            }
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
                let report = self.world.meta(party.actor).report().stream;
                assert!(report.ssrcs.len() <= 1, "WhatsApp receives the SSRCs {:?}", report.ssrcs);
                assert_eq!(report.early_packets, 0, "WhatsApp receives media before the call is accepted");
                // The second copy of a packet does not authenticate.
                if !case.is_muddled && !party.is_repeated {
                    assert_eq!(report.auth_failures, 0, "WhatsApp receives packets that do not authenticate");
                    assert_eq!(report.unknown_pt, 0, "WhatsApp receives payload types that were not agreed");
                }
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

    fn muddle(&mut self, call: Option<u8>) {
        if let Some(case) = call.and_then(|call| self.cases.get_mut(&call)) {
            case.is_muddled = true;
        }
    }

    pub(super) fn party(&self, id: PartyId) -> Option<&Party> {
        self.cases.get(&id.0)?.parties.get(id.1)
    }

    fn party_mut(&mut self, id: PartyId) -> Option<&mut Party> {
        self.cases.get_mut(&id.0)?.parties.get_mut(id.1)
    }

    /// The actor of a party of a call that is not over.
    fn actor(&self, id: PartyId) -> Option<(ActorId, Peer)> {
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

    fn new_party(&mut self, call: u8, number: usize, peer: Peer) -> Party {
        let now = self.world.now();
        let hz = 400.0 + 110.0 * f64::from(u32::from(call) * 4 + number as u32);
        let seed = 1 + u64::from(call) * 8 + number as u64;
        let voice = Voice::Tone { hz, peak: PEAK };
        let (actor, codecs) = match peer {
            Peer::WhatsApp(flavour) => {
                let at = SocketAddr::from(([31, 13, 64 + call, 60 + number as u8], 40_012));
                let options = MetaOptions { voice, seed, ..MetaOptions::new(at, flavour) };
                (self.world.add_meta(Meta::new(now, options)), 0)
            }
            Peer::Sip(kind) => {
                let options = phone_options(call, number, kind, voice, seed);
                (self.world.add_phone(Phone::new(now, options)), kind.codecs)
            }
        };
        Party {
            peer,
            actor,
            tag: format!("c{call}p{number}"),
            branch: None,
            hz,
            sdp: String::new(),
            proposed: None,
            is_answered: false,
            talks_to: None,
            is_holding: false,
            is_moved: false,
            codecs,
            moves: 0,
            is_repeated: false,
        }
    }

    fn offer(&mut self, call: u8, from: Peer, to: Peer, branches: u8, shut: bool) {
        if self.cases.contains_key(&call) {
            return;
        }
        let id = format!("call-{call}");
        let branches = if matches!(to, Peer::WhatsApp(_)) { 1 } else { usize::from(branches.clamp(1, 3)) };
        let mut parties = vec![self.new_party(call, 0, from)];
        parties.extend((1..=branches).map(|number| self.new_party(call, number, to)));
        let now = self.world.now();
        let caller = parties[0].actor;
        parties[0].sdp = match from {
            Peer::WhatsApp(_) => self.world.meta(caller).offer(now).expect("WhatsApp's offer"),
            Peer::Sip(_) => self.world.phone(caller).offer(),
        };
        let mut is_refused = true;
        for (number, party) in parties.iter_mut().enumerate().skip(1) {
            party.branch = (branches > 1).then(|| format!("z9hG4bK{number}"));
        }
        for number in 1..=branches {
            let mut request = towards(call, number, to, matches!(from, Peer::Sip(_)));
            request["command"] = "offer".into();
            request["call-id"] = id.as_str().into();
            request["from-tag"] = parties[0].tag.as_str().into();
            request["sdp"] = parties[0].sdp.as_str().into();
            if let Some(branch) = &parties[number].branch {
                request["via-branch"] = branch.as_str().into();
            }
            let has_gate = [from, to].iter().any(|peer| matches!(peer, Peer::WhatsApp(_)));
            if shut && has_gate {
                request["gate"] = "shut".into();
            }
            let reply = self.ask(call, request);
            parties[number].proposed = self.sdp_or_want(&reply, "an offer");
            is_refused &= parties[number].proposed.is_none();
        }
        let is_shut = shut && [from, to].iter().any(|peer| matches!(peer, Peer::WhatsApp(_)));
        if is_shut {
            for party in &parties {
                if matches!(party.peer, Peer::WhatsApp(_)) {
                    self.world.meta(party.actor).ring();
                }
            }
        }
        let case = Case { id, parties, is_over: is_refused, is_muddled: false, is_shut, is_closed: false };
        self.cases.insert(call, case);
    }

    /// The SDP of a reply, unless the request was refused for want of something.
    fn sdp_or_want(&mut self, reply: &Value, what: &str) -> Option<String> {
        if reply["result"] == "ok" {
            return Some(reply["sdp"].as_str().unwrap_or_else(|| panic!("no SDP: {reply}")).to_owned());
        }
        self.note(format!("{what} is refused: {reply}"));
        let text = reply.to_string();
        assert!(OF_WANT.iter().any(|want| text.contains(want)), "{what} is refused: {reply}");
        None
    }

    fn answer(&mut self, call: u8, number: usize) {
        let Some(case) = self.cases.get(&call).filter(|case| !case.is_over && number > 0) else { return };
        let (id, is_muddled) = (case.id.clone(), case.is_muddled);
        let Some(party) = case.parties.get(number).filter(|party| !party.is_answered) else { return };
        let Some(proposed) = party.proposed.clone() else { return };
        let (actor, peer, tag, branch) = (party.actor, party.peer, party.tag.clone(), party.branch.clone());
        let from = case.parties[0].tag.clone();
        let now = self.world.now();
        let answer = match peer {
            Peer::WhatsApp(_) => self.world.meta(actor).answer(now, &proposed),
            Peer::Sip(_) => self.world.phone(actor).answer(now, &proposed),
        };
        let answer = answer.unwrap_or_else(|error| panic!("{error:?} in\n{proposed}"));
        let mut request = json!({"command": "answer", "call-id": id, "from-tag": from, "to-tag": tag, "sdp": answer});
        if let Some(branch) = branch {
            request["via-branch"] = branch.into();
        }
        let reply = self.ask(call, request);
        if let Some(party) = self.party_mut((call, number)) {
            party.sdp = answer;
        }
        let written = if is_muddled && reply["result"] != "ok" {
            None
        } else if reply["error-reason"].as_str().is_some_and(|reason| reason.starts_with("Unknown call-id")) {
            // Time has ended it.
            self.over(call);
            None
        } else {
            self.sdp_or_want(&reply, "an answer")
        };
        let Some(written) = written else {
            // The peer believes in its answer, Trestle does not.
            self.muddle(Some(call));
            return;
        };
        let is_first = !self.cases[&call].parties.iter().any(|party| party.is_answered);
        let now = self.world.now();
        let (caller, kind) = (self.cases[&call].parties[0].actor, self.cases[&call].parties[0].peer);
        let accepted = match kind {
            Peer::WhatsApp(_) if is_first => self.world.meta(caller).accept(now, &written),
            // WhatsApp takes one answer.
            Peer::WhatsApp(_) => Ok(()),
            Peer::Sip(_) => self.world.phone(caller).accept(now, &written),
        };
        if !is_muddled {
            accepted.unwrap_or_else(|error| panic!("{error:?} in\n{written}"));
        }
        let Some(case) = self.cases.get_mut(&call) else { return };
        case.parties[0].is_answered = true;
        case.parties[number].is_answered = true;
        if is_first {
            case.parties[0].talks_to = Some((call, number));
            case.parties[number].talks_to = Some((call, 0));
        } else {
            // A second answer is settled by `connect`.
            self.part((call, 0));
        }
    }

    /// The party talks to none, and none to it, as far as the judge can know.
    fn part(&mut self, id: PartyId) {
        for (call, case) in &mut self.cases {
            for (number, party) in case.parties.iter_mut().enumerate() {
                if (*call, number) == id || party.talks_to == Some(id) {
                    party.talks_to = None;
                }
            }
        }
    }

    pub(super) fn re_offer(&mut self, call: u8, number: usize, change: Change) {
        let Some((actor, Peer::Sip(kind))) = self.actor((call, number)) else { return };
        let Some(party) = self.party((call, number)).filter(|party| party.is_answered) else { return };
        let Some(other) = party.talks_to.filter(|other| other.0 == call) else { return };
        let (tag, old_codecs) = (party.tag.clone(), party.codecs);
        let id = self.cases[&call].id.clone();
        let (other_tag, other_actor, other_peer, other_sdp) = match self.party(other) {
            Some(other) => (other.tag.clone(), other.actor, other.peer, other.sdp.clone()),
            None => return,
        };
        match change {
            Change::Hold => self.world.phone(actor).set_hold(true),
            Change::Resume => self.world.phone(actor).set_hold(false),
            // Opus has no frames of 30 ms.
            Change::Codecs(codecs) if names(codecs).contains(&"opus") && kind.ptime_ms == 30 => return,
            Change::Codecs(codecs) => {
                self.world.phone(actor).set_codecs(CODECS[usize::from(codecs) % CODECS.len()].to_vec());
            }
            Change::Address => self.move_phone((call, number)),
            Change::Keys => self.world.phone(actor).renew_keys(),
            Change::Nothing | Change::Refused => {}
        }
        let sdp = self.world.phone(actor).offer();
        let mut offer = json!({"command": "offer", "call-id": id, "from-tag": tag, "to-tag": other_tag, "sdp": sdp});
        if let Some(codecs) =
            self.party(other).filter(|other| matches!(other.peer, Peer::Sip(_))).map(|other| other.codecs)
        {
            offer["codec"] = json!({ "transcode": names(codecs) });
        }
        let reply = self.ask(call, offer);
        let is_muddled = self.cases[&call].is_muddled;
        let proposed =
            if is_muddled { reply["sdp"].as_str().map(str::to_owned) } else { self.sdp_or_want(&reply, "a re-offer") };
        let now = self.world.now();
        let answer = match (proposed, other_peer) {
            (None, _) => None,
            _ if change == Change::Refused => None,
            // WhatsApp is not offered again; what it has answered is valid.
            (Some(_), Peer::WhatsApp(_)) => Some(other_sdp),
            (Some(proposed), Peer::Sip(_)) => match self.world.phone(other_actor).answer(now, &proposed) {
                Ok(answer) => Some(answer),
                Err(SdpError::NoCodec) if matches!(change, Change::Codecs(_)) => None,
                Err(_) if is_muddled => None,
                Err(error) => panic!("{error:?} in\n{proposed}"),
            },
        };
        let written = answer.clone().and_then(|answer| {
            let request =
                json!({"command": "answer", "call-id": id, "from-tag": tag, "to-tag": other_tag, "sdp": answer});
            let reply = self.ask(call, request);
            if is_muddled {
                reply["sdp"].as_str().map(str::to_owned)
            } else {
                self.sdp_or_want(&reply, "the answer to a re-offer")
            }
        });
        match (written, answer) {
            (Some(written), Some(answer)) => {
                let now = self.world.now();
                let accepted = self.world.phone(actor).accept(now, &written);
                if !is_muddled {
                    accepted.unwrap_or_else(|error| panic!("{error:?} in\n{written}"));
                }
                if let Some(other) = self.party_mut(other) {
                    other.sdp = answer;
                }
                if let Some(party) = self.party_mut((call, number)) {
                    party.sdp = sdp;
                    party.is_moved = false;
                    match change {
                        Change::Hold => party.is_holding = true,
                        Change::Resume => party.is_holding = false,
                        Change::Codecs(codecs) => party.codecs = codecs,
                        _ => {}
                    }
                }
            }
            (None, Some(_)) => self.muddle(Some(call)),
            (_, None) => {
                // Refused: everything stays as it was.
                let was_holding = self.party((call, number)).is_some_and(|party| party.is_holding);
                self.world.phone(actor).set_hold(was_holding);
                self.world.phone(actor).set_codecs(CODECS[usize::from(old_codecs) % CODECS.len()].to_vec());
                if change == Change::Keys {
                    self.muddle(Some(call));
                }
            }
        }
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

    fn move_phone(&mut self, id: PartyId) {
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

fn phone_address(call: u8, number: usize, kind: PhoneKind) -> SocketAddr {
    if kind.ipv6 {
        SocketAddr::from(([0x2001, 0xdb8, 1, call.into(), 0, 0, 0, 10 + number as u16], 30_000))
    } else {
        SocketAddr::from(([198, 18, call, 10 + number as u8], 30_000))
    }
}

fn phone_options(call: u8, number: usize, kind: PhoneKind, voice: Voice, seed: u64) -> PhoneOptions {
    let rtp = phone_address(call, number, kind);
    PhoneOptions {
        sends_from: kind.nat.then(|| SocketAddr::new(rtp.ip(), 41_000)),
        suites: SUITES[usize::from(kind.suites) % SUITES.len()].to_vec(),
        codecs: CODECS[usize::from(kind.codecs) % CODECS.len()].to_vec(),
        event_pt: kind.digits.then_some(101),
        ptime_ms: kind.ptime_ms,
        rtcp_mux: kind.mux,
        voice,
        seed,
        ..PhoneOptions::new(rtp)
    }
}

fn names(codecs: u8) -> Vec<&'static str> {
    CODECS[usize::from(codecs) % CODECS.len()].iter().map(|codec| calls::codec_name(*codec)).collect()
}

/// What a proxy knows of the next hop.
fn towards(call: u8, number: usize, to: Peer, from_phone: bool) -> Value {
    match to {
        Peer::WhatsApp(Flavour::WebRtc) => json!({"profile": "whatsapp", "transport-protocol": "UDP/TLS/RTP/SAVPF"}),
        Peer::WhatsApp(Flavour::Sdes) => json!({"profile": "whatsapp", "transport-protocol": "RTP/SAVP"}),
        Peer::Sip(kind) => {
            let options = phone_options(call, number, kind, Voice::Silence, 0);
            let mut flags = calls::towards(&options);
            if from_phone {
                flags["codec"] = json!({ "transcode": names(kind.codecs) });
            }
            flags
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
