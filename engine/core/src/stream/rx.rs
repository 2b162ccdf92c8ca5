//! One received SSRC: extends its sequence numbers and counts for a report block (RFC 3550 A.1, A.3, A.8).

use std::time::{Duration, Instant};

use trestle_wire::clock::to_dlsr;
use trestle_wire::rtcp::ReportBlock;
use trestle_wire::rtp::Header;
use trestle_wire::{ClockRate, ExtSeq, NtpTime, RtpTime, Seq, Ssrc};

use crate::Discard;

/// A jump forward by more than this is not loss: the sender has restarted (RFC 3550 A.1, `MAX_DROPOUT`).
const DROPOUT_MAX: i32 = 3_000;
/// A packet further behind the highest number than this is not late: the sender has restarted (RFC 3550 A.1,
/// `MAX_MISORDER`). Less than the bits of [`StreamRx::seen`], so that a late packet can be distinguished from a duplicate.
const MISORDER_MAX: i32 = 100;

/// Reception of one SSRC.
#[derive(Debug, Clone)]
pub struct StreamRx {
    ssrc: Ssrc,
    /// `None` until the first packet.
    highest: Option<ExtSeq>,
    /// Timestamp of the packet with the highest number.
    newest_time: Option<RtpTime>,
    /// First number of the present run of numbers; a jump begins a new run.
    base: ExtSeq,
    /// Bit `i` is set if `highest - i` has arrived.
    seen: u128,
    /// The number that confirms that the sender jumped (RFC 3550 A.1, `bad_seq`).
    after_jump: Option<Seq>,
    /// Packets expected in earlier runs.
    expected_before: u64,
    received: u64,
    duplicates: u64,
    jitter: JitterEstimate,
    /// Expected and received at the last report (RFC 3550 A.3).
    at_report: (u64, u64),
    /// Middle bits of the last sender report's NTP time, and when it arrived.
    last_sr: Option<(u32, Instant)>,
}

/// Interarrival jitter (RFC 3550 A.8), in nanoseconds so that a change of the clock rate does not distort it.
#[derive(Debug, Clone, Default)]
struct JitterEstimate {
    previous: Option<(Instant, RtpTime)>,
    clock: Option<ClockRate>,
    /// Sixteen times the jitter.
    jitter_x16_ns: u64,
}

impl StreamRx {
    /// A stream before its first packet.
    pub fn new(ssrc: Ssrc) -> Self {
        Self {
            ssrc,
            highest: None,
            newest_time: None,
            base: ExtSeq::default(),
            seen: 0,
            after_jump: None,
            expected_before: 0,
            received: 0,
            duplicates: 0,
            jitter: JitterEstimate::default(),
            at_report: (0, 0),
            last_sr: None,
        }
    }

    /// Takes an audio packet whose timestamp counts in `clock`; returns its extended number. A late packet's number is at most
    /// the misorder limit below the highest; after a jump the count of wraps is one higher.
    ///
    /// # Errors
    /// [`Discard::Duplicate`] if the number has arrived before. [`Discard::SequenceJump`] for the first packet after a jump, which
    /// is accepted when the next packet follows it (RFC 3550 A.1); a number that decreases while the timestamp increases is a
    /// jump, too.
    pub fn accept(&mut self, now: Instant, header: &Header, clock: ClockRate) -> Result<ExtSeq, Discard> {
        let highest = self.highest;
        let seq =
            self.number(header.seq, self.newest_time.is_some_and(|newest| newest.distance_to(header.time) > 0))?;
        if highest.is_none_or(|highest| seq > highest) {
            self.newest_time = Some(header.time);
        }
        self.jitter.observe(now, header.time, clock);
        Ok(seq)
    }

    /// Takes a telephone-event packet: numbered with the audio, but its timestamp is constant and shows no jitter.
    ///
    /// # Errors
    /// As [`StreamRx::accept`].
    pub fn accept_event(&mut self, header: &Header) -> Result<ExtSeq, Discard> {
        self.number(header.seq, false)
    }

