//! `trestle load`: a load that any ng engine can be put under, and what it costs the engine.
//!
//! [`calls`] is all calls of a run, a machine without socket or clock; [`drive`] turns it, over the sockets of [`wire`].

pub mod calls;
pub mod drive;
pub mod histogram;
pub mod leg;
pub mod ng;
pub mod options;
pub mod outbox;
pub mod pace;
pub mod pair;
pub mod report;
pub mod sdp;
pub mod speech;
pub mod target;
pub mod whatsapp;
pub mod wire;
pub mod work;

use std::io::Write;

use anyhow::Context as _;
use drive::Progress;
use indicatif::{ProgressBar, ProgressStyle};

pub use options::LoadArgs;
pub use report::Report;

/// Does what `args` say and prints what it gave.
///
/// # Errors
/// No call comes up, a socket or a file cannot be had.
pub fn run(args: &LoadArgs, out: &mut dyn Write) -> anyhow::Result<Report> {
    let bar = ProgressBar::new(1_000);
    // Drawn on a terminal only.
    bar.set_style(ProgressStyle::with_template("{msg:<32} {wide_bar} {percent:>3} %")?);
    let outcome = drive::run(args, |Progress { phase, up, share }| {
        bar.set_message(format!("{phase:?}, {up} calls"));
        bar.set_position((share * 1_000.0) as u64);
    });
    bar.finish_and_clear();
    let report = Report::of(args, &outcome?);
    write!(out, "{}", report.table())?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report)
}
