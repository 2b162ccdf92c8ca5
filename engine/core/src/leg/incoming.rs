//! The receiving side of a leg: from an authenticated packet to audio or a digit of a negotiated format.

use std::net::SocketAddr;
use std::time::Instant;

use trestle_wire::rtp::{self, Header};
use trestle_wire::telephone_event::Digit;
use trestle_wire::{ClockRate, ExtSeq, Pt, Ssrc};

use super::audio_budget;
use super::intake::Intake;
use super::note_digit;
use super::path::Path;
use crate::discard::Discards;
use crate::dtmf::{EventReceiver, EventUpdates, ToneReceiver};
use crate::plan::{Codec, ReceiveFormat, ReceivePlan, SendFormat};
use crate::report::Count;
use crate::stream::{OwnSsrcs, SsrcFilter, SsrcStatus, StreamRx};
use crate::time::ReceiveTime;
use crate::{Discard, Milestone};

/// The stream that a leg receives from its peer.
#[derive(Debug)]
pub(crate) struct Incoming {
    plan: ReceivePlan,
    /// The payload types of the plan before: packets in these may still be on their way (RFC 3264 8.3.2).
    formats_before: (Vec<ReceiveFormat>, Vec<(Pt, ClockRate)>),
    /// The payload type of the last packet, and what it is. It is not looked up again.
    last_payload: Option<(Pt, PayloadKind)>,
    ssrc_filter: SsrcFilter,
    rx: Option<StreamRx>,
    events: EventReceiver,
    /// Detects DTMF tones in the audio of a peer that may send no telephone-events.
    inband_dtmf: Option<Box<ToneReceiver>>,
    intake: Intake,
    rtp: Count,
    discards: Discards,
    last_media_at: Option<Instant>,
    media_source: Option<SocketAddr>,
    digit_count: u64,
    digits: String,
}

/// What a negotiated payload type is.
#[derive(Debug, Clone, Copy)]
enum PayloadKind {
    Audio(Codec),
    /// Telephone-events with this clock.
    Event(ClockRate),
}

/// What a packet carries for the legs whose source is this one.
pub(crate) enum Accepted {
    Audio(AudioPacket),
    /// A telephone-event packet. Its digit is in the updates; only its stream and number matter beyond that.
    Event {
        ssrc: Ssrc,
        seq: ExtSeq,
    },
    /// Nothing: RTCP, STUN or DTLS.
    Control,
}

fn kind_of(pt: Pt, formats: &[ReceiveFormat], events: &[(Pt, ClockRate)]) -> Option<PayloadKind> {
    let event = events.iter().find(|(event, _)| *event == pt).map(|(_, clock)| PayloadKind::Event(*clock));
    event.or_else(|| formats.iter().find(|format| format.pt == pt).map(|format| PayloadKind::Audio(format.codec)))
}

/// One packet of audio: authenticated, of a negotiated codec, not seen before.
pub(crate) struct AudioPacket {
    pub(crate) header: Header,
    pub(crate) seq: ExtSeq,
    pub(crate) codec: Codec,
    /// How much of a budget it uses ([`audio_budget::audio_us`]).
    pub(crate) us: u32,
    /// Octets of the datagram.
    pub(crate) payload: std::ops::Range<usize>,
}

impl AudioPacket {
    /// True if a peer with `format` takes the packet's codec, and its packet time.
    pub(super) fn is_forwardable(&self, format: &SendFormat, payload: &[u8]) -> bool {
        format.codec == self.codec && (!format.strict_ptime || self.codec.packet_ptime(payload) == Some(format.ptime))
    }
}

impl Incoming {
    /// A stream without a plan, of which nothing is taken.
    pub(super) fn new(own_ssrcs: OwnSsrcs) -> Self {
        Self {
            plan: ReceivePlan::default(),
            formats_before: (Vec::new(), Vec::new()),
            last_payload: None,
            ssrc_filter: SsrcFilter::default(),
            rx: None,
            events: EventReceiver::default(),
            inband_dtmf: None,
            intake: Intake::new(own_ssrcs),
            rtp: Count::default(),
            discards: Discards::default(),
            last_media_at: None,
            media_source: None,
            digit_count: 0,
            digits: String::new(),
        }
    }

    pub(super) fn apply(&mut self, plan: ReceivePlan) {
        let before = std::mem::replace(&mut self.plan, plan);
        if (&before.formats, &before.events) != (&self.plan.formats, &self.plan.events) {
            self.formats_before = (before.formats, before.events);
        }
        self.last_payload = None;
    }

