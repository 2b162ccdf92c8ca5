//! Every packet of a leg with SDES keys opens with a key that a plan of the leg has given, and only once (RFC 3711
//! section 9.1). No two legs encrypt with the same key.
//!
//! The keys of a DTLS leg are not known here, but the SRTCP index is not encrypted. The SRTP index of such a leg follows from its
//! sequence numbers ([`super::numbering::SentNumbers`]).

use std::collections::BTreeMap;

use trestle_core::plan::Transport;
use trestle_core::{CallId, LegId};
use trestle_srtp::{KeyingMaterial, SrtpContext};
use trestle_wire::demux::DatagramKind;

use super::Checked;

/// Rollover counters that a stream may have reached when its key is renewed.
const ROC_MAX: u32 = 3;

/// A key that a leg encrypts with, and what was encrypted.
#[derive(Debug)]
struct SentSrtp {
    key: KeyingMaterial,
    context: SrtpContext,
    is_used: bool,
}

impl SentSrtp {
    /// False if the packet was not encrypted with this key, or its index was used before.
    fn opens(&mut self, kind: DatagramKind, bytes: &[u8]) -> bool {
        let open = |context: &mut SrtpContext| {
            let mut bytes = bytes.to_vec();
            match kind {
                DatagramKind::Rtp => context.unprotect_rtp(&mut bytes).is_ok(),
                _ => context.unprotect_rtcp(&mut bytes).is_ok(),
            }
        };
        if open(&mut self.context) {
            self.is_used |= kind == DatagramKind::Rtp;
            return true;
        }
        if self.is_used || kind != DatagramKind::Rtp {
            return false;
        }
        // A stream keeps its rollover counter over a new key.
        let restart = |roc| SrtpContext::new(&self.key).with_roc_hint(roc);
        let Some(context) = (1..=ROC_MAX).map(restart).find_map(|mut context| open(&mut context).then_some(context))
        else {
            return false;
        };
        (self.context, self.is_used) = (context, true);
        true
    }
}

/// Bytes behind the word with the E flag and the index: the tag of AES-CM, nothing with AES-GCM (RFC 3711 3.4, RFC 7714 9).
const BEHIND_INDEX: [usize; 2] = [10, 0];
const E_FLAG: u32 = 1 << 31;

/// The SRTCP that a leg sends under the one key of its DTLS association: Trestle never renegotiates it.
#[derive(Debug, Default)]
struct SentSrtcp {
    /// Bytes behind the index, and the index of the last packet. `None` before the first.
    last: Option<(usize, u32)>,
}

impl SentSrtcp {
    /// Checks that a packet is encrypted and that its index is the next one.
    fn check(&mut self, bytes: &[u8]) -> Checked {
        let word = |behind: usize| {
            let end = bytes.len().checked_sub(behind)?;
            Some(u32::from_be_bytes(*bytes.get(8..end)?.last_chunk()?))
        };
        let places = match self.last {
            Some((behind, last)) => vec![(behind, last + 1)],
            // The first index shows which of the profiles was negotiated.
            None => BEHIND_INDEX.into_iter().map(|behind| (behind, 0)).collect(),
        };
        let found = places.iter().find(|(behind, next)| word(*behind) == Some(E_FLAG | next));
        let Some(found) = found else {
            let words: Vec<_> = places.iter().map(|(behind, _)| word(*behind)).collect();
            return Err(format!("SRTCP with {words:08x?} in the place of its index, after {:?}", self.last));
        };
        self.last = Some(*found);
        Ok(())
    }
}

/// What one leg encrypts with.
#[derive(Debug, Default)]
pub(crate) struct Secrecy {
    keys: Vec<SentSrtp>,
    srtcp: SentSrtcp,
}

impl Secrecy {
    /// A plan with this transport is applied.
    pub(crate) fn allow(&mut self, transport: &Transport) {
        let Transport::Sdes { send_key: Some(key), .. } = transport else { return };
        if self.keys.iter().all(|known| known.key != *key) {
            self.keys.push(SentSrtp { key: key.clone(), context: SrtpContext::new(key), is_used: false });
        }
    }

    /// Checks a packet that is sent on a leg with this transport.
    pub(crate) fn check(&mut self, transport: &Transport, kind: Option<DatagramKind>, bytes: &[u8]) -> Checked {
        match transport {
            Transport::Plain(_) => return Ok(()),
            Transport::WebRtc(_) if kind == Some(DatagramKind::Rtcp) => return self.srtcp.check(bytes),
            Transport::WebRtc(_) => return Ok(()),
            Transport::Sdes { .. } => {}
        }
        let Some(kind @ (DatagramKind::Rtp | DatagramKind::Rtcp)) = kind else {
            return Err(format!("{kind:?} on a leg with keys"));
        };
        if self.keys.iter_mut().rev().any(|key| key.opens(kind, bytes)) {
            return Ok(());
        }
        Err(format!("{kind:?} on a leg with keys opens with none of them, or uses an index again"))
    }
}

