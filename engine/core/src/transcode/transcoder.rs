//! One source decoded, repaired and encoded again for one listener: exactly one frame per packet time.

use std::time::{Duration, Instant};

use trestle_audio::{BRIDGE_RATE_HZ, CodecKind, Decoder, Encoder, EncoderSettings, Packer, Pcm, opus};
use trestle_wire::{ExtSeq, Ptime, RtpTime};

use super::backlog::{Backlog, BacklogOutput};
use super::codec_kind;
use super::filler::FillerSound;
use super::playout::{Playout, PlayoutOutput, SourceFrame};
use crate::Discard;
use crate::dtmf::ToneSender;
use crate::plan::{Codec, Filler, OpusSettings, SendFormat};
use crate::report::Preroll;
use crate::time::soonest;

/// Bytes that any frame fits in.
pub const FRAME_BYTES_MAX: usize = opus::PACKET_BYTES_MAX;

const US_PER_SAMPLE: i64 = 1_000_000 / BRIDGE_RATE_HZ as i64;
/// Concealment is as loud as what was before for so long...
const FULL_US: i64 = 20_000;
/// ...and silent from then on, whoever invents it.
const SILENT_US: i64 = 60_000;
/// Filled pieces that count as concealed; what comes after is a source that is silent, not loss.
const CONCEALED_US_MAX: i64 = 200_000;
/// An Opus packet of so few bytes says that the noise goes on until the next one (RFC 7587 3.1.3, DTX).
const DTX_BYTES_MAX: usize = 2;
/// DTX peers send a packet at least every 400 ms; a source that is silent for longer has gone.
const DTX_US_MAX: i64 = 1_000_000;
/// A frame that follows a dropped one is blended with it over 10 ms.
const SEAM_SAMPLES: usize = 80;

/// Transcoder from whatever codec the source speaks to the one the listener takes.
#[derive(Debug)]
pub struct Transcoder {
    playout: Playout,
    /// Made when the source's first frame is due.
    decoder: Option<Decoder>,
    source: Option<u64>,
    pcm: Pcm,
    /// What waits until it can be sent, and then until its delay is worked off.
    backlog: Option<Box<Backlog>>,
    preroll: Preroll,
    withhold: bool,
    filler: FillerSound,
    packer: Packer,
    encoder: Encoder,
    frame_samples: usize,
    frame_ticks: u32,
    source_in_dtx: bool,
    /// The source presses a key and sends no audio meanwhile; that is no loss.
    key_down: bool,
    /// Beginning of a dropped frame, to blend the next one with.
    seam: Option<[i16; SEAM_SAMPLES]>,
    /// Loss that the encoder prepares for.
    expected_loss_percent: u8,
    concealed_frames: u64,
    recovered_frames: u64,
    undecodable_frames: u64,
    transcoded_frames: u64,
    filled_frames: u64,
}

/// A frame for the listener, or only its time if `len` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Bytes of payload.
    pub len: usize,
    /// How long it is, in ticks of the listener's audio clock.
    pub duration_ticks: u32,
}

impl Transcoder {
    /// Makes frames of `format`. Its packet time is 20 ms if the codec has no frames of the one asked for.
    pub fn new(format: &SendFormat) -> Self {
        let kind = codec_kind(format.codec);
        let samples = |ptime: Ptime| (ptime.ms() * BRIDGE_RATE_HZ / 1_000) as usize;
        let ptime = if kind.has_frame_of(samples(format.ptime)) { format.ptime } else { Ptime::MS_20 };
        let encoder = Encoder::new(kind, encoder_settings(&format.opus)).expect("an 8 kHz mono encoder");
        Self {
            playout: Playout::default(),
            decoder: None,
            source: None,
            pcm: Pcm::new(),
            backlog: None,
            preroll: Preroll::default(),
            withhold: false,
            filler: FillerSound::default(),
            packer: Packer::new(),
            encoder,
            frame_samples: samples(ptime),
            frame_ticks: ptime.ticks(format.codec.clock()),
            source_in_dtx: false,
            key_down: false,
            seam: None,
            expected_loss_percent: 0,
            concealed_frames: 0,
            recovered_frames: 0,
            undecodable_frames: 0,
            transcoded_frames: 0,
            filled_frames: 0,
        }
    }

