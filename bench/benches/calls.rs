//! What a packet costs when 10, 100 and 1,000 calls take turns: the engine alone, no sockets. The more calls, the less of
//! them the caches hold.
//!
//! ```text
//! cargo bench -p trestle-bench --bench calls
//! ```

use std::time::{Duration, Instant};

use trestle_bench::{Calls, Scenario, Work, scenarios};
use trestle_io::clock;

/// Kinds of calls, and rounds of packets that are timed with ten of them.
const KINDS: [(&str, usize); 4] = [
    ("forward rtp > rtp", 20_000),
    ("forward sdes > sdes", 10_000),
    ("forward meta <> sdes opus", 4_000),
    ("bridge meta <> sdes pcma", 400),
];
/// Rounds until the calls have settled.
const SETTLE_TICKS: usize = 150;

fn main() {
    println!("{:<30} {:>6} {:>14} {:>12}", "ns per packet (least, median of rounds)", "calls", "packets", "ns");
    for (name, rounds) in KINDS {
        let scenario = scenarios().into_iter().find(|scenario| scenario.name == name).expect("a scenario");
        for calls in [10, 100, 1_000] {
            let (packets, least, median) = measure(&scenario, calls, (rounds * 10 / calls).max(20));
            println!("{name:<30} {calls:>6} {packets:>14} {least:>6} {median:>6}");
        }
    }
}

/// Packets, and nanoseconds for each in the fastest round and in that of the middle.
fn measure(scenario: &Scenario, count: usize, rounds: usize) -> (usize, u128, u128) {
    let mut calls = Calls::new(clock::now(), scenario.sides);
    calls.open(count, &mut trestle_bench::unmetered);
    calls.follow(scenario.scripts);
    calls.pass(SETTLE_TICKS);
    let mut packets = 0;
    let mut per_packet: Vec<u128> = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let (mut spent, mut in_round) = (Duration::ZERO, 0);
        calls.tick(&mut |piece| {
            let began: Instant = clock::now();
            let work = piece();
            spent += clock::now() - began;
            in_round += usize::from(work == Work::Audio);
        });
        packets += in_round;
        per_packet.push(spent.as_nanos() / in_round.max(1) as u128);
    }
    per_packet.sort_unstable();
    (packets, per_packet[0], per_packet[rounds / 2])
}
