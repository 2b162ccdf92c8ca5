//! How long the set-up of WhatsApp's and browsers' legs takes, stage by stage, over all calls.

use std::time::{Duration, Instant};

use trestle_core::{CallId, LegId, Milestone};

use super::Controller;
use crate::leg_map::LegMap;
use trestle_ng::command::flags::ProfileName;

/// A stage of a leg's set-up. Each begins where the one before has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From when the last party's description became known until an ICE pair is nominated. WhatsApp answers checks only when
    /// it has our answer, so the way of that is in it.
    Ice,
    /// Until DTLS is up.
    Dtls,
    /// Until the gate was opened: 0 if that was before media could have left. Only of gates that were shut.
    Gate,
    /// Until the first media packet was sent.
    FirstAudio,
}

impl Stage {
    /// In order of time.
    pub const ALL: [Self; 4] = [Self::Ice, Self::Dtls, Self::Gate, Self::FirstAudio];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::Gate => "gate",
            Self::FirstAudio => "first_audio",
        }
    }
}

/// Upper bounds of the histograms, ms. A good set-up is a matter of some round trips (the goal for ICE and DTLS together is
/// 350 ms); WhatsApp ends a call after 20 s without media, and people answer within a minute.
pub const BOUNDS_MS: [u64; 14] = [5, 10, 20, 50, 100, 200, 350, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000];

/// How often a stage took how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Up to each of [`BOUNDS_MS`] and more than the one before; the last, more than all of them.
    pub counts: [u64; BOUNDS_MS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let bucket = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        self.counts[bucket.unwrap_or(BOUNDS_MS.len())] += 1;
        self.sum += took;
    }
}

/// A histogram per stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetupTimes([Histogram; Stage::ALL.len()]);

impl SetupTimes {
    fn add(&mut self, stage: Stage, took: Duration) {
        self.0[stage as usize].add(took);
    }

    /// How often `stage` took how long.
    pub fn of(&self, stage: Stage) -> &Histogram {
        &self.0[stage as usize]
    }
}

/// How far the legs of a call have come.
#[derive(Debug, Default)]
pub(super) struct Setup {
    /// When the last party's description became known.
    described: Option<Instant>,
    legs: LegMap<LegSetup>,
}

#[derive(Debug, Default)]
struct LegSetup {
    has_ice: bool,
    connected: Option<Instant>,
    secured: Option<Instant>,
    opened: Option<Instant>,
}

impl Setup {
    /// A leg has come to `milestone`. If a stage ends with that, which, and how long it took.
    fn reach(&mut self, now: Instant, leg: LegId, milestone: Milestone) -> Option<(Stage, Duration)> {
        let leg = self.legs.entry(leg);
        let described = self.described;
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        match milestone {
            Milestone::RemoteKnown => self.described = Some(now),
            Milestone::FirstCheck => leg.has_ice = true,
            Milestone::IceConnected => {
                leg.connected = Some(now);
                return Some((Stage::Ice, since(described)));
            }
            Milestone::DtlsConnected => {
                leg.secured = Some(now);
                return Some((Stage::Dtls, since(leg.connected.or(described))));
            }
            Milestone::GateOpened => {
                leg.opened = Some(now);
                let ready = if leg.has_ice { leg.secured } else { described };
                return Some((Stage::Gate, since(ready)));
            }
            Milestone::FirstMediaOut => {
                let last = [described, leg.secured, leg.opened].into_iter().flatten().max();
                return Some((Stage::FirstAudio, since(last)));
            }
            Milestone::Opened | Milestone::Latched | Milestone::FirstMediaIn | Milestone::CaughtUp => {}
        }
        None
    }
}

impl Controller {
    /// Counts the stage that ends with a milestone. SIP phones are not counted: they are there at once, or behind signalling
    /// that we do not see.
    pub(super) fn count_setup(&mut self, now: Instant, id: CallId, leg: LegId, milestone: Milestone) {
        let Some(call) = self.table.get_mut(id) else { return };
        let ended = call.setup.reach(now, leg, milestone);
        let counts = call.party(leg).is_some_and(|party| party.profile() != ProfileName::Sip);
        if let Some((stage, took)) = ended.filter(|_| counts) {
            self.counters.setup.add(stage, took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Milestone::*;

    /// Milestones of a WhatsApp leg (0) and a phone (1) by the millisecond, and the stages that follow from them.
    #[expect(clippy::disallowed_methods, reason = "one instant to count from")]
    fn stages(reached: &[(u16, Milestone, u64)]) -> Vec<(&'static str, u64)> {
        let start = Instant::now();
        let mut setup = Setup::default();
        let stage = |&(leg, milestone, ms): &(u16, Milestone, u64)| {
            let (stage, took) = setup.reach(start + Duration::from_millis(ms), LegId(leg), milestone)?;
            Some((stage.name(), took.as_millis() as u64))
        };
        reached.iter().filter_map(stage).collect()
    }

    #[test]
    fn each_stage_is_timed_from_the_end_of_the_one_before() {
        // A user calls; the phone rings for 4 s.
        let user = [
            (0, RemoteKnown, 0),
            (0, FirstCheck, 1),
            (1, RemoteKnown, 4_000),
            (0, IceConnected, 4_300),
            (0, DtlsConnected, 4_400),
            (0, GateOpened, 4_900),
            (0, FirstMediaOut, 4_910),
        ];
        assert_eq!(stages(&user), [("ice", 300), ("dtls", 100), ("gate", 500), ("first_audio", 10)]);
        // SDES, and a gate that was open before there was anybody to hear.
        let sdes = [(1, RemoteKnown, 0), (0, RemoteKnown, 2_000), (0, FirstMediaOut, 2_030)];
        assert_eq!(stages(&sdes), [("first_audio", 30)]);
        // The gate opens before DTLS is up.
        let early = [
            (1, RemoteKnown, 0),
            (0, RemoteKnown, 10),
            (0, FirstCheck, 10),
            (0, GateOpened, 50),
            (0, IceConnected, 110),
            (0, DtlsConnected, 310),
            (0, FirstMediaOut, 312),
        ];
        assert_eq!(stages(&early), [("gate", 0), ("ice", 100), ("dtls", 200), ("first_audio", 2)]);
    }

    #[test]
    fn a_time_is_counted_in_the_first_bucket_that_is_not_below_it() {
        let mut histogram = Histogram::default();
        for ms in [0, 5, 6, 350, 351, 60_000, 60_001] {
            histogram.add(Duration::from_millis(ms));
        }
        assert_eq!(histogram.counts, [2, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1]);
    }
}
