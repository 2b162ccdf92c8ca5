//! One message on its way through the session: who is who, and what is the same for offers and answers.

use rand_chacha::ChaCha12Rng;
use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::plan::Source;
use trestle_core::{InterfaceId, LegId};
use trestle_ng::command::Switch;
use trestle_wire::Ssrc;

use super::description::Description;
use super::error::unbridgeable;
use super::party::Party;
use super::secrets::Secrets;
use super::session::{Session, Step};
use super::{Environment, NegotiationError, transport};
use trestle_ng::command::Signal;
use trestle_ng::command::flags::{Flags, ProfileName, Tos};
use trestle_sdp::Crypto;
use trestle_sdp::Protocol;
use trestle_sdp::{Remote, Security};

/// One message being worked on, with the session as it will be.
pub(super) struct Exchange<'a> {
    pub(super) session: Session,
    pub(super) signal: &'a Signal,
    pub(super) environment: &'a Environment,
    pub(super) rng: &'a mut ChaCha12Rng,
    pub(super) removed: Vec<LegId>,
    /// Those that hear nobody any more.
    pub(super) left: Vec<LegId>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        session: &Session,
        signal: &'a Signal,
        environment: &'a Environment,
        rng: &'a mut ChaCha12Rng,
    ) -> Self {
        let session = session.clone();
        Self { session, signal, environment, rng, removed: Vec::new(), left: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn flags(&self) -> &'a Flags {
        &self.signal.flags
    }

    /// A leg without ICE keeps its address family with its port.
    pub(super) fn check_family(&self, index: usize, remote: &Remote) -> Result<(), NegotiationError> {
        let party = &self.session.parties[index];
        match remote.address() {
            Some(address) if remote.security != Security::Dtls && address.is_ipv6() != party.ipv6 => {
                let (said, has) = if party.ipv6 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
                let reason = format!("its address is {said}, but the leg was set up with {has}");
                Err(unbridgeable(remote.media(), reason))
            }
            _ => Ok(()),
        }
    }

    /// The callee, offered to last, that no answer has named.
    pub(super) fn nameless_callee_of(&self, offerer: usize) -> Option<usize> {
        let leg = self.session.parties[offerer].leg;
        self.session.parties.iter().rposition(|party| party.offered_by == Some(leg) && party.tags.is_empty())
    }

    /// Makes two parties each other's peers. Who hears whom changes with an answer; an offer fills what is empty, but takes
    /// nobody from a party that talks already, and lets nobody listen to one that talks to somebody else. Whoever has heard
    /// either of two that an answer brings together hears it no longer: a call that was passed on is no business of the one
    /// who passed it on.
    ///
    /// Whom `connect` has put together, only the answer of or to a party that is new takes apart: the one that was left may
    /// well offer again (session timers, RFC 4028), and means nothing by it.
    pub(super) fn pair(&mut self, one: usize, other: usize, answered: bool) {
        let parties = &self.session.parties;
        let (first, second) = (&parties[one], &parties[other]);
        let joined_elsewhere =
            |party: &Party, to: &Party| self.session.joined_to(party).is_some_and(|leg| leg != to.leg);
        let is_new = !(first.answered && second.answered);
        if !is_new && (joined_elsewhere(first, second) || joined_elsewhere(second, first)) {
            return;
        }
        let talks_to = |party: &Party| match party.hears {
            Source::Leg(leg) => self.session.party(leg).filter(|speaker| speaker.answered).map(|speaker| speaker.leg),
            Source::Nothing => None,
        };
        let fills = |listener: &Party, speaker: &Party| {
            talks_to(listener).is_none() && talks_to(speaker).is_none_or(|leg| leg == listener.leg)
        };
        let changes =
            [(one, second.leg, answered || fills(first, second)), (other, first.leg, answered || fills(second, first))];
        for (listener, speaker, hears) in changes {
            let listener = &mut self.session.parties[listener];
            listener.peer = Some(speaker);
            if hears && listener.hears != Source::Leg(speaker) {
                (listener.hears, listener.joined) = (Source::Leg(speaker), false);
            }
        }
        if answered {
            let (first, second) = (changes[1].1, changes[0].1);
            for party in self.session.parties.iter_mut().filter(|party| ![first, second].contains(&party.leg)) {
                if matches!(party.hears, Source::Leg(leg) if leg == first || leg == second) {
                    (party.hears, party.joined) = (Source::Nothing, false);
                    self.left.push(party.leg);
                }
            }
        }
    }

    /// A peer that shows us our own key would have both directions encrypted alike, or has nothing of its own.
    pub(super) fn refuse_echoed_keys(&self, remote: &Remote) -> Result<(), NegotiationError> {
        let ours = |crypto: &&Crypto| self.session.parties.iter().any(|party| party.secrets.owns(&crypto.key));
        match remote.cryptos.iter().find(ours) {
            Some(_) => {
                let line = remote.media().attribute("crypto").map_or(&remote.media().line, |attribute| attribute.line);
                Err(NegotiationError::Sdp(trestle_sdp::RemoteError::Unbridgeable(
                    line.error("the key is one of ours; a peer must bring its own"),
                )))
            }
            None => Ok(()),
        }
    }

    /// The name that the message gives its receiver.
    pub(super) fn label_receiver(&mut self, index: usize) {
        if let Some(label) = &self.signal.flags.call.to_label {
            self.session.parties[index].label = Some(label.clone());
        }
    }

    /// Flags about the party that sends the message.
    pub(super) fn take_flags(&mut self, index: usize) {
        let flags = self.flags();
        let (latch, media_address) = transport::latch(self.signal);
        let party = &mut self.session.parties[index];
        (party.latch, party.media_address) = (latch, media_address);
        party.detect_tones |= flags.has(Switch::DetectDtmf);
        party.blocked.digits |= flags.has(Switch::BlockDtmf);
        if flags.call.label.is_some() {
            party.label.clone_from(&flags.call.label);
        }
        if let Some(drop) = flags.media.drop_traffic {
            self.session.blocked.media = drop;
        }
        for party in &mut self.session.parties {
            match flags.media.tos {
                Tos::Byte(byte) => party.tos = Some(byte),
                Tos::Default | Tos::Keep => {}
            }
        }
    }

    /// The interface that the message names for its sender (0) or its receiver (1).
    pub(super) fn interface(&self, side: usize) -> Result<InterfaceId, NegotiationError> {
        let flags = self.flags();
        let name = flags.routing.direction.as_ref().map(|names| &names[side]).or(flags.routing.interface.as_ref());
        self.environment.interface(name.map(String::as_str)).map_err(NegotiationError::Flags)
    }

    /// IPv6 or not, as wanted; the other family if the interface has only that and it need not be.
    pub(super) fn family(&self, interface: InterfaceId, ipv6: bool, must: bool) -> Result<bool, NegotiationError> {
        let has = |ipv6: bool| self.environment.advertised(interface, ipv6).is_some();
        match (has(ipv6), has(!ipv6)) {
            (true, _) => Ok(ipv6),
            (false, true) if !must => Ok(!ipv6),
            _ => {
                let family = if ipv6 { "IPv6" } else { "IPv4" };
                Err(NegotiationError::Flags(format!("the interface has no {family} address")))
            }
        }
    }

    pub(super) fn add(
        &mut self,
        kind: (ProfileName, Protocol, Security),
        interface: InterfaceId,
        ipv6: bool,
        ssrcs: &[Ssrc],
    ) -> Result<usize, NegotiationError> {
        if self.session.parties.len() == LEGS_PER_CALL_MAX {
            let unanswered = self.session.parties.iter().find(|party| party.we_offered && !party.answered);
            let leg = unanswered.map(|party| party.leg).ok_or(NegotiationError::TooManyLegs)?;
            self.remove_leg(leg);
        }
        let mut taken: Vec<Ssrc> = ssrcs.to_vec();
        for party in &self.session.parties {
            taken.push(party.secrets.ssrc);
            taken.extend(party.remote.iter().flat_map(|remote| remote.ssrcs.iter().copied()));
        }
        let secrets = Secrets::draw(self.rng, &taken);
        let leg = LegId(self.session.next_leg);
        self.session.next_leg = self.session.next_leg.checked_add(1).ok_or(NegotiationError::TooManyLegs)?;
        self.session.parties.push(Party::new(leg, secrets, kind, interface, ipv6));
        Ok(self.session.parties.len() - 1)
    }

    pub(super) fn remove_leg(&mut self, leg: LegId) {
        self.session.parties.retain(|party| party.leg != leg);
        self.removed.push(leg);
        for party in &mut self.session.parties {
            if party.hears == Source::Leg(leg) {
                party.hears = Source::Nothing;
            }
            for known in [&mut party.peer, &mut party.offered_by] {
                *known = known.filter(|known| *known != leg);
            }
        }
    }

    /// The outcome; plans of the parties at these places, in this order, and of those that were left.
    pub(super) fn finish(self, changed: &[usize], description: Description) -> Result<Step, NegotiationError> {
        let parties = &self.session.parties;
        let plan = |index: &usize| (parties[*index].leg, self.session.plan(&parties[*index]));
        let left = self.left.iter().filter_map(|leg| parties.iter().position(|party| party.leg == *leg));
        let left: Vec<usize> = left.filter(|index| !changed.contains(index)).collect();
        let legs = changed.iter().chain(&left).map(plan).collect();
        let Self { session, removed, warnings, .. } = self;
        Ok(Step { session, legs, removed, description, warnings })
    }
}

pub(super) fn whatsapp_is_fixed(what: &str) -> NegotiationError {
    NegotiationError::WhatsappIsFixed(format!(
        "the WhatsApp party {what} other SDP than before, but what was agreed with WhatsApp cannot be changed; repeat the \
         known SDP, change the other side instead (offer and answer there), or use another call-id for another call"
    ))
}
