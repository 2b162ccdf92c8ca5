//! One participant's side of a call: the path to its peer, the stream it receives and the stream it sends.

mod address_proof;
mod audio_budget;
mod digit_sender;
pub(crate) mod incoming;
mod intake;
pub(crate) mod latch;
pub(crate) mod outgoing;
mod path;
mod risks;
mod rtcp;
mod source_timing;
mod srtp;
mod timeline;
mod transcoders;
pub mod webrtc;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use trestle_wire::demux::DatagramKind;
use trestle_wire::telephone_event::Digit;

use self::incoming::{Accepted, Incoming};
use self::latch::Flow;
use self::outgoing::Outgoing;
use self::path::{Link, Path};
use self::risks::{Facts, RiskMonitor};
use self::rtcp::RtcpReporter;
use self::webrtc::DtlsIdentity;
use crate::dtmf::{EventUpdate, EventUpdates};
use crate::output::Outbox;
use crate::plan::{AudioMuting, Source};
use crate::report::{LegReport, Totals};
use crate::stream::{OwnSsrcs, StreamRx};
use crate::time::{Epoch, ReceiveTime, soonest};
use crate::transcode::Transcoder;
use crate::{CommandError, Discard, EventKind, LegId, LegPlan, LegPorts, Milestone, PortPair, Risk, limits};

/// What a leg needs of its shard to open.
pub(crate) struct LegContext<'a> {
    pub(crate) epoch: Epoch,
    pub(crate) identity: &'a DtlsIdentity,
    pub(crate) rng: &'a mut ChaCha12Rng,
    pub(crate) opus_complexity: u8,
    pub(crate) own_ssrcs: OwnSsrcs,
    pub(crate) probe_time: Option<Duration>,
}

/// One side of a call. [`Incoming`] and [`Outgoing`] own what concerns one direction; both use the [`Path`].
#[derive(Debug)]
pub(crate) struct Leg {
    id: LegId,
    pub(crate) path: Path,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    rtcp: RtcpReporter,
    risks: RiskMonitor,
}

/// A plan for a leg that exists, with all that could fail about it.
#[derive(Debug)]
pub(crate) struct PreparedPlan {
    plan: LegPlan,
    /// For another kind of transport.
    link: Option<Link>,
}

/// How a digit arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DigitForm {
    /// As telephone-events.
    Event,
    /// As a tone, which is in the audio as well.
    Tone,
}

/// Why a leg is to be called at a certain time. All are due in [`Leg::handle_timeout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LegTimer {
    /// ICE sends a check or consent expires, or DTLS repeats a flight.
    Handshake,
    /// A digit of the peer ends: its telephone-event packets have stopped without an end.
    EventEnd,
    /// A digit of the peer ends: the audio with its tone has stopped.
    ToneEnd,
    /// The forwarded source is late: the peer gets filler.
    Gap,
    /// The transcoder's next frame is due: from the pre-roll, or in place of a missing one.
    Frame,
    /// The next telephone-event packet to the peer is due.
    EventPacket,
    /// The next RTCP report is due.
    Report,
    /// A risk reaches its next step, or a reported one is checked again.
    RiskCheck,
}

impl Leg {
    pub(crate) fn open(
        now: Instant,
        id: LegId,
        plan: LegPlan,
        ports: PortPair,
        context: LegContext<'_>,
    ) -> Result<Self, CommandError> {
        let path = Path::new(now, ports, &plan, context.identity, context.probe_time)?;
        let (seq, time) = (context.rng.next_u32() as u16, context.rng.next_u32());
        let outgoing = Outgoing::new(plan.ssrc, (seq, time), context.opus_complexity);
        let rtcp = RtcpReporter::new(now, context.epoch, context.rng.next_u64());
        let incoming = Incoming::new(context.own_ssrcs);
        let mut leg = Self { id, path, incoming, outgoing, rtcp, risks: RiskMonitor::default() };
        leg.apply_media(now, plan);
        Ok(leg)
    }

    /// Does what can fail about `plan`, without a change of the leg.
    ///
    /// # Errors
    /// [`CommandError::BadPlan`] if the leg cannot take the plan.
    pub(crate) fn prepare(
        &self,
        now: Instant,
        plan: LegPlan,
        identity: &DtlsIdentity,
    ) -> Result<PreparedPlan, CommandError> {
        let link = self.path.prepare(now, &plan, identity)?;
        Ok(PreparedPlan { plan, link })
    }

    /// Brings the leg to a plan that it has prepared. Port, SSRC and the numbering of the outgoing stream do not change.
    pub(crate) fn apply(&mut self, now: Instant, prepared: PreparedPlan) {
        let PreparedPlan { plan, link } = prepared;
        self.path.apply(now, &plan, link);
        self.apply_media(now, plan);
    }

