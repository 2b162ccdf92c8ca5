//! How long datagrams waited in the queues of their sockets while the thread was late.
//!
//! The kernel stamps each datagram with the wall clock when it arrives (`SO_TIMESTAMPNS`). The stamps are read only in turns that begin
//! late: in the others no datagram has waited for longer than a turn. The wall clock may be set meanwhile, so a stamp counts only if
//! the time it gives is possible, by the wall clock as it is now or as it ran before.

use std::time::{Duration, Instant};

use trestle_core::Epoch;

/// A turn that begins so long after the last one may find old datagrams.
const LATE: Duration = Duration::from_millis(50);
/// Stamps and clocks may disagree by this.
const SLACK: Duration = Duration::from_millis(50);
/// The wall clock is compared with the monotonic clock so often.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Computes how long datagrams have waited.
#[derive(Debug)]
pub(crate) struct QueueTime {
    /// When the last turn began.
    last_turn: Instant,
    /// While datagrams may have waited: when the last turn before that began.
    late_since: Option<Instant>,
    /// This turn began late: what the poller reported may be from before the thread was stopped.
    is_report_old: bool,
    /// A datagram of this turn has waited.
    has_waited: bool,
    /// Both clocks before the thread was late.
    before: Epoch,
    /// Both clocks now; valid while the thread is late.
    present: Epoch,
}

impl QueueTime {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            last_turn: epoch.instant,
            late_since: None,
            is_report_old: false,
            has_waited: false,
            before: epoch,
            present: epoch,
        }
    }

    /// A turn begins at `now`, after the poller has reported sockets. `sample` reads both clocks.
    pub(crate) fn begin_turn(&mut self, now: Instant, sample: impl FnOnce() -> Epoch) {
        self.is_report_old = now.saturating_duration_since(self.last_turn) >= LATE;
        if self.is_report_old {
            self.late_since.get_or_insert(self.last_turn);
        }
        self.last_turn = now;
        self.has_waited = false;
        if self.late_since.is_some() {
            self.present = sample();
        } else if now.saturating_duration_since(self.before.instant) >= SAMPLE_EVERY {
            self.before = sample();
        }
    }

    /// True if stamps are to be read in this turn.
    pub(crate) fn is_late(&self) -> bool {
        self.late_since.is_some()
    }

    /// How long a datagram with this stamp (since the Unix epoch) has waited; zero if the stamp is not plausible.
    pub(crate) fn waited(&mut self, stamp: Option<Duration>) -> Duration {
        let (Some(stamp), Some(since)) = (stamp, self.late_since) else { return Duration::ZERO };
        let now = self.present.instant;
        let longest = now.saturating_duration_since(since) + SLACK;
        let wall_clocks = [self.present.unix, self.before.unix_at(now)];
        let possible = wall_clocks.into_iter().filter_map(|wall| match wall.checked_sub(stamp) {
            Some(waited) => Some(waited).filter(|waited| *waited <= longest),
            None => Some(Duration::ZERO).filter(|_| stamp - wall <= SLACK),
        });
        let waited = possible.min().unwrap_or(Duration::ZERO);
        self.has_waited |= waited >= LATE;
        waited
    }

    /// The turn has read the first datagram of each reported socket. `is_all_reported` is true if the poller had no others.
    pub(crate) fn end_turn(&mut self, is_all_reported: bool) {
        if !self.has_waited && !self.is_report_old && is_all_reported {
            self.late_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A thread that begins a turn every 20 ms until 2 s, and then at 2 s + `stall`. The wall clock shows `wall(t)` at `t` ms.
    /// Gives how long datagrams with the `stamps` have waited, in ms.
    fn waited(stall: u64, wall: impl Fn(u64) -> u64, stamps: &[u64]) -> Vec<u128> {
        let start = crate::clock::now();
        let epoch = |t: u64| Epoch { instant: start + ms(t), unix: ms(wall(t)) };
        let mut time = QueueTime::new(epoch(0));
        for t in (0..=2_000).step_by(20) {
            time.begin_turn(start + ms(t), || epoch(t));
            assert!(!time.is_late(), "at {t}");
            time.end_turn(true);
        }
        let now = 2_000 + stall;
        time.begin_turn(start + ms(now), || epoch(now));
        stamps.iter().map(|stamp| time.waited(Some(ms(*stamp))).as_millis()).collect()
    }

    #[test]
    fn datagrams_have_waited_since_their_stamp() {
        let steady = |t: u64| 10 * DAY + t;
        assert_eq!(waited(5_000, steady, &[steady(2_010), steady(4_500), steady(6_990)]), [4_990, 2_500, 10]);
        assert_eq!(waited(200, steady, &[steady(2_010), steady(2_190)]), [190, 10]);
    }

    #[test]
    fn a_wall_clock_that_is_set_makes_no_live_datagram_old_and_no_old_one_live() {
        for (name, step) in
            [("forward 1 h", 3_600_000i64), ("back 1 d", -(DAY as i64)), ("forward 20 y", 7_300 * DAY as i64)]
        {
            for set_at in [500, 1_990, 4_000, 6_995] {
                let wall = |t: u64| (10 * DAY + t).saturating_add_signed(if t >= set_at { step } else { 0 });
                let stamps = [2_010, 3_990, 4_010, 6_990, 6_999].map(wall);
                assert_eq!(waited(5_000, wall, &stamps), [4_990, 3_010, 2_990, 10, 1], "{name} at {set_at} ms");
            }
        }
    }

    #[test]
    fn a_stamp_that_no_clock_explains_or_none_means_no_wait() {
        let steady = |t: u64| 10 * DAY + t;
        assert_eq!(waited(5_000, steady, &[0, steady(1_000), steady(8_000), u64::from(u32::MAX)]), [0, 0, 0, 0]);
        let start = crate::clock::now();
        let mut time = QueueTime::new(Epoch { instant: start, unix: ms(DAY) });
        assert_eq!(time.waited(Some(ms(1))), Duration::ZERO);
        time.begin_turn(start + ms(60), || Epoch { instant: start + ms(60), unix: ms(DAY + 60) });
        assert!(time.is_late());
        assert_eq!(time.waited(None), Duration::ZERO);
    }

    #[test]
    fn stamps_are_read_until_no_socket_has_an_old_datagram() {
        let start = crate::clock::now();
        let epoch = |t: u64| Epoch { instant: start + ms(t), unix: ms(DAY + t) };
        let mut time = QueueTime::new(epoch(0));
        let mut turn = |t: u64, stamp: u64, is_all_reported| {
            time.begin_turn(start + ms(t), || epoch(t));
            let reads = time.is_late();
            time.waited(Some(ms(DAY + stamp)));
            time.end_turn(is_all_reported);
            reads
        };
        assert!(!turn(10, 9, true));
        assert!(turn(1_000, 100, true), "late");
        assert!(turn(1_001, 120, true), "old datagrams were found");
        assert!(turn(1_002, 990, false));
        assert!(turn(1_003, 999, true), "there may be others");
        assert!(!turn(1_004, 1_000, true));
        assert!(turn(3_000, 2_999, true), "late again");
        assert!(turn(3_001, 3_000, true), "what is read first may have been reported before");
        assert!(!turn(3_002, 3_001, true));
    }
}
