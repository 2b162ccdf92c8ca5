//! How long the stages of the set-up of WebRTC legs take, over all calls.

use std::time::Duration;

use crate::histogram::Histogram;

/// A stage of a leg's set-up. Each begins where the one before has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupStage {
    /// From when the last party's description became known until an ICE pair is nominated. WhatsApp answers checks only when
    /// it has our answer, so the time that the signalling takes is included.
    Ice,
    /// From then until DTLS is connected.
    Dtls,
    /// From then until the gate was opened: 0 if it was opened before media could leave. Only of gates that were shut.
    Gate,
    /// From then until the first media packet was sent.
    FirstAudio,
}

impl SetupStage {
    /// In order of time.
    pub const ALL: [Self; 4] = [Self::Ice, Self::Dtls, Self::Gate, Self::FirstAudio];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::Gate => "gate",
            Self::FirstAudio => "first_audio",
        }
    }
}

/// Upper bounds of the histograms, microseconds. A good set-up takes some round trips (the goal for ICE and DTLS together is
/// 350 ms); WhatsApp ends a call after 20 s without media, and most calls are answered within a minute.
const BOUNDS_US: [u64; 14] = [
    5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 350_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
    20_000_000, 60_000_000,
];

/// A histogram per stage, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupTimes([Histogram; SetupStage::ALL.len()]);

impl Default for SetupTimes {
    fn default() -> Self {
        Self(SetupStage::ALL.map(|_| Histogram::new(&BOUNDS_US)))
    }
}

impl SetupTimes {
    pub(super) fn add(&mut self, stage: SetupStage, took: Duration) {
        self.0[stage as usize].add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The times of one stage, microseconds.
    pub fn of(&self, stage: SetupStage) -> &Histogram {
        &self.0[stage as usize]
    }
}
