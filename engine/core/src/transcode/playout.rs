//! Decides when each frame of a source is due: from the timing of the network to one frame per packet time.
//!
//! The expected frame is due when it arrives. A missing one is waited for until its deadline, which is the expected arrival
//! plus the [`PlayoutDelay`]; then its time is filled, and so on, so that the listener's stream continues whatever the source
//! does.
//!
//! ```text
//!                        +-- next in order ---------> due at once
//!   frame -> media time -+-- ahead: one is missing --> waits in the JitterBuffer
//!                        +-- its time was filled ----> late; several in a row: the path is slower, restart from here
//!                        +-- implausible time -------> the source has restarted, restart from here
//! ```
//!
//! Media time is the time of the listener's stream, in microseconds. An anchor joins a source to it: one of the source's
//! frames that is put at the present end of the stream. Every later frame has the place that its timestamp gives. A restart
//! is a new anchor.

use std::time::{Duration, Instant};

use trestle_wire::{ClockRate, ExtSeq, RtpTime};

use super::jitter::{FrameTiming, JitterBuffer};
use super::playout_delay::{DELAY_MAX_US, PlayoutDelay};
use crate::Discard;
use crate::plan::Codec;

/// A gap is filled in pieces of this length, so that a frame can still arrive in between.
pub const PIECE_US: i64 = 20_000;
/// Timestamps may be wrong by this without being taken for a gap or an overlap: 2.5 ms, the shortest frame of Opus.
const TOLERANCE_US: i64 = 2_500;
/// A frame that leaves a gap and yet arrives more than this too early did not take a faster path: its timestamp jumped.
const EARLY_MAX_US: i64 = 5_000;
/// So many late frames in a row, over so long a time, mean that the path has become slower. A network that was blocked and
/// delivers all at once has as many late frames, but in no time.
const LATE_RUN: u32 = 3;
const LATE_RUN_US: i64 = 60_000;
/// While filling, the listener waits at most this long for a piece, whatever the playout delay.
const FILL_SPACING_MAX_US: i64 = 60_000;
/// A listener that must never be without a frame gets one this long after the end of the last, unless the path has shown more
/// jitter: a packet time of the listener, so that a lost packet is still waited for.
const UNBROKEN_US: i64 = 20_000;
/// A source that has lost a packet counts as lossy for this time: only then is a copy worth more than an even stream.
const LOSSY_FOR_US: i64 = 10_000_000;
/// A late timer catches up in steps of this length, so that frames that have arrived come first.
const FILL_SPACING_MIN_US: i64 = 5_000;
/// After this much filling a source is silent: a skipped piece is not audible then.
const SILENT_US: i64 = 200_000;
/// A frame that is expected for longer than this, while its deadline is missed as well, shows that this thread had no CPU. The listener
/// got nothing meanwhile, and the source's audio of that time is too old ([`crate::limits::WAITED_AUDIO_MAX`]): the time is left out, not
/// filled.
const STALL_US: i64 = 200_000;
/// A timer may be so late without a stall.
const TIMER_LATE_US: i64 = 40_000;
/// The next Opus frame has a copy of a lost one: it is waited for, whatever the playout delay.
const COPY_MARGIN_US: i64 = 5_000;

/// The playout of one source.
#[derive(Debug, Default)]
pub struct Playout {
    /// Instant 0 of all microseconds here.
    epoch: Option<Instant>,
    now_us: i64,
    buffer: JitterBuffer,
    delay: PlayoutDelay,
    /// End of the time that was played and filled; `None` while stopped.
    next_us: Option<i64>,
    newest: Option<Newest>,
    late_run: u32,
    late_since_us: i64,
    /// Time filled since the last frame.
    filled_us: i64,
    last_due_us: i64,
    /// How much more audio the listener got than time has passed, through restarts; less, if negative.
    ahead_us: i64,
    /// Transit when that surplus arose.
    anchor_transit_us: i64,
    unbroken: bool,
    lossy_until_us: i64,
    /// Frames that waited when the source restarted.
    cleared: u64,
}

/// The frame with the highest number, from which the next one's media time is derived.
#[derive(Debug, Clone, Copy)]
struct Newest {
    source: u64,
    clock: ClockRate,
    time: RtpTime,
    timing: FrameTiming,
}

