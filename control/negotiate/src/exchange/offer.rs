//! An offer: the sender's proposal is recorded, and a proposal is made to the receiver (RFC 3264 section 5 and 8).

use std::sync::Arc;
use trestle_ng::command::Switch;

use trestle_core::plan::DtlsRole;
use trestle_sdp::{Crypto, PeerDescription, Security, Setup};

use super::describe::{self, Draft};
use super::{Exchange, NegotiationStep, addresses};
use crate::NegotiationError;
use crate::error::{DescriptionKind, FlagsError, unbridgeable};
use crate::party::{Endpoint, IncomingOffer, OutgoingOffer, PartyKind, PartyNames, PeerTerms, Routing, SdpTemplate};
use crate::rules::{codecs, crypto, profile, transport};
use trestle_ng::command::flags::ProfileName;

pub(super) fn offer(mut exchange: Exchange<'_>) -> Result<NegotiationStep, NegotiationError> {
    let flags = exchange.flags();
    if flags.dtls.fingerprint.as_deref().is_some_and(|hash| hash != "sha-256") {
        exchange.warnings.push("DTLS-fingerprint ignored: ours is sha-256".to_owned());
    }
    let known = exchange.session.party_by_tag(&exchange.signal.from_tag);
    let formats = known.map_or(&[][..], |party| party.sent_sdp.formats());
    let prefer_sdes = flags.sdes.prefer || known.is_some_and(|party| party.security() == Security::Sdes);
    let mut remote = PeerDescription::read(&exchange.signal.sdp, formats, prefer_sdes)?;
    exchange.warnings.extend(remote.sdp.skipped.warnings());
    if flags.has(Switch::RejectIce) && remote.security == Security::Dtls {
        return Err(NegotiationError::Flags(FlagsError::IceRejected(remote.protocol)));
    }
    let sender = offerer(&mut exchange, &remote)?;
    exchange.check(sender, &remote, DescriptionKind::Offer)?;
    addresses::check(&mut exchange, sender, &mut remote)?;
    let remote = Arc::new(remote);
    record_offer(&mut exchange, sender, remote.clone())?;
    let receiver = receiver(&mut exchange, sender, &remote)?;
    exchange.take_gate_flags(&[sender, receiver]);
    exchange.pair(sender, receiver, false);
    exchange.label_receiver(receiver);
    let leg = exchange.party(sender).leg();
    exchange.party_mut(receiver).routing.set_offered_by(leg);

    let description = if exchange.party(receiver).is_fixed() {
        exchange.warnings.push(
            "WhatsApp is never offered again: it has this very SDP already. Do not send it; answer the other side \
             with command answer and the last SDP that WhatsApp gave"
                .to_owned(),
        );
        describe::last_sent(&exchange, receiver)?
    } else {
        let from_profile = exchange.party(sender).profile();
        propose(&mut exchange, &remote, from_profile, receiver)?
    };
    Ok(exchange.finish(&[sender, receiver], Some(&remote), description))
}

/// The party that offers. It is added if it is new, or if an earlier attempt of it with another security was not answered.
fn offerer(exchange: &mut Exchange<'_>, remote: &PeerDescription) -> Result<usize, NegotiationError> {
    if let Some(index) = known_offerer(exchange) {
        let party = exchange.party(index);
        exchange.check_family(party, remote)?;
        if party.is_fixed() && party.remote().is_some_and(|known| known.text != remote.text) {
            return Err(NegotiationError::WhatsappIsFixed(DescriptionKind::Offer));
        }
        if party.security() == remote.security {
            return Ok(index);
        }
        if party.answered() {
            let reason = "a leg keeps the way in which its media is secured; offer it under another call-id";
            return Err(unbridgeable(remote.media(), reason));
        }
        remove_attempt(exchange, index);
    }
    let kind = PartyKind { profile: profile::of_sender(remote), protocol: remote.protocol, security: remote.security };
    let interface = exchange.interface(0)?;
    let ipv6 = exchange.family(interface, remote.prefers_ipv6(), remote.security != Security::Dtls)?;
    let endpoint = Endpoint { kind, interface, ipv6, we_offered: false };
    let mut names = PartyNames::default();
    names.set_main_tag(&exchange.signal.from_tag);
    exchange.add(endpoint, names, Routing::default(), &remote.ssrcs)
}