    /// Takes an RTP packet: authenticate, check source, payload type and SSRC, number it. Digits that it starts or ends go to
    /// `updates`.
    pub(crate) fn receive(
        &mut self,
        received: ReceiveTime,
        path: &mut Path,
        source: SocketAddr,
        datagram: &mut [u8],
        updates: &mut EventUpdates,
    ) -> Result<Accepted, Discard> {
        let now = received.now;
        let rtp::RtpPacket { header, payload } = path.receive_rtp(now, source, datagram)?;
        if !self.plan.enabled {
            return Err(Discard::NotReceiving);
        }
        let kind = match self.last_payload {
            Some((pt, kind)) if pt == header.pt => kind,
            _ => self.look_up(header.pt)?,
        };
        match self.ssrc_filter.admit(header.ssrc, header.seq, path.is_secured()) {
            SsrcStatus::Current => {}
            SsrcStatus::New => {
                self.rx = Some(StreamRx::new(header.ssrc));
                self.intake.begin_stream(now, header.ssrc, self.plan.is_linked);
            }
            SsrcStatus::Probation => return Err(Discard::ForeignSsrc),
        }
        let rx = self.rx.get_or_insert_with(|| StreamRx::new(header.ssrc));
        let clock = match kind {
            PayloadKind::Event(clock) => clock,
            PayloadKind::Audio(codec) => {
                let arrived = received.arrived();
                let seq = rx.accept(arrived, &header, codec.clock())?;
                let us = audio_budget::audio_us(codec, &datagram[payload.clone()]);
                self.intake.take(arrived, us)?;
                self.count(now, path, source, datagram.len());
                if self.plan.detect_inband_dtmf && !self.events.has_received() {
                    let detector = self.inband_dtmf.get_or_insert_default();
                    updates.extend(detector.observe(now, header.ssrc, header.time, codec, &datagram[payload.clone()]));
                }
                return Ok(Accepted::Audio(AudioPacket { header, seq, codec, us, payload }));
            }
        };
        let seq = rx.accept_event(&header)?;
        self.intake.take(now, audio_budget::EVENT_US)?;
        let digits = self.events.observe(now, clock, seq, header.time, &datagram[payload]);
        let digits = digits.map_err(|_| Discard::Malformed)?;
        self.count(now, path, source, datagram.len());
        // A peer that sends events may send each digit as a tone too; that must not count twice.
        if let Some(mut detector) = self.inband_dtmf.take() {
            updates.extend(detector.finish());
        }
        updates.extend(digits);
        Ok(Accepted::Event { ssrc: header.ssrc, seq })
    }

    /// Looks up a payload type that is not the last one: by the plan, else by the plan before.
    #[cold]
    fn look_up(&mut self, pt: Pt) -> Result<PayloadKind, Discard> {
        let (formats, events) = &self.formats_before;
        let kind = kind_of(pt, &self.plan.formats, &self.plan.events).or_else(|| kind_of(pt, formats, events));
        let kind = kind.ok_or(Discard::UnknownPt)?;
        self.last_payload = Some((pt, kind));
        Ok(kind)
    }

    fn count(&mut self, now: Instant, path: &mut Path, source: SocketAddr, len: usize) {
        self.rtp.add(len);
        self.last_media_at = Some(now);
        self.media_source = Some(source);
        if self.rtp.packets == 1 {
            path.timeline.reach(Milestone::FirstMediaIn, now);
        }
    }

    /// True if the stream that is received has an SSRC of this process, or looks so.
    pub(crate) fn is_returned(&self) -> bool {
        self.intake.is_returned()
    }

    /// True if the peer is a leg of another call of this process.
    pub(crate) fn is_linked(&self) -> bool {
        self.plan.is_linked
    }

    /// A packet is in a ring of media. Gives the reason to discard it.
    pub(crate) fn note_ring(&mut self, now: Instant) -> Discard {
        self.intake.note_ring(now)
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.discards.add(reason);
    }

    /// Notes an audio packet behind a telephone-event, if a digit is pressed: one whose end was lost ends.
    #[inline]
    pub(crate) fn audio_resumed(&mut self, seq: ExtSeq) -> Option<EventUpdates> {
        self.events.is_pressed().then(|| self.events.audio_resumed(seq))
    }

    /// Counts a digit of the peer. Gives where its packets came from, if that is known.
    pub(super) fn note_digit(&mut self, digit: Digit) -> Option<SocketAddr> {
        self.digit_count += 1;
        note_digit(&mut self.digits, digit);
        self.media_source
    }

    /// Ends digits whose end is overdue: those of telephone-events and those of tones.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> (EventUpdates, EventUpdates) {
        let tones = self.inband_dtmf.as_mut().map_or_else(EventUpdates::new, |detector| detector.handle_timeout(now));
        (self.events.handle_timeout(now), tones)
    }

    /// When a digit that came as telephone-events ends without its end packet.
    pub(super) fn event_end_at(&self) -> Option<Instant> {
        self.events.poll_timeout()
    }

    /// When a digit that came as a tone ends because the audio has stopped.
    pub(super) fn tone_end_at(&self) -> Option<Instant> {
        self.inband_dtmf.as_ref().and_then(|detector| detector.poll_timeout())
    }

    /// True if a packet can have moved a deadline forward.
    pub(super) fn is_busy(&self) -> bool {
        self.events.is_pressed() || self.inband_dtmf.is_some()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.plan.enabled
    }

    pub(super) fn rx(&self) -> Option<&StreamRx> {
        self.rx.as_ref()
    }

    pub(super) fn rx_mut(&mut self) -> Option<&mut StreamRx> {
        self.rx.as_mut()
    }

    pub(super) fn ssrc(&self) -> Option<Ssrc> {
        self.ssrc_filter.current()
    }

    pub(super) fn rtp(&self) -> Count {
        self.rtp
    }

    pub(super) fn discards(&self) -> &Discards {
        &self.discards
    }

    pub(super) fn intake(&self) -> &Intake {
        &self.intake
    }

    pub(super) fn intake_mut(&mut self) -> &mut Intake {
        &mut self.intake
    }

    pub(super) fn last_media_at(&self) -> Option<Instant> {
        self.last_media_at
    }

    /// Digits received, counted and listed.
    pub(super) fn digits(&self) -> (u64, &str) {
        (self.digit_count, &self.digits)
    }
}
