//! SRTP under loss, replay, corruption and restarts agrees with a slow model.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trestle_tests::fuzz::srtp_model(data);
});
