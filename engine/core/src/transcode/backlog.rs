//! Audio that came before it could be sent: stored, played first, and its delay reduced to none.
//!
//! ```text
//!   keeping (gate shut, no path):      pauses shortened, the oldest dropped beyond the cap
//!   playing (a frame per packet time): pauses shortened further, periods of speech left out, at most 8 % of the time
//!   caught up:                         the source's audio is passed on directly again
//! ```

use std::time::{Duration, Instant};

use trestle_audio::pause::BLOCK_MS;
use trestle_audio::shorten::{CutLengths, blend_over, find_cut};
use trestle_audio::{Packer, PauseDetector};

use crate::report::Preroll;

/// Speech may be so much faster than it was: more sounds hurried.
const FASTER_PERCENT: usize = 8;
/// The least capacity: less than two of the longest frames would never make one.
const CAP_MIN: Duration = Duration::from_millis(120);
/// A frame that is not complete when it is due is looked for again after this.
const RETRY: Duration = Duration::from_millis(5);
/// A thread that was held up sends the frames that it missed; after more than this, it continues from now.
const STALL_MAX: Duration = Duration::from_millis(200);

/// Lengths in samples of one rate.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    /// The most that is stored.
    cap: usize,
    /// A block of the pause detector.
    block: usize,
    /// Of a pause before the first word so much is kept: the soft onset of a word.
    lead: usize,
    /// Of a pause between words so much is kept, while nothing can be sent...
    pause_kept: usize,
    /// ...and while there is delay to reduce.
    pause_played: usize,
    /// Cuts that shorten speech.
    cut: CutLengths,
}

impl Lengths {
    fn at(rate_hz: u32, cap: Duration) -> Self {
        let ms = |ms: usize| ms * rate_hz as usize / 1_000;
        Self {
            cap: samples(cap.max(CAP_MIN), rate_hz),
            block: ms(BLOCK_MS),
            lead: ms(60),
            pause_kept: ms(200),
            pause_played: ms(100),
            cut: CutLengths::at(rate_hz),
        }
    }

    /// The delay is normal when no more than this is stored.
    fn caught_up(&self) -> usize {
        self.cut.min
    }
}

/// The stored audio of one source.
#[derive(Debug)]
pub struct Backlog {
    /// What waits is `pcm[start..]`.
    pcm: Vec<i16>,
    start: usize,
    rate_hz: u32,
    cap: Duration,
    lengths: Lengths,
    pauses: PauseDetector,
    /// Samples at the end that are not a whole block yet.
    unjudged: usize,
    /// Samples of pause before those.
    pause_run: usize,
    /// Duration of that pause before it was shortened, in samples.
    pause_lasted: usize,
    /// There was speech before that pause.
    after_speech: bool,
    /// How much may be left out by now, in hundredths of a sample.
    credit: usize,
    clipped_samples: usize,
    playing: Option<Playing>,
    now: Option<Instant>,
}

/// The state of a backlog that is being played.
#[derive(Debug, Clone, Copy)]
struct Playing {
    since: Instant,
    next_at: Instant,
    /// Samples stored when playing began.
    kept_samples: usize,
}

/// What [`Backlog::poll_frame`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum BacklogOutput {
    /// Nothing is due.
    Nothing,
    /// A frame went into the packer.
    Frame,
    /// A frame was due, but something else takes its place: only its time passes.
    Withheld,
    /// A frame and all audio behind it went into the packer; the backlog is not needed any more.
    CaughtUp(Preroll),
}

impl Backlog {
    /// Stores the newest `cap` of audio at `rate_hz`, 120 ms at least.
    pub fn new(cap: Duration, rate_hz: u32) -> Self {
        let lengths = Lengths::at(rate_hz, cap);
        Self {
            // In one piece, so that no packet causes an allocation.
            pcm: Vec::with_capacity(lengths.cap + 2 * Packer::CAPACITY),
            start: 0,
            rate_hz,
            cap,
            lengths,
            pauses: PauseDetector::default(),
            unjudged: 0,
            pause_run: 0,
            pause_lasted: 0,
            after_speech: false,
            credit: 0,
            clipped_samples: 0,
            playing: None,
            now: None,
        }
    }

    /// The audio that follows has another rate; what is stored has the wrong one and is dropped.
    pub fn set_rate(&mut self, rate_hz: u32) {
        self.clear();
        self.rate_hz = rate_hz;
        self.lengths = Lengths::at(rate_hz, self.cap);
    }

    /// Stores the next piece of audio.
    pub fn push(&mut self, pcm: &[i16]) {
        if self.pcm.len() + pcm.len() > self.pcm.capacity() {
            // What has been played may be part of a block that is not judged yet.
            let gone = self.start.min(self.pcm.len() - self.unjudged);
            self.pcm.drain(..gone);
            self.start -= gone;
        }
        self.pcm.extend_from_slice(pcm);
        self.unjudged += pcm.len();
        let block = self.lengths.block;
        while self.unjudged >= block {
            self.unjudged -= block;
            self.judge(self.pcm.len() - self.unjudged - block);
        }
        while self.waiting() > self.lengths.cap {
            self.drop_block();
        }
    }

    /// From now on a frame is due per packet time.
    pub fn play(&mut self, now: Instant) {
        let kept_samples = self.waiting();
        self.now = Some(now);
        self.playing.get_or_insert(Playing { since: now, next_at: now, kept_samples });
    }