/// A frame as received.
#[derive(Debug, Clone, Copy)]
pub struct SourceFrame<'a> {
    /// Names the received stream; another one restarts the playout.
    pub source: u64,
    /// Sequence number.
    pub seq: ExtSeq,
    /// RTP timestamp, in the codec's clock.
    pub time: RtpTime,
    /// Codec of the payload.
    pub codec: Codec,
    /// Duration of the payload.
    pub duration_us: i64,
    /// The payload.
    pub payload: &'a [u8],
}

/// What the listener gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum PlayoutOutput<'a> {
    /// A frame.
    Frame {
        /// Its codec.
        codec: Codec,
        /// Its payload.
        payload: &'a [u8],
        /// Its beginning up to here was filled already.
        skip_us: i64,
        /// Decode it but leave it out: the path has become faster again after the listener got a surplus.
        drop: bool,
    },
    /// A replacement for `length_us` that did not arrive.
    Missing {
        /// Length: [`PIECE_US`] at most, or what the copy in `following` may cover.
        length_us: i64,
        /// Time filled before it, since the last frame.
        filled_us: i64,
        /// The frame after the gap, if it has arrived and may carry a copy of the missing one.
        following: Option<&'a [u8]>,
    },
}

impl Playout {
    /// Starts before the first frame: silence is due from now on.
    pub fn start(&mut self, now: Instant) {
        self.advance_to(now);
        if self.next_us.is_none() {
            self.next_us = Some(0);
            self.filled_us = SILENT_US;
            self.last_due_us = self.now_us - FILL_SPACING_MIN_US;
            self.delay.restart(self.now_us, 0);
        }
    }

    /// Stops; nothing is due until the next frame or start.
    pub fn stop(&mut self) {
        self.next_us = None;
        self.newest = None;
        self.ahead_us = 0;
        self.clear();
    }

    /// Frames that waited in vain, because the source restarted or the playout was stopped.
    pub fn cleared(&self) -> u64 {
        self.cleared
    }

    /// Forgets that number.
    pub fn reset_cleared(&mut self) {
        self.cleared = 0;
    }

    fn clear(&mut self) {
        self.cleared += self.buffer.len() as u64;
        self.buffer.clear();
    }

    /// Sets whether the listener must never be without a frame, even before the jitter of the path is known.
    pub fn set_unbroken(&mut self, unbroken: bool) {
        self.unbroken = unbroken;
    }

    /// Takes a frame. The first one starts the playout.
    ///
    /// # Errors
    /// [`Discard::Late`] if its time was filled already; [`Discard::Duplicate`], [`Discard::Overflow`] or [`Discard::Malformed`]
    /// from [`JitterBuffer::insert`].
    pub fn push(&mut self, now: Instant, arrival: &SourceFrame<'_>) -> Result<(), Discard> {
        self.advance_to(now);
        let clock = arrival.codec.clock();
        let known = self.newest.filter(|newest| newest.source == arrival.source && newest.clock == clock);
        let (Some(newest), Some(next_us)) = (known, self.next_us) else { return self.start_over(arrival) };
        let ticks = i64::from(newest.time.distance_to(arrival.time));
        let mut timing = FrameTiming {
            media_us: newest.timing.media_us + ticks * 1_000_000 / i64::from(clock.hz()),
            duration_us: arrival.duration_us,
            seq: arrival.seq,
            codec: arrival.codec,
        };
        let in_order = arrival.seq > newest.timing.seq;
        if in_order && timing.media_us + TOLERANCE_US < newest.timing.end_us() {
            // Numbers increase while the timestamp decreases or stays.
            return self.start_over(arrival);
        }
        if in_order {
            timing.media_us -= self.jumped_us(&timing, newest.timing.end_us().max(next_us));
        } else if timing.media_us >= newest.timing.media_us {
            return Err(Discard::Late);
        }
        self.delay.observe(self.now_us, timing.media_us);
        if in_order {
            if arrival.seq.0 > newest.timing.seq.0 + 1 {
                self.lossy_until_us = self.now_us + LOSSY_FOR_US;
            }
            self.newest = Some(Newest { time: arrival.time, timing, ..newest });
        }
        if timing.end_us() <= next_us + TOLERANCE_US {
            return self.late(arrival, timing, in_order);
        }
        self.late_run = 0;
        self.buffer.insert(timing, arrival.payload)
    }

