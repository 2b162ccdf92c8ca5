//! The recipes of docs/recipes, as their readers start them: those with web hooks against a fake Graph that answers and delivers
//! as Meta's documents say, Kamailio's between fake SIP neighbours; with the project's own peers, and a whole Trestle on real
//! sockets.
//!
//! Nothing is timed. Every wait has a bound, and each test has addresses of its own in 127.0.0.0/8.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests are the outside world, which has clocks, sockets and threads"
)]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod bridge;
mod calls;
mod graph;
mod kamailio;
mod message;
mod pbx;
mod place;
mod trial;
mod wire;

use std::time::Duration;

/// Longest wait for anything, before a test fails.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);
