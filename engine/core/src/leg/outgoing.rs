//! The sending side of a leg: what its peer is sent, and by which of the [`Mode`]s.
//!
//! `StreamTx` alone numbers packets; [`Path`] alone encrypts them.

use std::time::{Duration, Instant};

use trestle_wire::rtp::Header;
use trestle_wire::telephone_event::Digit;
use trestle_wire::{ClockRate, ExtSeq, Pt, Ssrc};

use super::digit_sender::DigitSender;
use super::incoming::AudioPacket;
use super::path::Path;
use super::source_timing::{GAP_MAX, SourceTiming};
use super::transcoders::TranscoderStock;
use super::{DigitForm, LegTimer};
use crate::discard::Discards;
use crate::dtmf::EventUpdate;
use crate::output::Outbox;
use crate::plan::{AudioMuting, Filler, Gate, SendFormat, SendPlan, SendPolicy, Source};
use crate::report::Count;
use crate::stream::StreamTx;
use crate::transcode::{self, Transcoder};
use crate::{CommandError, Discard, LegId, Milestone};

/// So many forwardable packets in a row end the work of a transcoder: one second of 20 ms packets.
const FORWARDABLE_RUN: u8 = 50;

/// What audio the peer is sent, and what makes it.
///
/// ```text
///                       audio, other format
///       +-------------------------------------------------+
///       |                                                 v
///     Idle -- audio, peer not ready --> Keeping --------> Transcoding <----------+
///     ^ | |                               peer ready       |       ^             |
///     | | |                         50 x audio, same format|       | audio,      |
///     | | |                                                v       | other format|
///     | | +-- audio, same format -----------------------> Forwarding             |
///     | |                                                  |       ^             |
///     | |                                gap, tone, silence|       | audio,      | audio, other format
///     | |                                                  v       | same format | or under a tone
///     | +---- filler, tone, silence --------------------> Filling ---------------+
///     |                                                    |
///     +------ tone over, no filler ------------------------+
/// ```
///
/// - *audio*: a packet of the source leg. Muted audio does not count ([`Outgoing::take_audio`]).
/// - *same format*: codec and packet time are those of the peer, so that the packet can be sent as it is.
/// - *peer not ready*: nothing could be sent so far, and the plan has room for pre-roll ([`Readiness`]).
/// - *gap*: the peer has a filler, and the source is late ([`SourceTiming`]). A peer that is not ready then: `Idle`.
/// - *tone*: a digit is sent as a tone. *silence*: it replaces muted audio. *filler*: the plan has one, and the peer is ready.
/// - Pre-roll that was only silence, when it is over: `Transcoding` to `Filling`.
/// - From each mode to `Idle`: the format changes, or the gate is closed for good; without filler, also when the source changes
///   or its audio is muted to no packets.
///
/// Telephone-events are sent in each mode, in place of its audio.
///
/// A source that is no leg (a prompt, a WebSocket) becomes one more variant, which owns that source: [`Outgoing::apply`] enters
/// and leaves it, and [`Outgoing::send_frames`] sends its frames.
#[derive(Debug)]
pub(super) enum Mode {
    /// No audio is sent.
    Idle,
    /// The source is decoded and stored, to be sent first once the peer can be sent to.
    Keeping(Box<Transcoder>),
    /// Packets of the source are sent as they arrive, under a new header.
    Forwarding,
    /// Frames of the transcoder without a source: filler, silence instead of muted audio, or the tone of a digit.
    Filling(Box<Transcoder>),
    /// The source is decoded and encoded: one frame per packet time.
    Transcoding(Box<Transcoder>),
}

impl std::fmt::Display for Mode {
    /// What happens to audio, as a report describes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Keeping(_) => f.write_str("kept until it can be sent"),
            Self::Forwarding => f.write_str("forwarded"),
            Self::Filling(_) => f.write_str("filled"),
            Self::Transcoding(transcoder) => {
                write!(f, "transcoded, playout delay {} ms", transcoder.playout_delay().as_millis())
            }
        }
    }
}

