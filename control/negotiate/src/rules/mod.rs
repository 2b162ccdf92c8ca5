//! Rules of negotiation as pure functions: profiles, codecs, SDES suites, addresses and DTLS roles.

pub(crate) mod codecs;
pub(crate) mod crypto;
pub(crate) mod profile;
pub(crate) mod transport;