/// The party of from-tag, or a callee that offers before an answer has named it.
fn known_offerer(exchange: &mut Exchange<'_>) -> Option<usize> {
    let tag = &exchange.signal.from_tag;
    if let Some(index) = exchange.session.index_of_tag(tag) {
        return Some(index);
    }
    let other = exchange.session.index_of_tag(exchange.signal.to_tag.as_deref()?)?;
    let index = exchange.unanswered_callee(other)?;
    exchange.party_mut(index).names.set_main_tag(tag);
    Some(index)
}

/// Removes an offerer without an answer, and the parties that it has offered to.
fn remove_attempt(exchange: &mut Exchange<'_>, index: usize) {
    let leg = exchange.party(index).leg();
    let parties = exchange.session.parties.iter();
    let gone = parties.filter(|party| party.leg() == leg || party.routing.offered_by() == Some(leg));
    let gone: Vec<_> = gone.map(|party| party.leg()).collect();
    gone.into_iter().for_each(|leg| exchange.remove_leg(leg));
}

/// Records an offer as its sender's proposal.
fn record_offer(
    exchange: &mut Exchange<'_>,
    index: usize,
    remote: Arc<PeerDescription>,
) -> Result<(), NegotiationError> {
    let flags = exchange.flags();
    exchange.take_flags(index);
    let answerable = codecs::answerable(&remote, flags, &mut exchange.warnings);
    let address = transport::address_rule(exchange.signal);
    let party = &mut exchange.session.parties[index];
    let mut dtls_role = party.dtls_role();
    let mut chosen = None;
    match party.security() {
        Security::Plain => {}
        Security::Sdes => {
            let in_use = party.negotiation.terms().and_then(PeerTerms::suite);
            let crypto = crypto::choose_crypto(&remote, in_use, &flags.sdes)?;
            party.secrets.key(crypto.key.profile(), &exchange.environment.own_keys, exchange.rng);
            chosen = Some(crypto);
        }
        Security::Dtls if dtls_role == DtlsRole::Either => {
            dtls_role = transport::answer_setup(remote.setup, party.profile(), flags.dtls.mode).1;
        }
        Security::Dtls => {}
    }
    let required = party.security() == Security::Dtls || party.profile() == ProfileName::Whatsapp;
    let rtcp_mux = required || (remote.addresses.rtcp_mux && !flags.rtcp_mux.reject);
    party.preferences.ptime_ms = flags.media.ptime_reverse_ms.or(party.preferences.ptime_ms);
    let terms = PeerTerms { remote, crypto: chosen, dtls_role, rtcp_mux, address };
    party.propose(IncomingOffer { terms, answerable });
    Ok(())
}

/// The party that gets the offer. It is added if it is new, or if the flags now ask for another kind of leg than that of an
/// earlier attempt which was not answered.
fn receiver(exchange: &mut Exchange<'_>, sender: usize, remote: &PeerDescription) -> Result<usize, NegotiationError> {
    let from = exchange.party(sender);
    let kind = profile::of_receiver(remote, from.profile(), exchange.flags());
    let (ipv6, sender_leg) = (from.endpoint.ipv6, from.leg());
    if let Some(index) = find_receiver(exchange, sender) {
        let party = exchange.party(index);
        if party.answered() {
            // The first exchange has settled what the leg is; flags of later ones do not change it.
            return Ok(index);
        }
        let interface = exchange.interface(1)?;
        if (party.endpoint.kind, party.endpoint.interface) == (kind.clone()?, interface) {
            return Ok(index);
        }
        let leg = party.leg();
        exchange.remove_leg(leg);
    }
    if exchange.signal.to_tag.is_none() && exchange.party(sender).answered() {
        exchange.warnings.push(
            "the call is answered, and this offer has no to-tag: it is made to a new party. For a re-offer, add the to-tag of the \
             party that receives it"
                .to_owned(),
        );
    }
    exchange.add_callee(kind?, Some(sender_leg), ipv6)
}

