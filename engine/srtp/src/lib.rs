//! SRTP and SRTCP with given keys: RFC 3711 (AES-CM with HMAC-SHA1), RFC 6188 (256-bit keys), RFC 7714 (AES-GCM).
//!
//! One [`SrtpContext`] serves one direction: it either protects or unprotects. A secured leg has two, made from two
//! different [`KeyingMaterial`]s. Packets are processed in place; nothing is allocated per packet.
//!
//! The source of the keys does not matter here. SDES (RFC 4568) has key and salt in the SDP, DTLS-SRTP (RFC 5764) exports
//! them from the handshake, see [`KeyingMaterial::from_dtls`].

mod cipher;
mod context;
mod index;
mod kdf;
mod keys;
mod profile;
mod replay;
mod rtcp;
mod rtp;
mod ssrcs;
#[cfg(test)]
mod tests;

pub use context::{ProtectError, SrtpContext, UnprotectError, Unprotected};
pub use keys::{KeyLengthError, KeyingMaterial};
pub use profile::Profile;
pub use ssrcs::{RETIRED_SSRCS_MAX, SSRCS_MAX};

/// The most that protection adds to a packet, in bytes: a 16-byte GCM tag and, for SRTCP, the 4-byte E-flag and index.
/// Trestle sends no MKI.
pub const OVERHEAD_MAX: usize = 20;
