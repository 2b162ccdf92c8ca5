//! Limits the CPU of Opus encoders: less while the shard is late, more again when it has been in time for a while.
//!
//! ```text
//!   late for half a second              one step down
//!   in time for ten seconds             one step up
//!   never two steps within a second; after a step up that is undone, the next one waits twice as long
//! ```
//!
//! Lateness is the time from a deadline to the call that processes it. A thread with enough CPU is called within a millisecond
//! or two; one without it passes deadlines while it still processes earlier packets.

use std::time::{Duration, Instant};

use trestle_audio::opus::DEFAULT_COMPLEXITY;

/// The complexities used, highest first; each costs at least a tenth less than the one before (docs/decisions/0010).
const STEPS: [u8; 6] = [10, 8, 5, 3, 1, 0];

/// The shard is late when its average lateness exceeds this: half of what a listener's jitter buffer of one frame absorbs.
const LATE: Duration = Duration::from_millis(8);
/// It is in time when its average lateness is below this.
const IN_TIME: Duration = Duration::from_millis(3);
/// How long it must be late for a step down.
const LATE_FOR: Duration = Duration::from_millis(500);
/// How long it must be in time for a step up, at first and at most.
const IN_TIME_FOR: Duration = Duration::from_secs(10);
const IN_TIME_FOR_MAX: Duration = Duration::from_secs(160);
/// Least time between two steps.
const STEP_MIN: Duration = Duration::from_secs(1);
/// Time constant of the average.
const MEMORY: Duration = Duration::from_millis(250);
/// Longest lateness that counts: a thread that did not run at all for a while was stopped, not overloaded.
const LATE_MAX: Duration = Duration::from_millis(50);

/// Chooses the complexity of a shard's Opus encoders from its lateness.
#[derive(Debug, Clone)]
pub struct OpusComplexityControl {
    top: u8,
    complexity: u8,
    average_us: f32,
    observed_at: Option<Instant>,
    late_since: Option<Instant>,
    in_time_since: Option<Instant>,
    in_time_for: Duration,
    stepped_at: Option<Instant>,
    /// When complexity last rose, unless it has fallen since.
    stepped_up_at: Option<Instant>,
    steps_down: u64,
    steps_up: u64,
}

impl Default for OpusComplexityControl {
    fn default() -> Self {
        Self::new(DEFAULT_COMPLEXITY)
    }
}

impl OpusComplexityControl {
    /// Starts at `top`, the complexity (0 to 10) that is used while there is enough CPU.
    pub fn new(complexity: u8) -> Self {
        let complexity = complexity.min(STEPS[0]);
        Self {
            top: complexity,
            complexity,
            average_us: 0.0,
            observed_at: None,
            late_since: None,
            in_time_since: None,
            in_time_for: IN_TIME_FOR,
            stepped_at: None,
            stepped_up_at: None,
            steps_down: 0,
            steps_up: 0,
        }
    }

    /// Notes that the shard was called `late` after a deadline. Gives the new complexity if it changes.
    pub fn observe(&mut self, now: Instant, late: Duration) -> Option<u8> {
        let since = self.observed_at.map_or(MEMORY, |at| now.saturating_duration_since(at)).min(MEMORY);
        self.observed_at = Some(now);
        let share = since.as_secs_f32() / MEMORY.as_secs_f32();
        self.average_us += (late.min(LATE_MAX).as_micros() as f32 - self.average_us) * share;
        let average = Duration::from_micros(self.average_us as u64);
        keep_since(&mut self.late_since, now, average >= LATE);
        keep_since(&mut self.in_time_since, now, average < IN_TIME);

        let has_lasted =
            |since: Option<Instant>, length| since.is_some_and(|at| now.saturating_duration_since(at) >= length);
        if self.stepped_at.is_some_and(|at| now.saturating_duration_since(at) < STEP_MIN) {
            return None;
        }
        if has_lasted(self.late_since, LATE_FOR) {
            return self.step_down(now);
        }
        if has_lasted(self.in_time_since, self.in_time_for) {
            return self.step_up(now);
        }
        None
    }

    /// The present complexity, 0 to 10.
    pub fn complexity(&self) -> u8 {
        self.complexity
    }

    /// Steps down and up so far.
    pub fn steps(&self) -> (u64, u64) {
        (self.steps_down, self.steps_up)
    }

    fn step_down(&mut self, now: Instant) -> Option<u8> {
        let next = STEPS.into_iter().find(|step| *step < self.complexity)?;
        // The last step up was too much.
        let stepped_up = self.stepped_up_at.take();
        let regrets = stepped_up.is_some_and(|at| now.saturating_duration_since(at) < self.in_time_for);
        if regrets {
            self.in_time_for = (self.in_time_for * 2).min(IN_TIME_FOR_MAX);
        } else if stepped_up.is_some() {
            self.in_time_for = IN_TIME_FOR;
        }
        self.steps_down += 1;
        self.step_to(now, next)
    }

    fn step_up(&mut self, now: Instant) -> Option<u8> {
        if self.complexity == self.top {
            return None;
        }
        let next = STEPS.into_iter().rev().find(|step| *step > self.complexity).unwrap_or(self.top).min(self.top);
        self.steps_up += 1;
        self.stepped_up_at = Some(now);
        self.step_to(now, next)
    }

    fn step_to(&mut self, now: Instant, complexity: u8) -> Option<u8> {
        self.complexity = complexity;
        self.stepped_at = Some(now);
        // The average was measured with another complexity.
        self.late_since = self.late_since.map(|_| now);
        self.in_time_since = self.in_time_since.map(|_| now);
        Some(complexity)
    }
}

