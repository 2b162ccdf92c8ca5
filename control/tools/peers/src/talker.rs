//! The sender of a peer: audio and digits on one SSRC, one sequence, one frame clock.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::rand_core::Rng;
use trestle_wire::telephone_event::{Digit, TelephoneEvent};

use crate::Codec;
use crate::codec::PeerEncoder;

/// What a peer speaks into its microphone.
#[derive(Debug, Clone)]
pub enum Voice {
    /// Encoded silence. RTP flows all the same.
    Silence,
    /// A sine.
    Tone {
        /// Frequency.
        hz: f64,
        /// Peak amplitude, 0 to 32,767.
        peak: i16,
    },
    /// PCM, mono, at the peer's own sample rate, repeated for ever.
    Clip(Arc<[i16]>),
}

/// How digits are written into the stream (RFC 4733).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventStyle {
    /// Timestamps on the audio's line in the audio's clock, durations in the event's own 8 kHz units. Meta's way, and
    /// that of every phone with G.711.
    #[default]
    AudioLine,
    /// As libwebrtc does it: timestamps on the audio's line, durations in the audio's ticks as well, and the length of
    /// the press counted in 8 kHz ticks, so that with Opus a "200 ms" digit is one start and three end packets.
    LibWebRtc,
    /// Timestamps on a line of their own that runs at 8 kHz and starts at random.
    OwnLine,
}

/// What is agreed to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SentFormat {
    pub(crate) pt: u8,
    pub(crate) codec: Codec,
    /// Telephone-event; its clock is 8 kHz.
    pub(crate) event_pt: Option<u8>,
    pub(crate) ptime_ms: u32,
    pub(crate) style: EventStyle,
}

/// An RTP packet without its SSRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) marker: bool,
    pub(crate) pt: u8,
    /// Extended by the number of wraps.
    pub(crate) seq: u64,
    pub(crate) time: u32,
    pub(crate) payload: Vec<u8>,
}

struct Press {
    digit: Digit,
    length: Duration,
    /// Frames sent so far.
    frames: u32,
    /// Timestamp of all its packets.
    time: u32,
}

/// The digits of a talker: the one that is pressed, and those that follow.
pub(crate) struct DigitQueue {
    pressing: Option<Press>,
    waiting: VecDeque<(Digit, Duration)>,
    /// The next press begins no earlier.
    pause_until: Option<Instant>,
    /// Least time between two presses.
    pub(crate) pause: Duration,
}

/// Media flows from [`Talker::start`] on; muting stops the packets, never the clock.
pub(crate) struct Talker {
    voice: Voice,
    sample_hz: u32,
    /// Next sample of the voice.
    position: usize,
    format: Option<(SentFormat, PeerEncoder)>,
    pub(crate) muted: bool,
    pub(crate) ssrc: u32,
    seq: u64,
    /// Timestamp of frame 0.
    time: u32,
    /// Time of frame 0, and frames since.
    clock: Option<(Instant, u32)>,
    /// Timestamp of frame 0 on the events' own line.
    own_line: u32,
    pub(crate) digits: DigitQueue,
    spurt_begins: bool,
    outbox: VecDeque<Packet>,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// Between two presses, as WhatsApp makes it.
const PAUSE: Duration = Duration::from_millis(100);
/// RFC 4733 2.5.1.4: the end of an event is sent three times.
const END_COPIES: u32 = 3;
/// Loudness of digits in -dBm0.
const VOLUME: u8 = 10;

impl Talker {
    pub(crate) fn new(rng: &mut impl Rng, sample_hz: u32, voice: Voice) -> Self {
        Self {
            voice,
            sample_hz,
            position: 0,
            format: None,
            muted: false,
            ssrc: rng.next_u32(),
            // The upper half is left out: a stream that wraps within its first packets is a test of its own.
            seq: u64::from(rng.next_u32() & 0x7fff),
            time: rng.next_u32(),
            clock: None,
            own_line: rng.next_u32(),
            digits: DigitQueue { pressing: None, waiting: VecDeque::new(), pause_until: None, pause: PAUSE },
            spurt_begins: true,
            outbox: VecDeque::new(),
            packets: 0,
            bytes: 0,
        }
    }

