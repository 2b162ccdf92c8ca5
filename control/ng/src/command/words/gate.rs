//! Keys about the gate of a WhatsApp party: `gate`, `gate-timeout`, `gate-on-timeout`, `pre-roll`, `filler`.

use std::time::Duration;

use trestle_core::plan::{Filler, Gate};

use super::FlagReader;
use crate::Value;
use crate::value::normalised;

/// Longest time that a gate may stay shut. Meta gives up on a call after a minute.
pub const GATE_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Most audio that is kept for a party whose gate is shut.
pub const PRE_ROLL_MAX: Duration = Duration::from_millis(10_000);

/// The values that the message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateFlags {
    /// `gate`: the state of the WhatsApp party's gate.
    pub gate: Option<Gate>,
    /// `gate-timeout`: how long it may stay shut.
    pub gate_timeout: Option<Duration>,
    /// `gate-on-timeout`: its state after that.
    pub gate_on_timeout: Option<Gate>,
    /// `pre-roll`: how much audio is kept meanwhile.
    pub pre_roll: Option<Duration>,
    /// `filler`: what the party gets when there is nothing to pass on.
    pub filler: Option<Filler>,
}

/// `open` or `shut`.
pub fn gate_named(word: &str) -> Option<Gate> {
    match normalised(word).as_str() {
        "open" => Some(Gate::Open),
        "shut" => Some(Gate::Shut),
        _ => None,
    }
}

/// `none`, `silence`, `comfort-noise` or `hold-tone`.
pub fn filler_named(word: &str) -> Option<Filler> {
    match normalised(word).as_str() {
        "none" => Some(Filler::Nothing),
        "silence" => Some(Filler::Silence),
        "comfort-noise" => Some(Filler::ComfortNoise),
        "hold-tone" => Some(Filler::HoldTone),
        _ => None,
    }
}

pub(crate) fn gate(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, |reader, word| match gate_named(word) {
        Some(gate) => reader.flags.gate.gate = Some(gate),
        None => reader.unknown_value("gate", word),
    });
}

pub(crate) fn gate_on_timeout(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, |reader, word| match gate_named(word) {
        Some(gate) => reader.flags.gate.gate_on_timeout = Some(gate),
        None => reader.unknown_value("gate-on-timeout", word),
    });
}

pub(crate) fn filler(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, |reader, word| match filler_named(word) {
        Some(filler) => reader.flags.gate.filler = Some(filler),
        None => reader.unknown_value("filler", word),
    });
}

pub(crate) fn gate_timeout(reader: &mut FlagReader, key: &str, value: &Value) {
    match reader.number(key, value) {
        Some(0) => reader.unknown_value("gate-timeout", "0"),
        Some(seconds) => {
            let timeout = Duration::from_secs(seconds.into()).min(GATE_TIMEOUT_MAX);
            reader.flags.gate.gate_timeout = Some(timeout);
        }
        None => {}
    }
}

pub(crate) fn pre_roll(reader: &mut FlagReader, key: &str, value: &Value) {
    // In the verb `gate`, `pre-roll` is `keep` or `drop`; the request reads it.
    if value.to_text().is_some_and(|text| matches!(&*text, "keep" | "drop")) {
        return;
    }
    let pre_roll = reader.number(key, value).map(|ms| Duration::from_millis(ms.into()).min(PRE_ROLL_MAX));
    reader.flags.gate.pre_roll = pre_roll.or(reader.flags.gate.pre_roll);
}
