//! Addresses of peers without ICE, and DTLS roles.

use std::net::IpAddr;

use trestle_core::plan::{DtlsRole, LatchPolicy};
use trestle_ng::command::Signal;
use trestle_ng::command::Switch;
use trestle_ng::command::flags::{DtlsFlag, EndpointLearning, ProfileName};
use trestle_sdp::{PeerDescription, Setup};

use crate::party::AddressRule;

/// How the media address of the sender of `signal` is found. `remote` is its description.
///
/// A private address in the SDP of a sender whose signalling came from a public one is not reachable, unless the networks are
/// connected. Then media from either address is the sender's.
pub(crate) fn address_rule(signal: &Signal, remote: &PeerDescription) -> AddressRule {
    let flags = &signal.flags;
    let source = if flags.has(Switch::SipSourceAddress) { signal.received_from } else { None };
    let public_source = signal.received_from.filter(|from| !is_private(*from));
    let latch = match (source, flags.routing.endpoint_learning) {
        (_, EndpointLearning::Off) => LatchPolicy::Exact,
        _ if flags.has(Switch::Asymmetric) => LatchPolicy::Asymmetric,
        (Some(address), _) => LatchPolicy::Ip(address),
        (None, EndpointLearning::Immediate) => LatchPolicy::Any,
        (None, EndpointLearning::Delayed | EndpointLearning::Heuristic) => LatchPolicy::Delayed,
        (None, EndpointLearning::Default) => match (remote.address(), public_source) {
            (Some(signalled), Some(from)) if is_private(signalled) && from.is_ipv4() == signalled.is_ipv4() => {
                LatchPolicy::SameIpOr(from)
            }
            _ => LatchPolicy::SameIp,
        },
    };
    AddressRule { latch, strict_source: flags.has(Switch::StrictSource), source }
}

/// True if the address is of a network that is not reached from the Internet (RFC 1918, RFC 6598, RFC 4193, link-local).
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || matches!(v4.octets(), [100, 64..128, ..]),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// `a=setup` of an answer to `offered`, and the role it gives us (RFC 5763 section 5).
///
/// Active if Trestle may choose, so that the ClientHello goes with the first valid pair; no `a=setup` counts as `actpass`.
pub(crate) fn answer_setup(offered: Option<Setup>, profile: ProfileName, flag: DtlsFlag) -> (Setup, DtlsRole) {
    let passive = flag == DtlsFlag::Passive && profile != ProfileName::Whatsapp;
    match offered {
        Some(Setup::Active) => (Setup::Passive, DtlsRole::Server),
        Some(Setup::Passive) => (Setup::Active, DtlsRole::Client),
        Some(Setup::ActPass) | None if passive => (Setup::Passive, DtlsRole::Server),
        Some(Setup::ActPass) | None => (Setup::Active, DtlsRole::Client),
    }
}

/// Our role by the answer to our `actpass`. `actpass` is no valid answer (RFC 5763 section 5), but Meta sends it at times.
pub(crate) fn role_by_answer(answered: Option<Setup>) -> DtlsRole {
    match answered {
        Some(Setup::Active) => DtlsRole::Server,
        Some(Setup::Passive) => DtlsRole::Client,
        Some(Setup::ActPass) | None => DtlsRole::Either,
    }
}