    /// Begins to send, or goes on in another format. Timestamps go on where they were; with another clock rate they
    /// cannot, and continue from the same number.
    pub(crate) fn start(&mut self, now: Instant, format: SentFormat) {
        if self.format.as_ref().is_some_and(|(current, _)| *current == format) {
            return;
        }
        if let (Some((started, frames)), Some((old, _))) = (self.clock, &self.format) {
            self.time = self.time.wrapping_add(frames * ticks(old.codec.clock_hz(), old.ptime_ms));
            self.own_line = self.own_line.wrapping_add(frames * ticks(8_000, old.ptime_ms));
            self.clock = Some((started + Duration::from_millis(u64::from(old.ptime_ms)) * frames, 0));
        } else {
            self.clock = Some((now, 0));
        }
        let is_simple = matches!(self.voice, Voice::Tone { .. });
        self.format = Some((format, PeerEncoder::new(format.codec, self.sample_hz, is_simple)));
    }

    pub(crate) fn format(&self) -> Option<SentFormat> {
        self.format.as_ref().map(|(format, _)| *format)
    }

    pub(crate) fn set_voice(&mut self, voice: Voice) {
        self.voice = voice;
        self.position = 0;
    }

    /// A new SSRC with a new sequence and time line, as a phone does that restarts its stream.
    pub(crate) fn restart_stream(&mut self, rng: &mut impl Rng) {
        self.ssrc = rng.next_u32();
        self.seq = u64::from(rng.next_u32() & 0x7fff);
        self.time = rng.next_u32();
        self.spurt_begins = true;
    }

    /// Presses a key as soon as those before it are done.
    pub(crate) fn press(&mut self, digit: Digit, length: Duration) {
        self.digits.waiting.push_back((digit, length));
    }

    /// True while a key is down or waiting.
    pub(crate) fn is_pressing(&self) -> bool {
        self.digits.pressing.is_some() || !self.digits.waiting.is_empty()
    }

    /// Sends nothing for `time`, and then continues with the next number and timestamp.
    pub(crate) fn pause(&mut self, time: Duration) {
        if let Some((started, _)) = &mut self.clock {
            *started += time;
        }
    }

    /// RTP timestamp of this moment on the audio's line, for a sender report. `None` before the first packet.
    pub(crate) fn time_at(&self, now: Instant) -> Option<u32> {
        let (started, _) = self.clock?;
        let hz = u64::from(self.format.as_ref()?.0.codec.clock_hz());
        let elapsed = now.saturating_duration_since(started).as_micros() as u64 * hz / 1_000_000;
        (self.packets > 0).then_some(self.time.wrapping_add(elapsed as u32))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (started, frames) = self.clock?;
        let (format, _) = self.format.as_ref()?;
        Some(started + Duration::from_millis(u64::from(format.ptime_ms)) * frames)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.poll_timeout().filter(|due| *due <= now) {
            self.frame(due);
            if let Some((_, frames)) = &mut self.clock {
                *frames += 1;
            }
        }
    }

    pub(crate) fn poll_packet(&mut self) -> Option<Packet> {
        self.outbox.pop_front()
    }

    /// One packet time: audio, or the event of a key that is down.
    fn frame(&mut self, due: Instant) {
        let (Some((format, _)), Some((_, frames))) = (&self.format, self.clock) else { return };
        let format = *format;
        let time = self.time.wrapping_add(frames * ticks(format.codec.clock_hz(), format.ptime_ms));
        // Drawn even if a digit takes its place: speech does not wait for a key.
        let samples = self.samples((self.sample_hz / 1_000 * format.ptime_ms) as usize);
        if self.muted {
            self.spurt_begins = true;
            return;
        }
        if self.digits.pressing.is_none() && self.digits.pause_until.is_none_or(|until| due >= until) {
            let own = self.own_line.wrapping_add(frames * ticks(8_000, format.ptime_ms));
            let event_time = if format.style == EventStyle::OwnLine { own } else { time };
            self.digits.pressing = format
                .event_pt
                .and_then(|_| self.digits.waiting.pop_front())
                .map(|(digit, length)| Press { digit, length, frames: 0, time: event_time });
        }
        if let (Some(mut press), Some(event_pt)) = (self.digits.pressing.take(), format.event_pt) {
            if !self.event_frame(&mut press, format, event_pt) {
                self.digits.pressing = Some(press);
            } else {
                self.digits.pause_until =
                    Some(due + Duration::from_millis(u64::from(format.ptime_ms)) + self.digits.pause);
            }
            return;
        }
        let payload = match &mut self.format {
            Some((_, encoder)) => encoder.encode(&samples),
            None => return,
        };
        let marker = std::mem::take(&mut self.spurt_begins);
        self.push(marker, format.pt, time, payload);
    }

