//! The transcoder of one listener: decodes, repairs and encodes one source, one frame per packet time.

use std::time::{Duration, Instant};

use trestle_audio::Codec;
use trestle_wire::{ExtSeq, RtpTime};

use super::backlog::BacklogOutput;
use super::filler::FillerSound;
use super::frame_encoder::{EncodedFrame, FrameEncoder};
use super::playout::{Playout, PlayoutOutput, SourceFrame};
use super::preroll::PrerollBuffer;
use super::source_decoder::SourceDecoder;
use crate::Discard;
use crate::dtmf::ToneSender;
use crate::plan::{Filler, SendFormat};
use crate::report::Preroll;
use crate::time::soonest;

/// Transcodes from the codec of whichever source sends to the codec of the listener.
#[derive(Debug)]
pub struct Transcoder {
    playout: Playout,
    input: SourceDecoder,
    preroll: PrerollBuffer,
    filler: FillerSound,
    output: FrameEncoder,
    counts: TranscoderCounts,
}

/// Frames of a transcoder. Those of the source are pieces of 20 ms or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TranscoderCounts {
    /// Lost frames of the source that were replaced by concealment.
    pub concealed: u64,
    /// Lost frames of the source that were restored from the copy in the next one.
    pub recovered: u64,
    /// Frames of the source that the decoder refused; they were concealed.
    pub undecodable: u64,
    /// Frames of the source that were left out, because the path became faster or the source restarted.
    pub left_out: u64,
    /// Frames that the listener's encoder refused; they were not sent.
    pub unencodable: u64,
    /// Frames encoded for the listener.
    pub transcoded: u64,
    /// Pieces in which the source was silent.
    pub filled: u64,
}

impl Transcoder {
    /// A transcoder to `format`. The packet time is 20 ms if the codec has no frames of the one asked for.
    pub fn new(format: &SendFormat) -> Self {
        Self {
            playout: Playout::default(),
            input: SourceDecoder::new(),
            preroll: PrerollBuffer::default(),
            filler: FillerSound::default(),
            output: FrameEncoder::new(format),
            counts: TranscoderCounts::default(),
        }
    }

    /// Sets what the listener gets while the source is silent. With anything but [`Filler::Nothing`], missing frames are
    /// not waited for so long that the listener's stream has a gap.
    pub fn set_filler(&mut self, filler: Filler) {
        self.filler.set(filler);
        self.playout.set_unbroken(self.filler.is_unbroken());
    }

    /// Stores the audio of the source, the newest `cap` of it, until [`Transcoder::release`].
    pub fn keep(&mut self, cap: Duration) {
        self.preroll.keep(cap, self.output.rate_hz());
    }

    /// Drops stored audio, and stores no more.
    pub fn forget(&mut self) {
        self.preroll.forget();
    }

    /// Drops stored audio: it is not for the listener any more. While the listener cannot be sent to, later audio is stored.
    pub fn forget_waiting(&mut self) {
        self.preroll.forget_waiting();
    }

    /// While `withhold` is set, something else takes the audio's place and stored audio stays stored.
    pub fn withhold(&mut self, withhold: bool) {
        self.preroll.set_withhold(withhold);
    }

    /// The listener can be sent to now: it gets the stored audio, then the rest, one frame per packet time.
    pub fn release(&mut self, now: Instant) {
        self.preroll.release(now);
    }

    /// True while audio is stored that cannot be sent yet.
    pub fn is_keeping(&self) -> bool {
        self.preroll.is_keeping()
    }

    /// How much audio was stored, and what became of it.
    pub fn preroll(&self) -> Preroll {
        self.preroll.summary()
    }

    /// True if it has made nothing but filler so far: its end would not be audible.
    pub fn is_only_filling(&self) -> bool {
        self.input.is_unused() && !self.preroll.is_active()
    }

    /// True while the listener gets stored audio.
    pub fn is_behind(&self) -> bool {
        self.preroll.is_active()
    }

    /// Starts to make frames, of silence, before the first packet of a source.
    pub fn start(&mut self, now: Instant) {
        self.playout.start(now);
    }

    /// The source has pressed a key: until its next audio packet, missing frames are silence and do not count as concealed.
    pub fn key_pressed(&mut self) {
        self.input.set_key_down(true);
    }

    /// Makes no more frames until the next start or push.
    pub fn stop(&mut self) {
        self.playout.stop();
        self.output.clear();
        self.preroll.stop();
        self.input.clear_seam();
    }

    /// Returns to the initial state, except for the encoder's. For a transcoder that has made nothing but filler.
    pub fn rest(&mut self) {
        self.stop();
        self.preroll.reset();
        self.input.set_key_down(false);
        self.playout.reset_cleared();
        self.counts = TranscoderCounts::default();
    }

