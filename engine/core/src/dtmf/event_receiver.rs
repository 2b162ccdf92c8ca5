//! Reads key presses from a peer's telephone-event packets: one start and one end for each, whatever the network does.
//!
//! ```text
//!            first packet of a key          E bit | timeout | next event | audio again
//!   idle ------------------------> pressed ---------------------------------------------> idle
//!            packets of an ended event are ignored; packets without a known one start one
//! ```

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use trestle_wire::telephone_event::{Digit, TelephoneEvent};
use trestle_wire::{ClockRate, ExtSeq, Malformed, RtpTime};

use super::{DIGIT_MAX, DIGIT_MIN};

/// An event without further packets has ended. Peers update every 20 to 50 ms; this tolerates three lost updates.
const END_TIMEOUT: Duration = Duration::from_millis(200);
/// So many audio packets in a row, with no event packet between, mean that the key is released.
const AUDIO_RUN: u8 = 3;
/// The end of an event is sent this many times (RFC 4733 2.5.1.4).
const END_PACKETS: u64 = 3;
/// Lost updates that are estimated by counting, at most.
const MISSED_MAX: u64 = 10;
/// A packet may arrive behind this many later ones.
const DISORDER_MAX: u64 = 128;
/// Ended events whose late packets are still recognised.
const ENDED_MAX: usize = 8;
/// Longest duration that fits a packet; a longer event is cut into segments (RFC 4733 2.5.1.3).
const SEGMENT_TICKS: u32 = 0xffff;
/// A segment can be full only if its packets came near that. The slack is 200 ms of ticks at 48 kHz.
const SEGMENT_NEARLY_TICKS: u32 = SEGMENT_TICKS - 9_600;
/// Peers may be off by a packet in the beginning of the next segment.
const SEGMENT_SLACK_TICKS: u32 = 480;

/// Some peers announce 8000 and count in the clock of the audio: libwebrtc and baresip beside Opus.
const AUDIO_TICKS_PER_MS: u64 = 48;
/// Growth of the duration per millisecond of arrival that is more than an 8 kHz clock makes...
const FAST_TICKS_PER_MS: u64 = 16;
/// ...and its growth per packet. Peers send every 20 to 60 ms: at most 480 ticks at 8 kHz, at least 960 at 48 kHz.
const FAST_TICKS_PER_PACKET: u64 = 700;
/// Growth per millisecond that no 48 kHz clock makes: it proves the opposite, once it lasted long enough. Here too the growth
/// per packet must agree: to a machine that was held up, every peer looks slow.
const SLOW_TICKS_PER_MS: u64 = 12;
const SLOW_PROOF: Duration = Duration::from_millis(100);

/// Receives the telephone-events of one leg's peer.
#[derive(Debug, Clone, Default)]
pub struct EventReceiver {
    active: Option<ActiveEvent>,
    ended: ArrayVec<EventKey, ENDED_MAX>,
    /// Number of the newest event packet; `None` before the first.
    newest: Option<ExtSeq>,
    /// First packet of the newest event. Unknown events from before it are ignored.
    newest_began: ExtSeq,
    audio_run: u8,
    /// This peer sends audio and events at the same time, so that audio does not end a digit.
    audio_beside_events: bool,
    /// This peer counts durations at 48 kHz whatever it announced.
    counts_audio_ticks: bool,
}

/// Identifies the packets of one event, or of one segment of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EventKey {
    time: RtpTime,
    event: u8,
}

#[derive(Debug, Clone, Copy)]
struct ActiveEvent {
    /// Of the present segment.
    key: EventKey,
    digit: Digit,
    volume: u8,
    clock: ClockRate,
    /// Ticks of the full segments before.
    ticks_before: u64,
    /// Longest duration seen in the present segment.
    ticks: u32,
    first: Observation,
    /// Its newest packet.
    last: ExtSeq,
    /// The first audio packet after that.
    audio_from: Option<ExtSeq>,
    /// Audio packets that were sent between its packets.
    audio_packets: u64,
    last_at: Instant,
}

/// An early packet of an event, from which the growth of the duration is measured.
#[derive(Debug, Clone, Copy)]
struct Observation {
    at: Instant,
    seq: ExtSeq,
    ticks: u32,
}

