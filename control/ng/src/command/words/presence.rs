//! What a message says of gates: `gate`, `gate-timeout`, `gate-on-timeout`, `pre-roll`, `filler`.

use std::time::Duration;

use trestle_core::plan::{Filler, Gate};

use super::FlagReader;
use crate::Value;
use crate::value::normalised;

/// Longest time that a gate may stay shut. Meta gives up on a call after a minute.
pub const GATE_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Most audio that is kept for a party whose gate is shut.
pub const PRE_ROLL_MAX: Duration = Duration::from_millis(10_000);

/// Each as said, if it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresenceFlags {
    /// `gate`: how the gate of the WhatsApp party stands.
    pub gate: Option<Gate>,
    /// `gate-timeout`: how long it may stay shut.
    pub gate_timeout: Option<Duration>,
    /// `gate-on-timeout`: how it stands after that.
    pub gate_on_timeout: Option<Gate>,
    /// `pre-roll`: how much audio is kept meanwhile.
    pub pre_roll: Option<Duration>,
    /// `filler`: what the party gets when there is nothing to pass on.
    pub filler: Option<Filler>,
}

/// `open` or `shut`.
pub fn gate(word: &str) -> Option<Gate> {
    match normalised(word).as_str() {
        "open" => Some(Gate::Open),
        "shut" => Some(Gate::Shut),
        _ => None,
    }
}

/// `none`, `silence`, `comfort-noise` or `hold-tone`.
pub fn filler(word: &str) -> Option<Filler> {
    match normalised(word).as_str() {
        "none" => Some(Filler::Nothing),
        "silence" => Some(Filler::Silence),
        "comfort-noise" => Some(Filler::ComfortNoise),
        "hold-tone" => Some(Filler::HoldTone),
        _ => None,
    }
}

impl FlagReader {
    /// False if the key is none of these.
    pub(super) fn presence(&mut self, name: &str, key: &str, value: &Value) -> bool {
        match name {
            "gate" => self.each(key, value, |this, word| match gate(word) {
                Some(gate) => this.flags.presence.gate = Some(gate),
                None => this.unknown_value("gate", word),
            }),
            "gate-on-timeout" => self.each(key, value, |this, word| match gate(word) {
                Some(gate) => this.flags.presence.gate_on_timeout = Some(gate),
                None => this.unknown_value("gate-on-timeout", word),
            }),
            "filler" => self.each(key, value, |this, word| match filler(word) {
                Some(filler) => this.flags.presence.filler = Some(filler),
                None => this.unknown_value("filler", word),
            }),
            "gate-timeout" => match self.number(key, value) {
                Some(0) => self.unknown_value("gate-timeout", "0"),
                Some(seconds) => {
                    let timeout = Duration::from_secs(seconds.into()).min(GATE_TIMEOUT_MAX);
                    self.flags.presence.gate_timeout = Some(timeout);
                }
                None => {}
            },
            // The verb `gate` says here what becomes of what was kept.
            "pre-roll" if value.to_text().is_some_and(|text| matches!(&*text, "keep" | "drop")) => {}
            "pre-roll" => {
                let pre_roll = self.number(key, value).map(|ms| Duration::from_millis(ms.into()).min(PRE_ROLL_MAX));
                self.flags.presence.pre_roll = pre_roll.or(self.flags.presence.pre_roll);
            }
            _ => return false,
        }
        true
    }
}
