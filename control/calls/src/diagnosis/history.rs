//! What is remembered of a call while it goes on, because nobody could tell at its end.

use std::time::Duration;

use trestle_core::{LegFailure, LegId};

use crate::events::{Kind, RiskName};
use crate::leg_map::LegMap;

/// Of one call. Times are since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallHistory {
    /// The first answer was taken.
    pub answered: Option<Duration>,
    /// Whose tag a `delete` named as `from-tag`: in SIP, whoever has sent the BYE.
    pub deleted_by: Option<LegId>,
    legs: LegMap<LegHistory>,
}

/// Of one leg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegHistory {
    /// One for each kind of risk at most: the last of its kind.
    pub risks: Vec<RiskPeriod>,
    /// The transport was lost, and has not come back.
    pub failure: Option<(Duration, LegFailure)>,
    /// Nobody had opened the gate in time.
    pub gate_timed_out: Option<Duration>,
    /// The gate was closed.
    pub gate_closed: Option<Duration>,
}

/// Something was wrong for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskPeriod {
    /// What.
    pub risk: RiskName,
    /// From when on.
    pub since: Duration,
    /// Until when; `None` if it still is.
    pub over: Option<Duration>,
}

impl CallHistory {
    /// Takes note of what is told of the call.
    pub fn note(&mut self, after: Duration, leg: Option<LegId>, kind: &Kind) {
        match (kind, leg) {
            (Kind::Answered, _) => self.answered = self.answered.or(Some(after)),
            (Kind::AtRisk { risk, lasted, .. }, Some(leg)) => {
                let notes = self.legs.entry(leg);
                // Told again as it lasts.
                if !notes.risks.iter().any(|note| note.risk == *risk && note.over.is_none()) {
                    notes.risks.retain(|note| note.risk != *risk);
                    notes.risks.push(RiskPeriod { risk: *risk, since: after.saturating_sub(*lasted), over: None });
                }
            }
            (Kind::Recovered { risk }, Some(leg)) => {
                let notes = self.legs.entry(leg);
                notes.risks.iter_mut().filter(|note| note.risk == *risk).for_each(|note| note.over = Some(after));
                // Consent that was lost has come back.
                if *risk == RiskName::IceStuck {
                    notes.failure = notes.failure.filter(|(_, failure)| *failure != LegFailure::IceDisconnected);
                }
            }
            (Kind::LegFailed { failure }, Some(leg)) => {
                let failed = &mut self.legs.entry(leg).failure;
                *failed = failed.or(Some((after, *failure)));
            }
            (Kind::GateTimedOut { .. }, Some(leg)) => self.legs.entry(leg).gate_timed_out = Some(after),
            (Kind::GateClosed, Some(leg)) => self.legs.entry(leg).gate_closed = Some(after),
            _ => {}
        }
    }

    pub(super) fn leg(&self, leg: LegId) -> Option<&LegHistory> {
        self.legs.get(leg)
    }

    /// A risk that has not passed, and since when.
    pub fn lasting(&self, leg: LegId, risk: RiskName) -> Option<Duration> {
        let notes = self.leg(leg)?;
        notes.risks.iter().find(|note| note.risk == risk && note.over.is_none()).map(|note| note.since)
    }
}
