//! Decodes one source, and replaces its frames that did not arrive.

use arrayvec::ArrayVec;
use trestle_audio::{BRIDGE_RATE_MAX_HZ, Codec, Decoder, Pcm};

use super::filler::FillerSound;

/// Concealment has the level of the audio before it for so long...
const FULL_US: i64 = 20_000;
/// ...and is silent from then on, whichever codec conceals.
const SILENT_US: i64 = 60_000;
/// Filled pieces within this time count as concealed. After it the source is silent, which is not loss.
const CONCEALED_US_MAX: i64 = 200_000;
/// DTX peers send a packet at least every 400 ms; a source that is silent for longer than this has stopped.
const DTX_US_MAX: i64 = 1_000_000;
/// A frame that follows a dropped one is blended with it over 10 ms.
const SEAM_MS: u32 = 10;
/// Samples of the seam at the highest rate.
const SEAM_SAMPLES_MAX: usize = (SEAM_MS * BRIDGE_RATE_MAX_HZ / 1_000) as usize;

/// How a missing piece was replaced. Both may be true: the end of a gap that counts as loss is silent already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replacement {
    /// It counts as a concealed loss.
    pub(super) concealed: bool,
    /// It is filler or silence, since the source is silent.
    pub(super) filled: bool,
}

/// The decoder of one source.
#[derive(Debug)]
pub(super) struct SourceDecoder {
    /// The received stream, see [`crate::stream::StreamTx::forward`]; `None` before its first packet.
    stream: Option<u64>,
    /// Made with the first frame that is due, and anew if the codec or the rate changes.
    decoder: Option<Decoder>,
    /// The latest piece.
    pcm: Pcm,
    /// The last frame started or continued a DTX pause.
    in_dtx: bool,
    /// The source presses a key and sends no audio meanwhile; that is not loss.
    key_down: bool,
    /// Beginning of a dropped frame, to blend the next one with.
    seam: ArrayVec<i16, SEAM_SAMPLES_MAX>,
}

impl SourceDecoder {
    pub(super) fn new() -> Self {
        Self { stream: None, decoder: None, pcm: Pcm::new(), in_dtx: false, key_down: false, seam: ArrayVec::new() }
    }

    /// Notes a packet of `stream`: another stream needs a decoder in its initial state. Audio is back after a key.
    #[inline]
    pub(super) fn note_packet(&mut self, stream: u64) {
        if self.stream.replace(stream) != Some(stream) {
            self.decoder = None;
        }
        self.key_down = false;
    }

    /// True if no packet came yet.
    #[inline]
    pub(super) fn is_unused(&self) -> bool {
        self.stream.is_none()
    }

    /// Sets whether the source has a key down.
    pub(super) fn set_key_down(&mut self, key_down: bool) {
        self.key_down = key_down;
    }

    /// The codec of the last frame; `None` before the first one of a stream.
    #[inline]
    pub(super) fn codec(&self) -> Option<Codec> {
        self.decoder.as_ref().map(Decoder::codec)
    }

    /// The latest piece.
    #[inline]
    pub(super) fn pcm(&self) -> &[i16] {
        self.pcm.as_slice()
    }

    /// The storage of the latest piece, for other use between pieces.
    #[inline]
    pub(super) fn scratch(&mut self) -> &mut Pcm {
        &mut self.pcm
    }

    /// Decodes a frame to PCM of `rate_hz`. False if it cannot be decoded: then its time is concealed.
    #[inline]
    pub(super) fn decode(&mut self, codec: Codec, rate_hz: u32, payload: &[u8]) -> bool {
        self.in_dtx = codec.is_dtx(payload);
        if self.decoder.as_ref().is_none_or(|decoder| decoder.codec() != codec || decoder.rate_hz() != rate_hz) {
            self.decoder = Decoder::new(codec, rate_hz).ok();
        }
        let decoded = match &mut self.decoder {
            Some(decoder) => decoder.decode(payload, &mut self.pcm).is_ok(),
            None => false,
        };
        if !decoded {
            self.conceal(codec.duration_samples(payload, rate_hz).unwrap_or(0));
        }
        decoded
    }

