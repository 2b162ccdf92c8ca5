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
//! A source whose packets arrive behind frames that have taken their place is sent behind these frames. If it has paused without
//! moving its timestamps, the line remains at wall time. If the network has held it up, the packets are ahead of wall time by a
//! `Surplus`, which is won back (docs/decisions/0028).
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
/// A packet may begin this much before the end of the frames in its place.
const OVERLAP_MAX: Duration = Duration::from_millis(5);
/// Packets that would be further ahead of wall time than this are left out: the listener plays them later by as much. More than a frame
/// and the usual jitter together, which is what a source that has paused may show.
const SURPLUS_MAX: Duration = Duration::from_millis(80);
/// The packets of this time show how far they are ahead of wall time.
const SURPLUS_WINDOW: Duration = Duration::from_secs(1);
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
    numbers: Numbers,
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

/// The sequence numbers that are used.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    /// The highest of them: sent, or left out to show a loss.
    highest: ExtSeq,
    /// Bit `i` is set if `highest - i` was sent.
    sent: u128,
}

/// What advanced the line last.
#[derive(Debug, Clone, Copy)]
enum Feed {
    Nothing,
    /// Frames of Trestle: the timestamp of the next one, and how many ticks ahead of wall time they began.
    Frames {
        next: RtpTime,
        ahead: u32,
    },
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
    surplus: Surplus,
}

