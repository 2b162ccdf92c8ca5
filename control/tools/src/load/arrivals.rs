//! Which packet that came out belongs to which that went in.
//!
//! What is forwarded carries a mark in its payload. What is transcoded cannot: there, packets are paired by their RTP
//! timestamps. One frame comes out for each that goes in, so the two numberings differ by a constant that holds for a second
//! at least; it is the largest with which nothing would have come out before it went in. An engine that keeps every packet for
//! 20 ms or longer is therefore credited with the whole frames; a comparison of the received audio with the sent audio would show it.

use super::pace::Ns;

/// Frames whose sending is remembered, of each stream.
const REMEMBERED: usize = 512;
/// Packets of a stream that share one constant: a second.
const WINDOW: usize = 50;

/// When the latest frames of a stream were sent, and which have come out.
#[derive(Debug, Default)]
pub struct SentFrames {
    /// Empty until the stream sends.
    frames: Vec<SentFrame>,
    last: u64,
}

#[derive(Debug, Clone, Copy)]
struct SentFrame {
    number: u64,
    at: Ns,
    came_out: bool,
}

/// What became of a frame that came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameArrival {
    /// So many nanoseconds after it was sent.
    After(Ns),
    /// It had come out before.
    Again,
    /// It was not sent, or so long ago that it is forgotten.
    Unknown,
}

impl SentFrames {
    /// Frame `number` was sent.
    pub fn note(&mut self, number: u64, at: Ns) {
        self.frames.resize(REMEMBERED, SentFrame { number: u64::MAX, at: 0, came_out: false });
        self.frames[number as usize % REMEMBERED] = SentFrame { number, at, came_out: false };
        self.last = self.last.max(number);
    }

    /// Frame `number` came out.
    pub fn came(&mut self, number: u64, at: Ns) -> FrameArrival {
        let frame = self.frames.get_mut(number as usize % REMEMBERED).filter(|frame| frame.number == number);
        let Some(frame) = frame else { return FrameArrival::Unknown };
        if std::mem::replace(&mut frame.came_out, true) {
            return FrameArrival::Again;
        }
        FrameArrival::After(at.saturating_sub(frame.at))
    }

    /// The last frame that was sent at `at` or before.
    fn last_before(&self, at: Ns) -> Option<u64> {
        let oldest = self.last.saturating_sub(REMEMBERED as u64 - 1);
        (oldest..=self.last).rev().find(|number| {
            let frame = self.frames.get(*number as usize % REMEMBERED);
            frame.is_some_and(|frame| frame.number == *number && frame.at <= at)
        })
    }
}

/// What came out of one transcoded stream in the last second.
#[derive(Debug, Default)]
pub struct Window {
    /// Number by its timestamp, and when it came.
    packets: Vec<(i64, Ns)>,
}

impl Window {
    /// A packet came; true if the window is full.
    pub fn push(&mut self, number: i64, at: Ns) -> bool {
        self.packets.push((number, at));
        self.packets.len() >= WINDOW
    }

    /// Empties the window: each packet's frame, and what became of it.
    pub fn pair(&mut self, sent: &mut SentFrames) -> Vec<(u64, FrameArrival)> {
        let constant =
            self.packets.iter().filter_map(|(number, at)| Some(sent.last_before(*at)? as i64 - number)).min();
        let Some(constant) = constant else {
            self.packets.clear();
            return Vec::new();
        };
        let frame = |(number, at): (i64, Ns)| {
            let frame = u64::try_from(number + constant).ok()?;
            Some((frame, sent.came(frame, at)))
        };
        self.packets.drain(..).filter_map(frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::FRAME_NS;
    use super::*;

    fn sent(frames: u64) -> SentFrames {
        let mut sent = SentFrames::default();
        (0..frames).for_each(|number| sent.note(number, 1_000_000 + number * FRAME_NS));
        sent
    }

    fn delays(window: &mut Window, sent: &mut SentFrames) -> Vec<FrameArrival> {
        window.pair(sent).into_iter().map(|(_, came)| came).collect()
    }

    #[test]
    fn a_marked_frame_comes_out_once() {
        let mut sent = sent(600);
        assert_eq!(sent.came(599, 1_000_000 + 599 * FRAME_NS + 70), FrameArrival::After(70));
        assert_eq!(sent.came(599, 1_000_000 + 599 * FRAME_NS + 90), FrameArrival::Again);
        assert_eq!(sent.came(600, 0), FrameArrival::Unknown);
        assert_eq!(sent.came(0, 0), FrameArrival::Unknown, "forgotten");
    }

    #[test]
    fn transcoded_packets_are_paired_whatever_their_numbers_start_with() {
        for first in [-7i64, 0, 4_000_000_000] {
            let (mut sent, mut window) = (sent(100), Window::default());
            for n in 0..50u64 {
                // 3 ms late, every tenth 9 ms.
                let delay = if n % 10 == 0 { 9_000_000 } else { 3_000_000 };
                let full = window.push(first + n as i64, 1_000_000 + (n + 20) * FRAME_NS + delay);
                assert_eq!(full, n == 49);
            }
            let delays = delays(&mut window, &mut sent);
            assert_eq!(delays.iter().filter(|came| **came == FrameArrival::After(9_000_000)).count(), 5);
            assert_eq!(delays.iter().filter(|came| **came == FrameArrival::After(3_000_000)).count(), 45);
        }
    }

    #[test]
    fn one_packet_held_up_for_long_does_not_shift_the_others() {
        let (mut sent, mut window) = (sent(100), Window::default());
        for n in 0..40u64 {
            let delay = if n == 13 { 65_000_000 } else { 1_000_000 };
            window.push(n as i64, 1_000_000 + n * FRAME_NS + delay);
        }
        let delays = delays(&mut window, &mut sent);
        assert_eq!(delays[13], FrameArrival::After(65_000_000));
        assert_eq!(delays[14], FrameArrival::After(1_000_000));
    }

    #[test]
    fn a_frame_that_never_came_out_is_not_among_them() {
        let (mut sent, mut window) = (sent(100), Window::default());
        for n in (0..40u64).filter(|n| *n != 20) {
            window.push(n as i64, 1_000_000 + n * FRAME_NS + 1_000_000);
        }
        let frames: Vec<u64> = window.pair(&mut sent).into_iter().map(|(frame, _)| frame).collect();
        assert_eq!((frames.len(), frames.contains(&20), frames.contains(&21)), (39, false, true));
        assert_eq!(window.pair(&mut sent), []);
    }

    #[test]
    fn before_anything_was_sent_nothing_is_paired() {
        let mut window = Window::default();
        window.push(0, 5);
        assert_eq!(window.pair(&mut SentFrames::default()), []);
    }
}
