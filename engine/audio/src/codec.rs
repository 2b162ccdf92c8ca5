//! The codecs of Trestle: the one list of them ([`CODECS`]), and a [`Decoder`] and an [`Encoder`] for each.
//!
//! A codec has two rates that are independent of each other: the clock of its RTP timestamps, and the rates of PCM that
//! it decodes to and encodes from. They differ for Opus (RTP 48000 Hz, PCM here 8000 Hz) and for G.722 (RTP 8000 Hz, PCM
//! 16000 Hz: RFC 3551 section 4.5.2). Between a decoder and an encoder PCM has the rate [`Codec::bridge_rate_hz`] of the
//! two codecs.
//!
//! A new codec is a file like [`crate::g711`], a variant of [`Codec`], a row of [`CODECS`], and an arm in each `match` of
//! this file.

#[cfg(test)]
mod tests;

use trestle_wire::{ClockRate, Pt, Ptime};

use crate::g711::{self, Law};
use crate::opus::{self, EncoderSettings, OpusError};
use crate::{Concealer, Pcm};

/// The longest audio that one payload may have, in milliseconds: that of an Opus packet (RFC 6716 section 3.2.5, R5).
pub const PAYLOAD_MS_MAX: u32 = 120;

/// A codec that Trestle decodes and encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Opus (RFC 6716, RFC 7587).
    Opus,
}

/// The properties of a codec.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodecInfo {
    /// The codec.
    pub codec: Codec,
    /// Encoding name of `a=rtpmap` (RFC 8866 section 6.6). Compared without case.
    pub name: &'static str,
    /// Rate of the RTP timestamps.
    pub clock: ClockRate,
    /// Channels of `a=rtpmap`. 2 for Opus whatever is sent (RFC 7587 section 7); all audio of Trestle is mono.
    pub channels: u8,
    /// The payload type where Trestle may choose it.
    pub pt: PtAssignment,
    /// Rates of PCM in Hz that the codec decodes to and encodes from without a resampler, the preferred one first. Every
    /// codec has 8000 among them: digits are detected at that rate.
    pub pcm_rates_hz: &'static [u32],
    /// Payload bits per second that Trestle sends, without RTP, UDP and IP headers.
    pub bitrate_bps: u32,
    /// Equipment impairment for the E-model (ITU-T G.107).
    pub impairment: Impairment,
}

/// How the payload type of a codec is assigned (RFC 3551 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PtAssignment {
    /// By RFC 3551 section 6: the codec has this payload type without an `a=rtpmap`.
    Static(Pt),
    /// By the SDP. The value is the one that Trestle prefers. No two codecs prefer the same.
    Dynamic(Pt),
}

impl PtAssignment {
    /// The static payload type, or the preferred dynamic one.
    pub fn preferred(self) -> Pt {
        match self {
            Self::Static(pt) | Self::Dynamic(pt) => pt,
        }
    }
}

/// The dynamic payload type of Opus in WhatsApp's own descriptions.
const OPUS_PT: Pt = match Pt::new(111) {
    Some(pt) => pt,
    None => panic!("a payload type has 7 bits"),
};

/// Equipment impairment of a codec in the E-model (ITU-T G.107, equation 7-29; values of G.113 appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// `Ie`: impairment without loss.
    pub ie: f64,
    /// `Bpl`: robustness against random packet loss.
    pub bpl: f64,
}

/// G.711 with concealment: G.113 (11/2007), table I.4.
const G711_IMPAIRMENT: Impairment = Impairment { ie: 0.0, bpl: 25.1 };
/// G.113 has no values for Opus. These are those of GSM EFR, a linear predictor with frames of 20 ms too, at a lower rate
/// than the 20 kbit/s of WhatsApp: the estimate errs on the low side.
const OPUS_IMPAIRMENT: Impairment = Impairment { ie: 5.0, bpl: 10.0 };