/// By to-tag, else by via-branch, else the party that the sender offered to last, else the one that offered to the sender.
fn find_receiver(exchange: &Exchange<'_>, sender: usize) -> Option<usize> {
    let leg = exchange.party(sender).leg();
    let parties = exchange.session.parties.iter().enumerate();
    let mut callees = parties.filter(|(_, party)| party.routing.offered_by() == Some(leg));
    if let Some(tag) = &exchange.signal.to_tag {
        return match exchange.session.index_of_tag(tag) {
            Some(index) if index != sender => Some(index),
            _ => exchange.unanswered_callee(sender),
        };
    }
    match exchange.signal.via_branch.as_deref() {
        // A new branch is a fork, or a request repeated with credentials: a leg of its own either way.
        Some(branch) => callees.find(|(_, party)| party.names.via_branch() == Some(branch)).map(|(index, _)| index),
        // A callee that offers again and names no other party offers to its caller.
        None => callees.next_back().map(|(index, _)| index).or_else(|| {
            let from = exchange.party(sender);
            let offerer = from.routing.offered_by().filter(|_| from.answered())?;
            exchange.session.parties.iter().position(|party| party.leg() == offerer)
        }),
    }
}

/// Makes the party at `receiver` an offer, given the description of the other side.
pub(super) fn propose(
    exchange: &mut Exchange<'_>,
    remote: &Arc<PeerDescription>,
    from_profile: ProfileName,
    receiver: usize,
) -> Result<SdpTemplate, NegotiationError> {
    let flags = exchange.flags();
    let to = exchange.party(receiver);
    let (profile, security, answered) = (to.profile(), to.security(), to.answered());
    let mux_before = to.rtcp_mux();
    let in_use = to.negotiation.terms().and_then(PeerTerms::suite);
    let codec_in_use = to.send_format().map(|send| send.codec).filter(|_| flags.has(Switch::ReuseCodecs));
    let mut formats = codecs::for_receiver(remote, from_profile, profile, flags, &mut exchange.warnings)?;
    if codec_in_use.is_some() {
        // telephone-event is no codec and stays last.
        formats.sort_by_key(|format| format.codec().is_none() || format.codec() != codec_in_use);
    }
    let suites = match security {
        Security::Sdes if !answered => crypto::suites_to_offer(profile, remote, &flags.sdes)?,
        // Only the suite in use, so that an accepted re-offer changes no keys of ours.
        Security::Sdes => in_use.into_iter().collect(),
        _ => Vec::new(),
    };
    let mux = flags.rtcp_mux;
    let always = security == Security::Dtls || profile == ProfileName::Whatsapp;
    let passed_on = remote.addresses.rtcp_mux && from_profile == ProfileName::Sip;
    let offer_mux = always
        || mux.offer
        || mux.require
        || mux_before
        || (passed_on && !mux.demux && !mux.reject && !mux.accept)
        || (remote.addresses.rtcp_mux && mux.accept);
    let rtcp_mux = always || mux.require || (answered && mux_before);

    let to = &mut exchange.session.parties[receiver];
    to.preferences.ptime_ms = flags.media.ptime_ms.or(to.preferences.ptime_ms);
    let mut cryptos = Vec::new();
    for (tag, suite) in (1..).zip(&suites) {
        let key = to.secrets.key(*suite, &exchange.environment.own_keys, exchange.rng);
        cryptos.push(Crypto::text(tag, &key, flags.sdes.pad, flags.sdes.lifetime));
    }
    to.negotiation.propose_to(OutgoingOffer { formats: formats.clone(), suites, rtcp_mux });
    let draft = Draft {
        base: remote.clone(),
        own: to.negotiation.terms().map(|terms| terms.remote.clone()),
        formats,
        cryptos,
        direction: remote.direction,
        setup: Some(Setup::ActPass),
        rtcp_mux: offer_mux,
        rtcp_port: !rtcp_mux,
        offering: true,
        ptime_ms: to.preferences.ptime_ms.or(remote.ptime_ms),
    };
    describe::describe(exchange, receiver, draft)
}
