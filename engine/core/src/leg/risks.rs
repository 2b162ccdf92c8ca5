//! What may end a call if it lasts: nothing sent, nothing received, ICE or DTLS without progress.
//!
//! Packets do not come here: risks are checked at deadlines and after changes of the leg, by the times of its last packets.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::time::soonest;
use crate::{EventKind, LegId, Milestone, Risk};

const fn s<const N: usize>(seconds: [u64; N]) -> [Duration; N] {
    let mut steps = [Duration::ZERO; N];
    let mut n = 0;
    while n < N {
        steps[n] = Duration::from_secs(seconds[n]);
        n += 1;
    }
    steps
}

/// WhatsApp ends a call after 20 s without media from Trestle. Two alarms come before that, the second with 5 s left to act.
const NOTHING_SENT: [Duration; 2] = s([10, 15]);
/// Phones send from the first moment, even in silence. Two alarms, because a call that is one-way from its beginning has no other.
const NOTHING_RECEIVED: [Duration; 2] = s([10, 20]);
/// WhatsApp ends a call after 30 s of silence in its middle, so the last step names the cause of the end. Phones that suppress
/// silence send nothing for seconds.
const FELL_SILENT: [Duration; 3] = s([10, 20, 30]);
/// A peer that has our SDP answers within a round trip; signalling may take a second or two to deliver it.
const ICE_STUCK: [Duration; 3] = s([5, 10, 20]);
/// A handshake takes two round trips; a lost flight was repeated five times by then.
const DTLS_STUCK: [Duration; 3] = s([2, 5, 10]);

/// Reported at once, and again while it lasts.
const AT_ONCE: [Duration; 3] = s([0, 10, 60]);
/// A peer that has sent nothing of the kind for this long is no risk any more.
const TOO_MUCH_CALM: Duration = Duration::from_secs(5);

/// How often a reported risk is checked again, to report its end.
const RECHECK: Duration = Duration::from_secs(1);

/// Every risk.
const RISKS: [Risk; 8] = [
    Risk::IceStuck,
    Risk::DtlsStuck,
    Risk::NothingSent,
    Risk::NothingReceived,
    Risk::FellSilent,
    Risk::Flood,
    Risk::Ring,
    Risk::Unproven,
];

fn steps(risk: Risk) -> &'static [Duration] {
    match risk {
        Risk::NothingSent => &NOTHING_SENT,
        Risk::NothingReceived => &NOTHING_RECEIVED,
        Risk::FellSilent => &FELL_SILENT,
        Risk::IceStuck => &ICE_STUCK,
        Risk::DtlsStuck => &DTLS_STUCK,
        Risk::Flood | Risk::Ring | Risk::Unproven => &AT_ONCE,
    }
}

/// The state of a leg, as far as risks depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Offer and answer are complete: both sides may begin.
    pub(super) settled: bool,
    /// ICE has found a pair, or the transport needs none.
    pub(super) has_pair: bool,
    /// There are keys, or the transport needs none.
    pub(super) has_keys: bool,
    /// The peer should be sent media: it is not on hold, the gate is open, and there is a source or a filler.
    pub(super) sends: bool,
    /// The peer should send media.
    pub(super) receives: bool,
    /// When media was last sent to the peer.
    pub(super) sent_at: Option<Instant>,
    /// When media was last received from it.
    pub(super) received_at: Option<Instant>,
    /// When media of the peer was last discarded as more than a call has.
    pub(super) flooded_at: Option<Instant>,
    /// When it was last discarded as part of a ring.
    pub(super) ring_at: Option<Instant>,
    /// When media to the peer ends because nothing has come from it.
    pub(super) probe_ends_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The risk has lasted this long.
    AtRisk(Risk, Duration),
    /// The risk is over.
    Recovered(Risk),
}

