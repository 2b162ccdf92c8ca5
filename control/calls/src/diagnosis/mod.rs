//! What a call was like and why it ended, in the words of somebody who looks at it for the first time: a grade, the cause with its
//! evidence, what WhatsApp would call it, how each party fared, and a timeline. Pure: from the engine's report and what the
//! controller knows, without looking at a clock or a packet.

mod cause;
mod facts;
mod history;
mod keys;
mod legs;
mod quality;
mod rules;
mod text;

#[cfg(test)]
mod tests;

use std::time::Duration;

use trestle_core::report::LegReport;

use crate::ended::EndedBy;
pub use cause::{EndCause, Hint, MetaCode};
pub use facts::{CallFacts, PartyFacts};
pub use history::{CallHistory, LegHistory, RiskPeriod};
pub use legs::{LegSummary, TimelineEntry};
pub use quality::Quality;

/// A mean opinion score of 3.6 (R of 70) and more is good, below 3.1 (R of 60) bad: "some users dissatisfied" and "many users
/// dissatisfied" of G.107 table B.1.
const GOOD_R: u8 = 70;
const FAIR_R: u8 = 60;

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// There was nothing to judge.
    None,
    /// Both sides had what they wanted.
    Good,
    /// It worked, and somebody will complain.
    Fair,
    /// It did not work.
    Bad,
}

impl Grade {
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

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallVerdict {
    /// In a word.
    pub grade: Grade,
    /// Why it ended.
    pub cause: EndCause,
    /// Whom that is about, as a sentence says it.
    pub about: Option<String>,
    /// How that is known, half a sentence each.
    pub evidence: Vec<String>,
    /// What WhatsApp would call it.
    pub code: Option<MetaCode>,
    /// What else is worth knowing.
    pub hints: Vec<Hint>,
    /// What the worse-off party heard; `None` if too little was heard to tell.
    pub quality: Option<Quality>,
    /// When it was answered, since it was opened.
    pub answered: Option<Duration>,
    /// How long it has existed.
    pub age: Duration,
    /// What ended it; `None` while it goes on.
    pub ended: Option<EndedBy>,
    /// Whose tag was named by what ended it.
    pub ended_by: Option<String>,
    /// How each party fared.
    pub legs: Vec<LegSummary>,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
}

impl CallVerdict {
    /// Judges a call.
    pub fn of(facts: &CallFacts<'_>) -> Self {
        let finding = rules::find(facts);
        let code = rules::code(facts, &finding);
        let hints = rules::hints(facts, &finding);
        let legs = legs::legs(facts);
        let quality = legs.iter().filter_map(|leg| leg.hears).min();
        let accepted = legs.iter().any(|leg| leg.packets_in > 0 && finding.about == Some(leg.leg));
        Self {
            grade: grade(finding.cause, quality, &hints, accepted),
            cause: finding.cause,
            about: finding.about.map(|leg| facts.who(leg)),
            evidence: finding.evidence,
            code,
            hints,
            quality,
            answered: facts.history.answered,
            age: facts.age,
            ended: facts.ended,
            ended_by: facts.history.deleted_by.filter(|_| facts.ended.is_some()).map(|leg| facts.who(leg)),
            timeline: legs::timeline(facts),
            legs,
        }
    }

    /// Sound that never reached anybody, of all parties that got media at all.
    pub fn clipped(&self) -> Duration {
        self.legs.iter().filter(|leg| leg.packets_out > 0).map(|leg| leg.preroll.clipped).sum()
    }
}

fn grade(cause: EndCause, quality: Option<Quality>, hints: &[Hint], accepted: bool) -> Grade {
    match cause {
        EndCause::Unanswered | EndCause::TooShort | EndCause::HeldTooLong => Grade::None,
        // Nobody may ever have accepted it.
        EndCause::GateNeverOpened if !accepted => Grade::None,
        EndCause::Running | EndCause::Normal => match quality {
            None if hints.iter().any(|hint| hint.mars()) => Grade::Fair,
            None => Grade::None,
            Some(quality) if quality.r < FAIR_R => Grade::Bad,
            Some(quality) if quality.r < GOOD_R || hints.iter().any(|hint| hint.mars()) => Grade::Fair,
            Some(_) => Grade::Good,
        },
        _ => Grade::Bad,
    }
}

/// Packets of a peer that never came, of a thousand that it sent.
fn loss_permille(leg: &LegReport) -> u32 {
    let lost = u64::try_from(leg.lost).unwrap_or(0);
    let permille = (lost * 1_000).checked_div(lost + leg.rtp_in.packets).unwrap_or(0);
    u32::try_from(permille).unwrap_or(1_000)
}
