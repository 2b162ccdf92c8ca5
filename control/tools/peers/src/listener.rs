//! The receiver of a peer: it measures the stream packet by packet, collects its digits, and places its audio by timestamp.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use trestle_wire::telephone_event::{Digit, TelephoneEvent};
use trestle_wire::{ExtSeq, Seq, SeqExtender};

use crate::codec::{self, PeerDecoder};
use crate::recent::RecentDatagrams;
use crate::rtcp::{RtcpReportBlock, SenderReportInfo};
use crate::{Arrival, Codec, ReceivedDigit, Report};

/// Audio that is kept, in seconds.
const KEPT_SECONDS: usize = 120;
/// Arrivals that are kept: as many packets of 10 ms.
const ARRIVALS_MAX: usize = KEPT_SECONDS * 100;
/// Digits that are kept.
const DIGITS_MAX: usize = 1_000;
/// Distinct SSRCs that are kept.
const SSRCS_MAX: usize = 64;
/// A missing packet is given up after this many later ones.
const HELD_MAX: usize = 5;
/// Sequence numbers that are remembered to know duplicates.
const SEEN_MAX: usize = 512;

/// What the other side may send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) codecs: Vec<(u8, Codec)>,
    /// Telephone-event payload types and clock rates.
    pub(crate) events: Vec<(u8, u32)>,
    /// `None` if any will do.
    pub(crate) ptime_ms: Option<u32>,
}

/// An RTP packet that was authenticated and parsed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceivedRtp<'a> {
    pub(crate) ssrc: u32,
    pub(crate) seq: u16,
    pub(crate) time: u32,
    pub(crate) pt: u8,
    pub(crate) marker: bool,
    pub(crate) payload: &'a [u8],
}

/// The audio's time line: its first packet.
#[derive(Debug, Clone, Copy)]
struct RtpTimeline {
    at: Instant,
    time: u32,
    clock_hz: u32,
    /// Where that packet lies in the recording, in samples.
    sample: usize,
}

impl RtpTimeline {
    /// Ticks of `time` since the first packet, in seconds.
    fn seconds_of(&self, time: u32) -> f64 {
        f64::from(time.wrapping_sub(self.time) as i32) / f64::from(self.clock_hz)
    }

    /// How far `time` is ahead of the wall clock, in milliseconds.
    fn ahead_ms(&self, now: Instant, time: u32) -> f64 {
        (self.seconds_of(time) - now.saturating_duration_since(self.at).as_secs_f64()) * 1e3
    }
}

/// The stream of one SSRC.
struct Stream {
    ssrc: u32,
    extender: SeqExtender,
    first: ExtSeq,
    seen: BTreeSet<ExtSeq>,
    unique: u64,
    line: Option<RtpTimeline>,
    /// Out-of-order packets; `None` for those that are no audio.
    held: BTreeMap<ExtSeq, Option<Audio>>,
    next: ExtSeq,
    decoder: Option<(Codec, PeerDecoder)>,
    /// Lateness of the last audio packet, for the jitter.
    late_ms: Option<f64>,
    last_sr: Option<(SenderReportInfo, Instant)>,
}

struct Audio {
    codec: Codec,
    time: u32,
    payload: Vec<u8>,
}

pub(crate) struct Listener {
    pub(crate) report: Report,
    pub(crate) expected: Expected,
    /// True before the acceptance: packets that arrive now are early.
    pub(crate) gate_closed: bool,
    pub(crate) recent: RecentDatagrams,
    /// Sample rate of the recording.
    sample_hz: u32,
    pcm: Vec<i16>,
    pcm_starts_at: Option<Instant>,
    /// How each audio packet kept its time.
    pub(crate) arrivals: Vec<Arrival>,
    stream: Option<Stream>,
    /// Lost in streams that were given up.
    lost_before: u64,
    /// SSRC, timestamp and event of each digit in the report.
    digit_keys: Vec<(u32, u32, u8)>,
}

impl Listener {
    pub(crate) fn new(sample_hz: u32) -> Self {
        Self {
            report: Report::default(),
            expected: Expected::default(),
            gate_closed: false,
            recent: RecentDatagrams::default(),
            sample_hz,
            pcm: Vec::new(),
            pcm_starts_at: None,
            arrivals: Vec::new(),
            stream: None,
            lost_before: 0,
            digit_keys: Vec::new(),
        }
    }

    /// The received audio, from the first audio packet on. Gaps are filled with silence.
    pub(crate) fn pcm(&self) -> &[i16] {
        &self.pcm
    }

