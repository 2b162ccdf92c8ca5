//! Digits towards a leg's peer: telephone-events if it takes them, else tones in its audio.

use std::time::{Duration, Instant};

use trestle_wire::ClockRate;
use trestle_wire::telephone_event::Digit;

use super::{DigitForm, note_digit};
use crate::dtmf::{EventPacket, EventSender, EventUpdate, ToneSender};

/// Digits that are being sent or wait to be sent to one peer.
#[derive(Debug, Default)]
pub(super) struct DigitSender {
    events: EventSender,
    /// Made with the first digit for a peer that takes no events.
    tones: Option<Box<ToneSender>>,
    /// The present event began while nothing could be sent; its other packets are left out, too.
    skips_event: bool,
    /// Digits sent, for the report.
    sent: String,
}

impl DigitSender {
    pub(super) fn set_clock(&mut self, clock: ClockRate) {
        self.events.set_clock(clock);
    }

    /// The plan may name another source, which does not release the key that the one before holds down.
    pub(super) fn apply(&mut self, now: Instant, other_source: bool, muted: bool) {
        if other_source {
            self.release(now, Duration::ZERO);
        }
        if other_source || !muted {
            self.mute_audio(false);
        }
    }

    /// Takes a change of a digit of the source as a telephone-event. `muted` digits do not start, but a started one ends.
    /// False if too many digits wait: this one is not sent.
    pub(super) fn relay_as_event(&mut self, now: Instant, update: &EventUpdate, muted: bool) -> bool {
        match *update {
            EventUpdate::Started { .. } if muted => {}
            EventUpdate::Started { digit, volume } => {
                let queued = self.events.start(now, digit, volume);
                return self.note_if(queued, digit);
            }
            EventUpdate::Ended { duration, .. } => self.release(now, duration),
        }
        true
    }

    /// The key that the source holds down is released after `duration`, in whichever form its digit has begun. Ignored if there is none.
    fn release(&mut self, now: Instant, duration: Duration) {
        self.events.end(now, duration);
        if let Some(tones) = &mut self.tones {
            tones.end(duration);
        }
    }

    /// Takes a change of a digit of the source as a tone. A digit that came as a tone is in the source's audio already. False
    /// if too many digits wait: this one is not sent.
    pub(super) fn relay_as_tone(&mut self, now: Instant, update: &EventUpdate, form: DigitForm, muted: bool) -> bool {
        match (*update, form) {
            (EventUpdate::Started { digit, volume }, DigitForm::Event) if !muted => {
                let queued = self.tones.get_or_insert_default().start(digit, volume);
                return self.note_if(queued, digit);
            }
            (EventUpdate::Ended { duration, .. }, _) => self.release(now, duration),
            (EventUpdate::Started { digit, .. }, DigitForm::Tone) if !muted => note_digit(&mut self.sent, digit),
            (EventUpdate::Started { .. }, _) => {}
        }
        true
    }

    /// Silences the audio of the source, or ends that. Used while a muted digit is pressed: its tone may be in the audio.
    pub(super) fn mute_audio(&mut self, mute: bool) {
        if mute {
            self.tones.get_or_insert_default().mute(true);
        } else if let Some(tones) = &mut self.tones {
            tones.mute(false);
        }
    }

    /// Queues a digit of Trestle's own. False if too many digits wait: it is not sent.
    pub(super) fn play(&mut self, now: Instant, digit: Digit, duration: Duration, volume: u8, as_event: bool) -> bool {
        let queued = if as_event {
            self.events.play(now, digit, duration, volume)
        } else {
            self.tones.get_or_insert_default().play(digit, duration, volume)
        };
        self.note_if(queued, digit)
    }

    fn note_if(&mut self, queued: bool, digit: Digit) -> bool {
        if queued {
            note_digit(&mut self.sent, digit);
        }
        queued
    }

    /// True while telephone-events take the audio's place.
    pub(super) fn sends_events(&self) -> bool {
        self.events.is_active()
    }

    /// True while a tone takes the audio's place, so that the peer needs frames of ours.
    pub(super) fn sends_tones(&self) -> bool {
        self.tones.as_ref().is_some_and(|tones| tones.is_active())
    }

    /// The tones to put into the next frame, if one is due.
    pub(super) fn tones_mut(&mut self) -> Option<&mut ToneSender> {
        self.tones.as_deref_mut().filter(|tones| tones.is_active())
    }

    /// Frees what tones needed, once they are over. False if there were none.
    pub(super) fn end_tones(&mut self) -> bool {
        self.tones.take().is_some()
    }

    /// True if a digit is being sent or waits.
    pub(super) fn is_busy(&self) -> bool {
        self.events.is_active() || self.tones.is_some()
    }

    /// The next telephone-event packet that is due and can be sent; call until `None`. Packets that cannot be sent are consumed,
    /// and with its first packet the whole event is: a receiver would take the rest for a part of the digit before.
    pub(super) fn poll_packet(&mut self, now: Instant, takes_events: bool, can_send: bool) -> Option<EventPacket> {
        while let Some(packet) = self.events.poll_packet(now) {
            if !takes_events {
                continue;
            }
            if packet.first {
                self.skips_event = !can_send;
            }
            if can_send && !self.skips_event {
                return Some(packet);
            }
        }
        None
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.events.poll_timeout()
    }

    /// Digits sent to the peer, in order.
    pub(super) fn sent(&self) -> &str {
        &self.sent
    }
}
