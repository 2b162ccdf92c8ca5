//! Limits that callers see or several files share, each with its reason. A capacity or duration that concerns one file only is a constant
//! there, with its reason.

/// Calls per shard. One core carries some hundreds; this bounds the memory that a flood of offers can take.
pub const CALLS_MAX: usize = 20_000;

/// Legs per call: two parties, a third that replaces one, a fourth that only listens; the others are for forks.
pub const LEGS_PER_CALL_MAX: usize = 8;

/// Remote ICE candidates used per leg. Each costs checks to an address that the peer has chosen.
pub const REMOTE_CANDIDATES_MAX: usize = 8;

/// Frames that wait in one jitter buffer: 1 s at 10 ms per frame, five times the longest playout delay.
pub const JITTER_FRAMES_MAX: usize = 100;

/// Bytes of one datagram. Audio needs under 400; DTLS flights stay under the MTU.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Digits queued towards one leg, and digits listed in its report.
pub const DIGITS_MAX: usize = 64;

/// Duration of the digits that wait towards one leg, with their pauses: while they are sent, the peer receives no audio. It is
/// enough for [`DIGITS_MAX`] digits of 100 ms.
pub const DIGITS_WAITING_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Audio that waited for longer than this before it was read is not passed on: Trestle was stopped or had no CPU, and a listener
/// that gets all of it is behind by that time for the rest of the call. As long as the largest delay of a usual jitter buffer.
pub const WAITED_AUDIO_MAX: std::time::Duration = std::time::Duration::from_millis(200);

/// Port pairs per interface and address family that the edge keeps bound in advance, so that a leg opens at once.
pub const PORT_STOCK: usize = 16;
