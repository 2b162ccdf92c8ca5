//! Opus (RFC 6716), mono, through libopus. The only file that uses libopus.
//!
//! libopus decodes directly to the rate of the PCM and encodes directly from it. [`packet`] checks each received packet
//! before libopus gets it.

pub mod packet;
mod silence_cache;
#[cfg(test)]
mod tests;

use ::opus as libopus;

pub use packet::{packet_duration_samples, packet_has_fec};
use silence_cache::SilenceCache;

/// Default encoder complexity, 0 to 10. At 8 kHz it is not audibly different from 5, at four tenths of the cost:
/// docs/decisions/0010.
pub const DEFAULT_COMPLEXITY: u8 = 1;

/// Below this complexity libopus makes no copies (LBRR) at the bit rates of telephony, whatever the loss.
pub const FEC_COMPLEXITY_MIN: u8 = 2;
/// Below this bit rate it makes none at that complexity either.
const FEC_BITRATE_MIN_BPS: u32 = 19_400;

/// Bytes that are enough for any packet: one frame's limit (RFC 6716 section 3.2.1) and a TOC byte.
pub const PACKET_BYTES_MAX: usize = 1_276;

/// Bit rates that libopus accepts, in bits per second (RFC 6716 section 2.1.1).
const BITRATE_BPS: std::ops::RangeInclusive<u32> = 6_000..=510_000;

/// Why Opus refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    /// A sampling rate that Trestle does not use.
    #[error("Opus at {0} Hz; known are 8000, 16000 and 48000")]
    Rate(u32),
    /// Not a well-formed packet (RFC 6716 section 3.4).
    #[error("not an Opus packet")]
    Malformed,
    /// PCM of a length that Opus has no frame of, or that is too short for the packet.
    #[error("{0} samples are not an Opus frame")]
    Samples(usize),
    /// libopus refused; its error code.
    #[error("libopus: error {0}")]
    Library(i32),
}

impl From<libopus::Error> for OpusError {
    fn from(error: libopus::Error) -> Self {
        Self::Library(error.code() as i32)
    }
}

/// Settings of an encoder. Values outside libopus' range are limited to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Target bit rate, bits per second.
    pub bitrate_bps: u32,
    /// Put a coarse copy of each frame into the next one (LBRR), if loss is expected and the bit rate allows it.
    pub inband_fec: bool,
    /// Packet loss to prepare for, percent. At 0 no FEC is sent, even with `inband_fec`.
    pub expected_loss_percent: u8,
    /// Make packets of one or two bytes in silence (DTX).
    pub dtx: bool,
    /// Complexity, 0 to 10.
    pub complexity: u8,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            bitrate_bps: 20_000,
            inband_fec: true,
            expected_loss_percent: 10,
            dtx: false,
            complexity: DEFAULT_COMPLEXITY,
        }
    }
}

/// Encoder of one mono stream.
#[derive(Debug)]
pub struct OpusEncoder {
    state: libopus::Encoder,
    rate_hz: u32,
    settings: EncoderSettings,
    silence: Box<SilenceCache>,
}

impl OpusEncoder {
    /// An encoder of PCM of `rate_hz`: 8000, 16000 or 48000. At 8 kHz its look-ahead is 52 samples (6.5 ms).
    ///
    /// # Errors
    /// [`OpusError::Rate`] for another rate, [`OpusError::Library`] if libopus fails.
    pub fn new(rate_hz: u32, settings: EncoderSettings) -> Result<Self, OpusError> {
        let rate_hz = known_rate(rate_hz)?;
        let state = libopus::Encoder::new(rate_hz, libopus::Channels::Mono, libopus::Application::Voip)?;
        let settings = EncoderSettings { complexity: settings.complexity.min(10), ..settings };
        let mut encoder = Self { state, rate_hz, settings, silence: SilenceCache::new(settings.dtx) };
        // Telephone speech: stay in SILK, the only mode with FEC.
        encoder.state.set_signal(libopus::Signal::Voice)?;
        encoder.state.set_inband_fec(settings.inband_fec)?;
        encoder.state.set_dtx(settings.dtx)?;
        encoder.set_bitrate_bps(settings.bitrate_bps)?;
        encoder.set_expected_loss_percent(settings.expected_loss_percent)?;
        encoder.set_complexity(settings.complexity)?;
        Ok(encoder)
    }

