//! Instants of the monotonic clock, and their wall time.

use std::time::{Duration, Instant};

use trestle_wire::NtpTime;

/// One moment on both clocks, sampled once at the edge. All wall times are computed from it, so that a wall clock that is set
/// during a call changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// The monotonic clock at that moment.
    pub instant: Instant,
    /// The wall clock at that moment, since the Unix epoch.
    pub unix: Duration,
}

impl Epoch {
    /// Wall time at `now`, since the Unix epoch.
    pub fn unix_at(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.instant) {
            Some(after) => self.unix + after,
            None => self.unix.saturating_sub(self.instant - now),
        }
    }

    /// Wall time at `now` as an NTP timestamp, for sender reports.
    pub fn ntp_at(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(self.unix_at(now))
    }
}

/// When a datagram is handled, and how long it waited for that since it arrived at this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiveTime {
    pub(crate) now: Instant,
    pub(crate) waited: Duration,
}

impl ReceiveTime {
    /// When it arrived.
    #[inline]
    pub(crate) fn arrived(self) -> Instant {
        if self.waited.is_zero() { self.now } else { self.now.checked_sub(self.waited).unwrap_or(self.now) }
    }
}

/// The earlier of two deadlines; `None` means "never".
pub fn soonest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}
