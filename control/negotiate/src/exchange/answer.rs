//! An answer: what was proposed becomes agreed on both legs (RFC 3264 section 6).

use std::sync::Arc;
use trestle_ng::command::Switch;

use trestle_core::plan::DtlsRole;
use trestle_sdp::{Crypto, Format, PeerDescription, Security, Setup};

use super::describe::{self, Draft};
use super::{AUDIO_REFUSED, Exchange, NegotiationStep, addresses};
use crate::NegotiationError;
use crate::error::{DescriptionKind, OutOfPlace, unbridgeable};
use crate::party::{AddressRule, Agreed, OutgoingOffer, Party, PeerTerms, ReceiveFormats, SdpTemplate, StreamState};
use crate::rules::{codecs, crypto, profile, transport};
use trestle_ng::command::flags::ProfileName;

pub(super) fn answer(mut exchange: Exchange<'_>) -> Result<NegotiationStep, NegotiationError> {
    let from_tag = &exchange.signal.from_tag;
    let offerer = exchange.session.index_of_tag(from_tag).ok_or_else(|| exchange.unknown_tag(from_tag))?;
    let answerer = answerer(&exchange, offerer)?;
    let remote = read(&mut exchange, answerer)?;
    exchange.take_flags(answerer);
    if let Some(tag) = &exchange.signal.to_tag {
        let new_branch = exchange.flags().has(Switch::NewBranch);
        exchange.party_mut(answerer).names.add_tag(tag, new_branch);
    }
    exchange.pair(offerer, answerer, true);
    exchange.label_receiver(offerer);
    recognise_whatsapp(&mut exchange, answerer, &remote);
    exchange.take_gate_flags(&[offerer, answerer]);

    if remote.is_ended() || exchange.party(offerer).negotiation.is_end_offered() {
        return end_stream(exchange, answerer, offerer, &remote);
    }
    let offered = offered_formats(exchange.party(answerer))?;
    let choice = codecs::choose(exchange.party(offerer), &offered, &remote, exchange.flags())?;
    agree_answerer(&mut exchange, answerer, &remote, &choice.to_answerer, offered)?;
    let description = agree_offerer(&mut exchange, offerer, choice, Arc::clone(&remote))?;
    Ok(exchange.finish(&[answerer, offerer], Some(&remote), description))
}

/// Reads the answer of the party at `index`, and checks it against what is agreed with it.
pub(super) fn read(exchange: &mut Exchange<'_>, index: usize) -> Result<Arc<PeerDescription>, NegotiationError> {
    let party = exchange.party(index);
    let offered = party.negotiation.outgoing().map_or(party.security(), |offer| offer.kind.security);
    let prefer_sdes = offered == Security::Sdes;
    let mut remote = PeerDescription::read(&exchange.signal.sdp, party.sent_sdp.formats(), prefer_sdes)?;
    exchange.warnings.extend(remote.sdp.skipped.warnings());
    exchange.check(index, &remote, DescriptionKind::Answer)?;
    addresses::check(exchange, index, &mut remote)?;
    Ok(Arc::new(remote))
}

/// A party that was offered to as a browser, and answers as Meta: from now on Meta's rules apply to it.
pub(super) fn recognise_whatsapp(exchange: &mut Exchange<'_>, index: usize, remote: &PeerDescription) {
    let party = exchange.party_mut(index);
    if !party.answered() && profile::of_sender(remote) == ProfileName::Whatsapp {
        party.endpoint.kind.profile = ProfileName::Whatsapp;
    }
}

pub(super) fn offered_formats(party: &Party) -> Result<Vec<Format>, NegotiationError> {
    let offered = party.offered_formats().ok_or(NegotiationError::OutOfPlace(OutOfPlace::NothingSent))?;
    Ok(offered.to_vec())
}

/// The answer `remote` to the offer of `offered` becomes agreed with its sender.
pub(super) fn agree_answerer(
    exchange: &mut Exchange<'_>,
    index: usize,
    remote: &Arc<PeerDescription>,
    format: &Format,
    offered: Vec<Format>,
) -> Result<(), NegotiationError> {
    let address = transport::address_rule(exchange.signal, remote);
    let party = &mut exchange.session.parties[index];
    let kind =
        party.negotiation.outgoing().filter(|_| !party.is_fixed()).map_or(party.endpoint.kind, |offer| offer.kind);
    let terms = answered_terms(party, remote, address)?;
    let send = codecs::send_to_answerer(party, remote, format, &offered, &exchange.signal.flags.codec);
    let receive = ReceiveFormats::new(&offered, &remote.formats, party.profile() == ProfileName::Whatsapp);
    let agreed = Agreed { terms: Some(terms), local_formats: offered, send, receive, stream: StreamState::Live };
    party.agree(agreed, kind, true, exchange.rng);
    Ok(())
}

