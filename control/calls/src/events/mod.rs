//! What applications are told of their calls: one event, one line of JSON, the same whichever way it goes
//! ([`crate::publish`], `subscribe events`). The schema is `control/ng/schema/events.schema.json`.

mod reason;
mod risk;

use std::time::Duration;

use trestle_core::report::Preroll;
use trestle_core::{LegFailure, Milestone};
use trestle_wire::telephone_event::Digit;

use crate::ended::EndedBy;
pub use reason::reason;
pub use risk::{RiskName, stage};
use trestle_negotiate::GateState;
use trestle_ng::{Dict, Value, json};

/// Something that happened to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallEvent {
    /// Rises with every event of this Trestle, restarts included; the same in every copy of an event.
    pub id: u64,
    /// When, since 1970.
    pub unix: Duration,
    /// When, since the call was opened.
    pub after: Duration,
    /// The call.
    pub call_id: String,
    /// The party, if it is about one.
    pub party: Option<PartyName>,
    /// What.
    pub kind: Kind,
}

/// Names of a party.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartyName {
    /// Its tag; `None` for a callee that has not answered.
    pub tag: Option<String>,
    /// Its label, if it was given one.
    pub label: Option<String>,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The first offer was taken.
    Opened,
    /// An answer was taken, for the first time.
    Answered,
    /// A path to the party is found.
    IceConnected,
    /// The keys are there, and the party is who its SDP said.
    DtlsConnected,
    /// A shut gate was opened.
    GateOpened,
    /// A gate was closed, by `gate` or with its call.
    GateClosed,
    /// Nobody has opened a shut gate in time.
    GateTimedOut {
        /// How it stands from now on.
        gate: GateState,
    },
    /// The first media packet was taken from the party.
    FirstMediaIn,
    /// The first media packet was sent to it.
    FirstMediaOut,
    /// What was kept for it has been played and the delay worked off.
    CaughtUp,
    /// It has pressed a key and released it.
    Digit {
        /// The key.
        digit: Digit,
        /// How long.
        duration: Duration,
        /// Power in -dBm0.
        volume: u8,
    },
    /// Something is wrong that may end the call if it lasts.
    AtRisk {
        /// What.
        risk: RiskName,
        /// The last point that the party's leg has reached.
        stage: Milestone,
        /// For how long.
        lasted: Duration,
        /// For people.
        reason: String,
    },
    /// It is right again.
    Recovered {
        /// What was wrong.
        risk: RiskName,
    },
    /// The party's transport is lost for good.
    LegFailed {
        /// Why.
        failure: LegFailure,
    },
    /// No media for too long; the call is ended for it.
    MediaTimeout,
    /// The call is over.
    Ended(Ended),
}

/// What is told of a call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What ended it.
    pub cause: EndedBy,
    /// Its parties.
    pub legs: Vec<EndedLeg>,
    /// What it all means.
    pub verdict: Option<Dict>,
}

/// What became of one party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLeg {
    /// Who.
    pub party: PartyName,
    /// Media packets taken from it.
    pub packets_in: u64,
    /// Media packets sent to it.
    pub packets_out: u64,
    /// Packets of it that never came.
    pub packets_lost: i64,
    /// Frames made up for lost ones on the way to it.
    pub concealed_frames: u64,
    /// Frames that it got because there was nothing to pass on.
    pub filled_frames: u64,
    /// What was kept for it before it could be sent.
    pub preroll: Preroll,
}

impl Kind {
    /// Every name.
    pub const NAMES: [&str; 16] = [
        "call.opened",
        "call.answered",
        "call.ice.connected",
        "call.dtls.connected",
        "call.gate.opened",
        "call.gate.closed",
        "call.gate.timed-out",
        "call.media.first-in",
        "call.media.first-out",
        "call.caught-up",
        "call.dtmf",
        "call.at-risk",
        "call.recovered",
        "call.leg.failed",
        "call.media.timeout",
        "call.ended",
    ];