impl Mode {
    /// The mode in which `transcoder` is.
    fn of(transcoder: Box<Transcoder>) -> Self {
        if transcoder.is_keeping() {
            Self::Keeping(transcoder)
        } else if transcoder.is_only_filling() {
            Self::Filling(transcoder)
        } else {
            Self::Transcoding(transcoder)
        }
    }

    pub(super) fn transcoder(&self) -> Option<&Transcoder> {
        match self {
            Self::Idle | Self::Forwarding => None,
            Self::Keeping(transcoder) | Self::Filling(transcoder) | Self::Transcoding(transcoder) => Some(transcoder),
        }
    }

    pub(super) fn transcoder_mut(&mut self) -> Option<&mut Transcoder> {
        match self {
            Self::Idle | Self::Forwarding => None,
            Self::Keeping(transcoder) | Self::Filling(transcoder) | Self::Transcoding(transcoder) => Some(transcoder),
        }
    }

    fn into_transcoder(self) -> Option<Box<Transcoder>> {
        match self {
            Self::Idle | Self::Forwarding => None,
            Self::Keeping(transcoder) | Self::Filling(transcoder) | Self::Transcoding(transcoder) => Some(transcoder),
        }
    }

    /// Changes the transcoder, and enters the mode in which it is then.
    fn change(&mut self, change: impl FnOnce(&mut Transcoder)) {
        if self.transcoder().is_none() {
            return;
        }
        if let Some(mut transcoder) = std::mem::replace(self, Self::Idle).into_transcoder() {
            change(&mut transcoder);
            *self = Self::of(transcoder);
        }
    }
}

/// The stream that a leg sends to its peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(super) plan: SendPlan,
    pub(super) mode: Mode,
    pub(super) transcoders: TranscoderStock,
    /// Packets in a row that the peer could have got unchanged.
    forwardable_run: u8,
    /// Arrival times of the forwarded source, if the peer has a filler.
    timing: Option<SourceTiming>,
    pub(crate) tx: StreamTx,
    pub(super) digits: DigitSender,
    /// Media sent.
    pub(super) rtp: Count,
    pub(super) discards: Discards,
    pub(super) last_sent_at: Option<Instant>,
}

/// Whether the peer can be sent media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    /// The gate is open, the peer takes media, its address is known, and there are keys.
    Ready,
    /// Not yet, and audio until then is kept: nothing was sent so far, and the plan has room for pre-roll.
    Keep,
    NotReady,
}

impl Outgoing {
    /// A stream without a plan, in which nothing is sent. `seq` and `time` are random: the first sequence number and timestamp.
    pub(super) fn new(ssrc: Ssrc, (seq, time): (u16, u32), opus_complexity: u8) -> Self {
        let plan = SendPlan::default();
        let (pt, clock) = audio_of(&plan);
        Self {
            plan,
            mode: Mode::Idle,
            transcoders: TranscoderStock::new(opus_complexity),
            forwardable_run: 0,
            timing: None,
            tx: StreamTx::new(ssrc, seq, time, pt, clock),
            digits: DigitSender::default(),
            rtp: Count::default(),
            discards: Discards::default(),
            last_sent_at: None,
        }
    }