    /// The decoded frame from sample `skip` on, blended with the beginning of a frame that was dropped before it. With
    /// `drop` this frame is dropped: `None`.
    #[inline]
    pub(super) fn frame(&mut self, rate_hz: u32, skip: usize, drop: bool) -> Option<&[i16]> {
        let pcm = self.pcm.as_mut_slice().get_mut(skip..).unwrap_or_default();
        if drop {
            let length = (SEAM_MS * rate_hz / 1_000) as usize;
            if self.seam.is_empty()
                && let Some(beginning) = pcm.get(..length)
            {
                self.seam.extend(beginning.iter().copied());
            }
            return None;
        }
        if !self.seam.is_empty() {
            blend(&self.seam, pcm);
            self.seam.clear();
        }
        Some(pcm)
    }

    /// Restores `samples` from the copy in the frame that follows them. False if it has none.
    pub(super) fn recover(&mut self, following: &[u8], samples: usize) -> bool {
        self.seam.clear();
        self.decoder.as_mut().is_some_and(|decoder| decoder.recover(following, samples, &mut self.pcm))
    }

    /// Replaces `samples` at `rate_hz` that did not arrive; `filled_us` have been replaced before, since the last frame.
    /// A source that is silent is replaced by `filler`, or by silence if that is `None`.
    pub(super) fn replace(
        &mut self,
        rate_hz: u32,
        samples: usize,
        filled_us: i64,
        filler: Option<&mut FillerSound>,
    ) -> Replacement {
        self.seam.clear();
        if self.key_down {
            self.silence(samples);
            return Replacement { concealed: false, filled: false };
        }
        let noise_goes_on = self.in_dtx && filled_us < DTX_US_MAX;
        let concealed = filled_us < CONCEALED_US_MAX && !noise_goes_on && self.decoder.is_some();
        if filled_us >= SILENT_US && !noise_goes_on {
            match filler {
                Some(filler) => filler.fill(rate_hz, samples, filled_us, &mut self.pcm),
                None => self.silence(samples),
            }
            return Replacement { concealed, filled: true };
        }
        self.conceal(samples);
        let fades = self.decoder.as_ref().is_none_or(Decoder::fades_concealment);
        if !noise_goes_on && !fades {
            fade(rate_hz, self.pcm.as_mut_slice(), filled_us);
        }
        Replacement { concealed, filled: false }
    }

    /// Drops the beginning of a dropped frame: the frame that would be blended with it does not follow.
    pub(super) fn clear_seam(&mut self) {
        self.seam.clear();
    }

    fn conceal(&mut self, samples: usize) {
        match &mut self.decoder {
            Some(decoder) => decoder.conceal(samples, &mut self.pcm),
            None => self.silence(samples),
        }
    }

    fn silence(&mut self, samples: usize) {
        self.pcm.clear();
        self.pcm.resize(samples);
    }
}

/// Lowers concealment that begins `filled_us` into a gap, evenly to silence between [`FULL_US`] and [`SILENT_US`].
fn fade(rate_hz: u32, pcm: &mut [i16], filled_us: i64) {
    let us_per_sample = 1_000_000 / i64::from(rate_hz);
    for (n, sample) in (0i64..).zip(pcm) {
        let left_us = SILENT_US - filled_us - n * us_per_sample;
        let gain = left_us.clamp(0, SILENT_US - FULL_US);
        *sample = (i64::from(*sample) * gain / (SILENT_US - FULL_US)) as i16;
    }
}

/// Blends from the beginning of a dropped frame, `seam`, into the frame that is played instead.
fn blend(seam: &[i16], pcm: &mut [i16]) {
    let weight = seam.len() as i32;
    for (n, (sample, old)) in (0i32..).zip(pcm.iter_mut().zip(seam)) {
        *sample = ((i32::from(*sample) * n + i32::from(*old) * (weight - n)) / weight) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fading_ends_in_silence_and_blending_begins_where_the_old_sound_was() {
        let mut pcm = [10_000; 480];
        fade(8_000, &mut pcm, 0);
        assert_eq!((pcm[0], pcm[159], pcm[320], pcm[479]), (10_000, 10_000, 5_000, 31));
        let mut pcm = [10_000; 160];
        fade(8_000, &mut pcm, 60_000);
        assert_eq!(pcm, [0; 160]);
        let mut pcm = [800; 160];
        blend(&[-800; 80], &mut pcm);
        assert_eq!((pcm[0], pcm[40], pcm[80], pcm[159]), (-800, 0, 800, 800));
    }
}
