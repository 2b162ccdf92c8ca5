//! What a run gave, as a table and as JSON.

use serde::Serialize;

use super::counts::Counts;
use super::drive::RunOutcome;
use super::latencies::Latencies;
use super::ng::LoadVerb;
use super::options::LoadArgs;
use super::target::Memory;

/// Quantiles of a time, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Times {
    /// Half are shorter.
    pub p50: f64,
    /// 99 of 100 are shorter.
    pub p99: f64,
    /// 999 of 1,000 are shorter.
    pub p999: f64,
    /// None is longer.
    pub max: f64,
    /// Mean.
    pub mean: f64,
}

/// What a run gave.
#[derive(Debug, Clone, Serialize)]
pub struct LoadReport {
    /// What the calls were.
    pub work: &'static str,
    /// Calls wanted.
    pub calls_wanted: u32,
    /// Calls that talked.
    pub calls: usize,
    /// Calls that failed, by reason.
    pub failed: std::collections::BTreeMap<String, u64>,
    /// How long was measured.
    pub seconds: f64,
    /// How much of the speech is pauses.
    pub silence: f64,
    /// Ended by a signal.
    pub interrupted: bool,
    /// Packets.
    pub packets: Packets,
    /// From sending to the kernel's stamp on arrival, in milliseconds: both ways, then each.
    pub delay_ms: [Option<Times>; 3],
    /// How packets were matched: `mark` in the payload, or `timestamp`.
    pub matched_by: &'static str,
    /// The engine, if it runs on this machine.
    pub target: Option<TargetCost>,
    /// Offers, answers, handshakes, and all of it, in milliseconds.
    pub set_up_ms: SetUp,
    /// The load itself.
    pub own: Own,
    /// Datagrams thrown away at full receive buffers, anywhere on this machine.
    pub buffer_drops: Option<u64>,
}

/// Packets in the time that was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Packets {
    /// Sent.
    pub sent: u64,
    /// Came out on the other side.
    pub came: u64,
    /// Did not.
    pub lost: u64,
    /// Lost ones, in percent.
    pub lost_percent: f64,
    /// Came out again.
    pub again: u64,
    /// Fit to nothing that was sent.
    pub strange: u64,
    /// Not authentic.
    pub bad: u64,
}

/// What the engine used.
#[derive(Debug, Clone, Serialize)]
pub struct TargetCost {
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its threads.
    pub threads: usize,
    /// Processors kept busy.
    pub cores: f64,
    /// Processor time for each packet it was sent, in microseconds.
    pub cpu_us_per_packet: f64,
    /// Calls that one processor carries at this rate.
    pub calls_per_core: f64,
    /// Memory before, with all calls, and after.
    pub memory: Option<[Memory; 3]>,
    /// Resident memory that came with each call, in bytes.
    pub bytes_per_call: Option<f64>,
}

/// How long setting up took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SetUp {
    /// Offer to reply.
    pub offer: Option<Times>,
    /// Answer to reply.
    pub answer: Option<Times>,
    /// Answer's reply to SRTP keys.
    pub dtls: Option<Times>,
    /// All.
    pub whole: Option<Times>,
    /// Commands that had to be repeated.
    pub repeats: u64,
}

/// The load itself.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Own {
    /// Processors kept busy.
    pub cores: f64,
    /// Processor time for each packet sent or received, in microseconds.
    pub cpu_us_per_packet: f64,
    /// How late packets were sent.
    pub late_ms: Option<Times>,
    /// Packets that the kernel did not take.
    pub unsent: u64,
}

impl Times {
    /// `None` of nothing.
    pub fn of(latencies: &Latencies) -> Option<Self> {
        let ms = |ns: u64| (ns as f64 / 1e3).round() / 1e3;
        (latencies.count() > 0).then(|| Self {
            p50: ms(latencies.quantile(0.5)),
            p99: ms(latencies.quantile(0.99)),
            p999: ms(latencies.quantile(0.999)),
            max: ms(latencies.max()),
            mean: ms(latencies.mean()),
        })
    }
}

impl SetUp {
    /// Of what was counted.
    pub fn of(counts: &Counts, repeats: u64) -> Self {
        let reply = |verb| counts.replies.get(&verb).and_then(Times::of);
        Self {
            offer: reply(LoadVerb::Offer),
            answer: reply(LoadVerb::Answer),
            dtls: Times::of(&counts.connected),
            whole: Times::of(&counts.set_up),
            repeats,
        }
    }
}

