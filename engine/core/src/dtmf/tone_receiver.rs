//! From tones in a peer's audio to key presses, for peers that know no telephone-events.
//!
//! Packets are listened to as they come: there is no waiting here. One that is lost, or overtaken by others, is a hole in
//! what is heard, and a hole of up to 40 ms changes nothing.

use std::time::{Duration, Instant};

use trestle_audio::{BRIDGE_RATE_HZ, Decoder, DigitDetection, DigitDetector, Pcm};
use trestle_wire::telephone_event::Digit;
use trestle_wire::{RtpTime, Ssrc};

use super::{DIGIT_MAX, DIGIT_MIN, EventUpdate, EventUpdates};
use crate::plan::Codec;
use crate::transcode;

/// A stream of which nothing more comes has ended its digit.
const END_TIMEOUT: Duration = Duration::from_millis(200);
/// A timestamp further from the expected one than this, in samples, belongs to another line.
const JUMP_MAX: i64 = BRIDGE_RATE_HZ as i64;

/// Ears for one leg's peer.
#[derive(Debug, Default)]
pub struct ToneReceiver {
    detector: DigitDetector,
    decoder: Option<Decoder>,
    pcm: Pcm,
    position: Option<AudioPosition>,
    last_at: Option<Instant>,
}

/// Where the audio heard so far ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AudioPosition {
    ssrc: Ssrc,
    codec: Codec,
    next: RtpTime,
}

impl ToneReceiver {
    /// Listens to a packet of audio; `ssrc` and `time` are its header's.
    pub fn observe(&mut self, now: Instant, ssrc: Ssrc, time: RtpTime, codec: Codec, payload: &[u8]) -> EventUpdates {
        let mut updates = EventUpdates::new();
        let kind = transcode::codec_kind(codec);
        let Some(samples) = kind.duration_samples(payload) else { return updates };
        let hz = i64::from(codec.clock().hz());
        let after =
            AudioPosition { ssrc, codec, next: time.plus((samples as i64 * hz / i64::from(BRIDGE_RATE_HZ)) as u32) };
        let mut heard = |heard| updates.extend(update(heard));
        match self.position.filter(|position| position.ssrc == ssrc && position.codec == codec) {
            Some(position) => match i64::from(position.next.distance_to(time)) * i64::from(BRIDGE_RATE_HZ) / hz {
                0 => {}
                ahead if (1..=JUMP_MAX).contains(&ahead) => self.detector.skip(ahead as usize, &mut heard),
                // Overtaken by what was heard already.
                behind if (-JUMP_MAX..0).contains(&behind) => return updates,
                _ => self.detector.finish(&mut heard),
            },
            None => self.detector.finish(&mut heard),
        }
        (self.position, self.last_at) = (Some(after), Some(now));
        if self.decoder.as_ref().is_none_or(|decoder| decoder.kind() != kind) {
            self.decoder = Decoder::new(kind).ok();
        }
        let decoded = self.decoder.as_mut().is_some_and(|decoder| decoder.decode(payload, &mut self.pcm).is_ok());
        if decoded {
            self.detector.process(self.pcm.as_slice(), heard);
        } else {
            self.detector.skip(samples, heard);
        }
        updates
    }

    /// When a digit counts as over though its stream did not go on.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.last_at.filter(|_| self.detector.is_down()).map(|at| at + END_TIMEOUT)
    }

    /// Ends a digit whose stream broke off.
    pub fn handle_timeout(&mut self, now: Instant) -> EventUpdates {
        if self.poll_timeout().is_some_and(|at| at <= now) { self.finish() } else { EventUpdates::new() }
    }

    /// Listens no more: a digit that sounds is over.
    pub fn finish(&mut self) -> EventUpdates {
        let mut updates = EventUpdates::new();
        self.detector.finish(|heard| updates.extend(update(heard)));
        self.position = None;
        updates
    }
}

fn update(heard: DigitDetection) -> Option<EventUpdate> {
    Some(match heard {
        DigitDetection::Began { event, volume } => EventUpdate::Started { digit: Digit::from_event(event)?, volume },
        DigitDetection::Ended { event, volume, samples } => {
            let duration = Duration::from_millis(samples * 1_000 / u64::from(BRIDGE_RATE_HZ));
            let duration = duration.clamp(DIGIT_MIN, DIGIT_MAX);
            EventUpdate::Ended { digit: Digit::from_event(event)?, duration, volume }
        }
    })
}

#[cfg(test)]
mod tests;
