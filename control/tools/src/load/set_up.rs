//! How fast calls can be set up: offered, answered, connected and deleted, so many a second whether the engine follows or not.

use serde::Serialize;

use super::drive::{LoadRun, Run, SECOND};
use super::options::LoadArgs;
use super::pace::Ns;
use super::report::{SetUp, Times};
use super::sockets;
use super::target::Target;

/// Calls that there are sockets for at once.
const PLACES: usize = 1_024;
/// How long a call is up before it is deleted.
const HOLD: Ns = SECOND / 20;
/// How long what was begun may take to end.
const GRACE: Ns = 2 * SECOND;
/// The engine has followed if all calls came up, 99 of 100 within this,
const FOLLOWED_MS: f64 = 100.0;
/// and so much of the rate while it lasted: else a queue was growing.
const FOLLOWED_SHARE: f64 = 0.97;
/// The first rate that is tried, in calls a second.
const FIRST: u32 = 50;
/// The highest rate that is tried.
const HIGHEST: u32 = 12_800;
/// Halvings between the last rate that was followed and the first that was not.
const HALVINGS: u32 = 3;

/// What one rate gave.
#[derive(Debug, Clone, Serialize)]
pub struct SetUpStep {
    /// Calls a second that were begun.
    pub rate: u32,
    /// Calls begun.
    pub begun: u64,
    /// Calls that came up.
    pub up: u64,
    /// Calls that failed, by reason.
    pub failed: std::collections::BTreeMap<String, u64>,
    /// Calls that came up each second.
    pub up_per_s: f64,
    /// All came up, and soon.
    pub followed: bool,
    /// How long it took.
    pub set_up_ms: SetUp,
    /// Processor time of the engine for each call, in microseconds, from offer to delete.
    pub cpu_us_per_call: Option<f64>,
    /// Processors that the load itself kept busy.
    pub own_cores: f64,
}

/// What all rates gave.
#[derive(Debug, Clone, Serialize)]
pub struct SetUpReport {
    /// Which set-up.
    pub work: &'static str,
    /// The engine's process and its name.
    pub target: Option<(u32, String)>,
    /// In the order they were tried.
    pub steps: Vec<SetUpStep>,
    /// The highest rate that was followed; 0 if none.
    pub followed_per_s: u32,
    /// The most calls that came up in a second at any rate.
    pub up_per_s: f64,
    /// Ended by a signal.
    pub interrupted: bool,
}

/// Which rate to try next: double until one is not followed, then halve what lies between.
#[derive(Debug, Default)]
pub struct Search {
    followed: Option<u32>,
    refused: Option<u32>,
    halvings: u32,
}

impl Search {
    /// The next rate; `None` when it is known well enough.
    pub fn next_rate(&self) -> Option<u32> {
        match (self.followed, self.refused) {
            (None, None) => Some(FIRST),
            (Some(followed), None) => Some(followed * 2).filter(|rate| *rate <= HIGHEST),
            (followed, Some(refused)) => {
                let low = followed.unwrap_or(0);
                Some(low + (refused - low) / 2).filter(|rate| self.halvings < HALVINGS && *rate > low)
            }
        }
    }

    /// What became of it.
    pub fn learn(&mut self, rate: u32, followed: bool) {
        if self.refused.is_some() {
            self.halvings += 1;
        }
        let known = if followed { &mut self.followed } else { &mut self.refused };
        *known = Some(rate);
    }
}

/// Sets up calls as `args` say.
///
/// # Errors
/// The system refuses something.
pub fn run(args: &LoadArgs, mut watch: impl FnMut(u32, f64)) -> anyhow::Result<SetUpReport> {
    let mut stage = LoadRun::open(args, PLACES)?;
    let target = stage.target;
    let (mut steps, mut search): (Vec<SetUpStep>, _) = (Vec::new(), Search::default());
    let mut interrupted = false;
    let mut next = args.rate.or(search.next_rate());
    while let Some(rate) = next {
        let mut run = stage.run((rate * args.seconds) as usize, Some(HOLD))?;
        let step = step(&mut run, target, rate, |share| watch(rate, share))?;
        interrupted = run.interrupted;
        search.learn(rate, step.followed);
        steps.push(step);
        next = if args.rate.is_some() || interrupted { None } else { search.next_rate() };
    }
    Ok(SetUpReport {
        work: args.work.name(),
        target: target.map(|target| (target.pid, target.name())),
        followed_per_s: steps.iter().filter(|step| step.followed).map(|step| step.rate).max().unwrap_or(0),
        up_per_s: steps.iter().map(|step| step.up_per_s).fold(0.0, f64::max),
        steps,
        interrupted,
    })
}

