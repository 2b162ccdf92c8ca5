//! Stores frames in the order of their media time until [`super::Playout`] takes them.

use arrayvec::ArrayVec;
use trestle_wire::ExtSeq;

use crate::Discard;
use crate::limits::{DATAGRAM_BYTES_MAX, JITTER_FRAMES_MAX};
use crate::plan::Codec;

/// Frames of one source. Storage grows to the most that were stored at once, and is reused.
#[derive(Debug, Default)]
pub struct JitterBuffer {
    slots: Vec<FrameSlot>,
    /// Slots in use, by media time.
    order: ArrayVec<u8, JITTER_FRAMES_MAX>,
    /// Slots not in use.
    free: ArrayVec<u8, JITTER_FRAMES_MAX>,
}

#[derive(Debug)]
struct FrameSlot {
    timing: FrameTiming,
    payload: Vec<u8>,
}

/// The properties of a frame except for its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTiming {
    /// Where the frame begins in media time, in microseconds.
    pub media_us: i64,
    /// Duration in microseconds.
    pub duration_us: i64,
    /// Extended sequence number.
    pub seq: ExtSeq,
    /// Codec of the payload.
    pub codec: Codec,
}

impl FrameTiming {
    /// Where the frame ends in media time, in microseconds.
    pub fn end_us(&self) -> i64 {
        self.media_us + self.duration_us
    }
}

impl JitterBuffer {
    /// Stores a frame.
    ///
    /// # Errors
    /// [`Discard::Duplicate`] if one with its number or its time is stored already, [`Discard::Overflow`] if there are
    /// [`JITTER_FRAMES_MAX`], [`Discard::Malformed`] if it is longer than any datagram.
    pub fn insert(&mut self, timing: FrameTiming, payload: &[u8]) -> Result<(), Discard> {
        if payload.len() > DATAGRAM_BYTES_MAX {
            return Err(Discard::Malformed);
        }
        let taken = self.order.iter().map(|index| &self.slots[usize::from(*index)].timing);
        if taken.clone().any(|other| other.media_us == timing.media_us || other.seq == timing.seq) {
            return Err(Discard::Duplicate);
        }
        // Nearly every frame is the newest: search from the back.
        let place = self.order.len() - taken.rev().take_while(|other| other.media_us > timing.media_us).count();
        let index = self.take_slot().ok_or(Discard::Overflow)?;
        let slot = &mut self.slots[usize::from(index)];
        slot.timing = timing;
        slot.payload.clear();
        slot.payload.extend_from_slice(payload);
        self.order.insert(place, index);
        Ok(())
    }

    /// The earliest frame.
    pub fn first(&self) -> Option<(FrameTiming, &[u8])> {
        self.order.first().map(|index| self.slot(*index))
    }

    /// Removes the earliest frame. Its payload stays readable until the next insertion.
    pub fn pop(&mut self) -> Option<(FrameTiming, &[u8])> {
        let index = self.order.pop_at(0)?;
        self.free.push(index);
        Some(self.slot(index))
    }

    /// Removes all frames.
    pub fn clear(&mut self) {
        self.free.extend(self.order.drain(..));
    }

    /// Frames stored.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True if no frame is stored.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn slot(&self, index: u8) -> (FrameTiming, &[u8]) {
        let FrameSlot { timing, payload } = &self.slots[usize::from(index)];
        (*timing, payload)
    }

    fn take_slot(&mut self) -> Option<u8> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let index = self.slots.len();
        if index == JITTER_FRAMES_MAX {
            return None;
        }
        let timing = FrameTiming { media_us: 0, duration_us: 0, seq: ExtSeq(0), codec: Codec::Pcmu };
        self.slots.push(FrameSlot { timing, payload: Vec::new() });
        u8::try_from(index).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(n: i64) -> FrameTiming {
        FrameTiming { media_us: n * 20_000, duration_us: 20_000, seq: ExtSeq((70_000 + n) as u64), codec: Codec::Pcma }
    }

    #[test]
    fn frames_come_out_in_the_order_of_their_time_with_their_own_payload() {
        let mut buffer = JitterBuffer::default();
        for round in 0..50 {
            for n in [3, 1, 4, 0, 2] {
                buffer.insert(timing(round * 5 + n), &[n as u8; 3]).unwrap();
            }
            for n in 0..5 {
                assert_eq!(buffer.pop(), Some((timing(round * 5 + n), &[n as u8; 3][..])));
            }
        }
        assert_eq!(buffer.pop(), None);
        assert_eq!(buffer.slots.len(), 5, "slots are used again");
    }

    #[test]
    fn a_frame_is_stored_once() {
        let mut buffer = JitterBuffer::default();
        buffer.insert(timing(1), b"one").unwrap();
        assert_eq!(buffer.insert(timing(1), b"two"), Err(Discard::Duplicate));
        assert_eq!(buffer.insert(FrameTiming { seq: ExtSeq(1), ..timing(1) }, b"two"), Err(Discard::Duplicate));
        assert_eq!(buffer.insert(FrameTiming { media_us: 7, ..timing(1) }, b"two"), Err(Discard::Duplicate));
        assert_eq!(buffer.pop(), Some((timing(1), &b"one"[..])));
    }

    #[test]
    fn it_stores_no_more_than_its_limit_and_accepts_frames_after_being_full() {
        let mut buffer = JitterBuffer::default();
        for n in 0..JITTER_FRAMES_MAX as i64 {
            buffer.insert(timing(n), b"x").unwrap();
        }
        assert_eq!(buffer.insert(timing(1_000), b"x"), Err(Discard::Overflow));
        buffer.clear();
        assert!(buffer.is_empty());
        buffer.insert(timing(1_000), b"y").unwrap();
        assert_eq!((buffer.len(), buffer.first()), (1, Some((timing(1_000), &b"y"[..]))));
    }

    #[test]
    fn a_payload_longer_than_a_datagram_is_refused() {
        assert_eq!(JitterBuffer::default().insert(timing(0), &[0; DATAGRAM_BYTES_MAX + 1]), Err(Discard::Malformed));
    }
}