/// A change of a key of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventUpdate {
    /// It went down.
    Started {
        /// The key.
        digit: Digit,
        /// Power in -dBm0, 0 to 63.
        volume: u8,
    },
    /// It was released. Follows its start, before any other start.
    Ended {
        /// The key.
        digit: Digit,
        /// How long it was pressed, 40 ms to 10 s.
        duration: Duration,
        /// Power in -dBm0, 0 to 63.
        volume: u8,
    },
}

/// The updates of one packet. At most: one key released, another one pressed and released; or four keys within the 120 ms of
/// the longest audio packet, and the release of the one before.
pub type EventUpdates = ArrayVec<EventUpdate, 12>;

impl EventReceiver {
    /// Takes a telephone-event packet. `clock` is the announced one of its payload type, `seq` and `time` are those of its RTP
    /// header. Events that are not digits, and repetitions, give no update.
    ///
    /// # Errors
    /// [`Malformed`] if the payload is shorter than an event.
    pub fn observe(
        &mut self,
        now: Instant,
        clock: ClockRate,
        seq: ExtSeq,
        time: RtpTime,
        payload: &[u8],
    ) -> Result<EventUpdates, Malformed> {
        let packet = TelephoneEvent::parse(payload)?;
        let mut updates = EventUpdates::new();
        let Some(digit) = Digit::from_event(packet.event) else { return Ok(updates) };
        let key = EventKey { time, event: packet.event };
        let is_newest = self.newest.is_none_or(|newest| !is_stray(seq, newest.plus(1)));
        if is_newest {
            self.newest = Some(seq);
        }
        if self.ended.contains(&key) {
            return Ok(updates);
        }
        match &mut self.active {
            Some(active) if active.key == key || is_newest && active.continues_with(key) => {
                if is_newest && (1..AUDIO_RUN).contains(&self.audio_run) {
                    self.audio_beside_events = true;
                }
                let full_segment = active.grow(now, seq, key, packet.duration_ticks.into());
                if let Some(key) = full_segment {
                    self.remember(key);
                }
            }
            // A stray packet of an event that ended before.
            _ if is_stray(seq, self.newest_began) => return Ok(updates),
            _ => {
                updates.extend(self.release_unended());
                self.newest_began = seq;
                let ticks = packet.duration_ticks.into();
                self.active = Some(ActiveEvent {
                    key,
                    digit,
                    volume: packet.volume,
                    clock,
                    ticks_before: 0,
                    ticks,
                    first: Observation { at: now, seq, ticks },
                    last: seq,
                    audio_from: None,
                    audio_packets: 0,
                    last_at: now,
                });
                updates.push(EventUpdate::Started { digit, volume: packet.volume });
            }
        }
        if is_newest {
            self.audio_run = 0;
        }
        self.judge_clock(now, seq);
        if packet.end {
            updates.extend(self.release());
        }
        Ok(updates)
    }

    /// Notes an audio packet from the same peer: after some, a key whose end was lost is released.
    pub fn audio_resumed(&mut self, seq: ExtSeq) -> EventUpdates {
        let mut updates = EventUpdates::new();
        let Some(active) = self.active.as_mut().filter(|_| self.newest.is_none_or(|newest| !is_stray(seq, newest)))
        else {
            return updates;
        };
        active.audio_packets += 1;
        active.audio_from = Some(active.audio_from.map_or(seq, |first| first.min(seq)));
        self.audio_run = self.audio_run.saturating_add(1);
        if self.audio_run >= AUDIO_RUN && !self.audio_beside_events {
            updates.extend(self.release_unended());
        }
        updates
    }

    /// True once an event packet has come.
    pub fn has_received(&self) -> bool {
        self.newest.is_some()
    }

    /// True while a key is down.
    #[inline]
    pub fn is_pressed(&self) -> bool {
        self.active.is_some()
    }