    /// Processes deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance_to(now);
    }

    /// When the next output is due. `None` while stopped.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let us = if self.frame_in_turn() { self.now_us } else { self.deadline_us(self.next_us?) };
        Some(self.epoch? + Duration::from_micros(u64::try_from(us).unwrap_or(0)))
    }

    /// One output that is due by now; call until `None`.
    pub fn poll(&mut self) -> Option<PlayoutOutput<'_>> {
        let next_us = self.next_us?;
        if self.ahead_us <= -PIECE_US {
            self.ahead_us += PIECE_US;
            return Some(PlayoutOutput::Missing { length_us: PIECE_US, filled_us: self.filled_us, following: None });
        }
        if self.frame_in_turn() {
            return self.play(next_us);
        }
        if self.deadline_us(next_us) > self.now_us {
            return None;
        }
        Some(self.fill(next_us))
    }

    /// How long a missing frame is waited for at present.
    pub fn delay(&self) -> Duration {
        Duration::from_micros(self.delay.delay_us().unsigned_abs())
    }

    fn advance_to(&mut self, now: Instant) {
        let epoch = *self.epoch.get_or_insert(now);
        let us = now.saturating_duration_since(epoch).as_micros();
        let before_us = self.now_us;
        self.now_us = self.now_us.max(i64::try_from(us).unwrap_or(i64::MAX));
        if self.now_us - before_us > STALL_US {
            self.leave_out_stall();
        }
    }

    /// After a stall, the next frame is expected now: it follows the last one, with nothing filled in between, not even the playout delay,
    /// which a stall before may have raised.
    #[cold]
    fn leave_out_stall(&mut self) {
        let Some(next_us) = self.next_us else { return };
        let late_us = self.now_us - self.delay.expected_us(next_us);
        // A deadline that is met is no stall, however long the frame was waited for.
        if late_us > STALL_US && self.now_us - self.deadline_us(next_us) > TIMER_LATE_US {
            self.delay.shift(late_us);
            self.anchor_transit_us += late_us;
        }
    }

    /// By how much the timestamp of a frame after `end_us` advanced more than time did. That part of the gap is not filled.
    fn jumped_us(&mut self, timing: &FrameTiming, end_us: i64) -> i64 {
        let gap_us = timing.media_us - end_us;
        let early_us = self.delay.expected_us(timing.media_us) - self.now_us;
        if gap_us <= TOLERANCE_US || early_us <= EARLY_MAX_US {
            return 0;
        }
        let jumped_us = gap_us.min(early_us);
        // Or frames were overtaken on a path that has become faster; then they are part of the listener's surplus.
        if self.ahead_us > 0 {
            self.ahead_us = (self.ahead_us - jumped_us).max(0);
        }
        jumped_us
    }

    /// Handles a frame whose time has been filled. Several in a row show a slower path: the stream continues with this one.
    fn late(&mut self, arrival: &SourceFrame<'_>, timing: FrameTiming, in_order: bool) -> Result<(), Discard> {
        if !in_order {
            return Err(Discard::Late);
        }
        if self.late_run == 0 {
            self.late_since_us = self.now_us;
        }
        self.late_run += 1;
        if self.late_run < LATE_RUN || self.now_us - self.late_since_us < LATE_RUN_US {
            return Err(Discard::Late);
        }
        let next_us = self.next_us.unwrap_or(0);
        // The time filled from there on is a surplus, if the path becomes as fast as before.
        self.ahead_us += next_us - timing.media_us;
        self.anchor(arrival, next_us)
    }

    /// The source has restarted, or it is another source.
    fn start_over(&mut self, arrival: &SourceFrame<'_>) -> Result<(), Discard> {
        let Some(next_us) = self.next_us else {
            self.ahead_us = 0;
            return self.anchor(arrival, 0);
        };
        // The stream continues now rather than when it would have. `poll` and `play` correct both errors.
        let early_us = self.delay.expected_us(next_us) - self.now_us;
        self.ahead_us += early_us.clamp(-DELAY_MAX_US, DELAY_MAX_US);
        self.anchor(arrival, next_us)
    }

    /// Puts a frame at the end of the stream.
    fn anchor(&mut self, arrival: &SourceFrame<'_>, next_us: i64) -> Result<(), Discard> {
        let SourceFrame { source, seq, time, codec, duration_us, payload } = *arrival;
        let timing = FrameTiming { media_us: next_us, duration_us, seq, codec };
        self.next_us = Some(next_us);
        self.newest = Some(Newest { source, clock: codec.clock(), time, timing });
        self.late_run = 0;
        self.delay.restart(self.now_us, next_us);
        self.anchor_transit_us = self.delay.transit_us();
        self.clear();
        self.buffer.insert(timing, payload)
    }

    fn frame_in_turn(&self) -> bool {
        let first = self.buffer.first().map(|(timing, _)| timing.media_us);
        matches!((first, self.next_us), (Some(media_us), Some(next_us)) if media_us <= next_us + TOLERANCE_US)
    }

    fn deadline_us(&self, next_us: i64) -> i64 {
        let due_us = self.delay.expected_us(next_us) + self.patience_us();
        let latest_us = match self.filled_us {
            0 if self.unbroken && !self.delay.is_learnt() => self.last_due_us + self.packet_us() + UNBROKEN_US,
            0 => i64::MAX,
            _ => self.last_due_us + FILL_SPACING_MAX_US,
        };
        due_us.clamp(self.last_due_us + FILL_SPACING_MIN_US, latest_us)
    }

    /// How long the listener is supplied by one packet of the source: not less than by a filled piece.
    fn packet_us(&self) -> i64 {
        self.newest.map_or(0, |newest| newest.timing.duration_us).max(PIECE_US)
    }

    fn patience_us(&self) -> i64 {
        match self.newest {
            // There is no source to wait for.
            None => 0,
            Some(Newest { timing: FrameTiming { codec, duration_us, .. }, .. })
                if codec.has_copies() && (!self.unbroken || self.now_us < self.lossy_until_us) =>
            {
                self.delay.delay_us().max(duration_us + COPY_MARGIN_US).min(DELAY_MAX_US)
            }
            Some(_) => self.delay.delay_us(),
        }
    }

    fn play(&mut self, next_us: i64) -> Option<PlayoutOutput<'_>> {
        // How much faster the path is than when the surplus arose.
        let faster_us = self.anchor_transit_us - self.delay.transit_us();
        let (timing, payload) = self.buffer.pop()?;
        let skip_us = Some(next_us - timing.media_us).filter(|skip| *skip > TOLERANCE_US).unwrap_or(0);
        let length_us = timing.duration_us - skip_us;
        let drop = length_us <= self.ahead_us && length_us <= faster_us;
        if drop {
            self.ahead_us -= length_us;
            self.anchor_transit_us -= length_us;
        }
        self.next_us = Some(timing.end_us());
        self.filled_us = 0;
        self.last_due_us = self.now_us;
        Some(PlayoutOutput::Frame { codec: timing.codec, payload, skip_us, drop })
    }

    fn fill(&mut self, mut next_us: i64) -> PlayoutOutput<'_> {
        let behind = self.buffer.first();
        if behind.is_none() && self.filled_us >= SILENT_US && self.ahead_us >= PIECE_US {
            // The listener has a surplus: here a piece can be left out inaudibly.
            self.ahead_us -= PIECE_US;
            next_us += PIECE_US;
        }
        let gap_us = behind.map_or(i64::MAX, |(timing, _)| timing.media_us - next_us);
        // A copy in the next frame covers as much as that frame's duration, right before it.
        let copy_us =
            behind.filter(|(timing, _)| timing.codec.has_copies()).map_or(0, |(timing, _)| timing.duration_us);
        let (length_us, following) = if gap_us <= copy_us {
            (gap_us, behind.map(|(_, payload)| payload))
        } else {
            (PIECE_US.min(gap_us - copy_us), None)
        };
        let filled_us = self.filled_us;
        self.filled_us += length_us;
        self.next_us = Some(next_us + length_us);
        self.last_due_us = self.now_us;
        PlayoutOutput::Missing { length_us, filled_us, following }
    }
}

#[cfg(test)]
mod tests;
