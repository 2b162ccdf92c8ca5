//! The verdict on a call: its quality and why it ended, for an engineer who sees it for the first time. A grade, the cause with
//! its evidence, Meta's error code, the media of each party, and a timeline. Pure: made of the engine's report and the
//! controller's history of the call, without a clock or a packet.

mod cause;
mod facts;
mod history;
mod keys;
mod legs;
mod quality;
mod rules;
mod text;
mod timeline;

#[cfg(test)]
mod tests;

use std::time::Duration;

use trestle_core::report::LegReport;

use crate::ended::EndedBy;
pub use cause::{EndCause, Hint, MetaCode};
pub use facts::{CallFacts, PartyFacts};
pub use history::{CallHistory, LegHistory, RiskPeriod};
pub use legs::LegSummary;
pub(crate) use legs::{masked_digits, stream_quality};
pub use quality::Quality;
pub use timeline::TimelineEntry;

/// A mean opinion score of 3.6 (R of 70) and more is good, below 3.1 (R of 60) bad: "some users dissatisfied" and "many users
/// dissatisfied" of G.107 table B.1.
const GOOD_R: u8 = 70;
const FAIR_R: u8 = 60;

/// The overall grade of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// There was too little to judge.
    None,
    /// Media flowed as it should, with good quality.
    Good,
    /// Media flowed, with a flaw that a user may notice.
    Fair,
    /// Media did not flow as it should, or with bad quality.
    Bad,
}

impl Grade {
    /// Every grade.
    pub const ALL: [Self; 4] = [Self::None, Self::Good, Self::Fair, Self::Bad];

    /// Name in replies and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Bad => "bad",
        }
    }
}

/// The verdict on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallVerdict {
    /// The overall grade.
    pub grade: Grade,
    /// Why the call ended.
    pub cause: EndCause,
    /// The party that the cause is about, as named in a sentence.
    pub about: Option<String>,
    /// The observations that led to the cause, half a sentence each.
    pub evidence: Vec<String>,
    /// The error code of Meta that matches.
    pub code: Option<MetaCode>,
    /// Further findings.
    pub hints: Vec<Hint>,
    /// Quality for the party that received the worse audio; `None` if too little was received.
    pub quality: Option<Quality>,
    /// When the call was answered, since it was opened.
    pub answered: Option<Duration>,
    /// How long the call has existed.
    pub age: Duration,
    /// What ended it; `None` while it is active.
    pub ended: Option<EndedBy>,
    /// The party whose tag the `delete` named, as named in a sentence.
    pub ended_by: Option<String>,
    /// The media of each party.
    pub legs: Vec<LegSummary>,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
}

impl CallVerdict {
    /// Judges a call.
    pub fn of(facts: &CallFacts<'_>) -> Self {
        let found = rules::find(facts);
        let code = rules::code(facts, &found);
        let hints = rules::hints(facts, &found);
        let legs = legs::summaries(facts);
        let quality = legs.iter().filter_map(|leg| leg.quality).min();
        let accepted = legs.iter().any(|leg| leg.packets_in > 0 && found.about == Some(leg.leg));
        Self {
            grade: grade(found.cause, quality, &hints, accepted),
            cause: found.cause,
            about: found.about.map(|leg| facts.who(leg)),
            evidence: found.evidence,
            code,
            hints,
            quality,
            answered: facts.history.answered,
            age: facts.age,
            ended: facts.ended,
            ended_by: facts.history.deleted_by.filter(|_| facts.ended.is_some()).map(|leg| facts.who(leg)),
            timeline: timeline::timeline(facts),
            legs,
        }
    }

    /// Audio that was lost because it came before it could be sent, of all parties that were sent media at all.
    pub fn clipped(&self) -> Duration {
        self.legs.iter().filter(|leg| leg.packets_out > 0).map(|leg| leg.preroll.clipped).sum()
    }
}

fn grade(cause: EndCause, quality: Option<Quality>, hints: &[Hint], accepted: bool) -> Grade {
    let flawed = hints.iter().any(|hint| hint.lowers_grade());
    match cause {
        EndCause::Unanswered | EndCause::TooShort | EndCause::HeldTooLong => Grade::None,
        // The callee may not have accepted the call.
        EndCause::GateNeverOpened if !accepted => Grade::None,
        EndCause::Running | EndCause::Normal => match quality {
            None if flawed => Grade::Fair,
            None => Grade::None,
            Some(quality) if quality.r < FAIR_R => Grade::Bad,
            Some(quality) if quality.r < GOOD_R || flawed => Grade::Fair,
            Some(_) => Grade::Good,
        },
        _ => Grade::Bad,
    }
}

/// Lost packets of a peer, per thousand that it sent.
fn loss_permille(leg: &LegReport) -> u32 {
    let lost = u64::try_from(leg.lost).unwrap_or(0);
    let permille = (lost * 1_000).checked_div(lost + leg.rtp_in.packets).unwrap_or(0);
    u32::try_from(permille).unwrap_or(1_000)
}
