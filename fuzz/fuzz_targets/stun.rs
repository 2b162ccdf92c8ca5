//! A connectivity check without credentials has no reply.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::stun(data);
});
