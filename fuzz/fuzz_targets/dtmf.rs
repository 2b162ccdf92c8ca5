//! Digits are received once and sent in the shape of RFC 4733.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::dtmf(data);
});
