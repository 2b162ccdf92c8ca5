//! Trials of the judge: random ones from seeds, and those that have once found a fault.
//!
//! `JUDGE_SEEDS=FIRST..END cargo test --test scenarios judge` runs other seeds than the usual ones. For thousands of them use
//! `cargo run -p trestle-world --example judge -- FIRST COUNT`, which prints no panics and how fast it is.

use trestle_world::judge::{Judged, Trial, run, shrunk};

/// Seeds of each of the two tests, so that they run on two cores.
const SEEDS: u64 = 100;

fn judge_seeds(seeds: impl Iterator<Item = u64>) -> Judged {
    let mut judged = Judged::default();
    for seed in seeds {
        match run(&Trial::draw(seed)) {
            Ok(more) => judged.add(more),
            Err(finding) => panic!("{}", shrunk(finding)),
        }
    }
    judged
}

fn seeds_of(range: &str) -> (u64, u64) {
    let numbers = range.split_once("..").and_then(|(first, end)| Some((first.parse().ok()?, end.parse().ok()?)));
    numbers.unwrap_or_else(|| panic!("JUDGE_SEEDS is {range}; use FIRST..END"))
}

#[test]
fn random_trials_with_even_seeds_violate_no_invariant() {
    let (first, end) = std::env::var("JUDGE_SEEDS").map_or((0, 2 * SEEDS), |range| seeds_of(&range));
    let judged = judge_seeds((first..end).filter(|seed| seed % 2 == 0));
    assert!(judged.replies > 0 || first == end, "{judged:?}");
}

#[test]
fn random_trials_with_odd_seeds_violate_no_invariant() {
    let (first, end) = std::env::var("JUDGE_SEEDS").map_or((0, 2 * SEEDS), |range| seeds_of(&range));
    let judged = judge_seeds((first..end).filter(|seed| seed % 2 == 1));
    assert!(judged.replies > 0 || end - first <= 1, "{judged:?}");
}
