//! RTP timestamps of one sent stream: they never go back, and they do not run ahead of wall time.

use std::time::{Duration, Instant};

use trestle_wire::{ClockRate, RtpTime};

use super::Checked;

/// A forwarded source may run this much ahead of wall time from one packet to the next before its timestamps are mapped
/// anew (`AHEAD_MAX` of `core/stream/tx.rs`, and some packets in flight).
const AHEAD_MAX: Duration = Duration::from_millis(2_500);

/// The newest timestamp sent, and how far timestamps have been ahead of wall time.
#[derive(Debug)]
struct SentLine {
    newest: RtpTime,
    clock: ClockRate,
    since: Instant,
    /// Ticks since the first packet.
    ticks: u64,
    /// Microseconds; behind a packet that was sent late, the next ones may only come up to this again.
    ahead_max_us: i64,
}

/// The timestamps of one sent stream.
#[derive(Debug, Default)]
pub(crate) struct SentTimes(Option<SentLine>);

impl SentTimes {
    /// Checks the timestamp of a packet with a new highest sequence number.
    pub(crate) fn check(&mut self, now: Instant, time: RtpTime, clock: ClockRate) -> Checked {
        let first = SentLine { newest: time, clock, since: now, ticks: 0, ahead_max_us: 0 };
        let line = self.0.get_or_insert(first);
        let step = line.newest.distance_to(time);
        if step < 0 {
            return Err(format!("the RTP timestamp goes back by {} ticks", -i64::from(step)));
        }
        if clock != line.clock {
            // With another clock the ticks up to the change count in the old one (RFC 7160).
            *line = SentLine { newest: time, clock, since: now, ticks: 0, ahead_max_us: 0 };
            return Ok(());
        }
        line.newest = time;
        line.ticks += u64::from(step.unsigned_abs());
        let stamped_us = line.ticks as i64 * 1_000_000 / i64::from(clock.hz());
        let ahead_us = stamped_us - (now - line.since).as_micros() as i64;
        let jump_us = ahead_us - line.ahead_max_us;
        line.ahead_max_us = line.ahead_max_us.max(ahead_us);
        if jump_us > AHEAD_MAX.as_micros() as i64 {
            return Err(format!("the RTP timestamp jumps {} ms ahead of wall time", jump_us / 1_000));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_that_go_back_or_run_ahead_are_refused() {
        let now = crate::instant_zero();
        let check = |steps: &[(u64, u32)]| -> Checked {
            let mut times = SentTimes::default();
            let mut packets = steps.iter();
            packets.try_for_each(|(ms, time)| {
                times.check(now + Duration::from_millis(*ms), RtpTime(*time), ClockRate::HZ_8000)
            })
        };
        assert_eq!(check(&[(0, u32::MAX - 79), (20, 80), (40, 80), (9_000, 71_760)]), Ok(()));
        assert_eq!(check(&[(0, 0), (4_000, 0), (4_000, 32_000)]), Ok(()), "audio behind an event of 4 s");
        assert_eq!(check(&[(0, 0), (4_000, 160), (4_020, 32_160)]), Ok(()), "audio behind a packet that was late");
        assert!(check(&[(0, 1_000), (20, 999)]).is_err(), "one tick back");
        assert!(check(&[(0, 1_000), (20, 41_000)]).is_err(), "5 s ahead");
    }
}