    /// True until [`Backlog::play`].
    pub fn is_keeping(&self) -> bool {
        self.playing.is_none()
    }

    /// Drops what is stored.
    pub fn clear(&mut self) {
        self.drop_all_but(0);
        (self.pause_run, self.pause_lasted, self.unjudged, self.after_speech) = (0, 0, 0, false);
    }

    /// Processes deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// When the next frame is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.playing.map(|playing| playing.next_at)
    }

    /// Puts the next frame into `packer`, if one is due. With `withhold` it stays stored and only its time passes. Call until
    /// [`BacklogOutput::Nothing`].
    pub fn poll_frame(&mut self, frame_samples: usize, withhold: bool, packer: &mut Packer) -> BacklogOutput {
        let (Some(playing), Some(now)) = (&mut self.playing, self.now) else { return BacklogOutput::Nothing };
        if playing.next_at > now {
            return BacklogOutput::Nothing;
        }
        if withhold {
            playing.next_at = playing.next_at.max(now) + duration(frame_samples, self.rate_hz);
            return BacklogOutput::Withheld;
        }
        if self.pcm.len() - self.start < frame_samples {
            playing.next_at = now + RETRY;
            return BacklogOutput::Nothing;
        }
        let Playing { since, kept_samples, .. } = *playing;
        if now > playing.next_at + STALL_MAX {
            playing.next_at = now;
        }
        playing.next_at += duration(frame_samples, self.rate_hz);
        self.shorten(frame_samples);
        let rest = self.waiting() - frame_samples;
        if rest <= self.lengths.caught_up() {
            packer.push(&self.pcm[self.start..]);
            let preroll = Preroll {
                kept: duration(kept_samples, self.rate_hz),
                clipped: self.clipped(),
                caught_up: Some(now.saturating_duration_since(since)),
            };
            return BacklogOutput::CaughtUp(preroll);
        }
        packer.push(&self.pcm[self.start..self.start + frame_samples]);
        self.start += frame_samples;
        BacklogOutput::Frame
    }

    /// How much was stored, and what became of it so far.
    pub fn preroll(&self) -> Preroll {
        let kept = self.playing.map_or(self.waiting(), |playing| playing.kept_samples);
        Preroll { kept: duration(kept, self.rate_hz), clipped: self.clipped(), caught_up: None }
    }

    /// Speech that was dropped.
    fn clipped(&self) -> Duration {
        duration(self.clipped_samples, self.rate_hz)
    }

    fn waiting(&self) -> usize {
        self.pcm.len() - self.start
    }

    /// Shortens the pause that the block at `at` belongs to, if it is a pause and too long.
    fn judge(&mut self, at: usize) {
        let Lengths { block, lead, pause_kept, pause_played, cap, .. } = self.lengths;
        if !self.pauses.process(&self.pcm[at.max(self.start)..at + block]) {
            (self.pause_run, self.pause_lasted, self.after_speech) = (0, 0, true);
            return;
        }
        self.pause_run += block;
        self.pause_lasted += block;
        if self.is_keeping() && self.after_speech && self.pause_lasted >= cap {
            // All speech is older than the cap: the source spoke before the call was answered, and stopped.
            self.drop_all_but(lead);
            self.after_speech = false;
        }
        let limit = match self.playing {
            _ if !self.after_speech => lead,
            None => pause_kept,
            Some(_) => pause_played,
        };
        // The newest part of a pause stays, in case a word begins softly in it.
        let end = (at + block).saturating_sub(lead);
        let is_played_out = self.playing.is_some() && self.waiting() < 2 * lead;
        if self.pause_run > limit && end >= self.start + block && !is_played_out {
            self.pcm.drain(end - block..end);
            self.pause_run -= block;
        }
    }

    fn drop_all_but(&mut self, samples: usize) {
        while self.waiting() > samples {
            self.drop_block();
        }
    }

    /// Drops the oldest block.
    fn drop_block(&mut self) {
        let block = self.lengths.block.min(self.waiting());
        if !self.pauses.is_like_pause(&self.pcm[self.start..self.start + block]) {
            self.clipped_samples += block;
        }
        self.start += block;
    }

    /// Leaves out a period of the sound if there is one, and enough has been played since the last.
    fn shorten(&mut self, frame_samples: usize) {
        let lengths = self.lengths.cut;
        self.credit = (self.credit + frame_samples * FASTER_PERCENT).min(lengths.max * 100);
        let spare = self.waiting() - frame_samples;
        let cut_max = spare.min(self.credit / 100);
        let window = &mut self.pcm[self.start..];
        let window = &mut window[..(lengths.max + lengths.overlap).min(frame_samples + spare)];
        let cut = if self.pauses.is_like_pause(window) {
            // Neither the place of a cut in a pause nor the speed of a pause is audible.
            Some(spare.min(lengths.max)).filter(|cut| *cut >= lengths.min)
        } else {
            let cut = find_cut(window, cut_max, &lengths);
            self.credit -= cut.unwrap_or(0) * 100;
            cut
        };
        if let Some(cut) = cut {
            blend_over(window, cut, &lengths);
            self.start += cut;
        }
    }
}

fn samples(duration: Duration, rate_hz: u32) -> usize {
    duration.as_millis() as usize * rate_hz as usize / 1_000
}

fn duration(samples: usize, rate_hz: u32) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / u64::from(rate_hz))
}

#[cfg(test)]
mod tests;