/// Keys, role and multiplexing by an answer. WhatsApp repeats its only answer, which changes none of these.
fn answered_terms(
    party: &Party,
    remote: &Arc<PeerDescription>,
    address: AddressRule,
) -> Result<PeerTerms, NegotiationError> {
    if let Some(terms) = party.negotiation.terms().filter(|_| party.is_fixed()) {
        return Ok(PeerTerms { remote: remote.clone(), address, ..terms.clone() });
    }
    let offer = party.negotiation.outgoing().ok_or(NegotiationError::OutOfPlace(OutOfPlace::NothingSent))?;
    let OutgoingOffer { kind, .. } = offer;
    if remote.security != kind.security {
        // Weaker would be a downgrade (RFC 4568 section 7, RFC 5763 section 5); stronger was not offered.
        let offered = kind.protocol.as_str();
        let reason = format!("{offered} was offered; an answer cannot change how media is secured");
        return Err(unbridgeable(remote.media(), reason));
    }
    let crypto = match kind.security {
        Security::Sdes => Some(crypto::answered_crypto(remote, &offer.suites)?),
        Security::Plain | Security::Dtls => None,
    };
    let in_force = if kind.security == party.security() { party.dtls_role() } else { DtlsRole::Either };
    let dtls_role = match in_force {
        DtlsRole::Either if kind.security == Security::Dtls => transport::role_by_answer(remote.setup),
        role => role,
    };
    let rtcp_mux = offer.rtcp_mux || remote.addresses.rtcp_mux;
    Ok(PeerTerms { remote: remote.clone(), crypto, dtls_role, rtcp_mux, address })
}

/// The party that answers: by to-tag, else by via-branch, else one that no answer has named, else the one that was offered to
/// last, which has forked further down the route.
fn answerer(exchange: &Exchange<'_>, offerer: usize) -> Result<usize, NegotiationError> {
    let (session, signal) = (&exchange.session, exchange.signal);
    let leg = exchange.party(offerer).leg();
    let is_callee = |party: &Party| party.routing.offered_by() == Some(leg);
    let tag = signal.to_tag.as_deref().unwrap_or_default();
    let by_tag = session.index_of_tag(tag);
    if by_tag.is_none()
        && let Some(branch) = &signal.via_branch
        && session.removed_branches.contains(branch)
    {
        return Err(NegotiationError::OutOfPlace(OutOfPlace::BranchRemoved { branch: branch.clone() }));
    }
    if by_tag == Some(offerer) {
        return Err(NegotiationError::OutOfPlace(OutOfPlace::SameParty));
    }
    let by_branch = || {
        let branch = signal.via_branch.as_deref()?;
        session.parties.iter().position(|party| is_callee(party) && party.names.has_branch(branch))
    };
    let last = || session.parties.iter().rposition(is_callee);
    let index = by_tag.or_else(by_branch).or_else(|| exchange.unanswered_callee(offerer)).or_else(last);
    let index =
        index.ok_or_else(|| NegotiationError::OutOfPlace(OutOfPlace::NoOffer { offerer: signal.from_tag.clone() }))?;
    let party = exchange.party(index);
    if !is_callee(party) || party.sent_sdp.last().is_none() {
        let (answerer, offerer) = (tag.to_owned(), signal.from_tag.clone());
        return Err(NegotiationError::OutOfPlace(OutOfPlace::NotOfferedBy { answerer, offerer }));
    }
    Ok(index)
}

