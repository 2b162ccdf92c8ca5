//! RTCP of a peer that holds its own keys: SR, RR and SDES out, what the judge wants to know in (RFC 3550 section 6).

use std::time::{Duration, Instant};

use crate::Report;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;

/// What a peer sends a report about: its own stream so far.
pub(crate) struct Sent {
    pub(crate) ssrc: u32,
    /// RTP timestamp of now; `None` if nothing was sent, which makes it a receiver report.
    pub(crate) time: Option<u32>,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// What a peer reports about the stream that it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RtcpReportBlock {
    pub(crate) ssrc: u32,
    pub(crate) lost: i32,
    /// Highest extended sequence number.
    pub(crate) highest: u32,
    /// In ticks.
    pub(crate) jitter: u32,
    /// Middle of the last SR's NTP time, and 1/65,536 s since then.
    pub(crate) last_sr: (u32, u32),
}

/// NTP time of a peer at `since_start`. Peers know no wall clock; theirs starts in 2024.
pub(crate) fn ntp(since_start: Duration) -> u64 {
    const STARTED: u64 = 3_913_056_000;
    let fraction = (u64::from(since_start.subsec_nanos()) << 32) / 1_000_000_000;
    ((STARTED + since_start.as_secs()) << 32) | fraction
}

/// A compound packet: SR or RR, then SDES with the CNAME.
pub(crate) fn compound(sent: &Sent, ntp: u64, block: Option<RtcpReportBlock>, cname: &str) -> Vec<u8> {
    let mut body = sent.ssrc.to_be_bytes().to_vec();
    if let Some(time) = sent.time {
        body.extend_from_slice(&ntp.to_be_bytes());
        body.extend_from_slice(&time.to_be_bytes());
        body.extend_from_slice(&sent.packets.to_be_bytes());
        body.extend_from_slice(&sent.bytes.to_be_bytes());
    }
    if let Some(block) = block {
        body.extend_from_slice(&block.ssrc.to_be_bytes());
        // Fraction lost is left at 0; the cumulative number is sufficient.
        body.extend_from_slice(&(block.lost.clamp(0, 0x7f_ffff)).to_be_bytes());
        for word in [block.highest, block.jitter, block.last_sr.0, block.last_sr.1] {
            body.extend_from_slice(&word.to_be_bytes());
        }
    }
    let mut packet = Vec::new();
    part(&mut packet, if sent.time.is_some() { SR } else { RR }, u8::from(block.is_some()), &body);
    let mut item = sent.ssrc.to_be_bytes().to_vec();
    item.extend_from_slice(&[1, cname.len() as u8]);
    item.extend_from_slice(cname.as_bytes());
    // The list of items ends with at least one zero octet, padded to 32 bits.
    item.resize((item.len() + 1).next_multiple_of(4), 0);
    part(&mut packet, SDES, 1, &item);
    packet
}

fn part(packet: &mut Vec<u8>, kind: u8, count: u8, body: &[u8]) {
    packet.extend_from_slice(&[0x80 | count, kind]);
    packet.extend_from_slice(&((body.len() / 4) as u16).to_be_bytes());
    packet.extend_from_slice(body);
}

/// An SR that came: NTP time and RTP timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderReportInfo {
    pub(crate) ntp: u64,
    pub(crate) time: u32,
}

/// Counts a compound packet into `report`; `ours` is the SSRC whose report blocks matter. Gives the SR's contents.
/// A part that is too short ends the reading.
pub(crate) fn read(mut packet: &[u8], ours: u32, report: &mut Report) -> Option<SenderReportInfo> {
    let mut info = None;
    while let Some(head) = packet.first_chunk::<4>() {
        let len = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(body) = packet.get(4..len) else { break };
        match head[1] {
            SR => {
                report.sender_reports += 1;
                if let Some(sr) = body.get(4..16) {
                    let word = |at: usize| u32::from_be_bytes([sr[at], sr[at + 1], sr[at + 2], sr[at + 3]]);
                    info = Some(SenderReportInfo { ntp: u64::from(word(0)) << 32 | u64::from(word(4)), time: word(8) });
                }
                read_blocks(body.get(24..).unwrap_or_default(), ours, report);
            }
            RR => read_blocks(body.get(4..).unwrap_or_default(), ours, report),
            BYE => report.byes += 1,
            _ => {}
        }
        packet = &packet[len..];
    }
    info
}

fn read_blocks(blocks: &[u8], ours: u32, report: &mut Report) {
    for block in blocks.chunks_exact(24).filter(|block| block[..4] == ours.to_be_bytes()) {
        // 24 bits, signed.
        let lost = i32::from_be_bytes([block[5], block[6], block[7], 0]) >> 8;
        report.reception_reports += 1;
        report.reported_lost = Some(lost);
    }
}

/// When reports are due: the first after a second, then every five (RFC 3550 6.2, without its randomness).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) next_at: Instant,
}

impl Schedule {
    pub(crate) const FIRST: Duration = Duration::from_secs(1);
    pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

    pub(crate) fn new(now: Instant) -> Self {
        Self { next_at: now + Self::FIRST }
    }

    /// True if a report is due; the next one is then set.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        if now < self.next_at {
            return false;
        }
        self.next_at = now + Self::INTERVAL;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_written() {
        let sent = Sent { ssrc: 7, time: Some(1_234), packets: 5, bytes: 800 };
        let block = RtcpReportBlock { ssrc: 9, lost: 3, highest: 77, jitter: 8, last_sr: (1, 2) };
        let packet = compound(&sent, ntp(Duration::from_millis(1_500)), Some(block), "me@here");
        assert_eq!(packet.len() % 4, 0);
        let mut report = Report::default();
        let info = read(&packet, 9, &mut report).unwrap();
        assert_eq!((info.time, info.ntp as u32), (1_234, 0x8000_0000));
        assert_eq!((report.sender_reports, report.reception_reports, report.reported_lost), (1, 1, Some(3)));
        let mut report = Report::default();
        read(&packet, 8, &mut report);
        assert_eq!(report.reception_reports, 0, "a block about another stream does not count");
    }

    #[test]
    fn without_media_it_is_a_receiver_report() {
        let sent = Sent { ssrc: 7, time: None, packets: 0, bytes: 0 };
        let packet = compound(&sent, 0, None, "");
        assert_eq!(packet[1], RR);
        let mut report = Report::default();
        assert_eq!(read(&packet, 9, &mut report), None);
        assert_eq!(report.sender_reports, 0);
    }

    #[test]
    fn a_short_packet_ends_the_reading() {
        let mut report = Report::default();
        for packet in [&[][..], &[0x80, SR], &[0x81, SR, 0, 9, 1, 2], &[0x80, SR, 0, 0], &[0x81, RR, 0, 1, 0, 0, 0, 1]]
        {
            assert_eq!(read(packet, 1, &mut report), None, "{packet:?}");
        }
        assert_eq!(report.reception_reports, 0);
    }
}