    fn apply_media(&mut self, now: Instant, plan: LegPlan) {
        self.outgoing.apply(now, &mut self.path, plan.send);
        self.incoming.apply(plan.receive);
        self.rtcp.set_cname(plan.cname);
        self.path.note_remote(now, &plan.transport);
        self.risks.recheck_at(now);
    }

    pub(crate) fn id(&self) -> LegId {
        self.id
    }

    pub(crate) fn ports(&self) -> PortPair {
        self.path.ports()
    }

    pub(crate) fn local(&self) -> LegPorts {
        let ports = self.ports();
        LegPorts { rtp: ports.rtp_addr, rtcp: ports.rtcp_addr }
    }

    /// Takes a datagram that is no RTP: STUN and DTLS drive the handshake, RTCP the reports.
    pub(crate) fn receive_control(
        &mut self,
        received: ReceiveTime,
        flow: Flow,
        source: SocketAddr,
        kind: DatagramKind,
        datagram: &mut [u8],
    ) -> Result<Accepted, Discard> {
        let now = received.now;
        match kind {
            DatagramKind::Stun | DatagramKind::Dtls => self.path.receive_handshake(now, source, kind, datagram)?,
            DatagramKind::Rtcp => {
                let len = self.path.receive_rtcp(now, flow, source, datagram)?;
                let (incoming, outgoing) = (&mut self.incoming, &mut self.outgoing);
                incoming.intake_mut().take_report(received.arrived())?;
                // The time in our queue is not part of the round trip.
                self.rtcp.receive(received.arrived(), &datagram[..len], datagram.len(), incoming, outgoing)?;
            }
            // RTP on the RTCP port.
            DatagramKind::Rtp => return Err(Discard::NotConnected),
        }
        Ok(Accepted::Control)
    }

    /// True if the peer is a leg of another call of this process.
    pub(crate) fn is_linked(&self) -> bool {
        self.incoming.is_linked()
    }

    /// Counts a datagram that was discarded. True if a risk begins with it, which is to be reported now.
    pub(crate) fn discard(&mut self, now: Instant, reason: Discard) -> bool {
        self.incoming.discard(reason);
        match reason {
            Discard::OverBudget => self.risks.begin(now, Risk::Flood),
            Discard::Ring => self.risks.begin(now, Risk::Ring),
            _ => false,
        }
    }

    pub(crate) fn play_digit(
        &mut self,
        now: Instant,
        digit: Digit,
        duration: Duration,
        volume: u8,
    ) -> Result<(), CommandError> {
        self.outgoing.play_digit(now, digit, duration, volume)
    }

    /// The event for the controller, if `update` ends a digit of this leg's peer.
    pub(crate) fn digit_event(&mut self, update: &EventUpdate) -> Option<EventKind> {
        let EventUpdate::Ended { digit, duration, volume } = *update else { return None };
        let source = self.incoming.note_digit(digit).unwrap_or(self.ports().rtp_addr);
        Some(EventKind::Digit { leg: self.id, digit, duration, volume, source })
    }

