//! RTP packets (RFC 3550 section 5.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |           synchronization source (SSRC) identifier            |
//! |            contributing source (CSRC) identifiers             |
//! ```

use std::ops::Range;

use crate::{Malformed, RtpTime, Seq};

/// A synchronisation source (RFC 3550 section 3): identifies one RTP stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ssrc(pub u32);

/// An RTP payload type, 0 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pt(u8);

impl Pt {
    /// PCMU/8000 (RFC 3551).
    pub const PCMU: Self = Self(0);
    /// PCMA/8000 (RFC 3551).
    pub const PCMA: Self = Self(8);
    /// Comfort noise (RFC 3389).
    pub const COMFORT_NOISE: Self = Self(13);

    /// The payload type `pt`; `None` above 127.
    pub const fn new(pt: u8) -> Option<Self> {
        if pt < 128 { Some(Self(pt)) } else { None }
    }

    /// The number.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The fields of an RTP header that Trestle reads and writes. CSRCs and extensions are skipped on receipt and never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// First packet of a talk spurt, or of a telephone-event.
    pub marker: bool,
    /// Payload type.
    pub pt: Pt,
    /// Sequence number.
    pub seq: Seq,
    /// Timestamp in ticks of the payload type's clock.
    pub time: RtpTime,
    /// Synchronisation source.
    pub ssrc: Ssrc,
}

impl Header {
    /// Bytes that [`Header::write`] produces: no CSRC, no extension.
    pub const LEN: usize = 12;

    /// The twelve bytes on the wire: V=2, P=0, X=0, CC=0.
    #[inline]
    pub fn write(&self) -> [u8; Self::LEN] {
        let flags = 0x8000 | u16::from(self.marker) << 7 | u16::from(self.pt.get());
        let words = [u32::from(flags) << 16 | u32::from(self.seq.0), self.time.0, self.ssrc.0];
        let mut bytes = [0; Self::LEN];
        for (word, octets) in words.into_iter().zip(bytes.as_chunks_mut::<4>().0) {
            *octets = word.to_be_bytes();
        }
        bytes
    }
}

/// A parsed RTP packet: its header, and the range of its payload in the datagram, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPacket {
    /// The header.
    pub header: Header,
    /// Bytes of the datagram that are payload; may be empty.
    pub payload: Range<usize>,
}

impl RtpPacket {
    /// Parses a whole RTP packet, plain or after decryption.
    ///
    /// # Errors
    /// [`Malformed`] if the version is not 2, or header, extension or padding do not fit.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let start = header_len(bytes)?;
        let header = read_header(bytes)?;
        let padding = if bytes[0] & 0x20 != 0 {
            // The last octet counts the padding, itself included (RFC 3550 5.1).
            let count = usize::from(*bytes.last().ok_or(Malformed)?);
            if count == 0 || count > bytes.len() - start {
                return Err(Malformed);
            }
            count
        } else {
            0
        };
        Ok(Self { header, payload: start..bytes.len() - padding })
    }
}

/// Reads the fixed header only. For SRTP, whose header is not encrypted.
///
/// # Errors
/// [`Malformed`] if there are fewer than 12 bytes, or the version is not 2.
pub fn read_header(bytes: &[u8]) -> Result<Header, Malformed> {
    let fixed: &[u8; Header::LEN] = bytes.first_chunk().ok_or(Malformed)?;
    if fixed[0] >> 6 != 2 {
        return Err(Malformed);
    }
    Ok(Header {
        marker: fixed[1] & 0x80 != 0,
        pt: Pt(fixed[1] & 0x7f),
        seq: Seq(u16::from_be_bytes([fixed[2], fixed[3]])),
        time: RtpTime(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])),
        ssrc: Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
    })
}

/// Length of the header with CSRCs and extension, in bytes: where the payload starts, and the encryption of SRTP.
///
/// # Errors
/// [`Malformed`] if the header does not fit.
pub fn header_len(bytes: &[u8]) -> Result<usize, Malformed> {
    let fixed: &[u8; Header::LEN] = bytes.first_chunk().ok_or(Malformed)?;
    let mut len = Header::LEN + 4 * usize::from(fixed[0] & 0x0f);
    if fixed[0] & 0x10 != 0 {
        // Extension: 16 bits of profile, 16 bits of length in words, then the words (RFC 3550 5.3.1).
        let words = bytes.get(len + 2..len + 4).ok_or(Malformed)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    if len > bytes.len() { Err(Malformed) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { marker: true, pt: Pt::PCMA, seq: Seq(0x1234), time: RtpTime(0xdead_beef), ssrc: Ssrc(0x0102_0304) }
    }

    #[test]
    fn a_header_reads_back_as_written() {
        let mut bytes = header().write().to_vec();
        bytes.extend_from_slice(b"payload");
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(packet.header, header());
        assert_eq!(&bytes[packet.payload], b"payload");
    }

    #[test]
    fn csrcs_extension_and_padding_are_skipped() {
        let mut bytes = header().write().to_vec();
        bytes[0] |= 0x20 | 0x10 | 2;
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        bytes.extend_from_slice(b"xy");
        bytes.extend_from_slice(&[0, 0, 3]);
        let packet = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(&bytes[packet.payload], b"xy");
    }

    #[test]
    fn short_packets_and_wrong_lengths_are_malformed() {
        let good = header().write();
        for len in 0..12 {
            assert_eq!(RtpPacket::parse(&good[..len]), Err(Malformed), "length {len}");
        }
        let with = |first: u8, tail: &[u8]| {
            let mut bytes = good.to_vec();
            bytes[0] = first;
            bytes.extend_from_slice(tail);
            RtpPacket::parse(&bytes)
        };
        assert_eq!(with(0x40, b""), Err(Malformed), "version 1");
        assert_eq!(with(0x8f, b""), Err(Malformed), "15 CSRCs, none present");
        assert_eq!(with(0x90, &[0, 0, 0xff, 0xff]), Err(Malformed), "extension longer than the packet");
        assert_eq!(with(0xa0, &[0]), Err(Malformed), "padding of zero");
        assert_eq!(with(0xa0, &[9]), Err(Malformed), "padding longer than the payload");
        assert_eq!(with(0xa0, &[1]).unwrap().payload, 12..12, "padding only");
    }
}
