//! What a call holds in memory, as Rust's allocator sees it, and that it does not grow.
//!
//! libopus allocates by itself, in C: 18.5 kB for a decoder and 32 kB for an encoder at 8 kHz. They are added where a call has
//! them.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use trestle_bench::{Calls, Scenario, Work, scenarios};
use trestle_core::plan::Codec;
use trestle_io::clock;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls that the bytes are divided by.
const CALLS: usize = 10;
/// Packet times until a call holds what it will hold.
const SETTLE_TICKS: usize = 500;
/// Packet times of a minute.
const MINUTE_TICKS: usize = 3_000;

const OPUS_DECODER_BYTES: usize = 18_500;
const OPUS_ENCODER_BYTES: usize = 32_000;

/// Bytes that the engine's pieces of work have allocated and not given back.
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

/// Rust's bytes per call, and with libopus's.
fn per_call(held: &Held, scenario: &Scenario) -> (usize, usize) {
    let rust = held.0 as usize / CALLS;
    let opus = match scenario.sides.map(|side| side.codec) {
        // Each direction has a decoder or an encoder.
        [Codec::Opus, Codec::Pcma] | [Codec::Pcma, Codec::Opus] => OPUS_DECODER_BYTES + OPUS_ENCODER_BYTES,
        _ => 0,
    };
    (rust, rust + opus)
}

/// One test, since the allocator counts for the whole process.
#[test]
fn a_call_holds_no_more_than_it_may_and_no_more_after_ten_minutes() {
    // Bytes of a call, with libopus's, and for how long it is watched: what a bridge adds are the codecs, and those take time.
    for (name, bytes_max, minutes) in [
        ("forward rtp > rtp", 8_000, 10),
        ("forward rtp <> rtp all", 12_000, 10),
        ("forward sdes > sdes", 24_000, 10),
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
        assert!(all <= bytes_max, "{name}: {all} bytes a call, {bytes_max} are allowed");
        (0..minutes * MINUTE_TICKS).for_each(|_| calls.tick(&mut held.meter()));
        let (later, _) = per_call(&held, &scenario);
        // A table that has taken its final size is no growth.
        assert!(later <= rust + 256, "{name}: {rust} bytes a call at first, {later} later");
        calls.close();
    }
}
