//! One call's negotiation.

use rand_chacha::ChaCha12Rng;
use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::plan::{DtlsRole, LegPlan, Source};
use trestle_core::{InterfaceId, LegId};
use trestle_wire::Ssrc;

use super::description::Description;
use super::party::Party;
use super::profile::Outgoing;
use super::remote::{Remote, Security};
use super::secrets::Secrets;
use super::write_sip::Draft;
use super::{Environment, NegotiationError, codecs, profile, transport, write_meta, write_sip};
use crate::op::Signal;
use crate::op::flags::{AddressFamily, Flags, ProfileName, Tos};
use crate::sdp::{Crypto, Direction, Setup};

/// What negotiation remembers of a call.
#[derive(Debug, Clone, Default)]
pub struct Session {
    parties: Vec<Party>,
    next_leg: u16,
}

/// What an offer or an answer leads to.
#[derive(Debug)]
pub struct Step {
    /// The session from now on, provided that the engine takes the plans.
    pub session: Session,
    /// Plans to apply, the sender's leg first.
    pub legs: Vec<(LegId, LegPlan)>,
    /// Legs that are no more: earlier attempts that nobody answered.
    pub removed: Vec<LegId>,
    /// What the receiver is told, once the ports are known.
    pub description: Description,
    /// What was not done as asked, one sentence each.
    pub warnings: Vec<String>,
}

impl Session {
    /// The parties in order of appearance.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// The party of this tag.
    pub fn party_by_tag(&self, tag: &str) -> Option<&Party> {
        self.parties.iter().find(|party| party.has_tag(tag))
    }

    /// The party of this leg.
    pub fn party(&self, leg: LegId) -> Option<&Party> {
        self.parties.iter().find(|party| party.leg == leg)
    }

    /// An offer: `signal.from_tag` says `signal.sdp`, and the other side is to be told.
    ///
    /// The same offer again gives the same plans and the same text. Other text from the same tag is a re-offer: ports,
    /// SSRCs and our keys stay.
    pub fn offer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<Step, NegotiationError> {
        Exchange::new(self, signal, environment, rng).offer()
    }

    /// An answer: `signal.to_tag` says `signal.sdp` in answer to what `signal.from_tag` offered.
    pub fn answer(
        &self,
        signal: &Signal,
        environment: &Environment,
        rng: &mut ChaCha12Rng,
    ) -> Result<Step, NegotiationError> {
        Exchange::new(self, signal, environment, rng).answer()
    }

    fn index_of_tag(&self, tag: &str) -> Option<usize> {
        self.parties.iter().position(|party| party.has_tag(tag))
    }

    fn unknown_tag(&self, tag: &str) -> NegotiationError {
        let known = self.parties.iter().flat_map(|party| party.tags.iter().cloned()).collect();
        NegotiationError::UnknownTag { tag: tag.to_owned(), known }
    }
}

/// One message being worked on, with the session as it will be.
struct Exchange<'a> {
    session: Session,
    signal: &'a Signal,
    environment: &'a Environment,
    rng: &'a mut ChaCha12Rng,
    removed: Vec<LegId>,
    warnings: Vec<String>,
}

impl<'a> Exchange<'a> {
    fn new(session: &Session, signal: &'a Signal, environment: &'a Environment, rng: &'a mut ChaCha12Rng) -> Self {
        let session = session.clone();
        Self { session, signal, environment, rng, removed: Vec::new(), warnings: Vec::new() }
    }

