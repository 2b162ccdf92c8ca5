//! A buffer for the PCM of one packet.

use crate::codec::{BRIDGE_RATE_MAX_HZ, PAYLOAD_MS_MAX};

/// PCM, mono: at most what one packet may have. Lives on the stack or in its owner, never allocates.
#[derive(Debug, Clone)]
pub struct Pcm {
    samples: [i16; Self::CAPACITY],
    len: usize,
}

impl Pcm {
    /// Samples of the longest payload at the highest rate between two codecs.
    pub const CAPACITY: usize = (PAYLOAD_MS_MAX * BRIDGE_RATE_MAX_HZ / 1_000) as usize;

    /// An empty buffer.
    pub const fn new() -> Self {
        Self { samples: [0; Self::CAPACITY], len: 0 }
    }

    /// The samples in it.
    pub fn as_slice(&self) -> &[i16] {
        &self.samples[..self.len]
    }

    /// The samples in it, mutable.
    pub fn as_mut_slice(&mut self) -> &mut [i16] {
        &mut self.samples[..self.len]
    }

    /// How many samples are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if it has no samples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes it empty.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Copies `samples` into it, at most the first [`Self::CAPACITY`].
    pub fn clone_from_slice(&mut self, samples: &[i16]) {
        self.len = samples.len().min(Self::CAPACITY);
        self.samples[..self.len].copy_from_slice(&samples[..self.len]);
    }

    /// Sets its length to `len` samples, at most [`Self::CAPACITY`]. Added samples are silence.
    pub fn resize(&mut self, len: usize) {
        let len = len.min(Self::CAPACITY);
        if len > self.len {
            self.samples[self.len..len].fill(0);
        }
        self.len = len;
    }
}

impl Default for Pcm {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_added_by_resize_are_silence() {
        let mut pcm = Pcm::new();
        pcm.resize(160);
        pcm.as_mut_slice().fill(7);
        pcm.resize(80);
        pcm.resize(160);
        assert_eq!(&pcm.as_slice()[..80], &[7; 80]);
        assert_eq!(&pcm.as_slice()[80..], &[0; 80]);
    }

    #[test]
    fn its_length_is_bounded_by_the_longest_packet() {
        let mut pcm = Pcm::new();
        pcm.resize(Pcm::CAPACITY + 1);
        assert_eq!(pcm.len(), Pcm::CAPACITY);
        pcm.clear();
        assert!(pcm.is_empty());
    }
}
