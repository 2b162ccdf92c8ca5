//! The log of refused sources: bounded, so that no sender can fill the disk.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time between two lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Reports refused sources of one listener: the first at once, then one in ten seconds, with the number since the last line.
#[derive(Debug)]
pub struct RefusalLog {
    listener: &'static str,
    silent_until: Option<Instant>,
    since: u64,
}

impl RefusalLog {
    /// No refusal yet. `listener` is the configuration key.
    pub fn new(listener: &'static str) -> Self {
        Self { listener, silent_until: None, since: 0 }
    }

    /// Notes that something from `peer` was refused, for `reason`.
    pub fn note(&mut self, now: Instant, peer: SocketAddr, reason: impl Display) {
        self.since += 1;
        if self.silent_until.is_some_and(|until| now < until) {
            return;
        }
        tracing::warn!(%peer, listener = self.listener, refused = self.since, "{reason}");
        (self.silent_until, self.since) = (Some(now + LOG_EVERY), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_once_in_ten_seconds() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do; the test does not advance it")]
        let start = Instant::now();
        let (mut log, peer) = (RefusalLog::new("listen-ng"), SocketAddr::from(([192, 0, 2, 1], 9)));
        for (after, since) in [(0, 0), (1, 1), (9, 2), (10, 0), (11, 1)] {
            log.note(start + Duration::from_secs(after), peer, "refused");
            assert_eq!(log.since, since, "{after}");
        }
    }
}
