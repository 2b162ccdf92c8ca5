//! Durations of the set-up stages of legs, over all calls. Only WebRTC legs have the stages ICE and DTLS.

use std::time::{Duration, Instant};

use trestle_core::{CallId, LegId, Milestone};
use trestle_ng::command::flags::ProfileName;

use super::{Controller, risks};
use crate::histogram::Histogram;

/// A stage of a leg's set-up. Each stage begins at the end of the stage before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupStage {
    /// Until an ICE pair is nominated. It begins when Trestle has the SDP of both parties. WhatsApp replies to connectivity checks
    /// only after it has received the answer, so this stage includes the time of the signalling.
    Ice,
    /// Until DTLS is connected.
    Dtls,
    /// Until the gate is opened: 0 if it was opened before DTLS was connected. Only for legs whose gate was shut at first.
    Gate,
    /// Until the first media packet is sent.
    FirstAudio,
}

impl SetupStage {
    /// All stages, in order of time.
    pub const ALL: [Self; 4] = [Self::Ice, Self::Dtls, Self::Gate, Self::FirstAudio];

    /// Label value in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::Gate => "gate",
            Self::FirstAudio => "first_audio",
        }
    }
}

/// Upper bounds of the histograms, microseconds. 350 ms is the goal for ICE and DTLS together. WhatsApp ends a call after 20 s
/// without media. Most calls are answered within 60 s.
const BOUNDS_US: [u64; 14] = [
    5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 350_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
    20_000_000, 60_000_000,
];

/// A histogram per stage.
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

    /// The durations of one stage, microseconds.
    pub fn of(&self, stage: SetupStage) -> &Histogram {
        &self.0[stage as usize]
    }
}

/// Counts the stage of set-up that ends with a milestone. SIP phones are not counted: they are set up at once, or by
/// signalling that Trestle does not see.
pub(super) fn note_milestone(controller: &mut Controller, now: Instant, id: CallId, leg: LegId, milestone: Milestone) {
    let Some(call) = controller.calls.get_mut(id) else { return };
    let stage = call.progress.reach(now, leg, milestone);
    let counts = call.party(leg).is_some_and(|party| party.profile() != ProfileName::Sip);
    if let Some((stage, took)) = stage.filter(|_| counts) {
        controller.counters.setup.add(stage, took);
    }
    if matches!(milestone, Milestone::IceConnected | Milestone::Latched | Milestone::FirstMediaIn) {
        controller.calls.half_open.note_media(id);
    }
    risks::emit_one_way(controller, now, id);
}