    /// Takes a packet. `source` names the received stream (see [`crate::stream::StreamTx::forward`]); `seq` and `time`
    /// are those of its header. From the first packet on the listener gets a frame per packet time.
    ///
    /// # Errors
    /// [`Discard::Undecodable`] if the payload is not one of `codec`; [`Discard::Late`], [`Discard::Duplicate`],
    /// [`Discard::Overflow`] or [`Discard::Malformed`] from [`Playout::push`].
    pub fn push(
        &mut self,
        now: Instant,
        source: u64,
        seq: ExtSeq,
        time: RtpTime,
        codec: Codec,
        payload: &[u8],
    ) -> Result<(), Discard> {
        let duration_us = codec.duration_us(payload).ok_or(Discard::Undecodable)?;
        self.input.note_packet(source);
        self.playout.push(now, &SourceFrame { source, seq, time, codec, duration_us, payload })
    }

    /// Processes deadlines up to `now`: frames that are still missing are replaced.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.playout.handle_timeout(now);
        self.preroll.handle_timeout(now);
    }

    /// When to call [`Transcoder::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        soonest(self.playout.poll_timeout(), self.preroll.poll_timeout())
    }

    /// The next frame, written to `out` ([`super::FRAME_BYTES_MAX`]), with a digit's tone in place of the source's audio
    /// if `tones` has one. Call until `None` after every push and timeout.
    pub fn poll_frame(&mut self, out: &mut [u8], mut tones: Option<&mut ToneSender>) -> Option<EncodedFrame> {
        loop {
            if let Some(frame) = self.output.poll(self.input.scratch(), tones.as_deref_mut(), out) {
                self.counts.transcoded += u64::from(frame.len > 0);
                return Some(frame);
            }
            if self.take_due() {
                continue;
            }
            match self.preroll.poll(&mut self.output) {
                BacklogOutput::Nothing => return None,
                BacklogOutput::Withheld => return Some(self.output.empty_frame()),
                BacklogOutput::Frame | BacklogOutput::CaughtUp(_) => {}
            }
        }
    }

    /// How long a missing frame is waited for at present.
    pub fn playout_delay(&self) -> Duration {
        self.playout.delay()
    }

    /// Frames so far.
    pub fn counts(&self) -> TranscoderCounts {
        let (left_out, unencodable) = (self.counts.left_out + self.playout.cleared(), self.output.refused());
        TranscoderCounts { left_out, unencodable, ..self.counts }
    }

    /// Takes the loss that the listener reports, in 1/256 (RFC 3550 section 6.4.1).
    pub fn set_remote_loss(&mut self, fraction_lost: u8) {
        self.output.set_remote_loss(fraction_lost);
    }

    /// Sets the complexity of an Opus encoder, 0 to 10.
    pub fn set_opus_complexity(&mut self, complexity: u8) {
        self.output.set_opus_complexity(complexity);
    }

    /// Moves one piece that is due from the playout to the encoder. False if nothing is due.
    fn take_due(&mut self) -> bool {
        let Some(due) = self.playout.poll() else { return false };
        match due {
            PlayoutOutput::Frame { codec, payload, skip_us, drop } => {
                if self.input.codec() != Some(codec) {
                    let rate_hz = codec.bridge_rate_hz(self.output.codec());
                    if rate_hz != self.output.rate_hz() {
                        self.output.set_rate(rate_hz);
                        self.preroll.set_rate(rate_hz);
                    }
                }
                let rate_hz = self.output.rate_hz();
                self.counts.undecodable += u64::from(!self.input.decode(codec, rate_hz, payload));
                self.counts.left_out += u64::from(drop);
                if let Some(pcm) = self.input.frame(rate_hz, samples(skip_us, rate_hz), drop) {
                    self.preroll.deliver(pcm, &mut self.output);
                }
            }
            PlayoutOutput::Missing { length_us, filled_us, following } => {
                let rate_hz = self.output.rate_hz();
                let length = samples(length_us, rate_hz);
                if following.is_some_and(|following| self.input.recover(following, length)) {
                    self.counts.recovered += 1;
                } else {
                    // Stored audio is played later: filler in it would only add delay.
                    let filler = (!self.preroll.is_keeping()).then_some(&mut self.filler);
                    let replacement = self.input.replace(rate_hz, length, filled_us, filler);
                    self.counts.concealed += u64::from(replacement.concealed);
                    self.counts.filled += u64::from(replacement.filled);
                }
                self.preroll.deliver(self.input.pcm(), &mut self.output);
            }
        }
        true
    }
}

fn samples(us: i64, rate_hz: u32) -> usize {
    (us * i64::from(rate_hz) / 1_000_000) as usize
}

#[cfg(test)]
mod tests;
