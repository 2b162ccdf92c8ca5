//! Encodes decoded audio to frames of the listener's codec and packet time.

use trestle_audio::{Codec, Encoder, EncoderSettings, Packer, Pcm, opus};
use trestle_wire::Ptime;

use crate::dtmf::ToneSender;
use crate::plan::{OpusSettings, SendFormat};

/// Bytes that are enough for any frame of the present codecs. A longer one is not sent, and counted.
pub const FRAME_BYTES_MAX: usize = opus::PACKET_BYTES_MAX;

/// A frame for the listener. If `len` is 0 there is no payload, and only its time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Bytes of payload.
    pub len: usize,
    /// Duration in ticks of the listener's RTP clock.
    pub duration_ticks: u32,
}

/// The encoder of one listener, behind a packer that makes frames of the right length.
#[derive(Debug)]
pub(super) struct FrameEncoder {
    encoder: Encoder,
    settings: EncoderSettings,
    packer: Packer,
    /// Rate of the PCM, in Hz.
    rate_hz: u32,
    /// The packet time asked for.
    ptime: Ptime,
    frame_samples: usize,
    frame_ticks: u32,
    /// Frames that could not be encoded.
    refused: u64,
}

impl FrameEncoder {
    /// Frames of `format`. Their packet time is 20 ms if the codec has no frames of the packet time of `format`. Until a
    /// source is known, the rate is that of a source of the same codec.
    pub(super) fn new(format: &SendFormat) -> Self {
        let (codec, settings) = (format.codec, encoder_settings(&format.opus));
        let rate_hz = codec.bridge_rate_hz(codec);
        let ptime = available_ptime(codec, rate_hz, format.ptime);
        Self {
            encoder: encoder(codec, rate_hz, settings),
            settings,
            packer: Packer::new(),
            rate_hz,
            ptime: format.ptime,
            frame_samples: samples(ptime, rate_hz),
            frame_ticks: ptime.ticks(codec.clock()),
            refused: 0,
        }
    }

    /// The listener's codec.
    #[inline]
    pub(super) fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// Rate of the PCM, in Hz.
    #[inline]
    pub(super) fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Samples of a frame.
    #[inline]
    pub(super) fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    #[inline]
    pub(super) fn packer_mut(&mut self) -> &mut Packer {
        &mut self.packer
    }

    /// Takes PCM of another rate from now on. PCM that is not encoded yet is dropped.
    pub(super) fn set_rate(&mut self, rate_hz: u32) {
        let codec = self.codec();
        let ptime = available_ptime(codec, rate_hz, self.ptime);
        self.encoder = encoder(codec, rate_hz, self.settings);
        self.packer.clear();
        self.rate_hz = rate_hz;
        self.frame_samples = samples(ptime, rate_hz);
        self.frame_ticks = ptime.ticks(codec.clock());
    }

    /// Frames that the encoder has refused, or that are longer than the buffer.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes PCM.
    #[inline]
    pub(super) fn push(&mut self, pcm: &[i16]) {
        self.packer.push(pcm);
    }

    /// Drops PCM that is not encoded yet.
    pub(super) fn clear(&mut self) {
        self.packer.clear();
    }

    /// A frame without payload: only its time passes.
    pub(super) fn empty_frame(&self) -> EncodedFrame {
        EncodedFrame { len: 0, duration_ticks: self.frame_ticks }
    }

    /// Encodes the next frame to `out` ([`FRAME_BYTES_MAX`]), with a digit's tone in place of its audio if `tones` has
    /// one. Of a frame that cannot be encoded only the time passes. `None` if there is not enough PCM. `scratch` is overwritten.
    #[inline]
    pub(super) fn poll(
        &mut self,
        scratch: &mut Pcm,
        mut tones: Option<&mut ToneSender>,
        out: &mut [u8],
    ) -> Option<EncodedFrame> {
        let mut pcm = self.packer.pop(self.frame_samples)?;
        if let Some(tones) = &mut tones {
            scratch.clone_from_slice(pcm);
            tones.fill(self.rate_hz, scratch.as_mut_slice());
            pcm = scratch.as_slice();
        }
        let encoded = self.encoder.encode(pcm, out);
        self.refused += u64::from(encoded.is_err());
        Some(EncodedFrame { len: encoded.unwrap_or(0), duration_ticks: self.frame_ticks })
    }

