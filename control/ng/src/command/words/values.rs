//! Values as texts, names and numbers; what is none of these is named in the warnings.

use std::borrow::Cow;

use super::super::NAME_BYTES_MAX;
use super::FlagReader;
use crate::Value;

impl FlagReader {
    /// Calls `take` with every member of a list, or of a string split at its commas.
    pub(super) fn each(&mut self, key: &str, value: &Value, mut take: impl FnMut(&mut Self, &str)) {
        if !for_each(value, |member| take(self, member)) {
            self.unreadable(key);
        }
    }

    pub(super) fn text<'a>(&mut self, key: &str, value: &'a Value) -> Option<Cow<'a, str>> {
        let text = value.to_text();
        if text.is_none() {
            self.unreadable(key);
        }
        text
    }

    /// A name that will be kept: not empty, not longer than names may be.
    pub(super) fn name(&mut self, key: &str, value: &Value) -> Option<String> {
        let text = self.text(key, value)?;
        if text.len() > NAME_BYTES_MAX {
            self.unreadable(key);
            return None;
        }
        Some(text.into_owned()).filter(|name| !name.is_empty())
    }

    pub(super) fn number(&mut self, key: &str, value: &Value) -> Option<u32> {
        let number = value.to_integer().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.unreadable(key);
        }
        number
    }

    pub(super) fn unknown_value(&mut self, key: &str, value: &str) {
        self.flags.warn(format!("unknown value `{value}` of `{key}` ignored"));
    }

    pub(super) fn unreadable(&mut self, key: &str) {
        self.flags.warn(format!("value of `{key}` is not of the expected kind; ignored"));
    }
}

/// False if the value, or a member of it, is no text.
pub(super) fn for_each(value: &Value, mut take: impl FnMut(&str)) -> bool {
    match value {
        Value::List(members) => members.iter().fold(true, |good, member| match member.to_text() {
            Some(text) => {
                take(&text);
                good
            }
            None => false,
        }),
        _ => value.to_text().is_some_and(|text| {
            text.split(',').map(str::trim).filter(|member| !member.is_empty()).for_each(take);
            true
        }),
    }
}
