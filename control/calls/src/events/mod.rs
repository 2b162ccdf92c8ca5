//! Events for applications: one event, one line of JSON, the same for every output (`subscribe events`, `listen-events`,
//! `event-webhook`). The table of all events is in `table.rs`; the schema `control/ng/schema/events.schema.json` is written
//! from it.

mod field;
mod reason;
mod risk;
mod table;

use std::time::Duration;

use trestle_ng::{Dict, json};

pub use field::{Dbm0, FieldInfo, VerdictHeadline};
use field::{FieldValue, ms};
pub use reason::reason;
pub use risk::{MILESTONES, RiskName, milestone_name};
pub use table::{EndedLeg, EventBody, EventInfo};

/// An event of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEvent {
    /// Rises with every event of this Trestle, restarts included; the same in every copy of an event.
    pub id: u64,
    /// Unix time.
    pub unix: Duration,
    /// Since the call was opened.
    pub after: Duration,
    /// The call-id.
    pub call_id: String,
    /// The party, if the event is about one.
    pub party: Option<PartyName>,
    /// What happened.
    pub body: EventBody,
}

/// Names of a party.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartyName {
    /// SIP tag; `None` for a callee that has not answered.
    pub tag: Option<String>,
    /// Label, if it was given one.
    pub label: Option<String>,
}

impl CallEvent {
    /// The line of JSON, without its end.
    pub fn line(&self) -> String {
        let mut dict = Dict::default()
            .with("event", self.body.name())
            .with("event-id", self.id)
            .with("time-ms", ms(self.unix))
            .with("call-id", self.call_id.as_str());
        if let Some(party) = &self.party {
            party.tag.push("tag", &mut dict);
            party.label.push("label", &mut dict);
        }
        dict.push("after-ms", ms(self.after));
        self.body.write(&mut dict);
        // All values are text, so the JSON is UTF-8.
        String::from_utf8_lossy(&json::write(&dict)).into_owned()
    }
}

#[cfg(test)]
mod tests;
