//! One party alone (`create`, `create answer`): Trestle makes the offer; `connect` gives the party its source later.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Exchange, NegotiationStep, answer, describe, offer};
use crate::NegotiationError;
use crate::error::OutOfPlace;
use crate::rules::{codecs, profile};
use crate::write::family;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::PeerDescription;

/// An offer of our own for the party of from-tag.
pub(super) fn create(mut exchange: Exchange<'_>) -> Result<NegotiationStep, NegotiationError> {
    let tag = &exchange.signal.from_tag;
    let known = exchange.session.index_of_tag(tag);
    if let Some(index) = known.filter(|index| exchange.party(*index).answered()) {
        let tag = exchange.party(index).tags()[0].clone();
        return Err(NegotiationError::OutOfPlace(OutOfPlace::HasAnswered { tag }));
    }
    let all = PeerDescription::read(&every_message_of_trestle(0, Ipv4Addr::LOCALHOST.into()), &[], false)?;
    let kind = profile::of_receiver(&all, ProfileName::Sip, exchange.flags())?;
    let interface = exchange.interface(1)?;
    let is_same = |index: &usize| {
        let endpoint = &exchange.party(*index).endpoint;
        (endpoint.kind, endpoint.interface) == (kind, interface)
    };
    let index = match known.filter(is_same) {
        Some(index) => index,
        None => {
            // Another attempt, with another kind of leg; nothing was agreed on the first.
            if let Some(index) = known {
                let leg = exchange.party(index).leg();
                exchange.remove_leg(leg);
            }
            exchange.add_callee(kind, None, false)?
        }
    };
    exchange.party_mut(index).names.set_main_tag(tag);
    exchange.take_flags(index);
    exchange.take_gate_flags(&[index]);
    let party = exchange.party(index);
    let address = exchange.environment.advertised(party.endpoint.interface, party.endpoint.ipv6);
    let address = address.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let own = PeerDescription::read(&every_message_of_trestle(party.secrets.session_id, address), &[], false)?;
    let description = offer::propose(&mut exchange, &Arc::new(own), ProfileName::Sip, index, kind)?;
    Ok(exchange.finish(&[index], None, description))
}

/// The answer of that party.
pub(super) fn create_answer(mut exchange: Exchange<'_>) -> Result<NegotiationStep, NegotiationError> {
    let tag = &exchange.signal.from_tag;
    let index = exchange.session.index_of_tag(tag).ok_or_else(|| exchange.unknown_tag(tag))?;
    let party = exchange.party(index);
    if party.routing.offered_by().is_some() || !party.endpoint.we_offered {
        return Err(NegotiationError::OutOfPlace(OutOfPlace::NotCreated { tag: tag.clone() }));
    }
    let remote = answer::read(&mut exchange, index)?;
    exchange.take_flags(index);
    answer::recognise_whatsapp(&mut exchange, index, &remote);
    exchange.take_gate_flags(&[index]);
    let offered = answer::offered_formats(exchange.party(index))?;
    let format = codecs::first_accepted(&offered, &remote)?;
    answer::agree_answerer(&mut exchange, index, &remote, &format, offered)?;
    let description = describe::last_sent(&exchange, index)?;
    Ok(exchange.finish(&[index], Some(&remote), description))
}

/// The offer when there is no other side: every codec of Trestle.
fn every_message_of_trestle(session_id: u64, address: IpAddr) -> String {
    let at = format!("IN {} {address}", family(address));
    let lines = [
        "v=0",
        &format!("o=- {session_id} 1 {at}"),
        "s=-",
        &format!("c={at}"),
        "t=0 0",
        "m=audio 9 RTP/AVP 111 8 0 101",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
    ];
    lines.iter().flat_map(|line| [*line, "\r\n"]).collect()
}
