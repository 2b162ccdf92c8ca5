//! Taking an offer in and making one of it.

use std::sync::Arc;
use trestle_ng::command::Switch;

use trestle_core::LegId;
use trestle_core::plan::DtlsRole;

use super::describe::Said;
use super::description::Description;
use super::error::unbridgeable;
use super::exchange::{Exchange, whatsapp_is_fixed};
use super::profile::Outgoing;
use super::session::Step;
use super::{NegotiationError, codecs, profile, transport};
use trestle_ng::command::flags::{AddressFamily, ProfileName};
use trestle_sdp::{Crypto, Setup};
use trestle_sdp::{Remote, Security};

impl Exchange<'_> {
    pub(super) fn offer(mut self) -> Result<Step, NegotiationError> {
        let flags = self.flags();
        if flags.dtls.fingerprint.as_deref().is_some_and(|hash| hash != "sha-256") {
            self.warnings.push("DTLS-fingerprint ignored: ours is sha-256".to_owned());
        }
        let known = self.session.party_by_tag(&self.signal.from_tag);
        let formats = known.map(|party| party.told_formats.clone()).unwrap_or_default();
        let prefer_sdes = flags.sdes.prefer || known.is_some_and(|party| party.security == Security::Sdes);
        let remote = Arc::new(Remote::read(&self.signal.sdp, &formats, prefer_sdes)?);
        if flags.has(Switch::RejectIce) && remote.security == Security::Dtls {
            let reason = "reject-ICE leaves DTLS without a transport";
            return Err(NegotiationError::Flags(format!("{reason}; {}", remote.protocol.as_str())));
        }
        let sender = self.offering_party(&remote)?;
        self.take_offer(sender, remote)?;
        let receiver = self.offered_party(sender)?;
        self.take_presence(&[sender, receiver]);
        self.pair(sender, receiver, false);
        self.label_receiver(receiver);
        self.session.parties[receiver].offered_by = Some(self.session.parties[sender].leg);

        let description = if self.session.parties[receiver].is_fixed() {
            self.warnings.push(
                "WhatsApp is never offered again: it has this very SDP already. Do not send it; answer the other side \
                 with command answer and the last SDP that WhatsApp gave"
                    .to_owned(),
            );
            self.told(receiver)?
        } else {
            let from = &self.session.parties[sender];
            let remote =
                from.remote.clone().ok_or_else(|| NegotiationError::OutOfPlace("nothing was offered".to_owned()))?;
            let from_profile = from.profile;
            self.describe_offer(&remote, from_profile, receiver)?
        };
        self.finish(&[sender, receiver], description)
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
                return Err(unbridgeable(remote.media(), reason));
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

    /// Enters what the sender of an offer says.
    fn take_offer(&mut self, index: usize, remote: Arc<Remote>) -> Result<(), NegotiationError> {
        let flags = self.flags();
        self.refuse_echoed_keys(&remote)?;
        self.take_flags(index);
        let answerable = codecs::answerable(&remote, flags, &mut self.warnings);
        let first = !self.session.parties[index].answered;
        if first && remote.rtp.port() == 0 {
            return Err(unbridgeable(remote.media(), "the audio is refused (port 0)"));
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
                    party.dtls_role = transport::answer_setup(remote.setup, party.profile, flags.dtls.mode).1;
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
        party.ptime_ms = flags.media.ptime_reverse_ms.or(party.ptime_ms);
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
            return self.new_callee(outgoing, Some(sender_leg), sender_ipv6);
        }
        self.new_callee(outgoing?, Some(sender_leg), sender_ipv6)
    }

    pub(super) fn new_callee(
        &mut self,
        outgoing: Outgoing,
        sender: Option<LegId>,
        ipv6: bool,
    ) -> Result<usize, NegotiationError> {
        let flags = self.flags();
        let interface = self.interface(1)?;
        let (wanted, must) = match flags.routing.address_family {
            Some(family) => (family == AddressFamily::Ip6, true),
            // WhatsApp's relays have both; IPv4 is what every sample of theirs is reached by.
            None => (ipv6 && outgoing.profile != ProfileName::Whatsapp, false),
        };
        let ipv6 = self.family(interface, wanted, must)?;
        let kind = (outgoing.profile, outgoing.protocol, outgoing.security);
        let index = self.add(kind, interface, ipv6, &[])?;
        let party = &mut self.session.parties[index];
        party.via_branch = self.signal.via_branch.clone();
        party.tags.extend(self.signal.to_tag.clone());
        party.we_offered = true;
        party.offered_by = sender;
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

    /// An offer to `receiver` on the strength of what `remote` says.
    pub(super) fn describe_offer(
        &mut self,
        remote: &Arc<Remote>,
        from_profile: ProfileName,
        receiver: usize,
    ) -> Result<Description, NegotiationError> {
        let flags = self.flags();
        let to = &self.session.parties[receiver];
        let mut formats = codecs::for_receiver(remote, from_profile, to.profile, flags, &mut self.warnings)?;
        if let Some(send) = to.send.filter(|_| flags.has(Switch::ReuseCodecs)) {
            // telephone-event, being no codec, stays last.
            formats.sort_by_key(|format| format.codec().is_none() || format.codec() != Some(send.codec));
        }
        let suites = match to.security {
            Security::Sdes if !to.answered => transport::suites_to_offer(to.profile, remote, &flags.sdes)?,
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
        to.ptime_ms = flags.media.ptime_ms.or(to.ptime_ms);
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
        let draft = Said {
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

    /// Takes out an offerer that nobody answered, with everybody it offered to.
    fn remove_unanswered(&mut self, index: usize) {
        let leg = self.session.parties[index].leg;
        let gone: Vec<LegId> =
            self.session.parties.iter().filter(|p| p.leg == leg || p.offered_by == Some(leg)).map(|p| p.leg).collect();
        gone.into_iter().for_each(|leg| self.remove_leg(leg));
    }
}