    /// Brings the stream to `plan`. SSRC and numbering go on.
    pub(super) fn apply(&mut self, now: Instant, path: &mut Path, plan: SendPlan) {
        let other_source = self.plan.source != plan.source;
        if self.plan.format != plan.format || other_source && !plan.has_filler() {
            self.stop();
            self.timing = None;
        }
        if other_source || plan.muting.audio != AudioMuting::Off {
            // Audio of the source before is not for this peer.
            self.mode.change(Transcoder::forget_waiting);
        }
        self.digits.apply(now, other_source, plan.muting.digits);
        let before = std::mem::replace(&mut self.plan, plan);
        let SendPolicy { gate, preroll_max, filler } = self.plan.policy;
        if before.policy.gate == Gate::Shut && gate == Gate::Open {
            path.timeline.reach(Milestone::GateOpened, now);
        }
        self.mode.change(|transcoder| {
            transcoder.set_filler(filler);
            if preroll_max.is_zero() && transcoder.is_keeping() {
                transcoder.forget();
            }
        });
        if filler == Filler::Nothing {
            self.timing = None;
        }
        if preroll_max.is_zero() && gate == Gate::Shut {
            // Closed for good.
            self.stop();
        }
        let (pt, clock) = audio_of(&self.plan);
        self.tx.set_audio(now, pt, clock);
        self.digits.set_clock(self.plan.event_clock());
        match self.plan.muting.audio {
            AudioMuting::Off => {}
            // A transcoder without a source makes silence; frames that it has already are faded out.
            AudioMuting::Silence => self.start_frames(now, path),
            AudioMuting::NoPackets if self.plan.has_filler() => {}
            AudioMuting::NoPackets => self.stop(),
        }
    }

    pub(super) fn set_opus_complexity(&mut self, complexity: u8) {
        self.transcoders.set_opus_complexity(complexity);
        if let Some(transcoder) = self.mode.transcoder_mut() {
            transcoder.set_opus_complexity(complexity);
        }
    }

    /// True if this side sends what `leg` receives.
    pub(crate) fn has_source(&self, leg: LegId) -> bool {
        self.plan.source == Source::Leg(leg)
    }

    /// Takes an audio packet of the source leg: forwards it, transcodes it, or stores it. False if it is of no use, because the
    /// peer cannot be sent to.
    pub(crate) fn take_audio(
        &mut self,
        now: Instant,
        path: &mut Path,
        outbox: &mut Outbox,
        from: LegId,
        audio: &AudioPacket,
        payload: &[u8],
    ) -> bool {
        let readiness = self.readiness(path);
        let Some(format) = self.plan.format else { return false };
        if readiness == Readiness::NotReady {
            return false;
        }
        let source = source_key(from, audio.header.ssrc);
        if self.plan.muting.audio != AudioMuting::Off {
            // The numbers close up, so that nothing looks lost when the audio is unmuted.
            self.tx.withheld(source, audio.seq);
            self.discards.add(Discard::Replaced);
        } else if readiness == Readiness::Ready && self.should_forward(&format, audio, payload) {
            self.forward(now, path, outbox, source, audio, payload);
        } else {
            self.tx.forget_source();
            if let Err(reason) = self.transcode(now, path, &format, source, audio, payload) {
                self.discards.add(reason);
            }
        }
        true
    }

    /// True if the packet can be sent unchanged. A transcoder is left only after a run of such packets: a peer that changes its
    /// packet time to and fro must not cost an encoder each time.
    fn should_forward(&mut self, format: &SendFormat, audio: &AudioPacket, payload: &[u8]) -> bool {
        if !audio.is_forwardable(format, payload) {
            self.forwardable_run = 0;
            return false;
        }
        self.forwardable_run = self.forwardable_run.saturating_add(1);
        let has_settled = match &self.mode {
            Mode::Idle | Mode::Forwarding | Mode::Filling(_) => true,
            Mode::Keeping(_) => false,
            Mode::Transcoding(transcoder) => self.forwardable_run >= FORWARDABLE_RUN && !transcoder.is_behind(),
        };
        has_settled && !self.digits.sends_tones()
    }

