//! An offer: the sender's proposal is recorded, and a proposal is made to the receiver (RFC 3264 section 5 and 8).

use std::sync::Arc;
use trestle_ng::command::Switch;

use trestle_core::LegId;
use trestle_core::limits::LEGS_PER_CALL_MAX;
use trestle_core::plan::DtlsRole;
use trestle_sdp::{Crypto, PeerDescription, Security, Setup};

use super::describe::{self, Draft};
use super::{AUDIO_REFUSED, Exchange, NegotiationStep, addresses};
use crate::NegotiationError;
use crate::error::{DescriptionKind, FlagsError, unbridgeable};
use crate::party::{
    Endpoint, IncomingOffer, OfferState, OutgoingOffer, Party, PartyKind, PartyNames, PeerTerms, Routing, SdpTemplate,
    StreamState,
};
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
    let (receiver, kind) = receiver(&mut exchange, sender, &remote)?;
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
        let from = exchange.party(sender);
        let from_profile = from.negotiation.offered_kind().map_or(from.profile(), |kind| kind.profile);
        propose(&mut exchange, &remote, from_profile, receiver, kind)?
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
        if party.answered() || party.security() == remote.security {
            return Ok(index);
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

/// The party of from-tag, or a callee that no answer has named: one that offers before it answers, or whose answer had no to-tag.
fn known_offerer(exchange: &mut Exchange<'_>) -> Option<usize> {
    let tag = &exchange.signal.from_tag;
    if let Some(index) = exchange.session.index_of_tag(tag) {
        return Some(index);
    }
    let index = match &exchange.signal.to_tag {
        Some(to_tag) => exchange.unanswered_callee(exchange.session.index_of_tag(to_tag)?)?,
        None => {
            let parties = exchange.session.parties.iter();
            let is_callee = |party: &Party| party.routing.offered_by().is_some() && party.answered();
            parties.enumerate().find(|(_, party)| is_callee(party) && party.names.is_unnamed())?.0
        }
    };
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
    let address = transport::address_rule(exchange.signal, &remote);
    let kind = profile::of_re_offer(exchange.party(index).endpoint.kind, &remote);
    if remote.is_ended() {
        let party = exchange.party_mut(index);
        // Of the description that ends the stream, nothing else counts.
        let terms =
            party.negotiation.terms().map(|terms| PeerTerms { remote: remote.clone(), address, ..terms.clone() });
        let terms = terms.ok_or_else(|| unbridgeable(remote.media(), AUDIO_REFUSED))?;
        party.propose(IncomingOffer { state: OfferState::Open, kind, terms, answerable: Vec::new() });
        return Ok(());
    }
    let answerable = codecs::answerable(&remote, flags, &mut exchange.warnings);
    let party = &mut exchange.session.parties[index];
    let is_same_kind = kind.security == party.security();
    let mut dtls_role = if is_same_kind { party.dtls_role() } else { DtlsRole::Either };
    let mut chosen = None;
    match kind.security {
        Security::Plain => {}
        Security::Sdes => {
            let in_use = party.negotiation.terms().filter(|_| is_same_kind).and_then(PeerTerms::suite);
            let crypto = crypto::choose_crypto(&remote, in_use, &flags.sdes)?;
            party.secrets.key(crypto.key.profile(), &exchange.environment.own_keys, exchange.rng);
            chosen = Some(crypto);
        }
        Security::Dtls if dtls_role == DtlsRole::Either => {
            dtls_role = transport::answer_setup(remote.setup, kind.profile, flags.dtls.mode).1;
        }
        Security::Dtls => {}
    }
    let required = kind.security == Security::Dtls || kind.profile == ProfileName::Whatsapp;
    let rtcp_mux = required || (remote.addresses.rtcp_mux && !flags.rtcp_mux.reject);
    party.preferences.ptime_ms = flags.media.ptime_reverse_ms.or(party.preferences.ptime_ms);
    let terms = PeerTerms { remote, crypto: chosen, dtls_role, rtcp_mux, address };
    party.propose(IncomingOffer { state: OfferState::Open, kind, terms, answerable });
    Ok(())
}

/// The party that gets the offer, and the kind of leg that it is offered. It is added if it is new, or if the flags now ask for another
/// kind of leg than that of an earlier attempt which was not answered.
fn receiver(
    exchange: &mut Exchange<'_>,
    sender: usize,
    remote: &PeerDescription,
) -> Result<(usize, PartyKind), NegotiationError> {
    let from = exchange.party(sender);
    let from_profile = from.negotiation.offered_kind().map_or(from.profile(), |kind| kind.profile);
    let kind = profile::of_receiver(remote, from_profile, exchange.flags());
    let (ipv6, sender_leg) = (from.endpoint.ipv6, from.leg());
    if let Some(index) = find_receiver(exchange, sender) {
        let party = exchange.party(index);
        if party.answered() {
            return Ok((index, profile::of_re_offered(party.endpoint.kind, exchange.flags(), kind)?));
        }
        let kind = kind.clone()?;
        let interface = exchange.interface(1)?;
        if (party.endpoint.kind, party.endpoint.interface) == (kind, interface) {
            return Ok((index, kind));
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
    if remote.is_ended() {
        return Err(unbridgeable(remote.media(), "the audio has port 0, and this party has no stream that could end"));
    }
    let kind = kind?;
    if let Some(index) = shared_leg(exchange, sender_leg, kind)? {
        return Ok((index, kind));
    }
    Ok((exchange.add_callee(kind, Some(sender_leg), ipv6)?, kind))
}

/// Legs of a call that forks of one kind leave free: for forks of another kind, and for the party of a transfer.
const LEGS_RESERVED: usize = 2;

/// The leg that a further fork of `sender` shares with an earlier one of its kind, if the call has little room left: any of them may answer.
fn shared_leg(exchange: &mut Exchange<'_>, sender: LegId, kind: PartyKind) -> Result<Option<usize>, NegotiationError> {
    let Some(branch) = exchange.signal.via_branch.as_deref() else { return Ok(None) };
    if exchange.session.parties.len() + LEGS_RESERVED < LEGS_PER_CALL_MAX {
        return Ok(None);
    }
    let interface = exchange.interface(1)?;
    let is_fork = |party: &Party| {
        let is_unanswered = !party.answered() && party.names.is_unnamed() && !party.names.branches().is_empty();
        let is_alike = (party.endpoint.kind, party.endpoint.interface) == (kind, interface);
        party.routing.offered_by() == Some(sender) && is_unanswered && is_alike
    };
    let Some(index) = exchange.session.parties.iter().rposition(is_fork) else { return Ok(None) };
    if !exchange.party_mut(index).names.share_with(branch) {
        return Err(NegotiationError::TooManyLegs);
    }
    exchange.session.removed_branches.retain(|removed| removed != branch);
    Ok(Some(index))
}

/// By to-tag, else by via-branch, else the party that the sender is in a call with, else the one that it offered to last, else the one
/// that offered to the sender.
fn find_receiver(exchange: &Exchange<'_>, sender: usize) -> Option<usize> {
    let from = exchange.party(sender);
    let leg = from.leg();
    let parties = exchange.session.parties.iter().enumerate();
    let mut callees = parties.filter(|(_, party)| party.routing.offered_by() == Some(leg));
    if let Some(tag) = &exchange.signal.to_tag {
        return match exchange.session.index_of_tag(tag) {
            Some(index) if index != sender => Some(index),
            _ => exchange.unanswered_callee(sender),
        };
    }
    let index_of = |leg: LegId| exchange.session.parties.iter().position(|party| party.leg() == leg);
    match exchange.signal.via_branch.as_deref() {
        // A new branch is a fork, a request repeated with credentials, or a further party: a leg of its own in each case.
        Some(branch) => callees.find(|(_, party)| party.names.has_branch(branch)).map(|(index, _)| index),
        None => {
            let in_call = from.peer().filter(|_| from.answered()).and_then(index_of);
            let in_call = in_call.filter(|index| {
                let peer = exchange.party(*index);
                peer.answered() && peer.routing.offered_by() == Some(leg)
            });
            // A callee that offers again and names no other party offers to its caller.
            let caller = || index_of(from.routing.offered_by().filter(|_| from.answered())?);
            in_call.or_else(|| callees.next_back().map(|(index, _)| index)).or_else(caller)
        }
    }
}

/// Makes the party at `receiver` an offer, given the description of the other side.
pub(super) fn propose(
    exchange: &mut Exchange<'_>,
    remote: &Arc<PeerDescription>,
    from_profile: ProfileName,
    receiver: usize,
    kind: PartyKind,
) -> Result<SdpTemplate, NegotiationError> {
    if remote.is_ended() {
        return propose_end(exchange, remote, receiver);
    }
    let flags = exchange.flags();
    let to = exchange.party(receiver);
    let PartyKind { profile, security, .. } = kind;
    let (answered, is_same_kind) = (to.answered(), to.security() == security);
    let mux_before = is_same_kind && to.rtcp_mux();
    let in_use = to.negotiation.terms().filter(|_| is_same_kind).and_then(PeerTerms::suite);
    let codec_in_use = to.send_format().map(|send| send.codec).filter(|_| flags.has(Switch::ReuseCodecs));
    let mut formats = codecs::for_receiver(remote, from_profile, profile, flags, &mut exchange.warnings)?;
    if profile != ProfileName::Whatsapp {
        exchange.party(receiver).numbers.number_offer(&mut formats);
    }
    if codec_in_use.is_some() {
        // telephone-event is no codec and stays last.
        formats.sort_by_key(|format| format.codec().is_none() || format.codec() != codec_in_use);
    }
    let suites = match security {
        Security::Sdes => crypto::suites_to_offer(profile, remote, in_use, &flags.sdes)?,
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
    to.negotiation.propose_to(OutgoingOffer { kind, formats: formats.clone(), suites, rtcp_mux });
    let draft = Draft {
        kind,
        stream: StreamState::Live,
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

/// Offers the party at `receiver` the end of the audio (RFC 3264 section 8.2).
fn propose_end(
    exchange: &mut Exchange<'_>,
    remote: &Arc<PeerDescription>,
    receiver: usize,
) -> Result<SdpTemplate, NegotiationError> {
    let to = &mut exchange.session.parties[receiver];
    let kind = to.endpoint.kind;
    let formats = to.sent_sdp.formats().to_vec();
    let suites = to.negotiation.terms().and_then(PeerTerms::suite).into_iter().collect();
    to.negotiation.propose_to(OutgoingOffer { kind, formats: formats.clone(), suites, rtcp_mux: to.rtcp_mux() });
    let draft = Draft {
        kind,
        stream: StreamState::Ended,
        base: remote.clone(),
        own: to.negotiation.terms().map(|terms| terms.remote.clone()),
        formats,
        cryptos: Vec::new(),
        direction: remote.direction,
        setup: None,
        rtcp_mux: false,
        rtcp_port: false,
        offering: true,
        ptime_ms: None,
    };
    describe::describe(exchange, receiver, draft)
}