/// All codecs, in the order of [`Codec`]'s variants.
pub const CODECS: [CodecInfo; 3] = [
    CodecInfo {
        codec: Codec::Pcmu,
        name: "PCMU",
        clock: ClockRate::HZ_8000,
        channels: 1,
        pt: PtAssignment::Static(Pt::PCMU),
        pcm_rates_hz: &[g711::RATE_HZ],
        bitrate_bps: 64_000,
        impairment: G711_IMPAIRMENT,
    },
    CodecInfo {
        codec: Codec::Pcma,
        name: "PCMA",
        clock: ClockRate::HZ_8000,
        channels: 1,
        pt: PtAssignment::Static(Pt::PCMA),
        pcm_rates_hz: &[g711::RATE_HZ],
        bitrate_bps: 64_000,
        impairment: G711_IMPAIRMENT,
    },
    CodecInfo {
        codec: Codec::Opus,
        name: "opus",
        clock: ClockRate::HZ_48000,
        channels: 2,
        pt: PtAssignment::Dynamic(OPUS_PT),
        // 8000 first: between two Opus legs nothing has more than the bandwidth of a telephone call.
        pcm_rates_hz: &[8_000, 16_000],
        bitrate_bps: 20_000,
        impairment: OPUS_IMPAIRMENT,
    },
];

/// The highest rate of PCM between two codecs, in Hz: the highest preferred rate of all codecs.
pub const BRIDGE_RATE_MAX_HZ: u32 = {
    let (mut highest, mut n) = (0, 0);
    while n < CODECS.len() {
        let preferred = CODECS[n].pcm_rates_hz[0];
        highest = if preferred > highest { preferred } else { highest };
        n += 1;
    }
    highest
};

impl CodecInfo {
    /// The codec of `a=rtpmap:PT ENCODING/CLOCK[/CHANNELS]`. Opus is found with any number of channels, since some peers
    /// leave the 2 of RFC 7587 out.
    pub fn by_name(encoding: &str, clock: ClockRate, channels: u8) -> Option<&'static Self> {
        CODECS.iter().find(|info| {
            let has_channels = channels == info.channels || info.codec == Codec::Opus;
            info.name.eq_ignore_ascii_case(encoding) && info.clock == clock && has_channels
        })
    }

    /// The codec that `pt` means without `a=rtpmap` (RFC 3551 section 6).
    pub fn by_static_pt(pt: Pt) -> Option<&'static Self> {
        CODECS.iter().find(|info| info.pt == PtAssignment::Static(pt))
    }
}

impl std::fmt::Display for Codec {
    /// The encoding name of SDP.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.info().name)
    }
}

impl Codec {
    /// The properties of the codec.
    #[inline]
    pub const fn info(self) -> &'static CodecInfo {
        const ROWS: &[CodecInfo; CODECS.len()] = &CODECS;
        &ROWS[self as usize]
    }

    /// Rate of the RTP timestamps.
    #[inline]
    pub const fn clock(self) -> ClockRate {
        self.info().clock
    }

    /// Rate in Hz of the PCM between a decoder of one of the codecs and an encoder of the other: the higher of the two
    /// preferred rates if both codecs have it, else the lower.
    pub fn bridge_rate_hz(self, other: Self) -> u32 {
        let (own, others) = (self.info().pcm_rates_hz, other.info().pcm_rates_hz);
        let (higher, lower) = (own[0].max(others[0]), own[0].min(others[0]));
        if own.contains(&higher) && others.contains(&higher) { higher } else { lower }
    }

    /// Duration of a payload in microseconds; `None` if it is not a payload of this codec, or longer than
    /// [`PAYLOAD_MS_MAX`].
    #[inline]
    pub fn duration_us(self, payload: &[u8]) -> Option<i64> {
        const RATE_HZ: u32 = 8_000;
        Some(self.duration_samples(payload, RATE_HZ)? as i64 * (1_000_000 / i64::from(RATE_HZ)))
    }

    /// Packet time of a payload; `None` if it is not a payload of this codec, or of a duration that `a=ptime` cannot
    /// state here (see [`Ptime::new`]).
    #[inline]
    pub fn packet_ptime(self, payload: &[u8]) -> Option<Ptime> {
        let us = self.duration_us(payload)?;
        (us % 1_000 == 0).then(|| Ptime::new((us / 1_000) as u32))?
    }

    /// Duration of a payload in samples of PCM at `rate_hz`; `None` if it is not a payload of this codec, or longer than
    /// [`PAYLOAD_MS_MAX`].
    #[inline]
    pub fn duration_samples(self, payload: &[u8], rate_hz: u32) -> Option<usize> {
        match self {
            Self::Pcmu | Self::Pcma => {
                let samples = payload.len() * (rate_hz / g711::RATE_HZ) as usize;
                (1..=samples_max(rate_hz)).contains(&samples).then_some(samples)
            }
            Self::Opus => opus::packet_duration_samples(payload, rate_hz),
        }
    }

    /// True if a payload can have exactly `samples` of PCM at `rate_hz`. G.711 takes up to 120 ms; Opus has frames of 10,
    /// 20, 40 and 60 ms (and some that telephony does not use), but none of 30 or 50 ms.
    pub fn has_frame_of(self, samples: usize, rate_hz: u32) -> bool {
        match self {
            Self::Pcmu | Self::Pcma => (1..=samples_max(rate_hz)).contains(&samples),
            Self::Opus => opus::is_frame(samples, rate_hz),
        }
    }

    /// True if a payload may carry a copy of the frame before it (in-band FEC), see [`Decoder::recover`].
    #[inline]
    pub fn has_copies(self) -> bool {
        matches!(self, Self::Opus)
    }

    /// True if the background noise continues after a payload until the next packet: an Opus packet of at most two
    /// bytes (RFC 7587 section 3.1.3, DTX).
    #[inline]
    pub fn is_dtx(self, payload: &[u8]) -> bool {
        matches!(self, Self::Opus) && payload.len() <= 2
    }
}

