//! Digits as tones: from a peer that announced no telephone-events, and to one that takes none.

use std::time::Instant;

use trestle_wire::rtp::Header;

use super::{Leg, Pressed, note_digit};
use crate::dtmf::{EventUpdate, EventUpdates};
use crate::plan::{Codec, Mute};
use crate::route::Frame;

impl Leg {
    /// True if the peer's digits may be tones and nothing but these.
    pub(super) fn hears_tones(&self) -> bool {
        self.plan.hear_tones && !self.events_in.has_received()
    }

    /// Listens for digits in audio.
    pub(super) fn hear_tones(
        &mut self,
        now: Instant,
        header: &Header,
        codec: Codec,
        payload: &[u8],
        updates: &mut EventUpdates,
    ) {
        let tones = self.tones_in.get_or_insert_default();
        updates.extend(tones.observe(now, header.ssrc, header.time, codec, payload));
    }

    /// The peer does send events, so that a key that also sounds must not be two. What sounds now is over before them.
    pub(super) fn hear_no_more_tones(&mut self, updates: &mut EventUpdates) {
        if let Some(mut tones) = self.tones_in.take() {
            updates.extend(tones.finish());
        }
    }

    pub(super) fn tones_timeout(&mut self, now: Instant) -> EventUpdates {
        self.tones_in.as_mut().map_or_else(EventUpdates::new, |tones| tones.handle_timeout(now))
    }

    /// A digit of the leg that this one hears, which goes on as no event. What came as a tone is in the audio already.
    pub(super) fn sound_digit(&mut self, update: &EventUpdate, pressed: Pressed) {
        let withheld = self.plan.withheld.digits;
        match (*update, pressed) {
            (EventUpdate::Started { digit, volume }, Pressed::AsEvent) if !withheld => {
                note_digit(&mut self.counters.digits_out, digit);
                self.tones_out.get_or_insert_default().start(digit, volume);
            }
            (EventUpdate::Ended { duration, .. }, Pressed::AsEvent) => {
                if let Some(tones) = &mut self.tones_out {
                    tones.end(duration);
                }
            }
            (EventUpdate::Started { digit, .. }, Pressed::AsTone) if !withheld => {
                note_digit(&mut self.counters.digits_out, digit);
            }
            (EventUpdate::Started { .. } | EventUpdate::Ended { .. }, _) => {}
        }
    }

    /// While a digit that is withheld is down there is silence: what came as a tone is in the audio already, and some phones
    /// sound what they also send as an event.
    pub(super) fn hush_blocked_digit(&mut self, update: &EventUpdate) {
        match update {
            EventUpdate::Started { .. } if self.plan.withheld.digits && self.plan.withheld.audio == Mute::Off => {
                self.tones_out.get_or_insert_default().hush(true);
            }
            EventUpdate::Started { .. } => {}
            EventUpdate::Ended { .. } => self.hush_no_more(),
        }
    }

    /// Whatever was silenced is heard again.
    pub(super) fn hush_no_more(&mut self) {
        if let Some(tones) = &mut self.tones_out {
            tones.hush(false);
        }
    }

    /// True while the peer must get frames of ours because of a tone.
    pub(super) fn sounds_tone(&self) -> bool {
        self.tones_out.as_ref().is_some_and(|tones| tones.is_active())
    }

    /// Sees to it that there are frames for a tone to sound in; once it is over, those that were made for it alone end.
    pub(super) fn sound_tones(&mut self, now: Instant) {
        let Some(tones) = &self.tones_out else { return };
        if tones.is_active() {
            if let Some(format) = self.plan.send.filter(|_| self.can_send()) {
                self.transcoder(&format).start(now);
            }
            return;
        }
        self.tones_out = None;
        let only_for_tones = self.transcoder.as_ref().is_some_and(|transcoder| transcoder.is_only_filling());
        if only_for_tones && !self.is_unbroken() && self.plan.withheld.audio != Mute::Silence {
            self.stop_transcoder();
        }
    }

    /// The next frame of the transcoder, with the tone that is due in it.
    pub(super) fn poll_frame(&mut self, payload: &mut [u8]) -> Option<Frame> {
        let withhold = self.events_out.is_active();
        let Self { transcoder: Some(transcoder), tones_out, .. } = self else { return None };
        transcoder.withhold(withhold);
        transcoder.poll_frame_through(payload, tones_out.as_deref_mut().filter(|tones| tones.is_active()))
    }
}
