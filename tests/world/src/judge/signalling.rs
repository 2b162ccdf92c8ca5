//! Signalling between the peers of a call, through Trestle: offers, answers and re-offers.

use std::net::SocketAddr;

use serde_json::{Value, json};
use trestle_peers::{Meta, MetaOptions, Phone, PhoneOptions, SdpError, Voice};

use super::court::{Case, Court, Party, PartyId};
use super::step::{Change, Flavour, Peer, PhoneKind};
use super::{CODECS, SUITES};
use crate::calls;

/// Peak of a peer's tone.
const PEAK: i16 = 8_000;
/// Reasons with which a request may be refused although nothing is wrong with it.
const OF_WANT: [&str; 5] = ["Ran out of ports", "Parallel session limit", "Load limit", "load limit", "Busy"];

impl Court {
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
            is_disturbed: false,
        }
    }

    pub(super) fn offer(&mut self, call: u8, from: Peer, to: Peer, branches: u8, shut: bool) {
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

    pub(super) fn answer(&mut self, call: u8, number: usize) {
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
    pub(super) fn part(&mut self, id: PartyId) {
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
}

pub(super) fn phone_address(call: u8, number: usize, kind: PhoneKind) -> SocketAddr {
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
