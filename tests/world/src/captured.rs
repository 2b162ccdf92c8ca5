//! Judges what Trestle has put on the wire: every packet of a secured leg opens with the key that Trestle announced for
//! it, and no index is used twice under a key (RFC 3711 section 9.1).

use std::collections::{BTreeMap, BTreeSet};

use trestle_srtp::{KeyingMaterial, Profile, SrtpContext};
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::read_header;
use trestle_wire::{SeqExtender, Ssrc};

use crate::raw;
use crate::world::World;

/// How much was judged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// SRTP packets.
    pub rtp: usize,
    /// SRTCP packets.
    pub rtcp: usize,
}

/// One announced key and what was encrypted with it.
struct Key {
    context: SrtpContext,
    sequences: BTreeMap<Ssrc, SeqExtender>,
    indexes: BTreeSet<(Ssrc, u64)>,
    rtcp_indexes: BTreeSet<(Ssrc, u32)>,
}

/// Judges everything captured from legs for which one of `sdps`, all written by Trestle, has an `a=crypto`. Panics at the
/// first packet that is at fault.
pub fn judge(world: &World, sdps: &[String]) -> Judged {
    // All keys that were announced for a port; which of them is in use, its packets show.
    let mut keys: BTreeMap<u16, Vec<(KeyingMaterial, Key)>> = BTreeMap::new();
    for sdp in sdps {
        let (address, _) = raw::read(sdp);
        for key in raw::keys(sdp) {
            let known = keys.entry(address.port()).or_default();
            if known.iter().all(|(other, _)| *other != key) {
                let context = SrtpContext::new(&key);
                let (sequences, indexes, rtcp_indexes) = Default::default();
                known.push((key, Key { context, sequences, indexes, rtcp_indexes }));
            }
        }
    }
    let mut judged = Judged::default();
    for (_, datagram) in world.captured() {
        // RTCP has the RTP port's key.
        let Some(keys) = keys.get_mut(&(datagram.from.port() & !1)) else { continue };
        let is_rtcp = match DatagramKind::of(&datagram.bytes) {
            Some(DatagramKind::Rtp) => false,
            Some(DatagramKind::Rtcp) => true,
            kind => panic!("{kind:?} from a leg with keys: {:02x?}", &datagram.bytes[..datagram.bytes.len().min(16)]),
        };
        let opened = keys.iter_mut().any(|(_, key)| {
            let mut bytes = datagram.bytes.clone();
            match is_rtcp {
                true => key.context.unprotect_rtcp(&mut bytes).is_ok(),
                false => key.context.unprotect_rtp(&mut bytes).is_ok(),
            }
            .then(|| key.note(&datagram.bytes, is_rtcp))
            .is_some()
        });
        assert!(opened, "to {}: opens with no announced key, or uses an index again", datagram.to);
        judged.rtcp += usize::from(is_rtcp);
        judged.rtp += usize::from(!is_rtcp);
    }
    judged
}

impl Key {
    /// Counts once more what the context's replay window has judged, without a window.
    fn note(&mut self, protected: &[u8], is_rtcp: bool) {
        if is_rtcp {
            let ssrc = Ssrc(u32::from_be_bytes([protected[4], protected[5], protected[6], protected[7]]));
            let profile = self.context.profile();
            let gcm = matches!(profile, Profile::AeadAes128Gcm | Profile::AeadAes256Gcm);
            let end = protected.len() - if gcm { 0 } else { profile.rtcp_tag_len() };
            let word = [protected[end - 4], protected[end - 3], protected[end - 2], protected[end - 1]];
            let word = u32::from_be_bytes(word);
            assert!(word >> 31 == 1, "SRTCP in clear");
            assert!(self.rtcp_indexes.insert((ssrc, word)), "SRTCP index {word:#x} of {ssrc:?} again");
        } else {
            let header = read_header(protected).expect("RTP");
            let index = self.sequences.entry(header.ssrc).or_default().extend(header.seq);
            assert!(self.indexes.insert((header.ssrc, index.0)), "index {} of {:?} again", index.0, header.ssrc);
        }
    }
}
