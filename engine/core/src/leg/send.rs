//! From what a leg hears to datagrams for its peer. `StreamTx` alone numbers them; the path alone encrypts them.

use std::time::{Duration, Instant};

use trestle_wire::demux::Kind;
use trestle_wire::rtp::{self, Header};
use trestle_wire::telephone_event::Digit;
use trestle_wire::{ExtSeq, Ssrc};

use super::latch::Flow;
use super::{Leg, Media, Pressed, note_digit};
use crate::dtmf::EventUpdate;
use crate::output::Outbox;
use crate::plan::{Mute, SendFormat};
use crate::route;
use crate::{CommandError, Discard, LegId, Milestone};

/// So many packets in a row that could be forwarded end the work of a transcoder: a second of 20 ms packets.
const FORWARDABLE_RUN: u8 = 50;

impl Leg {
    /// Takes a packet from the leg that this one hears: forwards it at once if the peer can have it as it is, else gives
    /// it to the transcoder, which keeps it until it can be sent. False if this leg has no use for it yet.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        from: LegId,
        media: &Media,
        payload: &[u8],
    ) -> bool {
        let can_send = self.can_send();
        let Some(format) = self.plan.send.filter(|_| can_send || self.keeps()) else { return false };
        let source = source_key(from, media.header.ssrc);
        let rtp::Header { time, marker, .. } = media.header;
        if self.plan.withheld.audio != Mute::Off {
            // The numbers close up, so that nothing looks lost when the source is heard again.
            self.tx.absorbed(source, media.seq);
            return true;
        }
        if !can_send || !self.forwards(&format, media, payload) {
            self.tx.forget_source();
            let transcoder = self.transcoder(&format);
            if let Err(reason) = transcoder.push(now, source, media.seq, time, media.codec, payload) {
                self.discard(reason);
            }
            return true;
        }
        if self.events_out.is_active() {
            // The digit takes the audio's place; the peer must not hear the tone twice.
            self.tx.absorbed(source, media.seq);
            return true;
        }
        let clock = media.codec.clock();
        self.note_forwarded(now, source, clock, media.seq, time);
        match self.tx.forward(now, source, media.seq, time, clock, marker) {
            Some(header) => self.send_rtp(now, outbox, header, payload),
            None => self.discard(Discard::Late),
        }
        true
    }

    /// Decides between the two ways of a packet. A transcoder that is at work anyway is left only after a while of
    /// packets that do not need it: a peer that changes its packet time to and fro must not cost an encoder each time.
    fn forwards(&mut self, format: &SendFormat, media: &Media, payload: &[u8]) -> bool {
        if !can_forward(format, media, payload) {
            self.forwardable_run = 0;
            return false;
        }
        self.forwardable_run = self.forwardable_run.saturating_add(1);
        if self.sounds_tone() {
            return false;
        }
        if let Some(transcoder) = &self.transcoder {
            let settled = self.forwardable_run >= FORWARDABLE_RUN && !transcoder.is_behind();
            if !settled && !transcoder.is_only_filling() {
                return false;
            }
        }
        self.stop_transcoder();
        true
    }

    /// A telephone-event packet of the leg that this one hears has been taken apart; its sequence number is not passed on.
    pub(crate) fn hear_event_packet(&mut self, from: LegId, ssrc: Ssrc, seq: ExtSeq) {
        self.tx.absorbed(source_key(from, ssrc), seq);
    }

    /// The peer of the leg that this one hears has pressed or released a key.
    pub(crate) fn hear_digit(&mut self, now: Instant, update: &EventUpdate, pressed: Pressed) {
        if let (Some(transcoder), EventUpdate::Started { .. }, Pressed::AsEvent) =
            (&mut self.transcoder, update, pressed)
        {
            transcoder.key_pressed();
        }
        if !self.can_send() && matches!(update, EventUpdate::Started { .. }) {
            // Nobody has picked up, or the peer wants nothing: a digit is not worth keeping.
            return;
        }
        self.hush_blocked_digit(update);
        if !self.takes_events() || self.plan.withheld.digits && pressed == Pressed::AsTone {
            return self.sound_digit(update, pressed);
        }
        match *update {
            EventUpdate::Started { .. } if self.plan.withheld.digits => {}
            EventUpdate::Started { digit, volume } => {
                note_digit(&mut self.counters.digits_out, digit);
                self.events_out.start(now, digit, volume);
            }
            EventUpdate::Ended { duration, .. } => self.events_out.end(now, duration),
        }
    }

    /// Sends one digit of our own.
    pub(crate) fn play_digit(
        &mut self,
        now: Instant,
        digit: Digit,
        duration: Duration,
        volume: u8,
    ) -> Result<(), CommandError> {
        if self.plan.send.is_none() {
            return Err(CommandError::NoFormat);
        }
        if !self.may_speak() {
            return Err(CommandError::GateShut);
        }
        note_digit(&mut self.counters.digits_out, digit);
        if self.takes_events() {
            self.events_out.play(now, digit, duration, volume);
        } else {
            self.tones_out.get_or_insert_default().play(digit, duration, volume);
        }
        Ok(())
    }

    /// Sends the frames that the transcoder has ready. Under a digit their time passes without a packet.
    pub(super) fn send_frames(&mut self, now: Instant, outbox: &mut Outbox) {
        if self.transcoder.is_none() {
            return;
        }
        let mut payload = [0; route::FRAME_BYTES_MAX];
        while let Some(frame) = self.poll_frame(&mut payload) {
            if self.events_out.is_active() {
                self.tx.skip(frame.duration_ticks);
            } else if self.can_send() {
                let header = self.tx.frame(now, frame.duration_ticks);
                self.send_rtp(now, outbox, header, &payload[..frame.len]);
            }
        }
    }

    /// Sends the telephone-event packets that are due.
    pub(super) fn send_events(&mut self, now: Instant, outbox: &mut Outbox) {
        while let Some(packet) = self.events_out.poll_packet(now) {
            let Some((pt, _)) = self.plan.send.as_ref().and_then(|format| format.event) else { continue };
            if packet.first {
                // Half of a press would be taken for part of the one before.
                self.press_lost = !self.can_send();
            }
            if self.can_send() && !self.press_lost {
                let header = self.tx.event(now, pt, packet.first, packet.offset);
                self.send_rtp(now, outbox, header, &packet.payload);
            }
        }
    }

    pub(super) fn takes_events(&self) -> bool {
        self.plan.send.as_ref().is_some_and(|format| format.event.is_some())
    }

    /// True if the peer may be sent media now: the gate is open, it wants some, its address is known, and there are keys.
    pub(super) fn can_send(&self) -> bool {
        self.may_speak() && self.plan.sending && self.path.destination(Flow::Rtp).is_some()
    }

    fn send_rtp(&mut self, now: Instant, outbox: &mut Outbox, header: Header, payload: &[u8]) {
        let Some(remote) = self.path.destination(Flow::Rtp) else { return };
        let path = &mut self.path;
        let sent = outbox.datagram(self.ports.rtp, remote, self.plan.tos, |buf| {
            let len = Header::LEN + payload.len();
            buf[..Header::LEN].copy_from_slice(&header.write());
            buf.get_mut(Header::LEN..len)?.copy_from_slice(payload);
            path.protect(Kind::Rtp, buf, len)
        });
        if let Some(len) = sent {
            self.counters.rtp_out.add(len);
            self.watch.said(now);
            self.tx.count(payload.len());
            self.timeline.reach(Milestone::FirstMediaOut, now);
        }
    }
}

/// Names one received stream of one leg, for the numbering.
fn source_key(from: LegId, ssrc: Ssrc) -> u64 {
    u64::from(from.0) << 32 | u64::from(ssrc.0)
}

/// A packet goes on as it is if the peer takes its codec, and its length is one the peer takes.
fn can_forward(format: &SendFormat, media: &Media, payload: &[u8]) -> bool {
    format.codec == media.codec
        && (!format.strict_ptime || route::packet_ptime(media.codec, payload) == Some(format.ptime))
}
