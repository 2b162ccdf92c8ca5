//! Any control datagram gets at most one reply and, if refused, changes nothing.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::ng_datagram(data);
});
