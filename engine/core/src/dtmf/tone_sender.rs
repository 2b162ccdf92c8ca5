//! Makes DTMF tones in a leg's outgoing audio from key presses, for peers that take no telephone-events.
//!
//! ```text
//!   queued > playing (70 ms at least) > pause (50 ms) > queued
//! ```
//!
//! Time passes with the samples of the peer's frames: a tone replaces the other audio in them, so that the stream and its
//! timestamps continue.

use std::collections::VecDeque;
use std::time::Duration;

use trestle_audio::Tone;
use trestle_wire::telephone_event::Digit;

use super::{DIGIT_MAX, LIVE_MAX, has_room};

/// Shortest tone: Q.24 requires 40 ms of receivers on a good line, and a lossy codec needs a margin.
const TONE_MIN: Duration = Duration::from_millis(70);
/// Silence after a tone; 40 ms are enough for Q.24.
const PAUSE: Duration = Duration::from_millis(50);
/// A tone rises and falls within this time, so that it does not click.
const RAMP: Duration = Duration::from_millis(2);

/// Level of each of the two tones, in -dBm0: what phones send.
const LEVELS: std::ops::RangeInclusive<u8> = 7..=10;

/// The digits that are sent to one leg's peer as tones, one after the other.
#[derive(Debug, Default)]
pub struct ToneSender {
    waiting: VecDeque<QueuedTone>,
    playing: Option<PlayingTone>,
    /// Samples of the pause that are left.
    pause_left: u32,
    /// The other audio is silenced.
    muted: bool,
}

#[derive(Debug, Clone, Copy)]
struct QueuedTone {
    digit: Digit,
    volume: u8,
    /// `None` while the key is down.
    duration: Option<Duration>,
}

#[derive(Debug, Clone)]
struct PlayingTone {
    tone: Tone,
    rate_hz: u32,
    /// Samples played.
    played: u32,
    /// Samples; `None` while the key is down.
    length: Option<u32>,
}

impl ToneSender {
    /// A key goes down. A key that is already down is released first. False if too many digits wait: the key is ignored.
    pub fn start(&mut self, digit: Digit, volume: u8) -> bool {
        self.end(Duration::ZERO);
        self.queue(QueuedTone { digit, volume, duration: None })
    }

    /// The key is released after `duration`. Ignored if no key is down, or if it was released after 5 s.
    pub fn end(&mut self, duration: Duration) {
        let duration = bounded(duration);
        if let Some(queued) = self.waiting.iter_mut().find(|queued| queued.duration.is_none()) {
            queued.duration = Some(duration);
        } else if let Some(playing) = self.playing.as_mut().filter(|playing| playing.length.is_none()) {
            // It has to fall, however late the release arrives.
            let least = playing.played + samples(RAMP, playing.rate_hz);
            playing.length = Some(samples(duration, playing.rate_hz).max(least));
        }
    }

    /// Queues a digit of known duration. `volume` is that of both tones together, in -dBm0. False if too many digits wait: it is
    /// not sent.
    pub fn play(&mut self, digit: Digit, duration: Duration, volume: u8) -> bool {
        self.queue(QueuedTone { digit, volume, duration: Some(bounded(duration)) })
    }

    /// Silences all audio except for these tones, or ends that.
    pub fn mute(&mut self, on: bool) {
        self.muted = on;
    }

    /// True while the peer must not get the other audio unchanged.
    pub fn is_active(&self) -> bool {
        self.muted || self.playing.is_some() || self.pause_left > 0 || !self.waiting.is_empty()
    }

    /// Replaces the audio in `pcm`, the next piece at `rate_hz`, by the tone that is due in it.
    pub fn fill(&mut self, rate_hz: u32, pcm: &mut [i16]) {
        let mut rest = pcm;
        while !rest.is_empty() {
            let filled = self.fill_some(rate_hz, rest);
            rest = &mut rest[filled..];
        }
    }

    /// Fills the beginning of `pcm`, at least one sample of it; returns how many samples.
    fn fill_some(&mut self, rate_hz: u32, pcm: &mut [i16]) -> usize {
        if self.playing.is_none() && self.pause_left == 0 {
            self.playing = self.waiting.pop_front().and_then(|queued| PlayingTone::new(queued, rate_hz));
        }
        if let Some(playing) = &mut self.playing {
            let filled = playing.fill(pcm);
            if playing.left() == 0 {
                self.playing = None;
                self.pause_left = samples(PAUSE, rate_hz);
            }
            return filled;
        }
        let silent = if self.pause_left > 0 { pcm.len().min(self.pause_left as usize) } else { pcm.len() };
        if self.pause_left > 0 || self.muted {
            pcm[..silent].fill(0);
        }
        self.pause_left = self.pause_left.saturating_sub(silent as u32);
        silent
    }

    fn queue(&mut self, queued: QueuedTone) -> bool {
        let has_room = has_room(self.waiting.iter().map(|waiting| waiting.duration), queued.duration);
        if has_room {
            self.waiting.push_back(queued);
        }
        has_room
    }
}

impl PlayingTone {
    fn new(queued: QueuedTone, rate_hz: u32) -> Option<Self> {
        // The volume is that of both tones together: each has 3 dB less. Many peers state none, or an arbitrary one.
        let level = queued.volume.saturating_add(3).clamp(*LEVELS.start(), *LEVELS.end());
        let tone = Tone::dtmf_at(queued.digit.event(), -f64::from(level))?;
        let length = queued.duration.map(|duration| samples(duration, rate_hz));
        Some(Self { tone, rate_hz, played: 0, length })
    }

    /// Samples that are left to play, as far as is known.
    fn left(&self) -> u32 {
        self.length.unwrap_or(samples(LIVE_MAX, self.rate_hz)).saturating_sub(self.played)
    }

    fn fill(&mut self, pcm: &mut [i16]) -> usize {
        let ramp = samples(RAMP, self.rate_hz);
        let filled = pcm.len().min(self.left() as usize);
        let pcm = &mut pcm[..filled];
        self.tone.fill(pcm, self.rate_hz);
        for sample in pcm {
            let gain = (self.played + 1).min(self.left()).min(ramp);
            *sample = (i32::from(*sample) * gain as i32 / ramp as i32) as i16;
            self.played += 1;
        }
        filled
    }
}

/// A duration within the bounds of a tone.
fn bounded(duration: Duration) -> Duration {
    duration.clamp(TONE_MIN, DIGIT_MAX)
}

fn samples(duration: Duration, rate_hz: u32) -> u32 {
    (duration.as_micros() as u64 * u64::from(rate_hz) / 1_000_000) as u32
}

#[cfg(test)]
mod tests;
