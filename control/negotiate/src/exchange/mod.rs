//! One offer or answer on its way through a session.

mod addresses;
mod answer;
mod create;
mod describe;
mod offer;

use std::net::IpAddr;

use trestle_ng::command::Switch;

use rand_chacha::ChaCha12Rng;
use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::plan::{Fingerprint, LegPlan};
use trestle_core::{InterfaceId, LegId};
use trestle_ng::command::Signal;
use trestle_ng::command::flags::{Flags, ProfileName, Tos};
use trestle_sdp::{PeerDescription, PeerDescriptionError, Security};
use trestle_wire::Ssrc;

use crate::error::{DescriptionKind, FlagsError, unbridgeable};
use crate::party::{Endpoint, Party, PartyGate, PartyKind, PartyNames, Routing, SdpTemplate, Secrets};
use crate::session::{Session, routing};
use crate::{Environment, NegotiationError};

/// The outcome of an offer or an answer.
#[derive(Debug)]
pub struct NegotiationStep {
    /// The session after the message, to be committed once the engine has applied the plans.
    pub session: Session,
    /// Plans to apply: the sender's leg, the receiver's, and those of parties that have no source any more.
    pub legs: Vec<(LegId, LegPlan)>,
    /// Legs to remove: earlier attempts that were not answered.
    pub removed: Vec<LegId>,
    /// The SDP for the receiver, once the ports are known.
    pub description: SdpTemplate,
    /// Where the sender of the SDP receives media, as far as it states that: `c=`, or its first candidate.
    pub caller: Option<IpAddr>,
    /// What was not done as asked, one sentence each.
    pub warnings: Vec<String>,
}

impl Session {
    /// An offer: `signal.sdp` of the party `signal.from_tag`, to be described to the other side.
    ///
    /// The same offer again gives the same plans and the same text. Another text from the same tag is a re-offer: ports,
    /// SSRCs and our keys stay, and media stays as agreed until the answer.
    ///
    /// # Errors
    ///
    /// The SDP or the flags cannot be used, or the offer does not fit the exchanges so far. The session is as before.
    pub fn offer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<NegotiationStep, NegotiationError> {
        offer::offer(Exchange::new(self, signal, environment, rng))
    }

    /// An answer: `signal.sdp` of the party `signal.to_tag`, to the offer of `signal.from_tag`. Both legs' media is then as
    /// the answer agrees.
    ///
    /// # Errors
    ///
    /// As [`Session::offer`].
    pub fn answer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<NegotiationStep, NegotiationError> {
        answer::answer(Exchange::new(self, signal, environment, rng))
    }

    /// An offer of our own to the party `signal.from_tag`, which is made for it; `signal.sdp` is ignored.
    ///
    /// # Errors
    ///
    /// As [`Session::offer`].
    pub fn create(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<NegotiationStep, NegotiationError> {
        create::create(Exchange::new(self, signal, environment, rng))
    }

    /// That party's answer. It has no receiver; the description is that of the offer.
    ///
    /// # Errors
    ///
    /// As [`Session::offer`].
    pub fn create_answer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<NegotiationStep, NegotiationError> {
        create::create_answer(Exchange::new(self, signal, environment, rng))
    }
}

/// Why a first description with port 0 is of no use.
const AUDIO_REFUSED: &str = "the audio is refused (port 0)";

/// Branches of removed legs that a call remembers: those of one fork to very many.
const REMOVED_BRANCHES_MAX: usize = 64;

/// A message, and the session as it will be.
struct Exchange<'a> {
    session: Session,
    signal: &'a Signal,
    environment: &'a Environment,
    rng: &'a mut ChaCha12Rng,
    removed: Vec<LegId>,
    /// Legs that have no source any more.
    left: Vec<LegId>,
    warnings: Vec<String>,
}

impl<'a> Exchange<'a> {
    fn new(session: &Session, signal: &'a Signal, environment: &'a Environment, rng: &'a mut ChaCha12Rng) -> Self {
        let session = session.clone();
        Self { session, signal, environment, rng, removed: Vec::new(), left: Vec::new(), warnings: Vec::new() }
    }

