//! Any description is refused or understood the same way twice, and its answer keeps to the offer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::sdp(data);
});
