//! RTCP is read within its lengths, and what Trestle writes reads back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::rtcp(data);
});
