//! Derives session keys from a master key (RFC 3711 4.3). The key derivation rate is always zero: keys are derived once.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use crate::KeyingMaterial;

/// The use of a session key, as the label of its derivation (RFC 3711 4.3.1 and 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Derives `N` bytes for `label`: the AES-CM keystream under the master key, AES-256 for a 256-bit one (RFC 6188 3).
pub(crate) fn derive<const N: usize>(material: &KeyingMaterial, label: Label) -> Zeroizing<[u8; N]> {
    // x = key_id XOR master_salt, where key_id = label || r is 7 bytes, r = 0, right-aligned in the 14 bytes of the
    // salt. A salt of 12 bytes is padded to 14 with zeros on its right (RFC 7714 11). The keystream starts at x * 2^16.
    let mut iv = [0; 16];
    iv[..material.salt().len()].copy_from_slice(material.salt());
    iv[7] ^= label as u8;
    let mut out = Zeroizing::new([0; N]);
    aes_cm(material.key()).apply(iv, out.as_mut());
    out
}

/// AES in counter mode, as RFC 3711 4.1.1 uses it: the initial counter block is given, the last 16 bits count blocks.
pub(crate) struct AesCm(EncryptingKey);

/// AES-CM under a key of 16 or 32 bytes.
pub(crate) fn aes_cm(key: &[u8]) -> AesCm {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let key = UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ctr);
    AesCm(key.expect("Profile::key_len() is 16 or 32"))
}

impl AesCm {
    /// XORs the keystream that starts at `iv` into `data`; at most 2^16 blocks.
    pub(crate) fn apply(&self, iv: [u8; 16], data: &mut [u8]) {
        let context = EncryptionContext::Iv128(FixedLength::from(&iv));
        self.0.less_safe_encrypt(data, context).map(drop).expect("counter mode takes any length and a 16-byte IV");
    }
}
