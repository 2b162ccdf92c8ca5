//! RTCP packets (RFC 3550 section 6): a reader for compound packets, and a writer for the reports of Trestle.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|  count  |      PT       |    length in words, less 1    |
//! ```

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::{Malformed, NtpTime, RtpTime, Ssrc};

/// Report blocks that one packet can carry: its count field has 5 bits.
pub const REPORT_BLOCKS_MAX: usize = 31;

/// Bytes of the longest CNAME: its length field has 8 bits (RFC 3550 6.5).
pub const CNAME_BYTES_MAX: usize = 255;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// SDES item type of the CNAME (RFC 3550 6.5.1).
const CNAME_ITEM: u8 = 1;

/// A compound packet that was checked completely. Its packets are read without further errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Checks a datagram as RFC 3550 A.2 demands: version 2 throughout, a report first and not padded, padding in
    /// the last packet only, lengths that add up to the datagram. In addition, every count must fit its packet.
    ///
    /// # Errors
    /// [`Malformed`] if one of these is not met.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let first: &[u8; 2] = bytes.first_chunk().ok_or(Malformed)?;
        let padded = first[0] & 0x20 != 0;
        if padded || !matches!(first[1], SENDER_REPORT | RECEIVER_REPORT) {
            return Err(Malformed);
        }
        Self::parse_reduced_size(bytes)
    }

    /// As [`Compound::parse`], for a peer that may omit the report, since `a=rtcp-rsize` was agreed (RFC 5506): any packet may
    /// be the first, and it may be padded if it is the only one.
    ///
    /// # Errors
    /// As [`Compound::parse`].
    pub fn parse_reduced_size(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        loop {
            rest = split_packet(rest)?.1;
            if rest.is_empty() {
                return Ok(Self { bytes });
            }
        }
    }

    /// The packets, in order; at least one.
    pub fn packets(&self) -> impl Iterator<Item = RtcpPacket<'a>> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (packet, after) = split_packet(rest).ok()?;
            rest = after;
            Some(packet)
        })
    }
}

/// One packet of a compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtcpPacket<'a> {
    /// SR, of a participant that sends (RFC 3550 6.4.1).
    SenderReport {
        /// SSRC of the participant.
        ssrc: Ssrc,
        /// What it has sent so far.
        sender: SenderInfo,
        /// Its reception of other streams.
        reports: ReportBlocks<'a>,
    },
    /// RR, of a participant that only receives (RFC 3550 6.4.2).
    ReceiverReport {
        /// SSRC of the participant.
        ssrc: Ssrc,
        /// Its reception of other streams.
        reports: ReportBlocks<'a>,
    },
    /// SDES (RFC 3550 6.5), its first chunk only.
    SourceDescription {
        /// SSRC of the first chunk; `None` without chunks.
        ssrc: Option<Ssrc>,
        /// Its CNAME, if there is one. Should be UTF-8; not checked.
        cname: Option<&'a [u8]>,
    },
    /// BYE (RFC 3550 6.6).
    Bye {
        /// The SSRCs that leave; may be none.
        ssrcs: Ssrcs<'a>,
    },
    /// Another packet type, skipped: feedback, extended reports, application-defined.
    Other(u8),
}

/// The sender information of an SR (RFC 3550 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall time of the report.
    pub ntp: NtpTime,
    /// The same instant on the stream's RTP clock.
    pub rtp_time: RtpTime,
    /// RTP packets sent; wraps.
    pub packets: u32,
    /// Payload octets sent, without headers and padding; wraps.
    pub octets: u32,
}

impl SenderInfo {
    const LEN: usize = 20;

    fn read(bytes: &[u8; Self::LEN]) -> Self {
        let [n0, n1, n2, n3, n4, n5, n6, n7, t0, t1, t2, t3, p0, p1, p2, p3, o0, o1, o2, o3] = *bytes;
        Self {
            ntp: NtpTime(u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7])),
            rtp_time: RtpTime(u32::from_be_bytes([t0, t1, t2, t3])),
            packets: u32::from_be_bytes([p0, p1, p2, p3]),
            octets: u32::from_be_bytes([o0, o1, o2, o3]),
        }
    }
}