    fn forward(
        &mut self,
        now: Instant,
        path: &mut Path,
        outbox: &mut Outbox,
        source: u64,
        audio: &AudioPacket,
        payload: &[u8],
    ) {
        if !matches!(self.mode, Mode::Forwarding) {
            if self.tx.is_behind_frames(source, audio.seq) {
                self.discards.add(Discard::Late);
                return;
            }
            self.end_transcoder();
        }
        if self.digits.sends_events() {
            // The digit takes the audio's place; the peer must not get the tone as well.
            self.tx.absorbed(source, audio.seq);
            self.discards.add(Discard::Replaced);
            return;
        }
        if !path.proof.allows(now, audio.us) {
            self.tx.absorbed(source, audio.seq);
            self.discards.add(Discard::Unproven);
            return;
        }
        if matches!(self.mode, Mode::Idle) {
            self.mode = Mode::Forwarding;
        }
        let (seq, clock, Header { time, marker, .. }) = (audio.seq, audio.codec.clock(), audio.header);
        if self.plan.has_filler() {
            SourceTiming::note(&mut self.timing, now, source, clock, seq, time);
        }
        match self.tx.forward(now, source, seq, time, clock, marker) {
            Some(header) => self.send_rtp(now, path, outbox, header, payload),
            None => self.discards.add(Discard::Late),
        }
    }

    fn transcode(
        &mut self,
        now: Instant,
        path: &Path,
        format: &SendFormat,
        source: u64,
        audio: &AudioPacket,
        payload: &[u8],
    ) -> Result<(), Discard> {
        let AudioPacket { seq, codec, header: Header { time, .. }, .. } = *audio;
        match &mut self.mode {
            Mode::Keeping(transcoder) | Mode::Transcoding(transcoder) => {
                transcoder.push(now, source, seq, time, codec, payload)
            }
            Mode::Filling(transcoder) => {
                transcoder.push(now, source, seq, time, codec, payload)?;
                self.mode.change(|_| {});
                Ok(())
            }
            Mode::Idle | Mode::Forwarding => {
                let mut transcoder = self.new_transcoder(path, format);
                let pushed = transcoder.push(now, source, seq, time, codec, payload);
                match Mode::of(transcoder) {
                    // The payload was refused.
                    Mode::Filling(transcoder) => self.transcoders.put_back(transcoder, true),
                    mode => self.mode = mode,
                }
                pushed
            }
        }
    }

    /// A packet of the source is not passed on as it is (a telephone-event) or not at all: nor is its sequence number.
    pub(crate) fn skip_packet(&mut self, from: LegId, ssrc: Ssrc, seq: ExtSeq) {
        self.tx.absorbed(source_key(from, ssrc), seq);
    }

    /// The source's peer has pressed or released a digit.
    pub(crate) fn take_digit(&mut self, now: Instant, path: &Path, update: &EventUpdate, form: DigitForm) {
        let muted = self.plan.muting.digits;
        if let (Some(transcoder), EventUpdate::Started { .. }, DigitForm::Event) =
            (self.mode.transcoder_mut(), update, form)
        {
            transcoder.key_pressed();
        }
        match update {
            // Unlike audio, a digit that cannot be sent is not kept.
            EventUpdate::Started { .. } if self.readiness(path) != Readiness::Ready => return,
            EventUpdate::Started { .. } if muted && self.plan.muting.audio == AudioMuting::Off => {
                self.digits.mute_audio(true);
            }
            EventUpdate::Started { .. } => {}
            EventUpdate::Ended { .. } => self.digits.mute_audio(false),
        }
        let has_room = if self.plan.takes_events() && !(muted && form == DigitForm::Tone) {
            self.digits.relay_as_event(now, update, muted)
        } else {
            self.digits.relay_as_tone(now, update, form, muted)
        };
        if !has_room {
            self.discards.add(Discard::DigitQueueFull);
        }
    }

    /// Sends one digit that no peer has pressed.
    pub(crate) fn play_digit(
        &mut self,
        now: Instant,
        digit: Digit,
        duration: Duration,
        volume: u8,
    ) -> Result<(), CommandError> {
        if self.plan.format.is_none() {
            return Err(CommandError::NoFormat);
        }
        if self.plan.policy.gate == Gate::Shut {
            return Err(CommandError::GateShut);
        }
        if !self.digits.play(now, digit, duration, volume, self.plan.takes_events()) {
            self.discards.add(Discard::DigitQueueFull);
            return Err(CommandError::DigitQueueFull);
        }
        Ok(())
    }

