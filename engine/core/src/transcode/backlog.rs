//! Sound that came before it could be sent: kept, played first, and the delay worked off.
//!
//! ```text
//!   keep (gate shut, no path):   pauses shortened, the oldest given up beyond the cap
//!   play (a frame per packet time): pauses shortened more, periods left out, at most 8 % of the time
//!   caught up:                   what comes goes straight on again
//! ```

use std::time::{Duration, Instant};

use trestle_audio::pause::BLOCK_SAMPLES;
use trestle_audio::shorten::{CUT_MAX, CUT_MIN, OVERLAP, blend_over, find_cut};
use trestle_audio::{BRIDGE_RATE_HZ, Packer, PauseDetector};

use crate::report::Preroll;

const SAMPLES_PER_MS: usize = BRIDGE_RATE_HZ as usize / 1_000;
/// Of a pause at the very beginning so much is kept: the soft onset of a word.
const LEAD_SAMPLES: usize = 60 * SAMPLES_PER_MS;
/// Of a pause between words, while nothing can be sent...
const PAUSE_KEPT_SAMPLES: usize = 200 * SAMPLES_PER_MS;
/// ...and while there is delay to work off.
const PAUSE_PLAYED_SAMPLES: usize = 100 * SAMPLES_PER_MS;
/// Speech may be so much faster than it was: more is heard as haste.
const FASTER_PERCENT: usize = 8;
/// Less than two of the longest frames would never make one.
const CAP_MIN: Duration = Duration::from_millis(120);
/// The call is at its normal delay when so little waits.
const CAUGHT_UP_SAMPLES: usize = CUT_MIN;
/// A frame that is not complete when it should go is looked for again after this.
const RETRY: Duration = Duration::from_millis(5);
/// A thread that was held up sends what it missed; after more than this, it goes on from now.
const STALL_MAX: Duration = Duration::from_millis(200);

/// See the module. Sound is 8 kHz mono.
#[derive(Debug)]
pub struct Backlog {
    /// What waits is `pcm[start..]`.
    pcm: Vec<i16>,
    start: usize,
    cap_samples: usize,
    pauses: PauseDetector,
    /// Samples at the end that have not made up a block yet.
    unjudged: usize,
    /// Samples of pause before those.
    pause_run: usize,
    /// How long that pause really was.
    pause_lasted: usize,
    heard_sound: bool,
    /// How much may be left out by now, in hundredths of a sample.
    credit: usize,
    clipped_samples: usize,
    playing: Option<Playing>,
    now: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Playing {
    since: Instant,
    next_at: Instant,
    kept_samples: usize,
}

/// What [`Backlog::poll_frame`] gave.
#[derive(Debug, PartialEq, Eq)]
pub enum BacklogOutput {
    /// Nothing is due.
    Nothing,
    /// A frame went into the packer.
    Frame,
    /// A frame would have been due, but something else is being said.
    Withheld,
    /// The same, with all that was left; the backlog has done its work.
    CaughtUp(Preroll),
}

impl Backlog {
    /// Keeps the newest `cap` of sound, 120 ms at least.
    pub fn new(cap: Duration) -> Self {
        let cap_samples = samples(cap.max(CAP_MIN));
        Self {
            // In one piece, so that no packet pays for growing it.
            pcm: Vec::with_capacity(cap_samples + 2 * Packer::CAPACITY),
            start: 0,
            cap_samples,
            pauses: PauseDetector::default(),
            unjudged: 0,
            pause_run: 0,
            pause_lasted: 0,
            heard_sound: false,
            credit: 0,
            clipped_samples: 0,
            playing: None,
            now: None,
        }
    }

