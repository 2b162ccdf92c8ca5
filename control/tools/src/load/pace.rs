//! [`Pacer`]: the schedule of the streams. Each stream sends a packet every 20 ms; the times of the streams are spread over the 20 ms.
//! A packet that is late is still sent, with the time at which it was due.

/// Nanoseconds on the clock of the run.
pub type Ns = u64;

/// Time between two packets of a stream.
pub const FRAME_NS: Ns = 20_000_000;

/// A packet that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameDue {
    /// Number of the stream.
    pub stream: usize,
    /// Number of the 20 ms interval since the start; the same for all streams.
    pub frame: u64,
    /// Time at which it is due.
    pub at: Ns,
}

/// The schedule of all streams.
#[derive(Debug)]
pub struct Pacer {
    start: Ns,
    /// For each stream, its offset in the 20 ms interval; sorted by offset.
    places: Vec<(Ns, usize)>,
    frame: u64,
    next: usize,
}

impl Pacer {
    /// A schedule for `streams` streams. The first packets are due in the 20 ms after `start`. The first N streams are spread almost
    /// evenly for each N (Fibonacci hashing), so calls may start one after the other.
    pub fn new(streams: usize, start: Ns) -> Self {
        let place = |stream: usize| {
            let turn = (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((u128::from(turn) * u128::from(FRAME_NS)) >> 64) as Ns
        };
        let mut places: Vec<_> = (0..streams).map(|stream| (place(stream), stream)).collect();
        places.sort_unstable();
        Self { start, places, frame: 0, next: 0 }
    }

    /// The next packet that is due at `now`; `None` if none is.
    pub fn next_due(&mut self, now: Ns) -> Option<FrameDue> {
        let (place, stream) = *self.places.get(self.next)?;
        let at = self.start + self.frame * FRAME_NS + place;
        if at > now {
            return None;
        }
        let due = FrameDue { stream, frame: self.frame, at };
        self.next += 1;
        if self.next == self.places.len() {
            self.next = 0;
            self.frame += 1;
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_sends_every_20_ms_exactly() {
        let mut pacer = Pacer::new(7, 1_000);
        let mut last = [None::<Ns>; 7];
        let mut sent = 0;
        for tick in 0..4_000 {
            let now = 1_000 + tick * 500_000;
            while let Some(due) = pacer.next_due(now) {
                assert!(due.at <= now && now - due.at < 500_000, "on time to the tick");
                if let Some(last) = last[due.stream] {
                    assert_eq!(due.at - last, FRAME_NS);
                }
                last[due.stream] = Some(due.at);
                sent += 1;
            }
        }
        assert_eq!(sent, 7 * 100);
    }

    #[test]
    fn after_a_stall_all_late_packets_are_due_at_their_scheduled_times() {
        let mut pacer = Pacer::new(2, 0);
        let late: Vec<FrameDue> = std::iter::from_fn(|| pacer.next_due(5 * FRAME_NS - 1)).collect();
        assert_eq!(late.len(), 10);
        assert!(late.is_sorted_by_key(|due| due.at));
        assert_eq!(late[9].frame, 4);
    }

    #[test]
    fn the_first_streams_of_many_are_spread_evenly() {
        let pacer = Pacer::new(1_000, 0);
        for few in [10, 50, 200, 1_000] {
            let mut places: Vec<Ns> =
                pacer.places.iter().filter(|(_, stream)| *stream < few).map(|(at, _)| *at).collect();
            places.push(places[0] + FRAME_NS);
            let widest = places.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(widest < 3 * FRAME_NS / few as u64, "{few}: a gap of {widest} ns");
        }
        assert_eq!(Pacer::new(0, 0).next_due(u64::MAX), None);
    }
}
