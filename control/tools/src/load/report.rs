//! The results of a run, as a table and as JSON.

use serde::Serialize;

use super::counts::Counts;
use super::drive::RunOutcome;
use super::latencies::Latencies;
use super::ng::LoadVerb;
use super::options::LoadArgs;
use super::target::Memory;

/// Quantiles of a duration, milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Times {
    /// 50 % are not longer.
    pub p50: f64,
    /// 99 % are not longer.
    pub p99: f64,
    /// 99.9 % are not longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// The results of a run.
#[derive(Debug, Clone, Serialize)]
pub struct LoadReport {
    /// Name of the workload: codecs and security of the calls.
    pub work: &'static str,
    /// Calls that were requested.
    pub calls_wanted: u32,
    /// Calls that were set up and had media.
    pub calls: usize,
    /// Calls that failed, by reason.
    pub failed: std::collections::BTreeMap<String, u64>,
    /// Duration of the measurement, seconds.
    pub seconds: f64,
    /// Share of pauses in the speech, 0 to 1.
    pub silence: f64,
    /// True if a signal ended the run.
    pub interrupted: bool,
    /// Counts of packets.
    pub packets: Packets,
    /// Delay from the transmission to the kernel's receive timestamp, milliseconds: of all packets, of those that the offering sides sent,
    /// of those that the answering sides sent.
    pub delay_ms: [Option<Times>; 3],
    /// How received packets were matched with sent ones: by a `mark` in the payload, or by RTP `timestamp`.
    pub matched_by: &'static str,
    /// The engine, if it runs on this machine.
    pub target: Option<TargetCost>,
    /// Durations of the set-up of calls, milliseconds.
    pub set_up_ms: SetUp,
    /// Resources that the load generator used.
    pub own: Own,
    /// Datagrams that the kernel of this machine dropped because a receive buffer was full, of all programs.
    pub buffer_drops: Option<u64>,
}

/// RTP packets whose frame is in the measured time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Packets {
    /// Packets that the load sent.
    pub sent: u64,
    /// Of these, packets that arrived at the other side.
    pub came: u64,
    /// Of these, packets that did not arrive.
    pub lost: u64,
    /// `lost` in percent of `sent`.
    pub lost_percent: f64,
    /// Duplicates: packets that arrived again.
    pub again: u64,
    /// Packets that match no sent packet, or come from an unknown address.
    pub strange: u64,
    /// Packets that are not authentic, or not RTP.
    pub bad: u64,
}

/// Resources that the engine used.
#[derive(Debug, Clone, Serialize)]
pub struct TargetCost {
    /// Process id.
    pub pid: u32,
    /// Name of the program.
    pub name: String,
    /// Number of threads.
    pub threads: usize,
    /// Processor time per second, in processors.
    pub cores: f64,
    /// Processor time per packet that the load sent, microseconds.
    pub cpu_us_per_packet: f64,
    /// Calls per processor, if the processor time per call does not change.
    pub calls_per_core: f64,
    /// Memory before the first call, with all calls, and after the last.
    pub memory: Option<[Memory; 3]>,
    /// Growth of the resident memory per call, bytes.
    pub bytes_per_call: Option<f64>,
}

/// Durations of the set-up of calls, milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SetUp {
    /// From an `offer` to its reply.
    pub offer: Option<Times>,
    /// From an `answer` to its reply.
    pub answer: Option<Times>,
    /// From the reply to `answer` until DTLS has made the SRTP keys.
    pub dtls: Option<Times>,
    /// From the scheduled time of the offer until the call is set up.
    pub whole: Option<Times>,
    /// Number of retransmitted commands.
    pub repeats: u64,
}

/// Resources that the load generator used.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Own {
    /// Processor time per second, in processors.
    pub cores: f64,
    /// Processor time per packet that was sent or received, microseconds.
    pub cpu_us_per_packet: f64,
    /// Delay of packets behind their schedule, milliseconds.
    pub late_ms: Option<Times>,
    /// Packets that the kernel did not accept for transmission.
    pub unsent: u64,
}

impl Times {
    /// The quantiles of `latencies`; `None` if it is empty.
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
    /// The durations in `counts`.
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
    /// The report of a run for which `calls_wanted` calls were requested.
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

    /// Computes [`TargetCost::bytes_per_call`] from the memory with and without calls.
    pub fn count_memory(&mut self) {
        let Some(target) = &mut self.target else { return };
        let each = |[before, with, _]: [Memory; 3]| (with.rss as f64 - before.rss as f64) / self.calls.max(1) as f64;
        target.bytes_per_call = target.memory.map(each);
    }

    /// True if all requested calls were set up, and no signal ended the run.
    pub fn is_complete(&self) -> bool {
        self.calls == self.calls_wanted as usize && !self.interrupted
    }

    /// The report as text.
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
            row("  other packets", format!("{again} duplicates, {strange} unknown, {bad} not authentic"));
        }
        let matched = format!("added delay, by {}", self.matched_by);
        for (name, times) in
            [matched.as_str(), "  from the offering side", "  from the answering side"].iter().zip(&self.delay_ms)
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
            None => row("engine", "no process of this machine that this user can inspect".to_owned()),
        }
        if let Some(drops) = self.buffer_drops.filter(|drops| *drops > 0) {
            row("  full buffers", format!("the kernel of this machine dropped {drops} datagrams"));
        }
        let SetUp { offer, answer, dtls, whole, repeats } = self.set_up_ms;
        for (name, times) in [("offer", offer), ("answer", answer), ("ICE and DTLS", dtls), ("complete set-up", whole)]
        {
            if let Some(times) = times {
                row(name, show(times));
            }
        }
        if repeats > 0 {
            row("  repeated", format!("{repeats} times a command was sent again"));
        }
        let Own { cores, cpu_us_per_packet, late_ms, unsent } = self.own;
        row("load generator", format!("{cpu_us_per_packet:.2} us/packet sent or received, {cores:.3} cores"));
        row("  late by", late_ms.map_or_else(|| "-".to_owned(), show));
        if unsent > 0 {
            row("  not sent", format!("{unsent} packets: this machine cannot send more"));
        }
        if late_ms.is_some_and(|late| late.p99 > 5.0) {
            row(
                "  WARNING",
                "the load generator was late; the added delay counts from the actual transmission".to_owned(),
            );
        }
        rows.iter().map(|(name, value)| format!("{name:<26} {value}\n")).collect()
    }
}

fn show(times: Times) -> String {
    let Times { p50, p99, p999, max, .. } = times;
    format!("p50 {p50:.3}  p99 {p99:.3}  p99.9 {p999:.3}  max {max:.3} ms")
}
