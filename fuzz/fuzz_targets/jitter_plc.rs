//! Each tick of a playout has one frame, in order.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::jitter_plc(data);
});
