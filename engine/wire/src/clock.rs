//! Media clocks: RTP timestamps, clock rates, packet times, NTP time.

use std::time::Duration;

/// An RTP timestamp in ticks of its payload type's [`ClockRate`]. Wraps; use [`RtpTime::distance_to`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RtpTime(pub u32);

impl RtpTime {
    /// `self + ticks`, wrapping.
    #[inline]
    pub fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// How far `other` is ahead of `self` in ticks, negative if it is behind.
    #[inline]
    pub fn distance_to(self, other: Self) -> i32 {
        other.0.wrapping_sub(self.0) as i32
    }
}

/// Ticks per second of an RTP clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClockRate(u32);

impl ClockRate {
    /// G.711, and its telephone-event (RFC 3551).
    pub const HZ_8000: Self = Self(8_000);
    /// Opus at any bandwidth (RFC 7587).
    pub const HZ_48000: Self = Self(48_000);

    /// A clock of `hz` ticks per second; `None` for 0 or anything over 384 kHz.
    pub fn new(hz: u32) -> Option<Self> {
        (1..=384_000).contains(&hz).then_some(Self(hz))
    }

    /// Ticks per second.
    #[inline]
    pub fn hz(self) -> u32 {
        self.0
    }

    /// Whole ticks in `duration`, rounded down; saturates.
    #[inline]
    pub fn ticks(self, duration: Duration) -> u32 {
        let hz = u64::from(self.0);
        let part = u64::from(duration.subsec_nanos()) * hz / 1_000_000_000;
        u32::try_from(duration.as_secs().saturating_mul(hz).saturating_add(part)).unwrap_or(u32::MAX)
    }

    /// Duration of `ticks`.
    #[inline]
    pub fn duration(self, ticks: u32) -> Duration {
        Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(self.0))
    }
}

/// Duration of the audio in one RTP packet, in milliseconds (`a=ptime`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ptime(u8);

impl Ptime {
    /// The usual packet time, and the one that Meta requires.
    pub const MS_20: Self = Self(20);

    /// A packet time of `ms`; `None` outside 10 to 60 ms or when not a multiple of 10.
    pub fn new(ms: u32) -> Option<Self> {
        ((10..=60).contains(&ms) && ms.is_multiple_of(10)).then_some(Self(ms as u8))
    }

    /// Milliseconds.
    pub fn ms(self) -> u32 {
        u32::from(self.0)
    }

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }

    /// Ticks of `clock` in one packet; also the samples in it when `clock` is the sample rate.
    pub fn ticks(self, clock: ClockRate) -> u32 {
        clock.hz() / 1_000 * self.ms()
    }
}

/// An NTP timestamp in 32.32 fixed point, seconds since 1900 (RFC 3550 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds between the NTP era (1900) and the Unix epoch (1970).
    const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

    /// From a time since the Unix epoch.
    pub fn from_unix(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().wrapping_add(Self::UNIX_EPOCH_SECONDS);
        let fraction = (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, as in LSR and DLSR: units of 1/65,536 s.
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// A duration in units of 1/65,536 s, as in DLSR; saturates.
pub fn to_dlsr(duration: Duration) -> u32 {
    u32::try_from((duration.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_milliseconds_in_each_clock() {
        assert_eq!(Ptime::MS_20.ticks(ClockRate::HZ_8000), 160);
        assert_eq!(Ptime::MS_20.ticks(ClockRate::HZ_48000), 960);
        assert_eq!(ClockRate::HZ_48000.duration(960), Duration::from_millis(20));
        assert_eq!(ClockRate::HZ_8000.ticks(Duration::from_millis(20)), 160);
    }

    #[test]
    fn packet_times_are_10_to_60_ms_in_steps_of_10() {
        let taken: Vec<u32> = (0..100).filter(|ms| Ptime::new(*ms).is_some()).collect();
        assert_eq!(taken, [10, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn ntp_middle_bits_count_65536ths() {
        let one = NtpTime::from_unix(Duration::from_millis(1_500));
        let two = NtpTime::from_unix(Duration::from_millis(2_000));
        assert_eq!(two.middle().wrapping_sub(one.middle()), 32_768);
        assert_eq!(to_dlsr(Duration::from_millis(500)), 32_768);
    }
}