/// Checks the risks of one leg, and queues an alarm at each of their steps and at their end.
#[derive(Debug, Default)]
pub(super) struct RiskMonitor {
    /// In the order of [`RISKS`].
    risks: [RiskState; RISKS.len()],
    check_at: Option<Instant>,
    alarms: ArrayVec<Alarm, { RISKS.len() }>,
}

#[derive(Debug, Clone, Copy, Default)]
struct RiskState {
    /// Since when the precondition of the risk holds.
    since: Option<Instant>,
    /// How many of its steps were reported.
    reported: usize,
}

impl RiskMonitor {
    /// The leg has changed: check all risks at `at`.
    pub(super) fn recheck_at(&mut self, at: Instant) {
        self.check_at = Some(at);
    }

    /// `risk` may have begun: checks all risks at `now`. False if it is reported already.
    pub(super) fn begin(&mut self, now: Instant, risk: Risk) -> bool {
        let is_reported = self.risks.iter().zip(RISKS).any(|(state, known)| known == risk && state.reported > 0);
        if !is_reported {
            self.check_at = Some(now);
        }
        !is_reported
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.check_at
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.check_at.is_some_and(|at| at <= now)
    }

    /// Checks every risk against `facts`.
    pub(super) fn check(&mut self, now: Instant, facts: Facts) {
        let ever = facts.received_at.is_some();
        let receives = facts.settled && facts.has_keys && facts.receives;
        let is_recent = |at: Instant| now.saturating_duration_since(at) < TOO_MUCH_CALM;
        self.check_at = facts.probe_ends_at.filter(|at| *at > now);
        for (state, risk) in self.risks.iter_mut().zip(RISKS) {
            // (precondition holds, this variant applies, time of last contrary evidence)
            let (could, applies, passed_at) = match risk {
                Risk::IceStuck => (facts.settled && !facts.has_pair, true, None),
                Risk::DtlsStuck => (facts.settled && facts.has_pair && !facts.has_keys, true, None),
                Risk::NothingSent => (facts.settled && facts.sends, true, facts.sent_at),
                Risk::NothingReceived => (receives, !ever, None),
                Risk::FellSilent => (receives, ever, facts.received_at),
                Risk::Flood => (facts.flooded_at.is_some_and(is_recent), true, None),
                Risk::Ring => (facts.ring_at.is_some_and(is_recent), true, None),
                Risk::Unproven => (facts.probe_ends_at.is_some_and(|at| at <= now), true, None),
            };
            state.since = could.then(|| state.since.unwrap_or(now));
            let begun = state.since.filter(|_| applies).map(|since| passed_at.map_or(since, |at| at.max(since)));
            let lasted = begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
            let reached = begun.map_or(0, |_| steps(risk).iter().filter(|step| lasted >= **step).count());
            // There is room for one alarm of each risk, and alarms are taken before the next check is due.
            if reached > state.reported {
                let _ = self.alarms.try_push(Alarm::AtRisk(risk, lasted));
            } else if reached == 0 && state.reported > 0 {
                let _ = self.alarms.try_push(Alarm::Recovered(risk));
            }
            state.reported = if reached == 0 { 0 } else { state.reported.max(reached) };
            let Some(begun) = begun else { continue };
            let next = steps(risk).get(reached).map(|step| begun + *step);
            let recheck = (state.reported > 0).then(|| now + RECHECK);
            self.check_at = soonest(self.check_at, soonest(next, recheck));
        }
    }

    pub(super) fn poll(&mut self) -> Option<Alarm> {
        self.alarms.pop_at(0)
    }

    /// The next alarm as an event. `reached` is the last milestone of the leg's set-up.
    pub(super) fn poll_event(&mut self, leg: LegId, reached: Option<Milestone>) -> Option<EventKind> {
        let reached = reached.unwrap_or(Milestone::Opened);
        Some(match self.poll()? {
            Alarm::AtRisk(risk, lasted) => EventKind::AtRisk { leg, risk, lasted, reached },
            Alarm::Recovered(risk) => EventKind::Recovered { leg, risk },
        })
    }
}

#[cfg(test)]
mod tests;
