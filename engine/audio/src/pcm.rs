//! A buffer for one packet's worth of PCM.

/// PCM, mono, 8 kHz: at most what one packet may hold. Lives on the stack or in its owner, never allocates.
#[derive(Debug, Clone)]
pub struct Pcm {
    samples: [i16; Self::CAPACITY],
    len: usize,
}

impl Pcm {
    /// 120 ms, the longest Opus packet (RFC 6716 section 3.2.5, R5).
    pub const CAPACITY: usize = 960;

    /// An empty buffer.
    pub const fn new() -> Self {
        Self { samples: [0; Self::CAPACITY], len: 0 }
    }

    /// The samples in it.
    pub fn as_slice(&self) -> &[i16] {
        &self.samples[..self.len]
    }

    /// The samples in it, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [i16] {
        &mut self.samples[..self.len]
    }

    /// How many samples are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes it these samples, the first [`Self::CAPACITY`] of them.
    pub fn clone_from_slice(&mut self, samples: &[i16]) {
        self.len = samples.len().min(Self::CAPACITY);
        self.samples[..self.len].copy_from_slice(&samples[..self.len]);
    }

    /// Makes it `len` samples long, [`Self::CAPACITY`] at most. Samples that were not there before are silence.
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
    fn growing_again_shows_silence_and_not_what_was_there() {
        let mut pcm = Pcm::new();
        pcm.resize(160);
        pcm.as_mut_slice().fill(7);
        pcm.resize(80);
        pcm.resize(160);
        assert_eq!(&pcm.as_slice()[..80], &[7; 80]);
        assert_eq!(&pcm.as_slice()[80..], &[0; 80]);
    }

    #[test]
    fn it_never_grows_beyond_the_longest_packet() {
        let mut pcm = Pcm::new();
        pcm.resize(Pcm::CAPACITY + 1);
        assert_eq!(pcm.len(), Pcm::CAPACITY);
        pcm.clear();
        assert!(pcm.is_empty());
    }
}
