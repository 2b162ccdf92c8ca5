//! When each stream sends: one packet every 20 ms, the streams spread evenly over them. The schedule never waits.
//! A late packet is still sent, and its lateness is recorded.

/// Nanoseconds of one clock.
pub type Ns = u64;

/// Between two packets of a stream.
pub const FRAME_NS: Ns = 20_000_000;

/// A packet whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameDue {
    /// Which stream.
    pub stream: usize,
    /// The number of its frame, counted for all streams from the start.
    pub frame: u64,
    /// When it should be sent.
    pub at: Ns,
}

/// The schedule of all streams.
#[derive(Debug)]
pub struct Pacer {
    start: Ns,
    /// Where in the 20 ms a stream sends, by time.
    places: Vec<(Ns, usize)>,
    frame: u64,
    next: usize,
}

impl Pacer {
    /// For `streams` streams, the first frame of all in the 20 ms after `start`. Any first few of the streams are spread as evenly
    /// as all of them, nearly (Fibonacci hashing), so that calls may start one after the other.
    pub fn new(streams: usize, start: Ns) -> Self {
        let place = |stream: usize| {
            let turn = (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((u128::from(turn) * u128::from(FRAME_NS)) >> 64) as Ns
        };
        let mut places: Vec<_> = (0..streams).map(|stream| (place(stream), stream)).collect();
        places.sort_unstable();
        Self { start, places, frame: 0, next: 0 }
    }

    /// The next packet, if its time has come.
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
    fn after_a_stall_everything_missed_is_sent_with_the_time_it_should_have_had() {
        let mut pacer = Pacer::new(2, 0);
        let late: Vec<FrameDue> = std::iter::from_fn(|| pacer.next_due(5 * FRAME_NS - 1)).collect();
        assert_eq!(late.len(), 10);
        assert!(late.is_sorted_by_key(|due| due.at));
        assert_eq!(late[9].frame, 4);
    }

    #[test]
    fn few_streams_of_many_are_spread_as_well() {
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
