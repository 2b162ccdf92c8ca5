//! Every capacity of the engine, with its reason.

/// Calls per shard. A core carries some hundreds; this only keeps a flood of offers from eating all memory.
pub const CALLS_MAX: usize = 20_000;

/// Legs per call: two talk, a third may replace one, a fourth may listen; the rest is room for forks.
pub const LEGS_PER_CALL_MAX: usize = 8;

/// Remote ICE candidates used per leg. Each costs checks that we send to an address somebody else chose.
pub const REMOTE_CANDIDATES_MAX: usize = 8;

/// Frames that wait in one jitter buffer: 1 s at 10 ms per frame, five times any sensible hold.
pub const JITTER_FRAMES_MAX: usize = 100;

/// Bytes of one datagram. Audio needs under 400; DTLS flights stay under the MTU.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Digits queued towards one leg, and digits remembered in its report.
pub const DIGITS_MAX: usize = 64;

/// Port pairs per interface that the edge keeps bound ahead of need.
pub const PORT_STOCK: usize = 16;
