//! The one writer of SSRC, sequence number, timestamp and marker of a leg, from its first packet to its last.
//!
//! Three kinds of packets share one sequence and one timestamp line, in the audio clock of the leg: audio that Trestle
//! encodes ([`StreamTx::frame`]), audio of the same codec that is forwarded ([`StreamTx::forward`]), and telephone-events
//! ([`StreamTx::event`]).
//!
//! The timestamp line follows the clock of its feed: frames advance it by their own duration, forwarded packets keep the
//! steps of their source. Where the feed changes, the sequence continues with the next number, and the timestamp
//! continues by the wall time that has passed.
//!
//! A sequence number is the lower half of an SRTP index, which must never encrypt twice under a key (RFC 3711 section
//! 9.1). So each number is used once: upwards, or in a gap that a bitmap shows to be free.

use std::time::{Duration, Instant};

use trestle_wire::rtp::Header;
use trestle_wire::{ClockRate, ExtSeq, Pt, RtpTime, Ssrc};

/// A larger gap in a source's numbers is not sent as loss; the numbers continue without a gap (RFC 3550 A.1, `MAX_DROPOUT`).
const DROPOUT_MAX: u64 = 3_000;
/// A source whose timestamp gains more than this on the wall clock, from one packet to the next, has jumped.
const AHEAD_MAX: Duration = Duration::from_secs(2);
/// A source whose timestamp loses more than this has paused its timestamps, as some phones do on hold. More than
/// [`AHEAD_MAX`], because a network that was blocked does the same and then delivers all packets at once.
const BEHIND_MAX: Duration = Duration::from_secs(5);
/// Frames are at most this late before the line returns to wall time: there was no feed.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A source whose packets arrive this much later than the frames in their place continues at the end of the line.
const LATE_MAX: Duration = Duration::from_millis(200);
/// A packet may begin this much before the end of the frames in its place.
const OVERLAP_MAX: Duration = Duration::from_millis(5);
/// Duration of a packet until one is known.
const SLOT_DEFAULT: Duration = Duration::from_millis(20);
/// Longest step between two packets that counts as a packet's duration.
const SLOT_MAX: Duration = Duration::from_millis(60);
/// A late packet moves the line back by this fraction of its lateness; an early one moves it at once.
const LATENESS_SHARE: i32 = 64;

/// The outgoing stream of a leg.
#[derive(Debug, Clone)]
pub struct StreamTx {
    ssrc: Ssrc,
    pt: Pt,
    clock: ClockRate,
    /// The highest number that is used: sent, or left out to show a loss.
    highest: ExtSeq,
    /// Bit `i` is set if `highest - i` was sent.
    sent: u128,
    /// Timestamp of the first packet.
    initial_time: RtpTime,
    /// The line's timestamp at an instant; `None` before the first packet.
    line: Option<(RtpTime, Instant)>,
    /// The largest timestamp sent.
    last_time: RtpTime,
    /// End of the newest audio packet, as far as its duration is known.
    audio_end: RtpTime,
    /// Duration of an audio packet.
    slot_ticks: u32,
    feed: Feed,
    /// The source whose packets are replaced by frames, and when it was last forwarded.
    paused: Option<(Mapping, Instant)>,
    event_start: RtpTime,
    packets: u32,
    octets: u32,
}

/// What advanced the line last.
#[derive(Debug, Clone, Copy)]
enum Feed {
    Nothing,
    /// Frames of Trestle; the timestamp of the next one.
    Frames(RtpTime),
    Source(Mapping),
}

/// How a forwarded stream's numbers are mapped to ours. Its `seq` maps to our `highest`.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    source: u64,
    clock: ClockRate,
    seq: ExtSeq,
    /// Earlier numbers are from before a change of the mapping; they have no number of ours.
    valid_from: ExtSeq,
    /// Timestamps of the newest forwarded packet: the source's and ours. The line has the instant.
    time: (RtpTime, RtpTime),
}

