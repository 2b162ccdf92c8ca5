//! How far the legs of a call have come: the milestones that stages of set-up and risks are judged by.

use std::time::{Duration, Instant};

use trestle_core::{LegId, Milestone};

use super::setup::SetupStage;
use crate::leg_map::LegMap;

/// How far the legs of a call have come.
#[derive(Debug, Default)]
pub(super) struct CallProgress {
    /// When the last party's description became known.
    described: Option<Instant>,
    legs: LegMap<LegProgress>,
}

#[derive(Debug)]
struct LegProgress {
    /// The last milestone in the order of [`Milestone`].
    last: Milestone,
    has_ice: bool,
    connected: Option<Instant>,
    secured: Option<Instant>,
    gate_opened: Option<Instant>,
    has_sent: bool,
}

impl Default for LegProgress {
    fn default() -> Self {
        Self {
            last: Milestone::Opened,
            has_ice: false,
            connected: None,
            secured: None,
            gate_opened: None,
            has_sent: false,
        }
    }
}

impl CallProgress {
    /// Notes that a leg has reached a milestone. Returns the stage of set-up that ends with it and how long that took.
    pub(super) fn reach(&mut self, now: Instant, leg: LegId, milestone: Milestone) -> Option<(SetupStage, Duration)> {
        let leg = self.legs.entry(leg);
        leg.last = leg.last.max(milestone);
        let described = self.described;
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        match milestone {
            Milestone::RemoteKnown => self.described = Some(now),
            Milestone::FirstCheck => leg.has_ice = true,
            Milestone::IceConnected => {
                leg.connected = Some(now);
                return Some((SetupStage::Ice, since(described)));
            }
            Milestone::DtlsConnected => {
                leg.secured = Some(now);
                return Some((SetupStage::Dtls, since(leg.connected.or(described))));
            }
            Milestone::GateOpened => {
                leg.gate_opened = Some(now);
                let ready = if leg.has_ice { leg.secured } else { described };
                return Some((SetupStage::Gate, since(ready)));
            }
            Milestone::FirstMediaOut => {
                let last = [described, leg.secured, leg.gate_opened].into_iter().flatten().max();
                return Some((SetupStage::FirstAudio, since(last)));
            }
            Milestone::FirstMediaIn => leg.has_sent = true,
            Milestone::Opened | Milestone::Latched | Milestone::CaughtUp => {}
        }
        None
    }

    /// The last milestone of a leg.
    pub(super) fn last(&self, leg: LegId) -> Milestone {
        self.legs.get(leg).map_or(Milestone::Opened, |leg| leg.last)
    }

    /// Media was received from the peer of a leg.
    pub(super) fn note_media(&mut self, leg: LegId) {
        self.legs.entry(leg).has_sent = true;
    }

    /// True if media was ever received from the peer of a leg.
    pub(super) fn has_sent(&self, leg: LegId) -> bool {
        self.legs.get(leg).is_some_and(|leg| leg.has_sent)
    }

    /// Drops legs that were removed.
    pub(super) fn forget(&mut self, legs: &[LegId]) {
        self.legs.forget(legs);
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
        let mut progress = CallProgress::default();
        let stage = |&(leg, milestone, ms): &(u16, Milestone, u64)| {
            let (stage, took) = progress.reach(start + Duration::from_millis(ms), LegId(leg), milestone)?;
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
        // SDES, and a gate that was open before the peer was known.
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
}
