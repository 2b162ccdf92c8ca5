//! Every packet of a leg with SDES keys opens with a key that a plan of the leg has given, and only once (RFC 3711
//! section 9.1). No two legs encrypt with the same key.

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

/// What one leg encrypts with.
#[derive(Debug, Default)]
pub(crate) struct Secrecy(Vec<SentSrtp>);

impl Secrecy {
    /// A plan with this transport is applied.
    pub(crate) fn allow(&mut self, transport: &Transport) {
        let Transport::Sdes { send_key: Some(key), .. } = transport else { return };
        if self.0.iter().all(|known| known.key != *key) {
            self.0.push(SentSrtp { key: key.clone(), context: SrtpContext::new(key), is_used: false });
        }
    }

    /// Checks a packet that is sent on a leg with this transport.
    pub(crate) fn check(&mut self, transport: &Transport, kind: Option<DatagramKind>, bytes: &[u8]) -> Checked {
        let Transport::Sdes { .. } = transport else { return Ok(()) };
        let Some(kind @ (DatagramKind::Rtp | DatagramKind::Rtcp)) = kind else {
            return Err(format!("{kind:?} on a leg with keys"));
        };
        if self.0.iter_mut().rev().any(|key| key.opens(kind, bytes)) {
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
            peer: RtpPeer { rtp: None, rtcp: None, latch: LatchPolicy::SameIp },
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
    fn a_key_of_two_legs_is_refused() {
        let mut owners = KeyOwners::default();
        let [first, second] = [1, 2].map(|leg| (CallId(1), LegId(leg)));
        assert_eq!(owners.check(first, &transport(1)), Ok(()));
        assert_eq!(owners.check(first, &transport(1)), Ok(()));
        assert!(owners.check(second, &transport(1)).is_err());
    }
}