impl StreamTx {
    /// A stream of `ssrc` that begins at random numbers, which the caller draws. The highest bit of the sequence number is
    /// cleared, so that no receiver guesses the first wrap wrongly (RFC 3711 section 3.3.1). `pt` and `clock` are those of the
    /// audio.
    pub fn new(ssrc: Ssrc, random_seq: u16, random_time: u32, pt: Pt, clock: ClockRate) -> Self {
        Self {
            ssrc,
            pt,
            clock,
            highest: ExtSeq((1 << 16 | u64::from(random_seq & 0x7fff)) - 1),
            sent: 0,
            initial_time: RtpTime(random_time),
            line: None,
            last_time: RtpTime(random_time),
            audio_end: RtpTime(random_time),
            slot_ticks: clock.ticks(SLOT_DEFAULT),
            feed: Feed::Nothing,
            paused: None,
            event_start: RtpTime(random_time),
            packets: 0,
            octets: 0,
        }
    }

    /// Changes the audio's payload type and clock in mid-stream.
    ///
    /// With another clock the timestamp continues from its value at `now` and counts in the new ticks from there
    /// (RFC 7160), so that differences of timestamps are wall time before and after the change.
    pub fn set_audio(&mut self, now: Instant, pt: Pt, clock: ClockRate) {
        self.pt = pt;
        if clock == self.clock {
            return;
        }
        self.line = self.line.map(|_| (self.time_at(now), now));
        self.slot_ticks = clock.ticks(self.clock.duration(self.slot_ticks));
        self.clock = clock;
        self.feed = Feed::Nothing;
        self.paused = None;
    }

    /// Numbers a frame of `ticks`. Its timestamp is the previous timestamp plus the previous frame's duration.
    pub fn frame(&mut self, now: Instant, ticks: u32) -> Header {
        let (time, marker) = match self.feed {
            // An event that began later than the next frame, after a stall, moves the frames on.
            Feed::Frames(next)
                if next.distance_to(self.time_at(now)) <= self.clock.ticks(PAUSE_MAX) as i32
                    && self.last_time.distance_to(next) >= 0 =>
            {
                (next, false)
            }
            _ => (self.fresh_time(now), true),
        };
        if let (Feed::Source(mapping), Some((_, at))) = (self.feed, self.line) {
            self.paused = Some((mapping, at));
        }
        self.feed = Feed::Frames(time.plus(ticks));
        self.slot_ticks = ticks;
        self.advance(1);
        self.follow(now, self.time_at(now), time);
        self.header(self.highest, time, marker)
    }

    /// From now on frames carry the source's audio: the source does not continue where it was forwarded last.
    pub fn forget_source(&mut self) {
        self.paused = None;
    }

    /// Counts a frame of `ticks` that is not sent, because a telephone-event replaces it; the line continues.
    pub fn skip(&mut self, ticks: u32) {
        if let Feed::Frames(next) = &mut self.feed {
            *next = next.plus(ticks);
        }
    }

    /// Numbers a packet that is forwarded from `source` (any number that names one received stream); only its header changes.
    ///
    /// Gaps and disorder of the source stay visible. `None` if the packet arrives so late that its number is used: count
    /// it as [`crate::Discard::Late`].
    pub fn forward(
        &mut self,
        now: Instant,
        source: u64,
        seq: ExtSeq,
        time: RtpTime,
        clock: ClockRate,
        marker: bool,
    ) -> Option<Header> {
        let line = self.time_at(now);
        let mapping = match &mut self.feed {
            Feed::Source(mapping) if mapping.source == source && mapping.clock == clock => mapping,
            _ => return self.resume(now, source, seq, time, clock),
        };
        let our_time = mapping.map(time, self.clock);
        if seq <= mapping.seq {
            let behind = mapping.seq.0 - seq.0;
            if seq < mapping.valid_from || behind >= u64::from(u128::BITS) || self.sent >> behind & 1 == 1 {
                return None;
            }
            self.sent |= 1 << behind;
            return Some(self.header(ExtSeq(self.highest.0 - behind), our_time, marker));
        }
        let gap = seq.0 - mapping.seq.0;
        let step = mapping.time.1.distance_to(our_time);
        let elapsed = self.line.map_or(0, |(last, _)| last.distance_to(line));
        if gap > DROPOUT_MAX || has_jumped(self.clock, step, elapsed) {
            return Some(self.begin(now, source, seq, time, clock));
        }
        let slot_max = self.clock.hz() / 1_000 * SLOT_MAX.as_millis() as u32;
        if gap == 1 && (1..=slot_max as i32).contains(&step) {
            self.slot_ticks = step as u32;
        }
        (mapping.seq, mapping.time) = (seq, (time, our_time));
        self.advance(gap);
        self.follow(now, line, our_time);
        Some(self.header(self.highest, our_time, marker))
    }

