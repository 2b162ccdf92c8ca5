//! One participant's side of a call: its ports, its path to the peer, the stream it receives and the stream it sends.

pub(crate) mod latch;
mod path;
mod presence;
mod receive;
mod reports;
mod send;
mod timeline;
mod tones;
mod watch;
pub mod webrtc;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use trestle_wire::rtp::Header;
use trestle_wire::telephone_event::Digit;
use trestle_wire::{ClockRate, ExtSeq, Pt, Ssrc};

use self::path::Path;
use self::presence::Forwarded;
use self::reports::RtcpSchedule;
use self::timeline::Timeline;
use self::watch::Watch;
use self::webrtc::{DtlsIdentity, WebRtcOutput};
use crate::discard::Discards;
use crate::dtmf::{EventReceiver, EventSender, EventUpdates, ToneReceiver, ToneSender};
use crate::output::Outbox;
use crate::plan::{Codec, Filler, Mute, ReceiveFormat, Source, Transport};
use crate::report::{Count, LegReport, Preroll, Totals};
use crate::route::Transcoder;
use crate::stream::{SsrcGate, StreamRx, StreamTx};
use crate::time::{Epoch, soonest};
use crate::{
    CommandError, Discard, EventKind, LegFailure, LegId, LegPlan, LegPorts, Milestone, PortPair, Risk, limits,
};

/// What a leg needs from its shard to begin.
pub(crate) struct LegSetup<'a> {
    pub(crate) epoch: Epoch,
    pub(crate) identity: &'a DtlsIdentity,
    pub(crate) rng: &'a mut ChaCha12Rng,
    pub(crate) opus_complexity: u8,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Leg {
    id: LegId,
    plan: LegPlan,
    /// What the peer might send before the last change of that.
    receive_before: Vec<ReceiveFormat>,
    ports: PortPair,
    path: Path,
    gate: SsrcGate,
    rx: Option<StreamRx>,
    events_in: EventReceiver,
    /// Made for a peer whose digits may be tones.
    tones_in: Option<Box<ToneReceiver>>,
    /// What this leg hears, when it must be decoded and encoded on the way.
    transcoder: Option<Box<Transcoder>>,
    /// What a transcoder to Opus may take; see [`crate::ladder`].
    opus_complexity: u8,
    /// One that has made nothing but filler, for the next time that there is something to fill: a source that loses packets
    /// must not cost an encoder each time.
    spare: Option<Box<Transcoder>>,
    /// Packets in a row that would not have needed the transcoder.
    forwardable_run: u8,
    /// The last packet that was forwarded.
    forwarded: Option<Forwarded>,
    /// The digit that is being sent began while nothing could be.
    press_lost: bool,
    tx: StreamTx,
    events_out: EventSender,
    /// For a peer that takes no events; made with its first digit.
    tones_out: Option<Box<ToneSender>>,
    rtcp: RtcpSchedule,
    timeline: Timeline,
    watch: Watch,
    counters: Counters,
    failed: Option<LegFailure>,
}

#[derive(Debug, Default)]
struct Counters {
    rtp_in: Count,
    rtp_out: Count,
    rtcp_in: Count,
    rtcp_out: Count,
    discards: Discards,
    /// Of transcoders that are gone.
    concealed_frames: u64,
    transcoded_frames: u64,
    filled_frames: u64,
    preroll: Preroll,
    digits: u64,
    digits_in: String,
    digits_out: String,
    media_source: Option<SocketAddr>,
}

/// What a datagram turned out to carry for the other legs.
pub(crate) enum Received {
    Media(Media),
    /// A telephone-event packet, by its stream and number.
    Event {
        ssrc: Ssrc,
        seq: ExtSeq,
    },
    Nothing,
}

/// How a key reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// As telephone-events.
    AsEvent,
    /// As a tone, which is in the audio as well.
    AsTone,
}

/// One packet of audio, authenticated, of a negotiated codec, and not seen before.
pub(crate) struct Media {
    pub(crate) header: Header,
    pub(crate) seq: ExtSeq,
    pub(crate) codec: Codec,
    /// Octets of the datagram.
    pub(crate) payload: std::ops::Range<usize>,
}

