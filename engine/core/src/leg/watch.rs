//! What may end a call if it lasts: nothing sent, nothing heard, a set-up that does not get on.
//!
//! A packet only leaves its time here. Everything else happens at deadlines, and when something about the leg has changed.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::Leg;
use super::latch::Flow;
use super::path::Path;
use crate::plan::{Filler, Gate, Mute, Source};
use crate::time::soonest;
use crate::{EventKind, Milestone, Risk};

const fn s<const N: usize>(seconds: [u64; N]) -> [Duration; N] {
    let mut steps = [Duration::ZERO; N];
    let mut n = 0;
    while n < N {
        steps[n] = Duration::from_secs(seconds[n]);
        n += 1;
    }
    steps
}

/// WhatsApp ends a call after 20 s without media from us. Twice before that, the second time with 5 s left to act.
const NOTHING_SENT: [Duration; 2] = s([10, 15]);
/// People take some seconds to speak, phones send from the first moment. Twice, because it may be all that is said of a call
/// that is one-way from its beginning.
const NOTHING_RECEIVED: [Duration; 2] = s([10, 20]);
/// WhatsApp ends a call after 30 s of silence in its middle, so the last step says how it ended. Phones that suppress silence
/// are quiet for seconds.
const FELL_SILENT: [Duration; 3] = s([10, 20, 30]);
/// A peer that has our description answers within a round trip; until then it may have taken a second or two to get it.
const ICE_STUCK: [Duration; 3] = s([5, 10, 20]);
/// A handshake takes two round trips, and by then a lost flight was sent five times.
const DTLS_STUCK: [Duration; 3] = s([2, 5, 10]);

/// How often what was told is looked at again, to tell that it is over.
const RECHECK: Duration = Duration::from_secs(1);

/// Every risk.
const RISKS: [Risk; 5] = [Risk::IceStuck, Risk::DtlsStuck, Risk::NothingSent, Risk::NothingReceived, Risk::FellSilent];

fn steps(risk: Risk) -> &'static [Duration] {
    match risk {
        Risk::NothingSent => &NOTHING_SENT,
        Risk::NothingReceived => &NOTHING_RECEIVED,
        Risk::FellSilent => &FELL_SILENT,
        Risk::IceStuck => &ICE_STUCK,
        Risk::DtlsStuck => &DTLS_STUCK,
    }
}

/// What a leg is to do and has come to, as far as it can be at risk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Offer and answer have passed: both sides may begin.
    pub(super) settled: bool,
    /// There is a pair, or no need of one.
    pub(super) has_pair: bool,
    /// There are keys, or no need of any.
    pub(super) has_keys: bool,
    /// The peer is to get media from us: nobody is on hold, the gate is open, and there is something to hear.
    pub(super) sends: bool,
    /// The peer is to send media.
    pub(super) receives: bool,
}

/// Something about a risk that is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// It has lasted for so long.
    AtRisk(Risk, Duration),
    /// It is over.
    Recovered(Risk),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    heard_at: Option<Instant>,
    said_at: Option<Instant>,
    /// In the order of [`RISKS`].
    risks: [State; RISKS.len()],
    look_at: Option<Instant>,
    alarms: ArrayVec<Alarm, { RISKS.len() }>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Since when it could be a risk at all: the peer should have got on, or been sent something, from then on.
    since: Option<Instant>,
    /// How many of its steps were told.
    told: usize,
}

impl Watch {
    /// Media was taken from the peer.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// Media was sent to the peer.
    pub(super) fn said(&mut self, now: Instant) {
        self.said_at = Some(now);
    }

    /// Something about the leg may have changed.
    pub(super) fn disturb(&mut self, now: Instant) {
        self.look_at = Some(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Looks at every risk in the light of `facts`.
    pub(super) fn look(&mut self, now: Instant, facts: Facts) {
        let ever = self.heard_at.is_some();
        let hears = facts.settled && facts.has_keys && facts.receives;
        self.look_at = None;
        for (state, risk) in self.risks.iter_mut().zip(RISKS) {
            // Whether it could be at risk, whether it is this risk that it would be at, and what would have proved it wrong.
            let (could, applies, passed_at) = match risk {
                Risk::IceStuck => (facts.settled && !facts.has_pair, true, None),
                Risk::DtlsStuck => (facts.settled && facts.has_pair && !facts.has_keys, true, None),
                Risk::NothingSent => (facts.settled && facts.sends, true, self.said_at),
                Risk::NothingReceived => (hears, !ever, None),
                Risk::FellSilent => (hears, ever, self.heard_at),
            };
            state.since = could.then(|| state.since.unwrap_or(now));
            let begun = state.since.filter(|_| applies).map(|since| passed_at.map_or(since, |at| at.max(since)));
            let lasted = begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
            let reached = steps(risk).iter().filter(|step| lasted >= **step).count();
            // There is room for one alarm of each risk, and a look is due only when the last one's have been taken.
            if reached > state.told {
                let _ = self.alarms.try_push(Alarm::AtRisk(risk, lasted));
            } else if reached == 0 && state.told > 0 {
                let _ = self.alarms.try_push(Alarm::Recovered(risk));
            }
            state.told = if reached == 0 { 0 } else { state.told.max(reached) };
            let Some(begun) = begun else { continue };
            let next = steps(risk).get(reached).map(|step| begun + *step);
            let recheck = (state.told > 0).then(|| now + RECHECK);
            self.look_at = soonest(self.look_at, soonest(next, recheck));
        }
    }

    pub(super) fn poll(&mut self) -> Option<Alarm> {
        self.alarms.pop_at(0)
    }
}

impl Leg {
    /// Looks at what may have gone wrong, if that is due.
    pub(super) fn look_out(&mut self, now: Instant) {
        if self.watch.is_due(now) {
            let facts = self.facts();
            self.watch.look(now, facts);
        }
    }

    /// The next thing to tell of that.
    pub(super) fn poll_alarm(&mut self) -> Option<EventKind> {
        let leg = self.id;
        let reached = self.timeline.last().unwrap_or(Milestone::Opened);
        Some(match self.watch.poll()? {
            Alarm::AtRisk(risk, lasted) => EventKind::AtRisk { leg, risk, lasted, reached },
            Alarm::Recovered(risk) => EventKind::Recovered { leg, risk },
        })
    }

    fn facts(&self) -> Facts {
        let plan = &self.plan;
        let was = |milestone| self.timeline.has(milestone);
        let (has_pair, has_keys) = match &self.path {
            Path::Plain(_) | Path::Sdes { .. } => (true, self.path.destination(Flow::Rtp).is_some()),
            // A pair that was there and is lost is told as such.
            Path::WebRtc { webrtc, .. } => {
                (was(Milestone::IceConnected) || webrtc.selected().is_some(), was(Milestone::DtlsConnected))
            }
        };
        let audible = plan.hears != Source::Nothing && plan.withheld.audio != Mute::Nothing;
        Facts {
            // What we send is known when offer and answer have passed.
            settled: plan.send.is_some() && was(Milestone::RemoteKnown),
            has_pair,
            has_keys,
            sends: plan.sending
                && plan.presence.gate == Gate::Open
                && (audible || plan.presence.filler != Filler::Nothing),
            receives: plan.receiving,
        }
    }
}

#[cfg(test)]
mod tests;