    /// When a key counts as released without an end packet.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.active.map(|active| active.last_at + END_TIMEOUT)
    }

    /// Releases a key whose end was lost.
    pub fn handle_timeout(&mut self, now: Instant) -> EventUpdates {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        if is_due { self.release_unended().into_iter().collect() } else { EventUpdates::new() }
    }

    /// Releases the key without an end packet.
    fn release_unended(&mut self) -> Option<EventUpdate> {
        if let Some(active) = self.active.as_mut().filter(|_| !self.audio_beside_events) {
            active.ticks = (active.ticks + active.missed_ticks()).min(SEGMENT_TICKS);
        }
        self.release()
    }

    fn release(&mut self) -> Option<EventUpdate> {
        let active = self.active.take()?;
        self.audio_run = 0;
        self.remember(active.key);
        let ticks = active.ticks_before + u64::from(active.ticks);
        let millis = if self.counts_audio_ticks && active.clock == ClockRate::HZ_8000 {
            ticks / AUDIO_TICKS_PER_MS
        } else {
            ticks * 1_000 / u64::from(active.clock.hz())
        };
        let duration = Duration::from_millis(millis).clamp(DIGIT_MIN, DIGIT_MAX);
        Some(EventUpdate::Ended { digit: active.digit, duration, volume: active.volume })
    }

    fn remember(&mut self, key: EventKey) {
        if self.ended.is_full() {
            self.ended.remove(0);
        }
        self.ended.push(key);
    }

    /// Compares the growth of the duration with the time and the packets it took. Both must indicate a fast clock:
    /// jitter alone compresses arrival times, and a sparse sender alone makes large steps.
    fn judge_clock(&mut self, now: Instant, seq: ExtSeq) {
        let Some(ActiveEvent { first, audio_packets, ticks, ticks_before: 0, clock: ClockRate::HZ_8000, .. }) =
            self.active
        else {
            return;
        };
        let elapsed = now.saturating_duration_since(first.at);
        let millis = (elapsed.as_millis() as u64).max(1);
        // By number, so that lost packets count; audio sent beside the event does not count.
        let packets = seq.0.saturating_sub(first.seq.0).saturating_sub(audio_packets).max(1);
        let growth = u64::from(ticks.saturating_sub(first.ticks));
        if growth >= FAST_TICKS_PER_MS * millis && growth >= FAST_TICKS_PER_PACKET * packets {
            self.counts_audio_ticks = true;
        } else if elapsed >= SLOW_PROOF
            && growth > 0
            && growth <= SLOW_TICKS_PER_MS * millis
            && growth < FAST_TICKS_PER_PACKET * packets
        {
            self.counts_audio_ticks = false;
        }
    }
}

impl ActiveEvent {
    /// True if `key` is the next segment of this event: the same event, beginning where a full segment ends
    /// (RFC 4733 2.5.1.3), in ticks of the event's clock or of an audio clock six times as fast.
    fn continues_with(&self, key: EventKey) -> bool {
        let ahead = self.key.time.distance_to(key.time);
        let begins_at = |ticks: u32| ahead.wrapping_sub(ticks as i32).unsigned_abs() <= SEGMENT_SLACK_TICKS;
        key.event == self.key.event
            && self.ticks >= SEGMENT_NEARLY_TICKS
            && (begins_at(SEGMENT_TICKS) || begins_at(6 * SEGMENT_TICKS))
    }

    /// Growth of the event in the packets lost between its newest and the audio after it. The first of the end packets is as
    /// long an update as any other.
    fn missed_ticks(&self) -> u32 {
        let Some(audio_from) = self.audio_from else { return 0 };
        let lost = audio_from.0.saturating_sub(self.last.0 + 1);
        let updates = lost.saturating_sub(END_PACKETS - 1).min(MISSED_MAX) as u32;
        let packets = self.last.0.saturating_sub(self.first.seq.0) as u32;
        let step = match packets {
            0 => self.ticks,
            _ => self.ticks.saturating_sub(self.first.ticks) / packets,
        };
        updates * step
    }

    /// Takes a packet's duration; gives the previous segment if the packet begins a new one.
    fn grow(&mut self, now: Instant, seq: ExtSeq, key: EventKey, ticks: u32) -> Option<EventKey> {
        self.last_at = self.last_at.max(now);
        if seq > self.last {
            (self.last, self.audio_from) = (seq, None);
        }
        if key == self.key {
            self.ticks = self.ticks.max(ticks);
            return None;
        }
        self.ticks_before += u64::from(SEGMENT_TICKS);
        self.ticks = ticks;
        Some(std::mem::replace(&mut self.key, key))
    }
}

/// True if `seq` comes before `reference`, by no more than disorder explains: a number further back belongs to a new stream.
fn is_stray(seq: ExtSeq, reference: ExtSeq) -> bool {
    seq < reference && reference.0 - seq.0 <= DISORDER_MAX
}

#[cfg(test)]
mod tests;
