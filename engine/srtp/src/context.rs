//! One direction of a secured leg: its session keys, and the state of each SSRC.

use arrayvec::ArrayVec;
use trestle_wire::{Seq, Ssrc};

use crate::cipher::Cipher;
use crate::index::{RTCP_INDEX_END, RTP_INDEX_END, guess, index};
use crate::replay::ReplayWindow;
use crate::ssrcs::{SsrcState, SsrcTable};
use crate::{KeyingMaterial, Profile};

/// Longest packet, in bytes: the limit of UDP, well under the 2^16 blocks of one keystream (RFC 3711 4.1.1).
pub(crate) const PACKET_BYTES_MAX: usize = 65_535;

/// The longest master key identifier that SDES can announce (RFC 4568 6.1).
const MKI_BYTES_MAX: usize = 128;

/// One direction of a secured leg.
///
/// # State
///
/// For each SSRC, the highest SRTP index with the replay window behind it, and the same for SRTCP. None of this
/// changes before a packet is authenticated: without the key it is impossible to move a roll-over counter or a
/// window, or to use a place among the SSRCs.
///
/// A direction has a replay window for each of the [`crate::SSRCS_MAX`] SSRCs that were used last as long as its key is used. Of up to
/// [`crate::RETIRED_SSRCS_MAX`] others it keeps the highest indices: what is lower is refused, so nothing can be replayed. One more is
/// refused. Peers change SSRC on a transfer or after hold, not on every packet, and a new key means a new context.
///
/// # Initial roll-over counter
///
/// The roll-over counter of a new SSRC is not known. It is 0 unless the peer started close to a wrap and its first packets
/// were lost; then it is 1. Both are tried, and the value of [`SrtpContext::with_roc_hint`]. This costs at most four
/// authentications per packet, and only until the first packet is authenticated.
pub struct SrtpContext {
    pub(crate) profile: Profile,
    pub(crate) rtp: Cipher,
    pub(crate) rtcp: Cipher,
    pub(crate) mki_len: usize,
    roc_hint: Option<u32>,
    /// Next SRTCP index to send, of all SSRCs together; `RTCP_INDEX_END` once all are used up.
    srtcp_index: u32,
    pub(crate) streams: SsrcTable,
}

/// A packet that was received and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unprotected {
    /// Length of the plain packet.
    pub len: usize,
    /// The stream of an SRTP packet; the sender of an SRTCP packet.
    pub ssrc: Ssrc,
    /// SRTP: `ROC << 16 | seq`. SRTCP: the index of 31 bits in the packet.
    pub index: u64,
    /// The index is higher than all indices that were received from the SSRC before.
    pub is_newest: bool,
}

/// Why a packet was not protected. It must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtectError {
    /// Not an RTP or RTCP packet, or no room for the tag after it.
    #[error("not a packet, or no room for its tag")]
    Malformed,
    /// The index was used under this key before, or is too old to know (RFC 3711 9.1): two encryptions under one index reveal
    /// both payloads.
    #[error("packet index was used before")]
    IndexReused,
    /// 2^48 SRTP or 2^31 SRTCP packets were protected (RFC 3711 9.2). A new key is needed.
    #[error("all packet indices of this key are used up")]
    KeyExhausted,
    /// One SSRC more than [`crate::SSRCS_MAX`] and [`crate::RETIRED_SSRCS_MAX`].
    #[error("too many SSRCs under one key")]
    TooManySsrcs,
}

/// Why a packet was not accepted. Nothing in the context has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnprotectError {
    /// Not an SRTP or SRTCP packet; also an SRTCP packet that is not encrypted.
    #[error("not an SRTP packet")]
    Malformed,
    /// The tag is wrong.
    #[error("authentication failed")]
    AuthFailed,
    /// The index was seen before, or is older than the replay window.
    #[error("replayed")]
    Replay,
    /// One SSRC more than [`crate::SSRCS_MAX`] and [`crate::RETIRED_SSRCS_MAX`]. Not authenticated.
    #[error("too many SSRCs under one key")]
    TooManySsrcs,
}

impl SrtpContext {
    /// A context for one direction, before its first packet.
    pub fn new(material: &KeyingMaterial) -> Self {
        Self {
            profile: material.profile(),
            rtp: Cipher::rtp(material),
            rtcp: Cipher::rtcp(material),
            mki_len: 0,
            roc_hint: None,
            srtcp_index: 0,
            streams: SsrcTable::default(),
        }
    }

    /// Received packets carry a master key identifier of `mki_len` bytes (RFC 3711 3.1), 0 for none, at most 128 (RFC 4568 6.1).
    /// It is removed and not read: only one key is current, and a packet under another fails authentication. None is ever sent.
    pub fn with_mki_len(mut self, mki_len: usize) -> Self {
        self.mki_len = mki_len.min(MKI_BYTES_MAX);
        self
    }

