//! Repacks PCM: takes frames of any length, gives frames of an exact length.

use crate::Pcm;

/// Collects samples until there are enough for a frame. Never allocates.
#[derive(Debug, Clone)]
pub struct Packer {
    samples: [i16; Self::CAPACITY],
    start: usize,
    end: usize,
}

impl Packer {
    /// Samples of two of the longest packets: one behind almost as much that waits for the rest of its frame.
    pub const CAPACITY: usize = 2 * Pcm::CAPACITY;

    /// An empty packer.
    pub const fn new() -> Self {
        Self { samples: [0; Self::CAPACITY], start: 0, end: 0 }
    }

    /// Samples in it.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True if it has no samples.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes all samples.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Appends samples. If there is no room for them, the oldest are dropped; returns how many. That happens only if
    /// [`Packer::pop`] is not called.
    pub fn push(&mut self, pcm: &[i16]) -> usize {
        let over = (self.len() + pcm.len()).saturating_sub(Self::CAPACITY);
        let from_stored = over.min(self.len());
        let pcm = &pcm[over - from_stored..];
        self.start += from_stored;
        if self.end + pcm.len() > Self::CAPACITY {
            self.samples.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.samples[self.end..self.end + pcm.len()].copy_from_slice(pcm);
        self.end += pcm.len();
        over
    }

    /// The next `frame_samples` samples, if there are that many. `None` also for 0.
    pub fn pop(&mut self, frame_samples: usize) -> Option<&[i16]> {
        if frame_samples == 0 || frame_samples > self.len() {
            return None;
        }
        let start = self.start;
        self.start += frame_samples;
        Some(&self.samples[start..self.start])
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every packet time of 10 to 60 ms in, every one out: no sample lost, none twice, order kept.
    #[test]
    fn any_packet_time_is_repacked_to_any_other() {
        for in_ms in (10..=60).step_by(10) {
            for out_ms in (10..=60).step_by(10) {
                let (frame_in, frame_out) = (in_ms * 8, out_ms * 8);
                let mut packer = Packer::new();
                let (mut written, mut read) = (0i16, 0i16);
                for _ in 0..50 {
                    let frame: Vec<i16> = (0..frame_in).map(|i| written.wrapping_add(i as i16)).collect();
                    written = written.wrapping_add(frame_in as i16);
                    assert_eq!(packer.push(&frame), 0, "{in_ms} ms to {out_ms} ms");
                    while let Some(frame) = packer.pop(frame_out) {
                        assert_eq!(frame.len(), frame_out);
                        for sample in frame {
                            assert_eq!(*sample, read, "{in_ms} ms to {out_ms} ms");
                            read = read.wrapping_add(1);
                        }
                    }
                    assert!(packer.len() < frame_out);
                }
                assert_eq!(written.wrapping_sub(read) as usize, packer.len());
            }
        }
    }

    #[test]
    fn without_pop_the_newest_samples_are_kept() {
        let mut packer = Packer::new();
        assert_eq!(packer.push(&[1; Packer::CAPACITY]), 0);
        assert_eq!(packer.push(&[2; 160]), 160);
        assert_eq!(packer.len(), Packer::CAPACITY);
        assert_eq!(packer.pop(Packer::CAPACITY).unwrap()[Packer::CAPACITY - 160..], [2; 160]);
    }

    #[test]
    fn of_a_push_longer_than_the_capacity_the_newest_samples_are_kept() {
        let mut packer = Packer::new();
        packer.push(&[1; 80]);
        let long: Vec<i16> = (0..Packer::CAPACITY as i16 + 5).collect();
        assert_eq!(packer.push(&long), 85);
        assert_eq!(packer.pop(Packer::CAPACITY).unwrap(), &long[5..]);
        assert!(packer.is_empty());
    }

    #[test]
    fn pop_of_no_samples_and_of_too_many_gives_none() {
        let mut packer = Packer::new();
        packer.push(&[1; 8]);
        assert_eq!(packer.pop(0), None);
        assert_eq!(packer.pop(9), None);
        assert_eq!(packer.pop(8), Some(&[1i16; 8][..]));
    }
}