    fn flags(&self) -> &'a Flags {
        &self.signal.flags
    }

    fn party(&self, index: usize) -> &Party {
        &self.session.parties[index]
    }

    fn party_mut(&mut self, index: usize) -> &mut Party {
        &mut self.session.parties[index]
    }

    fn unknown_tag(&self, tag: &str) -> NegotiationError {
        let known = self.session.parties.iter().flat_map(|party| party.tags().iter().cloned()).collect();
        NegotiationError::UnknownTag { tag: tag.to_owned(), known }
    }

    /// The callee, offered to last, that no answer has named.
    fn unanswered_callee(&self, offerer: usize) -> Option<usize> {
        let leg = self.party(offerer).leg();
        let is_unnamed = |party: &Party| party.routing.offered_by() == Some(leg) && party.names.is_unnamed();
        self.session.parties.iter().rposition(is_unnamed)
    }

    /// What every description of a party must satisfy, given what is agreed with it.
    fn check(&self, index: usize, remote: &PeerDescription, kind: DescriptionKind) -> Result<(), NegotiationError> {
        let party = self.party(index);
        if party.is_fixed() && party.remote().is_some_and(|known| known.text != remote.text) {
            return Err(NegotiationError::WhatsappIsFixed(kind));
        }
        if remote.is_ended() && !party.answered() {
            return Err(unbridgeable(remote.media(), AUDIO_REFUSED));
        }
        self.check_family(party, remote)?;
        self.check_keys(remote)
    }

    /// A leg without ICE keeps its address family with its port.
    fn check_family(&self, party: &Party, remote: &PeerDescription) -> Result<(), NegotiationError> {
        let ipv6 = party.endpoint.ipv6;
        match remote.address() {
            Some(address) if remote.security != Security::Dtls && !remote.is_ended() && address.is_ipv6() != ipv6 => {
                let (given, has) = if ipv6 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
                let reason = format!("its address is {given}, but the leg was set up with {has}");
                Err(unbridgeable(remote.media(), reason))
            }
            _ => Ok(()),
        }
    }

    /// A peer that offers our own key would have both directions encrypted alike (RFC 4568 section 7), or has no key of its own.
    /// With the key or the certificate of another call its media would go from Trestle to Trestle.
    fn check_keys(&self, remote: &PeerDescription) -> Result<(), NegotiationError> {
        let Environment { own_keys, fingerprint, .. } = self.environment;
        let (name, reason) = if remote.cryptos.iter().any(|crypto| own_keys.contains(&crypto.key)) {
            ("crypto", "the key is one of ours, of this call or another; give the SDP that the peer itself has sent")
        } else if remote.ice.as_ref().is_some_and(|ice| ice.fingerprints.contains(&Fingerprint::Sha256(*fingerprint))) {
            ("fingerprint", "the certificate is ours; give the SDP that the peer itself has sent")
        } else {
            return Ok(());
        };
        // The attribute may be at session level.
        let line = remote.media().attribute(name).map_or(&remote.media().line, |attribute| attribute.line);
        Err(NegotiationError::Sdp(PeerDescriptionError::Unbridgeable(line.error(reason))))
    }

    /// Makes two parties each other's peers.
    fn pair(&mut self, one: usize, other: usize, answered: bool) {
        self.left.extend(routing::pair(&mut self.session.parties, one, other, answered));
    }

    /// The label that the message gives its receiver.
    fn label_receiver(&mut self, index: usize) {
        if let Some(label) = &self.flags().call.to_label {
            self.party_mut(index).names.set_label(label);
        }
    }

    /// Flags about the sender of the message, and about the call, that no peer has to agree to.
    fn take_flags(&mut self, index: usize) {
        let flags = self.flags();
        let party = self.party_mut(index);
        party.preferences.detect_inband_dtmf |= flags.has(Switch::DetectDtmf);
        if flags.has(Switch::BlockDtmf) {
            party.muted.set(trestle_ng::command::MediaKind::Digits, true);
        }
        if let Some(label) = &flags.call.label {
            party.names.set_label(label);
        }
        if let Some(drop) = flags.media.drop_traffic {
            self.session.muted.set(trestle_ng::command::MediaKind::AudioAndDigits, drop);
        }
        if let Tos::Byte(byte) = flags.media.tos {
            self.session.parties.iter_mut().for_each(|party| party.preferences.tos = Some(byte));
        }
    }

    /// Flags about gates, for the WhatsApp parties among these. Must be called before the exchange counts as complete:
    /// see [`PartyGate::apply`].
    fn take_gate_flags(&mut self, indexes: &[usize]) {
        let flags = self.flags().gate;
        let mut applied = false;
        for &index in indexes {
            let policy = &self.environment.gate_policy;
            let party = &mut self.session.parties[index];
            if party.profile() != ProfileName::Whatsapp {
                continue;
            }
            applied = true;
            let answered = party.answered();
            let gate = party.gate.get_or_insert_with(|| PartyGate::new(policy));
            if !gate.apply(&flags, answered) {
                self.warnings.push("the gate is closed and stays so; open another call".to_owned());
            }
        }
        if !applied && flags != Default::default() {
            let text = "gate, gate-timeout, gate-on-timeout, pre-roll and filler are for WhatsApp; neither party is it";
            self.warnings.push(text.to_owned());
        }
    }

    /// The interface that the message names for its sender (0) or its receiver (1).
    fn interface(&self, side: usize) -> Result<InterfaceId, NegotiationError> {
        let flags = self.flags();
        let name = flags.routing.direction.as_ref().map(|names| &names[side]).or(flags.routing.interface.as_ref());
        self.environment.interface(name.map(String::as_str)).map_err(NegotiationError::Flags)
    }

    /// True for IPv6. Unless the family is required, the other one if the interface has only that.
    fn family(&self, interface: InterfaceId, ipv6: bool, required: bool) -> Result<bool, NegotiationError> {
        let has = |ipv6: bool| self.environment.advertised(interface, ipv6).is_some();
        match (has(ipv6), has(!ipv6)) {
            (true, _) => Ok(ipv6),
            (false, true) if !required => Ok(!ipv6),
            _ => Err(NegotiationError::Flags(FlagsError::NoAddress { ipv6 })),
        }
    }

    /// Adds a party; in a full call it replaces an earlier attempt that was not answered. `ssrcs` are those of its peer.
    fn add(
        &mut self,
        endpoint: Endpoint,
        names: PartyNames,
        routing: Routing,
        ssrcs: &[Ssrc],
    ) -> Result<usize, NegotiationError> {
        if self.session.parties.len() == LEGS_PER_CALL_MAX {
            let mut attempts =
                self.session.parties.iter().filter(|party| party.endpoint.we_offered && !party.answered());
            let attempt = attempts.next().ok_or(NegotiationError::TooManyLegs)?;
            let (leg, branches) = (attempt.leg(), attempt.names.branches().to_vec());
            self.remove_leg(leg);
            // Its answer may still come.
            let removed = &mut self.session.removed_branches;
            removed.extend(branches);
            removed.drain(..removed.len().saturating_sub(REMOVED_BRANCHES_MAX));
        }
        let mut taken: Vec<Ssrc> = ssrcs.to_vec();
        for party in &self.session.parties {
            taken.push(party.secrets.ssrc);
            taken.extend(party.remote().iter().flat_map(|remote| remote.ssrcs.iter().copied()));
        }
        let leg = self.session.next_leg()?;
        let secrets = Secrets::draw(self.rng, self.environment.own_ssrcs, &taken);
        let mut party = Party::new(leg, secrets, endpoint, names, routing);
        party.preferences.tos = self.environment.default_tos;
        Ok(self.session.add(party))
    }

    /// Adds a party that gets an offer of `offerer`, or of Trestle itself.
    fn add_callee(&mut self, kind: PartyKind, offerer: Option<LegId>, ipv6: bool) -> Result<usize, NegotiationError> {
        let interface = self.interface(1)?;
        let (wanted, required) = match self.flags().routing.address_family {
            Some(family) => (family == trestle_ng::command::flags::AddressFamily::Ip6, true),
            // WhatsApp's relays have both; every sample of Meta's SDP is reached by IPv4.
            None => (ipv6 && kind.profile != ProfileName::Whatsapp, false),
        };
        let ipv6 = self.family(interface, wanted, required)?;
        let endpoint = Endpoint { kind, interface, ipv6, we_offered: true };
        let names = PartyNames::of_callee(self.signal.to_tag.clone(), self.signal.via_branch.clone());
        self.session.removed_branches.retain(|branch| !names.has_branch(branch));
        self.add(endpoint, names, Routing::offered_by_leg(offerer), &[])
    }

    fn remove_leg(&mut self, leg: LegId) {
        self.session.remove_leg(leg);
        self.removed.push(leg);
    }

    /// The outcome: plans of the parties at these places, the sender first, and of those that have no source any more.
    fn finish(self, changed: &[usize], sender: Option<&PeerDescription>, description: SdpTemplate) -> NegotiationStep {
        let parties = &self.session.parties;
        let caller = sender.map(|remote| {
            let candidate = remote.ice.as_ref().and_then(|ice| ice.candidates.first());
            candidate.map_or(remote.addresses.rtp, |candidate| candidate.address).ip()
        });
        let plan = |index: &usize| (parties[*index].leg(), self.session.plan(&parties[*index]));
        let left = self.left.iter().filter_map(|leg| parties.iter().position(|party| party.leg() == *leg));
        let left: Vec<usize> = left.filter(|index| !changed.contains(index)).collect();
        let legs = changed.iter().chain(&left).map(plan).collect();
        let Self { session, removed, warnings, .. } = self;
        NegotiationStep { session, legs, removed, description, caller, warnings }
    }
}
