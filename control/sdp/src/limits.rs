//! How much of a description is read, and why no more.

/// Bytes of a description. The longest browser offers have some 8 kB, most of it video.
pub const SDP_BYTES_MAX: usize = 16 * 1_024;

/// Lines of a description.
pub const LINES_MAX: usize = 512;

/// Bytes of one line without its end. A fingerprint has 110, a candidate 200.
pub const LINE_BYTES_MAX: usize = 1_024;

/// `m=` lines. Each must be answered, even those that are refused.
pub const MEDIA_MAX: usize = 4;

/// Payload types of one `m=` line. There are 35 dynamic ones worth using (RFC 5761 section 4).
pub const FORMATS_MAX: usize = 32;

/// `a=candidate` lines of one `m=` line.
pub const CANDIDATES_MAX: usize = 32;

/// `a=crypto` lines of one `m=` line: the twelve registered suites, and room.
pub const CRYPTO_MAX: usize = 16;

/// Bytes of an ICE user name fragment or password (RFC 8839 5.4).
pub const ICE_CREDENTIAL_BYTES_MAX: usize = 256;
