//! How long WhatsApp's app waits for the business before it hangs up.

use std::time::{Duration, Instant};

use crate::Report;

/// The app's two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the acceptance to the first RTP packet.
    pub first: Duration,
    /// From one RTP or RTCP packet to the next, once there was one.
    pub later: Duration,
}

impl Patience {
    /// As Meta's troubleshooting pages tell it.
    pub const METAS: Self = Self { first: Duration::from_secs(20), later: Duration::from_secs(30) };
}

/// Why the app hung up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    /// The transport never connected: Meta's error 138023.
    NoConnection,
    /// It connected, and no RTP came after the acceptance: Meta's error 138021.
    NoMedia,
    /// Media came, and then neither RTP nor RTCP: Meta's error 138021 as well.
    MediaStopped,
}

impl GaveUp {
    /// The error code in the web hook that reports it.
    pub fn code(self) -> u32 {
        match self {
            Self::NoConnection => 138_023,
            Self::NoMedia | Self::MediaStopped => 138_021,
        }
    }
}

/// One call's waiting. It starts with the acceptance.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waiting {
    patience: Option<(Patience, Instant)>,
    pub(crate) gave_up: Option<(Instant, GaveUp)>,
}

impl Waiting {
    pub(crate) fn start(&mut self, now: Instant, patience: Patience) {
        self.patience.get_or_insert((patience, now));
    }

    /// When patience ends if nothing comes.
    pub(crate) fn deadline(&self, report: &Report) -> Option<Instant> {
        let (patience, since) = self.patience.filter(|_| self.gave_up.is_none())?;
        // Packets from before the acceptance were not played.
        match report.last_rtp_at.filter(|at| *at >= since) {
            None => Some(since + patience.first),
            Some(rtp) => Some(rtp.max(report.last_rtcp_at.unwrap_or(rtp)) + patience.later),
        }
    }

    /// Gives up if it is time to.
    pub(crate) fn look(&mut self, now: Instant, report: &Report, connected: bool) {
        if self.deadline(report).is_some_and(|deadline| now >= deadline) {
            let since = self.patience.map(|(_, since)| since);
            let received = report.last_rtp_at.is_some_and(|at| Some(at) >= since);
            let why = match (connected, received) {
                (false, _) => GaveUp::NoConnection,
                (true, false) => GaveUp::NoMedia,
                (true, true) => GaveUp::MediaStopped,
            };
            self.gave_up = Some((now, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_are_20_s_to_the_first_packet_and_30_s_from_the_last() {
        #[allow(clippy::disallowed_methods, reason = "a test has to begin some time")]
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        // RTP and RTCP in seconds after the acceptance at 10 s; connected; when it is over, and why.
        for (rtp, rtcp, connected, ends, why) in [
            (None, None, false, 30, GaveUp::NoConnection),
            (None, None, true, 30, GaveUp::NoMedia),
            (Some(5), None, true, 30, GaveUp::NoMedia),
            (None, Some(25), true, 30, GaveUp::NoMedia),
            (Some(15), None, true, 45, GaveUp::MediaStopped),
            (Some(15), Some(40), true, 70, GaveUp::MediaStopped),
            (Some(40), Some(15), true, 70, GaveUp::MediaStopped),
        ] {
            let mut waiting = Waiting::default();
            let report = Report { last_rtp_at: rtp.map(at), last_rtcp_at: rtcp.map(at), ..Report::default() };
            waiting.look(at(1_000), &report, connected);
            assert_eq!(waiting.gave_up, None, "the call was not accepted");
            waiting.start(at(10), Patience::METAS);
            assert_eq!(waiting.deadline(&report), Some(at(ends)));
            waiting.look(at(ends) - Duration::from_millis(1), &report, connected);
            assert_eq!(waiting.gave_up, None, "{why:?} too early");
            waiting.look(at(ends), &report, connected);
            assert_eq!(waiting.gave_up, Some((at(ends), why)));
            assert_eq!(waiting.deadline(&report), None);
        }
    }
}
