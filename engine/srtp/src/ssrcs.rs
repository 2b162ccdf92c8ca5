//! The SSRCs of one direction under one key, each with its replay windows.

use trestle_wire::{Seq, Ssrc};

use crate::UnprotectError;
use crate::index::guess;
use crate::replay::ReplayWindow;

/// SSRCs that one direction carries under one key, see [`crate::SrtpContext`]. A phone that takes a new SSRC at every hold and resume
/// of an hour-long call needs far fewer.
pub const SSRCS_MAX: usize = 256;

/// The state of one SSRC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SsrcState {
    pub(crate) ssrc: Ssrc,
    pub(crate) rtp: ReplayWindow,
    pub(crate) rtcp: ReplayWindow,
}

/// SSRCs in the order in which they appeared.
#[derive(Debug, Default)]
pub(crate) struct SsrcTable(Vec<SsrcState>);

impl SsrcTable {
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + '_ {
        self.0.iter().map(|stream| stream.ssrc)
    }

    /// Checks that an SRTCP packet is not a replay.
    pub(crate) fn check_rtcp(&self, ssrc: Ssrc, index: u32) -> Result<(), UnprotectError> {
        match self.get(ssrc) {
            Some(stream) if stream.rtcp.is_new(u64::from(index)) => Ok(()),
            Some(_) => Err(UnprotectError::Replay),
            None if self.is_full() => Err(UnprotectError::TooManySsrcs),
            None => Ok(()),
        }
    }

    /// The index of an SRTP packet that [`crate::SrtpContext`] refuses as a replay. `None` if it is older than the window.
    pub(crate) fn replayed_rtp_index(&self, ssrc: Ssrc, seq: Seq) -> Option<u64> {
        let window = &self.get(ssrc)?.rtp;
        guess(window.highest()?, seq).filter(|index| window.is_seen(*index))
    }

    /// True if the SRTCP packet `index` of `ssrc` was received before and is in the window.
    pub(crate) fn is_replayed_rtcp(&self, ssrc: Ssrc, index: u32) -> bool {
        self.get(ssrc).is_some_and(|stream| stream.rtcp.is_seen(u64::from(index)))
    }

    /// Notes an authenticated SRTP packet; true if its index is the highest so far.
    pub(crate) fn commit_rtp(&mut self, ssrc: Ssrc, index: u64) -> bool {
        self.get_or_new(ssrc).is_some_and(|stream| stream.rtp.commit(index))
    }

    /// Notes an authenticated SRTCP packet; true if its index is the highest so far.
    pub(crate) fn commit_rtcp(&mut self, ssrc: Ssrc, index: u32) -> bool {
        self.get_or_new(ssrc).is_some_and(|stream| stream.rtcp.commit(u64::from(index)))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= SSRCS_MAX
    }

    pub(crate) fn get(&self, ssrc: Ssrc) -> Option<&SsrcState> {
        // The newest SSRC is the one in use.
        self.0.iter().rev().find(|stream| stream.ssrc == ssrc)
    }

    pub(crate) fn get_or_new(&mut self, ssrc: Ssrc) -> Option<&mut SsrcState> {
        let at = match self.0.iter().rposition(|stream| stream.ssrc == ssrc) {
            Some(at) => at,
            None => {
                let stream = SsrcState { ssrc, rtp: ReplayWindow::default(), rtcp: ReplayWindow::default() };
                if self.is_full() {
                    return None;
                }
                self.0.push(stream);
                self.0.len() - 1
            }
        };
        self.0.get_mut(at)
    }
}
