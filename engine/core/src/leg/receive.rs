//! From a datagram to what it carries: authenticate, believe the source, then the stream, then the payload type.

use std::net::SocketAddr;
use std::time::Instant;

use trestle_wire::demux::Kind;
use trestle_wire::{ExtSeq, Pt, rtp};

use super::latch::Flow;
use super::path::Path;
use super::{Leg, Media, Received, note_digit};
use crate::dtmf::{EventUpdate, EventUpdates};
use crate::plan::Codec;
use crate::stream::{Admit, StreamRx};
use crate::{Discard, EventKind, Milestone};

impl Leg {
    /// Takes a datagram that arrived on one of this leg's ports. Digits that it starts or ends go to `updates`.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        kind: Option<Kind>,
        datagram: &mut [u8],
        updates: &mut EventUpdates,
    ) -> Result<Received, Discard> {
        match kind.ok_or(Discard::Malformed)? {
            kind @ (Kind::Stun | Kind::Dtls) => {
                let Path::WebRtc { webrtc, .. } = &mut self.path else { return Err(Discard::NotConnected) };
                webrtc.handle_datagram(now, source, kind, datagram).map(|()| Received::Nothing)
            }
            Kind::Rtcp => {
                let len = self.path.receive_rtcp(now, flow, source, datagram)?;
                self.counters.rtcp_in.add(datagram.len());
                self.receive_rtcp(now, &datagram[..len])
            }
            Kind::Rtp if flow == Flow::Rtcp => Err(Discard::NotConnected),
            Kind::Rtp => self.receive_rtp(now, source, datagram, updates),
        }
    }

    fn receive_rtp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &mut [u8],
        updates: &mut EventUpdates,
    ) -> Result<Received, Discard> {
        let rtp::Packet { header, payload } = self.path.receive_rtp(now, source, datagram)?;
        if !self.timeline.has(Milestone::Latched) && self.path.is_latched() {
            self.timeline.reach(Milestone::Latched, now);
        }
        if !self.plan.receiving {
            return Err(Discard::NotReceiving);
        }
        let event_clock = self.plan.receive_events.iter().find(|(pt, _)| *pt == header.pt).map(|(_, clock)| *clock);
        let codec = self.codec_of(header.pt).filter(|_| event_clock.is_none());
        if codec.is_none() && event_clock.is_none() {
            return Err(Discard::UnknownPt);
        }
        match self.gate.admit(header.ssrc, header.seq) {
            Admit::Current => {}
            Admit::New => self.rx = Some(StreamRx::new(header.ssrc)),
            Admit::Wait => return Err(Discard::ForeignSsrc),
        }
        let rx = self.rx.get_or_insert_with(|| StreamRx::new(header.ssrc));
        if let Some(codec) = codec {
            let seq = rx.accept(now, &header, codec.clock())?;
            self.count_media(now, source, datagram.len());
            if self.hears_tones() {
                self.hear_tones(now, &header, codec, &datagram[payload.clone()], updates);
            }
            return Ok(Received::Media(Media { header, seq, codec, payload }));
        }
        let Some(clock) = event_clock else { return Err(Discard::UnknownPt) };
        let seq = rx.accept_event(&header)?;
        let pressed = self.events_in.observe(now, clock, seq, header.time, &datagram[payload]);
        let pressed = pressed.map_err(|_| Discard::Malformed)?;
        self.count_media(now, source, datagram.len());
        self.hear_no_more_tones(updates);
        updates.extend(pressed);
        Ok(Received::Event { ssrc: header.ssrc, seq })
    }

    /// The codec that the peer uses `pt` for. Packets of what was agreed before may still be on their way (RFC 3264 8.3.2).
    fn codec_of(&self, pt: Pt) -> Option<Codec> {
        let known = self.plan.receive.iter().chain(&self.receive_before).find(|format| format.pt == pt);
        known.map(|format| format.codec)
    }

    fn count_media(&mut self, now: Instant, source: SocketAddr, len: usize) {
        self.counters.rtp_in.add(len);
        self.watch.heard(now);
        self.counters.media_source = Some(source);
        self.timeline.reach(Milestone::FirstMediaIn, now);
    }

    /// Audio is back: a digit whose end was lost is over.
    pub(crate) fn audio_resumed(&mut self, seq: ExtSeq) -> EventUpdates {
        self.events_in.audio_resumed(seq)
    }

    /// What the controller is told of a change of the digit that this leg's peer presses.
    pub(crate) fn digit_event(&mut self, update: &EventUpdate) -> Option<EventKind> {
        let EventUpdate::Ended { digit, duration, volume } = *update else { return None };
        self.counters.digits += 1;
        note_digit(&mut self.counters.digits_in, digit);
        let source = self.counters.media_source.unwrap_or(self.ports.rtp_addr);
        Some(EventKind::Digit { leg: self.id, digit, duration, volume, source })
    }
}
