//! Random values of a leg, drawn once from the caller's generator: SSRC, CNAME, ICE credentials, session id, SDES keys.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use trestle_core::OwnSsrcs;
use trestle_core::plan::IceCredentials;
use trestle_sdp::Security;
use trestle_srtp::{KeyingMaterial, Profile};
use trestle_wire::Ssrc;

use crate::own_keys::OwnKeys;

/// ice-char of RFC 8839 5.4; also harmless in a CNAME.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Random values of one leg. No other leg has any of them.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    pub(crate) ssrc: Ssrc,
    /// 96 bits, as RFC 7022 4.2 asks for a short-lived CNAME.
    pub(crate) cname: String,
    pub(crate) ice: IceCredentials,
    /// `sess-id` of `o=`.
    pub(crate) session_id: u64,
    /// Our sending keys, one per suite that was offered or answered on this leg.
    keys: Vec<KeyingMaterial>,
}

impl Secrets {
    /// Draws all but the keys. `taken` are the SSRCs in use in the call, which are avoided (RFC 3550 8.2).
    pub(crate) fn draw(rng: &mut ChaCha12Rng, own_ssrcs: OwnSsrcs, taken: &[Ssrc]) -> Self {
        let ssrc = loop {
            let ssrc = own_ssrcs.make(rng.next_u32() as u16);
            if !taken.contains(&ssrc) {
                break ssrc;
            }
        };
        Self {
            ssrc,
            cname: word(rng, 16),
            ice: ice_credentials(rng),
            // Below 2^62, so that every reader's signed 64 bits hold it (RFC 8866 5.2 sets no bound).
            session_id: rng.next_u64() >> 2,
            keys: Vec::new(),
        }
    }

    /// Our key for a suite; drawn at the first call, then always the same.
    pub(crate) fn key(&mut self, profile: Profile, own_keys: &OwnKeys, rng: &mut ChaCha12Rng) -> KeyingMaterial {
        if let Some(key) = self.known_key(profile) {
            return key;
        }
        let material = own_keys.draw(profile, rng);
        self.keys.push(material.clone());
        material
    }

    /// The leg is no longer secured in this way. Should it be again, it is with other secrets: the counters of SRTP begin anew, and
    /// no index may be used twice under a key.
    pub(crate) fn renew(&mut self, left: Security, rng: &mut ChaCha12Rng) {
        match left {
            Security::Plain => {}
            Security::Sdes => self.keys.clear(),
            Security::Dtls => self.ice = ice_credentials(rng),
        }
    }

    /// Our key for a suite, if it was ever drawn.
    pub(crate) fn known_key(&self, profile: Profile) -> Option<KeyingMaterial> {
        self.keys.iter().find(|key| key.profile() == profile).cloned()
    }
}

/// At least 24 and 128 bits (RFC 8445 5.3): 48 and 156.
fn ice_credentials(rng: &mut ChaCha12Rng) -> IceCredentials {
    IceCredentials { ufrag: word(rng, 8), pwd: word(rng, 26).into() }
}

fn word(rng: &mut ChaCha12Rng, length: usize) -> String {
    (0..length).map(|_| char::from(ICE_CHARS[(rng.next_u32() >> 26) as usize])).collect()
}
