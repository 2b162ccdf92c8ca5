//! What a peer sends that is too much: more media or RTCP than a call has, or Trestle's own media in a ring.
//!
//! Media of this process may come back to it on purpose: a call that passes through Trestle twice. It comes at the rate of a call
//! then. In a ring the same packets pass again and again, as fast as the machine or the network can. So a stream with an SSRC
//! of this process has a budget with little margin, and is a ring once it exceeds that (docs/decisions/0020).

use std::time::{Duration, Instant};

use trestle_wire::Ssrc;

use super::audio_budget::{AudioBudget, AudioRate};
use crate::Discard;
use crate::stream::OwnSsrcs;

/// What a leg takes from its peer. A peer sends audio in real time; twice that leaves room for its clock, and for events and
/// comfort noise beside the audio. After a network was blocked, the audio of five seconds may arrive at once.
const RECEIVED: AudioRate = AudioRate { percent: 200, burst_us: 6_000_000 };

/// The same for a stream that has an SSRC of this process.
const RETURNED: AudioRate = AudioRate { percent: 125, burst_us: 2_000_000 };

/// RTCP packets that a leg takes: 50 a second, and 100 at once. A peer sends a report every few seconds; one that reports each loss and
/// the arrival of each packet (RFC 4585) sends 20 a second, and a blocked network delivers those of five seconds at once.
const REPORTED: AudioRate = AudioRate { percent: 100, burst_us: 2_000_000 };
/// What an RTCP packet uses of that.
const REPORT_US: u32 = 20_000;

/// A ring is interrupted for this long, so that packets which are under way in it are discarded. Longer than one round takes.
const INTERRUPTION: Duration = Duration::from_secs(5);

/// The budget of a leg's received media, and when it was exceeded.
#[derive(Debug)]
pub(super) struct Intake {
    own_ssrcs: OwnSsrcs,
    budget: AudioBudget,
    reports: AudioBudget,
    /// The present stream has an SSRC of this process.
    is_returned: bool,
    /// The stream is a ring, and is discarded until then.
    interrupted_until: Option<Instant>,
    flooded_at: Option<Instant>,
    ring_at: Option<Instant>,
}

impl Intake {
    pub(super) fn new(own_ssrcs: OwnSsrcs) -> Self {
        Self {
            own_ssrcs,
            budget: AudioBudget::new(RECEIVED),
            reports: AudioBudget::new(REPORTED),
            is_returned: false,
            interrupted_until: None,
            flooded_at: None,
            ring_at: None,
        }
    }

    /// A stream begins. `is_linked`: the peer is another leg of this process on purpose.
    pub(super) fn begin_stream(&mut self, now: Instant, ssrc: Ssrc, is_linked: bool) {
        self.is_returned = !is_linked && self.own_ssrcs.contains(ssrc);
        self.interrupted_until = None;
        self.budget.set_rate(now, if self.is_returned { RETURNED } else { RECEIVED });
    }

    /// True if the present stream has an SSRC of this process, or looks so.
    pub(super) fn is_returned(&self) -> bool {
        self.is_returned
    }

    /// Takes a packet that counts as `us` of audio out of the budget.
    ///
    /// # Errors
    /// [`Discard::OverBudget`] or [`Discard::Ring`] if it is too much.
    #[inline]
    pub(super) fn take(&mut self, now: Instant, us: u32) -> Result<(), Discard> {
        if self.interrupted_until.is_none() && self.budget.take(now, us) { Ok(()) } else { self.refuse(now, us) }
    }

    /// Takes an RTCP packet out of its budget.
    ///
    /// # Errors
    /// [`Discard::OverBudget`] if it is too much.
    pub(super) fn take_report(&mut self, now: Instant) -> Result<(), Discard> {
        if self.reports.take(now, REPORT_US) {
            return Ok(());
        }
        self.flooded_at = Some(now);
        Err(Discard::OverBudget)
    }