/// A report block: the reception of one stream (RFC 3550 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: Ssrc,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Loss since the start; negative with duplicates. 24 bits on the wire, where it saturates.
    pub cumulative_lost: i32,
    /// Wraps of the sequence number in the upper, the highest received in the lower 16 bits.
    pub highest_seq: u32,
    /// Interarrival jitter in ticks of the stream's clock.
    pub jitter_ticks: u32,
    /// [`NtpTime::middle`] of the last sender report received from the stream; 0 if there was none.
    pub last_sr: u32,
    /// Time since then, in 1/65,536 s; 0 if there was none. See [`crate::clock::to_dlsr`].
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    const LEN: usize = 24;

    fn read(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            ssrc: Ssrc(word(0)),
            fraction_lost: bytes[4],
            // 24 bits with a sign: shifted up as unsigned, down as signed.
            cumulative_lost: (word(4) << 8) as i32 >> 8,
            highest_seq: word(8),
            jitter_ticks: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    fn write(&self) -> [u8; Self::LEN] {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let words = [
            self.ssrc.0,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_seq,
            self.jitter_ticks,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        let mut bytes = [0; Self::LEN];
        bytes.chunks_mut(4).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_be_bytes()));
        bytes
    }

    /// Round-trip time of a block about our own stream that arrived at `now`: A - LSR - DLSR (RFC 3550 6.4.1).
    /// `None` if the peer has received no sender report yet, or states a delay longer than the report's age.
    pub fn round_trip(&self, now: NtpTime) -> Option<Duration> {
        let units = now.middle().wrapping_sub(self.last_sr).wrapping_sub(self.delay_since_last_sr);
        let plausible = self.last_sr != 0 && units < 1 << 31;
        plausible.then(|| Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16))
    }
}

/// The report blocks of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlocks<'a>(&'a [[u8; ReportBlock::LEN]]);

impl<'a> ReportBlocks<'a> {
    /// The blocks, in order.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.0.iter().map(ReportBlock::read)
    }

    /// The block about `ssrc`.
    pub fn about(&self, ssrc: Ssrc) -> Option<ReportBlock> {
        self.iter().find(|block| block.ssrc == ssrc)
    }
}

/// The SSRCs of a BYE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssrcs<'a>(&'a [[u8; 4]]);

impl<'a> Ssrcs<'a> {
    /// The SSRCs, in order.
    pub fn iter(&self) -> impl Iterator<Item = Ssrc> + use<'a> {
        self.0.iter().map(|bytes| Ssrc(u32::from_be_bytes(*bytes)))
    }
}

/// Reads the first packet of `bytes`; also returns the rest.
fn split_packet(bytes: &[u8]) -> Result<(RtcpPacket<'_>, &[u8]), Malformed> {
    let &[first, packet_type, len_high, len_low] = bytes.first_chunk().ok_or(Malformed)?;
    if first >> 6 != 2 {
        return Err(Malformed);
    }
    let len = 4 + 4 * usize::from(u16::from_be_bytes([len_high, len_low]));
    let (packet, rest) = bytes.split_at_checked(len).ok_or(Malformed)?;
    let mut body = &packet[4..];
    if first & 0x20 != 0 {
        // The last octet counts the padding, itself included, in whole words; only the last packet has any
        // (RFC 3550 6.4.1).
        let padding = usize::from(*body.last().ok_or(Malformed)?);
        if !rest.is_empty() || padding == 0 || !padding.is_multiple_of(4) {
            return Err(Malformed);
        }
        body = body.split_at_checked(body.len().wrapping_sub(padding)).ok_or(Malformed)?.0;
    }
    let count = usize::from(first & 0x1f);
    let packet = match packet_type {
        SENDER_REPORT => {
            let (ssrc, body) = split_ssrc(body)?;
            let (sender, body) = body.split_first_chunk().ok_or(Malformed)?;
            RtcpPacket::SenderReport { ssrc, sender: SenderInfo::read(sender), reports: report_blocks(body, count)? }
        }
        RECEIVER_REPORT => {
            let (ssrc, body) = split_ssrc(body)?;
            RtcpPacket::ReceiverReport { ssrc, reports: report_blocks(body, count)? }
        }
        SOURCE_DESCRIPTION => source_description(body, count)?,
        BYE => bye(body, count)?,
        other => RtcpPacket::Other(other),
    };
    Ok((packet, rest))
}

fn split_ssrc(bytes: &[u8]) -> Result<(Ssrc, &[u8]), Malformed> {
    let (ssrc, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    Ok((Ssrc(u32::from_be_bytes(*ssrc)), rest))
}

/// A profile's extension may follow the blocks (RFC 3550 6.4.3); it is skipped.
fn report_blocks(bytes: &[u8], count: usize) -> Result<ReportBlocks<'_>, Malformed> {
    bytes.as_chunks().0.get(..count).map(ReportBlocks).ok_or(Malformed)
}