    /// Sends what is ready: pre-roll and filler once the peer can be sent to, tones, frames, telephone-events.
    pub(super) fn drain(&mut self, now: Instant, path: &mut Path, outbox: &mut Outbox) {
        self.begin_to_send(now, path);
        self.start_tones(now, path);
        self.send_frames(now, path, outbox);
        if !self.digits.sends_events() {
            return;
        }
        let can_send = self.readiness(path) == Readiness::Ready && path.proof.allows_events(now);
        let event_pt = self.plan.format.and_then(|format| format.event).map(|(pt, _)| pt);
        while let Some(packet) = self.digits.poll_packet(now, event_pt.is_some(), can_send) {
            let header = self.tx.event(now, event_pt.unwrap_or(Pt::PCMA), packet.first, packet.offset);
            self.send_rtp(now, path, outbox, header, &packet.payload);
        }
    }

    /// Releases the pre-roll and begins to fill, once the peer can be sent to.
    fn begin_to_send(&mut self, now: Instant, path: &mut Path) {
        match &self.mode {
            Mode::Keeping(_) if self.readiness(path) == Readiness::Ready => {
                let has_filler = self.plan.has_filler();
                self.mode.change(|transcoder| {
                    transcoder.release(now);
                    if has_filler {
                        transcoder.start(now);
                    }
                });
            }
            Mode::Idle if self.plan.has_filler() && self.readiness(path) == Readiness::Ready => {
                self.start_frames(now, path);
            }
            Mode::Filling(transcoder) | Mode::Transcoding(transcoder)
                if !transcoder.is_behind() && transcoder.preroll().caught_up.is_some() =>
            {
                path.timeline.reach(Milestone::CaughtUp, now);
            }
            _ => {}
        }
    }

    /// Makes frames for tones to be in; when the tones are over, frames that were made only for them end.
    fn start_tones(&mut self, now: Instant, path: &Path) {
        if self.digits.sends_tones() {
            if self.readiness(path) == Readiness::Ready {
                self.start_frames(now, path);
            }
        } else if self.digits.end_tones() {
            let is_for_tones = matches!(self.mode, Mode::Filling(_));
            if is_for_tones && !self.plan.has_filler() && self.plan.muting.audio != AudioMuting::Silence {
                self.stop();
            }
        }
    }

    /// Sends the frames that are due. Under a telephone-event their time passes without a packet.
    fn send_frames(&mut self, now: Instant, path: &mut Path, outbox: &mut Outbox) {
        if self.mode.transcoder().is_none() {
            return;
        }
        let under_event = self.digits.sends_events();
        let mut payload = [0; transcode::FRAME_BYTES_MAX];
        loop {
            let Some(transcoder) = self.mode.transcoder_mut() else { return };
            transcoder.withhold(under_event);
            let Some(frame) = transcoder.poll_frame(&mut payload, self.digits.tones_mut()) else { break };
            if under_event || frame.len == 0 {
                self.tx.skip(frame.duration_ticks);
            } else if self.readiness(path) == Readiness::Ready {
                let (_, clock) = audio_of(&self.plan);
                if path.proof.allows(now, clock.duration(frame.duration_ticks).as_micros() as u32) {
                    let header = self.tx.frame(now, frame.duration_ticks);
                    self.send_rtp(now, path, outbox, header, &payload[..frame.len]);
                } else {
                    self.tx.skip(frame.duration_ticks);
                    self.discards.add(Discard::Unproven);
                }
            }
        }
        if matches!(&self.mode, Mode::Transcoding(transcoder) if transcoder.is_only_filling()) {
            // The pre-roll was silence of muted audio, and is over.
            self.mode.change(|_| {});
        }
    }

