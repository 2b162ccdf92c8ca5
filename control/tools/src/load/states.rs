//! How far each call of a run is.

use std::ops::{Index, IndexMut};

use super::pace::Ns;

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Not offered yet.
    Idle,
    /// The offer is sent.
    Offered,
    /// The answer is sent.
    Answered,
    /// DTLS is under way.
    Connecting,
    /// Media flows.
    Up,
    /// The delete is sent.
    Deleting,
    /// Deleted.
    Over,
    /// Refused, or without a reply or keys in time.
    Failed,
}

/// The state of one call.
#[derive(Debug, Clone, Copy)]
pub struct LoadCall {
    /// How far it is.
    pub state: CallState,
    /// When the call was offered, or was due to be offered.
    pub started_at: Ns,
    /// When the last step was made.
    pub since: Ns,
}

/// The states of all calls of a run.
#[derive(Debug)]
pub struct CallStates(Vec<LoadCall>);

impl CallStates {
    /// `count` calls, none of them offered yet.
    pub(super) fn new(count: usize) -> Self {
        Self(vec![LoadCall { state: CallState::Idle, started_at: 0, since: 0 }; count])
    }

    /// Number of calls, in any state.
    #[expect(clippy::len_without_is_empty, reason = "a run has at least one call")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Number of calls that carry media.
    pub fn up(&self) -> usize {
        self.count(&[CallState::Up])
    }

    /// Number of calls between their offer and their first media.
    pub fn setting_up(&self) -> usize {
        self.count(&[CallState::Offered, CallState::Answered, CallState::Connecting])
    }

    /// Number of calls that have failed.
    pub fn failed(&self) -> usize {
        self.count(&[CallState::Failed])
    }

    /// Number of calls that have ended, deleted or failed.
    pub fn over(&self) -> usize {
        self.count(&[CallState::Over, CallState::Failed])
    }

    fn count(&self, states: &[CallState]) -> usize {
        self.0.iter().filter(|call| states.contains(&call.state)).count()
    }
}

impl Index<usize> for CallStates {
    type Output = LoadCall;

    fn index(&self, call: usize) -> &LoadCall {
        &self.0[call]
    }
}

impl IndexMut<usize> for CallStates {
    fn index_mut(&mut self, call: usize) -> &mut LoadCall {
        &mut self.0[call]
    }
}
