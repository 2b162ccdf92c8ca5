//! The load of the machine, read from `/proc`.

use std::time::Instant;

use trestle_calls::controller::{Hundredths, LOAD_EVERY, Load, LoadBounds};
use trestle_io::{Lateness, Worker};

/// Reads the load at intervals of [`LOAD_EVERY`]; of the system only what has a limit.
pub(super) struct LoadMonitor {
    limits: LoadBounds,
    next_reading: Instant,
    /// The media threads' counters at the last reading.
    lateness: Vec<Lateness>,
    processors: ProcessorUse,
}

impl LoadMonitor {
    pub(super) fn new(limits: LoadBounds, workers: usize, now: Instant) -> Self {
        Self {
            limits,
            next_reading: now + LOAD_EVERY,
            lateness: vec![Lateness::default(); workers],
            processors: ProcessorUse::default(),
        }
    }

    /// From now on reads what has a limit among these.
    pub(super) fn set_limits(&mut self, limits: LoadBounds) {
        self.limits = limits;
    }

    pub(super) fn next_reading(&self) -> Instant {
        self.next_reading
    }

    /// The load since the last reading; `None` before the next one is due.
    pub(super) fn read(&mut self, now: Instant, workers: &[Worker]) -> Option<Load> {
        if now < self.next_reading {
            return None;
        }
        self.next_reading = now + LOAD_EVERY;
        let means = workers.iter().zip(&mut self.lateness).map(|(worker, before)| {
            let now = worker.lateness();
            now.mean_since(&std::mem::replace(before, now))
        });
        Some(Load {
            lateness: means.max().unwrap_or_default(),
            cpu: self.limits.cpu.and_then(|_| self.processors.busy()),
            average: self.limits.average.and_then(|_| load_average()),
        })
    }
}

/// Time that all processors together have spent, in ticks since the start of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ticks {
    all: u64,
    idle: u64,
}

/// The processors' counters at the last reading.
#[derive(Debug, Default)]
struct ProcessorUse {
    last: Option<Ticks>,
}

impl ProcessorUse {
    /// Use of all processors since the last reading, percent; `None` at the first reading and without `/proc`.
    fn busy(&mut self) -> Option<Hundredths> {
        let ticks = read_ticks(&std::fs::read_to_string("/proc/stat").ok()?)?;
        busy_between(self.last.replace(ticks)?, ticks)
    }
}

/// The load average of the last minute.
fn load_average() -> Option<Hundredths> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The first line of `/proc/stat` (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
fn read_ticks(stat: &str) -> Option<Ticks> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = fields.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let idle = fields.get(3)? + fields.get(4)?;
    Some(Ticks { all: fields.iter().sum(), idle })
}

fn busy_between(before: Ticks, now: Ticks) -> Option<Hundredths> {
    let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
    // iowait can decrease (proc(5)).
    let idle = now.idle.saturating_sub(before.idle).min(all);
    u32::try_from((all - idle) * 10_000 / all).ok().map(Hundredths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_neither_idle_nor_iowait_is_busy() {
        let before = read_ticks("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(before, Ticks { all: 1_000, idle: 850 });
        let now = read_ticks("cpu  130 5 80 950 60 5 10 10 7 7\n").unwrap();
        assert_eq!(busy_between(before, now), Some(Hundredths(3_600)), "90 of 250");
        assert_eq!(busy_between(now, now), None);
        for text in ["", "intr 5", "cpu  1 2 3"] {
            assert_eq!(read_ticks(text), None, "{text:?}");
        }
    }
}
