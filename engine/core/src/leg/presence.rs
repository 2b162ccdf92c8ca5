//! When the peer hears from us at all: the gate, what is kept until it opens, and no gap after that.

use std::time::{Duration, Instant};

use trestle_wire::{ClockRate, ExtSeq, RtpTime};

use super::Leg;
use crate::Milestone;
use crate::plan::{Filler, Gate, Presence, SendFormat};
use crate::report::Preroll;
use crate::route::{Hold, Transcoder};

/// A peer that must never be without a packet gets one of ours this long after the last that was forwarded to it, or as late
/// as the path has shown that packets may be...
const GAP_MAX: Duration = Duration::from_millis(40);
/// ...or this long while the source loses packets: the next one may bring what the decoder needs to repair the loss.
const LOSSY_GAP_MAX: Duration = Duration::from_millis(60);
/// A source that has lost a packet is called lossy for so long.
const LOSSY_FOR: Duration = Duration::from_secs(10);
/// The next packet is expected this long after the last.
const PACKET_US: i64 = 20_000;
/// A source that stood still, or jumped, for longer than this is another path to learn.
const STEP_US_MAX: i64 = 2_000_000;

/// The source that is forwarded, and when its packets are to be expected.
#[derive(Debug)]
pub(super) struct Forwarded {
    source: u64,
    clock: ClockRate,
    /// Instant 0 of all microseconds here.
    epoch: Instant,
    at: Instant,
    seq: ExtSeq,
    time: RtpTime,
    media_us: i64,
    hold: Hold,
    lossy_until: Option<Instant>,
    /// Packets have passed that were not learnt from.
    is_stale: bool,
    /// Frames of ours stand in for it.
    silent: bool,
}

impl Forwarded {
    fn new(now: Instant, source: u64, clock: ClockRate, seq: ExtSeq, time: RtpTime) -> Self {
        let mut hold = Hold::default();
        hold.restart(0, 0);
        let (lossy_until, is_stale, silent) = (None, false, false);
        Self { source, clock, epoch: now, at: now, seq, time, media_us: 0, hold, lossy_until, is_stale, silent }
    }

    /// Takes note of the next packet for a peer to which no gap matters.
    fn pass(&mut self, now: Instant, seq: ExtSeq, time: RtpTime) {
        if seq > self.seq {
            (self.seq, self.time) = (seq, time);
        }
        (self.at, self.is_stale, self.silent) = (now, true, false);
    }

    /// Takes note of the next packet of the same source.
    fn observe(&mut self, now: Instant, seq: ExtSeq, time: RtpTime) {
        let now_us = now.saturating_duration_since(self.epoch).as_micros() as i64;
        let step_us = i64::from(self.time.distance_to(time)) * 1_000_000 / i64::from(self.clock.hz());
        let elapsed_us = now.saturating_duration_since(self.at).as_micros() as i64;
        if seq.0 > self.seq.0 + 1 {
            self.lossy_until = now.checked_add(LOSSY_FOR);
        }
        if std::mem::take(&mut self.is_stale) || (elapsed_us - step_us).abs() > STEP_US_MAX {
            self.hold.restart(now_us, self.media_us + step_us);
        } else {
            self.hold.observe(now_us, self.media_us + step_us);
        }
        if seq > self.seq {
            (self.seq, self.time, self.media_us) = (seq, time, self.media_us + step_us);
        }
        (self.at, self.silent) = (now, false);
    }

    fn gap_at(&self) -> Option<Instant> {
        let lossy = self.lossy_until.is_some_and(|until| self.at < until);
        let even = self.at.checked_add(if lossy { LOSSY_GAP_MAX } else { GAP_MAX })?;
        if !self.hold.is_learnt() {
            return Some(even);
        }
        let late_us = self.hold.expected_us(self.media_us + PACKET_US) + self.hold.hold_us();
        let late = self.epoch.checked_add(Duration::from_micros(u64::try_from(late_us).unwrap_or(0)))?;
        Some(even.max(late))
    }
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
        let complexity = self.opus_complexity;
        let Self { transcoder, spare, .. } = self;
        transcoder.get_or_insert_with(|| {
            let mut transcoder = spare.take().unwrap_or_else(|| Box::new(Transcoder::new(format)));
            transcoder.set_filler(filler);
            transcoder.set_opus_complexity(complexity);
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
        if preroll_max.is_zero() && gate == Gate::Shut {
            // Closed for good: there is nobody to make frames for.
            self.stop_transcoder();
            self.spare = None;
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
            && self.forwarded.as_ref().is_none_or(|forwarded| forwarded.silent)
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
    pub(super) fn note_forwarded(&mut self, now: Instant, source: u64, clock: ClockRate, seq: ExtSeq, time: RtpTime) {
        let is_unbroken = self.is_unbroken();
        match &mut self.forwarded {
            Some(known) if known.source == source && known.clock == clock => {
                if is_unbroken {
                    known.observe(now, seq, time)
                } else {
                    known.pass(now, seq, time)
                }
            }
            other => *other = Some(Forwarded::new(now, source, clock, seq, time)),
        }
    }

    /// When the peer has been without a packet for as long as it may.
    pub(super) fn gap_at(&self) -> Option<Instant> {
        self.forwarded.as_ref().filter(|forwarded| self.is_unbroken() && !forwarded.silent)?.gap_at()
    }

    /// The source that was forwarded says nothing more: from here on the peer gets frames of ours.
    pub(super) fn fill_gap(&mut self, now: Instant) {
        if self.gap_at().is_none_or(|at| now < at) {
            return;
        }
        if let Some(forwarded) = &mut self.forwarded {
            forwarded.silent = true;
        }
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
