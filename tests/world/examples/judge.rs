//! Runs trials of the judge: `judge SEED [COUNT]`. Prints each finding, shrunk, and how many seeds were clean.
//!
//! With `JUDGE_FIRST` set it stops at the first finding and does not shrink it. With `JUDGE_PANICS` set each panic is printed.

use std::process::ExitCode;
use std::time::Instant;

use trestle_world::judge::{Judged, Trial, run, shrunk};

/// Findings after which the rest is not run.
const FINDINGS_MAX: u64 = 20;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let (Some(Ok(first)), Ok(count)) = (numbers.next(), numbers.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: judge SEED [COUNT]");
        return ExitCode::FAILURE;
    };
    if std::env::var_os("JUDGE_PANICS").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    #[expect(clippy::disallowed_methods, reason = "measures how fast trials run")]
    let start = Instant::now();
    let is_first_enough = std::env::var_os("JUDGE_FIRST").is_some();
    let (mut judged, mut findings, mut done) = (Judged::default(), 0, 0);
    for seed in first..first + count {
        done += 1;
        match run(&Trial::draw(seed)) {
            Ok(more) => judged.add(more),
            Err(finding) => {
                findings += 1;
                if is_first_enough {
                    println!("{finding}");
                    return ExitCode::FAILURE;
                }
                println!("{}\n", shrunk(finding));
            }
        }
        if done % 1_000 == 0 || done == count {
            #[expect(clippy::disallowed_methods, reason = "measures how fast trials run")]
            let seconds = start.elapsed().as_secs_f64();
            println!("{done} seeds in {seconds:.0} s, {findings} findings, {judged:?}");
        }
        if findings >= FINDINGS_MAX {
            println!("stopped after {findings} findings at seed {seed}");
            break;
        }
    }
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
