//! When packets of a forwarded source arrive, and when filler must take their place: for peers that must get a packet per packet
//! time.

use std::time::{Duration, Instant};

use trestle_wire::{ClockRate, ExtSeq, RtpTime};

use crate::transcode::PlayoutDelay;

/// The peer gets filler this long after the last forwarded packet, or as late as the source's packets have been so far...
pub(super) const GAP_MAX: Duration = Duration::from_millis(40);
/// ...or this long while the source loses packets: the next packet may carry the redundancy that repairs the loss.
const LOSSY_GAP_MAX: Duration = Duration::from_millis(60);
/// A source counts as lossy for this long after a loss.
const LOSSY_FOR: Duration = Duration::from_secs(10);
/// The next packet is expected this long after the last.
const PACKET_US: i64 = 20_000;
/// A source that paused or jumped for longer than this is measured anew.
const STEP_US_MAX: i64 = 2_000_000;

/// Arrival times of one forwarded stream. They outlive the forwarding, so that a short gap does not cost the measurement.
#[derive(Debug)]
pub(super) struct SourceTiming {
    source: u64,
    clock: ClockRate,
    /// Instant 0 of all microseconds here.
    epoch: Instant,
    at: Instant,
    seq: ExtSeq,
    time: RtpTime,
    media_us: i64,
    delay: PlayoutDelay,
    lossy_until: Option<Instant>,
}

impl SourceTiming {
    /// Notes a forwarded packet in `timing`, which begins anew with another stream.
    pub(super) fn note(
        timing: &mut Option<Self>,
        now: Instant,
        source: u64,
        clock: ClockRate,
        seq: ExtSeq,
        time: RtpTime,
    ) {
        match timing {
            Some(known) if known.source == source && known.clock == clock => known.measure(now, seq, time),
            other => *other = Some(Self::new(now, source, clock, seq, time)),
        }
    }

    fn new(now: Instant, source: u64, clock: ClockRate, seq: ExtSeq, time: RtpTime) -> Self {
        let mut delay = PlayoutDelay::default();
        delay.restart(0, 0);
        Self { source, clock, epoch: now, at: now, seq, time, media_us: 0, delay, lossy_until: None }
    }

    fn measure(&mut self, now: Instant, seq: ExtSeq, time: RtpTime) {
        let now_us = now.saturating_duration_since(self.epoch).as_micros() as i64;
        let step_us = i64::from(self.time.distance_to(time)) * 1_000_000 / i64::from(self.clock.hz());
        let elapsed_us = now.saturating_duration_since(self.at).as_micros() as i64;
        if seq.0 > self.seq.0 + 1 {
            self.lossy_until = now.checked_add(LOSSY_FOR);
        }
        if (elapsed_us - step_us).abs() > STEP_US_MAX {
            self.delay.restart(now_us, self.media_us + step_us);
        } else {
            self.delay.observe(now_us, self.media_us + step_us);
        }
        if seq > self.seq {
            (self.seq, self.time, self.media_us) = (seq, time, self.media_us + step_us);
        }
        self.at = now;
    }

    /// When the source counts as silent: the peer then gets filler.
    pub(super) fn gap_at(&self) -> Option<Instant> {
        let lossy = self.lossy_until.is_some_and(|until| self.at < until);
        let even = self.at.checked_add(if lossy { LOSSY_GAP_MAX } else { GAP_MAX })?;
        if !self.delay.is_learnt() {
            return Some(even);
        }
        let late_us = self.delay.expected_us(self.media_us + PACKET_US) + self.delay.delay_us();
        let late = self.epoch.checked_add(Duration::from_micros(u64::try_from(late_us).unwrap_or(0)))?;
        Some(even.max(late))
    }
}