    /// Does what is due. Gives the digits of the peer that end: those of telephone-events and those of tones.
    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) -> (EventUpdates, EventUpdates) {
        self.path.handle_timeout(now);
        self.outgoing.handle_timeout(now, &self.path);
        if self.risks.is_due(now) {
            let facts = self.facts();
            self.risks.check(now, facts);
        }
        if self.rtcp.take_due(now) {
            self.send_report(now, outbox, false);
        }
        self.incoming.handle_timeout(now)
    }

    /// Queues a BYE, and close_notify behind it.
    pub(crate) fn announce_end(&mut self, now: Instant, outbox: &mut Outbox) {
        self.send_report(now, outbox, true);
        self.path.close_handshake(now);
    }

    fn send_report(&mut self, now: Instant, outbox: &mut Outbox, bye: bool) {
        self.rtcp.send_report(now, &mut self.path, &mut self.incoming, &self.outgoing, outbox, bye);
    }

    /// True if a packet can have left something to be done here, or moved a deadline forward. False for a leg that only
    /// forwards: no packet moves its remaining timers, [`LegTimer::Report`] and [`LegTimer::RiskCheck`].
    pub(crate) fn is_busy(&self) -> bool {
        self.outgoing.is_busy() || self.incoming.is_busy() || self.path.needs_poll()
    }

    /// Gives `timer` each timer of the leg and when it is due.
    fn timers(&mut self, mut timer: impl FnMut(LegTimer, Option<Instant>)) {
        timer(LegTimer::Handshake, self.path.poll_timeout());
        timer(LegTimer::EventEnd, self.incoming.event_end_at());
        timer(LegTimer::ToneEnd, self.incoming.tone_end_at());
        self.outgoing.timers(&mut timer);
        timer(LegTimer::Report, self.rtcp.poll_timeout());
        timer(LegTimer::RiskCheck, self.risks.poll_timeout());
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let mut first = None;
        self.timers(|_, at| first = soonest(first, at));
        first
    }

    /// Sends what is ready. Gives one event at a time; call until `None`.
    pub(crate) fn drain(&mut self, now: Instant, outbox: &mut Outbox) -> Option<EventKind> {
        if let Some(event) = self.path.drain_handshake(self.id, now, outbox, &mut self.risks) {
            return Some(event);
        }
        self.outgoing.drain(now, &mut self.path, outbox);
        if let Some(milestone) = self.path.timeline.poll() {
            return Some(EventKind::Milestone { leg: self.id, milestone });
        }
        self.risks.poll_event(self.id, self.path.timeline.last())
    }

    fn facts(&self) -> Facts {
        let plan = &self.outgoing.plan;
        let has_source = plan.source != Source::Nothing && plan.muting.audio != AudioMuting::NoPackets;
        Facts {
            // The send format is known when offer and answer are complete.
            settled: plan.format.is_some() && self.path.timeline.has(Milestone::RemoteKnown),
            has_pair: self.path.has_pair(),
            has_keys: self.path.has_keys(),
            sends: plan.enabled && !plan.is_gate_shut() && (has_source || plan.has_filler()),
            receives: self.incoming.is_enabled(),
            sent_at: self.outgoing.last_sent_at,
            received_at: self.incoming.last_media_at(),
            flooded_at: self.incoming.intake().flooded_at(),
            ring_at: self.incoming.intake().ring_at(),
            probe_ends_at: self.path.proof.ends_at(),
        }
    }

    pub(crate) fn set_opus_complexity(&mut self, complexity: u8) {
        self.outgoing.set_opus_complexity(complexity);
    }

    /// Adds this leg's counters to a shard's.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        let (rtcp_in, rtcp_out) = self.rtcp.counts();
        totals.rtp_in.merge(self.incoming.rtp());
        totals.rtp_out.merge(self.outgoing.rtp);
        totals.rtcp_in.merge(rtcp_in);
        totals.rtcp_out.merge(rtcp_out);
        totals.discards.merge(self.incoming.discards());
        totals.discards.merge(&self.outgoing.discards);
        totals.digits += self.incoming.digits().0;
        totals.dtls_roles_hedged += u64::from(self.path.is_role_hedged());
        let frames = self.outgoing.transcoders.counts(self.outgoing.mode.transcoder());
        frames.add_discards(&mut totals.discards);
        totals.concealed_frames += frames.concealed;
        totals.transcoded_frames += frames.transcoded;
    }

    pub(crate) fn report(&self, opened: Instant) -> LegReport {
        let Self { path, incoming, outgoing, rtcp, .. } = self;
        let (rtcp_in, rtcp_out) = rtcp.counts();
        let mut discards = *incoming.discards();
        discards.merge(&outgoing.discards);
        let transcoder = outgoing.mode.transcoder();
        let frames = outgoing.transcoders.counts(transcoder);
        frames.add_discards(&mut discards);
        LegReport {
            leg: self.id,
            description: self.describe(),
            local: path.ports().rtp_addr,
            remote: path.destination(),
            remote_ssrc: incoming.ssrc(),
            local_ssrc: outgoing.tx.ssrc(),
            timeline: path.timeline.since(opened),
            rtp_in: incoming.rtp(),
            rtp_out: outgoing.rtp,
            rtcp_in,
            rtcp_out,
            discards: discards.nonzero(),
            lost: incoming.rx().map_or(0, StreamRx::lost),
            jitter: incoming.rx().map_or(Duration::ZERO, StreamRx::jitter),
            round_trip: rtcp.round_trip(),
            remote_fraction_lost: rtcp.remote_fraction_lost(),
            concealed_frames: frames.concealed,
            playout_delay: transcoder.map_or(Duration::ZERO, Transcoder::playout_delay),
            preroll: frames.preroll,
            filled_frames: frames.filled,
            digits_in: incoming.digits().1.to_owned(),
            digits_out: outgoing.digits.sent().to_owned(),
        }
    }

    /// The leg in one line, for people: transport, source, format, and what happens to the source's audio.
    fn describe(&self) -> String {
        let Outgoing { plan, mode, .. } = &self.outgoing;
        let source = match plan.source {
            Source::Nothing => "no source".to_owned(),
            Source::Leg(leg) => format!("from leg {}", leg.0),
        };
        let format = match &plan.format {
            None => "send format unknown".to_owned(),
            Some(format) => format!("{} pt {} {mode}", format.codec, format.pt.get()),
        };
        format!("{}, {source}, {format}", self.path.transport_name())
    }
}

/// Appends a digit to a report's list of at most [`limits::DIGITS_MAX`].
fn note_digit(digits: &mut String, digit: Digit) {
    if digits.capacity() == 0 {
        // Reserved once, so that no later digit allocates.
        digits.reserve_exact(limits::DIGITS_MAX);
    }
    if digits.len() < limits::DIGITS_MAX {
        digits.push(digit.to_char());
    }
}
