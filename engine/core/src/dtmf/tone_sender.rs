//! From key presses to tones in a leg's audio, for peers that take no telephone-events.
//!
//! ```text
//!   waiting > sounding (70 ms at least) > pause (50 ms) > waiting
//! ```
//!
//! Time passes with the samples of the frames that the peer gets: a tone takes the place of what else would be in them, so
//! that the stream and its timestamps go on as ever.

use std::collections::VecDeque;
use std::time::Duration;

use trestle_audio::{BRIDGE_RATE_HZ, Tone};
use trestle_wire::telephone_event::Digit;

use super::DIGIT_MAX;
use crate::limits;

/// Shortest tone: Q.24 asks receivers for 40 ms on a good line, and after a lossy codec more is kind.
const TONE_SAMPLES_MIN: u32 = samples(Duration::from_millis(70));
/// Silence after a tone; 40 ms are enough for Q.24.
const PAUSE_SAMPLES: u32 = samples(Duration::from_millis(50));
/// A key whose release we are never told of is released after this.
const LIVE_SAMPLES_MAX: u32 = samples(Duration::from_secs(5));
/// A tone swells and fades in 2 ms: without, it would click.
const RAMP_SAMPLES: u32 = 16;

/// Level of each of the two tones, in -dBm0: what phones send.
const LEVELS: std::ops::RangeInclusive<u8> = 7..=10;

/// The digits going to one leg's peer as tones, one after the other.
#[derive(Debug, Default)]
pub struct ToneSender {
    waiting: VecDeque<QueuedTone>,
    playing: Option<PlayingTone>,
    pause_left: u32,
    hushed: bool,
    dropped: u64,
}

#[derive(Debug, Clone, Copy)]
struct QueuedTone {
    digit: Digit,
    volume: u8,
    /// Samples; `None` while the key is down.
    length: Option<u32>,
}

#[derive(Debug, Clone)]
struct PlayingTone {
    tone: Tone,
    played: u32,
    length: Option<u32>,
}

impl ToneSender {
    /// A key goes down. One that is already down comes up first.
    pub fn start(&mut self, digit: Digit, volume: u8) {
        self.end(Duration::ZERO);
        self.queue(QueuedTone { digit, volume, length: None });
    }

    /// The key comes up after `duration`. Ignored if none is down, or if it has come up by itself.
    pub fn end(&mut self, duration: Duration) {
        let length = length_of(duration);
        if let Some(queued) = self.waiting.iter_mut().find(|queued| queued.length.is_none()) {
            queued.length = Some(length);
        } else if let Some(playing) = self.playing.as_mut().filter(|playing| playing.length.is_none()) {
            // It has to fade, however late the news.
            playing.length = Some(length.max(playing.played + RAMP_SAMPLES));
        }
    }

    /// Plays a digit of known duration, after those already there. `volume` is that of both tones, in -dBm0.
    pub fn play(&mut self, digit: Digit, duration: Duration, volume: u8) {
        self.queue(QueuedTone { digit, volume, length: Some(length_of(duration)) });
    }

    /// Silences all that is no tone of ours, or no longer does.
    pub fn hush(&mut self, on: bool) {
        self.hushed = on;
    }

    /// True while the peer must not get its audio as it is.
    pub fn is_active(&self) -> bool {
        self.hushed || self.playing.is_some() || self.pause_left > 0 || !self.waiting.is_empty()
    }

    /// Digits refused because [`limits::DIGITS_MAX`] were waiting.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next stretch of the peer's audio: puts the tone that is due in the place of it.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        let mut rest = pcm;
        while !rest.is_empty() {
            let filled = self.fill_some(rest);
            rest = &mut rest[filled..];
        }
    }

    /// Fills the beginning of `pcm`, at least one sample of it; says how many.
    fn fill_some(&mut self, pcm: &mut [i16]) -> usize {
        if self.playing.is_none() && self.pause_left == 0 {
            self.playing = self.waiting.pop_front().and_then(PlayingTone::new);
        }
        if let Some(playing) = &mut self.playing {
            let filled = playing.fill(pcm);
            if playing.left() == 0 {
                self.playing = None;
                self.pause_left = PAUSE_SAMPLES;
            }
            return filled;
        }
        let silent = if self.pause_left > 0 { pcm.len().min(self.pause_left as usize) } else { pcm.len() };
        if self.pause_left > 0 || self.hushed {
            pcm[..silent].fill(0);
        }
        self.pause_left = self.pause_left.saturating_sub(silent as u32);
        silent
    }

    fn queue(&mut self, queued: QueuedTone) {
        if self.waiting.len() == limits::DIGITS_MAX {
            self.dropped += 1;
            return;
        }
        self.waiting.push_back(queued);
    }
}

impl PlayingTone {
    fn new(queued: QueuedTone) -> Option<Self> {
        // The volume is that of both tones together: each has 3 dB less. Many peers state none, or any.
        let level = queued.volume.saturating_add(3).clamp(*LEVELS.start(), *LEVELS.end());
        let tone = Tone::dtmf_at(queued.digit.event(), -f64::from(level))?;
        Some(Self { tone, played: 0, length: queued.length })
    }

    /// Samples that it still sounds, as far as is known.
    fn left(&self) -> u32 {
        self.length.unwrap_or(LIVE_SAMPLES_MAX).saturating_sub(self.played)
    }

    fn fill(&mut self, pcm: &mut [i16]) -> usize {
        let filled = pcm.len().min(self.left() as usize);
        let pcm = &mut pcm[..filled];
        self.tone.fill(pcm, BRIDGE_RATE_HZ);
        for sample in pcm {
            let gain = (self.played + 1).min(self.left()).min(RAMP_SAMPLES);
            *sample = (i32::from(*sample) * gain as i32 / RAMP_SAMPLES as i32) as i16;
            self.played += 1;
        }
        filled
    }
}

fn length_of(duration: Duration) -> u32 {
    samples(if duration < DIGIT_MAX { duration } else { DIGIT_MAX }).max(TONE_SAMPLES_MIN)
}

const fn samples(duration: Duration) -> u32 {
    (duration.as_millis() as u32) * (BRIDGE_RATE_HZ / 1_000)
}

#[cfg(test)]
mod tests;