impl Leg {
    pub(crate) fn open(
        now: Instant,
        id: LegId,
        plan: LegPlan,
        ports: PortPair,
        setup: LegSetup<'_>,
    ) -> Result<Self, CommandError> {
        let path = Path::new(now, ports.rtp_addr, &plan.transport, setup.identity)?;
        let (pt, clock) = audio_of(&plan);
        let (random_seq, random_time) = (setup.rng.next_u32() as u16, setup.rng.next_u32());
        let mut leg = Self {
            id,
            ports,
            path,
            gate: SsrcGate::default(),
            rx: None,
            events_in: EventReceiver::default(),
            tones_in: None,
            transcoder: None,
            opus_complexity: setup.opus_complexity,
            spare: None,
            forwardable_run: 0,
            forwarded: None,
            press_lost: false,
            tx: StreamTx::new(plan.ssrc, random_seq, random_time, pt, clock),
            events_out: EventSender::default(),
            tones_out: None,
            rtcp: RtcpSchedule::new(now, setup.epoch, setup.rng.next_u64()),
            timeline: Timeline::default(),
            watch: Watch::default(),
            counters: Counters::default(),
            failed: None,
            receive_before: Vec::new(),
            plan,
        };
        leg.events_out.set_clock(event_clock_of(&leg.plan));
        leg.timeline.reach(Milestone::Opened, now);
        leg.note_remote(now);
        leg.mute(now);
        leg.watch.disturb(now);
        Ok(leg)
    }

    /// Brings the leg to `plan`. Port, SSRC and the numbering of the outgoing stream stay what they are.
    pub(crate) fn apply(&mut self, now: Instant, plan: LegPlan, identity: &DtlsIdentity) -> Result<(), CommandError> {
        self.path.apply(now, self.ports.rtp_addr, &plan.transport, identity)?;
        let unbroken = plan.presence.filler != Filler::Nothing;
        let other_source = self.plan.hears != plan.hears;
        if self.plan.send != plan.send || other_source && !unbroken {
            self.stop_transcoder();
            self.spare = None;
            self.forwarded = None;
        }
        if let Some(transcoder) = &mut self.transcoder
            && (other_source || plan.withheld.audio != Mute::Off)
        {
            // What somebody said who is not to be heard any more is not for this peer.
            transcoder.forget_waiting();
        }
        if other_source || !plan.withheld.digits {
            self.hush_no_more();
        }
        let LegPlan { interface, ipv6, ssrc, presence, .. } = self.plan;
        let before = std::mem::replace(&mut self.plan, LegPlan { interface, ipv6, ssrc, ..plan });
        if before.receive != self.plan.receive {
            self.receive_before = before.receive;
        }
        self.change_presence(now, presence);
        let (pt, clock) = audio_of(&self.plan);
        self.tx.set_audio(now, pt, clock);
        self.events_out.set_clock(event_clock_of(&self.plan));
        self.note_remote(now);
        self.mute(now);
        self.watch.disturb(now);
        Ok(())
    }

    /// Makes the transcoder do what the plan says of audio that is withheld.
    fn mute(&mut self, now: Instant) {
        match (self.plan.withheld.audio, self.plan.send) {
            (Mute::Off, _) | (Mute::Silence, None) => {}
            // Without frames of the source it makes silence; those that it holds are faded out.
            (Mute::Silence, Some(format)) => self.transcoder(&format).start(now),
            (Mute::Nothing, _) if self.is_unbroken() => {}
            (Mute::Nothing, _) => self.stop_transcoder(),
        }
    }

    pub(crate) fn id(&self) -> LegId {
        self.id
    }

    /// SSRC of everything we send on this leg.
    pub(crate) fn ssrc(&self) -> Ssrc {
        self.plan.ssrc
    }

    pub(crate) fn ports(&self) -> PortPair {
        self.ports
    }

    pub(crate) fn local(&self) -> LegPorts {
        LegPorts { rtp: self.ports.rtp_addr, rtcp: self.ports.rtcp_addr }
    }

    pub(crate) fn hears(&self, leg: LegId) -> bool {
        self.plan.hears == Source::Leg(leg)
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.counters.discards.add(reason);
    }

    pub(crate) fn nobody_listened(&mut self) {
        self.discard(Discard::NoListener);
    }

