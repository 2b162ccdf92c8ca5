//! A call: its legs, and the path of a packet between them.
//!
//! ```text
//!   io/poller.rs          a datagram is read from the socket
//!   io/worker.rs          with the time, to the shard
//!   shard.rs              Shard::handle_datagram: the call and leg that own the socket
//!   call.rs               Call::handle_datagram: RTP, or control
//!   leg/incoming.rs         Incoming::receive: receiving? negotiated payload type? expected SSRC? not seen before?
//!   leg/path.rs               Path::receive_rtp: decrypt and authenticate (srtp), check the source (leg/latch.rs)
//!   stream/{ssrc,rx}.rs       one SSRC, extended sequence numbers
//!   call.rs               for each leg whose source is this leg:
//!   leg/outgoing.rs         Outgoing::take_audio: forward it, transcode it, or store it
//!   stream/tx.rs              StreamTx::forward: our SSRC, sequence number, timestamp, marker
//!   leg/path.rs               Path::send_rtp: encrypt
//!   output.rs             Outbox: wait for Shard::poll_output
//!   io/worker.rs, io/poller.rs   the datagram is sent
//! ```
//!
//! Audio that is transcoded goes through `route` instead of `StreamTx::forward`; its frames are sent by `Outgoing::drain`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_wire::Ssrc;
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtp::Header;
use trestle_wire::telephone_event::Digit;

use crate::dtmf::EventUpdates;
use crate::leg::incoming::{Accepted, AudioPacket};
use crate::leg::latch::Flow;
use crate::leg::{DigitForm, Leg, PreparedPlan};
use crate::output::Outbox;
use crate::report::CallReport;
use crate::time::{ReceiveTime, soonest};
use crate::{CallId, CommandError, Discard, Event, EventKind, LegId, limits};

/// Everything under one call id. A call never leaves its shard.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    opened: Instant,
    legs: Vec<Leg>,
    last_media: Option<Instant>,
    /// After this long without media on any leg, silence is reported.
    media_timeout: Duration,
    /// Silence was reported, and there was no media since.
    is_silent: bool,
}

/// Whether the shard must ask a call for its deadline again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// No deadline has become earlier.
    AsBefore,
    Anew,
}

