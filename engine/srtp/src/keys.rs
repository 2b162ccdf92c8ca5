//! Master key and master salt.

use zeroize::Zeroizing;

use crate::Profile;

const KEY_BYTES_MAX: usize = 32;
const SALT_BYTES_MAX: usize = 14;

/// The master key and master salt of one direction, with their profile.
///
/// Wiped from memory when dropped. `Debug` shows only the profile.
#[derive(Clone)]
pub struct KeyingMaterial {
    profile: Profile,
    /// The first `profile.key_len()` bytes are used; the rest is zero.
    key: Zeroizing<[u8; KEY_BYTES_MAX]>,
    /// The first `profile.salt_len()` bytes are used; the rest is zero.
    salt: Zeroizing<[u8; SALT_BYTES_MAX]>,
}

/// Key or salt does not have the length of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} takes a key of {} and a salt of {} bytes, got {got_bytes} bytes", profile.name(), profile.key_len(), profile.salt_len())]
pub struct KeyLengthError {
    /// The profile.
    pub profile: Profile,
    /// Bytes of key and salt together.
    pub got_bytes: usize,
}

impl KeyingMaterial {
    /// Makes it of a master key and a master salt.
    ///
    /// # Errors
    /// If one of them does not have the length of `profile`.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyLengthError> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(KeyLengthError { profile, got_bytes: key.len() + salt.len() });
        }
        let mut material =
            Self { profile, key: Zeroizing::new([0; KEY_BYTES_MAX]), salt: Zeroizing::new([0; SALT_BYTES_MAX]) };
        material.key[..key.len()].copy_from_slice(key);
        material.salt[..salt.len()].copy_from_slice(salt);
        Ok(material)
    }

    /// Makes it of key and salt in one piece, as in an `inline:` parameter after base64 decoding (RFC 4568 6.1).
    ///
    /// # Errors
    /// If `key_salt` does not have the length of `profile`.
    pub fn from_key_and_salt(profile: Profile, key_and_salt: &[u8]) -> Result<Self, KeyLengthError> {
        match key_and_salt.split_at_checked(profile.key_len()) {
            Some((key, salt)) => Self::new(profile, key, salt),
            None => Err(KeyLengthError { profile, got_bytes: key_and_salt.len() }),
        }
    }

    /// Splits the key material of a DTLS handshake, exported under `EXTRACTOR-dtls_srtp`, into two directions: `(send, receive)`.
    ///
    /// The exporter yields client key, server key, client salt, server salt, in this order (RFC 5764 4.2).
    /// `we_are_client` is the DTLS role, not the ICE role. `None` if `exported` does not have the length of
    /// [`Self::dtls_export_len`].
    pub fn from_dtls(profile: Profile, exported: &[u8], we_are_client: bool) -> Option<(Self, Self)> {
        if exported.len() != Self::dtls_export_len(profile) {
            return None;
        }
        let (keys, salts) = exported.split_at(2 * profile.key_len());
        let (client_key, server_key) = keys.split_at(profile.key_len());
        let (client_salt, server_salt) = salts.split_at(profile.salt_len());
        let client = Self::new(profile, client_key, client_salt).ok()?;
        let server = Self::new(profile, server_key, server_salt).ok()?;
        Some(if we_are_client { (client, server) } else { (server, client) })
    }

    /// Bytes to export from a DTLS handshake for `profile`: two keys and two salts (RFC 5764 4.2).
    pub const fn dtls_export_len(profile: Profile) -> usize {
        2 * (profile.key_len() + profile.salt_len())
    }

    /// The protection profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Key, then salt: the content of an `inline:` parameter before base64 (RFC 4568 6.1).
    pub fn key_and_salt(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.key(), self.salt()].concat())
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key[..self.profile.key_len()]
    }

    pub(crate) fn salt(&self) -> &[u8] {
        &self.salt[..self.profile.salt_len()]
    }
}

impl PartialEq for KeyingMaterial {
    fn eq(&self, other: &Self) -> bool {
        // In constant time, so that a comparison of a peer's key with ours reveals nothing.
        use aws_lc_rs::constant_time::verify_slices_are_equal;
        self.profile == other.profile
            && verify_slices_are_equal(self.key(), other.key()).is_ok()
            && verify_slices_are_equal(self.salt(), other.salt()).is_ok()
    }
}

impl Eq for KeyingMaterial {}

impl std::fmt::Debug for KeyingMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyingMaterial({})", self.profile.name())
    }
}
