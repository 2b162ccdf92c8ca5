//! A call: its legs, and who hears whom.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_wire::demux::Kind;
use trestle_wire::rtp::Header;
use trestle_wire::telephone_event::Digit;

use crate::dtmf::EventUpdates;
use crate::leg::latch::Flow;
use crate::leg::webrtc::DtlsIdentity;
use crate::leg::{Leg, Media, Pressed, Received};
use crate::output::Outbox;
use crate::report::CallReport;
use crate::time::soonest;
use crate::{CallId, CommandError, Discard, Event, EventKind, LegId, LegPlan};

/// Everything under one call id. A call never leaves its shard.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    opened: Instant,
    legs: Vec<Leg>,
    last_media: Option<Instant>,
    media_timeout: Duration,
    /// When silence on all legs becomes an event; pushed on by media, `None` once the event has been sent.
    silent_at: Option<Instant>,
}

/// Whether a call must be asked anew when it wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// No deadline has become earlier.
    AsBefore,
    Anew,
}

impl Call {
    pub(crate) fn new(now: Instant, id: CallId, media_timeout: Duration) -> Self {
        let silent_at = now.checked_add(media_timeout);
        Self { id, opened: now, legs: Vec::new(), last_media: None, media_timeout, silent_at }
    }

    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    pub(crate) fn legs(&self) -> &[Leg] {
        &self.legs
    }

    pub(crate) fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.id() == id)
    }

    pub(crate) fn add_leg(&mut self, leg: Leg) {
        self.legs.push(leg);
    }

    pub(crate) fn remove_leg(&mut self, id: LegId) -> Option<Leg> {
        let position = self.position(id)?;
        Some(self.legs.remove(position))
    }

    pub(crate) fn change_leg(
        &mut self,
        now: Instant,
        id: LegId,
        plan: LegPlan,
        identity: &DtlsIdentity,
    ) -> Result<(), CommandError> {
        let position = self.position(id).ok_or(CommandError::UnknownLeg)?;
        self.legs[position].apply(now, plan, identity)
    }

    pub(crate) fn set_opus_complexity(&mut self, complexity: u8) {
        self.legs.iter_mut().for_each(|leg| leg.set_opus_complexity(complexity));
    }

    pub(crate) fn play_digit(
        &mut self,
        now: Instant,
        leg: LegId,
        digit: Digit,
        duration: Duration,
        volume: u8,
    ) -> Result<(), CommandError> {
        let position = self.position(leg).ok_or(CommandError::UnknownLeg)?;
        self.legs[position].play_digit(now, digit, duration, volume)
    }

    /// Takes a datagram that arrived on a port of `leg`, and passes on what it carries to the legs that hear it.
    ///
    /// In a call that only forwards, a packet of media moves no deadline but those that it moves later, and leaves nothing to
    /// be done after it: then nothing is looked for either.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        leg: LegId,
        flow: Flow,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Wake {
        let Some(from) = self.position(leg) else { return Wake::AsBefore };
        let kind = Kind::of(datagram);
        let was_silent = self.silent_at.is_none();
        let mut updates = EventUpdates::new();
        match self.legs[from].receive(now, flow, source, kind, datagram, &mut updates) {
            // What we sent on another leg came back on this one: a party that names our port as its own (RFC 3550 8.2). On its
            // own leg it is an echo service.
            Ok(Received::Media(Media { header: Header { ssrc, .. }, .. }) | Received::Event { ssrc, .. })
                if self.legs.iter().any(|other| other.id() != leg && other.ssrc() == ssrc) =>
            {
                self.legs[from].discard(Discard::ForeignSsrc);
            }
            Ok(Received::Media(media)) => {
                self.heard_something(now);
                // First, so that as little of a tone as can be is heard by those who get an event instead.
                self.pass_on(outbox, now, from, &updates, Pressed::AsTone);
                let payload = &datagram[media.payload.clone()];
                let mut listeners = 0;
                for listener in self.legs.iter_mut().filter(|other| other.hears(leg)) {
                    listeners += usize::from(listener.hear(now, outbox, leg, &media, payload));
                }
                if listeners == 0 {
                    self.legs[from].nobody_listened();
                }
                // Audio after an event ends the event, whether or not its end packets arrived.
                let updates = self.legs[from].audio_resumed(media.seq);
                self.pass_on(outbox, now, from, &updates, Pressed::AsEvent);
            }
            Ok(Received::Event { ssrc, seq }) => {
                self.heard_something(now);
                for listener in self.legs.iter_mut().filter(|other| other.hears(leg)) {
                    listener.hear_event_packet(leg, ssrc, seq);
                }
                self.pass_on(outbox, now, from, &updates, Pressed::AsEvent);
            }
            Ok(Received::Nothing) => {}
            Err(reason) => self.legs[from].discard(reason),
        }
        let is_handshake = matches!(kind, Some(Kind::Stun | Kind::Dtls));
        if !is_handshake && !was_silent && !self.legs.iter().any(Leg::is_busy) {
            return Wake::AsBefore;
        }
        self.drain(now, outbox);
        Wake::Anew
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) -> Wake {
        if self.silent_at.is_some_and(|at| at <= now) {
            self.silent_at = None;
            outbox.event(Event { call: self.id, kind: EventKind::MediaTimeout });
        }
        for from in 0..self.legs.len() {
            let (updates, tones) = self.legs[from].handle_timeout(now, outbox);
            self.pass_on(outbox, now, from, &updates, Pressed::AsEvent);
            self.pass_on(outbox, now, from, &tones, Pressed::AsTone);
        }
        self.drain(now, outbox);
        Wake::Anew
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        self.legs.iter_mut().map(Leg::poll_timeout).fold(self.silent_at, soonest)
    }

    pub(crate) fn report(&self, now: Instant) -> CallReport {
        CallReport {
            age: now.duration_since(self.opened),
            last_media: self.last_media.map(|at| now.duration_since(at)),
            legs: self.legs.iter().map(|leg| leg.report(self.opened)).collect(),
        }
    }

    fn position(&self, id: LegId) -> Option<usize> {
        self.legs.iter().position(|leg| leg.id() == id)
    }

    fn heard_something(&mut self, now: Instant) {
        self.last_media = Some(now);
        self.silent_at = now.checked_add(self.media_timeout);
    }

    /// Tells the controller of a finished digit and starts or ends it on every leg that hears `from`.
    fn pass_on(&mut self, outbox: &mut Outbox, now: Instant, from: usize, updates: &EventUpdates, pressed: Pressed) {
        if updates.is_empty() {
            return;
        }
        let leg = self.legs[from].id();
        for update in updates {
            self.legs
                .iter_mut()
                .filter(|other| other.hears(leg))
                .for_each(|other| other.hear_digit(now, update, pressed));
            if let Some(kind) = self.legs[from].digit_event(update) {
                outbox.event(Event { call: self.id, kind });
            }
        }
    }

    fn drain(&mut self, now: Instant, outbox: &mut Outbox) {
        for leg in &mut self.legs {
            while let Some(kind) = leg.drain(now, outbox) {
                outbox.event(Event { call: self.id, kind });
            }
        }
    }
}
