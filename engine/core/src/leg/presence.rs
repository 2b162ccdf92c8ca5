//! When the peer hears from us at all: the gate, what is kept until it opens, and no gap after that.

use std::time::{Duration, Instant};

use trestle_wire::ExtSeq;

use super::Leg;
use crate::Milestone;
use crate::plan::{Filler, Gate, Presence, SendFormat};
use crate::report::Preroll;
use crate::route::Transcoder;

/// A peer that must never be without a packet gets one of ours this long after the last that was forwarded to it...
const GAP_MAX: Duration = Duration::from_millis(40);
/// ...or this long while the source loses packets: the next one may bring what the decoder needs to repair the loss.
const LOSSY_GAP_MAX: Duration = Duration::from_millis(60);
/// A source that has lost a packet is called lossy for so long.
const LOSSY_FOR: Duration = Duration::from_secs(10);

/// A packet that went on as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forwarded {
    at: Instant,
    seq: ExtSeq,
    lossy_until: Option<Instant>,
}

impl Leg {
    /// False while nothing but STUN and DTLS may leave.
    pub(super) fn may_speak(&self) -> bool {
        self.plan.presence.gate == Gate::Open
    }

    /// True if the peer gets a frame per packet time, whatever it hears.
    pub(super) fn is_unbroken(&self) -> bool {
        self.plan.presence.filler != Filler::Nothing
    }

    /// True if audio that cannot be sent yet is worth keeping: the peer has heard nothing so far.
    pub(super) fn keeps(&self) -> bool {
        self.plan.sending && !self.plan.presence.preroll_max.is_zero() && !self.timeline.has(Milestone::FirstMediaOut)
    }

    /// The transcoder; a new one keeps what it is given as long as it cannot be sent.
    pub(super) fn transcoder(&mut self, format: &SendFormat) -> &mut Transcoder {
        let keep = (!self.can_send() && self.keeps()).then_some(self.plan.presence.preroll_max);
        let filler = self.plan.presence.filler;
        self.transcoder.get_or_insert_with(|| {
            let mut transcoder = Box::new(Transcoder::new(format));
            transcoder.set_filler(filler);
            if let Some(cap) = keep {
                transcoder.keep(cap);
            }
            transcoder
        })
    }

    /// The plan's presence has changed from `before`.
    pub(super) fn change_presence(&mut self, now: Instant, before: Presence) {
        let Presence { gate, preroll_max, filler } = self.plan.presence;
        if before.gate == Gate::Shut && gate == Gate::Open {
            self.timeline.reach(Milestone::GateOpened, now);
        }
        let Some(transcoder) = &mut self.transcoder else { return };
        transcoder.set_filler(filler);
        if preroll_max.is_zero() && transcoder.is_keeping() {
            transcoder.forget();
        }
    }

    /// Once media may leave, lets go what was kept, and begins to fill.
    pub(super) fn begin_to_speak(&mut self, now: Instant) {
        if let Some(transcoder) = &mut self.transcoder {
            if transcoder.is_behind() {
                if transcoder.is_keeping() && self.can_send() {
                    self.release(now);
                }
            } else if self.was_behind() {
                self.timeline.reach(Milestone::CaughtUp, now);
            }
        } else if self.is_unbroken()
            && self.forwarded.is_none()
            && self.can_send()
            && let Some(format) = self.plan.send
        {
            self.transcoder(&format).start(now);
        }
    }

    fn release(&mut self, now: Instant) {
        let unbroken = self.is_unbroken();
        let Some(transcoder) = &mut self.transcoder else { return };
        transcoder.release(now);
        if unbroken {
            transcoder.start(now);
        }
    }

    fn was_behind(&self) -> bool {
        let caught_up = self.transcoder.as_ref().is_some_and(|transcoder| transcoder.preroll().caught_up.is_some());
        caught_up && !self.timeline.has(Milestone::CaughtUp)
    }

    /// A packet goes on as it is: the next is expected soon.
    pub(super) fn note_forwarded(&mut self, now: Instant, seq: ExtSeq) {
        let before = self.forwarded;
        let lost = before.is_some_and(|before| seq.0 > before.seq.0 + 1);
        let lossy_until = if lost { now.checked_add(LOSSY_FOR) } else { before.and_then(|before| before.lossy_until) };
        self.forwarded = Some(Forwarded { at: now, seq, lossy_until });
    }

    /// When the peer has been without a packet for as long as it may.
    pub(super) fn gap_at(&self) -> Option<Instant> {
        let Forwarded { at, lossy_until, .. } = self.forwarded.filter(|_| self.is_unbroken())?;
        let lossy = lossy_until.is_some_and(|until| at < until);
        at.checked_add(if lossy { LOSSY_GAP_MAX } else { GAP_MAX })
    }

    /// The source that was forwarded says nothing more: from here on the peer gets frames of ours.
    pub(super) fn fill_gap(&mut self, now: Instant) {
        if self.gap_at().is_none_or(|at| now < at) {
            return;
        }
        self.forwarded = None;
        if let Some(format) = self.plan.send.filter(|_| self.can_send()) {
            self.transcoder(&format).start(now);
        }
    }

    pub(super) fn preroll(&self) -> Preroll {
        let now = self.transcoder.as_ref().map(|transcoder| transcoder.preroll());
        now.filter(|preroll| *preroll != Preroll::default()).unwrap_or(self.counters.preroll)
    }

    pub(super) fn filled_frames(&self) -> u64 {
        self.counters.filled_frames + self.transcoder.as_ref().map_or(0, |transcoder| transcoder.filled_frames())
    }
}