    /// Does what is due: handshakes, missing frames, RTCP, digits that end by themselves: those of events and of tones.
    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) -> (EventUpdates, EventUpdates) {
        if let Path::WebRtc { webrtc, .. } = &mut self.path {
            webrtc.handle_timeout(now);
        }
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.handle_timeout(now);
        }
        self.fill_gap(now);
        self.look_out(now);
        self.rtcp_timeout(now, outbox);
        (self.events_in.handle_timeout(now), self.tones_timeout(now))
    }

    /// True if a packet of media can have left something to be done here, or a deadline that is earlier than the one before.
    /// False for a leg that only forwards: what it has due are reports and looks at the watch, which no packet moves.
    pub(crate) fn is_busy(&self) -> bool {
        self.transcoder.is_some()
            || self.is_unbroken()
            || self.events_out.is_active()
            || self.events_in.is_pressed()
            || self.tones_in.is_some()
            || self.tones_out.is_some()
            || self.timeline.has_news()
            || matches!(&self.path, Path::WebRtc { webrtc, .. } if webrtc.is_restless())
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let handshake = match &mut self.path {
            Path::WebRtc { webrtc, .. } => webrtc.poll_timeout(),
            Path::Plain(_) | Path::Sdes { .. } => None,
        };
        let gap = self.gap_at();
        let tones = self.tones_in.as_ref().and_then(|tones| tones.poll_timeout());
        let transcoder = self.transcoder.as_ref().and_then(|transcoder| transcoder.poll_timeout());
        [
            gap,
            tones,
            transcoder,
            self.events_in.poll_timeout(),
            self.events_out.poll_timeout(),
            self.rtcp.poll_timeout(),
        ]
        .into_iter()
        .fold(soonest(handshake, self.watch.poll_timeout()), soonest)
    }

    /// Sends what is ready. Gives what the controller should know, one thing at a time; call again until `None`.
    pub(crate) fn drain(&mut self, now: Instant, outbox: &mut Outbox) -> Option<EventKind> {
        if let Some(event) = self.drain_handshake(now, outbox) {
            return Some(event);
        }
        self.begin_to_speak(now);
        self.sound_tones(now);
        self.send_frames(now, outbox);
        self.send_events(now, outbox);
        if let Some(milestone) = self.timeline.poll() {
            return Some(EventKind::Milestone { leg: self.id, milestone });
        }
        self.poll_alarm()
    }

    fn drain_handshake(&mut self, now: Instant, outbox: &mut Outbox) -> Option<EventKind> {
        let Path::WebRtc { webrtc, srtp } = &mut self.path else { return None };
        if !webrtc.is_restless() {
            return None;
        }
        let (socket, tos) = (self.ports.rtp, self.plan.tos);
        let mut buf = [0; limits::DATAGRAM_BYTES_MAX];
        while let Some(output) = webrtc.poll_output(now, &mut buf) {
            match output {
                WebRtcOutput::Transmit { to, len } => {
                    outbox.datagram(socket, to, tos, |out| {
                        out[..len].copy_from_slice(&buf[..len]);
                        Some(len)
                    });
                    if webrtc.has_checked() {
                        self.timeline.reach(Milestone::FirstCheck, now);
                    }
                }
                WebRtcOutput::Milestone(milestone) => {
                    self.timeline.reach(milestone, now);
                    self.watch.disturb(now);
                    if self.failed.take_if(|failed| *failed == LegFailure::IceDisconnected).is_some() {
                        return Some(EventKind::Recovered { leg: self.id, risk: Risk::IceStuck });
                    }
                }
                WebRtcOutput::Keys(keys) => {
                    self.failed = None;
                    self.watch.disturb(now);
                    srtp.set_send_key(&keys.0);
                    srtp.set_receive_key(&keys.1, 0);
                    self.timeline.reach(Milestone::DtlsConnected, now);
                }
                WebRtcOutput::Failed(reason) => {
                    if self.failed.replace(reason) != Some(reason) {
                        return Some(EventKind::LegFailed { leg: self.id, reason });
                    }
                }
            }
        }
        None
    }

    fn note_remote(&mut self, now: Instant) {
        let known = match &self.plan.transport {
            Transport::Plain(peer) | Transport::Sdes { peer, .. } => peer.rtp.is_some(),
            Transport::WebRtc(webrtc) => webrtc.remote.is_some(),
        };
        if known {
            self.timeline.reach(Milestone::RemoteKnown, now);
        }
    }

    pub(crate) fn set_opus_complexity(&mut self, complexity: u8) {
        self.opus_complexity = complexity;
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.set_opus_complexity(complexity);
        }
    }

    fn stop_transcoder(&mut self) {
        let Some(mut transcoder) = self.transcoder.take() else { return };
        self.counters.concealed_frames += transcoder.concealed_frames();
        self.counters.transcoded_frames += transcoder.transcoded_frames();
        self.counters.filled_frames += transcoder.filled_frames();
        if transcoder.preroll() != Preroll::default() {
            self.counters.preroll = transcoder.preroll();
        }
        if transcoder.is_only_filling() && self.is_unbroken() {
            transcoder.rest();
            self.spare = Some(transcoder);
        }
    }

    fn concealed_frames(&self) -> u64 {
        self.counters.concealed_frames + self.transcoder.as_ref().map_or(0, |transcoder| transcoder.concealed_frames())
    }

    fn transcoded_frames(&self) -> u64 {
        self.counters.transcoded_frames
            + self.transcoder.as_ref().map_or(0, |transcoder| transcoder.transcoded_frames())
    }

    /// Adds this leg's counters to a shard's.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        let Counters { rtp_in, rtp_out, rtcp_in, rtcp_out, discards, digits, .. } = &self.counters;
        for (total, count) in [
            (&mut totals.rtp_in, rtp_in),
            (&mut totals.rtp_out, rtp_out),
            (&mut totals.rtcp_in, rtcp_in),
            (&mut totals.rtcp_out, rtcp_out),
        ] {
            total.packets += count.packets;
            total.bytes += count.bytes;
        }
        totals.discards.merge(discards);
        totals.digits += digits;
        totals.dtls_roles_hedged += u64::from(self.path.is_role_hedged());
        totals.concealed_frames += self.concealed_frames();
        totals.transcoded_frames += self.transcoded_frames();
    }

    pub(crate) fn report(&self, opened: Instant) -> LegReport {
        LegReport {
            leg: self.id,
            description: self.describe(),
            local: self.ports.rtp_addr,
            remote: self.path.destination(latch::Flow::Rtp),
            remote_ssrc: self.gate.current(),
            local_ssrc: self.plan.ssrc,
            timeline: self.timeline.since(opened),
            rtp_in: self.counters.rtp_in,
            rtp_out: self.counters.rtp_out,
            rtcp_in: self.counters.rtcp_in,
            rtcp_out: self.counters.rtcp_out,
            discards: self.counters.discards.nonzero(),
            lost: self.rx.as_ref().map_or(0, StreamRx::lost),
            jitter: self.rx.as_ref().map_or(Duration::ZERO, StreamRx::jitter),
            round_trip: self.rtcp.round_trip(),
            remote_fraction_lost: self.rtcp.remote_fraction_lost(),
            concealed_frames: self.concealed_frames(),
            hold: self.transcoder.as_ref().map_or(Duration::ZERO, |transcoder| transcoder.hold()),
            preroll: self.preroll(),
            filled_frames: self.filled_frames(),
            digits_in: self.counters.digits_in.clone(),
            digits_out: self.counters.digits_out.clone(),
        }
    }

    /// One line for people: what this leg speaks and what becomes of what it hears.
    fn describe(&self) -> String {
        let transport = match &self.path {
            Path::Plain(_) => "RTP",
            Path::Sdes { .. } => "SDES-SRTP",
            Path::WebRtc { .. } => "DTLS-SRTP",
        };
        let hears = match self.plan.hears {
            Source::Nothing => "hears nothing".to_owned(),
            Source::Leg(leg) => format!("hears leg {}", leg.0),
        };
        let sends = match &self.plan.send {
            None => "format not known yet".to_owned(),
            Some(format) => {
                let way = match &self.transcoder {
                    None => "forwarded".to_owned(),
                    Some(transcoder) => format!("transcoded, missing frames held {} ms", transcoder.hold().as_millis()),
                };
                format!("{} pt {} {way}", format.codec, format.pt.get())
            }
        };
        format!("{transport}, {hears}, {sends}")
    }
}

/// Payload type and clock of what the leg sends; anything will do until the peer's format is known.
fn audio_of(plan: &LegPlan) -> (Pt, ClockRate) {
    plan.send.as_ref().map_or((Pt::PCMA, ClockRate::HZ_8000), |format| (format.pt, format.codec.clock()))
}

fn event_clock_of(plan: &LegPlan) -> ClockRate {
    plan.send.as_ref().and_then(|format| format.event).map_or(ClockRate::HZ_8000, |(_, clock)| clock)
}

/// Keeps a digit string readable and bounded.
fn note_digit(digits: &mut String, digit: Digit) {
    if digits.capacity() == 0 {
        // All the room there will ever be.
        digits.reserve_exact(limits::DIGITS_MAX);
    }
    if digits.len() < limits::DIGITS_MAX {
        digits.push(digit.to_char());
    }
}
