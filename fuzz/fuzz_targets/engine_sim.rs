//! Trials of the judge: a whole Trestle, its peers and their network.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::engine_sim(data);
});
