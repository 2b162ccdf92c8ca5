//! RTP timestamps of one sent stream: they never go back, and they do not run ahead of wall time.

use std::time::{Duration, Instant};

use trestle_wire::{ClockRate, RtpTime};

use super::Checked;

/// A forwarded source may run this much ahead of wall time from one packet to the next before its timestamps are mapped
/// anew (`AHEAD_MAX` of `core/stream/tx.rs`, and some packets in flight).
const AHEAD_MAX: Duration = Duration::from_millis(2_500);

/// The newest timestamp sent, its clock, and when it was sent first.
#[derive(Debug, Default)]
pub(crate) struct SentTimes(Option<(RtpTime, ClockRate, Instant)>);

impl SentTimes {
    /// Checks the timestamp of a packet with a new highest sequence number.
    pub(crate) fn check(&mut self, now: Instant, time: RtpTime, clock: ClockRate) -> Checked {
        let Some((newest, old_clock, at)) = self.0.replace((time, clock, now)) else { return Ok(()) };
        let step = newest.distance_to(time);
        if step == 0 {
            // Packets of an event that goes on: its time began with the first of them.
            self.0 = Some((newest, old_clock, at));
        }
        if step < 0 {
            return Err(format!("the RTP timestamp goes back by {} ticks", -i64::from(step)));
        }
        // With another clock the ticks up to the change count in the old one (RFC 7160).
        let ahead = clock.duration(step as u32).saturating_sub(now - at);
        if ahead > AHEAD_MAX && clock == old_clock {
            return Err(format!("the RTP timestamp jumps {} ms ahead of wall time", ahead.as_millis()));
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
        assert!(check(&[(0, 1_000), (20, 999)]).is_err(), "one tick back");
        assert!(check(&[(0, 1_000), (20, 41_000)]).is_err(), "5 s ahead");
    }
}
