//! The same load with ever more calls: does a call cost the same among many?

use serde::Serialize;

use super::drive::{self, LoadRun, Progress};
use super::options::LoadArgs;
use super::report::LoadReport;

/// What each number of calls gave.
#[derive(Debug, Clone, Serialize)]
pub struct Sweep {
    /// What the calls were.
    pub work: &'static str,
    /// In the order they were measured.
    pub runs: Vec<LoadReport>,
}

/// Measures with each number of calls.
///
/// # Errors
/// As [`drive::talk`].
pub fn run(args: &LoadArgs, mut watch: impl FnMut(usize, Progress)) -> anyhow::Result<Sweep> {
    let most = args.sweep.iter().copied().max().unwrap_or(1) as usize;
    let mut stage = LoadRun::open(args, most)?;
    let mut runs: Vec<LoadReport> = Vec::new();
    for (n, calls) in args.sweep.iter().enumerate() {
        let outcome = drive::talk(args, &mut stage, *calls as usize, |progress| watch(n, progress))?;
        let mut report = LoadReport::of(args, *calls, &outcome);
        // What the first calls were given may serve the later ones: memory counts from before the first.
        if let Some((first, now)) = runs.first().and_then(|run| run.target.as_ref()).zip(report.target.as_mut())
            && let Some((first, now)) = first.memory.zip(now.memory.as_mut())
        {
            now[0] = first[0];
        }
        report.count_memory();
        let interrupted = report.interrupted;
        runs.push(report);
        if interrupted {
            break;
        }
    }
    Ok(Sweep { work: args.work.name(), runs })
}

impl Sweep {
    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}\n calls   us/packet  cores   calls/core  kB/call    p50     p99  p99.9 ms     lost\n",
            self.work
        );
        for run in &self.runs {
            let cost = run.target.as_ref();
            let cost = cost.map_or([f64::NAN; 4], |cost| {
                let bytes = cost.bytes_per_call.unwrap_or(f64::NAN);
                [cost.cpu_us_per_packet, cost.cores, cost.calls_per_core, bytes / 1e3]
            });
            let [us, cores, calls_per_core, kb] = cost;
            let [p50, p99, p999] = run.delay_ms[0].map_or([f64::NAN; 3], |delay| [delay.p50, delay.p99, delay.p999]);
            text += &format!(
                "{:>6} {us:>11.2} {cores:>6.3} {calls_per_core:>12.0} {kb:>8.1} {p50:>6.3} {p99:>7.3} {p999:>9.3} {:>8}\n",
                run.calls, run.packets.lost
            );
        }
        text
    }
}