    /// What the listener gets where the source is silent. Anything but [`Filler::Nothing`] means as well that frames are
    /// not waited for so long that it would notice.
    pub fn set_filler(&mut self, filler: Filler) {
        self.filler.set(filler);
        self.playout.set_unbroken(self.filler.is_unbroken());
    }

    /// Keeps what comes from the source, the newest `cap` of it, until [`Transcoder::release`].
    pub fn keep(&mut self, cap: Duration) {
        self.backlog.get_or_insert_with(|| Box::new(Backlog::new(cap)));
    }

    /// Throws away what is kept. What comes is no longer kept.
    pub fn forget(&mut self) {
        if let Some(mut backlog) = self.backlog.take() {
            backlog.clear();
            self.preroll.clipped = backlog.preroll().clipped;
        }
    }

    /// What waits is not for the listener any more. While it cannot be sent to, what comes from now on is kept instead.
    pub fn forget_waiting(&mut self) {
        match &mut self.backlog {
            Some(backlog) if backlog.is_keeping() => backlog.clear(),
            _ => self.forget(),
        }
    }

    /// While something else takes the audio's place, what waits goes on waiting.
    pub fn withhold(&mut self, withhold: bool) {
        self.withhold = withhold;
    }

    /// The listener can be sent to now: it gets what was kept, then what comes, a frame per packet time.
    pub fn release(&mut self, now: Instant) {
        if let Some(backlog) = &mut self.backlog {
            backlog.play(now);
            self.preroll = backlog.preroll();
        }
    }

