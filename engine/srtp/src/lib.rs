//! SRTP and SRTCP for keys we hold: RFC 3711 (AES-CM with HMAC-SHA1), RFC 6188 (256-bit keys), RFC 7714 (AES-GCM).
//!
//! One [`Context`] serves one direction: what it protects it never unprotects. A secured leg has two, made from two
//! different [`KeyingMaterial`]s. Packets are worked on in place; nothing is allocated per packet.
//!
//! Where keys come from is not known here. SDES (RFC 4568) hands over key and salt as signalled, DTLS-SRTP (RFC 5764)
//! as exported from the handshake, see [`KeyingMaterial::from_dtls`].

mod cipher;
mod context;
mod index;
mod kdf;
mod keys;
mod profile;
mod replay;
mod rtcp;
mod rtp;
#[cfg(test)]
mod tests;

pub use context::{Context, ProtectError, SSRCS_MAX, UnprotectError};
pub use keys::{KeyLengthError, KeyingMaterial};
pub use profile::Profile;

/// The most that protection adds to a packet, in bytes: a 16-byte GCM tag and, for SRTCP, the 4-byte E-flag and index.
/// We send no MKI.
pub const OVERHEAD_MAX: usize = 20;