    /// Encodes one frame of 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms to one packet; returns its length in bytes. The packet is
    /// never longer than `out` ([`PACKET_BYTES_MAX`] is enough for any). Continued silence is sent from stored packets.
    ///
    /// # Errors
    /// [`OpusError::Samples`] for another length, [`OpusError::Library`] if libopus fails.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, OpusError> {
        if !is_frame(pcm.len(), self.rate_hz) {
            return Err(OpusError::Samples(pcm.len()));
        }
        if let Some(packet) = self.silence.packet_for(pcm)
            && let Some(out) = out.get_mut(..packet.len())
        {
            out.copy_from_slice(packet);
            return Ok(packet.len());
        }
        let len = self.state.encode(pcm, out)?;
        self.silence.encoded(&out[..len]);
        Ok(len)
    }

    /// Sets the packet loss that the peer reports, percent. It steers FEC, and with it the complexity.
    ///
    /// # Errors
    /// [`OpusError::Library`] if libopus refuses.
    pub fn set_expected_loss_percent(&mut self, percent: u8) -> Result<(), OpusError> {
        self.settings.expected_loss_percent = percent.min(100);
        self.state.set_packet_loss_perc(self.settings.expected_loss_percent.into())?;
        self.apply_complexity()
    }

    /// Sets the complexity, 0 to 10. With 1 a lossy path gets as much more as the copies take; with 0 there is no CPU for them.
    ///
    /// # Errors
    /// [`OpusError::Library`] if libopus refuses.
    pub fn set_complexity(&mut self, complexity: u8) -> Result<(), OpusError> {
        self.settings.complexity = complexity.min(10);
        self.apply_complexity()
    }

    /// Sets the target bit rate, bits per second.
    ///
    /// # Errors
    /// [`OpusError::Library`] if libopus refuses.
    pub fn set_bitrate_bps(&mut self, bitrate_bps: u32) -> Result<(), OpusError> {
        self.settings.bitrate_bps = bitrate_bps.clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end());
        self.state.set_bitrate(libopus::Bitrate::Bits(self.settings.bitrate_bps as i32))?;
        self.apply_complexity()
    }

    fn apply_complexity(&mut self) -> Result<(), OpusError> {
        let EncoderSettings { bitrate_bps, inband_fec, expected_loss_percent, complexity, .. } = self.settings;
        let copies = inband_fec && expected_loss_percent > 0 && bitrate_bps >= FEC_BITRATE_MIN_BPS;
        let floor = if copies && complexity > 0 { FEC_COMPLEXITY_MIN } else { 0 };
        Ok(self.state.set_complexity(complexity.max(floor).into())?)
    }
}

/// Decoder of one stream; its output is mono, also for stereo packets.
#[derive(Debug)]
pub struct OpusDecoder {
    state: libopus::Decoder,
    rate_hz: u32,
}

impl OpusDecoder {
    /// A decoder to PCM of `rate_hz`: 8000, 16000 or 48000.
    ///
    /// # Errors
    /// [`OpusError::Rate`] for another rate, [`OpusError::Library`] if libopus fails.
    pub fn new(rate_hz: u32) -> Result<Self, OpusError> {
        let rate_hz = known_rate(rate_hz)?;
        Ok(Self { state: libopus::Decoder::new(rate_hz, libopus::Channels::Mono)?, rate_hz })
    }

    /// Rate of the PCM, in Hz.
    #[inline]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Decodes a packet; returns its samples. A stereo packet is mixed down.
    ///
    /// # Errors
    /// [`OpusError::Malformed`] for a malformed packet and [`OpusError::Samples`] for one longer than `pcm`: both before libopus
    /// gets it, and nothing changes. [`OpusError::Library`] if libopus fails.
    pub fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, OpusError> {
        let samples = packet_duration_samples(packet, self.rate_hz).ok_or(OpusError::Malformed)?;
        let room = pcm.len();
        let pcm = pcm.get_mut(..samples).ok_or(OpusError::Samples(room))?;
        Ok(self.state.decode(packet, pcm, false)?)
    }

    /// Restores the packet lost before `next_packet` from the copy in it. `pcm` has exactly the lost duration, a multiple
    /// of 2.5 ms. Where there is no copy (it covers the last frame of the lost time only, or is missing: see
    /// [`packet_has_fec`]), concealment replaces it. Decode `next_packet` afterwards as usual.
    ///
    /// # Errors
    /// As [`OpusDecoder::decode`].
    pub fn decode_fec(&mut self, next_packet: &[u8], pcm: &mut [i16]) -> Result<(), OpusError> {
        packet_duration_samples(next_packet, self.rate_hz).ok_or(OpusError::Malformed)?;
        if !self.is_concealable(pcm.len()) {
            return Err(OpusError::Samples(pcm.len()));
        }
        self.state.decode(next_packet, pcm, true)?;
        Ok(())
    }

    /// Conceals lost audio: it fades out over some frames. `pcm` has exactly the lost duration; a length that is not a
    /// multiple of 2.5 ms gives silence.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        let concealed = self.is_concealable(pcm.len()) && self.state.decode(&[], pcm, false).is_ok();
        if !concealed {
            pcm.fill(0);
        }
    }

    /// libopus conceals in units of 2.5 ms.
    fn is_concealable(&self, samples: usize) -> bool {
        samples > 0 && samples.is_multiple_of(self.rate_hz as usize / 400)
    }
}

/// True if Opus has a frame, or libopus makes a packet of equal frames, of so many samples.
pub fn is_frame(samples: usize, rate_hz: u32) -> bool {
    let unit = rate_hz as usize / 400;
    samples.is_multiple_of(unit) && matches!(samples / unit, 1 | 2 | 4 | 8 | 16 | 24 | 32 | 40 | 48)
}

fn known_rate(rate_hz: u32) -> Result<u32, OpusError> {
    match rate_hz {
        8_000 | 16_000 | 48_000 => Ok(rate_hz),
        _ => Err(OpusError::Rate(rate_hz)),
    }
}