    /// Its name in JSON.
    pub fn name(&self) -> &'static str {
        let at = match self {
            Self::Opened => 0,
            Self::Answered => 1,
            Self::IceConnected => 2,
            Self::DtlsConnected => 3,
            Self::GateOpened => 4,
            Self::GateClosed => 5,
            Self::GateTimedOut { .. } => 6,
            Self::FirstMediaIn => 7,
            Self::FirstMediaOut => 8,
            Self::CaughtUp => 9,
            Self::Digit { .. } => 10,
            Self::AtRisk { .. } => 11,
            Self::Recovered { .. } => 12,
            Self::LegFailed { .. } => 13,
            Self::MediaTimeout => 14,
            Self::Ended(_) => 15,
        };
        Self::NAMES[at]
    }

    /// The event of a point of a leg's timeline, if it is worth one.
    pub fn of_milestone(milestone: Milestone) -> Option<Self> {
        match milestone {
            Milestone::IceConnected => Some(Self::IceConnected),
            Milestone::DtlsConnected => Some(Self::DtlsConnected),
            Milestone::FirstMediaIn => Some(Self::FirstMediaIn),
            Milestone::FirstMediaOut => Some(Self::FirstMediaOut),
            Milestone::CaughtUp => Some(Self::CaughtUp),
            // The gate is told of by whoever moves it.
            Milestone::GateOpened
            | Milestone::Opened
            | Milestone::RemoteKnown
            | Milestone::FirstCheck
            | Milestone::Latched => None,
        }
    }
}

impl CallEvent {
    /// The line, without its end.
    pub fn line(&self) -> String {
        let mut dict = Dict::default()
            .with("event", self.kind.name())
            .with("event-id", self.id)
            .with("time-ms", ms(self.unix))
            .with("call-id", self.call_id.as_str());
        if let Some(party) = &self.party {
            party.write(&mut dict);
        }
        dict.push("after-ms", ms(self.after));
        self.kind.write(&mut dict);
        // What comes of text is text.
        String::from_utf8_lossy(&json::write(&dict)).into_owned()
    }
}

impl PartyName {
    fn write(&self, dict: &mut Dict) {
        for (key, name) in [("tag", &self.tag), ("label", &self.label)] {
            if let Some(name) = name {
                dict.push(key, name.as_str());
            }
        }
    }
}

impl Kind {
    fn write(&self, dict: &mut Dict) {
        match self {
            Self::Opened
            | Self::Answered
            | Self::IceConnected
            | Self::DtlsConnected
            | Self::GateOpened
            | Self::GateClosed
            | Self::FirstMediaIn
            | Self::FirstMediaOut
            | Self::CaughtUp
            | Self::MediaTimeout => {}
            Self::GateTimedOut { gate } => dict.push("gate", gate.name()),
            Self::Digit { digit, duration, volume } => {
                dict.push("digit", digit.to_char().to_string());
                dict.push("duration-ms", ms(*duration));
                dict.push("volume", u64::from(*volume));
            }
            Self::AtRisk { risk, stage: reached, lasted, reason } => {
                dict.push("risk", risk.name());
                dict.push("stage", stage(*reached));
                dict.push("lasted-ms", ms(*lasted));
                dict.push("reason", reason.as_str());
            }
            Self::Recovered { risk } => dict.push("risk", risk.name()),
            Self::LegFailed { failure } => dict.push("reason", failure.to_string()),
            Self::Ended(ended) => {
                dict.push("cause", ended.cause.name());
                let legs = ended.legs.iter().map(|leg| leg.dict().into());
                dict.push("legs", legs.collect::<Vec<Value>>());
                if let Some(verdict) = &ended.verdict {
                    dict.push("verdict", verdict.clone());
                }
            }
        }
    }
}

impl EndedLeg {
    fn dict(&self) -> Dict {
        let mut dict = Dict::default();
        self.party.write(&mut dict);
        dict.push("packets-in", self.packets_in);
        dict.push("packets-out", self.packets_out);
        dict.push("packets-lost", Value::Integer(self.packets_lost));
        dict.push("concealed-frames", self.concealed_frames);
        dict.push("filled-frames", self.filled_frames);
        dict.push("pre-roll-ms", ms(self.preroll.kept));
        dict.push("clipped-ms", ms(self.preroll.clipped));
        if let Some(caught_up) = self.preroll.caught_up {
            dict.push("caught-up-ms", ms(caught_up));
        }
        dict
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