    /// True while sound is kept that cannot be sent yet.
    pub fn is_keeping(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.is_keeping())
    }

    /// What was kept, and what became of it.
    pub fn preroll(&self) -> Preroll {
        self.backlog.as_ref().map_or(self.preroll, |backlog| backlog.preroll())
    }

    /// True if it has made nothing but filler so far: nobody would notice if it stopped.
    pub fn is_only_filling(&self) -> bool {
        self.source.is_none() && self.backlog.is_none()
    }

    /// True while the listener hears what was said some time ago.
    pub fn is_behind(&self) -> bool {
        self.backlog.is_some()
    }

    /// Begins to make frames, of silence, before anything has come from a source.
    pub fn start(&mut self, now: Instant) {
        self.playout.start(now);
    }

    /// The source has pressed a key: until its next audio packet what is missing is silence, and not counted as concealed.
    pub fn key_pressed(&mut self) {
        self.key_down = true;
    }

    /// Makes no more frames until the next start or push.
    pub fn stop(&mut self) {
        self.playout.stop();
        self.packer.clear();
        self.backlog = None;
        self.seam = None;
    }

    /// As if new, but for the encoder. For one that has made nothing but filler.
    pub fn rest(&mut self) {
        self.stop();
        self.preroll = Preroll::default();
        self.key_down = false;
        (self.concealed_frames, self.recovered_frames, self.undecodable_frames) = (0, 0, 0);
        (self.transcoded_frames, self.filled_frames) = (0, 0);
    }

    /// Takes a packet. `source` names the received stream (see [`crate::stream::StreamTx::forward`]); `seq` and `time`
    /// are its header's. From the first packet on the listener gets a frame per packet time.
    pub fn push(
        &mut self,
        now: Instant,
        source: u64,
        seq: ExtSeq,
        time: RtpTime,
        codec: Codec,
        payload: &[u8],
    ) -> Result<(), Discard> {
        let samples = codec_kind(codec).duration_samples(payload).ok_or(Discard::Undecodable)?;
        if self.source.replace(source) != Some(source) {
            self.decoder = None;
        }
        self.key_down = false;
        let duration_us = samples as i64 * US_PER_SAMPLE;
        self.playout.push(now, &SourceFrame { source, seq, time, codec, duration_us, payload })
    }

    /// Lets time pass: frames that are still missing are replaced.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.playout.handle_timeout(now);
        if let Some(backlog) = &mut self.backlog {
            backlog.handle_timeout(now);
        }
    }

    /// When to call [`Transcoder::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let backlog = self.backlog.as_ref().and_then(|backlog| backlog.poll_timeout());
        soonest(self.playout.poll_timeout(), backlog)
    }

    /// The next frame, written to `out` ([`FRAME_BYTES_MAX`]). Call until `None` after every push and timeout.
    pub fn poll_frame(&mut self, out: &mut [u8]) -> Option<EncodedFrame> {
        self.poll_frame_through(out, None)
    }

    /// The same, with a digit's tone in the place of the source.
    pub fn poll_frame_through(&mut self, out: &mut [u8], mut tones: Option<&mut ToneSender>) -> Option<EncodedFrame> {
        loop {
            while let Some(mut pcm) = self.packer.pop(self.frame_samples) {
                if let Some(tones) = &mut tones {
                    self.pcm.clone_from_slice(pcm);
                    tones.fill(self.pcm.as_mut_slice());
                    pcm = self.pcm.as_slice();
                }
                if let Ok(len) = self.encoder.encode(pcm, out) {
                    self.transcoded_frames += 1;
                    return Some(EncodedFrame { len, duration_ticks: self.frame_ticks });
                }
            }
            if self.take_due() {
                continue;
            }
            match self.play_kept() {
                BacklogOutput::Nothing => return None,
                BacklogOutput::Withheld => return Some(EncodedFrame { len: 0, duration_ticks: self.frame_ticks }),
                BacklogOutput::Frame | BacklogOutput::CaughtUp(_) => {}
            }
        }
    }

    /// How long a missing frame is waited for at present.
    pub fn playout_delay(&self) -> Duration {
        self.playout.delay()
    }

    /// Frames, of 20 ms or less, that were invented.
    pub fn concealed_frames(&self) -> u64 {
        self.concealed_frames
    }

    /// Frames that were lost and restored from the copy in the next one.
    pub fn recovered_frames(&self) -> u64 {
        self.recovered_frames
    }

    /// Frames that the decoder refused; they were concealed.
    pub fn undecodable_frames(&self) -> u64 {
        self.undecodable_frames
    }

    /// Frames made for the listener.
    pub fn transcoded_frames(&self) -> u64 {
        self.transcoded_frames
    }

    /// Pieces, of 20 ms or less, in which the source was silent.
    pub fn filled_frames(&self) -> u64 {
        self.filled_frames
    }

    /// Tells the encoder what the listener reports to lose, in 1/256.
    pub fn set_remote_loss(&mut self, fraction_lost: u8) {
        let reported = (u32::from(fraction_lost) * 100).div_ceil(256) as u8;
        // A lossy path has good moments: what was reported before is forgotten by a quarter with each report.
        self.expected_loss_percent = reported.max(self.expected_loss_percent - self.expected_loss_percent.div_ceil(4));
        // An encoder that refuses the hint goes on as before.
        let _ = self.encoder.set_expected_loss_percent(self.expected_loss_percent);
    }

    /// How much CPU an Opus encoder may take for its quality, 0 to 10.
    pub fn set_opus_complexity(&mut self, complexity: u8) {
        // An encoder that refuses goes on as before.
        let _ = self.encoder.set_complexity(complexity);
    }

    /// Moves what is due from the playout to the packer. False if nothing is.
    fn take_due(&mut self) -> bool {
        let Some(due) = self.playout.poll() else { return false };
        match due {
            PlayoutOutput::Frame { codec, payload, skip_us, drop } => {
                self.source_in_dtx = codec == Codec::Opus && payload.len() <= DTX_BYTES_MAX;
                let decoded = match decoder(&mut self.decoder, codec_kind(codec)) {
                    Some(decoder) => decoder.decode(payload, &mut self.pcm).is_ok(),
                    None => false,
                };
                if !decoded {
                    self.undecodable_frames += 1;
                    let samples = codec_kind(codec).duration_samples(payload).unwrap_or(0);
                    conceal(self.decoder.as_mut(), samples, &mut self.pcm);
                }
                let skip = (skip_us / US_PER_SAMPLE) as usize;
                let pcm = self.pcm.as_mut_slice().get_mut(skip..).unwrap_or_default();
                if drop {
                    if self.seam.is_none() {
                        self.seam = pcm.first_chunk().copied();
                    }
                } else {
                    if let Some(seam) = self.seam.take() {
                        blend(&seam, pcm);
                    }
                    deliver(&mut self.backlog, &mut self.packer, pcm);
                }
            }
            PlayoutOutput::Missing { length_us, filled_us, following } => {
                let samples = (length_us / US_PER_SAMPLE) as usize;
                let recovered = match (following, &mut self.decoder) {
                    (Some(following), Some(decoder)) => decoder.recover(following, samples, &mut self.pcm),
                    _ => false,
                };
                if recovered {
                    self.recovered_frames += 1;
                } else {
                    self.conceal_piece(samples, filled_us);
                }
                self.seam = None;
                deliver(&mut self.backlog, &mut self.packer, self.pcm.as_slice());
            }
        }
        true
    }

    /// Moves what was kept and is due to the packer.
    fn play_kept(&mut self) -> BacklogOutput {
        let Some(backlog) = &mut self.backlog else { return BacklogOutput::Nothing };
        let played = backlog.poll_frame(self.frame_samples, self.withhold, &mut self.packer);
        if let BacklogOutput::CaughtUp(preroll) = played {
            self.preroll = preroll;
            self.backlog = None;
        }
        played
    }

    fn conceal_piece(&mut self, samples: usize, filled_us: i64) {
        if self.key_down {
            self.pcm.clear();
            self.pcm.resize(samples);
            return;
        }
        let noise_goes_on = self.source_in_dtx && filled_us < DTX_US_MAX;
        if filled_us < CONCEALED_US_MAX && !noise_goes_on && self.decoder.is_some() {
            self.concealed_frames += 1;
        }
        if filled_us >= SILENT_US && !noise_goes_on {
            self.filled_frames += 1;
            // What is kept is what was said; nobody waits for beeps.
            if self.is_keeping() {
                self.pcm.clear();
                self.pcm.resize(samples);
            } else {
                self.filler.fill(samples, filled_us, &mut self.pcm);
            }
            return;
        }
        conceal(self.decoder.as_mut(), samples, &mut self.pcm);
        // The G.711 concealment fades by itself, in the same time.
        if !noise_goes_on && matches!(self.decoder, Some(Decoder::Opus(_))) {
            fade(self.pcm.as_mut_slice(), filled_us);
        }
    }
}

