//! The transcoders of one leg: made, reused and counted here.

use std::time::Duration;

use crate::Discard;
use crate::discard::Discards;
use crate::plan::{Filler, SendFormat};
use crate::report::Preroll;
use crate::transcode::Transcoder;

/// Makes transcoders, and adds up the counters of those that have ended.
#[derive(Debug)]
pub(super) struct TranscoderStock {
    /// Complexity of Opus encoders; see [`crate::opus_complexity`].
    opus_complexity: u8,
    /// One that has made nothing but filler, for the next gap: a source that loses packets must not cost an encoder each time.
    spare: Option<Box<Transcoder>>,
    ended: FrameCounts,
}

/// What transcoders have counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameCounts {
    pub(super) concealed: u64,
    pub(super) transcoded: u64,
    pub(super) filled: u64,
    pub(super) undecodable: u64,
    pub(super) unencodable: u64,
    pub(super) left_out: u64,
    pub(super) preroll: Preroll,
}

impl TranscoderStock {
    pub(super) fn new(opus_complexity: u8) -> Self {
        Self { opus_complexity, spare: None, ended: FrameCounts::default() }
    }

    /// A transcoder to `format`. With `keep`, it stores what it decodes, the newest so much, until it is released.
    pub(super) fn take(&mut self, format: &SendFormat, filler: Filler, keep: Option<Duration>) -> Box<Transcoder> {
        let mut transcoder = self.spare.take().unwrap_or_else(|| Box::new(Transcoder::new(format)));
        transcoder.set_filler(filler);
        transcoder.set_opus_complexity(self.opus_complexity);
        if let Some(cap) = keep {
            transcoder.keep(cap);
        }
        transcoder
    }

    /// Counts what `transcoder` has done. With `reuse`, one that has made nothing but filler is kept as the spare.
    pub(super) fn put_back(&mut self, mut transcoder: Box<Transcoder>, reuse: bool) {
        self.ended = self.ended.plus(&transcoder);
        if reuse && transcoder.is_only_filling() {
            transcoder.rest();
            self.spare = Some(transcoder);
        }
    }

    /// Drops the spare: its format or its purpose is gone.
    pub(super) fn clear(&mut self) {
        self.spare = None;
    }

    pub(super) fn set_opus_complexity(&mut self, complexity: u8) {
        self.opus_complexity = complexity;
    }

    /// The counters of all transcoders, `active` included.
    pub(super) fn counts(&self, active: Option<&Transcoder>) -> FrameCounts {
        active.map_or(self.ended, |transcoder| self.ended.plus(transcoder))
    }
}

impl FrameCounts {
    /// Adds the frames that were taken and then not played.
    pub(super) fn add_discards(&self, discards: &mut Discards) {
        discards.add_n(Discard::Undecodable, self.undecodable);
        discards.add_n(Discard::Unencodable, self.unencodable);
        discards.add_n(Discard::Late, self.left_out);
    }

    fn plus(self, transcoder: &Transcoder) -> Self {
        let preroll = transcoder.preroll();
        Self {
            concealed: self.concealed + transcoder.counts().concealed,
            transcoded: self.transcoded + transcoder.counts().transcoded,
            filled: self.filled + transcoder.counts().filled,
            undecodable: self.undecodable + transcoder.counts().undecodable,
            unencodable: self.unencodable + transcoder.counts().unencodable,
            left_out: self.left_out + transcoder.counts().left_out,
            preroll: if preroll == Preroll::default() { self.preroll } else { preroll },
        }
    }
}
