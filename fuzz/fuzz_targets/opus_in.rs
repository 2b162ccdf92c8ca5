//! Only Opus packets that conform to RFC 6716 reach libopus.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::opus_in(data);
});