    /// As [`SrtpContext::with_mki_len`], for a context that is in use.
    pub fn set_mki_len(&mut self, mki_len: usize) {
        self.mki_len = mki_len.min(MKI_BYTES_MAX);
    }

    /// A received stream may also start at the roll-over counter `roc` or the one after it. For a new key in the middle of a
    /// stream, where the peer may keep its counter (RFC 3711 3.3.1) or restart from 0 (RFC 4568 7.1.4).
    pub fn with_roc_hint(mut self, roc: u32) -> Self {
        self.roc_hint = Some(roc);
        self
    }

    /// The protection profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// SSRCs that sent or were received under this key.
    pub fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + '_ {
        self.streams.ssrcs()
    }

    /// The highest SRTP index (`ROC << 16 | seq`) of `ssrc` so far; `None` before its first packet.
    pub fn rtp_index(&self, ssrc: Ssrc) -> Option<u64> {
        self.streams.get(ssrc).and_then(|stream| stream.rtp.highest())
    }

    /// Continues `ssrc` after `index`: everything up to it counts as sent or received. Ignored if `index` has more than 48
    /// bits or there is no place for another SSRC.
    pub fn set_rtp_index(&mut self, ssrc: Ssrc, index: u64) {
        if index < RTP_INDEX_END
            && let Some(stream) = self.streams.get_or_new(ssrc)
        {
            stream.rtp = ReplayWindow::after(index);
        }
    }

    /// The next SRTCP index to send, 0 to 2^31. It is one counter for all SSRCs that send under this key.
    pub fn srtcp_index(&self) -> u32 {
        self.srtcp_index
    }

    /// Continues sending SRTCP at `index`; beyond 2^31 the key counts as used up.
    pub fn set_srtcp_index(&mut self, index: u32) {
        self.srtcp_index = index.min(RTCP_INDEX_END);
    }

    /// The highest SRTCP index received from `ssrc`; `None` before its first packet.
    pub fn received_srtcp_index(&self, ssrc: Ssrc) -> Option<u32> {
        self.streams.get(ssrc).and_then(|stream| stream.rtcp.highest()).map(|index| index as u32)
    }

    /// Continues receiving SRTCP of `ssrc` after `index`, as [`SrtpContext::set_rtp_index`] does for SRTP.
    pub fn set_received_srtcp_index(&mut self, ssrc: Ssrc, index: u32) {
        if index < RTCP_INDEX_END
            && let Some(stream) = self.streams.get_or_new(ssrc)
        {
            stream.rtcp = ReplayWindow::after(u64::from(index));
        }
    }

    /// Takes the index under which the packet `seq` of `ssrc` is sent. It counts as used from now on.
    pub(crate) fn take_rtp_index(&mut self, ssrc: Ssrc, seq: Seq) -> Result<u64, ProtectError> {
        let stream = self.streams.get_or_new(ssrc).ok_or(ProtectError::TooManySsrcs)?;
        let index = match stream.rtp.highest() {
            Some(highest) => guess(highest, seq).ok_or(ProtectError::KeyExhausted)?,
            None => index(0, seq),
        };
        if !stream.rtp.is_new(index) {
            return Err(ProtectError::IndexReused);
        }
        stream.rtp.commit(index);
        Ok(index)
    }

    /// Takes the index of the next SRTCP packet to send: from 0 upwards (RFC 3711 3.4), without wrap.
    pub(crate) fn take_rtcp_index(&mut self) -> Result<u32, ProtectError> {
        if self.srtcp_index >= RTCP_INDEX_END {
            return Err(ProtectError::KeyExhausted);
        }
        let index = self.srtcp_index;
        self.srtcp_index += 1;
        Ok(index)
    }

    /// The indices that a received packet may have: one if the SSRC is known, else one per possible initial counter.
    pub(crate) fn rtp_candidates(&self, ssrc: Ssrc, seq: Seq) -> Result<ArrayVec<u64, 4>, UnprotectError> {
        let stream = self.streams.get(ssrc);
        if let Some(SsrcState { rtp, .. }) = stream
            && let Some(highest) = rtp.highest()
        {
            // After the last roll-over there is no index, so the packet cannot be authentic.
            let index = guess(highest, seq).ok_or(UnprotectError::AuthFailed)?;
            return if rtp.is_new(index) { Ok(ArrayVec::from_iter([index])) } else { Err(UnprotectError::Replay) };
        }
        if stream.is_none() && self.streams.is_full() {
            return Err(UnprotectError::TooManySsrcs);
        }
        let hinted = self.roc_hint.into_iter().flat_map(|roc| [Some(roc), roc.checked_add(1)]).flatten();
        let mut candidates = ArrayVec::new();
        for roc in [0, 1].into_iter().chain(hinted) {
            let candidate = index(roc, seq);
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        Ok(candidates)
    }
}

impl std::fmt::Debug for SrtpContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpContext")
            .field("profile", &self.profile)
            .field("srtcp_index", &self.srtcp_index)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}
