//! Packets read back as written, and no sequence number is sent twice.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::rtp_rewrite(data);
});
