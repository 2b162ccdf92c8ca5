//! Makes telephone-event packets from key presses (RFC 4733 section 2.5.1).
//!
//! ```text
//!   0 ms   20 ms   40 ms  ...  end    +20    +40        >= 40 ms after the end
//!   M 20     40      60         E d    E d    E d        M 20 (next digit)
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trestle_wire::ClockRate;
use trestle_wire::telephone_event::{Digit, TelephoneEvent};

use super::{DIGIT_MAX, DIGIT_MIN, LIVE_MAX, has_room};
use crate::limits;

/// Time between packets of an event, and the duration that the first of them states: a duration of 0 has another meaning
/// (RFC 4733 2.3.5).
const INTERVAL: Duration = Duration::from_millis(20);
/// Silence between two digits that every receiver can separate (ITU-T Q.24).
const GAP_MIN: Duration = Duration::from_millis(40);
/// The end is sent three times (RFC 4733 2.5.1.4).
const END_PACKETS: u8 = 3;
/// Longest duration that fits a packet.
const SEGMENT_TICKS: u32 = 0xffff;
/// Lowest power that a packet can state, in -dBm0 (RFC 4733 2.3.3: six bits).
const VOLUME_MAX: u8 = 63;

/// The digits that are sent to one leg's peer, one after the other.
#[derive(Debug, Clone)]
pub struct EventSender {
    clock: ClockRate,
    waiting: VecDeque<QueuedEvent>,
    sending: Option<SendingEvent>,
    /// No digit begins before this.
    quiet_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct QueuedEvent {
    queued_at: Instant,
    digit: Digit,
    volume: u8,
    /// `None` while the key is down.
    duration: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct SendingEvent {
    queued: QueuedEvent,
    clock: ClockRate,
    since: Instant,
    next_at: Instant,
    /// Duration in the newest packet, all segments together.
    stated_ticks: u32,
    /// Ticks of the full segments before the present one.
    segment_ticks: u32,
    ends_sent: u8,
}

/// One telephone-event packet to be sent, through [`crate::stream::StreamTx::event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// RFC 4733 payload.
    pub payload: [u8; TelephoneEvent::LEN],
    /// The first packet of its event: it has the marker, and its timestamp is the event's.
    pub first: bool,
    /// Where the packet's segment begins, after the start of the event. 0 except for very long events.
    pub offset: Duration,
}

impl Default for EventSender {
    fn default() -> Self {
        Self { clock: ClockRate::HZ_8000, waiting: VecDeque::new(), sending: None, quiet_until: None }
    }
}

impl EventSender {
    /// Sets the event clock that the peer announced, from the next digit on; 8000 until then.
    pub fn set_clock(&mut self, clock: ClockRate) {
        self.clock = clock;
    }

    /// A key goes down; its packets begin at once unless another digit is still being sent. A key that is already down is
    /// released first. False if too many digits wait: the key is ignored.
    pub fn start(&mut self, now: Instant, digit: Digit, volume: u8) -> bool {
        self.end(now, Duration::ZERO);
        self.queue(QueuedEvent { queued_at: now, digit, volume, duration: None })
    }

    /// The key is released after `duration`. Ignored if no key is down, or if it was released after 5 s.
    pub fn end(&mut self, now: Instant, duration: Duration) {
        let duration = duration.clamp(DIGIT_MIN, DIGIT_MAX);
        if let Some(queued) = self.waiting.iter_mut().find(|queued| queued.duration.is_none()) {
            queued.duration = Some(duration);
        } else if let Some(sending) = self.sending.as_mut().filter(|sending| sending.queued.duration.is_none()) {
            sending.queued.duration = Some(duration);
            if sending.since + duration <= now + INTERVAL {
                sending.next_at = now;
            }
        }
    }

