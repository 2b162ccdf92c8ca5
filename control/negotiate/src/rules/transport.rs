//! Addresses of peers without ICE, and DTLS roles.

use trestle_core::plan::{DtlsRole, LatchPolicy};
use trestle_ng::command::Signal;
use trestle_ng::command::Switch;
use trestle_ng::command::flags::{DtlsFlag, EndpointLearning, ProfileName};
use trestle_sdp::Setup;

use crate::party::AddressRule;

/// How the media address of the sender of `signal` is found.
pub(crate) fn address_rule(signal: &Signal) -> AddressRule {
    let flags = &signal.flags;
    let source = if flags.has(Switch::SipSourceAddress) { signal.received_from } else { None };
    let address = flags.routing.media_address.or(source);
    let latch = match (address, flags.routing.endpoint_learning) {
        (_, EndpointLearning::Off) => LatchPolicy::Exact,
        _ if flags.has(Switch::Asymmetric) => LatchPolicy::Asymmetric,
        (Some(address), _) => LatchPolicy::Ip(address),
        (None, EndpointLearning::Immediate) => LatchPolicy::Any,
        // The engine's SameIp fixes the port with the first valid packet and drops the rest: that is `strict-source`.
        (None, _) => LatchPolicy::SameIp,
    };
    AddressRule { latch, media_address: address }
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