    /// Takes the next stretch of sound.
    pub fn push(&mut self, pcm: &[i16]) {
        if self.pcm.len() + pcm.len() > self.pcm.capacity() {
            // What has been played may be part of a block that is not judged yet.
            let gone = self.start.min(self.pcm.len() - self.unjudged);
            self.pcm.drain(..gone);
            self.start -= gone;
        }
        self.pcm.extend_from_slice(pcm);
        self.unjudged += pcm.len();
        while self.unjudged >= BLOCK_SAMPLES {
            self.unjudged -= BLOCK_SAMPLES;
            self.judge(self.pcm.len() - self.unjudged - BLOCK_SAMPLES);
        }
        while self.waiting() > self.cap_samples {
            self.give_up_block();
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

    /// Throws away what waits.
    pub fn clear(&mut self) {
        self.give_up_all_but(0);
        (self.pause_run, self.pause_lasted, self.unjudged, self.heard_sound) = (0, 0, 0, false);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// When the next frame is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.playing.map(|playing| playing.next_at)
    }

    /// Puts the next frame into `packer`, if one is due; if `withhold`, it goes on waiting and only its time passes. Call
    /// until [`BacklogOutput::Nothing`].
    pub fn poll_frame(&mut self, frame_samples: usize, withhold: bool, packer: &mut Packer) -> BacklogOutput {
        let (Some(playing), Some(now)) = (&mut self.playing, self.now) else { return BacklogOutput::Nothing };
        if playing.next_at > now {
            return BacklogOutput::Nothing;
        }
        if withhold {
            playing.next_at = playing.next_at.max(now) + duration(frame_samples);
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
        playing.next_at += duration(frame_samples);
        self.shorten(frame_samples);
        let rest = self.waiting() - frame_samples;
        if rest <= CAUGHT_UP_SAMPLES {
            packer.push(&self.pcm[self.start..]);
            let preroll = Preroll {
                kept: duration(kept_samples),
                clipped: self.clipped(),
                caught_up: Some(now.saturating_duration_since(since)),
            };
            return BacklogOutput::CaughtUp(preroll);
        }
        packer.push(&self.pcm[self.start..self.start + frame_samples]);
        self.start += frame_samples;
        BacklogOutput::Frame
    }

    /// The story so far.
    pub fn preroll(&self) -> Preroll {
        let kept = self.playing.map_or(self.waiting(), |playing| playing.kept_samples);
        Preroll { kept: duration(kept), clipped: self.clipped(), caught_up: None }
    }

    /// Sound that was given up.
    fn clipped(&self) -> Duration {
        duration(self.clipped_samples)
    }

    fn waiting(&self) -> usize {
        self.pcm.len() - self.start
    }

    /// Shortens the pause that the block at `at` belongs to, if it is one and has become long.
    fn judge(&mut self, at: usize) {
        let block = &self.pcm[at.max(self.start)..at + BLOCK_SAMPLES];
        if !self.pauses.process(block) {
            (self.pause_run, self.pause_lasted, self.heard_sound) = (0, 0, true);
            return;
        }
        self.pause_run += BLOCK_SAMPLES;
        self.pause_lasted += BLOCK_SAMPLES;
        if self.is_keeping() && self.heard_sound && self.pause_lasted >= self.cap_samples {
            // All of it is older than what is kept: somebody spoke into a line that rang, and gave up.
            self.give_up_all_but(LEAD_SAMPLES);
            self.heard_sound = false;
        }
        let limit = match self.playing {
            _ if !self.heard_sound => LEAD_SAMPLES,
            None => PAUSE_KEPT_SAMPLES,
            Some(_) => PAUSE_PLAYED_SAMPLES,
        };
        // The newest part of a pause stays, in case a word begins softly in it.
        let end = (at + BLOCK_SAMPLES).saturating_sub(LEAD_SAMPLES);
        let is_played_out = self.playing.is_some() && self.waiting() < 2 * LEAD_SAMPLES;
        if self.pause_run > limit && end >= self.start + BLOCK_SAMPLES && !is_played_out {
            self.pcm.drain(end - BLOCK_SAMPLES..end);
            self.pause_run -= BLOCK_SAMPLES;
        }
    }

    fn give_up_all_but(&mut self, samples: usize) {
        while self.waiting() > samples {
            self.give_up_block();
        }
    }

    /// Gives up the oldest block.
    fn give_up_block(&mut self) {
        let block = BLOCK_SAMPLES.min(self.waiting());
        if !self.pauses.is_like_pause(&self.pcm[self.start..self.start + block]) {
            self.clipped_samples += block;
        }
        self.start += block;
    }

    /// Leaves out a period of the sound if there is one, and enough has been played since the last.
    fn shorten(&mut self, frame_samples: usize) {
        self.credit = (self.credit + frame_samples * FASTER_PERCENT).min(CUT_MAX * 100);
        let spare = self.waiting() - frame_samples;
        let cut_max = spare.min(self.credit / 100);
        let window = &mut self.pcm[self.start..];
        let window = &mut window[..(CUT_MAX + OVERLAP).min(frame_samples + spare)];
        let cut = if self.pauses.is_like_pause(window) {
            // Nobody hears where a pause is cut, nor how much faster it goes by.
            Some(spare.min(CUT_MAX)).filter(|cut| *cut >= CUT_MIN)
        } else {
            let cut = find_cut(window, cut_max);
            self.credit -= cut.unwrap_or(0) * 100;
            cut
        };
        if let Some(cut) = cut {
            blend_over(window, cut);
            self.start += cut;
        }
    }
}

fn samples(duration: Duration) -> usize {
    duration.as_millis() as usize * SAMPLES_PER_MS
}

fn duration(samples: usize) -> Duration {
    Duration::from_micros((samples * 1_000 / SAMPLES_PER_MS) as u64)
}

#[cfg(test)]
mod tests;
