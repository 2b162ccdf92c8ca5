//! The heartbeat of a thread: when it last made a turn, and whether it has ended. The thread writes it once a second; health
//! checks and the service manager's watchdog read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;

/// How often a thread writes its heartbeat, also while it has nothing to do.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

/// A thread without a heartbeat for this long is stuck. Ten turns: a machine that is merely overloaded is not that late.
pub const STUCK_AFTER: Duration = Duration::from_secs(10);

const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const PANICKED: u8 = 2;

/// The heartbeat of one thread. The thread holds a [`HeartbeatGuard`] as long as it runs.
#[derive(Debug)]
pub struct Heartbeat {
    name: String,
    start: Instant,
    /// Of the last beat, since `start`.
    last_ms: AtomicU64,
    end: AtomicU8,
}

/// The state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    /// It makes its turns.
    Running,
    /// Its last beat is this long ago, at least [`STUCK_AFTER`].
    Stuck(Duration),
    /// It has returned.
    Ended,
    /// It has panicked.
    Panicked,
}

impl Heartbeat {
    /// The heartbeat of a thread of this name that starts now.
    pub fn new(name: impl Into<String>) -> Arc<Self> {
        let (last_ms, end) = (AtomicU64::new(0), AtomicU8::new(RUNNING));
        Arc::new(Self { name: name.into(), start: clock::now(), last_ms, end })
    }

    /// The name of the thread.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For the thread: it is alive at `now`. One store.
    pub fn beat(&self, now: Instant) {
        let since_start = now.saturating_duration_since(self.start);
        self.last_ms.store(u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        #[cfg(debug_assertions)]
        fault::inject(&self.name, since_start);
    }

    /// The state of the thread at `now`.
    pub fn state(&self, now: Instant) -> ThreadState {
        match self.end.load(Ordering::Acquire) {
            PANICKED => return ThreadState::Panicked,
            ENDED => return ThreadState::Ended,
            _ => {}
        }
        let since_start = now.saturating_duration_since(self.start);
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        match since_start.saturating_sub(last) {
            late if late >= STUCK_AFTER => ThreadState::Stuck(late),
            _ => ThreadState::Running,
        }
    }
}

/// Marks the thread as ended when it is dropped. In a struct it is the first field, since fields are dropped in their order: the
/// end is then known before the other fields are dropped, which can wait for other threads.
#[derive(Debug)]
pub struct HeartbeatGuard(Arc<Heartbeat>);

impl HeartbeatGuard {
    /// The guard of a thread that runs from now on.
    pub fn new(heartbeat: Arc<Heartbeat>) -> Self {
        heartbeat.beat(clock::now());
        Self(heartbeat)
    }

    /// The heartbeat.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.0
    }
}

impl Drop for HeartbeatGuard {
    fn drop(&mut self) {
        let end = if std::thread::panicking() { PANICKED } else { ENDED };
        // A thread with several tasks has a guard for each; the first end counts.
        let _: Result<u8, u8> = self.0.end.compare_exchange(RUNNING, end, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Beats of a thread with a loop, which decides at each turn whether one is due.
#[derive(Debug)]
pub struct Beats {
    guard: HeartbeatGuard,
    next: Instant,
}

impl Beats {
    /// The beats of a thread that starts now.
    pub fn new(heartbeat: Arc<Heartbeat>) -> Self {
        Self { guard: HeartbeatGuard::new(heartbeat), next: clock::now() }
    }

    /// Beats if a second has passed.
    pub fn turn(&mut self, now: Instant) {
        if now >= self.next {
            self.next = now + BEAT_EVERY;
            self.guard.heartbeat().beat(now);
        }
    }

    /// When [`Beats::turn`] is to be called next.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// The heartbeat.
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        self.guard.heartbeat()
    }
}

/// Faults on purpose, for the tests of a whole process; not in release builds. `TRESTLE_FAULT="panic media-0"` makes the thread of
/// this name panic in its first turn after a second, `"stall control"` makes it wait for ever.
#[cfg(debug_assertions)]
mod fault {
    use std::sync::OnceLock;
    use std::time::Duration;

    pub(super) fn inject(thread: &str, since_start: Duration) {
        static FAULT: OnceLock<Option<String>> = OnceLock::new();
        let Some(fault) = FAULT.get_or_init(|| std::env::var("TRESTLE_FAULT").ok()) else { return };
        match fault.split_once(' ') {
            Some((kind, name)) if name == thread && since_start >= Duration::from_secs(1) => match kind {
                "panic" => panic!("a fault on purpose"),
                _ => loop {
                    std::thread::park();
                },
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_a_beat_for_ten_seconds_is_stuck() {
        let heartbeat = Heartbeat::new("media-0");
        let at = |seconds| heartbeat.start + Duration::from_secs(seconds);
        assert_eq!(heartbeat.state(at(9)), ThreadState::Running);
        assert_eq!(heartbeat.state(at(12)), ThreadState::Stuck(Duration::from_secs(12)));
        heartbeat.beat(at(12));
        assert_eq!(heartbeat.state(at(12)), ThreadState::Running);
        assert_eq!(heartbeat.state(at(22)), ThreadState::Stuck(STUCK_AFTER));
    }

    #[test]
    fn a_thread_that_returns_has_ended_and_one_that_panics_has_panicked() {
        for (panics, state) in [(false, ThreadState::Ended), (true, ThreadState::Panicked)] {
            let heartbeat = Heartbeat::new("x");
            let guard = HeartbeatGuard::new(Arc::clone(&heartbeat));
            assert_eq!(heartbeat.state(clock::now()), ThreadState::Running);
            let thread = std::thread::Builder::new().spawn(move || {
                let _guard = guard;
                assert!(!panics, "as the test intends");
            });
            assert_eq!(thread.unwrap().join().is_err(), panics);
            assert_eq!(heartbeat.state(clock::now()), state);
        }
    }
}
