//! The media engine: calls, legs, streams and routes as a machine without a clock, socket, thread or entropy.
//!
//! Contract of every machine here: after any `handle_*`, drain `poll_output` until it says [`Output::Timeout`], then wait
//! for whichever comes first: a datagram, a command, or that instant.
//!
//! ```text
//! handle_datagram(now, socket, remote, bytes)   handle_command(now, id, command)   handle_timeout(now)
//! poll_output() -> Transmit | Reply | Event | Release | Timeout(Option<Instant>)
//! ```

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test takes one instant to count from"))]

mod call;
pub mod command;
pub mod discard;
pub mod dtmf;
pub mod id;
pub mod leg;
pub mod limits;
pub mod output;
pub mod plan;
mod ports;
pub mod report;
pub mod shard;
pub mod stream;
pub mod time;
mod timers;

pub use command::{Answer, Command, CommandError, Event, EventKind, LegFailure, LegPorts, Milestone, Reply};
pub use discard::Discard;
pub use id::{CallId, InterfaceId, LegId, RequestId, SocketId};
pub use plan::LegPlan;
pub use leg::webrtc::DtlsIdentity;
pub use output::{Output, Transmit};
pub use report::PortPair;
pub use shard::{Shard, ShardConfig};
pub use time::Epoch;

// Stand-ins while the real modules are being written in dtmf/ and route/; replace each by `pub mod dtmf;` and `pub mod route;`.
#[allow(missing_docs, dead_code, unused_variables, reason = "stand-in")]
pub mod route {
    use std::time::{Duration, Instant};
    use trestle_wire::{ExtSeq, Ptime, RtpTime};
    use crate::Discard;
    use crate::plan::{Codec, SendFormat};
    pub const FRAME_BYTES_MAX: usize = 1_500;
    pub struct Frame { pub len: usize, pub duration_ticks: u32 }
    #[derive(Debug)]
    pub struct Transcoder;
    impl Transcoder {
        pub fn new(format: &SendFormat) -> Self { Self }
        pub fn push(&mut self, now: Instant, source: u64, seq: ExtSeq, time: RtpTime, codec: Codec, payload: &[u8]) -> Result<(), Discard> { Ok(()) }
        pub fn handle_timeout(&mut self, now: Instant) {}
        pub fn poll_timeout(&self) -> Option<Instant> { None }
        pub fn poll_frame(&mut self, out: &mut [u8]) -> Option<Frame> { None }
        pub fn hold(&self) -> Duration { Duration::ZERO }
        pub fn concealed_frames(&self) -> u64 { 0 }
        pub fn transcoded_frames(&self) -> u64 { 0 }
        pub fn set_remote_loss(&mut self, fraction: u8) {}
    }
    pub fn packet_ptime(codec: Codec, payload: &[u8]) -> Option<Ptime> { Ptime::new(20) }
}