    /// When the recording starts.
    pub(crate) fn pcm_starts_at(&self) -> Option<Instant> {
        self.pcm_starts_at
    }

    pub(crate) fn receive(&mut self, now: Instant, packet: ReceivedRtp<'_>) {
        let report = &mut self.report;
        report.packets += 1;
        report.bytes += packet.payload.len() as u64;
        report.first_rtp_at.get_or_insert(now);
        if let Some(last) = report.last_rtp_at {
            report.longest_gap = report.longest_gap.max(now.saturating_duration_since(last));
        }
        report.last_rtp_at = Some(now);
        if !report.ssrcs.contains(&packet.ssrc) && report.ssrcs.len() < SSRCS_MAX {
            report.ssrcs.push(packet.ssrc);
        }
        let Some(seq) = self.place(packet) else { return };
        let audio = self.expected.codecs.iter().find(|(pt, _)| *pt == packet.pt).map(|(_, codec)| *codec);
        let audio = match audio {
            Some(codec) => {
                self.keep_time(now, packet, codec);
                Some(Audio { codec, time: packet.time, payload: packet.payload.to_vec() })
            }
            None => {
                match self.expected.events.iter().find(|(pt, _)| *pt == packet.pt) {
                    Some((_, clock_hz)) => self.event(now, packet, *clock_hz),
                    None => self.report.unknown_pt += 1,
                }
                None
            }
        };
        self.play(seq, audio);
    }

    /// Finds the packet's place in its stream; `None` for a duplicate.
    fn place(&mut self, packet: ReceivedRtp<'_>) -> Option<ExtSeq> {
        if self.stream.as_ref().is_none_or(|stream| stream.ssrc != packet.ssrc) {
            self.lost_before = self.report.lost;
            let first = SeqExtender::default().extend(Seq(packet.seq));
            self.stream = Some(Stream {
                ssrc: packet.ssrc,
                extender: SeqExtender::default(),
                first,
                seen: BTreeSet::new(),
                unique: 0,
                line: None,
                held: BTreeMap::new(),
                next: first,
                decoder: None,
                late_ms: None,
                last_sr: None,
            });
        }
        let stream = self.stream.as_mut()?;
        let late = stream.extender.highest();
        let seq = stream.extender.extend(Seq(packet.seq));
        if !stream.seen.insert(seq) {
            self.report.duplicates += 1;
            return None;
        }
        if stream.seen.len() > SEEN_MAX {
            stream.seen.pop_first();
        }
        if late.is_some_and(|highest| seq < highest) {
            self.report.reordered += 1;
        }
        stream.unique += 1;
        stream.first = stream.first.min(seq);
        let highest = stream.extender.highest().unwrap_or(seq);
        let expected = highest.0 - stream.first.0 + 1;
        self.report.lost = self.lost_before + expected.saturating_sub(stream.unique);
        Some(seq)
    }

    fn keep_time(&mut self, now: Instant, packet: ReceivedRtp<'_>, codec: Codec) {
        let report = &mut self.report;
        if let Some(expected_ms) = self.expected.ptime_ms {
            let tenths = codec::duration_tenths_ms(codec, packet.payload);
            report.ptime_violations += u64::from(tenths != Some(expected_ms * 10));
        }
        let Some(stream) = &mut self.stream else { return };
        let pcm_starts_at = *self.pcm_starts_at.get_or_insert(now);
        // Another clock begins another line (RFC 7160).
        let line = stream.line.filter(|line| line.clock_hz == codec.clock_hz()).unwrap_or_else(|| {
            // A later line lies in the recording where it came in.
            let since_start = now.saturating_duration_since(pcm_starts_at).as_secs_f64();
            let sample = (since_start * f64::from(self.sample_hz)) as usize;
            RtpTimeline { at: now, time: packet.time, clock_hz: codec.clock_hz(), sample }
        });
        stream.line = Some(line);
        let ahead_ms = line.ahead_ms(now, packet.time);
        report.drift_ms = ahead_ms;
        if ahead_ms.abs() > report.max_drift_ms.abs() {
            report.max_drift_ms = ahead_ms;
        }
        let late_ms = -ahead_ms;
        if let Some(before) = stream.late_ms.replace(late_ms) {
            // RFC 3550 A.8.
            report.jitter_ms += ((late_ms - before).abs() - report.jitter_ms) / 16.0;
        }
        if self.arrivals.len() < ARRIVALS_MAX {
            self.arrivals.push(Arrival { at: now, late_ms });
        }
    }

