//! Limits of a description: of what is read, beyond which it is refused, and of what is kept, beyond which lines and items are
//! skipped.

/// Bytes of a description; a longer one is refused. The longest offers of browsers have about 8 kB, most of it for video.
pub const SDP_BYTES_MAX: usize = 32 * 1_024;

/// Lines of a description that are kept.
pub const LINES_MAX: usize = 1_024;

/// Bytes of one line without its line end; a longer one is skipped. A fingerprint has about 110, a candidate about 200.
pub const LINE_BYTES_MAX: usize = 1_024;

/// `m=` lines; a description with more is refused: each needs a line in the answer, even if its stream is refused (RFC 3264
/// section 6). Conference systems offer six and more.
pub const MEDIA_MAX: usize = 32;

/// Payload types of one `m=` line that are kept. 32 are dynamic, from 96 to 127 (RFC 3551 section 6).
pub const FORMATS_MAX: usize = 64;

/// Usable `a=candidate` lines of one `m=` line that are kept.
pub const CANDIDATES_MAX: usize = 32;

/// Usable `a=crypto` lines of one `m=` line that are kept: the twelve registered suites, and some more.
pub const CRYPTO_MAX: usize = 16;

/// Bytes of an ICE user name fragment or password (RFC 8839 5.4).
pub const ICE_CREDENTIAL_BYTES_MAX: usize = 256;