/// Chunks of an SSRC and items; an item is type, length, text; type 0 ends the chunk, which is filled up with zeros to
/// a whole word (RFC 3550 6.5). Every chunk is checked; the first one is returned.
fn source_description(body: &[u8], count: usize) -> Result<RtcpPacket<'_>, Malformed> {
    let mut first = None;
    let mut rest = body;
    for _ in 0..count {
        let (ssrc, mut items) = split_ssrc(rest)?;
        let mut cname = None;
        // A last chunk that fills its packet completely may lack the type 0.
        while let Some((&kind, after)) = items.split_first() {
            if kind == 0 {
                break;
            }
            let (&len, after) = after.split_first().ok_or(Malformed)?;
            let (text, after) = after.split_at_checked(usize::from(len)).ok_or(Malformed)?;
            if kind == CNAME_ITEM && cname.is_none() {
                cname = Some(text);
            }
            items = after;
        }
        // The body has whole words, so the start of the next chunk follows from the remaining length.
        rest = if items.is_empty() { items } else { &items[(items.len() - 1) % 4 + 1..] };
        first.get_or_insert((ssrc, cname));
    }
    let (ssrc, cname) = first.unzip();
    Ok(RtcpPacket::SourceDescription { ssrc, cname: cname.flatten() })
}

/// SSRCs, then perhaps a reason as one byte of length and text (RFC 3550 6.6), which is checked and skipped.
fn bye(body: &[u8], count: usize) -> Result<RtcpPacket<'_>, Malformed> {
    let words = body.as_chunks().0;
    let ssrcs = words.get(..count).ok_or(Malformed)?;
    if let Some((&len, reason)) = body[4 * count..].split_first()
        && usize::from(len) > reason.len()
    {
        return Err(Malformed);
    }
    Ok(RtcpPacket::Bye { ssrcs: Ssrcs(ssrcs) })
}

/// The compound packet that Trestle sends on a leg: SR or RR, SDES with the CNAME, and optionally a BYE (RFC 3550 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtcpReport<'a> {
    /// SSRC of our stream.
    pub ssrc: Ssrc,
    /// `Some` makes it a sender report: media was sent since the report before the last (RFC 3550 6.4).
    pub sender: Option<SenderInfo>,
    /// Reception of the peer's streams; the first [`REPORT_BLOCKS_MAX`] are used.
    pub reports: &'a [ReportBlock],
    /// CNAME, random and the same for all streams of one session (RFC 7022). Truncated to [`CNAME_BYTES_MAX`].
    pub cname: &'a str,
    /// Add a BYE.
    pub bye: bool,
}

impl RtcpReport<'_> {
    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        let bye_len = if self.bye { 8 } else { 0 };
        self.report_len() + self.description_len() + bye_len
    }

    /// Writes the packet to the start of `buf`; returns its length in bytes. `None`, and nothing is written, if it does not fit.
    pub fn write(&self, buf: &mut [u8]) -> Option<usize> {
        let len = self.wire_len();
        let mut out = Out(buf.get_mut(..len)?);

        let reports = self.reports();
        let packet_type = if self.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
        out.header(reports.len(), packet_type, self.report_len());
        out.put(&self.ssrc.0.to_be_bytes());
        if let Some(sender) = self.sender {
            out.put(&sender.ntp.0.to_be_bytes());
            out.put(&sender.rtp_time.0.to_be_bytes());
            out.put(&sender.packets.to_be_bytes());
            out.put(&sender.octets.to_be_bytes());
        }
        reports.iter().for_each(|block| out.put(&block.write()));

        let cname = self.cname();
        out.header(1, SOURCE_DESCRIPTION, self.description_len());
        out.put(&self.ssrc.0.to_be_bytes());
        out.put(&[CNAME_ITEM, cname.len() as u8]);
        out.put(cname.as_bytes());
        out.put(&[0; 4][..chunk_fill(cname)]);

        if self.bye {
            out.header(1, BYE, 8);
            out.put(&self.ssrc.0.to_be_bytes());
        }
        Some(len)
    }

    fn report_len(&self) -> usize {
        let sender_len = if self.sender.is_some() { SenderInfo::LEN } else { 0 };
        8 + sender_len + ReportBlock::LEN * self.reports().len()
    }

    fn description_len(&self) -> usize {
        let cname = self.cname();
        8 + 2 + cname.len() + chunk_fill(cname)
    }

    fn reports(&self) -> &[ReportBlock] {
        &self.reports[..self.reports.len().min(REPORT_BLOCKS_MAX)]
    }

    fn cname(&self) -> &str {
        let mut end = self.cname.len().min(CNAME_BYTES_MAX);
        while !self.cname.is_char_boundary(end) {
            end -= 1;
        }
        &self.cname[..end]
    }
}

/// Zeros that end a chunk with this CNAME: one to four, up to a whole word (RFC 3550 6.5).
fn chunk_fill(cname: &str) -> usize {
    4 - (2 + cname.len()) % 4
}

/// A buffer of exactly the right length, filled from the start.
struct Out<'a>(&'a mut [u8]);

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (to, rest) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        to.copy_from_slice(bytes);
        self.0 = rest;
    }

    fn header(&mut self, count: usize, packet_type: u8, len: usize) {
        let words = (len / 4 - 1) as u16;
        self.put(&[0x80 | count as u8, packet_type]);
        self.put(&words.to_be_bytes());
    }
}