    fn number(&mut self, seq: Seq, is_newer: bool) -> Result<ExtSeq, Discard> {
        let Some(highest) = self.highest else {
            self.begin_run(ExtSeq(1 << 16 | u64::from(seq.0)));
            return Ok(self.base);
        };
        let distance = i32::from(highest.wire().distance_to(seq));
        let plausible = if is_newer { 1..=DROPOUT_MAX } else { -MISORDER_MAX..=DROPOUT_MAX };
        if !plausible.contains(&distance) || distance < 0 && self.after_jump == Some(seq) {
            if self.after_jump != Some(seq) {
                self.after_jump = Some(seq.next());
                return Err(Discard::SequenceJump);
            }
            self.expected_before = self.expected();
            // The next cycle of wraps, so that numbers still grow.
            self.begin_run(ExtSeq(((highest.0 >> 16) + 1) << 16 | u64::from(seq.0)));
            return Ok(self.base);
        }
        self.after_jump = None;
        self.received += 1;
        let extended = ExtSeq(highest.0.saturating_add_signed(distance.into()));
        if distance > 0 {
            self.highest = Some(extended);
            self.seen =
                if distance == 1 { self.seen << 1 } else { self.seen.checked_shl(distance as u32).unwrap_or(0) } | 1;
            return Ok(extended);
        }
        let bit = 1 << -distance;
        if self.seen & bit != 0 {
            self.duplicates += 1;
            return Err(Discard::Duplicate);
        }
        self.seen |= bit;
        // A late predecessor of the first packet belongs to the run as well.
        self.base = self.base.min(extended);
        Ok(extended)
    }

    fn begin_run(&mut self, first: ExtSeq) {
        self.highest = Some(first);
        self.base = first;
        self.seen = 1;
        self.after_jump = None;
        self.received += 1;
        self.jitter.previous = None;
    }

    /// Notes a sender report from the peer, for LSR and DLSR (RFC 3550 section 6.4.1).
    pub fn sender_report(&mut self, now: Instant, ntp: NtpTime) {
        self.last_sr = Some((ntp.middle(), now));
    }

    /// The figures for a report block; the interval since the last report then begins anew. `None` before the first packet.
    pub fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let highest = self.highest?;
        let (expected, received) = (self.expected(), self.received);
        let (expected_before, received_before) = std::mem::replace(&mut self.at_report, (expected, received));
        let interval = expected.saturating_sub(expected_before);
        let lost = interval.saturating_sub(received - received_before);
        let fraction = (lost << 8).checked_div(interval).unwrap_or(0).min(255);
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction as u8,
            cumulative_lost: self.lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
            // The count of wraps begins at one internally, see ExtSeq.
            highest_seq: highest.0.saturating_sub(1 << 16) as u32,
            jitter_ticks: self.jitter.clock.map_or(0, |clock| clock.ticks(self.jitter())),
            last_sr: self.last_sr.map_or(0, |(middle, _)| middle),
            delay_since_last_sr: self.last_sr.map_or(0, |(_, at)| to_dlsr(now.saturating_duration_since(at))),
        })
    }

    /// SSRC of the stream.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Packets expected (RFC 3550 A.3).
    pub fn expected(&self) -> u64 {
        let run = self.highest.map_or(0, |highest| highest.0 - self.base.0 + 1);
        self.expected_before + run
    }

    /// Packets received, including duplicates.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Duplicates received.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Expected minus received (RFC 3550 A.3); negative with duplicates.
    pub fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }

    /// Interarrival jitter (RFC 3550 A.8).
    pub fn jitter(&self) -> Duration {
        Duration::from_nanos(self.jitter.jitter_x16_ns >> 4)
    }
}

impl JitterEstimate {
    fn observe(&mut self, now: Instant, time: RtpTime, clock: ClockRate) {
        let same_clock = self.clock.replace(clock) == Some(clock);
        let Some((before, time_before)) = self.previous.replace((now, time)) else { return };
        let ticks = time_before.distance_to(time);
        if !same_clock || ticks == 0 {
            return;
        }
        let elapsed = i64::try_from(now.saturating_duration_since(before).as_nanos()).unwrap_or(i64::MAX);
        let sent = i64::from(ticks) * 1_000_000_000 / i64::from(clock.hz());
        let difference = elapsed.saturating_sub(sent).unsigned_abs();
        // A jump of the timestamp is not jitter: it would dominate the figure for minutes.
        if difference > 10_000_000_000 {
            return;
        }
        // J += (|D| - J) / 16
        self.jitter_x16_ns = self.jitter_x16_ns + difference - (self.jitter_x16_ns >> 4);
    }
}

#[cfg(test)]
mod tests;
