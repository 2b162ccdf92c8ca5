//! SRTP and SRTCP for keys we hold.

use zeroize::Zeroizing;

/// placeholder
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 3711, RFC 4568); also DTLS-SRTP's `SRTP_AES128_CM_SHA1_80`.
    AesCm128HmacSha1_80,
}

/// A master key and salt.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyingMaterial {
    profile: Profile,
    key: Zeroizing<Vec<u8>>,
}
impl std::fmt::Debug for KeyingMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.profile, self.key.len())
    }
}