/// How far packets of a source are ahead of wall time, in ticks, because they were sent behind frames that had taken their place.
///
/// The packets after them show it. Those of a source that has paused are as late as the first ones: there is no surplus. If the network
/// held up the first ones, the next ones arrive at their old time, and so are early.
#[derive(Debug, Clone, Copy, Default)]
struct Surplus {
    /// Of what packets are early, no more than this is surplus; the source itself is early by the rest. 0: there is none.
    most: u32,
    /// The most that a packet of the present window has shown, and of the window before.
    shown: [u32; 2],
    /// The wall time at which the present window ends.
    until: RtpTime,
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
            numbers: Numbers { highest: ExtSeq((1 << 16 | u64::from(random_seq & 0x7fff)) - 1), sent: 0 },
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
        let (time, ahead, marker) = match self.feed {
            // An event that began later than the next frame, after a stall, moves the frames on.
            Feed::Frames { next, ahead }
                if next.distance_to(self.time_at(now)) <= self.clock.ticks(PAUSE_MAX) as i32
                    && self.last_time.distance_to(next) >= 0 =>
            {
                (next, ahead, false)
            }
            _ => {
                let time = self.fresh_time(now);
                (time, self.time_at(now).distance_to(time).max(0).cast_unsigned(), true)
            }
        };
        if let (Feed::Source(mapping), Some((_, at))) = (self.feed, self.line) {
            self.paused = Some((mapping, at));
        }
        self.feed = Feed::Frames { next: time.plus(ticks), ahead };
        self.slot_ticks = ticks;
        self.numbers.advance(1);
        self.follow(now, self.time_at(now), time);
        self.header(self.numbers.highest, time, marker)
    }

    /// True if frames have taken the place of `source` since a later packet than this one: it has come too late.
    pub fn is_behind_frames(&self, source: u64, seq: ExtSeq) -> bool {
        matches!(self.feed, Feed::Frames { .. })
            && self.paused.is_some_and(|(known, _)| known.source == source && seq <= known.seq)
    }

    /// From now on frames carry the source's audio: the source does not continue where it was forwarded last.
    pub fn forget_source(&mut self) {
        self.paused = None;
    }

    /// Counts a frame of `ticks` that is not sent, because a telephone-event replaces it; the line continues.
    pub fn skip(&mut self, ticks: u32) {
        if let Feed::Frames { next, .. } = &mut self.feed {
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
            _ => return Some(self.resume(now, source, seq, time, clock)),
        };
        let mut our_time = mapping.map(time, self.clock);
        if seq <= mapping.seq {
            let behind = mapping.seq.0 - seq.0;
            let free = if seq < mapping.valid_from { None } else { self.numbers.fill(behind) };
            return free.map(|seq| self.header(seq, our_time, marker));
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
        if mapping.surplus.is_possible() {
            let Some(place) =
                mapping.win_back(self.clock, line, (self.last_time, self.slot_ticks), seq, (time, our_time))
            else {
                self.absorbed(source, seq);
                return None;
            };
            our_time = place;
        }
        (mapping.seq, mapping.time) = (seq, (time, our_time));
        self.numbers.advance(gap);
        self.follow(now, line, our_time);
        Some(self.header(self.numbers.highest, our_time, marker))
    }

    /// A packet of `source` was consumed and nothing is sent in its place: the numbers after it continue without a gap. Packets that
    /// were lost before it stay visible.
    pub fn absorbed(&mut self, source: u64, seq: ExtSeq) {
        let lost_before = self.feed.take_over(source, seq);
        self.numbers.skip(if lost_before > DROPOUT_MAX { 0 } else { lost_before });
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
        self.numbers.advance(1);
        if self.last_time.distance_to(time) > 0 {
            self.last_time = time;
        }
        if let Feed::Source(mapping) = &mut self.feed {
            mapping.valid_from = mapping.seq.plus(1);
        }
        Header { pt, ..self.header(self.numbers.highest, time, first) }
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
        self.numbers.highest
    }

    /// Packets sent, as a sender report counts them (RFC 3550 section 6.4.1): wrapping.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Payload octets sent, as a sender report counts them (RFC 3550 section 6.4.1): wrapping.
    pub fn octets(&self) -> u32 {
        self.octets
    }

    /// How much later frames in the place of the forwarded source are due: its surplus beyond one frame.
    pub fn filler_delay(&self) -> Duration {
        match &self.feed {
            Feed::Source(mapping) if mapping.surplus.is_possible() => {
                let ticks = mapping.surplus.shown().saturating_sub(self.slot_ticks);
                self.clock.duration(ticks).min(SURPLUS_MAX)
            }
            _ => Duration::ZERO,
        }
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

    /// A source continues that frames have replaced: at its own timestamps, so that the line stays wall time, or behind the frames if
    /// they have taken its place.
    fn resume(&mut self, now: Instant, source: u64, seq: ExtSeq, time: RtpTime, clock: ClockRate) -> Header {
        let paused = self.paused.filter(|(known, _)| known.source == source && known.clock == clock);
        let Some((paused, at)) = paused.filter(|(known, _)| seq > known.seq && seq.0 - known.seq.0 <= DROPOUT_MAX)
        else {
            return self.begin(now, source, seq, time, clock);
        };
        let mapped = paused.map(time, self.clock);
        let elapsed = self.clock.ticks(now.saturating_duration_since(at)).cast_signed();
        if has_jumped(self.clock, paused.time.1.distance_to(mapped), elapsed) {
            return self.begin(now, source, seq, time, clock);
        }
        // A surplus from before is won back here, as far as the frames have left room.
        let place = RtpTime(mapped.0.wrapping_sub(paused.surplus.shown().min(self.clock.ticks(SURPLUS_MAX))));
        let our_time = if place.distance_to(self.audio_end) > self.clock.ticks(OVERLAP_MAX) as i32 {
            self.fresh_time(now)
        } else {
            later(place, later(self.audio_end, self.last_time.plus(1)))
        };
        let until = self.time_at(now).plus(self.clock.ticks(SURPLUS_WINDOW));
        let surplus = Surplus { until, ..paused.surplus.moved(mapped.distance_to(our_time)) };
        self.feed_from(now, Mapping { source, clock, seq, valid_from: seq.plus(1), time: (time, our_time), surplus })
    }

    /// Maps the first packet of a source, or the first one after a break in it.
    fn begin(&mut self, now: Instant, source: u64, seq: ExtSeq, time: RtpTime, clock: ClockRate) -> Header {
        let our_time = self.fresh_time(now);
        let line = self.time_at(now);
        let most = line.distance_to(our_time).max(0).cast_unsigned();
        let surplus = Surplus { most, shown: [0; 2], until: line.plus(self.clock.ticks(SURPLUS_WINDOW)) };
        self.feed_from(now, Mapping { source, clock, seq, valid_from: seq.plus(1), time: (time, our_time), surplus })
    }

    /// Sends the packet of `mapping`, which the line follows from now on.
    fn feed_from(&mut self, now: Instant, mapping: Mapping) -> Header {
        let our_time = mapping.time.1;
        self.feed = Feed::Source(mapping);
        self.numbers.advance(1);
        self.follow(now, self.time_at(now), our_time);
        self.header(self.numbers.highest, our_time, true)
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
            Feed::Frames { next, .. } if next.distance_to(self.time_at(now)) <= self.clock.ticks(SLOT_MAX) as i32 => {
                later(next, self.last_time.plus(1))
            }
            _ => later(self.time_at(now), self.last_time.plus(1)),
        }
    }

    /// Moves the line to a packet's timestamp: at once if the packet is early, slowly if it is late, so that jitter
    /// hardly moves it and the drift of a clock does. As long as there may be a surplus, neither that nor lateness moves it.
    #[inline]
    fn follow(&mut self, now: Instant, line: RtpTime, time: RtpTime) {
        self.audio_end = time.plus(self.slot_ticks);
        if self.last_time.distance_to(time) > 0 {
            self.last_time = time;
        }
        let ahead = line.distance_to(time);
        let early = ahead.max(0).cast_unsigned();
        let moved = match &mut self.feed {
            _ if self.line.is_none() => time,
            Feed::Source(mapping) if mapping.surplus.is_possible() => line.plus(early - mapping.surplus.note(early)),
            Feed::Frames { ahead: most, .. } if ahead >= 0 => line.plus(early - early.min(*most)),
            _ if ahead >= 0 => time,
            // Rounded away from zero, so that the last few ticks are corrected as well.
            _ => RtpTime(line.0.wrapping_add_signed((ahead - LATENESS_SHARE + 1) / LATENESS_SHARE)),
        };
        self.line = Some((moved, now));
    }

    fn header(&self, seq: ExtSeq, time: RtpTime, marker: bool) -> Header {
        Header { marker, pt: self.pt, seq: seq.wire(), time, ssrc: self.ssrc }
    }
}

