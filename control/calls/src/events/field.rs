//! Types of the fields of events: how each is written, and its JSON schema.

use std::time::Duration;

use trestle_core::{LegFailure, Milestone};
use trestle_negotiate::GateState;
use trestle_ng::{Dict, Value};
use trestle_wire::telephone_event::Digit;

use super::{RiskName, milestone_name};
use crate::ended::EndedBy;

/// A field of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name in JSON.
    pub key: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// It is never missing.
    pub required: bool,
    /// JSON schema of its value, without a description.
    pub schema: Dict,
}

/// A type that a field of an event may have.
pub(super) trait FieldValue {
    /// The field is never missing.
    const REQUIRED: bool = true;

    /// Appends the field.
    fn push(&self, key: &str, dict: &mut Dict);

    /// JSON schema of the value.
    fn schema() -> Dict;
}

pub(super) fn field_info<T: FieldValue>(key: &'static str, doc: &'static str) -> FieldInfo {
    FieldInfo { key, doc, required: T::REQUIRED, schema: T::schema() }
}

/// Power of a digit, -dBm0, 0 to 63 (RFC 4733 section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dbm0(pub u8);

/// The keys of the verdict that an event has room for: see [`crate::diagnosis::CallVerdict::headline`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictHeadline(pub Dict);

/// A duration as whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count() -> Dict {
    Dict::default().with("$ref", "#/$defs/count")
}

fn string() -> Dict {
    Dict::default().with("type", "string")
}

fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Dict {
    Dict::default().with("enum", names.into_iter().map(Value::from).collect::<Vec<_>>())
}

impl<T: FieldValue> FieldValue for Option<T> {
    const REQUIRED: bool = false;

    fn push(&self, key: &str, dict: &mut Dict) {
        if let Some(value) = self {
            value.push(key, dict);
        }
    }

    fn schema() -> Dict {
        T::schema()
    }
}

impl FieldValue for u64 {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, *self);
    }

    fn schema() -> Dict {
        count()
    }
}

impl FieldValue for i64 {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, Value::Integer(*self));
    }

    fn schema() -> Dict {
        Dict::default().with("type", "integer")
    }
}

impl FieldValue for String {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, self.as_str());
    }

    fn schema() -> Dict {
        string()
    }
}

impl FieldValue for Duration {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, ms(*self));
    }

    fn schema() -> Dict {
        count()
    }
}

impl FieldValue for Dbm0 {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, u64::from(self.0));
    }

    fn schema() -> Dict {
        Dict::default().with("type", "integer").with("minimum", 0_u64).with("maximum", 63_u64)
    }
}

impl FieldValue for Digit {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, self.to_char().to_string());
    }

    fn schema() -> Dict {
        one_of(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "A", "B", "C", "D"])
    }
}

impl FieldValue for GateState {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, self.name());
    }

    fn schema() -> Dict {
        one_of([Self::Shut, Self::Open].map(Self::name))
    }
}

impl FieldValue for RiskName {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, self.name());
    }

    fn schema() -> Dict {
        one_of(Self::ALL.map(Self::name))
    }
}

impl FieldValue for Milestone {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, milestone_name(*self));
    }

    fn schema() -> Dict {
        one_of(super::MILESTONES.map(milestone_name))
    }
}

impl FieldValue for LegFailure {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, self.to_string());
    }

    fn schema() -> Dict {
        string()
    }
}

impl FieldValue for EndedBy {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, self.name());
    }

    fn schema() -> Dict {
        one_of(Self::ALL.map(Self::name))
    }
}

impl FieldValue for VerdictHeadline {
    fn push(&self, key: &str, dict: &mut Dict) {
        dict.push(key, self.0.clone());
    }

    fn schema() -> Dict {
        Dict::default().with("$ref", "#/$defs/ended-verdict")
    }
}
