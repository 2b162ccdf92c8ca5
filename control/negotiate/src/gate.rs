//! When a WhatsApp party gets media: its gate, what is kept before, and what comes in place of silence.
//!
//! WhatsApp's client takes a call as accepted with the first media packet, so whoever knows when a call is accepted (the
//! application) says when media may leave. Whoever says nothing of gates has one that stands open.

use std::time::Duration;

use trestle_core::LegId;
use trestle_core::plan::{Filler, Gate, SendPolicy};

use super::exchange::Exchange;
use super::party::Party;
use super::session::Session;
use super::standing::{Change, StandingError};
use trestle_ng::command::flags::ProfileName;
use trestle_ng::command::{MoveGate, Whom};

/// What holds for WhatsApp parties of which a message says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresencePolicy {
    /// How the gate stands at first.
    pub gate: Gate,
    /// How long it may stay shut once the party's exchange is complete.
    pub gate_timeout: Duration,
    /// How it stands after that.
    pub gate_on_timeout: Gate,
    /// How much audio is kept before media may leave.
    pub pre_roll: Duration,
    /// What the party gets when there is nothing to pass on.
    pub filler: Filler,
}

impl Default for PresencePolicy {
    /// An open gate, as no proxy would ever open it; and what a caller should hear: the first words, and then a line that
    /// is alive.
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

/// How a gate stands. One that has been shut is left by one of three exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// Media may leave.
    Open,
    /// Not yet.
    Shut,
    /// Nobody has opened it in time. It still can be.
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

/// The gate of a party, and what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) state: GateState,
    /// The verb `gate` has opened or closed it: whoever knows when the call is accepted has spoken.
    moved: bool,
    timeout: Duration,
    on_timeout: Gate,
    pre_roll: Duration,
    filler: Filler,
}

impl Gateway {
    fn new(policy: &PresencePolicy) -> Self {
        let state = match policy.gate {
            Gate::Open => GateState::Open,
            Gate::Shut => GateState::Shut,
        };
        let PresencePolicy { gate_timeout: timeout, gate_on_timeout: on_timeout, pre_roll, filler, .. } = *policy;
        Self { state, moved: false, timeout, on_timeout, pre_roll, filler }
    }

    pub(crate) fn send_policy(&self) -> SendPolicy {
        SendPolicy {
            gate: if self.state == GateState::Open { Gate::Open } else { Gate::Shut },
            preroll_max: if self.state == GateState::Closed { Duration::ZERO } else { self.pre_roll },
            filler: self.filler,
        }
    }
}

impl Exchange<'_> {
    /// What the message says of gates, for the WhatsApp parties among these. To be called before the exchange counts as
    /// complete: later a gate is shut by nobody, so that a repeated answer does not shut what was opened meanwhile. Nor is
    /// one that the verb has moved: a call may be accepted before the answer of the SDP has come this far.
    pub(super) fn take_presence(&mut self, indexes: &[usize]) {
        let flags = &self.signal.flags;
        let says = flags.presence;
        let mut met = false;
        for &index in indexes {
            let party = &mut self.session.parties[index];
            if party.profile != ProfileName::Whatsapp {
                continue;
            }
            met = true;
            let answered = party.answered;
            let gateway = party.gateway.get_or_insert_with(|| Gateway::new(&self.environment.presence));
            gateway.timeout = says.gate_timeout.unwrap_or(gateway.timeout);
            gateway.on_timeout = says.gate_on_timeout.unwrap_or(gateway.on_timeout);
            gateway.pre_roll = says.pre_roll.unwrap_or(gateway.pre_roll);
            gateway.filler = says.filler.unwrap_or(gateway.filler);
            match (says.gate, gateway.state) {
                (Some(Gate::Shut), GateState::Open) if !(answered || gateway.moved) => gateway.state = GateState::Shut,
                (Some(Gate::Open), GateState::Shut | GateState::TimedOut) => gateway.state = GateState::Open,
                (Some(Gate::Open), GateState::Closed) => {
                    self.warnings.push("the gate is closed and stays so; open another call".to_owned());
                }
                _ => {}
            }
        }
        if !met && says != Default::default() {
            let text = "gate, gate-timeout, gate-on-timeout, pre-roll and filler are for WhatsApp; neither party is it";
            self.warnings.push(text.to_owned());
        }
    }
}

impl Session {
    /// The gates there are: whose, and how they stand.
    pub fn gates(&self) -> impl Iterator<Item = (LegId, GateState)> {
        self.parties.iter().filter_map(|party| Some((party.leg, party.gateway?.state)))
    }

    /// How long the shut gates may stay so; `None` if none is shut, or nothing is agreed yet with any whose gate is.
    pub fn gate_timeout(&self) -> Option<Duration> {
        self.waiting().map(|gateway| gateway.timeout).min()
    }

    fn waiting(&self) -> impl Iterator<Item = &Gateway> {
        let waits = |party: &&Party| party.answered;
        self.parties
            .iter()
            .filter(waits)
            .filter_map(|party| party.gateway.as_ref())
            .filter(|g| g.state == GateState::Shut)
    }

    /// `gate`: opens or closes.
    pub fn move_gate(&self, to: &MoveGate) -> Result<Change, StandingError> {
        let one = self.find(&to.whom)?;
        let mut session = self.clone();
        let named = session.parties.iter_mut().enumerate().filter(|(index, _)| one.is_none_or(|one| one == *index));
        let mut gateways: Vec<&mut Gateway> = named.filter_map(|(_, party)| party.gateway.as_mut()).collect();
        if gateways.is_empty() {
            return Err(if to.whom == Whom::Everybody { StandingError::NoGate } else { StandingError::NotGated });
        }
        if to.open && gateways.iter().all(|gateway| gateway.state == GateState::Closed) {
            return Err(StandingError::GateClosed);
        }
        for gateway in &mut gateways {
            gateway.moved = true;
            match (to.open, gateway.state) {
                (false, _) => gateway.state = GateState::Closed,
                (true, GateState::Shut | GateState::TimedOut) => {
                    gateway.state = GateState::Open;
                    if to.drop_pre_roll {
                        gateway.pre_roll = Duration::ZERO;
                    }
                }
                (true, GateState::Open | GateState::Closed) => {}
            }
        }
        Ok(self.change_to(session))
    }

    /// Nobody has opened the shut gates in time.
    pub fn time_out_gates(&self) -> Change {
        let mut session = self.clone();
        for party in session.parties.iter_mut().filter(|party| party.answered) {
            if let Some(gateway) = party.gateway.as_mut().filter(|gateway| gateway.state == GateState::Shut) {
                gateway.state = match gateway.on_timeout {
                    Gate::Open => GateState::Open,
                    Gate::Shut => GateState::TimedOut,
                };
            }
        }
        self.change_to(session)
    }
}