    fn flags(&self) -> &'a Flags {
        &self.signal.flags
    }

    fn offer(mut self) -> Result<Step, NegotiationError> {
        let flags = self.flags();
        if flags.dtls_fingerprint.as_deref().is_some_and(|hash| hash != "sha-256") {
            self.warnings.push("DTLS-fingerprint ignored: ours is sha-256".to_owned());
        }
        let known = self.session.party_by_tag(&self.signal.from_tag);
        let formats = known.map(|party| party.told_formats.clone()).unwrap_or_default();
        let prefer_sdes = flags.sdes.prefer || known.is_some_and(|party| party.security == Security::Sdes);
        let remote = Remote::read(&self.signal.sdp, &formats, prefer_sdes)?;
        let sender = self.offering_party(&remote)?;
        self.take_offer(sender, remote)?;
        let receiver = self.offered_party(sender)?;
        self.pair(sender, receiver, false);
        self.session.parties[receiver].offered_by = Some(self.session.parties[sender].leg);

        let description = if self.session.parties[receiver].is_fixed() {
            self.warnings.push(
                "WhatsApp is never offered again: it has this very SDP already. Do not send it; answer the other side \
                 with command answer and the last SDP that WhatsApp gave"
                    .to_owned(),
            );
            self.told(receiver)?
        } else {
            self.describe_offer(sender, receiver)?
        };
        self.finish(sender, receiver, description)
    }

    /// The party that offers; made, or made anew, if need be.
    fn offering_party(&mut self, remote: &Remote) -> Result<usize, NegotiationError> {
        if let Some(index) = self.known_offerer() {
            self.check_family(index, remote)?;
            let party = &self.session.parties[index];
            if party.is_fixed() && party.remote.as_ref().is_some_and(|known| known.text != remote.text) {
                return Err(whatsapp_is_fixed("offers"));
            }
            if party.security == remote.security {
                return Ok(index);
            }
            if party.answered {
                let reason = "a leg keeps the way in which its media is secured; offer it under another call-id";
                return Err(super::remote::unbridgeable(remote.media(), reason));
            }
            // Another try after a refusal, with another protocol: nothing was agreed, so begin again.
            self.remove_unanswered(index);
        }
        let kind = (profile::of_sender(remote), remote.protocol, remote.security);
        let interface = self.interface(0)?;
        let ipv6 = self.family(interface, remote.prefers_ipv6(), remote.security != Security::Dtls)?;
        let index = self.add(kind, interface, ipv6, &remote.ssrcs)?;
        let party = &mut self.session.parties[index];
        party.tags.push(self.signal.from_tag.clone());
        party.tos = self.environment.default_tos;
        Ok(index)
    }

    /// The party of from-tag; or a callee that offers before an answer has named it.
    fn known_offerer(&mut self) -> Option<usize> {
        let tag = &self.signal.from_tag;
        if let Some(index) = self.session.index_of_tag(tag) {
            return Some(index);
        }
        let other = self.session.index_of_tag(self.signal.to_tag.as_deref()?)?;
        let index = self.nameless_callee_of(other)?;
        self.session.parties[index].tags.push(tag.clone());
        Some(index)
    }

    /// A leg without ICE keeps its address family with its port.
    fn check_family(&self, index: usize, remote: &Remote) -> Result<(), NegotiationError> {
        let party = &self.session.parties[index];
        match remote.address() {
            Some(address) if remote.security != Security::Dtls && address.is_ipv6() != party.ipv6 => {
                let (said, has) = if party.ipv6 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
                let reason = format!("its address is {said}, but the leg was set up with {has}");
                Err(super::remote::unbridgeable(remote.media(), reason))
            }
            _ => Ok(()),
        }
    }

    /// Enters what the sender of an offer says.
    fn take_offer(&mut self, index: usize, remote: Remote) -> Result<(), NegotiationError> {
        let flags = self.flags();
        self.refuse_echoed_keys(&remote)?;
        self.take_flags(index);
        let answerable = codecs::answerable(&remote, flags, &mut self.warnings);
        let first = !self.session.parties[index].answered;
        if first && remote.rtp.port() == 0 {
            return Err(super::remote::unbridgeable(remote.media(), "the audio is refused (port 0)"));
        }
        let party = &mut self.session.parties[index];
        match party.security {
            Security::Plain => {}
            Security::Sdes => {
                let index = transport::choose_crypto(&remote, party.suite_in_use(), &flags.sdes)?;
                party.crypto = Some(index);
                party.secrets.key(remote.cryptos[index].key.profile(), self.rng);
            }
            Security::Dtls => {
                if party.dtls_role == DtlsRole::Either {
                    party.dtls_role = transport::answer_setup(remote.setup, party.profile, flags.dtls).1;
                }
            }
        }
        let must = party.security == Security::Dtls || party.profile == ProfileName::Whatsapp;
        party.rtcp_mux = must || (remote.rtcp_mux && !flags.rtcp_mux.reject);
        party.we_offered = party.we_offered && party.answered;
        // A codec that is offered no more is not sent any more.
        if party.send.as_ref().is_some_and(|send| {
            !answerable.iter().any(|format| format.pt == send.pt && format.codec() == Some(send.codec))
        }) {
            party.send = None;
        }
        let (receive, events) =
            codecs::receive(&party.told_formats, &remote.formats, party.profile == ProfileName::Whatsapp);
        (party.receive, party.receive_events) = (receive, events);
        party.answerable = answerable;
        party.ptime_ms = flags.ptime_reverse_ms.or(party.ptime_ms);
        party.remote = Some(remote);
        Ok(())
    }

    /// The party that is offered to; made, or made anew, if need be.
    fn offered_party(&mut self, sender: usize) -> Result<usize, NegotiationError> {
        let flags = self.flags();
        let found = self.find_offered(sender);
        let from = &self.session.parties[sender];
        let remote =
            from.remote.clone().ok_or_else(|| NegotiationError::OutOfPlace("nothing was offered".to_owned()))?;
        let outgoing = profile::of_receiver(&remote, from.profile, flags);
        let (sender_ipv6, sender_leg) = (from.ipv6, from.leg);
        if let Some(index) = found {
            let party = &self.session.parties[index];
            if party.answered {
                // What it is was settled with its first exchange; flags that say otherwise now change nothing.
                return Ok(index);
            }
            let outgoing = outgoing?;
            let interface = self.interface(1)?;
            let same = (party.profile, party.protocol, party.security, party.interface)
                == (outgoing.profile, outgoing.protocol, outgoing.security, interface);
            if same {
                return Ok(index);
            }
            // Another try after a refusal, offering something else.
            let leg = party.leg;
            self.remove_leg(leg);
            return self.new_callee(outgoing, sender_leg, sender_ipv6);
        }
        self.new_callee(outgoing?, sender_leg, sender_ipv6)
    }

    fn new_callee(&mut self, outgoing: Outgoing, sender: LegId, ipv6: bool) -> Result<usize, NegotiationError> {
        let flags = self.flags();
        let interface = self.interface(1)?;
        let (wanted, must) = match flags.address_family {
            Some(family) => (family == AddressFamily::Ip6, true),
            None => (ipv6, false),
        };
        let ipv6 = self.family(interface, wanted, must)?;
        let kind = (outgoing.profile, outgoing.protocol, outgoing.security);
        let index = self.add(kind, interface, ipv6, &[])?;
        let party = &mut self.session.parties[index];
        party.via_branch = self.signal.via_branch.clone();
        party.tags.extend(self.signal.to_tag.clone());
        party.we_offered = true;
        party.offered_by = Some(sender);
        party.tos = self.environment.default_tos;
        Ok(index)
    }

    /// By to-tag, else by via-branch, else whoever was offered to last.
    fn find_offered(&self, sender: usize) -> Option<usize> {
        let from = &self.session.parties[sender];
        let callees = || self.session.parties.iter().enumerate().filter(|(_, p)| p.offered_by == Some(from.leg));
        if let Some(tag) = &self.signal.to_tag {
            return match self.session.index_of_tag(tag) {
                Some(index) if index != sender => Some(index),
                _ => self.nameless_callee_of(sender),
            };
        }
        match &self.signal.via_branch {
            // A branch that is new is a fork, or a request repeated with credentials: a leg of its own either way.
            Some(branch) => callees().find(|(_, party)| party.via_branch.as_ref() == Some(branch)).map(|(i, _)| i),
            None => callees().next_back().map(|(index, _)| index),
        }
    }

    /// The callee, offered to last, that no answer has named.
    fn nameless_callee_of(&self, offerer: usize) -> Option<usize> {
        let leg = self.session.parties[offerer].leg;
        self.session.parties.iter().rposition(|party| party.offered_by == Some(leg) && party.tags.is_empty())
    }

    fn describe_offer(&mut self, sender: usize, receiver: usize) -> Result<Description, NegotiationError> {
        let flags = self.flags();
        let from = &self.session.parties[sender];
        let remote =
            from.remote.clone().ok_or_else(|| NegotiationError::OutOfPlace("nothing was offered".to_owned()))?;
        let from_profile = from.profile;
        let to = &self.session.parties[receiver];
        let formats = codecs::for_receiver(&remote, from_profile, to.profile, flags, &mut self.warnings)?;
        let suites = match to.security {
            Security::Sdes if !to.answered => transport::suites_to_offer(to.profile, &remote, &flags.sdes)?,
            // In use already: nothing else is offered, so that nothing changes.
            Security::Sdes => to.suite_in_use().into_iter().collect(),
            _ => Vec::new(),
        };
        let to = &mut self.session.parties[receiver];
        let mux = flags.rtcp_mux;
        let always = to.security == Security::Dtls || to.profile == ProfileName::Whatsapp;
        let passed_on = remote.rtcp_mux && from_profile == ProfileName::Sip;
        let offer_mux = always
            || mux.offer
            || mux.require
            || to.rtcp_mux
            || (passed_on && !mux.demux && !mux.reject && !mux.accept)
            || (remote.rtcp_mux && mux.accept);
        to.rtcp_mux = always || mux.require || (to.answered && to.rtcp_mux);
        to.ptime_ms = flags.ptime_ms.or(to.ptime_ms);
        to.offered_suites = suites;
        let mut cryptos = Vec::new();
        for (index, suite) in to.offered_suites.clone().into_iter().enumerate() {
            let key = to.secrets.key(suite, self.rng);
            cryptos.push(Crypto::text(index as u32 + 1, &key, flags.sdes.pad, flags.sdes.lifetime));
        }
        (to.receive, to.receive_events) = codecs::receive(
            &formats,
            to.remote.as_ref().map_or(&[], |remote| &remote.formats),
            to.profile == ProfileName::Whatsapp,
        );
        to.told_formats = formats;
        let draft = DraftInput {
            base: remote.clone(),
            cryptos,
            direction: remote.direction,
            setup: Some(Setup::ActPass),
            rtcp_mux: offer_mux,
            offering: true,
            ptime_ms: self.session.parties[receiver].ptime_ms.or(remote.ptime_ms),
        };
        self.describe(receiver, draft)
    }

    fn answer(mut self) -> Result<Step, NegotiationError> {
        let flags = self.flags();
        let offerer = self
            .session
            .index_of_tag(&self.signal.from_tag)
            .ok_or_else(|| self.session.unknown_tag(&self.signal.from_tag))?;
        let answerer = self.answering_party(offerer)?;
        let party = &self.session.parties[answerer];
        let prefer_sdes = party.security == Security::Sdes;
        let remote = Remote::read(&self.signal.sdp, &party.told_formats, prefer_sdes)?;
        if party.is_fixed() && party.remote.as_ref().is_some_and(|known| known.text != remote.text) {
            return Err(whatsapp_is_fixed("answers"));
        }
        if remote.rtp.port() == 0 && !party.answered {
            return Err(super::remote::unbridgeable(remote.media(), "the audio is refused (port 0)"));
        }
        self.check_family(answerer, &remote)?;
        self.refuse_echoed_keys(&remote)?;
        self.take_flags(answerer);
        self.name_answerer(answerer);
        self.pair(offerer, answerer, true);

        let party = &mut self.session.parties[answerer];
        if profile::of_sender(&remote) == ProfileName::Whatsapp {
            // Offered to as a browser, answers as Meta: from now on Meta's rules.
            party.profile = ProfileName::Whatsapp;
        }
        if !party.is_fixed() {
            transport::take_answer(party, &remote)?;
        }
        let choice = codecs::choose(&self.session.parties[offerer], &self.session.parties[answerer], &remote, flags)?;
        let offered_events = self.session.parties[answerer].told_formats.clone();
        let event = remote.events().find(|event| event.clock_hz == 8_000).or_else(|| remote.events().next()).cloned();

        let party = &mut self.session.parties[answerer];
        let whatsapp = party.profile == ProfileName::Whatsapp;
        let event = event.or_else(|| {
            let offered = offered_events.iter().find(|format| format.event_clock().is_some());
            offered.filter(|_| whatsapp).cloned()
        });
        party.send = Some(codecs::send_format(party, &remote, &choice.to_answerer, event.as_ref(), &flags.codec));
        (party.receive, party.receive_events) = codecs::receive(&offered_events, &remote.formats, whatsapp);
        party.answerable = remote.codecs();
        party.remote = Some(remote.clone());
        party.answered = true;

        let description = self.describe_answer(offerer, choice, remote)?;
        self.finish(answerer, offerer, description)
    }

    /// The party that answers: by to-tag, else by via-branch, else whoever has not been named, else whoever was offered
    /// to last, of which this is a fork further down the road.
    fn answering_party(&self, offerer: usize) -> Result<usize, NegotiationError> {
        let leg = self.session.parties[offerer].leg;
        let tag = self.signal.to_tag.as_deref().unwrap_or_default();
        let of_offerer = |index: &usize| self.session.parties[*index].offered_by == Some(leg);
        let by_tag = self.session.index_of_tag(tag).filter(|index| *index != offerer);
        if self.session.index_of_tag(tag) == Some(offerer) {
            let reason = "from-tag and to-tag name the same party; from-tag is the offerer, to-tag the answerer";
            return Err(NegotiationError::OutOfPlace(reason.to_owned()));
        }
        let by_branch = || {
            let branch = self.signal.via_branch.as_ref()?;
            let matches = |party: &Party| party.offered_by == Some(leg) && party.via_branch.as_ref() == Some(branch);
            self.session.parties.iter().position(matches)
        };
        let last = || self.session.parties.iter().rposition(|party| party.offered_by == Some(leg));
        let index =
            by_tag.or_else(by_branch).or_else(|| self.nameless_callee_of(offerer)).or_else(last).ok_or_else(|| {
                NegotiationError::OutOfPlace(format!(
                    "nobody was offered what \"{}\" said; the offer comes first",
                    self.signal.from_tag.escape_debug()
                ))
            })?;
        if !of_offerer(&index) || self.session.parties[index].told.is_none() {
            return Err(NegotiationError::OutOfPlace(format!(
                "\"{}\" was offered nothing by \"{}\"",
                tag.escape_debug(),
                self.signal.from_tag.escape_debug()
            )));
        }
        Ok(index)
    }

    fn name_answerer(&mut self, answerer: usize) {
        let Some(tag) = self.signal.to_tag.clone() else { return };
        let party = &mut self.session.parties[answerer];
        if party.has_tag(&tag) {
            return;
        }
        if self.signal.flags.new_branch {
            // Its port is the one that was offered, so it is the same leg; but the earlier name is let go of.
            party.tags.clear();
        }
        // Forks beyond this are not told apart any more; the newest names count.
        if party.tags.len() == 8 {
            party.tags.remove(1);
        }
        party.tags.push(tag);
    }

    fn describe_answer(
        &mut self,
        offerer: usize,
        choice: codecs::Choice,
        remote: Remote,
    ) -> Result<Description, NegotiationError> {
        let flags = self.flags();
        let party = &self.session.parties[offerer];
        let own =
            party.remote.clone().ok_or_else(|| NegotiationError::OutOfPlace("it has offered nothing".to_owned()))?;
        if let Some(wanted) = flags.transport_protocol.filter(|wanted| *wanted != party.protocol) {
            self.warnings.push(format!(
                "transport-protocol={} ignored: an answer keeps the offer's {}",
                wanted.as_str(),
                party.protocol.as_str()
            ));
        }
        let codecs::Choice { answer, to_offerer, .. } = choice;
        let event = answer.iter().find(|format| format.event_clock().is_some()).cloned();
        // The encoder obeys what the offerer said of its decoder, not what it is told of the other side's.
        let own_format = own.formats.iter().find(|format| format.pt == to_offerer.pt).unwrap_or(&to_offerer);
        let send = codecs::send_format(party, &own, own_format, event.as_ref(), &flags.codec);
        let whatsapp = party.profile == ProfileName::Whatsapp;
        let receive = codecs::receive(&answer, &own.formats, whatsapp);
        let fixed = party.is_fixed();
        let party = &mut self.session.parties[offerer];
        party.send = Some(send);
        (party.receive, party.receive_events) = receive;
        if fixed {
            return self.told(offerer);
        }
        let (setup, role) = match party.dtls_role {
            DtlsRole::Server => (Setup::Passive, DtlsRole::Server),
            DtlsRole::Client => (Setup::Active, DtlsRole::Client),
            DtlsRole::Either => transport::answer_setup(own.setup, party.profile, flags.dtls),
        };
        party.dtls_role = role;
        let mut cryptos = Vec::new();
        if party.security == Security::Sdes
            && let Some(crypto) = party.crypto.and_then(|index| own.cryptos.get(index))
        {
            let key = party.secrets.key(crypto.key.profile(), self.rng);
            cryptos.push(Crypto::text(crypto.tag, &key, flags.sdes.pad, flags.sdes.lifetime));
        }
        party.told_formats = answer;
        let draft = DraftInput {
            cryptos,
            direction: if flags.original_sendrecv { remote.direction } else { remote.direction.within(own.direction) },
            setup: Some(setup),
            rtcp_mux: party.rtcp_mux,
            offering: false,
            ptime_ms: party.ptime_ms.or(remote.ptime_ms),
            base: remote,
        };
        let description = self.describe(offerer, draft)?;
        self.session.parties[offerer].answered = true;
        Ok(description)
    }

    /// Writes, counting the version up if the text is not what this party was told before.
    fn describe(&mut self, index: usize, input: DraftInput) -> Result<Description, NegotiationError> {
        let party = &self.session.parties[index];
        let address = self
            .environment
            .advertised(party.interface, party.ipv6)
            .ok_or_else(|| NegotiationError::Flags("the interface has no address of this family".to_owned()))?;
        let flags = self.flags();
        let own = party.remote.as_ref();
        let web = party.profile != ProfileName::Sip;
        // In an answer our mid is the offer's (RFC 8843 7.3.1); in an offer it is ours to choose.
        let mid = match own.and_then(|remote| remote.mid.clone()) {
            Some(mid) => Some(mid),
            None if web && (input.offering || party.profile == ProfileName::Whatsapp) => {
                Some(input.base.mid.clone().unwrap_or_else(|| "audio".to_owned()))
            }
            None if input.offering && flags.generate_mid => Some("audio".to_owned()),
            None => None,
        };
        let bundle = mid.is_some()
            && match own {
                Some(remote) if !input.offering => remote.bundled,
                _ => web || flags.bundle.offer || flags.bundle.require,
            };
        let formats = party.told_formats.clone();
        let write = |party: &Party| {
            let draft = Draft {
                base: &input.base,
                party,
                address,
                fingerprint: &self.environment.fingerprint,
                formats: &formats,
                direction: input.direction,
                setup: (party.security == Security::Dtls).then_some(input.setup).flatten(),
                cryptos: input.cryptos.clone(),
                ptime_ms: input.ptime_ms,
                rtcp_mux: input.rtcp_mux,
                mid: mid.clone(),
                bundle,
                flags,
            };
            match party.profile {
                ProfileName::Whatsapp => write_meta::write(&draft),
                ProfileName::Sip | ProfileName::Webrtc => write_sip::write(&draft),
            }
        };
        let mut description = write(party);
        let changed = party.told.as_ref().is_some_and(|told| *told != description);
        if changed || (party.told.is_some() && flags.replace.force_increment_sdp_version) {
            self.session.parties[index].version += 1;
            description = write(&self.session.parties[index]);
        }
        if party_is_private(&self.session.parties[index], address) {
            self.warnings.push(format!("WhatsApp cannot reach {address}: configure the interface as LOCAL!PUBLIC"));
        }
        self.session.parties[index].told = Some(description.clone());
        Ok(description)
    }

    fn told(&self, index: usize) -> Result<Description, NegotiationError> {
        let told = self.session.parties[index].told.clone();
        told.ok_or_else(|| NegotiationError::OutOfPlace("nothing was said to this party yet".to_owned()))
    }

    /// Makes two parties each other's peers. Who hears whom changes with an answer; an offer fills what is empty, but takes
    /// nobody from a party that talks already.
    fn pair(&mut self, one: usize, other: usize, answered: bool) {
        for (listener, speaker) in [(one, other), (other, one)] {
            let speaker = self.session.parties[speaker].leg;
            let talking = match self.session.parties[listener].hears {
                Source::Leg(leg) => self.session.party(leg).is_some_and(Party::answered),
                Source::Nothing => false,
            };
            let listener = &mut self.session.parties[listener];
            listener.peer = Some(speaker);
            if answered || !talking {
                listener.hears = Source::Leg(speaker);
            }
        }
    }

    /// A peer that shows us our own key would have both directions encrypted alike, or has nothing of its own.
    fn refuse_echoed_keys(&self, remote: &Remote) -> Result<(), NegotiationError> {
        let ours = |crypto: &&Crypto| self.session.parties.iter().any(|party| party.secrets.owns(&crypto.key));
        match remote.cryptos.iter().find(ours) {
            Some(_) => {
                let line = remote.media().attribute("crypto").map_or(&remote.media().line, |attribute| attribute.line);
                Err(NegotiationError::Unbridgeable(line.error("the key is one of ours; a peer must bring its own")))
            }
            None => Ok(()),
        }
    }

    /// Flags about the party that sends the message.
    fn take_flags(&mut self, index: usize) {
        let flags = self.flags();
        let (latch, media_address) = transport::latch(self.signal);
        let party = &mut self.session.parties[index];
        (party.latch, party.media_address) = (latch, media_address);
        if flags.label.is_some() {
            party.label.clone_from(&flags.label);
        }
        if let Some(other) = party.peer
            && let Some(label) = &flags.to_label
            && let Some(other) = self.session.parties.iter_mut().find(|party| party.leg == other)
        {
            other.label = Some(label.clone());
        }
        for party in &mut self.session.parties {
            match flags.tos {
                Tos::Byte(byte) => party.tos = Some(byte),
                Tos::Default | Tos::Keep => {}
            }
        }
    }

    /// The interface that the message names for its sender (0) or its receiver (1).
    fn interface(&self, side: usize) -> Result<InterfaceId, NegotiationError> {
        let flags = self.flags();
        let name = flags.direction.as_ref().map(|names| &names[side]).or(flags.interface.as_ref());
        self.environment.interface(name.map(String::as_str)).map_err(NegotiationError::Flags)
    }

    /// IPv6 or not, as wanted; the other family if the interface has only that and it need not be.
    fn family(&self, interface: InterfaceId, ipv6: bool, must: bool) -> Result<bool, NegotiationError> {
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

    fn add(
        &mut self,
        kind: (ProfileName, crate::op::flags::Protocol, Security),
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

    fn remove_leg(&mut self, leg: LegId) {
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

    /// Takes out an offerer that nobody answered, with everybody it offered to.
    fn remove_unanswered(&mut self, index: usize) {
        let leg = self.session.parties[index].leg;
        let gone: Vec<LegId> =
            self.session.parties.iter().filter(|p| p.leg == leg || p.offered_by == Some(leg)).map(|p| p.leg).collect();
        gone.into_iter().for_each(|leg| self.remove_leg(leg));
    }

    fn finish(self, sender: usize, receiver: usize, description: Description) -> Result<Step, NegotiationError> {
        let parties = &self.session.parties;
        let legs = [sender, receiver].map(|index| (parties[index].leg, parties[index].plan())).to_vec();
        let Self { session, removed, warnings, .. } = self;
        Ok(Step { session, legs, removed, description, warnings })
    }
}

/// What a description says beyond what its party is.
struct DraftInput {
    base: Remote,
    cryptos: Vec<String>,
    direction: Direction,
    setup: Option<Setup>,
    rtcp_mux: bool,
    offering: bool,
    ptime_ms: Option<u32>,
}

fn party_is_private(party: &Party, address: std::net::IpAddr) -> bool {
    let private = match address {
        std::net::IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        std::net::IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    party.profile == ProfileName::Whatsapp && private
}

fn whatsapp_is_fixed(what: &str) -> NegotiationError {
    NegotiationError::WhatsappIsFixed(format!(
        "the WhatsApp party {what} other SDP than before, but what was agreed with WhatsApp cannot be changed; repeat the \
         known SDP, change the other side instead (offer and answer there), or use another call-id for another call"
    ))
}
