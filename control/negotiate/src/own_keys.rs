//! SRTP keys of this process: they are recognised in the SDP of any call, without a table.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trestle_srtp::{KeyingMaterial, Profile};
use zeroize::Zeroizing;

/// Draws the SRTP keys of this process, and recognises them: the master salt of each is a keyed function of its master key.
///
/// The salt is unpredictable without the secret, and no secret itself (RFC 3711 section 3.2.1): SDP has it beside the key. A
/// key of a peer looks like one of these with a probability of 2^-96.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnKeys {
    secret: [u8; 32],
}

impl std::fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKeys")
    }
}

impl OwnKeys {
    /// `secret` is random, and stays the same as long as the process runs.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// A new key.
    pub(crate) fn draw(&self, profile: Profile, rng: &mut ChaCha12Rng) -> KeyingMaterial {
        let mut raw = Zeroizing::new([0; 32]);
        rng.fill_bytes(raw.as_mut_slice());
        let key = &raw[..profile.key_len()];
        let salt = self.salt(key);
        KeyingMaterial::new(profile, key, &salt[..profile.salt_len()]).expect("the lengths are the profile's own")
    }

    /// True if this process has drawn `key`.
    pub(crate) fn contains(&self, key: &KeyingMaterial) -> bool {
        let key_and_salt = key.key_and_salt();
        let (key, salt) = key_and_salt.split_at(key.profile().key_len());
        self.salt(key)[..salt.len()] == *salt
    }

    /// The master salt that belongs to a master key: ChaCha, keyed in turn by the secret and by eight bytes of the key each.
    fn salt(&self, key: &[u8]) -> [u8; 14] {
        let mut state = Zeroizing::new(self.secret);
        for part in key.chunks(8) {
            let mut block = [0; 8];
            block[..part.len()].copy_from_slice(part);
            let mut function = ChaCha12Rng::from_seed(*state);
            function.set_stream(u64::from_le_bytes(block));
            function.fill_bytes(state.as_mut_slice());
        }
        let mut salt = [0; 14];
        ChaCha12Rng::from_seed(*state).fill_bytes(&mut salt);
        salt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [Profile; 6] = [
        Profile::AesCm128HmacSha1_80,
        Profile::AesCm128HmacSha1_32,
        Profile::AesCm256HmacSha1_80,
        Profile::AesCm256HmacSha1_32,
        Profile::AeadAes128Gcm,
        Profile::AeadAes256Gcm,
    ];

    #[test]
    fn a_process_recognises_its_own_keys_and_no_others() {
        let (own, other) = (OwnKeys::new([1; 32]), OwnKeys::new([2; 32]));
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        for profile in PROFILES {
            let key = own.draw(profile, &mut rng);
            assert!(own.contains(&key) && !other.contains(&key), "{profile:?}");
            let bytes = key.key_and_salt();
            for at in 0..bytes.len() {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1;
                let changed = KeyingMaterial::from_key_and_salt(profile, &changed).unwrap();
                assert!(!own.contains(&changed), "{profile:?}: byte {at} makes no difference");
            }
        }
        // A key read with another suite of the same lengths is still ours.
        let key = own.draw(Profile::AesCm128HmacSha1_80, &mut rng).key_and_salt();
        assert!(own.contains(&KeyingMaterial::from_key_and_salt(Profile::AesCm128HmacSha1_32, &key).unwrap()));
    }
}