/// Which leg encrypts with which key.
#[derive(Debug, Default)]
pub(crate) struct KeyOwners(BTreeMap<Vec<u8>, (CallId, LegId)>);

impl KeyOwners {
    /// A plan with this transport is applied to the leg.
    pub(crate) fn check(&mut self, leg: (CallId, LegId), transport: &Transport) -> Checked {
        let Transport::Sdes { send_key: Some(key), .. } = transport else { return Ok(()) };
        let owner = *self.0.entry(key.key_and_salt().to_vec()).or_insert(leg);
        if owner == leg { Ok(()) } else { Err(format!("{leg:?} encrypts with the key of {owner:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use trestle_core::plan::{LatchPolicy, RtpPeer};
    use trestle_srtp::{OVERHEAD_MAX, Profile};

    use super::*;
    use crate::raw;

    fn transport(n: u8) -> Transport {
        Transport::Sdes {
            peer: RtpPeer { rtp: None, rtcp: None, latch: LatchPolicy::SameIp, strict_source: false },
            send_key: Some(raw::key(Profile::AesCm128HmacSha1_80, n)),
            receive_key: None,
            receive_mki_len: 0,
        }
    }

    fn sealed(n: u8, seq: u64) -> Vec<u8> {
        let mut packet = raw::plain_packet(1, seq, 1);
        let len = packet.len();
        packet.resize(len + OVERHEAD_MAX, 0);
        let mut context = SrtpContext::new(&raw::key(Profile::AesCm128HmacSha1_80, n));
        let len = context.protect_rtp(&mut packet, len).expect("a new index");
        packet.truncate(len);
        packet
    }

    #[test]
    fn plaintext_other_keys_and_indexes_used_again_are_refused() {
        let rtp = Some(DatagramKind::Rtp);
        let mut secrecy = Secrecy::default();
        secrecy.allow(&transport(1));
        assert_eq!(secrecy.check(&transport(1), rtp, &sealed(1, 5)), Ok(()));
        assert_eq!(secrecy.check(&transport(1), rtp, &sealed(1, 6)), Ok(()));
        assert!(secrecy.check(&transport(1), rtp, &sealed(1, 6)).is_err(), "an index again");
        assert!(secrecy.check(&transport(1), rtp, &sealed(2, 7)).is_err(), "another key");
        assert!(secrecy.check(&transport(1), rtp, &raw::plain_packet(1, 8, 1)).is_err(), "plaintext");
        secrecy.allow(&transport(2));
        assert_eq!(secrecy.check(&transport(2), rtp, &sealed(2, 7)), Ok(()), "the key is renewed");
    }

    #[test]
    fn srtcp_of_a_dtls_leg_with_another_index_than_the_next_one_is_refused() {
        for profile in [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm] {
            let sent = |index: u32| {
                let mut context = SrtpContext::new(&raw::key(profile, 1));
                context.set_srtcp_index(index);
                let mut packet = [&[0x80, 201, 0, 1, 0, 0, 0, 7][..], &[0; OVERHEAD_MAX]].concat();
                let len = context.protect_rtcp(&mut packet, 8).expect("an index");
                packet.truncate(len);
                packet
            };
            let check = |indexes: &[u32]| {
                let mut srtcp = SentSrtcp::default();
                indexes.iter().try_for_each(|index| srtcp.check(&sent(*index)))
            };
            assert_eq!(check(&[0, 1, 2, 3]), Ok(()), "{profile:?}");
            for indexes in [&[1][..], &[0, 0], &[0, 1, 2, 1], &[0, 2]] {
                assert!(check(indexes).is_err(), "{profile:?} {indexes:?}");
            }
            assert!(SentSrtcp::default().check(&[0x80, 201, 0, 1, 0, 0, 0, 7]).is_err(), "plaintext");
        }
    }

    #[test]
    fn a_key_of_two_legs_is_refused() {
        let mut owners = KeyOwners::default();
        let [first, second] = [1, 2].map(|leg| (CallId(1), LegId(leg)));
        assert_eq!(owners.check(first, &transport(1)), Ok(()));
        assert_eq!(owners.check(first, &transport(1)), Ok(()));
        assert!(owners.check(second, &transport(1)).is_err());
    }
}
