//! Shrinks a trial that fails to the steps that it takes to fail.

use super::step::{Step, Trial};
use super::{Finding, run};

/// Runs of a trial while it is shrunk.
const RUNS_MAX: usize = 400;

/// The finding of the smallest trial that was found to fail in the same way.
pub fn shrunk(finding: Box<Finding>) -> Box<Finding> {
    let mut best = finding;
    let mut runs = 0;
    let mut size = best.trial.steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut is_smaller = false;
        while at < best.trial.steps.len() && runs < RUNS_MAX {
            runs += 1;
            let mut trial = best.trial.clone();
            let end = (at + size).min(trial.steps.len());
            drop(trial.steps.drain(at..end));
            match fails_alike(&trial, &best) {
                Some(smaller) => {
                    best = smaller;
                    is_smaller = true;
                }
                None => at += size,
            }
        }
        if !is_smaller || size > 1 {
            size /= 2;
        }
    }
    // Fewer hostile datagrams, shorter waits.
    for at in 0..best.trial.steps.len() {
        loop {
            let mut trial = best.trial.clone();
            match &mut trial.steps[at] {
                Step::Hostile { times, .. } if *times > 1 => *times /= 2,
                Step::Wait { ms } if *ms > 20 => *ms /= 2,
                _ => break,
            }
            runs += 1;
            match fails_alike(&trial, &best) {
                Some(smaller) if runs < RUNS_MAX => best = smaller,
                _ => break,
            }
        }
    }
    best
}

fn fails_alike(trial: &Trial, known: &Finding) -> Option<Box<Finding>> {
    run(trial).err().filter(|finding| kind(&finding.what) == kind(&known.what))
}

/// The beginning of a text without its numbers.
fn kind(what: &str) -> String {
    what.chars().filter(|c| !c.is_ascii_digit()).take(40).collect()
}