    #[cold]
    fn refuse(&mut self, now: Instant, us: u32) -> Result<(), Discard> {
        if self.interrupted_until.is_some_and(|until| until <= now) {
            self.interrupted_until = None;
            return self.take(now, us);
        }
        if !self.is_returned {
            self.flooded_at = Some(now);
            return Err(Discard::OverBudget);
        }
        self.interrupted_until.get_or_insert(now + INTERRUPTION);
        Err(self.note_ring(now))
    }

    /// A packet of a ring has arrived. Gives the reason to discard it.
    pub(super) fn note_ring(&mut self, now: Instant) -> Discard {
        self.ring_at = Some(now);
        Discard::Ring
    }

    /// When a packet was last discarded as more than a call has.
    pub(super) fn flooded_at(&self) -> Option<Instant> {
        self.flooded_at
    }

    /// When a packet was last discarded as part of a ring.
    pub(super) fn ring_at(&self) -> Option<Instant> {
        self.ring_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET_US: u32 = 20_000;

    fn intake() -> (Intake, Ssrc) {
        let own = OwnSsrcs::new(5);
        (Intake::new(own), own.make(77))
    }

    /// Packets of 20 ms that are taken in `ms`, if one comes each `every_us`; and why the last one was not.
    fn taken(intake: &mut Intake, start: Instant, ms: std::ops::Range<u64>, every_us: u64) -> (usize, Option<Discard>) {
        let mut refused = None;
        let times = (ms.start * 1_000..ms.end * 1_000).step_by(every_us as usize);
        let count = times
            .filter(|us| match intake.take(start + Duration::from_micros(*us), PACKET_US) {
                Ok(()) => true,
                Err(reason) => {
                    refused = Some(reason);
                    false
                }
            })
            .count();
        (count, refused)
    }

    #[test]
    fn media_of_this_process_passes_at_the_rate_of_a_call_and_a_ring_is_interrupted() {
        let start = Instant::now();
        let (mut intake, own) = intake();
        intake.begin_stream(start, own, false);
        assert!(intake.is_returned());
        assert_eq!(taken(&mut intake, start, 0..60_000, 20_000), (3_000, None), "a call that passes twice");
        let (count, reason) = taken(&mut intake, start, 60_000..64_000, 50);
        assert!(count <= 200, "two bursts at most, but {count}");
        assert_eq!((reason, intake.ring_at().is_some(), intake.flooded_at()), (Some(Discard::Ring), true, None));
        assert_eq!(taken(&mut intake, start, 64_000..64_900, 50), (0, Some(Discard::Ring)), "it is interrupted");
        assert_eq!(taken(&mut intake, start, 65_100..75_000, 20_000), (495, None), "then it may go on");
    }

    #[test]
    fn a_linked_call_and_a_stream_of_a_peer_have_the_budget_of_a_peer() {
        let start = Instant::now();
        for is_linked in [true, false] {
            let (mut intake, own) = intake();
            let ssrc = if is_linked { own } else { Ssrc(own.0 ^ 1) };
            intake.begin_stream(start, ssrc, is_linked);
            assert!(!intake.is_returned());
            assert_eq!(taken(&mut intake, start, 0..1, 1), (300, Some(Discard::OverBudget)));
            assert_eq!(taken(&mut intake, start, 1_000..2_000, 10_000), (100, None), "there is no interruption");
        }
    }

    #[test]
    fn a_change_of_the_ssrc_does_not_renew_the_budget() {
        let start = Instant::now();
        let (mut intake, own) = intake();
        intake.begin_stream(start, Ssrc(own.0 ^ 1), false);
        assert_eq!(taken(&mut intake, start, 0..1, 1).0, 300);
        for n in 0..100 {
            intake.begin_stream(start, Ssrc(own.0 ^ n), false);
            assert_eq!(taken(&mut intake, start, 0..1, 1).0, 0, "{n}");
        }
    }
}
