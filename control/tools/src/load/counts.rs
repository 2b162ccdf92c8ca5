//! What is counted in a run.

use std::collections::{BTreeMap, HashMap};

use super::arrivals::FrameArrival;
use super::latencies::Latencies;
use super::ng::LoadVerb;

/// What was counted. Of packets, those whose frame lies in the time that is measured.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Packets sent by the offering and by the answering sides.
    pub sent: [u64; 2],
    /// Of these, those that came out on the other side, each once.
    pub came: [u64; 2],
    /// Came out more than once.
    pub again: u64,
    /// Packets that fit to nothing.
    pub strange: u64,
    /// Not authentic.
    pub bad: u64,
    /// How long the engine kept the packets of the offering and of the answering sides.
    pub delay: [Latencies; 2],
    /// How late the load was.
    pub late: Latencies,
    /// From a command to its reply, by verb.
    pub replies: HashMap<LoadVerb, Latencies>,
    /// From the answer's reply to the SRTP keys.
    pub connected: Latencies,
    /// From when a call should have been offered to its coming up.
    pub set_up: Latencies,
    /// Calls that came up.
    pub up: u64,
    /// Calls that were deleted.
    pub deleted: u64,
    /// Calls that failed, by reason.
    pub failed: BTreeMap<String, u64>,
}

impl Counts {
    /// A frame of a side has come out.
    pub fn note(&mut self, measured: &std::ops::Range<u64>, side: usize, frame: u64, came: FrameArrival) {
        match came {
            _ if !measured.contains(&frame) => {}
            FrameArrival::After(delay) => {
                self.came[side] += 1;
                self.delay[side].add(delay);
            }
            FrameArrival::Again => self.again += 1,
            FrameArrival::Unknown => self.strange += 1,
        }
    }
}
