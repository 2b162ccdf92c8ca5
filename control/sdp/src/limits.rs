//! Limits of a description. A description beyond a limit is refused.

/// Bytes of a description. The longest offers of browsers have about 8 kB, most of it for video.
pub const SDP_BYTES_MAX: usize = 16 * 1_024;

/// Lines of a description.
pub const LINES_MAX: usize = 512;

/// Bytes of one line without its line end. A fingerprint has about 110, a candidate about 200.
pub const LINE_BYTES_MAX: usize = 1_024;

/// `m=` lines. Each needs a line in the answer, even if it is refused (RFC 3264 section 6).
pub const MEDIA_MAX: usize = 4;

/// Payload types of one `m=` line. 32 are dynamic, from 96 to 127 (RFC 3551 section 6).
pub const FORMATS_MAX: usize = 32;

/// `a=candidate` lines of one `m=` line.
pub const CANDIDATES_MAX: usize = 32;

/// `a=crypto` lines of one `m=` line: the twelve registered suites, and some more.
pub const CRYPTO_MAX: usize = 16;

/// Bytes of an ICE user name fragment or password (RFC 8839 5.4).
pub const ICE_CREDENTIAL_BYTES_MAX: usize = 256;
