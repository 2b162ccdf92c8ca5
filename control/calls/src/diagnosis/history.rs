//! What is noted of a call while it is active, because its last report does not contain it.

use std::time::Duration;

use trestle_core::{LegFailure, LegId};

use crate::events::{EventBody, RiskName};
use crate::leg_map::LegMap;

/// The history of one call. Times are since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallHistory {
    /// The first answer was taken.
    pub answered: Option<Duration>,
    /// The party whose tag a `delete` named as `from-tag`: in SIP, the sender of the BYE.
    pub deleted_by: Option<LegId>,
    legs: LegMap<LegHistory>,
}

/// The history of one leg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegHistory {
    /// The last period of each risk.
    pub risks: Vec<RiskPeriod>,
    /// The transport was lost, and has not come back.
    pub failure: Option<(Duration, LegFailure)>,
    /// The gate was not opened within `gate-timeout`.
    pub gate_timed_out: Option<Duration>,
    /// The gate was closed.
    pub gate_closed: Option<Duration>,
}

/// A risk that lasted for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskPeriod {
    /// The risk.
    pub risk: RiskName,
    /// Its begin.
    pub since: Duration,
    /// Its end; `None` while it lasts.
    pub over: Option<Duration>,
}

impl CallHistory {
    /// Notes an event of the call.
    pub fn note(&mut self, after: Duration, leg: Option<LegId>, body: &EventBody) {
        match (body, leg) {
            (EventBody::Answered, _) => self.answered = self.answered.or(Some(after)),
            (EventBody::AtRisk { risk, lasted, .. }, Some(leg)) => {
                let history = self.legs.entry(leg);
                // Repeated while it lasts.
                if !history.risks.iter().any(|period| period.risk == *risk && period.over.is_none()) {
                    history.risks.retain(|period| period.risk != *risk);
                    history.risks.push(RiskPeriod { risk: *risk, since: after.saturating_sub(*lasted), over: None });
                }
            }
            (EventBody::Recovered { risk }, Some(leg)) => {
                let history = self.legs.entry(leg);
                history
                    .risks
                    .iter_mut()
                    .filter(|period| period.risk == *risk)
                    .for_each(|period| period.over = Some(after));
                // Consent that was lost has come back.
                if *risk == RiskName::IceStuck {
                    history.failure = history.failure.filter(|(_, failure)| *failure != LegFailure::IceDisconnected);
                }
            }
            (EventBody::LegFailed { failure }, Some(leg)) => {
                let failed = &mut self.legs.entry(leg).failure;
                *failed = failed.or(Some((after, *failure)));
            }
            (EventBody::GateTimedOut { .. }, Some(leg)) => self.legs.entry(leg).gate_timed_out = Some(after),
            (EventBody::GateClosed, Some(leg)) => self.legs.entry(leg).gate_closed = Some(after),
            _ => {}
        }
    }

    pub(super) fn leg(&self, leg: LegId) -> Option<&LegHistory> {
        self.legs.get(leg)
    }

    /// Since when a risk lasts; `None` if it does not.
    pub fn lasting(&self, leg: LegId, risk: RiskName) -> Option<Duration> {
        let history = self.leg(leg)?;
        history.risks.iter().find(|period| period.risk == risk && period.over.is_none()).map(|period| period.since)
    }
}
