//! The memory of a call must be below a limit and must not grow. Rust's allocator counts it.
//!
//! libopus allocates in C, which is not counted: 18.5 kB for a decoder and 32 kB for an encoder at 8 kHz. The test adds these bytes
//! for calls that use them.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use trestle_bench::{Calls, Scenario, Work, scenarios};
use trestle_core::plan::Codec;
use trestle_io::clock;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Number of calls in a measurement.
const CALLS: usize = 10;
/// Packet times (20 ms) until the memory of a call is constant.
const SETTLE_TICKS: usize = 500;
/// Packet times in a minute.
const MINUTE_TICKS: usize = 3_000;

const OPUS_DECODER_BYTES: usize = 18_500;
const OPUS_ENCODER_BYTES: usize = 32_000;

/// Bytes that the measured work of the engine has allocated and not freed.
#[derive(Default)]
struct Held(isize);

impl Held {
    fn meter(&mut self) -> impl FnMut(&mut dyn FnMut() -> Work) + '_ {
        |piece| {
            let region = Region::new(ALLOCATOR);
            piece();
            let change = region.change();
            self.0 += change.bytes_allocated as isize - change.bytes_deallocated as isize;
        }
    }
}

/// Bytes per call: those of Rust, and those of Rust and libopus.
fn per_call(held: &Held, scenario: &Scenario) -> (usize, usize) {
    let rust = held.0 as usize / CALLS;
    let opus = match scenario.sides.map(|side| side.codec) {
        // One direction has an Opus decoder, the other an Opus encoder.
        [Codec::Opus, Codec::Pcma] | [Codec::Pcma, Codec::Opus] => OPUS_DECODER_BYTES + OPUS_ENCODER_BYTES,
        _ => 0,
    };
    (rust, rust + opus)
}

/// One test, since the allocator counts for the whole process.
#[test]
fn the_memory_of_a_call_is_below_its_limit_and_does_not_grow() {
    // Scenario, limit in bytes per call with libopus, and minutes of the test: one minute with transcoding, which is slow to run.
    for (name, bytes_max, minutes) in [
        ("forward rtp > rtp", 8_800, 10),
        ("forward rtp <> rtp all", 14_500, 10),
        ("forward sdes > sdes", 26_000, 10),
        ("forward meta <> sdes opus", 80_000, 10),
        ("transcode opus > pcma", 90_000, 1),
        ("bridge meta <> sdes pcma", 150_000, 1),
        ("bridge all", 150_000, 1),
    ] {
        let scenario = scenarios().into_iter().find(|scenario| scenario.name == name).expect("a scenario");
        let mut calls = Calls::new(clock::now(), scenario.sides);
        let mut held = Held::default();
        calls.open(CALLS, &mut held.meter());
        calls.follow(scenario.scripts);
        (0..SETTLE_TICKS).for_each(|_| calls.tick(&mut held.meter()));
        let (rust, all) = per_call(&held, &scenario);
        println!("{name}: {rust} bytes a call, {all} with libopus");
        assert!(all <= bytes_max, "{name}: {all} bytes a call, the limit is {bytes_max}");
        (0..minutes * MINUTE_TICKS).for_each(|_| calls.tick(&mut held.meter()));
        let (later, _) = per_call(&held, &scenario);
        // 256 bytes are allowed for tables that reach their final size late.
        assert!(later <= rust + 256, "{name}: {rust} bytes a call at first, {later} later");
        calls.close();
    }
}
