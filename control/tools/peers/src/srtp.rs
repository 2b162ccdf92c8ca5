//! A peer's side of SDES (RFC 4568): one `a=crypto` line each way, one context each way.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rand_chacha::rand_core::Rng;
use trestle_srtp::{KeyingMaterial, OVERHEAD_MAX, Profile, SrtpContext};

use crate::SdpError;
use crate::sdp::PeerSdp;

/// An `a=crypto` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CryptoLine {
    pub(crate) tag: u32,
    pub(crate) material: KeyingMaterial,
}

impl CryptoLine {
    /// A fresh key.
    pub(crate) fn draw(rng: &mut impl Rng, tag: u32, profile: Profile) -> Self {
        let mut bytes = vec![0; profile.key_len() + profile.salt_len()];
        rng.fill_bytes(&mut bytes);
        let material = KeyingMaterial::from_key_and_salt(profile, &bytes).expect("drawn in the profile's own length");
        Self { tag, material }
    }

    /// What follows `a=`.
    pub(crate) fn line(&self) -> String {
        let key = STANDARD.encode(&*self.material.key_and_salt());
        format!("crypto:{} {} inline:{key}", self.tag, self.material.profile().name())
    }

    /// The lines of `description` that can be used, in its order. Lifetime and MKI are looked over.
    pub(crate) fn all(description: &PeerSdp) -> Vec<Self> {
        description.all("crypto").filter_map(Self::read).collect()
    }

    fn read(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let tag = words.next()?.parse().ok()?;
        let profile = Profile::from_name(words.next()?)?;
        let inline = words.next()?.strip_prefix("inline:")?.split('|').next()?;
        let bytes = STANDARD_NO_PAD.decode(inline.trim_end_matches('=')).ok()?;
        Some(Self { tag, material: KeyingMaterial::from_key_and_salt(profile, &bytes).ok()? })
    }

    /// The first offered line whose suite is among `spoken`.
    pub(crate) fn choose(offer: &PeerSdp, spoken: &[Profile]) -> Result<Self, SdpError> {
        let offered = Self::all(offer).into_iter();
        offered.into_iter().find(|crypto| spoken.contains(&crypto.material.profile())).ok_or(SdpError::NoSuite)
    }
}

/// Both directions.
pub(crate) struct Keys {
    /// Plain RTP: packets pass as they are.
    plain: bool,
    ours: Option<(KeyingMaterial, SrtpContext)>,
    theirs: Option<(KeyingMaterial, SrtpContext)>,
}

impl Keys {
    pub(crate) fn plain() -> Self {
        Self { plain: true, ours: None, theirs: None }
    }

    /// Nothing passes before [`Keys::set`].
    pub(crate) fn secured() -> Self {
        Self { plain: false, ours: None, theirs: None }
    }

    /// Takes the keys of an offer/answer; those that did not change keep their indexes (RFC 3711 9.1).
    pub(crate) fn set(&mut self, ours: &KeyingMaterial, theirs: &KeyingMaterial) {
        Self::replace(&mut self.ours, ours);
        Self::replace(&mut self.theirs, theirs);
    }

    fn replace(slot: &mut Option<(KeyingMaterial, SrtpContext)>, material: &KeyingMaterial) {
        if slot.as_ref().is_none_or(|(current, _)| current != material) {
            *slot = Some((material.clone(), SrtpContext::new(material)));
        }
    }

    /// The packet as it goes on the wire.
    pub(crate) fn protect(&mut self, mut packet: Vec<u8>, is_rtcp: bool) -> Option<Vec<u8>> {
        let Some((_, context)) = &mut self.ours else { return self.plain.then_some(packet) };
        let len = packet.len();
        packet.resize(len + OVERHEAD_MAX, 0);
        let done = if is_rtcp { context.protect_rtcp(&mut packet, len) } else { context.protect_rtp(&mut packet, len) };
        packet.truncate(done.ok()?);
        Some(packet)
    }

    /// The packet as it was before protection; `None` if it is not authentic.
    pub(crate) fn unprotect(&mut self, datagram: &[u8], is_rtcp: bool) -> Option<Vec<u8>> {
        let mut packet = datagram.to_vec();
        let Some((_, context)) = &mut self.theirs else { return self.plain.then_some(packet) };
        let done = if is_rtcp { context.unprotect_rtcp(&mut packet) } else { context.unprotect_rtp(&mut packet) };
        packet.truncate(done.ok()?.len);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_line_reads_back_as_written() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for profile in Profile::ALL {
            let crypto = CryptoLine::draw(&mut rng, 3, profile);
            let line = crypto.line();
            assert_eq!(CryptoLine::read(line.strip_prefix("crypto:").unwrap()), Some(crypto), "{line}");
        }
    }

    #[test]
    fn lifetime_and_mki_are_looked_over_and_nonsense_is_not_used() {
        let key = "US8mraPD1jSsPGsSt7M8tQuwljw/bZkkJBYZyE7H";
        let read = |text: String| CryptoLine::read(&text);
        assert!(read(format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31|1:4 UNENCRYPTED_SRTCP")).is_some());
        assert!(read(format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &key[4..])).is_none());
        assert!(read(format!("1 NULL inline:{key}")).is_none());
        assert!(read(format!("x AES_CM_128_HMAC_SHA1_80 inline:{key}")).is_none());
    }
}