    /// Takes the loss that the listener reports, in 1/256 (RFC 3550 section 6.4.1).
    pub(super) fn set_remote_loss(&mut self, fraction_lost: u8) {
        let reported = (u32::from(fraction_lost) * 100).div_ceil(256) as u8;
        let before = self.settings.expected_loss_percent;
        // A lossy path has intervals without loss: each report lowers the expected loss by a quarter at most.
        self.settings.expected_loss_percent = reported.max(before - before.div_ceil(4));
        // An encoder that refuses the value goes on as before.
        let _ = self.encoder.set_expected_loss_percent(self.settings.expected_loss_percent);
    }

    /// Sets the complexity of an Opus encoder, 0 to 10.
    pub(super) fn set_opus_complexity(&mut self, complexity: u8) {
        self.settings.complexity = complexity;
        // An encoder that refuses the value goes on as before.
        let _ = self.encoder.set_complexity(complexity);
    }
}

fn encoder(codec: Codec, rate_hz: u32, settings: EncoderSettings) -> Encoder {
    Encoder::new(codec, rate_hz, settings).expect("the bridge rate is a rate of both codecs")
}

fn available_ptime(codec: Codec, rate_hz: u32, ptime: Ptime) -> Ptime {
    if codec.has_frame_of(samples(ptime, rate_hz), rate_hz) { ptime } else { Ptime::MS_20 }
}

fn samples(ptime: Ptime, rate_hz: u32) -> usize {
    (ptime.ms() * rate_hz / 1_000) as usize
}

fn encoder_settings(settings: &OpusSettings) -> EncoderSettings {
    EncoderSettings {
        bitrate_bps: settings.bitrate_bps,
        inband_fec: settings.inband_fec,
        // The copies of in-band FEC take their bits from the speech: none until the peer reports a loss.
        expected_loss_percent: 0,
        dtx: settings.dtx,
        ..EncoderSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trestle_audio::listen::{dominant_tone, level_dbov};
    use trestle_audio::{Decoder, Tone};
    use trestle_wire::Pt;

    fn format(codec: Codec) -> SendFormat {
        SendFormat {
            pt: Pt::new(111).unwrap(),
            codec,
            ptime: Ptime::MS_20,
            strict_ptime: false,
            opus: OpusSettings::default(),
            event: None,
        }
    }

    #[test]
    fn of_a_frame_that_does_not_fit_only_the_time_passes_and_it_is_counted() {
        for codec in [Codec::Pcma, Codec::Opus] {
            let mut encoder = FrameEncoder::new(&format(codec));
            let (mut tone, mut pcm) = (Tone::sine(1_000.0, 9_000), [0; 160]);
            for n in 1..=3 {
                tone.fill(&mut pcm, 8_000);
                encoder.push(&pcm);
                let frame = encoder.poll(&mut Pcm::new(), None, &mut []).expect("160 samples are a frame");
                assert_eq!((frame, encoder.refused()), (encoder.empty_frame(), n), "{codec:?}");
            }
            encoder.push(&pcm);
            let frame = encoder.poll(&mut Pcm::new(), None, &mut [0; FRAME_BYTES_MAX]).expect("a frame");
            assert!(frame.len > 0 && encoder.refused() == 3, "{codec:?}");
        }
    }

    /// No pair of codecs uses 16 kHz yet; Opus has it.
    #[test]
    fn at_another_rate_frames_have_the_same_packet_time_and_the_sound_its_pitch() {
        let mut encoder = FrameEncoder::new(&format(Codec::Opus));
        encoder.push(&[0; 100]);
        encoder.set_rate(16_000);
        let mut decoder = Decoder::new(Codec::Opus, 16_000).unwrap();
        let (mut tone, mut scratch, mut pcm) = (Tone::sine(1_000.0, 9_000), Pcm::new(), Pcm::new());
        let (mut sound, mut out) = (Vec::new(), [0; FRAME_BYTES_MAX]);
        for _ in 0..50 {
            let mut frame = [0; 320];
            tone.fill(&mut frame, 16_000);
            encoder.push(&frame);
            let encoded = encoder.poll(&mut scratch, None, &mut out).expect("320 samples are a frame");
            assert_eq!(encoded.duration_ticks, 960);
            assert_eq!(encoder.poll(&mut scratch, None, &mut out), None);
            assert_eq!(Codec::Opus.packet_ptime(&out[..encoded.len]), Some(Ptime::MS_20));
            decoder.decode(&out[..encoded.len], &mut pcm).unwrap();
            sound.extend_from_slice(pcm.as_slice());
        }
        let measured = dominant_tone(&sound[8_000..], 16_000).unwrap();
        assert!((measured.hz - 1_000.0).abs() < 5.0 && level_dbov(&sound[8_000..]) > -20.0, "{measured:?}");
    }
}