    fn event(&mut self, now: Instant, packet: ReceivedRtp<'_>, clock_hz: u32) {
        let Ok(event) = TelephoneEvent::parse(packet.payload) else {
            self.report.undecodable += 1;
            return;
        };
        let key = (packet.ssrc, packet.time, event.event);
        let index = match self.digit_keys.iter().rposition(|known| *known == key) {
            Some(index) => index,
            None if self.digit_keys.len() >= DIGITS_MAX => return,
            None => {
                let line = self.stream.as_ref().and_then(|stream| stream.line);
                self.digit_keys.push(key);
                self.report.digits.push(ReceivedDigit {
                    digit: Digit::from_event(event.event).map_or('?', Digit::to_char),
                    at: now,
                    duration_ms: 0.0,
                    updates: 0,
                    ends: 0,
                    markers: 0,
                    off_line_ms: line.map_or(0.0, |line| line.ahead_ms(now, packet.time)),
                });
                self.digit_keys.len() - 1
            }
        };
        let digit = &mut self.report.digits[index];
        digit.duration_ms = digit.duration_ms.max(f64::from(event.duration_ticks) * 1e3 / f64::from(clock_hz));
        digit.markers += u32::from(packet.marker);
        if event.end {
            digit.ends += 1;
        } else {
            digit.updates += 1;
        }
    }

    /// Decodes in order of sequence; waits for a missing packet until [`HELD_MAX`] later ones are there.
    fn play(&mut self, seq: ExtSeq, audio: Option<Audio>) {
        let Some(stream) = &mut self.stream else { return };
        if seq < stream.next {
            return;
        }
        stream.held.insert(seq, audio);
        loop {
            let Some(stream) = &mut self.stream else { return };
            let Some((first, _)) = stream.held.first_key_value() else { return };
            if *first != stream.next && stream.held.len() <= HELD_MAX {
                return;
            }
            let Some((seq, audio)) = stream.held.pop_first() else { return };
            stream.next = seq.plus(1);
            if let Some(audio) = audio {
                self.decode(&audio);
            }
        }
    }

    fn decode(&mut self, audio: &Audio) {
        let Some(stream) = &mut self.stream else { return };
        let Some(line) = stream.line else { return };
        let (_, decoder) = match stream.decoder.take().filter(|(codec, _)| *codec == audio.codec) {
            Some(same) => stream.decoder.insert(same),
            None => stream.decoder.insert((audio.codec, PeerDecoder::new(audio.codec, self.sample_hz))),
        };
        let Some(samples) = decoder.decode(&audio.payload) else {
            self.report.undecodable += 1;
            return;
        };
        let offset = (line.seconds_of(audio.time) * f64::from(self.sample_hz)).round() as i64;
        let Ok(start) = usize::try_from(line.sample as i64 + offset) else { return };
        let end = start + samples.len();
        if end > KEPT_SECONDS * self.sample_hz as usize {
            return;
        }
        if self.pcm.len() < end {
            self.pcm.resize(end, 0);
        }
        self.pcm[start..end].copy_from_slice(&samples);
    }

    /// Takes in a compound RTCP packet; `ours` is the SSRC that we send.
    pub(crate) fn receive_rtcp(&mut self, now: Instant, packet: &[u8], ours: u32) {
        self.report.last_rtcp_at = Some(now);
        let Some(info) = crate::rtcp::read(packet, ours, &mut self.report) else { return };
        self.sender_info(now, info);
    }

    pub(crate) fn sender_info(&mut self, now: Instant, info: SenderReportInfo) {
        let Some(stream) = &mut self.stream else { return };
        stream.last_sr = Some((info, now));
        if let Some(line) = stream.line {
            self.report.sr_off_line_ms = Some(line.ahead_ms(now, info.time));
        }
    }

    /// The report block about the current stream.
    pub(crate) fn block(&self, now: Instant) -> Option<RtcpReportBlock> {
        let stream = self.stream.as_ref()?;
        let clock_hz = stream.line.map_or(8_000, |line| line.clock_hz);
        let last_sr = stream.last_sr.map_or((0, 0), |(info, at)| {
            let since = now.saturating_duration_since(at);
            ((info.ntp >> 16) as u32, (since.as_nanos() * 65_536 / Duration::from_secs(1).as_nanos()) as u32)
        });
        Some(RtcpReportBlock {
            ssrc: stream.ssrc,
            lost: (self.report.lost - self.lost_before) as i32,
            // SeqExtender starts at one wrap, RTCP at none.
            highest: (stream.extender.highest()?.0 - (1 << 16)) as u32,
            jitter: (self.report.jitter_ms * f64::from(clock_hz) / 1e3) as u32,
            last_sr,
        })
    }
}
