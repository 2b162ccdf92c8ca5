//! A request means the same in JSON and in bencode.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::compat(data);
});
