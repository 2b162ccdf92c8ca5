//! What the phone and Chromium received, compared with what was sent.

use std::ops::RangeInclusive;
use std::time::Instant;

use trestle_audio::listen;
use trestle_peers::{Arrival, ReceivedDigit, Report, ear};

use crate::calls::WEBRTC_HZ;
use crate::line::Line;

/// A tone has to stand so far above everything else.
pub(crate) const SNR_DB: f64 = 20.0;

/// Silence around a digit that is not noticeable: speech is cut and resumed in packets.
const MARGIN_MS: u32 = 60;

/// All that a phone received, up to a moment.
pub(crate) struct PhoneHeard {
    report: Report,
    arrivals: Vec<Arrival>,
    /// At 8 kHz.
    pcm: Vec<i16>,
    since: Instant,
}

impl PhoneHeard {
    /// Up to now. The phone is not held up by what is thought of it later.
    pub(crate) fn so_far(phone: &Line) -> Self {
        phone.with(|phone, _| Self {
            report: phone.report().clone(),
            arrivals: phone.arrivals().to_vec(),
            pcm: phone.recording().to_vec(),
            since: phone.audio_since().expect("some audio"),
        })
    }

    /// It received the tone, silent for no more than `silence_ms_max` beside the digits; `digits` once each, and of the length
    /// of `digit_ms`; in one stream as negotiated.
    pub(crate) fn assert(&self, digits: &str, digit_ms: RangeInclusive<f64>, silence_ms_max: u32) {
        let report = &self.report;
        println!("the phone: {report:?}");
        assert_eq!(report.digits_received(), digits);
        for digit in &report.digits {
            assert_eq!((digit.markers, digit.ends), (1, 3), "{digit:?}");
            assert!(digit_ms.contains(&digit.duration_ms), "not of {digit_ms:?} ms: {digit:?}");
        }
        assert_eq!(report.ssrcs.len(), 1, "one SSRC: {:?}", report.ssrcs);
        assert_eq!((report.lost, report.duplicates, report.reordered), (0, 0, 0), "a sequence without gap");
        assert_eq!((report.unknown_pt, report.undecodable, report.ptime_violations), (0, 0, 0), "as negotiated");
        assert_eq!((report.strays, report.auth_failures), (0, 0), "from Trestle, authentic");
        assert_tone("the phone", &self.pcm, WEBRTC_HZ);
        let silence_ms = self.silence_beside_digits_ms();
        assert!(silence_ms <= silence_ms_max, "{silence_ms} ms of silence");
    }

    /// How far the stream fell behind the wall clock, from its first second to its last: the least late packet of each, as
    /// a packet can be held up by the machine, but never be sent before its time.
    pub(crate) fn drift_ms(&self) -> f64 {
        let least = |arrivals: &[Arrival]| arrivals.iter().map(|arrival| arrival.late_ms).fold(f64::INFINITY, f64::min);
        let count = self.arrivals.len();
        assert!(count >= 100, "too short to tell: {count} packets");
        least(&self.arrivals[count - 50..]) - least(&self.arrivals[..50])
    }

    fn silence_beside_digits_ms(&self) -> u32 {
        let digits: Vec<(f64, f64)> = self.report.digits.iter().map(|digit| self.span_ms(digit)).collect();
        let mut silence_ms = 0;
        for (start_ms, len_ms) in ear::silences(&self.pcm, 8_000, -40.0, 20) {
            let (start, end) = (f64::from(start_ms), f64::from(start_ms + len_ms));
            let of_digits: f64 = digits.iter().map(|(from, to)| (end.min(*to) - start.max(*from)).max(0.0)).sum();
            let beside = len_ms.saturating_sub(of_digits as u32);
            if beside > MARGIN_MS {
                println!("{beside} ms of silence beside digits, in {len_ms} ms from {start_ms} ms on");
                silence_ms += beside;
            }
        }
        silence_ms
    }

    /// Where in the recording, which is laid out by timestamps, a digit begins and ends.
    fn span_ms(&self, digit: &ReceivedDigit) -> (f64, f64) {
        let arrived_ms = digit.at.saturating_duration_since(self.since).as_secs_f64() * 1_000.0;
        let from = arrived_ms + digit.off_line_ms;
        (from, from + digit.duration_ms)
    }
}

/// In the best half second of `pcm`, at 8 kHz, a tone of `hz` is above the noise. The best, because the machine may stall a peer.
pub(crate) fn assert_tone(who: &str, pcm: &[i16], hz: f64) {
    let snr_db = |half: &[i16]| {
        let (tone, all) = (ear::power_at(half, 8_000, hz), ear::power(half));
        10.0 * (tone / (all - tone).max(1e-12)).log10()
    };
    let best = pcm.windows(4_000).step_by(400).map(snr_db).fold(f64::NEG_INFINITY, f64::max);
    println!("{who} receives {hz} Hz, SNR {best:.1} dB");
    assert!(best > SNR_DB, "{who} receives {hz} Hz at {best} dB, and {:?}", ear::tone_hz(pcm, 8_000));
}

/// The digits that are audible in `pcm` at 8 kHz: Chromium plays telephone-events as tones, which may be in pieces. Pieces
/// of the same key belong to one press if they begin within `press_ms`, or if they are too short to be a digit.
pub(crate) fn digits_played(pcm: &[i16], press_ms: u64) -> String {
    const WINDOW_MS: u64 = 20;
    // A receiver accepts a digit from 40 ms on (ITU-T Q.24, 3.3.1). A shorter piece ends the press before it: Chromium's
    // play-out may be late by some milliseconds against the phone's clock.
    const DIGIT_MS_MIN: u64 = 40;
    let windows: Vec<Option<u8>> = pcm.chunks_exact(160).map(|window| listen::dtmf_event(window, 8_000)).collect();
    let mut now_ms = 0;
    let mut played: Vec<(u8, u64)> = Vec::new();
    for run in windows.chunk_by(|a, b| a == b) {
        let len_ms = WINDOW_MS * run.len() as u64;
        if let Some(event) = run[0] {
            println!("Chromium plays event {event} at {now_ms} ms for {len_ms} ms");
            let same_press = |(last, began_ms): &(u8, u64)| {
                *last == event && (len_ms < DIGIT_MS_MIN || now_ms < began_ms + press_ms)
            };
            if !played.last().is_some_and(same_press) {
                played.push((event, now_ms));
            }
        }
        now_ms += len_ms;
    }
    played.iter().map(|(event, _)| char::from(b"0123456789*#ABCD"[usize::from(*event)])).collect()
}
