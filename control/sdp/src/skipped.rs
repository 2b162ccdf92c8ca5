//! What a description has and Trestle does not use.

use crate::SdpError;

/// The lines and items of a description that are malformed, or beyond a limit, and that a call does not need. Trestle uses the
/// description without them. The first [`Skipped::KEPT_MAX`] are kept with their reasons, the others are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    kept: Vec<SdpError>,
    surplus: usize,
}

impl Skipped {
    /// Items that are kept with their reasons.
    pub const KEPT_MAX: usize = 8;

    /// Adds an item.
    pub(crate) fn add(&mut self, error: SdpError) {
        if self.kept.len() < Self::KEPT_MAX {
            self.kept.push(error);
        } else {
            self.surplus += 1;
        }
    }

    /// The value; without one the error, if any, is added.
    pub(crate) fn take<T>(&mut self, value: Result<Option<T>, SdpError>) -> Option<T> {
        value.unwrap_or_else(|error| {
            self.add(error);
            None
        })
    }

    /// Adds all items of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        self.surplus += other.surplus;
        other.kept.into_iter().for_each(|error| self.add(error));
    }

    /// The items that are kept, in the order of the lines as far as they were read in that order.
    pub fn iter(&self) -> impl Iterator<Item = &SdpError> {
        self.kept.iter()
    }

    /// Number of all items.
    pub fn count(&self) -> usize {
        self.kept.len() + self.surplus
    }

    /// One sentence for each item that is kept, and one for the rest.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let rest = (self.surplus > 0).then(|| format!("{} more items of the SDP are not used", self.surplus));
        self.kept.iter().map(|error| format!("not used: {error}")).chain(rest)
    }
}
