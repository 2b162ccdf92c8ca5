//! Bytes to values and back: RTP, RTCP, telephone-event, and the first-byte demultiplexer.
//!
//! No state, no allocation in readers, no dependency. A reader returns either a checked value or [`Malformed`]; no input
//! causes a panic.

pub mod clock;
pub mod demux;
pub mod rtcp;
pub mod rtp;
pub mod seq;
pub mod stun;
pub mod telephone_event;

pub use clock::{ClockRate, NtpTime, Ptime, RtpTime};
pub use rtp::{Pt, Ssrc};
pub use seq::{ExtSeq, Seq, SeqExtender};

/// The bytes do not have the format of the packet. The datagram is discarded and counted, never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("malformed packet")
    }
}

impl std::error::Error for Malformed {}
