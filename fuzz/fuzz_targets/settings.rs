//! A settings file is read or refused with a bounded text.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::settings(data);
});
