//! Reads the structure of an Opus packet, without decoding, and checks it (RFC 6716 section 3).

/// Bytes of one frame at most (RFC 6716 section 3.4, R2).
const FRAME_BYTES_MAX: usize = 1_275;

/// The longest packet, in units of 2.5 ms: 120 ms (R5).
const PACKET_UNITS_MAX: usize = 48;

/// Duration of a packet, in samples at `rate_hz` (a multiple of 400); `None` if it is not an Opus packet.
pub fn packet_duration_samples(packet: &[u8], rate_hz: u32) -> Option<usize> {
    let Outline { toc, frames, .. } = Outline::parse(packet)?;
    Some(toc.frame_units() * frames * rate_hz as usize / 400)
}

/// True if the packet carries a copy of the audio before it (LBRR, RFC 6716 section 4.2.4), to restore a lost packet from.
pub fn packet_has_fec(packet: &[u8]) -> bool {
    let Some(Outline { toc, first, .. }) = Outline::parse(packet) else { return false };
    // CELT has none. An empty frame is DTX.
    if toc.is_celt() || first.is_empty() {
        return false;
    }
    // Section 4.2.3: the first bits of a SILK frame are, per channel, one VAD flag for each of its 20 ms (one for a
    // frame of 10 ms), then the LBRR flag. They are coded with even odds, so that they are plain bits.
    let vad_flags = toc.frame_units().div_ceil(8) as u32;
    let bit = |index: u32| first[0] & (0x80 >> index) != 0;
    bit(vad_flags) || (toc.is_stereo() && bit(2 * vad_flags + 1))
}

/// The TOC byte (RFC 6716 section 3.1).
#[derive(Clone, Copy)]
struct Toc(u8);

impl Toc {
    /// Table 2: 0-11 SILK, 12-15 hybrid, 16-31 CELT.
    fn config(self) -> u8 {
        self.0 >> 3
    }

    fn is_celt(self) -> bool {
        self.config() >= 16
    }

    fn is_stereo(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Duration of each frame, in units of 2.5 ms.
    fn frame_units(self) -> usize {
        match self.config() {
            config @ 0..=11 => [4, 8, 16, 24][usize::from(config & 3)],
            config @ 12..=15 => [4, 8][usize::from(config & 1)],
            config => [1, 2, 4, 8][usize::from(config & 3)],
        }
    }
}

/// A packet that conforms to rules R1 to R7 of RFC 6716 section 3.4.
struct Outline<'a> {
    toc: Toc,
    frames: usize,
    /// The first frame; empty if it is DTX or lost.
    first: &'a [u8],
}

impl<'a> Outline<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        // R1: at least the TOC byte.
        let (toc, rest) = packet.split_first()?;
        let toc = Toc(*toc);
        let (frames, first) = match toc.0 & 3 {
            0 => (1, rest),
            1 => {
                // R3: two frames of equal length.
                if !rest.len().is_multiple_of(2) {
                    return None;
                }
                (2, &rest[..rest.len() / 2])
            }
            2 => {
                // R4: the first length is complete and within the packet; the second frame is the rest.
                let (len, rest) = frame_len(rest)?;
                let (first, second) = rest.split_at_checked(len)?;
                is_frame_len(second.len())?;
                (2, first)
            }
            _ => Self::parse_many(toc, rest)?,
        };
        // R2.
        is_frame_len(first.len())?;
        Some(Self { toc, frames, first })
    }

    /// Code 3 (section 3.2.5): any number of frames, with optional padding.
    fn parse_many(toc: Toc, rest: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let (count, mut rest) = rest.split_first()?;
        let (vbr, padded, frames) = (count & 0x80 != 0, count & 0x40 != 0, usize::from(count & 0x3F));
        // R5: at least one frame, at most 120 ms.
        if frames == 0 || frames * toc.frame_units() > PACKET_UNITS_MAX {
            return None;
        }
        if padded {
            // Each 255 means 254 bytes of padding and one more length byte.
            let mut padding = 0;
            loop {
                let (len, after) = rest.split_first()?;
                rest = after;
                padding += usize::from(*len).min(254);
                if *len < 255 {
                    break;
                }
            }
            // R6, R7: header and padding fit.
            rest = rest.get(..rest.len().checked_sub(padding)?)?;
        }
        if !vbr {
            // R6: equal frames fill the rest.
            return rest.len().is_multiple_of(frames).then(|| (frames, &rest[..rest.len() / frames]));
        }
        // R7: all lengths except the last are written; the frames fit, and the last is the rest.
        let mut first_len = None;
        let mut written = 0;
        for _ in 1..frames {
            let (len, after) = frame_len(rest)?;
            rest = after;
            written += len;
            first_len.get_or_insert(len);
        }
        is_frame_len(rest.len().checked_sub(written)?)?;
        Some((frames, &rest[..first_len.unwrap_or(rest.len())]))
    }
}

/// R2: `None` if a frame would be too long.
fn is_frame_len(len: usize) -> Option<()> {
    (len <= FRAME_BYTES_MAX).then_some(())
}

/// A length of one or two bytes (section 3.2.1), and what follows it.
fn frame_len(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes {
        [len @ 0..=251, ref rest @ ..] => Some((len.into(), rest)),
        [low @ 252..=255, high, ref rest @ ..] => Some((usize::from(high) * 4 + usize::from(low), rest)),
        _ => None,
    }
}
