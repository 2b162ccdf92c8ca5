//! Whether a packet has ever come from a peer without ICE. Until then its address is only what the SDP states, and may be that
//! of a host that has not asked for media (docs/decisions/0021).

use std::time::{Duration, Instant};

use super::audio_budget::{AudioBudget, AudioRate};

/// What an address is sent that has no proof yet: one call in real time, with room for the clock of its source.
const PROBE: AudioRate = AudioRate { percent: 125, burst_us: 1_000_000 };

/// Interval of packets once the probe time is over: a NAT keeps its mapping, and a peer that waits for our first packet gets one.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Whether media to the peer is limited.
#[derive(Debug)]
pub(super) enum AddressProof {
    /// The peer has sent a valid packet, or needs to send none.
    Given,
    /// Nothing has come from the peer.
    Awaited(Probe),
}

/// The media that is sent to an address without proof.
#[derive(Debug)]
pub(super) struct Probe {
    /// How long media is sent at the rate of a call, from the first packet on.
    time: Duration,
    /// When that is over; `None` before the first packet.
    ends_at: Option<Instant>,
    budget: AudioBudget,
    /// When the next packet may be sent, once the time is over.
    next_at: Option<Instant>,
}

impl AddressProof {
    /// Without proof, media is sent for `time`.
    pub(super) fn awaited(time: Duration) -> Self {
        Self::Awaited(Probe { time, ends_at: None, budget: AudioBudget::new(PROBE), next_at: None })
    }

    #[inline]
    pub(super) fn is_given(&self) -> bool {
        matches!(self, Self::Given)
    }

    /// True if a packet that counts as `us` of audio may be sent.
    #[inline]
    pub(super) fn allows(&mut self, now: Instant, us: u32) -> bool {
        match self {
            Self::Given => true,
            Self::Awaited(probe) => probe.allows(now, us),
        }
    }

    /// True if telephone-events may be sent. Single packets of a digit are of no use, so that there are none after the time.
    pub(super) fn allows_events(&self, now: Instant) -> bool {
        self.ends_at().is_none_or(|end| now < end)
    }

    /// When the probe time ends, or has ended. `None` if media is not limited, or was not sent yet.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        match self {
            Self::Given => None,
            Self::Awaited(probe) => probe.ends_at,
        }
    }
}

impl Probe {
    #[inline]
    fn allows(&mut self, now: Instant, us: u32) -> bool {
        match self.ends_at {
            Some(end) if now < end => self.budget.take(now, us),
            _ => self.allows_outside(now, us),
        }
    }

    /// The same before the first packet, and after the time.
    #[cold]
    fn allows_outside(&mut self, now: Instant, us: u32) -> bool {
        if self.ends_at.is_none() {
            self.budget.set_rate(now, PROBE);
            self.ends_at = now.checked_add(self.time);
            if !self.time.is_zero() {
                return self.budget.take(now, us);
            }
        }
        let is_due = self.next_at.is_none_or(|at| at <= now);
        if is_due {
            self.next_at = now.checked_add(KEEP_ALIVE);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms that may be sent in these seconds, if one is ready each `every_us`.
    fn allowed(proof: &mut AddressProof, start: Instant, seconds: std::ops::Range<u64>, every_us: u64) -> usize {
        let times = (seconds.start * 1_000_000..seconds.end * 1_000_000).step_by(every_us as usize);
        times.filter(|us| proof.allows(start + Duration::from_micros(*us), 20_000)).count()
    }

    #[test]
    fn an_address_without_proof_gets_one_call_for_the_probe_time_and_then_a_packet_a_second() {
        let start = Instant::now();
        let end = start + Duration::from_secs(60);
        let mut call = AddressProof::awaited(Duration::from_secs(60));
        assert_eq!((call.ends_at(), call.allows_events(end)), (None, true), "time counts from the first packet");
        assert_eq!(allowed(&mut call, start, 0..60, 20_000), 3_000);
        assert_eq!(allowed(&mut call, start, 60..120, 20_000), 60);
        assert_eq!((call.ends_at(), call.allows_events(end)), (Some(end), false));
        let mut flood = AddressProof::awaited(Duration::from_secs(60));
        assert_eq!(allowed(&mut flood, start, 0..60, 100), 50 + 3_749);
        assert_eq!(allowed(&mut flood, start, 60..120, 100), 60);
    }

    #[test]
    fn a_peer_with_proof_is_not_limited() {
        let start = Instant::now();
        let mut proof = AddressProof::Given;
        assert_eq!(allowed(&mut proof, start, 0..100, 10_000), 10_000);
        assert!(proof.is_given() && proof.allows_events(start) && proof.ends_at().is_none());
    }
}