/// One rate, for as long as there are calls.
fn step(run: &mut Run<'_>, target: Option<Target>, rate: u32, mut watch: impl FnMut(f64)) -> anyhow::Result<SetUpStep> {
    let all = run.calls.calls.len();
    let (cpu, own, start) = (target.and_then(Target::cpu_s), sockets::own_cpu_s(), sockets::now());
    let at = |call: usize| start + call as Ns * SECOND / Ns::from(rate);
    let end = at(all) + GRACE;
    let (mut begun, mut up_at_end, mut watched_at) = (0, None, 0);
    loop {
        let now = run.turn()?;
        while begun < all && at(begun) <= now && !run.interrupted {
            run.calls.start(now, begun, at(begun));
            begun += 1;
        }
        if now >= at(all) && up_at_end.is_none() {
            up_at_end = Some(run.calls.counts.up as f64 * 1e9 / (now - start) as f64);
        }
        if now >= watched_at + SECOND / 5 {
            watched_at = now;
            watch(begun as f64 / all as f64);
        }
        if run.interrupted || now >= end || (begun == all && run.calls.calls.over() == all) {
            break;
        }
    }
    let seconds = (sockets::now() - start) as f64 / SECOND as f64;
    let own_cores = (sockets::own_cpu_s() - own) / seconds;
    run.delete_all()?;
    let counts = &run.calls.counts;
    let cpu_s = target.and_then(Target::cpu_s).zip(cpu).map(|(after, before)| after - before);
    let set_up_ms = SetUp::of(counts, run.calls.repeats());
    let soon = set_up_ms.whole.is_some_and(|times: Times| times.p99 <= FOLLOWED_MS);
    let up_per_s = up_at_end.unwrap_or(0.0);
    // What was begun in the last moments may come up after them.
    let kept_up = up_per_s >= FOLLOWED_SHARE * f64::from(rate) - 5.0;
    Ok(SetUpStep {
        rate,
        begun: begun as u64,
        up: counts.up,
        failed: counts.failed.clone(),
        up_per_s,
        followed: counts.up == all as u64 && soon && kept_up,
        set_up_ms,
        cpu_us_per_call: cpu_s.map(|cpu_s| cpu_s * 1e6 / begun.max(1) as f64),
        own_cores,
    })
}

impl SetUpReport {
    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n", self.work);
        if let Some((pid, name)) = &self.target {
            text += &format!("engine {name} (pid {pid})\n");
        }
        text += " calls/s  came up/s  engine us/call   set-up p50     p99     max ms   this load\n";
        for step in &self.steps {
            let times = step.set_up_ms.whole;
            let [p50, p99, max] = times.map_or([f64::NAN; 3], |times| [times.p50, times.p99, times.max]);
            let cpu = step.cpu_us_per_call.map_or_else(|| "-".to_owned(), |us| format!("{us:.0}"));
            let verdict = if step.followed { "" } else { "  not followed" };
            text += &format!(
                "{:>8} {:>10.0} {cpu:>15} {p50:>12.1} {p99:>7.1} {max:>10.1} {:>7.2} cores{verdict}\n",
                step.rate, step.up_per_s, step.own_cores
            );
            for (reason, count) in &step.failed {
                text += &format!("           {count} failed: {reason}\n");
            }
        }
        text + &format!(
            "followed up to {} calls/s; at most {:.0} came up in a second\n",
            self.followed_per_s, self.up_per_s
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(capacity: u32) -> (Vec<u32>, u32) {
        let mut search = Search::default();
        let mut tried = Vec::new();
        while let Some(rate) = search.next_rate() {
            search.learn(rate, rate <= capacity);
            tried.push(rate);
        }
        (tried, search.followed.unwrap_or(0))
    }

    #[test]
    fn the_rate_is_doubled_until_it_is_too_much_and_then_narrowed_down() {
        assert_eq!(search(330), (vec![50, 100, 200, 400, 300, 350, 325], 325));
        assert_eq!(search(10), (vec![50, 25, 12, 6], 6));
        assert_eq!(search(1_000_000).1, HIGHEST);
        for capacity in [60, 137, 777, 3_999, 9_000] {
            let found = search(capacity).1;
            assert!(found <= capacity && capacity - found <= capacity / 6, "{capacity}: {found}");
        }
    }
}
