//! The SSRCs of one direction under one key, each with its replay windows.

use trestle_wire::{Seq, Ssrc};

use crate::UnprotectError;
use crate::index::guess;
use crate::replay::ReplayWindow;

/// SSRCs of one direction under one key that have a replay window, see [`crate::SrtpContext`]. A phone that takes a new SSRC at
/// every hold and resume of an hour-long call needs far fewer.
pub const SSRCS_MAX: usize = 256;

/// SSRCs whose window has given way to a newer SSRC's: 100 kB. A peer that takes a new SSRC each second for an hour needs fewer.
pub const RETIRED_SSRCS_MAX: usize = 4_096;

/// The state of one SSRC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SsrcState {
    pub(crate) ssrc: Ssrc,
    pub(crate) rtp: ReplayWindow,
    pub(crate) rtcp: ReplayWindow,
}

/// The last indices of an SSRC that gave way to a newer one.
#[derive(Debug, Clone, Copy)]
struct RetiredSsrc {
    ssrc: Ssrc,
    rtp: Option<u64>,
    rtcp: Option<u64>,
}

impl RetiredSsrc {
    /// Everything up to the last indices counts as received.
    fn state(&self) -> SsrcState {
        let after = |index: Option<u64>| index.map_or(ReplayWindow::default(), ReplayWindow::after);
        SsrcState { ssrc: self.ssrc, rtp: after(self.rtp), rtcp: after(self.rtcp) }
    }
}

/// The SSRCs, bounded without forgetting which indices were used.
#[derive(Debug, Default)]
pub(crate) struct SsrcTable {
    /// The one used last is the last one.
    streams: Vec<SsrcState>,
    /// In the order of their SSRC.
    retired: Vec<RetiredSsrc>,
}

impl SsrcTable {
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + '_ {
        self.streams.iter().map(|stream| stream.ssrc).chain(self.retired.iter().map(|retired| retired.ssrc))
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
        let window = self.get(ssrc)?.rtp;
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

    /// True if there is no place for another SSRC.
    pub(crate) fn is_full(&self) -> bool {
        self.streams.len() >= SSRCS_MAX && self.retired.len() >= RETIRED_SSRCS_MAX
    }

    /// The state of an SSRC; `None` if it is unknown.
    #[inline]
    pub(crate) fn get(&self, ssrc: Ssrc) -> Option<SsrcState> {
        match self.streams.last() {
            Some(stream) if stream.ssrc == ssrc => Some(*stream),
            _ => self.find(ssrc),
        }
    }

    #[cold]
    fn find(&self, ssrc: Ssrc) -> Option<SsrcState> {
        let stream = self.streams.iter().rev().find(|stream| stream.ssrc == ssrc).copied();
        stream.or_else(|| self.retired_at(ssrc).ok().map(|at| self.retired[at].state()))
    }

    /// The state of an SSRC, which is then the one used last. A new SSRC takes the place of the one that was unused for longest.
    /// `None` if there is no place.
    #[inline]
    pub(crate) fn get_or_new(&mut self, ssrc: Ssrc) -> Option<&mut SsrcState> {
        if self.streams.last().is_none_or(|stream| stream.ssrc != ssrc) {
            self.make_last(ssrc)?;
        }
        self.streams.last_mut()
    }

    #[cold]
    fn make_last(&mut self, ssrc: Ssrc) -> Option<()> {
        if let Some(at) = self.streams.iter().rposition(|stream| stream.ssrc == ssrc) {
            self.streams[at..].rotate_left(1);
            return Some(());
        }
        let state = match self.retired_at(ssrc) {
            Ok(at) => self.retired.remove(at).state(),
            Err(_) if self.is_full() => return None,
            Err(_) => SsrcState { ssrc, rtp: ReplayWindow::default(), rtcp: ReplayWindow::default() },
        };
        if self.streams.len() >= SSRCS_MAX {
            let SsrcState { ssrc, rtp, rtcp } = self.streams.remove(0);
            let retired = RetiredSsrc { ssrc, rtp: rtp.highest(), rtcp: rtcp.highest() };
            let at = self.retired_at(ssrc).unwrap_or_else(|at| at);
            self.retired.insert(at, retired);
        }
        self.streams.push(state);
        Some(())
    }

    fn retired_at(&self, ssrc: Ssrc) -> Result<usize, usize> {
        self.retired.binary_search_by_key(&ssrc.0, |retired| retired.ssrc.0)
    }
}
