//! The table of events: for each its name, its description and its fields. [`EventBody`], its JSON and the published schema
//! follow from it.
//!
//! A new event is a row here, a call of the controller's `emit`, and a row of the table in docs/PROTOCOL.md; then
//! `cargo run --example write_event_schema` writes the schema and the clients' types.

use std::time::Duration;

use trestle_core::{LegFailure, Milestone};
use trestle_negotiate::GateState;
use trestle_ng::{Dict, Value};
use trestle_wire::telephone_event::Digit;

use super::RiskName;
use super::field::{Dbm0, FieldInfo, FieldValue, VerdictHeadline, field_info};
use crate::ended::EndedBy;

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventInfo {
    /// The value of `event`.
    pub name: &'static str,
    /// When it is emitted.
    pub doc: &'static str,
    /// Its fields, beside those of every event.
    pub fields: Vec<FieldInfo>,
}

macro_rules! event_table {
    ($(
        $(#[doc = $doc:literal])+
        $event:ident = $name:literal $({ $( $(#[doc = $field_doc:literal])+ $key:literal = $field:ident: $type:ty, )+ })?
    )+) => {
        /// What happened to a call, or to the party of one of its legs.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum EventBody {
            $( $(#[doc = $doc])+ $event $({ $( $(#[doc = $field_doc])+ $field: $type, )+ })?, )+
        }

        impl EventBody {
            /// Every event, in the order of the table.
            pub fn table() -> Vec<EventInfo> {
                vec![$( EventInfo {
                    name: $name,
                    doc: concat!($($doc),+).trim_ascii(),
                    fields: vec![$($( field_info::<$type>($key, concat!($($field_doc),+).trim_ascii()), )+)?],
                }, )+]
            }

            /// The value of `event`.
            pub fn name(&self) -> &'static str {
                match self {
                    $( Self::$event { .. } => $name, )+
                }
            }

            /// Appends the fields that this event has beside those of every event.
            pub(super) fn write(&self, dict: &mut Dict) {
                match self {
                    $( Self::$event $({ $($field,)+ })? => { $($( $field.push($key, dict); )+)? } )+
                }
            }
        }
    };
}

/// A plain record whose fields are written like those of an event.
macro_rules! record {
    ($(#[doc = $doc:literal])+ $record:ident { $( $(#[doc = $field_doc:literal])+ $key:literal = $field:ident: $type:ty, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $record {
            $( $(#[doc = $field_doc])+ pub $field: $type, )+
        }

        impl $record {
            /// The fields, in the order in which they are written.
            pub fn fields() -> Vec<FieldInfo> {
                vec![$( field_info::<$type>($key, concat!($($field_doc),+).trim_ascii()), )+]
            }

            fn dict(&self) -> Dict {
                let mut dict = Dict::default();
                $( self.$field.push($key, &mut dict); )+
                dict
            }
        }
    };
}

event_table! {
    /// The engine applied the first offer.
    Opened = "call.opened"

    /// The engine applied an answer for the first time.
    Answered = "call.answered"

    /// An ICE pair of the party is nominated.
    IceConnected = "call.ice.connected"

    /// The DTLS handshake is complete and the certificate matches the fingerprint in the party's SDP.
    DtlsConnected = "call.dtls.connected"

    /// A shut gate was opened.
    GateOpened = "call.gate.opened"

    /// A gate was closed, by `gate` or because its call ended.
    GateClosed = "call.gate.closed"

    /// A shut gate was not opened within `gate-timeout`.
    GateTimedOut = "call.gate.timed-out" {
        /// state of the gate from now on
        "gate" = gate: GateState,
    }

    /// The first media packet was received from the party.
    FirstMediaIn = "call.media.first-in"

    /// The first media packet was sent to the party.
    FirstMediaOut = "call.media.first-out"

    /// Audio that was kept for the party has been played, and the delay is normal again.
    CaughtUp = "call.caught-up"

    /// The party pressed a key and released it.
    Digit = "call.dtmf" {
        /// the key
        "digit" = digit: Digit,
        /// how long it was pressed
        "duration-ms" = duration: Duration,
        /// power, -dBm0
        "volume" = volume: Dbm0,
    }

    /// Something is wrong that may end the call. Sent again while it lasts.
    AtRisk = "call.at-risk" {
        /// what is, or was, wrong
        "risk" = risk: RiskName,
        /// the last milestone of the party's leg
        "stage" = stage: Milestone,
        /// how long it has lasted
        "lasted-ms" = lasted: Duration,
        /// explanation, a sentence
        "reason" = reason: String,
    }

    /// A risk has passed.
    Recovered = "call.recovered" {
        /// what is, or was, wrong
        "risk" = risk: RiskName,
    }

    /// The party's transport is lost.
    LegFailed = "call.leg.failed" {
        /// explanation, a sentence
        "reason" = failure: LegFailure,
    }

    /// No media was received for `timeout` or `silent-timeout`. The call is ended for it.
    MediaTimeout = "call.media.timeout"

    /// The call has ended.
    Ended = "call.ended" {
        /// what ended it
        "cause" = cause: EndedBy,
        /// its parties
        "legs" = legs: Vec<EndedLeg>,
        /// the verdict on the call
        "verdict" = verdict: Option<VerdictHeadline>,
    }
}

record! {
    /// One party of a call that has ended.
    EndedLeg {
        /// SIP tag of the party; missing for a callee that has not answered
        "tag" = tag: Option<String>,
        /// its label, if it was given one
        "label" = label: Option<String>,
        /// media packets received from the party
        "packets-in" = packets_in: u64,
        /// media packets sent to it
        "packets-out" = packets_out: u64,
        /// packets of its stream that were lost; negative if some came twice
        "packets-lost" = packets_lost: i64,
        /// frames concealed on the way to it, in place of lost ones
        "concealed-frames" = concealed_frames: u64,
        /// frames of filler sent to it, because there was nothing to forward
        "filled-frames" = filled_frames: u64,
        /// audio that was kept when the first of it was played
        "pre-roll-ms" = preroll: Duration,
        /// audio that was lost because it came before it could be sent
        "clipped-ms" = clipped: Duration,
        /// time until the delay of the call was normal; missing if it never was, or nothing was kept
        "caught-up-ms" = caught_up: Option<Duration>,
    }
}

impl FieldValue for Vec<EndedLeg> {
    fn push(&self, key: &str, dict: &mut Dict) {
        let legs = self.iter().map(|leg| leg.dict().into());
        dict.push(key, legs.collect::<Vec<Value>>());
    }

    fn schema() -> Dict {
        let items = Dict::default().with("$ref", "#/$defs/ended-leg");
        Dict::default().with("type", "array").with("items", items)
    }
}

impl EventBody {
    /// The event of a milestone, if there is one.
    pub fn of_milestone(milestone: Milestone) -> Option<Self> {
        match milestone {
            Milestone::IceConnected => Some(Self::IceConnected),
            Milestone::DtlsConnected => Some(Self::DtlsConnected),
            Milestone::FirstMediaIn => Some(Self::FirstMediaIn),
            Milestone::FirstMediaOut => Some(Self::FirstMediaOut),
            Milestone::CaughtUp => Some(Self::CaughtUp),
            // The controller emits the events of gates when it commits the session that changes them.
            Milestone::GateOpened
            | Milestone::Opened
            | Milestone::RemoteKnown
            | Milestone::FirstCheck
            | Milestone::Latched => None,
        }
    }
}
