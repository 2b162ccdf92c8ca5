//! The pre-roll of one transcoder: its backlog while it has one, and what became of the last.

use std::time::{Duration, Instant};

use super::backlog::{Backlog, BacklogOutput};
use super::frame_encoder::FrameEncoder;
use crate::report::Preroll;

/// Stores decoded audio while the listener cannot be sent to, then plays it.
#[derive(Debug, Default)]
pub(super) struct PrerollBuffer {
    backlog: Option<Box<Backlog>>,
    /// The summary of the last backlog.
    ended: Preroll,
    /// Something else takes the audio's place: what is stored stays.
    withhold: bool,
}

impl PrerollBuffer {
    /// Stores audio from now on, the newest `cap` of it, until [`PrerollBuffer::release`].
    pub(super) fn keep(&mut self, cap: Duration, rate_hz: u32) {
        self.backlog.get_or_insert_with(|| Box::new(Backlog::new(cap, rate_hz)));
    }

    /// Drops what is stored, and stores no more.
    pub(super) fn forget(&mut self) {
        if let Some(mut backlog) = self.backlog.take() {
            backlog.clear();
            self.ended.clipped = backlog.preroll().clipped;
        }
    }

    /// Drops what is stored. While the listener cannot be sent to, later audio is stored.
    pub(super) fn forget_waiting(&mut self) {
        match &mut self.backlog {
            Some(backlog) if backlog.is_keeping() => backlog.clear(),
            _ => self.forget(),
        }
    }

    pub(super) fn set_withhold(&mut self, withhold: bool) {
        self.withhold = withhold;
    }

    /// The listener can be sent to now.
    pub(super) fn release(&mut self, now: Instant) {
        if let Some(backlog) = &mut self.backlog {
            backlog.play(now);
            self.ended = backlog.preroll();
        }
    }

    /// Drops the backlog; its summary stays.
    pub(super) fn stop(&mut self) {
        self.backlog = None;
    }

    /// As new.
    pub(super) fn reset(&mut self) {
        (self.backlog, self.ended) = (None, Preroll::default());
    }

    /// The audio that follows has another rate; what is stored has the wrong one and is dropped.
    pub(super) fn set_rate(&mut self, rate_hz: u32) {
        if let Some(backlog) = &mut self.backlog {
            backlog.set_rate(rate_hz);
        }
    }

    /// True while audio is stored that cannot be sent yet.
    #[inline]
    pub(super) fn is_keeping(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.is_keeping())
    }

    /// True while audio goes through the backlog.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.backlog.is_some()
    }

    pub(super) fn summary(&self) -> Preroll {
        self.backlog.as_ref().map_or(self.ended, |backlog| backlog.preroll())
    }

    #[inline]
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(backlog) = &mut self.backlog {
            backlog.handle_timeout(now);
        }
    }

    #[inline]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.backlog.as_ref().and_then(|backlog| backlog.poll_timeout())
    }

    /// Passes decoded audio on to `output`, or stores it behind what is stored already.
    #[inline]
    pub(super) fn deliver(&mut self, pcm: &[i16], output: &mut FrameEncoder) {
        match &mut self.backlog {
            Some(backlog) => backlog.push(pcm),
            None => output.push(pcm),
        }
    }

    /// Moves stored audio that is due to `output`.
    #[inline]
    pub(super) fn poll(&mut self, output: &mut FrameEncoder) -> BacklogOutput {
        let Some(backlog) = &mut self.backlog else { return BacklogOutput::Nothing };
        let frame_samples = output.frame_samples();
        let polled = backlog.poll_frame(frame_samples, self.withhold, output.packer_mut());
        if let BacklogOutput::CaughtUp(preroll) = polled {
            (self.backlog, self.ended) = (None, preroll);
        }
        polled
    }
}