impl LoadReport {
    /// Of a run that was to have `calls_wanted` calls.
    pub fn of(args: &LoadArgs, calls_wanted: u32, outcome: &RunOutcome) -> Self {
        let counts = &outcome.counts;
        let (sent, came) = (counts.sent.iter().sum::<u64>(), counts.came.iter().sum::<u64>());
        let lost = sent.saturating_sub(came);
        let mut both = counts.delay[0].clone();
        both.merge(&counts.delay[1]);
        let target = outcome.target.zip(outcome.target_cpu_s).map(|((target, threads), cpu_s)| TargetCost {
            pid: target.pid,
            name: target.name(),
            threads,
            cores: cpu_s / outcome.seconds,
            cpu_us_per_packet: cpu_s * 1e6 / sent.max(1) as f64,
            calls_per_core: outcome.calls as f64 * outcome.seconds / cpu_s.max(1e-6),
            memory: outcome.memory,
            bytes_per_call: None,
        });
        let mut report = Self {
            work: args.work.name(),
            calls_wanted,
            calls: outcome.calls,
            failed: counts.failed.clone(),
            seconds: outcome.seconds,
            silence: args.silence,
            interrupted: outcome.interrupted,
            packets: Packets {
                sent,
                came,
                lost,
                lost_percent: lost as f64 * 100.0 / sent.max(1) as f64,
                again: counts.again,
                strange: counts.strange,
                bad: counts.bad,
            },
            delay_ms: [&both, &counts.delay[0], &counts.delay[1]].map(Times::of),
            matched_by: if args.work.transcodes() { "timestamp" } else { "mark" },
            target,
            set_up_ms: SetUp::of(counts, outcome.repeats),
            own: Own {
                cores: outcome.own_cpu_s / outcome.seconds,
                cpu_us_per_packet: outcome.own_cpu_s * 1e6 / (sent + came).max(1) as f64,
                late_ms: Times::of(&counts.late),
                unsent: outcome.unsent,
            },
            buffer_drops: outcome.buffer_drops,
        };
        report.count_memory();
        report
    }

    /// Memory of each call, from what all take.
    pub fn count_memory(&mut self) {
        let Some(target) = &mut self.target else { return };
        let each = |[before, with, _]: [Memory; 3]| (with.rss as f64 - before.rss as f64) / self.calls.max(1) as f64;
        target.bytes_per_call = target.memory.map(each);
    }

    /// True if every call came up and none ended early.
    pub fn is_whole(&self) -> bool {
        self.calls == self.calls_wanted as usize && !self.interrupted
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut rows: Vec<(String, String)> = Vec::new();
        let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
        row("work", format!("{}, {} of {} calls, {:.1} s", self.work, self.calls, self.calls_wanted, self.seconds));
        for (reason, count) in &self.failed {
            row("  failed", format!("{count}: {reason}"));
        }
        let Packets { sent, lost, lost_percent, again, strange, bad, .. } = self.packets;
        row("packets", format!("{sent} sent, {lost} lost ({lost_percent:.3} %)"));
        if again + strange + bad > 0 {
            row("  besides", format!("{again} twice, {strange} strange, {bad} not authentic"));
        }
        let matched = format!("added delay, by {}", self.matched_by);
        for (name, times) in
            [matched.as_str(), "  of those who offered", "  of those who answered"].iter().zip(&self.delay_ms)
        {
            row(name, times.map_or_else(|| "-".to_owned(), show));
        }
        match &self.target {
            Some(target) => {
                row("engine", format!("{} (pid {}, {} threads)", target.name, target.pid, target.threads));
                let per_core = target.calls_per_core;
                row(
                    "  processor",
                    format!(
                        "{:.2} us/packet, {:.3} cores, {per_core:.0} calls/core",
                        target.cpu_us_per_packet, target.cores
                    ),
                );
                if let Some(([before, with, after], each)) = target.memory.zip(target.bytes_per_call) {
                    let mb = |memory: Memory| memory.rss as f64 / 1e6;
                    let (before, with, after) = (mb(before), mb(with), mb(after));
                    row(
                        "  memory",
                        format!(
                            "{before:.1} MB before, {with:.1} with calls, {after:.1} after: {:.1} kB/call",
                            each / 1e3
                        ),
                    );
                }
            }
            None => row("engine", "not a process of this machine that can be seen".to_owned()),
        }
        if let Some(drops) = self.buffer_drops.filter(|drops| *drops > 0) {
            row("  full buffers", format!("{drops} datagrams dropped by this machine's kernel"));
        }
        let SetUp { offer, answer, dtls, whole, repeats } = self.set_up_ms;
        for (name, times) in [("offer", offer), ("answer", answer), ("ICE and DTLS", dtls), ("set-up in all", whole)] {
            if let Some(times) = times {
                row(name, show(times));
            }
        }
        if repeats > 0 {
            row("  repeated", format!("{repeats} commands"));
        }
        let Own { cores, cpu_us_per_packet, late_ms, unsent } = self.own;
        row("this load", format!("{cpu_us_per_packet:.2} us/packet sent or received, {cores:.3} cores"));
        row("  late by", late_ms.map_or_else(|| "-".to_owned(), show));
        if unsent > 0 {
            row("  not sent", format!("{unsent} packets: this machine cannot load any more"));
        }
        if late_ms.is_some_and(|late| late.p99 > 5.0) {
            row(
                "  WARNING",
                "the load was late; the delays of what was sent late still count from its sending".to_owned(),
            );
        }
        rows.iter().map(|(name, value)| format!("{name:<26} {value}\n")).collect()
    }
}

fn show(times: Times) -> String {
    let Times { p50, p99, p999, max, .. } = times;
    format!("p50 {p50:.3}  p99 {p99:.3}  p99.9 {p999:.3}  max {max:.3} ms")
}
