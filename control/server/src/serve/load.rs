//! How busy the machine is, as `/proc` tells it.

use trestle_calls::controller::Hundredths;

/// Time that all processors together have spent, in ticks since the start of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ticks {
    all: u64,
    idle: u64,
}

/// What is remembered between two looks at the processors.
#[derive(Debug, Default)]
pub(super) struct Processors {
    last: Option<Ticks>,
}

impl Processors {
    /// How much of the time since the last look they were busy, percent; `None` the first time, and where there is no `/proc`.
    pub(super) fn busy(&mut self) -> Option<Hundredths> {
        let ticks = read_ticks(&std::fs::read_to_string("/proc/stat").ok()?)?;
        busy_between(self.last.replace(ticks)?, ticks)
    }
}

/// The load average of the last minute.
pub(super) fn average() -> Option<Hundredths> {
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
    // Waiting for a disk may count backwards.
    let idle = now.idle.saturating_sub(before.idle).min(all);
    u32::try_from((all - idle) * 10_000 / all).ok().map(Hundredths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_waiting_is_busy() {
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
