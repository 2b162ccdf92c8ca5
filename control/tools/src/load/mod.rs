//! `trestle load`: a load that any ng engine can be put under, and what it costs the engine.
//!
//! [`calls`] is all calls of a run, a machine without socket or clock; [`drive`] turns it, over the sockets of [`sockets`].

pub mod arrivals;
pub mod call_end;
pub mod calls;
pub mod codecs;
pub mod counts;
pub mod drive;
pub mod latencies;
pub mod leg;
pub mod ng;
pub mod options;
pub mod pace;
pub mod plot;
pub mod report;
pub mod sdp;
pub mod send_batch;
pub mod set_up;
pub mod sockets;
pub mod speech;
pub mod states;
pub mod sweep;
pub mod target;
pub mod whatsapp;
pub mod workload;

use std::io::Write;

use anyhow::{Context as _, bail};
use drive::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

pub use options::{EngineArgs, LoadArgs, OutputArgs};
pub use report::LoadReport;

/// Runs the load that `args` describe and prints the results. True if every call came up and none ended early.
///
/// # Errors
/// No call comes up, a socket or a file cannot be had, or the options contradict each other.
pub fn run(args: &LoadArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    if args.rate.is_some() && !args.work.is_set_up() {
        bail!("--rate is for set-up and set-up-bridge; --ramp is how fast calls are set up that talk");
    }
    if args.work == workload::Workload::Codecs {
        let report = codecs::run(args.silence)?;
        save(args, &report)?;
        write!(out, "{}", report.table())?;
        return Ok(true);
    }
    if args.work.is_set_up() && (args.output.plot.is_some() || !args.sweep.is_empty()) {
        bail!("--plot and --sweep are for works with media");
    }
    if !(0.0..=1.0).contains(&args.silence) {
        bail!("--silence is a share: 0 to 1");
    }
    let bar = ProgressBar::new(1_000);
    // Drawn on a terminal only.
    bar.set_style(ProgressStyle::with_template("{msg:<32} {wide_bar} {percent:>3} %")?);
    let show = |message: String, share: f64| {
        bar.set_message(message);
        bar.set_position((share * 1_000.0) as u64);
    };
    let talking = |Progress { phase, up, share }| show(format!("{phase:?}, {up} calls"), share);
    let (table, good) = if args.work.is_set_up() {
        let report = set_up::run(args, |rate, share| show(format!("{rate} calls/s"), share))?;
        save(args, &report)?;
        (report.table(), !report.interrupted)
    } else if args.sweep.is_empty() {
        let mut stage = drive::LoadRun::open(args, args.calls as usize)?;
        let outcome = drive::talk(args, &mut stage, args.calls as usize, talking)?;
        let report = LoadReport::of(args, args.calls, &outcome);
        save(args, &report)?;
        if let Some(path) = &args.output.plot {
            plot::delays(path, &format!("{}, {} calls", report.work, report.calls), &outcome.counts.delay)?;
        }
        (report.table(), report.is_complete())
    } else {
        let sweep = sweep::run(args, |_, progress| talking(progress))?;
        save(args, &sweep)?;
        if let Some(path) = &args.output.plot {
            plot::sweep(path, &sweep)?;
        }
        (sweep.table(), sweep.runs.iter().all(LoadReport::is_complete))
    };
    bar.finish_and_clear();
    write!(out, "{table}")?;
    Ok(good)
}

fn save(args: &LoadArgs, report: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = &args.output.json else { return Ok(()) };
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}
