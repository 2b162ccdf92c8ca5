//! How much audio may pass in a time: a token bucket of audio time, in integers. It bounds what a leg takes from its peer.

use std::time::Instant;

use trestle_audio::Codec;

/// A packet counts as this much audio at least: packets of less than 4 ms are not worth their headers, and this bounds their
/// number. 2.5 ms is the shortest frame of Opus, 5 ms the shortest packet time that phones use.
const PACKET_MIN_US: u32 = 4_000;

/// A byte counts as this much audio at least: the highest bit rate of Opus is 510 kbit/s.
const BYTE_MIN_US: u32 = 16;

/// Audio of a byte whose codec states no duration: 64 kbit/s.
const BYTE_DEFAULT_US: u32 = 125;

/// What a telephone-event packet counts as. It may come in place of the audio or beside it.
pub(super) const EVENT_US: u32 = PACKET_MIN_US;

/// How much audio an [`AudioBudget`] lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AudioRate {
    /// Audio in relation to time, in percent.
    pub(super) percent: u64,
    /// Audio at once, after a pause.
    pub(super) burst_us: u32,
}

/// A budget of audio time. It is only computed anew when it is used up, so that a packet costs one subtraction.
///
/// Of `n` seconds, at most `n` times the rate passes, and two bursts.
#[derive(Debug, Clone, Copy)]
pub(super) struct AudioBudget {
    rate: AudioRate,
    left_us: u32,
    /// When `left_us` was computed; `None` before the first packet.
    filled_at: Option<Instant>,
}

impl AudioBudget {
    pub(super) fn new(rate: AudioRate) -> Self {
        Self { rate, left_us: rate.burst_us, filled_at: None }
    }

    /// A stream begins that has this rate. What the one before has used remains used.
    pub(super) fn set_rate(&mut self, now: Instant, rate: AudioRate) {
        self.rate = rate;
        self.left_us = self.left_us.min(rate.burst_us);
        self.filled_at.get_or_insert(now);
    }

    /// Takes `us` out of the budget; false if there is not as much.
    #[inline]
    pub(super) fn take(&mut self, now: Instant, us: u32) -> bool {
        match self.left_us.checked_sub(us) {
            Some(left) => {
                self.left_us = left;
                true
            }
            None => self.fill_and_take(now, us),
        }
    }

    #[cold]
    fn fill_and_take(&mut self, now: Instant, us: u32) -> bool {
        let elapsed = now.saturating_duration_since(*self.filled_at.get_or_insert(now));
        let gained = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.rate.percent) / 100;
        let filled = u64::from(self.left_us).saturating_add(gained).min(u64::from(self.rate.burst_us));
        let Some(left) = (filled as u32).checked_sub(us) else { return false };
        (self.left_us, self.filled_at) = (left, Some(now));
        true
    }
}

/// How much of a budget a packet of audio uses.
#[inline]
pub(super) fn audio_us(codec: Codec, payload: &[u8]) -> u32 {
    let bytes = payload.len() as u32;
    let audio = codec.duration_us(payload).map_or(bytes * BYTE_DEFAULT_US, |us| us as u32);
    audio.max(bytes * BYTE_MIN_US).max(PACKET_MIN_US)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: AudioRate = AudioRate { percent: 200, burst_us: 1_000_000 };

    #[test]
    fn a_packet_counts_as_its_audio_and_not_less_than_its_bytes_and_headers() {
        let table: [(&str, Codec, &[u8], u32); 8] = [
            ("20 ms", Codec::Pcma, &[0xd5; 160], 20_000),
            ("5 ms", Codec::Pcmu, &[0xff; 40], 5_000),
            ("nearly nothing", Codec::Pcma, &[0xd5; 1], 4_000),
            ("nothing", Codec::Pcma, &[], 4_000),
            ("more than a payload may have", Codec::Pcma, &[0xd5; 1_400], 175_000),
            // TOC: config 1 (SILK, 20 ms), one frame.
            ("20 ms of Opus", Codec::Opus, &[0x08; 40], 20_000),
            // TOC: config 16 (CELT, 2.5 ms), one frame; 700 bytes are 11.2 ms at the highest rate.
            ("a short frame of many bytes", Codec::Opus, &[0x80; 700], 11_200),
            ("no Opus packet", Codec::Opus, &[0x0b, 0x00, 0x00], 4_000),
        ];
        for (what, codec, payload, us) in table {
            assert_eq!(audio_us(codec, payload), us, "{what}");
        }
    }

    /// Packets of 20 ms that pass in `ms`, if one comes each `every_us`.
    fn passed(budget: &mut AudioBudget, start: Instant, ms: std::ops::Range<u64>, every_us: u64) -> usize {
        let times = (ms.start * 1_000..ms.end * 1_000).step_by(every_us as usize);
        times.filter(|us| budget.take(start + Duration::from_micros(*us), 20_000)).count()
    }

    #[test]
    fn what_passes_in_a_time_is_the_rate_and_a_burst() {
        let start = Instant::now();
        let begun = || {
            let mut budget = AudioBudget::new(SECOND);
            budget.set_rate(start, SECOND);
            budget
        };
        assert_eq!(passed(&mut begun(), start, 0..60_000, 20_000), 3_000, "a call in real time");
        assert_eq!(passed(&mut begun(), start, 0..60_000, 10_000), 6_000, "twice that is the rate");
        assert_eq!(passed(&mut begun(), start, 0..10_000, 100), 50 + 999, "a flood: one burst, and the rate");
        let mut budget = begun();
        assert_eq!(passed(&mut budget, start, 0..600, 20_000), 30);
        assert_eq!(passed(&mut budget, start, 60_000..60_001, 1), 20 + 50, "after a pause two bursts at most");
        assert_eq!(passed(&mut budget, start, 60_001..61_001, 100), 100, "then the rate");
    }

    #[test]
    fn a_blocked_network_that_delivers_all_at_once_loses_nothing() {
        let start = Instant::now();
        let rate = AudioRate { percent: 200, burst_us: 6_000_000 };
        let mut budget = AudioBudget::new(rate);
        budget.set_rate(start, rate);
        for round in 0..20 {
            let from = start + Duration::from_secs(10 * round);
            // Five seconds in time, then those of five seconds at once.
            assert_eq!(passed(&mut budget, from, 0..5_000, 20_000), 250, "round {round}");
            assert!((0..250).all(|_| budget.take(from + Duration::from_secs(10), 20_000)), "round {round}");
        }
    }
}
