//! The session keys of SRTP or of SRTCP, expanded for use.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use trestle_wire::Ssrc;
use zeroize::Zeroizing;

use crate::KeyingMaterial;
use crate::kdf::{AesCm, Label, aes_cm, derive};

/// Bytes of a GCM tag (RFC 7714 13.1).
pub(crate) const GCM_TAG_LEN: usize = 16;

/// Session keys for one of the two protocols.
pub(crate) enum Cipher {
    /// AES-CM, then HMAC-SHA1 (RFC 3711).
    Cm(Box<Cm>),
    /// AES-GCM: encryption and authentication in one (RFC 7714).
    Gcm(Gcm),
}

impl Cipher {
    /// The SRTP keys.
    pub(crate) fn rtp(material: &KeyingMaterial) -> Self {
        Self::new(material, Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt)
    }

    /// The SRTCP keys.
    pub(crate) fn rtcp(material: &KeyingMaterial) -> Self {
        Self::new(material, Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt)
    }

    fn new(material: &KeyingMaterial, encryption: Label, authentication: Label, salt: Label) -> Self {
        let key = derive::<32>(material, encryption);
        let key = &key[..material.profile().key_len()];
        if material.profile().is_aead() {
            Self::Gcm(Gcm::new(key, derive(material, salt)))
        } else {
            Self::Cm(Box::new(Cm::new(key, derive::<20>(material, authentication).as_ref(), derive(material, salt))))
        }
    }
}

/// AES-CM with HMAC-SHA1.
pub(crate) struct Cm {
    key: AesCm,
    salt: Zeroizing<[u8; 14]>,
    mac: hmac::Key,
}

impl Cm {
    pub(crate) fn new(key: &[u8], auth_key: &[u8], salt: Zeroizing<[u8; 14]>) -> Self {
        Self { key: aes_cm(key), salt, mac: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth_key) }
    }

    /// Encrypts or decrypts (the same operation) the encrypted part of a packet.
    pub(crate) fn apply(&self, ssrc: Ssrc, index: u64, data: &mut [u8]) {
        // IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16), RFC 3711 4.1.1.
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(self.salt.as_ref());
        xor(&mut iv[4..8], &ssrc.0.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        self.key.apply(iv, data);
    }

    /// The whole HMAC over the concatenated `parts`; a tag is its first bytes (RFC 3711 4.2.1).
    pub(crate) fn sign(&self, parts: [&[u8]; 2]) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.mac);
        parts.into_iter().for_each(|part| mac.update(part));
        mac.sign()
    }

    /// True if `tag` is the HMAC over `parts`, truncated to the tag's length. In constant time.
    pub(crate) fn verify(&self, parts: [&[u8]; 2], tag: &[u8]) -> bool {
        let signed = self.sign(parts);
        signed.as_ref().get(..tag.len()).is_some_and(|own| verify_slices_are_equal(own, tag).is_ok())
    }
}

/// AES-GCM.
pub(crate) struct Gcm {
    key: LessSafeKey,
    salt: Zeroizing<[u8; 12]>,
}

impl Gcm {
    pub(crate) fn new(key: &[u8], salt: Zeroizing<[u8; 12]>) -> Self {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).expect("Profile::key_len() is 16 or 32");
        Self { key: LessSafeKey::new(key), salt }
    }

    /// Encrypts `data` in place; returns the tag over `aad` and `data`.
    pub(crate) fn seal(&self, ssrc: Ssrc, index: u64, aad: &[u8], data: &mut [u8]) -> [u8; GCM_TAG_LEN] {
        let tag = self.key.seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), data);
        let tag = tag.expect("a datagram is far shorter than what GCM can seal");
        let mut bytes = [0; GCM_TAG_LEN];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Decrypts `data` in place if `tag` authenticates it; otherwise returns false, and the content of `data` is lost.
    pub(crate) fn open(&self, ssrc: Ssrc, index: u64, aad: &[u8], tag: &[u8], data: &mut [u8]) -> bool {
        self.key.open_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), tag, data).is_ok()
    }

    /// True if `tag` authenticates `data`, which stays encrypted. False also if `data` is longer than `scratch`.
    pub(crate) fn verify(
        &self,
        ssrc: Ssrc,
        index: u64,
        aad: &[u8],
        tag: &[u8],
        data: &[u8],
        scratch: &mut [u8],
    ) -> bool {
        let Some(out) = scratch.get_mut(..data.len()) else { return false };
        self.key.open_separate_gather(self.nonce(ssrc, index), Aad::from(aad), data, tag, out).is_ok()
    }

    /// SRTP: `00 00 || SSRC || ROC || SEQ`, SRTCP: `00 00 || SSRC || 00 00 || 0 + index`, XOR the salt (RFC 7714 8.1
    /// and 9.1). Both are the SSRC and a number of 48 bits.
    fn nonce(&self, ssrc: Ssrc, index: u64) -> Nonce {
        let mut nonce = *self.salt;
        xor(&mut nonce[2..6], &ssrc.0.to_be_bytes());
        xor(&mut nonce[6..12], &index.to_be_bytes()[2..]);
        Nonce::assume_unique_for_key(nonce)
    }
}

fn xor(target: &mut [u8], mask: &[u8]) {
    target.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}