fn keep_since(since: &mut Option<Instant>, now: Instant, holds: bool) {
    *since = holds.then(|| since.unwrap_or(now));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard that is called 200 times a second, `late_ms(second, complexity)` late; gives the steps: when, and to what.
    fn run(
        control: &mut OpusComplexityControl,
        seconds: std::ops::Range<u64>,
        late_ms: impl Fn(f64, u8) -> f64,
    ) -> Vec<(f64, u8)> {
        // Virtual time begins at one real instant and does not read the clock again.
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        let mut steps = Vec::new();
        for n in seconds.start * 200..seconds.end * 200 {
            let second = n as f64 / 200.0;
            let late = Duration::from_secs_f64(late_ms(second, control.complexity()) / 1_000.0);
            let stepped = control.observe(*START + Duration::from_millis(5 * n), late);
            steps.extend(stepped.map(|complexity| (second, complexity)));
        }
        steps
    }

    #[test]
    fn a_late_shard_steps_down_once_a_second_and_steps_up_after_it_was_in_time() {
        let mut control = OpusComplexityControl::new(5);
        assert_eq!(run(&mut control, 0..60, |_, _| 1.0), [], "no steps above the top");
        let down = run(&mut control, 60..70, |_, _| 20.0);
        assert_eq!(down.iter().map(|(_, to)| *to).collect::<Vec<_>>(), [3, 1, 0], "{down:?}");
        assert!((60.5..61.0).contains(&down[0].0), "{down:?}");
        assert!(down.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1.0), "{down:?}");
        let up = run(&mut control, 70..120, |_, _| 0.5);
        assert_eq!(up.iter().map(|(_, to)| *to).collect::<Vec<_>>(), [1, 3, 5], "{up:?}");
        assert!(up[0].0 >= 80.0 && up.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 10.0), "{up:?}");
        assert_eq!((control.complexity(), control.steps()), (5, (3, 3)));
    }

    #[test]
    fn between_late_and_in_time_nothing_changes() {
        let mut control = OpusComplexityControl::new(5);
        run(&mut control, 0..2, |_, _| 20.0);
        let before = control.complexity();
        assert!(before < 5);
        assert_eq!(run(&mut control, 2..200, |_, _| 5.0), []);
        assert_eq!(control.complexity(), before);
    }

    #[test]
    fn a_single_delay_changes_nothing() {
        for (name, hiccup) in [("once for a second", 1_000.0), ("once for 30 ms", 30.0)] {
            let mut control = OpusComplexityControl::new(5);
            let steps = run(&mut control, 0..60, |second, _| if second == 30.0 { hiccup } else { 1.0 });
            assert_eq!(steps, [], "{name}");
        }
        let mut control = OpusComplexityControl::new(5);
        let every_second = run(&mut control, 0..60, |second, _| if second.fract() == 0.0 { 40.0 } else { 1.0 });
        assert_eq!(every_second, [], "one call in 200 is late");
    }

    #[test]
    fn a_shard_that_is_in_time_only_at_the_lower_step_tries_the_higher_one_less_and_less_often() {
        let mut control = OpusComplexityControl::new(5);
        let steps = run(&mut control, 0..1_000, |_, complexity| if complexity > 1 { 15.0 } else { 1.0 });
        assert!(steps.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1.0), "{steps:?}");
        let tries: Vec<f64> = steps.iter().filter(|(_, to)| *to == 3).map(|(at, _)| *at).skip(1).collect();
        assert!((4..=9).contains(&tries.len()), "{tries:?}");
        let waits: Vec<f64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.windows(2).all(|pair| pair[1] > pair[0] * 1.5 || pair[0] > 150.0), "{waits:?}");
    }

    #[test]
    fn the_totals_of_a_late_shard_show_its_steps() {
        let start = Instant::now();
        let mut shard = crate::Shard::new(crate::ShardConfig {
            seed: [1; 32],
            epoch: crate::Epoch { instant: start, unix: Duration::ZERO },
            identity: crate::DtlsIdentity::generate().unwrap(),
            interfaces: Vec::new(),
            media_timeout: Duration::from_secs(60),
            own_ssrcs: crate::OwnSsrcs::new(1),
            probe_time: None,
            addresses: crate::AddressPolicy::default(),
        });
        let mut totals = |late_ms: u64, from_s: u64, to_s: u64| {
            for ms in (from_s * 1_000..to_s * 1_000).step_by(10) {
                shard.note_lateness(start + Duration::from_millis(ms), Duration::from_millis(late_ms));
            }
            shard.handle_command(start, crate::RequestId(1), crate::Command::Totals);
            let crate::Output::Reply(answer) = shard.poll_output() else { panic!("no reply") };
            let Ok(crate::EngineReply::Totals(totals)) = answer.1 else { panic!("no totals") };
            (totals.opus_complexity, totals.opus_steps_down, totals.opus_steps_up)
        };
        assert_eq!(totals(1, 0, 10), (DEFAULT_COMPLEXITY, 0, 0));
        assert_eq!(totals(20, 10, 12), (0, 1, 0));
        assert_eq!(totals(1, 12, 30), (DEFAULT_COMPLEXITY, 1, 1));
    }

    #[test]
    fn a_top_between_two_steps_is_reached_again() {
        let mut control = OpusComplexityControl::new(4);
        run(&mut control, 0..10, |_, _| 20.0);
        assert_eq!(control.complexity(), 0);
        run(&mut control, 10..100, |_, _| 1.0);
        assert_eq!(control.complexity(), 4);
        assert_eq!(OpusComplexityControl::new(255).complexity(), 10);
    }
}