impl Call {
    pub(crate) fn new(now: Instant, id: CallId, media_timeout: Duration) -> Self {
        Self { id, opened: now, legs: Vec::new(), last_media: None, media_timeout, is_silent: false }
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

    /// Brings a leg to a plan that it has prepared. Gives the leg.
    pub(crate) fn change_leg(&mut self, now: Instant, id: LegId, prepared: PreparedPlan) -> Option<&Leg> {
        let position = self.position(id)?;
        let leg = &mut self.legs[position];
        leg.apply(now, prepared);
        Some(leg)
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

    /// Takes a datagram that arrived on a port of `leg`, and passes its audio or digits on to the legs whose source is `leg`.
    ///
    /// In a call that only forwards, a media packet moves deadlines only to later times and leaves nothing to be sent. Then the
    /// deadlines are not asked for again.
    pub(crate) fn handle_datagram(
        &mut self,
        received: ReceiveTime,
        outbox: &mut Outbox,
        leg: LegId,
        flow: Flow,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Wake {
        let now = received.now;
        let Some(from) = self.position(leg) else { return Wake::AsBefore };
        let kind = DatagramKind::of(datagram);
        let was_silent = self.is_silent;
        let mut begins_risk = false;
        let mut updates = EventUpdates::new();
        let receiver = &mut self.legs[from];
        let accepted = match kind {
            Some(DatagramKind::Rtp) if flow == Flow::Rtp => {
                receiver.incoming.receive(received, &mut receiver.path, source, datagram, &mut updates)
            }
            Some(kind) => receiver.receive_control(received, flow, source, kind, datagram),
            None => Err(Discard::Malformed),
        };
        match accepted {
            Ok(Accepted::Audio(AudioPacket { header: Header { ssrc, .. }, .. }) | Accepted::Event { ssrc, .. })
                if self.legs[from].incoming.is_returned() && self.is_own_stream(leg, ssrc) =>
            {
                let reason = self.legs[from].incoming.note_ring(now);
                begins_risk = self.legs[from].discard(now, reason);
            }
            Ok(Accepted::Audio(audio)) => {
                self.note_media(now);
                // Before the audio: a listener that gets an event instead of the tone should get little of the tone.
                self.pass_digits(outbox, now, from, &updates, DigitForm::Tone);
                if received.waited > limits::WAITED_AUDIO_MAX {
                    self.drop_stale(leg, from, &audio);
                } else {
                    let payload = &datagram[audio.payload.clone()];
                    let mut is_used = false;
                    for Leg { outgoing, path, .. } in
                        self.legs.iter_mut().filter(|other| other.outgoing.has_source(leg))
                    {
                        is_used |= outgoing.take_audio(now, path, outbox, leg, &audio, payload);
                    }
                    if !is_used {
                        self.legs[from].incoming.discard(Discard::NoListener);
                    }
                }
                if let Some(updates) = self.legs[from].incoming.audio_resumed(audio.seq) {
                    self.pass_digits(outbox, now, from, &updates, DigitForm::Event);
                }
            }
            Ok(Accepted::Event { ssrc, seq }) => {
                self.note_media(now);
                for listener in self.legs.iter_mut().filter(|other| other.outgoing.has_source(leg)) {
                    listener.outgoing.skip_packet(leg, ssrc, seq);
                }
                self.pass_digits(outbox, now, from, &updates, DigitForm::Event);
            }
            Ok(Accepted::Control) => {}
            Err(reason) => begins_risk = self.legs[from].discard(now, reason),
        }
        let is_handshake = matches!(kind, Some(DatagramKind::Stun | DatagramKind::Dtls));
        if !is_handshake && !was_silent && !begins_risk && !self.legs.iter().any(Leg::is_busy) {
            return Wake::AsBefore;
        }
        self.drain(now, outbox);
        Wake::Anew
    }

    /// Counts a datagram of `leg` that the shard has not accepted.
    pub(crate) fn discard(&mut self, leg: LegId, reason: Discard) -> Wake {
        if let Some(position) = self.position(leg) {
            self.legs[position].incoming.discard(reason);
        }
        Wake::AsBefore
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) -> Wake {
        if self.silent_at().is_some_and(|at| at <= now) {
            self.is_silent = true;
            outbox.event(Event { call: self.id, kind: EventKind::MediaTimeout });
        }
        for from in 0..self.legs.len() {
            let (updates, tones) = self.legs[from].handle_timeout(now, outbox);
            self.pass_digits(outbox, now, from, &updates, DigitForm::Event);
            self.pass_digits(outbox, now, from, &tones, DigitForm::Tone);
        }
        self.drain(now, outbox);
        Wake::Anew
    }

    /// Announces the end of each leg to its peer.
    pub(crate) fn announce_end(&mut self, now: Instant, outbox: &mut Outbox) -> Wake {
        self.legs.iter_mut().for_each(|leg| leg.announce_end(now, outbox));
        self.drain(now, outbox);
        Wake::Anew
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let silent_at = self.silent_at();
        self.legs.iter_mut().map(Leg::poll_timeout).fold(silent_at, soonest)
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

    /// True if `ssrc` is what another leg than `leg` sends: a party names our port as its own, and the packet has come back
    /// (RFC 3550 8.2). On the same leg it is an echo service.
    fn is_own_stream(&self, leg: LegId, ssrc: Ssrc) -> bool {
        self.legs.iter().any(|other| other.id() != leg && other.outgoing.tx.ssrc() == ssrc)
    }

    /// Audio that is too old: the legs whose source `leg` is are not sent it, and get no gap in their numbers for it.
    #[cold]
    fn drop_stale(&mut self, leg: LegId, from: usize, audio: &AudioPacket) {
        for listener in self.legs.iter_mut().filter(|other| other.outgoing.has_source(leg)) {
            listener.outgoing.skip_packet(leg, audio.header.ssrc, audio.seq);
        }
        self.legs[from].incoming.discard(Discard::Stale);
    }

    fn note_media(&mut self, now: Instant) {
        self.last_media = Some(now);
        self.is_silent = false;
    }

    /// When silence on all legs is reported; `None` once it was.
    fn silent_at(&self) -> Option<Instant> {
        if self.is_silent { None } else { self.last_media.unwrap_or(self.opened).checked_add(self.media_timeout) }
    }

    /// Starts or ends digits of `from` on every leg whose source it is, and reports finished ones to the controller.
    #[inline]
    fn pass_digits(&mut self, outbox: &mut Outbox, now: Instant, from: usize, updates: &EventUpdates, form: DigitForm) {
        if !updates.is_empty() {
            self.pass_updates(outbox, now, from, updates, form);
        }
    }

    #[cold]
    fn pass_updates(
        &mut self,
        outbox: &mut Outbox,
        now: Instant,
        from: usize,
        updates: &EventUpdates,
        form: DigitForm,
    ) {
        let leg = self.legs[from].id();
        for update in updates {
            for Leg { outgoing, path, .. } in self.legs.iter_mut().filter(|other| other.outgoing.has_source(leg)) {
                outgoing.take_digit(now, path, update, form);
            }
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
