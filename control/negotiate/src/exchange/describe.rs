//! Writes the description that a party gets.

use std::net::IpAddr;
use trestle_core::AddressClass;
use trestle_ng::command::Switch;

use super::Exchange;
use crate::NegotiationError;
use crate::error::{FlagsError, OutOfPlace};
use crate::party::{Party, SdpTemplate, StreamState};
use crate::rules::transport::is_private;
pub(super) use crate::write::Draft;
use crate::write::{self, Frame};
use trestle_ng::command::flags::ProfileName;

/// Writes `draft` for the party at `index`, with a higher version if the text differs from the one that the party has.
pub(super) fn describe(
    exchange: &mut Exchange<'_>,
    index: usize,
    draft: Draft,
) -> Result<SdpTemplate, NegotiationError> {
    let address = our_address(exchange, index)?;
    let party = exchange.party(index);
    let flags = exchange.flags();
    let mid = mid(&draft, flags.has(Switch::GenerateMid));
    let bundle = mid.is_some()
        && draft.stream == StreamState::Live
        && !flags.bundle.reject
        && match &draft.own {
            Some(own) if !draft.offering => own.bundled,
            _ => draft.kind.profile != ProfileName::Sip || flags.bundle.offer || flags.bundle.require,
        };
    let fingerprint = &exchange.environment.fingerprint;
    let write = |party: &Party| {
        write::write(&Frame { party, address, fingerprint, mid: mid.as_deref(), bundle, flags }, &draft)
    };
    let mut description = write(party);
    if party.sent_sdp.needs_new_version(&description, flags.replace.force_increment_sdp_version) {
        let party = &mut exchange.session.parties[index];
        party.sent_sdp.increment_version();
        description = write(party);
    }
    let party = &mut exchange.session.parties[index];
    if let Some(last) = party.sent_sdp.last() {
        description.follow(last);
    }
    party.numbers.note_ours(&draft.formats);
    party.sent_sdp.set(description.clone(), draft.formats);
    if party.profile() == ProfileName::Whatsapp && is_private(address) {
        exchange.warnings.push(format!("WhatsApp cannot reach {address}: configure the interface as LOCAL!PUBLIC"));
    }
    Ok(description)
}

/// In an answer the mid is the offer's (RFC 8843 7.3.1); in an offer it is ours to choose.
fn mid(draft: &Draft, generate: bool) -> Option<String> {
    if let Some(mid) = draft.own.as_ref().and_then(|own| own.mid.clone()) {
        return Some(mid);
    }
    match draft.kind.profile {
        ProfileName::Whatsapp => Some(draft.base.mid.clone().unwrap_or_else(|| "audio".to_owned())),
        ProfileName::Webrtc if draft.offering => Some(draft.base.mid.clone().unwrap_or_else(|| "audio".to_owned())),
        ProfileName::Sip if draft.offering && generate => Some("audio".to_owned()),
        ProfileName::Webrtc | ProfileName::Sip => None,
    }
}

/// The description that the party has already.
pub(super) fn last_sent(exchange: &Exchange<'_>, index: usize) -> Result<SdpTemplate, NegotiationError> {
    let last = exchange.party(index).sent_sdp.last().cloned();
    last.ok_or(NegotiationError::OutOfPlace(OutOfPlace::NothingSent))
}

/// Our address for the party at `index`: `media-address`, for example that of a media proxy in between, else the one that the
/// configuration advertises.
fn our_address(exchange: &mut Exchange<'_>, index: usize) -> Result<IpAddr, NegotiationError> {
    let endpoint = &exchange.party(index).endpoint;
    let ipv6 = endpoint.ipv6;
    let advertised = exchange.environment.advertised(endpoint.interface, ipv6);
    let advertised = advertised.ok_or(NegotiationError::Flags(FlagsError::NoAddress { ipv6 }))?;
    let Some(address) = exchange.flags().routing.media_address else { return Ok(advertised) };
    match AddressClass::of(address) {
        AddressClass::Ordinary | AddressClass::Loopback | AddressClass::LinkLocal if address.is_ipv6() == ipv6 => {
            Ok(address)
        }
        AddressClass::Ordinary | AddressClass::Loopback | AddressClass::LinkLocal => {
            let has = if ipv6 { "IPv6" } else { "IPv4" };
            exchange.warnings.push(format!("media-address {address} ignored: the leg of the receiver has {has}"));
            Ok(advertised)
        }
        _ => Err(NegotiationError::Flags(FlagsError::MediaAddress(address))),
    }
}
