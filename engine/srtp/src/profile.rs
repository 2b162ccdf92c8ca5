//! Protection profiles: cipher, key, salt and tag lengths.

/// A crypto suite of SDES (RFC 4568 6.2, RFC 6188 4, RFC 7714 14.2), which is also a protection profile of DTLS-SRTP
/// (RFC 5764 4.1.2, RFC 7714 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// AES-128 counter mode, 80-bit tags. Every peer supports it (RFC 4568 6.2, RFC 5764 4.1.2).
    AesCm128HmacSha1_80,
    /// AES-128 counter mode, 32-bit tags on SRTP, 80-bit tags on SRTCP.
    AesCm128HmacSha1_32,
    /// AES-256 counter mode, 80-bit tags.
    AesCm256HmacSha1_80,
    /// AES-256 counter mode, 32-bit tags on SRTP, 80-bit tags on SRTCP.
    AesCm256HmacSha1_32,
    /// AES-128 Galois/counter mode, 128-bit tags.
    AeadAes128Gcm,
    /// AES-256 Galois/counter mode, 128-bit tags.
    AeadAes256Gcm,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 6] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Name of the suite in an `a=crypto` line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name, compared without case as ABNF literals are (RFC 5234 2.3).
    ///
    /// RFC 6188 writes `AES_256_CM` where RFC 4568 writes `AES_CM_128`; peers confuse the two orders, so both are accepted
    /// for both key lengths. `None` for a suite that Trestle does not support.
    pub fn from_name(name: &str) -> Option<Self> {
        const OTHER_ORDER: [(&str, Profile); 4] = [
            ("AES_128_CM_HMAC_SHA1_80", Profile::AesCm128HmacSha1_80),
            ("AES_128_CM_HMAC_SHA1_32", Profile::AesCm128HmacSha1_32),
            ("AES_CM_256_HMAC_SHA1_80", Profile::AesCm256HmacSha1_80),
            ("AES_CM_256_HMAC_SHA1_32", Profile::AesCm256HmacSha1_32),
        ];
        Self::ALL
            .into_iter()
            .map(|profile| (profile.name(), profile))
            .chain(OTHER_ORDER)
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, profile)| profile)
    }

    /// Bytes of the master key, which are also the bytes of the session encryption key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt: 112 bits (RFC 3711 8.2), with GCM 96 bits (RFC 7714 12).
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Bytes of an SRTP packet's authentication tag.
    pub const fn rtp_tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm256HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes of an SRTCP packet's authentication tag. Never 4: the short tag is for SRTP only (RFC 3711 5.2, RFC 4568 6.2.2).
    pub const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// True if cipher and authentication are one (RFC 7714).
    pub(crate) const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_lengths() {
        // name, key, salt, SRTP tag, SRTCP tag
        let table = [
            ("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10),
            ("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10),
            ("AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10),
            ("AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10),
            ("AEAD_AES_128_GCM", 16, 12, 16, 16),
            ("AEAD_AES_256_GCM", 32, 12, 16, 16),
        ];
        let real = Profile::ALL.map(|p| (p.name(), p.key_len(), p.salt_len(), p.rtp_tag_len(), p.rtcp_tag_len()));
        assert_eq!(real, table);
    }

    #[test]
    fn names_read_back_in_any_case_and_in_both_orders() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
            assert_eq!(Profile::from_name(&profile.name().to_lowercase()), Some(profile));
        }
        assert_eq!(Profile::from_name("AES_CM_256_HMAC_SHA1_80"), Some(Profile::AesCm256HmacSha1_80));
        assert_eq!(Profile::from_name("AES_CM_256_HMAC_SHA1_32"), Some(Profile::AesCm256HmacSha1_32));
    }

    #[test]
    fn suites_that_protect_less_are_not_read() {
        for name in [
            "",
            "NULL_HMAC_SHA1_80",
            "F8_128_HMAC_SHA1_80",
            "AES_CM_128_HMAC_SHA1_8",
            "AEAD_AES_128_GCM_8",
            " AEAD_AES_128_GCM",
        ] {
            assert_eq!(Profile::from_name(name), None, "{name:?}");
        }
    }
}