    fn send_rtp(&mut self, now: Instant, path: &mut Path, outbox: &mut Outbox, header: Header, payload: &[u8]) {
        let Some(len) = path.send_rtp(outbox, header, payload) else { return };
        self.rtp.add(len);
        self.last_sent_at = Some(now);
        self.tx.count(payload.len());
        if self.rtp.packets == 1 {
            path.timeline.reach(Milestone::FirstMediaOut, now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, path: &Path) {
        if let Some(transcoder) = self.mode.transcoder_mut() {
            transcoder.handle_timeout(now);
        }
        if self.gap_at().is_some_and(|at| at <= now) {
            self.mode = Mode::Idle;
            if self.readiness(path) == Readiness::Ready {
                self.start_frames(now, path);
            }
        }
    }

    /// When the forwarded source counts as silent, if the peer then gets filler.
    fn gap_at(&self) -> Option<Instant> {
        if !matches!(self.mode, Mode::Forwarding) || !self.plan.has_filler() {
            return None;
        }
        let gap_at = match &self.timing {
            Some(timing) => timing.gap_at(),
            None => self.last_sent_at?.checked_add(GAP_MAX),
        };
        gap_at?.checked_add(self.tx.filler_delay())
    }

    /// Gives `timer` each timer of this side and when it is due.
    #[inline]
    pub(super) fn timers(&self, mut timer: impl FnMut(LegTimer, Option<Instant>)) {
        timer(LegTimer::Gap, self.gap_at());
        timer(LegTimer::Frame, self.mode.transcoder().and_then(Transcoder::poll_timeout));
        timer(LegTimer::EventPacket, self.digits.poll_timeout());
    }

    /// True if a packet can have left something to send, or moved a deadline forward.
    pub(super) fn is_busy(&self) -> bool {
        self.mode.transcoder().is_some() || self.plan.has_filler() || self.digits.is_busy()
    }

    fn readiness(&self, path: &Path) -> Readiness {
        let SendPolicy { gate, preroll_max, .. } = self.plan.policy;
        if gate == Gate::Open && self.plan.enabled && path.destination().is_some() {
            Readiness::Ready
        } else if self.plan.enabled && !preroll_max.is_zero() && self.rtp.packets == 0 {
            Readiness::Keep
        } else {
            Readiness::NotReady
        }
    }

    fn new_transcoder(&mut self, path: &Path, format: &SendFormat) -> Box<Transcoder> {
        let SendPolicy { preroll_max, filler, .. } = self.plan.policy;
        let keep = (self.readiness(path) == Readiness::Keep).then_some(preroll_max);
        self.transcoders.take(format, filler, keep)
    }

    /// Makes frames from now on, with or without a source.
    fn start_frames(&mut self, now: Instant, path: &Path) {
        let Some(format) = self.plan.format else { return };
        if self.mode.transcoder().is_none() {
            self.mode = Mode::of(self.new_transcoder(path, &format));
        }
        if let Some(transcoder) = self.mode.transcoder_mut() {
            transcoder.start(now);
        }
    }

    /// Leaves a mode that has a transcoder. One that has made nothing but filler is kept for the next gap.
    fn end_transcoder(&mut self) {
        if matches!(self.mode, Mode::Idle | Mode::Forwarding) {
            return;
        }
        if let Some(transcoder) = std::mem::replace(&mut self.mode, Mode::Idle).into_transcoder() {
            self.transcoders.put_back(transcoder, self.plan.has_filler());
        }
    }

    /// Sends no audio until there is a reason to begin again.
    fn stop(&mut self) {
        self.end_transcoder();
        self.transcoders.clear();
        self.mode = Mode::Idle;
    }
}

/// Payload type and clock of the plan's format; those of PCMA until the format is known.
fn audio_of(plan: &SendPlan) -> (Pt, ClockRate) {
    plan.format.map_or((Pt::PCMA, ClockRate::HZ_8000), |format| (format.pt, format.codec.clock()))
}

/// Identifies one received stream of one leg, for the numbering.
fn source_key(from: LegId, ssrc: Ssrc) -> u64 {
    u64::from(from.0) << 32 | u64::from(ssrc.0)
}

#[cfg(test)]
mod tests;
