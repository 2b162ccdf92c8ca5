//! Counters, limits, and what the engine holds.

use std::time::Duration;

use trestle_core::limits::{DATAGRAM_BYTES_MAX, DIGITS_MAX, LEGS_PER_CALL_MAX};
use trestle_core::report::LegReport;

use super::Checked;

/// Datagrams of one leg as the world counts them.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) rtp_received: u64,
    pub(crate) rtcp_received: u64,
    pub(crate) rtp_sent: u64,
    pub(crate) rtcp_sent: u64,
    /// The most that a plan of the leg has allowed so far.
    preroll_max: Duration,
}

impl Audit {
    /// A plan allows this much pre-roll. What was kept is reported also under a later plan that allows none.
    pub(crate) fn allow_preroll(&mut self, preroll_max: Duration) {
        self.preroll_max = self.preroll_max.max(preroll_max);
    }

    /// Checks a leg's report: what was received was taken or discarded with a reason, what was sent was counted, and queues
    /// are within their limits. A packet that is kept until it can be sent is taken.
    pub(crate) fn check(&self, report: &LegReport) -> Checked {
        let taken = [report.rtp_in.packets, report.rtcp_in.packets];
        let received = [self.rtp_received, self.rtcp_received];
        let discarded: u64 = report.discards.iter().map(|(_, count)| count).sum();
        if taken[0] > received[0] || taken[1] > received[1] {
            return Err(format!("{taken:?} RTP and RTCP packets taken of {received:?}"));
        }
        let missing = received[0] + received[1] - taken[0] - taken[1];
        if missing > discarded {
            return Err(format!("{missing} packets are neither taken nor among the {discarded} discarded"));
        }
        let (counted, sent) = ([report.rtp_out.packets, report.rtcp_out.packets], [self.rtp_sent, self.rtcp_sent]);
        if counted != sent {
            return Err(format!("{counted:?} RTP and RTCP packets counted as sent, {sent:?} were"));
        }
        let digits = report.digits_in.len().max(report.digits_out.len());
        if digits > DIGITS_MAX {
            return Err(format!("{digits} digits remembered"));
        }
        // What is kept is kept in whole frames.
        if report.preroll.kept > self.preroll_max + Duration::from_millis(120) {
            return Err(format!("{:?} of pre-roll kept, {:?} are allowed", report.preroll.kept, self.preroll_max));
        }
        Ok(())
    }
}

/// Checks the length of a sent datagram.
pub(crate) fn check_size(bytes: usize) -> Checked {
    if bytes == 0 || bytes > DATAGRAM_BYTES_MAX {
        return Err(format!("a datagram of {bytes} bytes"));
    }
    Ok(())
}

/// Checks the number of legs of a call.
pub(crate) fn check_legs(legs: usize) -> Checked {
    if legs > LEGS_PER_CALL_MAX {
        return Err(format!("{legs} legs in one call"));
    }
    Ok(())
}

/// Checks that the engine holds what the commands have left: calls, legs, and port pairs of legs. After `delete` of the last
/// call that is nothing.
pub(crate) fn check_held(held: [usize; 3], expected: [usize; 3]) -> Checked {
    if held != expected {
        return Err(format!("the engine holds {held:?} calls, legs and port pairs, the commands leave {expected:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use trestle_core::report::{Count, Preroll};
    use trestle_core::{Discard, LegId};
    use trestle_wire::Ssrc;

    use super::*;

    const AUDIT: Audit =
        Audit { rtp_received: 10, rtcp_received: 2, rtp_sent: 7, rtcp_sent: 1, preroll_max: Duration::ZERO };

    fn report() -> LegReport {
        let count = |packets| Count { packets, bytes: 0 };
        LegReport {
            leg: LegId(0),
            description: String::new(),
            local: ([203, 0, 113, 10], 20_000).into(),
            remote: None,
            remote_ssrc: None,
            local_ssrc: Ssrc(1),
            timeline: Vec::new(),
            rtp_in: count(9),
            rtp_out: count(7),
            rtcp_in: count(2),
            rtcp_out: count(1),
            discards: vec![(Discard::Duplicate, 1)],
            lost: 0,
            jitter: Duration::ZERO,
            round_trip: None,
            remote_fraction_lost: None,
            concealed_frames: 0,
            playout_delay: Duration::ZERO,
            preroll: Preroll::default(),
            filled_frames: 0,
            digits_in: String::new(),
            digits_out: String::new(),
        }
    }

    #[test]
    fn packets_that_are_neither_taken_nor_discarded_nor_counted_are_refused() {
        let check = |change: fn(&mut LegReport)| {
            let mut report = report();
            change(&mut report);
            AUDIT.check(&report)
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert!(check(|report| report.discards.clear()).is_err(), "a packet without a trace");
        assert!(check(|report| report.rtp_in.packets = 11).is_err(), "more than there were");
        assert!(check(|report| report.rtp_out.packets = 6).is_err(), "sent and not counted");
        assert!(check(|report| report.rtcp_out.packets = 2).is_err(), "counted and not sent");
        assert!(check(|report| report.digits_in = "1".repeat(DIGITS_MAX + 1)).is_err(), "too many digits");
        assert!(check(|report| report.preroll.kept = Duration::from_secs(1)).is_err(), "too much pre-roll");
    }

    #[test]
    fn datagrams_and_calls_beyond_their_limits_are_refused() {
        assert!(check_size(0).is_err() && check_size(DATAGRAM_BYTES_MAX + 1).is_err());
        assert_eq!(check_size(DATAGRAM_BYTES_MAX), Ok(()));
        assert!(check_legs(LEGS_PER_CALL_MAX + 1).is_err());
        assert_eq!(check_legs(LEGS_PER_CALL_MAX), Ok(()));
    }

    #[test]
    fn whatever_is_left_after_delete_is_refused() {
        assert_eq!(check_held([0, 0, 0], [0, 0, 0]), Ok(()));
        for left in [[1, 0, 0], [0, 1, 0], [0, 0, 1]] {
            assert!(check_held(left, [0, 0, 0]).is_err());
        }
    }
}