    /// A packet of `source` was consumed and nothing is sent in its place: the numbers after it continue without a gap. Packets that
    /// were lost before it stay visible.
    pub fn absorbed(&mut self, source: u64, seq: ExtSeq) {
        let lost_before = self.feed.take_over(source, seq);
        self.skip_numbers(if lost_before > DROPOUT_MAX { 0 } else { lost_before });
    }

    /// The same for a source of which nothing is to be sent: neither do losses use numbers. In hours they would be so many that an SRTP
    /// receiver takes the next number for one of the roll-over before (RFC 3711 3.3.1).
    pub fn withheld(&mut self, source: u64, seq: ExtSeq) {
        self.feed.take_over(source, seq);
    }

    /// Numbers a telephone-event packet of payload type `pt`.
    ///
    /// All packets of an event have the timestamp at which its `first` one was numbered, taken from the audio line and
    /// counted in the audio clock; only that one has the marker (RFC 4733 section 2.2). The later segments of a long
    /// event begin `offset` after it (section 2.5.1.3).
    pub fn event(&mut self, now: Instant, pt: Pt, first: bool, offset: Duration) -> Header {
        if first {
            self.event_start = self.event_time(now);
            self.line.get_or_insert((self.event_start, now));
        }
        let time = self.event_start.plus(self.clock.ticks(offset));
        self.advance(1);
        if self.last_time.distance_to(time) > 0 {
            self.last_time = time;
        }
        if let Feed::Source(mapping) = &mut self.feed {
            mapping.valid_from = mapping.seq.plus(1);
        }
        Header { pt, ..self.header(self.highest, time, first) }
    }

    /// Counts a packet that has been sent, for the sender reports.
    pub fn count(&mut self, payload_bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
    }

    /// SSRC of the stream.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Rate of the timestamps.
    pub fn clock(&self) -> ClockRate {
        self.clock
    }

    /// The highest number used, wraps included. Before the first packet, the one before it.
    pub fn highest(&self) -> ExtSeq {
        self.highest
    }

    /// Packets sent, as a sender report counts them (RFC 3550 section 6.4.1): wrapping.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Payload octets sent, as a sender report counts them (RFC 3550 section 6.4.1): wrapping.
    pub fn octets(&self) -> u32 {
        self.octets
    }

    /// The RTP timestamp at `now`, for a sender report made at that instant.
    pub fn time_at(&self, now: Instant) -> RtpTime {
        let Some((time, at)) = self.line else { return self.initial_time };
        let ticks = |duration: Duration| {
            // Not ClockRate::ticks, which saturates: a line without packets for days has wrapped like any other.
            let hz = u64::from(self.clock.hz());
            let part = u64::from(duration.subsec_nanos()) * hz / 1_000_000_000;
            duration.as_secs().wrapping_mul(hz).wrapping_add(part) as u32
        };
        match now.checked_duration_since(at) {
            Some(after) => time.plus(ticks(after)),
            None => RtpTime(time.0.wrapping_sub(ticks(at - now))),
        }
    }

    /// A source continues that frames have replaced: at its own timestamps, so that the line stays wall time. Frames in its place
    /// make its packet too late, unless it is so late that the source must have paused its timestamps. The caller counts a late one.
    fn resume(&mut self, now: Instant, source: u64, seq: ExtSeq, time: RtpTime, clock: ClockRate) -> Option<Header> {
        let paused = self.paused.filter(|(known, _)| known.source == source && known.clock == clock);
        let Some((paused, at)) = paused.filter(|(known, _)| seq > known.seq && seq.0 - known.seq.0 <= DROPOUT_MAX)
        else {
            return Some(self.begin(now, source, seq, time, clock));
        };
        let our_time = paused.map(time, self.clock);
        let step = paused.time.1.distance_to(our_time);
        let late = our_time.distance_to(self.audio_end);
        let elapsed = self.clock.ticks(now.saturating_duration_since(at)).cast_signed();
        let jumped = has_jumped(self.clock, step, elapsed);
        if jumped || late > self.clock.ticks(LATE_MAX) as i32 {
            return Some(self.begin(now, source, seq, time, clock));
        }
        if late > self.clock.ticks(OVERLAP_MAX) as i32 {
            return None;
        }
        let our_time = later(our_time, later(self.audio_end, self.last_time.plus(1)));
        let mapping = Mapping { source, clock, seq, valid_from: seq.plus(1), time: (time, our_time) };
        self.feed = Feed::Source(mapping);
        self.advance(1);
        self.follow(now, self.time_at(now), our_time);
        Some(self.header(self.highest, our_time, true))
    }