/// What is decoded goes behind what waits, if anything does.
fn deliver(backlog: &mut Option<Box<Backlog>>, packer: &mut Packer, pcm: &[i16]) {
    match backlog {
        Some(backlog) => backlog.push(pcm),
        None => {
            packer.push(pcm);
        }
    }
}

fn encoder_settings(settings: &OpusSettings) -> EncoderSettings {
    EncoderSettings {
        bitrate_bps: settings.bitrate_bps,
        inband_fec: settings.inband_fec,
        // The copies that in-band FEC sends take their bits from the speech; none until the peer reports a loss.
        expected_loss_percent: 0,
        dtx: settings.dtx,
        ..EncoderSettings::default()
    }
}

/// The decoder for `kind`, made anew when the codec changes.
fn decoder(decoder: &mut Option<Decoder>, kind: CodecKind) -> Option<&mut Decoder> {
    if decoder.as_ref().is_none_or(|decoder| decoder.kind() != kind) {
        *decoder = Decoder::new(kind).ok();
    }
    decoder.as_mut()
}

fn conceal(decoder: Option<&mut Decoder>, samples: usize, pcm: &mut Pcm) {
    match decoder {
        Some(decoder) => decoder.conceal(samples, pcm),
        None => {
            pcm.clear();
            pcm.resize(samples);
        }
    }
}

/// Lowers what was concealed `filled_us` into a hole, evenly to silence between [`FULL_US`] and [`SILENT_US`].
fn fade(pcm: &mut [i16], filled_us: i64) {
    for (n, sample) in (0i64..).zip(pcm) {
        let left_us = SILENT_US - filled_us - n * US_PER_SAMPLE;
        let gain = left_us.clamp(0, SILENT_US - FULL_US);
        *sample = (i64::from(*sample) * gain / (SILENT_US - FULL_US)) as i16;
    }
}

/// Leads over from where a dropped frame began to the frame that is played instead.
fn blend(seam: &[i16; SEAM_SAMPLES], pcm: &mut [i16]) {
    for (n, (sample, old)) in (0i32..).zip(pcm.iter_mut().zip(seam)) {
        let weight = SEAM_SAMPLES as i32;
        *sample = ((i32::from(*sample) * n + i32::from(*old) * (weight - n)) / weight) as i16;
    }
}

#[cfg(test)]
mod tests;
