//! A handshake completes among hostile datagrams.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::dtls_glue(data);
});
