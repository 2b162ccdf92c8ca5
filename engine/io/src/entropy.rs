//! The only place that draws randomness from the system, except for DTLS and ICE (docs/decisions/0011). All other random values
//! are derived from a seed.

use std::io;

/// 32 bytes from the system's generator: the seed of one shard or of the controller.
///
/// # Errors
/// If the system has no generator, or it is not ready.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

/// A random number, for choosing a port.
///
/// # Errors
/// As for [`seed`].
pub fn number() -> io::Result<u32> {
    Ok(getrandom::u32()?)
}
