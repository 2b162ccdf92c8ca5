//! Calls with WebRTC stacks that Trestle does not use: a strict ICE-lite peer on OpenSSL and libsrtp (`meta.py`), and
//! headless Chromium (`page.html`). Trestle runs in this process, on real sockets of the loopback; the SIP side is the
//! project's own phone.
//!
//! Each call has its own addresses in 127.0.0.0/8, so that any number of them run at once. What is asserted is what was
//! received, numbered and negotiated; how long it took is printed (`--nocapture`).
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the outside world has clocks, sockets, threads and locks"
)]
#![allow(clippy::unwrap_used, reason = "a test that is surprised ends")]

mod calls;
mod chromium;
mod chromium_calls;
mod engine;
mod gate_calls;
mod line;
mod meta;
mod meta_calls;
mod received;