    /// Queues a digit of known duration. `volume` is in -dBm0. False if too many digits wait: it is not sent.
    pub fn play(&mut self, now: Instant, digit: Digit, duration: Duration, volume: u8) -> bool {
        let duration = Some(duration.clamp(DIGIT_MIN, DIGIT_MAX));
        self.queue(QueuedEvent { queued_at: now, digit, volume: volume.min(VOLUME_MAX), duration })
    }

    /// True while digits are being sent or queued: they replace audio.
    pub fn is_active(&self) -> bool {
        self.sending.is_some() || !self.waiting.is_empty()
    }

    /// When the next packet is due; in the past if it is due at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (&self.sending, self.waiting.front()) {
            (Some(sending), _) => Some(sending.next_at),
            (None, Some(queued)) => self.quiet_until.max(Some(queued.queued_at)),
            (None, None) => None,
        }
    }

    /// The next packet that is due. Call until `None`.
    pub fn poll_packet(&mut self, now: Instant) -> Option<EventPacket> {
        if self.sending.is_none() && self.quiet_until.is_none_or(|until| until <= now) {
            self.sending = self.waiting.pop_front().map(|queued| SendingEvent {
                queued,
                clock: self.clock,
                since: now,
                next_at: now,
                stated_ticks: 0,
                segment_ticks: 0,
                ends_sent: 0,
            });
        }
        let sending = self.sending.as_mut().filter(|sending| sending.next_at <= now)?;
        let packet = sending.packet(now);
        if sending.ends_sent == END_PACKETS {
            let ended_at = sending.since + sending.clock.duration(sending.stated_ticks);
            // The last end packet has the length of a packet time, too.
            self.quiet_until = Some((ended_at + GAP_MIN).max(now + INTERVAL));
            self.sending = None;
        }
        Some(packet)
    }

    fn queue(&mut self, queued: QueuedEvent) -> bool {
        if !has_room(self.waiting.iter().map(|waiting| waiting.duration), queued.duration) {
            return false;
        }
        if self.waiting.capacity() == 0 {
            // The whole capacity at once, for a leg that has digits: later digits cost no allocation.
            self.waiting.reserve_exact(limits::DIGITS_MAX);
        }
        self.waiting.push_back(queued);
        true
    }
}

impl SendingEvent {
    fn packet(&mut self, now: Instant) -> EventPacket {
        let clock = self.clock;
        let first = self.stated_ticks == 0;
        if self.queued.duration.is_none() && clock.duration(self.stated_ticks) >= LIVE_MAX {
            self.queued.duration = Some(LIVE_MAX);
        }
        let passed = match self.queued.duration {
            // A packet covers the interval that it opens.
            Some(_) => clock.ticks(now.saturating_duration_since(self.since) + INTERVAL),
            // One interval for each packet at most, however late they are: if this machine was held up, the key may have been
            // released long ago, in a packet that is not read yet.
            None => self.stated_ticks + clock.ticks(INTERVAL),
        };
        let wanted = self.queued.duration.map(|duration| clock.ticks(duration));
        // The duration never shrinks: packets with a longer one are already sent.
        let total = passed.min(wanted.unwrap_or(u32::MAX)).max(self.stated_ticks);
        let segment_start = self.segment_ticks;
        let mut end = wanted.is_some_and(|wanted| total >= wanted);
        let mut in_segment = total - segment_start;
        if in_segment > SEGMENT_TICKS {
            // The segment is full; the rest is sent at once, as the next one (RFC 4733 2.5.1.3).
            (end, in_segment) = (false, SEGMENT_TICKS);
            self.segment_ticks += SEGMENT_TICKS;
        } else {
            let in_step = self.next_at + INTERVAL;
            self.next_at = if in_step > now { in_step } else { now + INTERVAL };
        }
        self.stated_ticks = segment_start + in_segment;
        self.ends_sent += u8::from(end);
        let event = TelephoneEvent {
            event: self.queued.digit.event(),
            end,
            volume: self.queued.volume,
            duration_ticks: in_segment as u16,
        };
        EventPacket { payload: event.write(), first, offset: clock.duration(segment_start) }
    }
}

#[cfg(test)]
mod tests;
