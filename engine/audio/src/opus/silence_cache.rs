//! Sends stored packets for continued silence, instead of encoding it: after some silence, packets that the encoder made of it
//! are sent again.
//!
//! A decoder's state after a SILK packet is the audio that it played last, and that is silence at both ends: the encoder
//! continues from the silence that it encoded last, the decoder from silence of the same kind. Packets code their gains
//! independently (RFC 6716 section 4.2.7.4), so that any stored packet may follow any other.

use super::PACKET_BYTES_MAX;

/// Largest sample of silence: -60 dBov. G.711's idle codes are 0 and 8, its next steps 16 and 24.
const PEAK: u16 = 32;
/// Frames of silence after which the encoder's state no longer contains the speech.
const SETTLED: u32 = 5;
/// The same with DTX, which begins 200 ms into a pause.
const SETTLED_DTX: u32 = 20;
/// Stored packets. They are sent in random order: a short loop of faint noise would be audible as a hum.
const KEPT: usize = 8;
/// Largest stored packet, in bytes.
const BYTES: usize = 64;
/// After so many frames silence is encoded again: 10 s of 20 ms.
const GOOD_FOR: u32 = 500;

/// The stored packets of one encoder.
#[derive(Debug)]
pub(super) struct SilenceCache {
    settled: u32,
    /// Silent frames in a row, of `samples` each.
    run: u32,
    samples: usize,
    kept: [KeptPacket; KEPT],
    count: usize,
    dice: u32,
}

#[derive(Debug, Clone, Copy)]
struct KeptPacket {
    bytes: [u8; BYTES],
    len: usize,
}

impl SilenceCache {
    /// A cache for an encoder with or without DTX.
    pub(super) fn new(dtx: bool) -> Box<Self> {
        let kept = [KeptPacket { bytes: [0; BYTES], len: 0 }; KEPT];
        let settled = if dtx { SETTLED_DTX } else { SETTLED };
        Box::new(Self { settled, run: 0, samples: 0, kept, count: 0, dice: 1 })
    }

    /// Notes the next frame; gives a stored packet for it, if it need not be encoded.
    pub(super) fn packet_for(&mut self, pcm: &[i16]) -> Option<&[u8]> {
        let quiet = pcm.iter().all(|sample| sample.unsigned_abs() <= PEAK);
        if !quiet || pcm.len() != self.samples || self.run >= GOOD_FOR {
            (self.run, self.count, self.samples) = (0, 0, pcm.len());
        }
        self.run += u32::from(quiet);
        if self.count < KEPT {
            return None;
        }
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let KeptPacket { bytes, len } = &self.kept[(self.dice >> 16) as usize % KEPT];
        Some(&bytes[..*len])
    }

    /// Takes the packet that the frame was encoded to.
    pub(super) fn encoded(&mut self, packet: &[u8]) {
        // A copy (LBRR) in it would be of speech that is over.
        if self.run > self.settled && packet.len() <= BYTES && !super::packet_has_fec(packet) {
            let Some(kept) = self.kept.get_mut(self.count) else { return };
            kept.bytes[..packet.len()].copy_from_slice(packet);
            kept.len = packet.len();
            self.count += 1;
        }
    }
}

const _: () = assert!(BYTES <= PACKET_BYTES_MAX);

#[cfg(test)]
mod tests;
