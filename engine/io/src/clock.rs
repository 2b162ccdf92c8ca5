//! The only place that reads a clock: the monotonic one once for up to eight datagrams and once per wake-up, the wall clock at the start,
//! once per second, and in turns that begin late.

use std::time::{Duration, Instant, SystemTime};

use trestle_core::Epoch;

/// The present time of the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Instant {
    Instant::now()
}

/// The monotonic clock and the wall clock at one moment. A wall clock before 1970 counts as 1970.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn sample_epoch() -> Epoch {
    Epoch {
        instant: Instant::now(),
        unix: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO),
    }
}