    /// True when the event is over.
    fn event_frame(&mut self, press: &mut Press, format: SentFormat, event_pt: u8) -> bool {
        press.frames += 1;
        let elapsed_ms = press.frames * format.ptime_ms;
        let duration_hz = match format.style {
            EventStyle::LibWebRtc => format.codec.clock_hz(),
            EventStyle::AudioLine | EventStyle::OwnLine => 8_000,
        };
        let duration = ticks(duration_hz, elapsed_ms);
        // libwebrtc compares ticks of two clocks here; elsewhere both sides count 8 kHz.
        let wanted = (press.length.as_millis() as u32) * 8;
        let over = press.frames > 1 && duration >= wanted;
        let duration = match format.style {
            EventStyle::LibWebRtc => duration,
            // The end carries the real duration of the press, between two frames as well.
            EventStyle::AudioLine | EventStyle::OwnLine => duration.min(wanted.max(1)),
        };
        let event = TelephoneEvent {
            event: press.digit.event(),
            end: over,
            volume: VOLUME,
            duration_ticks: u16::try_from(duration).unwrap_or(u16::MAX),
        };
        for _ in 0..if over { END_COPIES } else { 1 } {
            self.push(press.frames == 1, event_pt, press.time, event.write().to_vec());
        }
        over
    }

    fn push(&mut self, marker: bool, pt: u8, time: u32, payload: Vec<u8>) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload.len() as u32);
        self.outbox.push_back(Packet { marker, pt, seq: self.seq, time, payload });
        self.seq += 1;
    }

    fn samples(&mut self, count: usize) -> Vec<i16> {
        let start = self.position;
        self.position += count;
        match &self.voice {
            Voice::Silence => vec![0; count],
            Voice::Tone { hz, peak } => {
                let step = TAU * hz / f64::from(self.sample_hz);
                (start..start + count).map(|n| (f64::from(*peak) * (step * n as f64).sin()) as i16).collect()
            }
            Voice::Clip(clip) if clip.is_empty() => vec![0; count],
            Voice::Clip(clip) => (start..start + count).map(|n| clip[n % clip.len()]).collect(),
        }
    }
}

fn ticks(hz: u32, ms: u32) -> u32 {
    hz / 1_000 * ms
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn packets_of_a_press(codec: Codec, style: EventStyle, ms: u64) -> (Vec<Packet>, u32) {
        #[allow(clippy::disallowed_methods, reason = "a test has to begin some time")]
        let start = Instant::now();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut talker = Talker::new(&mut rng, 8_000, Voice::Silence);
        talker.start(start, SentFormat { pt: 96, codec, event_pt: Some(101), ptime_ms: 20, style });
        talker.press(Digit::from_char('5').unwrap(), Duration::from_millis(ms));
        let audio_time = talker.time;
        talker.handle_timeout(start + Duration::from_secs(1));
        (std::iter::from_fn(|| talker.poll_packet()).collect(), audio_time)
    }

    #[test]
    fn a_digit_on_the_audio_line_lasts_as_long_as_it_is_pressed() {
        let (packets, time) = packets_of_a_press(Codec::Opus, EventStyle::AudioLine, 500);
        let events: Vec<_> = packets.iter().filter(|p| p.pt == 101).collect();
        assert_eq!(events.len(), 24 + 3);
        assert!(events[0].marker && events[1..].iter().all(|p| !p.marker));
        assert!(events.iter().all(|p| p.time == time));
        let last = TelephoneEvent::parse(&events[26].payload).unwrap();
        assert!(last.end && last.duration_ticks == 4_000);
        let next = packets.iter().find(|p| p.pt == 96).unwrap();
        assert_eq!(next.time.wrapping_sub(time), 24_000, "audio goes on 500 ms later");
        assert!(packets.windows(2).all(|w| w[1].seq == w[0].seq + 1));
    }

    #[test]
    fn libwebrtc_makes_one_start_and_three_ends_of_200_ms() {
        let (packets, _) = packets_of_a_press(Codec::Opus, EventStyle::LibWebRtc, 200);
        let durations: Vec<_> = packets
            .iter()
            .filter(|p| p.pt == 101)
            .map(|p| TelephoneEvent::parse(&p.payload).unwrap())
            .map(|e| (e.end, e.duration_ticks))
            .collect();
        assert_eq!(durations, [(false, 960), (true, 1_920), (true, 1_920), (true, 1_920)]);
    }

    #[test]
    fn an_own_line_does_not_follow_the_audio() {
        let (packets, time) = packets_of_a_press(Codec::Opus, EventStyle::OwnLine, 100);
        assert!(packets.iter().filter(|p| p.pt == 101).all(|p| p.time != time));
        let (packets, _) = packets_of_a_press(Codec::Pcma, EventStyle::AudioLine, 100);
        assert_eq!(packets.iter().filter(|p| p.pt == 101).count(), 4 + 3);
    }
}
