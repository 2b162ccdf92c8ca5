//! Detects key presses in a peer's audio, for peers that send no telephone-events.
//!
//! Each packet is examined as it arrives, without waiting. A packet that is lost, or arrives after later ones, is a gap in
//! the audio; a gap of up to 40 ms does not interrupt a digit.

use std::time::{Duration, Instant};

use trestle_audio::dtmf::RATE_HZ;
use trestle_audio::{Codec, Decoder, DigitDetection, DigitDetector, Pcm};
use trestle_wire::telephone_event::Digit;
use trestle_wire::{RtpTime, Ssrc};

use super::{DIGIT_MAX, DIGIT_MIN, EventUpdate, EventUpdates};

/// A digit ends if its stream has not continued for this time.
const END_TIMEOUT: Duration = Duration::from_millis(200);
/// A timestamp further from the expected one than this, in samples, belongs to another timestamp line.
const JUMP_MAX: i64 = RATE_HZ as i64;

/// Detects the digits of one leg's peer in its audio.
#[derive(Debug, Default)]
pub struct ToneReceiver {
    detector: DigitDetector,
    decoder: Option<Decoder>,
    pcm: Pcm,
    position: Option<AudioPosition>,
    last_at: Option<Instant>,
}

/// Where the audio examined so far ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AudioPosition {
    ssrc: Ssrc,
    codec: Codec,
    next: RtpTime,
}

impl ToneReceiver {
    /// Examines a packet of audio; `ssrc` and `time` are those of its header.
    pub fn observe(&mut self, now: Instant, ssrc: Ssrc, time: RtpTime, codec: Codec, payload: &[u8]) -> EventUpdates {
        let mut updates = EventUpdates::new();
        let Some(samples) = codec.duration_samples(payload, RATE_HZ) else { return updates };
        let hz = i64::from(codec.clock().hz());
        let after = AudioPosition { ssrc, codec, next: time.plus((samples as i64 * hz / i64::from(RATE_HZ)) as u32) };
        let mut report = |detection| updates.extend(update(detection));
        match self.position.filter(|position| position.ssrc == ssrc && position.codec == codec) {
            Some(position) => match i64::from(position.next.distance_to(time)) * i64::from(RATE_HZ) / hz {
                0 => {}
                ahead if (1..=JUMP_MAX).contains(&ahead) => self.detector.skip(ahead as usize, &mut report),
                // A late packet: its time was examined as a gap.
                behind if (-JUMP_MAX..0).contains(&behind) => return updates,
                _ => self.detector.finish(&mut report),
            },
            None => self.detector.finish(&mut report),
        }
        (self.position, self.last_at) = (Some(after), Some(now));
        if self.decoder.as_ref().is_none_or(|decoder| decoder.codec() != codec) {
            self.decoder = Decoder::new(codec, RATE_HZ).ok();
        }
        let decoded = self.decoder.as_mut().is_some_and(|decoder| decoder.decode(payload, &mut self.pcm).is_ok());
        if decoded {
            self.detector.process(self.pcm.as_slice(), report);
        } else {
            self.detector.skip(samples, report);
        }
        updates
    }

    /// When a digit ends because its stream did not continue.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.last_at.filter(|_| self.detector.is_down()).map(|at| at + END_TIMEOUT)
    }

    /// Ends a digit whose stream did not continue.
    pub fn handle_timeout(&mut self, now: Instant) -> EventUpdates {
        if self.poll_timeout().is_some_and(|at| at <= now) { self.finish() } else { EventUpdates::new() }
    }

    /// Ends a digit that is down. For a peer whose audio is not examined any more.
    pub fn finish(&mut self) -> EventUpdates {
        let mut updates = EventUpdates::new();
        self.detector.finish(|detection| updates.extend(update(detection)));
        self.position = None;
        updates
    }
}

fn update(detection: DigitDetection) -> Option<EventUpdate> {
    Some(match detection {
        DigitDetection::Began { event, volume } => EventUpdate::Started { digit: Digit::from_event(event)?, volume },
        DigitDetection::Ended { event, volume, samples } => {
            let duration = Duration::from_millis(samples * 1_000 / u64::from(RATE_HZ));
            let duration = duration.clamp(DIGIT_MIN, DIGIT_MAX);
            EventUpdate::Ended { digit: Digit::from_event(event)?, duration, volume }
        }
    })
}

#[cfg(test)]
mod tests;