/// Samples of [`PAYLOAD_MS_MAX`].
#[inline]
const fn samples_max(rate_hz: u32) -> usize {
    (PAYLOAD_MS_MAX * rate_hz / 1_000) as usize
}

/// Why a payload was not decoded or a frame not encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload is not one of this codec, or is longer than 120 ms. The decoder's state is unchanged.
    #[error("{0} bytes are not a payload of this codec")]
    Malformed(usize),
    /// The codec has no frame of so many samples, or the buffer is too small for the payload.
    #[error("no frame of {0} samples")]
    Samples(usize),
    /// The rate is not among the codec's [`CodecInfo::pcm_rates_hz`].
    #[error("the codec has no PCM of {0} Hz")]
    Rate(u32),
    /// Opus refused.
    #[error(transparent)]
    Opus(#[from] OpusError),
}

/// Decodes one stream to mono PCM, and conceals its lost frames.
#[derive(Debug)]
pub enum Decoder {
    /// G.711 mu-law and its concealment.
    Pcmu(Box<Concealer>),
    /// G.711 A-law and its concealment.
    Pcma(Box<Concealer>),
    /// Opus, which has a concealment of its own.
    Opus(opus::OpusDecoder),
}

impl Decoder {
    /// A decoder in its initial state, to PCM of `rate_hz`.
    ///
    /// # Errors
    /// [`CodecError::Rate`] if the codec does not have that rate, [`CodecError::Opus`] if libopus fails.
    pub fn new(codec: Codec, rate_hz: u32) -> Result<Self, CodecError> {
        check_rate(codec, rate_hz)?;
        Ok(match codec {
            Codec::Pcmu => Self::Pcmu(Box::default()),
            Codec::Pcma => Self::Pcma(Box::default()),
            Codec::Opus => Self::Opus(opus::OpusDecoder::new(rate_hz)?),
        })
    }

    /// The codec that it decodes.
    #[inline]
    pub fn codec(&self) -> Codec {
        match self {
            Self::Pcmu(_) => Codec::Pcmu,
            Self::Pcma(_) => Codec::Pcma,
            Self::Opus(_) => Codec::Opus,
        }
    }

    /// Rate of the PCM, in Hz.
    #[inline]
    pub fn rate_hz(&self) -> u32 {
        match self {
            Self::Pcmu(_) | Self::Pcma(_) => g711::RATE_HZ,
            Self::Opus(decoder) => decoder.rate_hz(),
        }
    }

    /// Duration of a payload in samples of this decoder's PCM, see [`Codec::duration_samples`].
    pub fn duration_samples(&self, payload: &[u8]) -> Option<usize> {
        self.codec().duration_samples(payload, self.rate_hz())
    }

