//! Hostile datagrams among those of a call change nothing.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::leg_preauth(data);
});