    /// Maps the first packet of a source, or the first one after a break in it.
    fn begin(&mut self, now: Instant, source: u64, seq: ExtSeq, time: RtpTime, clock: ClockRate) -> Header {
        let our_time = self.fresh_time(now);
        self.feed = Feed::Source(Mapping { source, clock, seq, valid_from: seq.plus(1), time: (time, our_time) });
        self.advance(1);
        self.follow(now, self.time_at(now), our_time);
        self.header(self.highest, our_time, true)
    }

    /// The timestamp of a packet that continues no feed: wall time, and never inside the packet before.
    fn fresh_time(&self, now: Instant) -> RtpTime {
        if self.line.is_none() {
            return self.initial_time;
        }
        later(self.time_at(now), later(self.audio_end, self.last_time.plus(1)))
    }

    fn event_time(&self, now: Instant) -> RtpTime {
        match self.feed {
            _ if self.line.is_none() => self.initial_time,
            // The slot whose frame the event replaces, unless frames have stopped.
            Feed::Frames(next) if next.distance_to(self.time_at(now)) <= self.clock.ticks(SLOT_MAX) as i32 => {
                later(next, self.last_time.plus(1))
            }
            _ => later(self.time_at(now), self.last_time.plus(1)),
        }
    }

    /// Takes the next `n` numbers; the last of them is sent, the others are left out.
    fn advance(&mut self, n: u64) {
        self.skip_numbers(n);
        self.sent |= 1;
    }

    fn skip_numbers(&mut self, n: u64) {
        self.highest = self.highest.plus(n);
        self.sent = u32::try_from(n).ok().and_then(|n| self.sent.checked_shl(n)).unwrap_or(0);
    }

    /// Moves the line to a packet's timestamp: at once if the packet is early, slowly if it is late, so that jitter
    /// hardly moves it and the drift of a clock does.
    #[inline]
    fn follow(&mut self, now: Instant, line: RtpTime, time: RtpTime) {
        self.audio_end = time.plus(self.slot_ticks);
        if self.last_time.distance_to(time) > 0 {
            self.last_time = time;
        }
        let ahead = line.distance_to(time);
        let moved = if self.line.is_none() || ahead >= 0 {
            time
        } else {
            // Rounded away from zero, so that the last few ticks are corrected as well.
            RtpTime(line.0.wrapping_add_signed((ahead - LATENESS_SHARE + 1) / LATENESS_SHARE))
        };
        self.line = Some((moved, now));
    }

    fn header(&self, seq: ExtSeq, time: RtpTime, marker: bool) -> Header {
        Header { marker, pt: self.pt, seq: seq.wire(), time, ssrc: self.ssrc }
    }
}

impl Feed {
    /// Continues after `seq` of `source`. Gives how many of its numbers are missing before that.
    fn take_over(&mut self, source: u64, seq: ExtSeq) -> u64 {
        let Self::Source(mapping) = self else { return 0 };
        if mapping.source != source || seq <= mapping.seq {
            return 0;
        }
        let lost_before = seq.0 - mapping.seq.0 - 1;
        mapping.seq = seq;
        mapping.valid_from = seq.plus(1);
        lost_before
    }
}

impl Mapping {
    #[inline]
    fn map(&self, time: RtpTime, our_clock: ClockRate) -> RtpTime {
        let ticks = self.time.0.distance_to(time);
        let ours = if self.clock == our_clock {
            ticks
        } else {
            (i64::from(ticks) * i64::from(our_clock.hz()) / i64::from(self.clock.hz())) as i32
        };
        RtpTime(self.time.1.0.wrapping_add_signed(ours))
    }
}

/// True if a source's timestamp has gone back, or was moved too far from the time that has passed. Both in ticks.
#[inline]
fn has_jumped(clock: ClockRate, step: i32, elapsed: i32) -> bool {
    let hz = i64::from(clock.hz());
    let gained = i64::from(step) - i64::from(elapsed);
    step < 0 || gained > hz * AHEAD_MAX.as_secs() as i64 || gained < -hz * BEHIND_MAX.as_secs() as i64
}

fn later(a: RtpTime, b: RtpTime) -> RtpTime {
    if a.distance_to(b) > 0 { b } else { a }
}

#[cfg(test)]
mod tests;