    /// Decodes a payload into `pcm`, whose length becomes that of the payload.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] if it is not a payload of this codec, [`CodecError::Opus`] if libopus refuses it. `pcm` is
    /// then empty and the decoder unchanged; call [`Decoder::conceal`].
    pub fn decode(&mut self, payload: &[u8], pcm: &mut Pcm) -> Result<(), CodecError> {
        pcm.clear();
        let samples = self.duration_samples(payload).ok_or(CodecError::Malformed(payload.len()))?;
        pcm.resize(samples);
        let (law, concealer) = match self {
            Self::Pcmu(concealer) => (Law::Mu, concealer),
            Self::Pcma(concealer) => (Law::A, concealer),
            Self::Opus(decoder) => {
                return match decoder.decode(payload, pcm.as_mut_slice()) {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        pcm.clear();
                        Err(error.into())
                    }
                };
            }
        };
        law.decode(payload, pcm.as_mut_slice());
        concealer.good(pcm.as_mut_slice());
        Ok(())
    }

    /// Fills `pcm` with `samples` (120 ms at most) in place of a frame that did not arrive.
    pub fn conceal(&mut self, samples: usize, pcm: &mut Pcm) {
        pcm.resize(samples);
        match self {
            Self::Pcmu(concealer) | Self::Pcma(concealer) => concealer.conceal(pcm.as_mut_slice()),
            Self::Opus(decoder) => decoder.conceal(pcm.as_mut_slice()),
        }
    }

    /// True if [`Decoder::conceal`] fades to silence within 60 ms; if false, the caller does that.
    pub fn fades_concealment(&self) -> bool {
        matches!(self, Self::Pcmu(_) | Self::Pcma(_))
    }

    /// Restores the `samples` lost right before `next_payload` from the copy in it (in-band FEC). False, with nothing
    /// changed, if it carries no copy; call [`Decoder::conceal`] then. Decode `next_payload` afterwards in either case.
    pub fn recover(&mut self, next_payload: &[u8], samples: usize, pcm: &mut Pcm) -> bool {
        let Self::Opus(decoder) = self else { return false };
        if !opus::packet_has_fec(next_payload) || samples > Pcm::CAPACITY {
            return false;
        }
        pcm.resize(samples);
        decoder.decode_fec(next_payload, pcm.as_mut_slice()).is_ok()
    }
}

/// Encodes mono PCM.
#[derive(Debug)]
pub enum Encoder {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// Opus.
    Opus(opus::OpusEncoder),
}

impl Encoder {
    /// An encoder of PCM of `rate_hz`. `settings` apply to Opus only.
    ///
    /// # Errors
    /// [`CodecError::Rate`] if the codec does not have that rate, [`CodecError::Opus`] if libopus fails.
    pub fn new(codec: Codec, rate_hz: u32, settings: EncoderSettings) -> Result<Self, CodecError> {
        check_rate(codec, rate_hz)?;
        Ok(match codec {
            Codec::Pcmu => Self::Pcmu,
            Codec::Pcma => Self::Pcma,
            Codec::Opus => Self::Opus(opus::OpusEncoder::new(rate_hz, settings)?),
        })
    }

    /// The codec that it encodes.
    #[inline]
    pub fn codec(&self) -> Codec {
        match self {
            Self::Pcmu => Codec::Pcmu,
            Self::Pcma => Codec::Pcma,
            Self::Opus(_) => Codec::Opus,
        }
    }

    /// Encodes one frame to one payload at the start of `out`; returns the payload's length in bytes.
    ///
    /// # Errors
    /// [`CodecError::Samples`] or [`CodecError::Opus`] if the codec has no frame of that length
    /// ([`Codec::has_frame_of`]), or if `out` is too small.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let law = match self {
            Self::Pcmu => Law::Mu,
            Self::Pcma => Law::A,
            Self::Opus(encoder) => return Ok(encoder.encode(pcm, out)?),
        };
        if !self.codec().has_frame_of(pcm.len(), g711::RATE_HZ) || out.len() < pcm.len() {
            return Err(CodecError::Samples(pcm.len()));
        }
        law.encode(pcm, out);
        Ok(pcm.len())
    }

    /// Sets the packet loss that the peer reports, in percent. It steers the in-band FEC of Opus; G.711 ignores it.
    ///
    /// # Errors
    /// If libopus refuses the value; the encoder goes on with the value before.
    pub fn set_expected_loss_percent(&mut self, percent: u8) -> Result<(), OpusError> {
        match self {
            Self::Pcmu | Self::Pcma => Ok(()),
            Self::Opus(encoder) => encoder.set_expected_loss_percent(percent),
        }
    }

    /// Sets the complexity of Opus, 0 to 10; G.711 ignores it.
    ///
    /// # Errors
    /// If libopus refuses the value; the encoder goes on with the value before.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), OpusError> {
        match self {
            Self::Pcmu | Self::Pcma => Ok(()),
            Self::Opus(encoder) => encoder.set_complexity(complexity),
        }
    }
}

fn check_rate(codec: Codec, rate_hz: u32) -> Result<(), CodecError> {
    if codec.info().pcm_rates_hz.contains(&rate_hz) { Ok(()) } else { Err(CodecError::Rate(rate_hz)) }
}
