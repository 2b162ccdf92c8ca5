//! Addresses that a description and its flags give for the peer: refused, passed over, or warned about.
//!
//! [`trestle_core::AddressPolicy`] has the rules. Of a leg with ICE, only candidates are sent to; of another, the addresses of
//! [`AddressRule::rtp_peer`].

use std::net::{IpAddr, SocketAddr};

use trestle_core::address_policy::service_on;
use trestle_core::{AddressClass, AddressRefusal};
use trestle_sdp::{Line, PeerDescription, PeerDescriptionError, Security};

use super::Exchange;
use crate::error::{FlagsError, NegotiationError};
use crate::party::AddressRule;
use crate::rules::transport;

/// Checks the addresses of the party at `index` by its description `remote`, and removes candidates that are refused.
///
/// # Errors
///
/// An address that media would go to is refused, or each candidate is.
pub(super) fn check(
    exchange: &mut Exchange<'_>,
    index: usize,
    remote: &mut PeerDescription,
) -> Result<(), NegotiationError> {
    if remote.is_ended() {
        return Ok(());
    }
    let endpoint = &exchange.party(index).endpoint;
    let (interface, ipv6) = (endpoint.interface, endpoint.ipv6);
    let Some(local) = exchange.environment.address(interface, ipv6).map(|address| address.local) else {
        // Without an address there is no leg: the caller refuses the message.
        return Ok(());
    };
    if remote.security == Security::Dtls {
        check_unused_connection(exchange, local, remote)?;
        return retain_candidates(exchange, local, remote);
    }
    let rule = transport::address_rule(exchange.signal, remote);
    let peer = rule.rtp_peer(remote);
    if let Some(rtp) = peer.rtp {
        check_one(exchange, local, rtp, connection_line(remote), flag_of(rule))?;
    }
    if let Some(rtcp) = peer.rtcp {
        let line = remote.media().attribute("rtcp").map(|attribute| attribute.line);
        let from_flag = flag_of(rule).filter(|_| Some(rtcp.ip()) == rule.source);
        check_one(exchange, local, rtcp, line.unwrap_or(connection_line(remote)), from_flag)?;
    }
    let ports = [peer.rtp.map(|rtp| ("RTP", rtp.port())), peer.rtcp.map(|rtcp| ("RTCP", rtcp.port()))];
    for (flow, port) in ports.into_iter().flatten() {
        warn_of_service(&mut exchange.warnings, flow, port);
    }
    Ok(())
}

/// The flag that gives the address in place of the SDP.
fn flag_of(rule: AddressRule) -> Option<&'static str> {
    rule.source.map(|_| "received-from")
}

fn check_one(
    exchange: &Exchange<'_>,
    local: IpAddr,
    address: SocketAddr,
    line: &Line,
    flag: Option<&'static str>,
) -> Result<(), NegotiationError> {
    let Err(refusal) = exchange.environment.addresses.check(local, address) else { return Ok(()) };
    Err(match flag {
        Some(key) => NegotiationError::Flags(FlagsError::Address { key, address, refusal }),
        None => refused_line(line, address, refusal),
    })
}

/// The `c=` line of a leg with ICE is not sent to, and some stacks write a placeholder such as 127.0.0.1. Own sockets, multicast and
/// broadcast are refused all the same: no description of a peer has them.
fn check_unused_connection(
    exchange: &Exchange<'_>,
    local: IpAddr,
    remote: &PeerDescription,
) -> Result<(), NegotiationError> {
    let address = remote.addresses.rtp;
    let Err(refusal) = exchange.environment.addresses.check(local, address) else { return Ok(()) };
    match refusal {
        AddressRefusal::OwnListener
        | AddressRefusal::OwnMediaPort
        | AddressRefusal::Class(AddressClass::Multicast | AddressClass::Broadcast, _) => {
            Err(refused_line(connection_line(remote), address, refusal))
        }
        _ => Ok(()),
    }
}

/// Removes refused candidates of the family of `local`; the others are not used.
fn retain_candidates(
    exchange: &mut Exchange<'_>,
    local: IpAddr,
    remote: &mut PeerDescription,
) -> Result<(), NegotiationError> {
    let Some(ice) = &mut remote.ice else { return Ok(()) };
    let policy = &exchange.environment.addresses;
    let mut refused = Vec::new();
    ice.candidates.retain(|candidate| {
        let is_used = candidate.address.is_ipv4() == local.is_ipv4();
        match policy.check(local, candidate.address) {
            Err(refusal) if is_used => {
                refused.push((candidate.address, refusal));
                false
            }
            _ => true,
        }
    });
    let mut usable = ice.candidates.iter().filter(|candidate| candidate.address.is_ipv4() == local.is_ipv4());
    if let (Some(first), None) = (refused.first(), usable.next()) {
        let (address, refusal) = first;
        let line = remote.media().attribute("candidate").map_or(&remote.media().line, |attribute| attribute.line);
        let reason = format!("no candidate can be used; {address}: {refusal}");
        return Err(NegotiationError::Sdp(PeerDescriptionError::Unbridgeable(line.error(reason))));
    }
    for candidate in &ice.candidates {
        warn_of_service(&mut exchange.warnings, "candidate", candidate.address.port());
    }
    exchange
        .warnings
        .extend(refused.into_iter().map(|(address, refusal)| format!("candidate {address} ignored: {refusal}")));
    Ok(())
}

fn warn_of_service(warnings: &mut Vec<String>, flow: &str, port: u16) {
    if let Some(service) = service_on(port) {
        let text = format!("the peer's {flow} port {port} is the port of {service}; no phone receives media there");
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }
}

fn refused_line(line: &Line, address: SocketAddr, refusal: AddressRefusal) -> NegotiationError {
    NegotiationError::Sdp(PeerDescriptionError::Unbridgeable(line.error(format!("the address {address}: {refusal}"))))
}

/// The line that has the peer's address. A description without `c=` is not read; `m=` has the port of the address.
fn connection_line(remote: &PeerDescription) -> &Line {
    let media = remote.media();
    let mut lines = media.lines.iter().chain(&remote.sdp.session);
    lines.find(|line| line.letter == 'c').unwrap_or(&media.line)
}