/// The answer to the offer of the party at `index` becomes agreed with it. `answered` is the other side's answer.
fn agree_offerer(
    exchange: &mut Exchange<'_>,
    index: usize,
    choice: codecs::Choice,
    answered: Arc<PeerDescription>,
) -> Result<SdpTemplate, NegotiationError> {
    let flags = exchange.flags();
    let party = exchange.party(index);
    let offer = party.negotiation.incoming().ok_or(NegotiationError::OutOfPlace(OutOfPlace::NothingOffered))?;
    let (mut terms, kind) = (offer.terms.clone(), offer.kind);
    let own = terms.remote.clone();
    let codecs::Choice { mut answer, to_offerer, .. } = choice;
    let event = answer.iter().find(|format| format.event_clock().is_some());
    // The encoder obeys the offerer's own parameters for its decoder, not those of the answer.
    let own_format = own.formats.iter().find(|format| format.pt == to_offerer.pt).unwrap_or(&to_offerer);
    let send = codecs::send_format(party, &own, own_format, event, &flags.codec);
    // What is sent has the offerer's numbers; what it sends, those of the answer.
    party.numbers.number_answer(&mut answer);
    let receive = ReceiveFormats::new(&answer, &own.formats, party.profile() == ProfileName::Whatsapp);
    let protocol = kind.protocol;
    let fixed = party.negotiation.agreed().filter(|_| party.is_fixed()).map(|agreed| agreed.local_formats.clone());
    if let Some(wanted) = flags.transport_protocol.filter(|wanted| *wanted != protocol) {
        exchange.warnings.push(format!(
            "transport-protocol={} ignored: an answer keeps the offer's {}",
            wanted.as_str(),
            protocol.as_str()
        ));
    }
    if let Some(local_formats) = fixed {
        let agreed = Agreed { terms: Some(terms), local_formats, send, receive, stream: StreamState::Live };
        exchange.session.parties[index].agree(agreed, kind, false, exchange.rng);
        return describe::last_sent(exchange, index);
    }
    let party = &mut exchange.session.parties[index];
    let (setup, role) = match terms.dtls_role {
        DtlsRole::Server => (Setup::Passive, DtlsRole::Server),
        DtlsRole::Client => (Setup::Active, DtlsRole::Client),
        DtlsRole::Either => transport::answer_setup(own.setup, kind.profile, flags.dtls.mode),
    };
    terms.dtls_role = role;
    let mut cryptos = Vec::new();
    if let Some(crypto) = &terms.crypto {
        let key = party.secrets.key(crypto.key.profile(), &exchange.environment.own_keys, exchange.rng);
        cryptos.push(Crypto::text(crypto.tag, &key, flags.sdes.pad, flags.sdes.lifetime));
    }
    let direction =
        if flags.has(Switch::OriginalSendrecv) { answered.direction } else { answered.direction.within(own.direction) };
    let draft = Draft {
        kind,
        stream: StreamState::Live,
        own: Some(own),
        formats: answer.clone(),
        cryptos,
        direction,
        setup: Some(setup),
        rtcp_mux: terms.rtcp_mux,
        rtcp_port: !terms.rtcp_mux,
        offering: false,
        ptime_ms: party.preferences.ptime_ms.or(answered.ptime_ms),
        base: answered,
    };
    let description = describe::describe(exchange, index, draft)?;
    let agreed = Agreed { terms: Some(terms), local_formats: answer, send, receive, stream: StreamState::Live };
    exchange.session.parties[index].agree(agreed, kind, false, exchange.rng);
    Ok(description)
}

/// The offer or the answer has port 0: both legs are without audio until another exchange. WhatsApp, which never learns of it, stays as
/// it is.
fn end_stream(
    mut exchange: Exchange<'_>,
    answerer: usize,
    offerer: usize,
    answered: &Arc<PeerDescription>,
) -> Result<NegotiationStep, NegotiationError> {
    let party = exchange.party(offerer);
    let offer = party.negotiation.incoming().ok_or(NegotiationError::OutOfPlace(OutOfPlace::NothingOffered))?;
    let own = offer.terms.remote.clone();
    for (index, remote) in [(answerer, answered), (offerer, &own)] {
        let party = exchange.party_mut(index);
        if !party.is_fixed() && !party.negotiation.agree_to_end(remote) {
            return Err(unbridgeable(remote.media(), AUDIO_REFUSED));
        }
    }
    let party = exchange.party(offerer);
    let description = if party.is_fixed() {
        describe::last_sent(&exchange, offerer)?
    } else {
        let draft = Draft {
            kind: party.endpoint.kind,
            stream: StreamState::Ended,
            formats: party.sent_sdp.formats().to_vec(),
            own: Some(own),
            cryptos: Vec::new(),
            direction: answered.direction,
            setup: None,
            rtcp_mux: false,
            rtcp_port: false,
            offering: false,
            ptime_ms: None,
            base: Arc::clone(answered),
        };
        describe::describe(&mut exchange, offerer, draft)?
    };
    Ok(exchange.finish(&[answerer, offerer], Some(answered), description))
}
