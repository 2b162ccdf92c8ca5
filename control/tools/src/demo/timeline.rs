//! What a demo call leaves behind: its timeline, its traffic, its outcome.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;
use trestle_peers::{Loss, ReceivedDigit};

use super::scene::{DemoParty, ScriptedPress};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DemoMoment {
    /// Since the offer.
    pub(crate) after: Duration,
    pub(crate) what: MomentKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MomentKind {
    /// A step of the set-up, as one line.
    Step(&'static str),
    /// A key was pressed on one side and has ended on the other.
    Digit(ScriptedPress, ReceivedDigit),
}

/// What happened in a call, in order.
pub(crate) struct CallTimeline {
    pub(super) begins_at: Instant,
    steps: Vec<&'static str>,
    /// Number of digits reported so far, of each party's presses.
    digits: [usize; 2],
    news: VecDeque<DemoMoment>,
    moments: Vec<DemoMoment>,
}

impl CallTimeline {
    pub(super) fn new(begins_at: Instant) -> Self {
        Self { begins_at, steps: Vec::new(), digits: [0; 2], news: VecDeque::new(), moments: Vec::new() }
    }

    /// Notes a step of the set-up.
    pub(super) fn step(&mut self, at: Instant, step: &'static str) {
        self.steps.push(step);
        self.note(at, MomentKind::Step(step));
    }

    /// Notes those of `steps` that have a time and were not noted before, in order of time.
    pub(super) fn note_steps(&mut self, steps: &[(Option<Instant>, &'static str)]) {
        let mut news: Vec<_> = steps.iter().filter_map(|(at, step)| Some(((*at)?, *step))).collect();
        news.sort_by_key(|(at, _)| *at);
        for (at, step) in news {
            if !self.steps.contains(&step) {
                self.step(at, step);
            }
        }
    }

    /// Notes the next digit of `by` once it has ended on the other side, where `received` are the digits so far.
    pub(super) fn note_digits(
        &mut self,
        now: Instant,
        by: DemoParty,
        presses: &[ScriptedPress],
        received: &[ReceivedDigit],
    ) {
        let reported = self.digits[by as usize];
        let press = presses.iter().filter(|press| press.by == by).nth(reported);
        let Some((press, digit)) = press.zip(received.get(reported)) else { return };
        // The E bit comes three times (RFC 4733 2.5.1.4). A digit is complete with all three, or when the next one has
        // begun, or after twice its length.
        let complete = digit.ends >= 3 || received.len() > reported + 1 || now >= digit.at + press.length * 2;
        if complete {
            self.digits[by as usize] += 1;
            let ended_at = digit.at + Duration::from_secs_f64(digit.duration_ms.max(0.0) / 1e3);
            self.note(ended_at, MomentKind::Digit(*press, digit.clone()));
        }
    }

    fn note(&mut self, at: Instant, what: MomentKind) {
        let moment = DemoMoment { after: at.saturating_duration_since(self.begins_at), what };
        self.news.push_back(moment.clone());
        self.moments.push(moment);
    }

    /// The next moment that was not polled yet.
    pub(crate) fn poll(&mut self) -> Option<DemoMoment> {
        self.news.pop_front()
    }

    /// All moments, in order of time.
    pub(crate) fn moments(&self) -> Vec<DemoMoment> {
        let mut moments = self.moments.clone();
        moments.sort_by_key(|moment| moment.after);
        moments
    }
}

/// What the network did with the media of each party.
pub(crate) struct Traffic {
    loss: [Loss; 2],
    first_sent_at: [Option<Instant>; 2],
    /// Datagrams that arrived before the answer, at each party. Media may (RFC 3264 5.1), and cannot be matched to the peer
    /// yet.
    pub(super) before_answer: [u64; 2],
}

impl Traffic {
    pub(super) fn new(loss_percent: u32, seed: u64) -> Self {
        let loss = [seed, seed + 1].map(|seed| Loss::new(loss_percent, seed));
        Self { loss, first_sent_at: [None; 2], before_answer: [0; 2] }
    }

    /// True if the simulated network loses this datagram of `party`.
    pub(super) fn loses(&mut self, party: DemoParty, datagram: &[u8]) -> bool {
        self.loss[party as usize].takes(datagram)
    }

    /// Notes that `party` has sent `packets` so far.
    pub(super) fn note_sent(&mut self, now: Instant, party: DemoParty, packets: u32) {
        if packets > 0 {
            self.first_sent_at[party as usize].get_or_insert(now);
        }
    }

    /// Number of datagrams that arrived at `party` before the answer that names their source.
    pub(crate) fn before_answer(&self, party: DemoParty) -> u64 {
        self.before_answer[party as usize]
    }

    /// Number of media packets of `party` that the simulated network lost.
    pub(crate) fn lost(&self, party: DemoParty) -> u64 {
        self.loss[party as usize].lost()
    }

    /// When the first media packet of `party` left.
    pub(crate) fn first_sent_at(&self, party: DemoParty) -> Option<Instant> {
        self.first_sent_at[party as usize]
    }
}

/// How a call ended.
#[derive(Default)]
pub(crate) struct CallOutcome {
    /// Trestle's reply to `query`.
    pub(crate) query: Option<Value>,
    /// Warnings of Trestle's replies.
    pub(crate) warnings: Vec<String>,
    pub(crate) failure: Option<String>,
}
