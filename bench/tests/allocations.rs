//! No packet of a call that has settled allocates, or gives memory back, whatever kind of packet and call it is.
//!
//! This sees what Rust allocates; what the C libraries do is seen by `.ci/instructions`, which counts calls of `malloc`.

use std::alloc::System;
use std::collections::BTreeMap;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use trestle_bench::{Calls, Work, scenarios};
use trestle_io::clock;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Ten seconds until every table has its size.
const SETTLE_TICKS: usize = 500;
/// Half a minute is looked at: some digits, reports, losses and pauses of each kind.
const TICKS: usize = 1_500;

/// Pieces of work, and how many of them allocated or freed.
#[derive(Default)]
struct Tally {
    pieces: usize,
    guilty: usize,
    allocations: usize,
    deallocations: usize,
    reallocations: usize,
}

/// One test, and nothing beside it: the counts are those of the whole process.
#[test]
fn no_packet_allocates() {
    let mut guilty = String::new();
    for scenario in scenarios() {
        let mut calls = Calls::new(clock::now(), scenario.sides);
        calls.open(2, &mut trestle_bench::unmetered);
        calls.follow(scenario.scripts);
        calls.pass(SETTLE_TICKS);
        let before = calls.engine().sent().rtp;
        let mut tallies: BTreeMap<Work, Tally> = BTreeMap::new();
        let mut meter = |piece: &mut dyn FnMut() -> Work| {
            let region = Region::new(ALLOCATOR);
            let work = piece();
            let change = region.change();
            let tally = tallies.entry(work).or_default();
            tally.pieces += 1;
            tally.guilty += usize::from(change.allocations + change.deallocations + change.reallocations > 0);
            tally.allocations += change.allocations;
            tally.deallocations += change.deallocations;
            tally.reallocations += change.reallocations;
        };
        (0..TICKS).for_each(|_| calls.tick(&mut meter));
        assert!(calls.engine().sent().rtp - before > TICKS, "{}: hardly anything has left", scenario.name);
        for (work, tally) in tallies {
            let Tally { pieces, guilty: n, allocations, deallocations, reallocations } = tally;
            let line = format!(
                "{}: {work:?}: {n} of {pieces} pieces allocate: {allocations} allocations, {reallocations} reallocations, \
                 {deallocations} deallocations\n",
                scenario.name
            );
            print!("{line}");
            // A consent check every three seconds is no packet of media, and not made by us but by the ICE agent.
            if n > 0 && work != Work::Handshake {
                guilty += &line;
            }
        }
    }
    assert!(guilty.is_empty(), "\n{guilty}");
}
