//! The gate of a WhatsApp party: whether media may leave towards it, what is kept before, and what fills gaps.
//!
//! WhatsApp's client treats a call as accepted when the first media packet arrives. So the application, which knows when the
//! call is accepted, decides when media may leave. A gate that no message mentions is open.
//!
//! ```text
//!            flag gate=shut, before the first answer
//!      Open -----------------------------------------> Shut ---- gate-timeout ----> TimedOut
//!       ^                                               |                              |
//!       +------- verb or flag `gate` `open` ------------+------------------------------+
//!       |                                               |                              |
//!       +--------------- verb `gate` `close` -----------+------------------------------+--> Closed, for good
//! ```

use std::time::Duration;

use trestle_core::plan::{Filler, Gate, SendPolicy};
use trestle_ng::command::flags::GateFlags;

/// Defaults of the gates of WhatsApp parties, for what a message does not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatePolicy {
    /// State at first.
    pub gate: Gate,
    /// How long a gate may stay shut once the party's exchange is complete.
    pub gate_timeout: Duration,
    /// State after that.
    pub gate_on_timeout: Gate,
    /// How much audio is kept before media may leave.
    pub pre_roll: Duration,
    /// What the party gets when its source sends nothing.
    pub filler: Filler,
}

impl Default for GatePolicy {
    /// An open gate, because no proxy sends `gate`; three seconds of pre-roll, so that the first words reach the party; and
    /// comfort noise, so that the line does not seem dead.
    fn default() -> Self {
        Self {
            gate: Gate::Open,
            gate_timeout: Duration::from_secs(60),
            gate_on_timeout: Gate::Shut,
            pre_roll: Duration::from_secs(3),
            filler: Filler::ComfortNoise,
        }
    }
}

/// State of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// Media may leave.
    Open,
    /// Media may not leave yet.
    Shut,
    /// Shut, and `gate-timeout` has passed. It can still be opened.
    TimedOut,
    /// Nothing leaves any more.
    Closed,
}

impl GateState {
    /// Name in replies and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Shut | Self::TimedOut => "shut",
            Self::Closed => "closed",
        }
    }
}

/// The gate of one party, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartyGate {
    state: GateState,
    /// The verb `gate` has opened or closed it, which overrides the flags of later messages.
    moved_by_verb: bool,
    timeout: Duration,
    on_timeout: Gate,
    pre_roll: Duration,
    filler: Filler,
}

impl PartyGate {
    pub(crate) fn new(policy: &GatePolicy) -> Self {
        let state = match policy.gate {
            Gate::Open => GateState::Open,
            Gate::Shut => GateState::Shut,
        };
        let GatePolicy { gate_timeout: timeout, gate_on_timeout: on_timeout, pre_roll, filler, .. } = *policy;
        Self { state, moved_by_verb: false, timeout, on_timeout, pre_roll, filler }
    }

    pub(crate) fn state(&self) -> GateState {
        self.state
    }

    /// How long it may stay shut; `None` if it is not shut, or has been left.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        (self.state == GateState::Shut).then_some(self.timeout)
    }

    /// The flags of an offer or an answer. Returns false if they open a gate that is closed for good.
    ///
    /// They shut a gate before the first answer only, so that a repeated answer does not shut a gate that was opened since.
    /// Nor do they shut one that the verb has moved: a call may be accepted before its answer arrives here.
    pub(crate) fn apply(&mut self, flags: &GateFlags, answered: bool) -> bool {
        self.timeout = flags.gate_timeout.unwrap_or(self.timeout);
        self.on_timeout = flags.gate_on_timeout.unwrap_or(self.on_timeout);
        self.pre_roll = flags.pre_roll.unwrap_or(self.pre_roll);
        self.filler = flags.filler.unwrap_or(self.filler);
        match (flags.gate, self.state) {
            (Some(Gate::Shut), GateState::Open) if !(answered || self.moved_by_verb) => self.state = GateState::Shut,
            (Some(Gate::Open), GateState::Shut | GateState::TimedOut) => self.state = GateState::Open,
            (Some(Gate::Open), GateState::Closed) => return false,
            _ => {}
        }
        true
    }

    /// The verb `gate` `open`.
    pub(crate) fn open(&mut self, drop_pre_roll: bool) {
        self.moved_by_verb = true;
        if matches!(self.state, GateState::Shut | GateState::TimedOut) {
            self.state = GateState::Open;
            if drop_pre_roll {
                self.pre_roll = Duration::ZERO;
            }
        }
    }

    /// The verb `gate` `close`.
    pub(crate) fn close(&mut self) {
        self.moved_by_verb = true;
        self.state = GateState::Closed;
    }

    /// Its timeout has passed.
    pub(crate) fn time_out(&mut self) {
        if self.state == GateState::Shut {
            self.state = match self.on_timeout {
                Gate::Open => GateState::Open,
                Gate::Shut => GateState::TimedOut,
            };
        }
    }

    pub(super) fn send_policy(&self) -> SendPolicy {
        SendPolicy {
            gate: if self.state == GateState::Open { Gate::Open } else { Gate::Shut },
            preroll_max: if self.state == GateState::Closed { Duration::ZERO } else { self.pre_roll },
            filler: self.filler,
        }
    }
}
