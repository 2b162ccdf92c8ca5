//! SIP calls through Debian's Kamailio and its `rtpengine` module, media through Trestle: between baresip and sipp, and
//! with WhatsApp's side played by the project's own [`trestle_peers::Meta`] behind a small user agent of these tests, which
//! also does what no well-behaved phone does on demand (183, forks, 407).
//!
//! Each test has its own addresses in 127.0.0.0/8, its own Trestle (in this process, on real sockets), Kamailio and user
//! agents, so that any number of them run at once. What is asserted is what was received and signalled; how long things took is
//! printed (`--nocapture`). The logs of a failed test are in `target/sip-logs`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests are the outside world, which has clocks, sockets and threads"
)]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod agent;
mod baresip;
mod dialogues;
mod ear;
mod latency;
mod line;
mod message;
mod phones;
mod place;
mod program;
mod stack;
mod tap;
mod trestle;
mod whatsapp;