impl Numbers {
    /// Takes the next `n` numbers; the last of them is sent, the others are left out.
    #[inline]
    fn advance(&mut self, n: u64) {
        self.skip(n);
        self.sent |= 1;
    }

    #[inline]
    fn skip(&mut self, n: u64) {
        self.highest = self.highest.plus(n);
        self.sent = match n {
            1 => self.sent << 1,
            _ => u32::try_from(n).ok().and_then(|n| self.sent.checked_shl(n)).unwrap_or(0),
        };
    }

    /// Takes the number that is `behind` the highest, if it is free.
    fn fill(&mut self, behind: u64) -> Option<ExtSeq> {
        if behind >= u64::from(u128::BITS) || self.sent >> behind & 1 == 1 {
            return None;
        }
        self.sent |= 1 << behind;
        Some(ExtSeq(self.highest.0 - behind))
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

    /// Places a packet of a source that may be ahead of wall time (`line`) by a surplus. A pause behind the last packet, which began at
    /// `last_time` and has `slot` ticks, is made shorter. Beyond [`SURPLUS_MAX`] the packet is left out: `None`.
    #[cold]
    fn win_back(
        &mut self,
        clock: ClockRate,
        line: RtpTime,
        (last_time, slot): (RtpTime, u32),
        seq: ExtSeq,
        (time, our_time): (RtpTime, RtpTime),
    ) -> Option<RtpTime> {
        if line.distance_to(self.surplus.until) <= 0 {
            self.surplus.next_window(line.plus(clock.ticks(SURPLUS_WINDOW)), slot);
        }
        let surplus = line.distance_to(our_time).min(self.surplus.most.cast_signed());
        // Telephone-events may have been sent since the last packet; audio does not go back behind them.
        let step = last_time.distance_to(our_time);
        if surplus > clock.ticks(SURPLUS_MAX).cast_signed() && last_time == self.time.1 {
            self.surplus = self.surplus.moved(-step);
            // What else was held up is not known yet.
            self.surplus.shown[0] = self.surplus.most;
            self.time.0 = time;
            return None;
        }
        let won = if seq == self.seq.plus(1) { surplus.min(step - slot.cast_signed()).max(0) } else { 0 };
        if won > 0 {
            self.surplus = self.surplus.moved(-won);
            self.valid_from = seq;
        }
        Some(RtpTime(our_time.0.wrapping_add_signed(-won)))
    }
}

impl Surplus {
    #[inline]
    fn is_possible(&self) -> bool {
        self.most > 0
    }

    /// What the packets of the last second have shown.
    fn shown(&self) -> u32 {
        self.shown[0].max(self.shown[1])
    }

    /// The source is sent `ticks` later than before, or earlier.
    fn moved(self, ticks: i32) -> Self {
        let most = self.most.saturating_add_signed(ticks);
        let shown = self.shown.map(|shown| shown.saturating_add_signed(ticks.min(0)).min(most));
        Self { most, shown, ..self }
    }

    /// Notes a packet that is early by so many ticks. Gives how many of them are surplus.
    #[inline]
    fn note(&mut self, early: u32) -> u32 {
        let surplus = early.min(self.most);
        self.shown[0] = self.shown[0].max(surplus);
        surplus
    }

    /// A window is over, in packets of `slot` ticks. What its packets have not shown is no surplus, but for a margin: the earliest packet of
    /// a second is not the earliest of an hour. A part of a packet is none.
    fn next_window(&mut self, until: RtpTime, slot: u32) {
        let most = if self.shown() < slot / 4 { 0 } else { self.most.min(self.shown() + slot) };
        *self = Self { most, shown: [0, self.shown[0]], until };
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
