//! Measurements of the audio that one side received from the other.

use std::time::{Duration, Instant};

use trestle_peers::speech::{AGENT_HZ, CALLER_HZ};
use trestle_peers::{Arrival, Report, ear};

use super::call::DemoCall;
use super::scene::{DemoParty, ScriptedPress};

/// How late speech may be and still be looked for.
const DELAY_MAX_MS: u32 = 1_000;
/// Below this level there is no speech.
pub(crate) const SILENCE_DBOV: f64 = -50.0;
/// A hole is where the sent audio has this level and the received audio stays below [`SILENCE_DBOV`].
const SPEECH_DBOV: f64 = -35.0;
/// How alike two stretches must be at least for their delay to mean anything.
const FOUND: f64 = 0.5;

/// The stream that one side received from the other, and its quality.
#[derive(Debug, Clone)]
pub(crate) struct Hearing {
    pub(crate) listener: DemoParty,
    /// Its account of the received stream.
    pub(crate) report: Report,
    /// RTP packets that the other side sent.
    pub(crate) sent_by_other: u32,
    /// How many of these the network was asked to lose.
    pub(crate) lost_on_the_way: u64,
    /// `None` if the sent speech is not found in the recording.
    pub(crate) speech: Option<Speech>,
    pub(crate) clipped_peaks: usize,
    /// How far the RTP clock is ahead of the wall clock at the end, each packet's own delay left out.
    pub(crate) slip_ms: f64,
    /// What the other side pressed, in order.
    pub(crate) pressed: Vec<ScriptedPress>,
}

/// How the other side's speech arrived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speech {
    /// As [`ear::Match`] has it.
    pub(crate) similarity: f64,
    /// From the packet that carries a sample to the one that brings it: bridge and codecs.
    pub(crate) delay_ms: f64,
    /// How much of the beginning never came, the silence before the first word included.
    pub(crate) missing_ms: f64,
    /// Where the first word begins.
    pub(crate) first_word_ms: f64,
    pub(crate) said_dbov: f64,
    pub(crate) heard_dbov: f64,
    /// Silence where there should be speech.
    pub(crate) hole_ms: u32,
}

/// A recording or the sent audio, on the call's time line.
pub(crate) struct Track {
    pub(crate) pcm: Vec<i16>,
    pub(crate) sample_hz: u32,
    /// When its first sample was sent or received, since the offer.
    pub(crate) starts: Duration,
}

impl Hearing {
    /// Measures what `listener` received in `call`.
    pub(crate) fn of(call: &DemoCall, listener: DemoParty) -> Self {
        let (report, sent_by_other, lost_on_the_way) = match listener {
            DemoParty::WhatsApp => {
                (call.meta.report().stream, call.phone.packets_sent(), call.traffic.lost(DemoParty::Phone))
            }
            DemoParty::Phone => {
                (call.phone.report().clone(), call.meta.packets_sent(), call.traffic.lost(DemoParty::WhatsApp))
            }
        };
        let strays = report.strays.saturating_sub(call.traffic.before_answer(listener));
        let report = Report { strays, ..report };
        let (spoken, received) = (sent_to(call, listener), received_by(call, listener));
        let speech = spoken.zip(received.as_ref()).and_then(|(spoken, received)| Speech::find(&spoken, received));
        Self {
            listener,
            report,
            sent_by_other,
            lost_on_the_way,
            speech,
            clipped_peaks: received.map_or(0, |received| ear::clipped_peaks(&received.pcm)),
            slip_ms: slip_ms(arrivals(call, listener)),
            pressed: call.script.presses.iter().filter(|press| press.by != listener).copied().collect(),
        }
    }
}

/// The audio sent to `listener`; `None` if the other side never sent.
pub(crate) fn sent_to(call: &DemoCall, listener: DemoParty) -> Option<Track> {
    let (speaker, spoken, sample_hz) = match listener {
        DemoParty::WhatsApp => (DemoParty::Phone, &call.script.agent, AGENT_HZ),
        DemoParty::Phone => (DemoParty::WhatsApp, &call.script.caller, CALLER_HZ),
    };
    Some(Track { pcm: spoken.to_vec(), sample_hz, starts: since_offer(call, call.traffic.first_sent_at(speaker)?) })
}

/// What `listener` recorded; `None` if nothing came.
pub(crate) fn received_by(call: &DemoCall, listener: DemoParty) -> Option<Track> {
    let (pcm, sample_hz, since) = match listener {
        DemoParty::WhatsApp => (call.meta.recording(), 16_000, call.meta.audio_since()),
        DemoParty::Phone => (call.phone.recording(), 8_000, call.phone.audio_since()),
    };
    Some(Track { pcm: pcm.to_vec(), sample_hz, starts: since_offer(call, since?) })
}

/// When each audio packet came to `listener`, and how late.
pub(crate) fn arrivals(call: &DemoCall, listener: DemoParty) -> &[Arrival] {
    match listener {
        DemoParty::WhatsApp => call.meta.arrivals(),
        DemoParty::Phone => call.phone.arrivals(),
    }
}

/// The median of the last packets, which separates the clock from the delay of a single packet.
fn slip_ms(arrivals: &[Arrival]) -> f64 {
    let mut last: Vec<f64> = arrivals.iter().rev().take(25).map(|arrival| -arrival.late_ms).collect();
    last.sort_by(f64::total_cmp);
    last.get(last.len() / 2).copied().unwrap_or(0.0)
}

fn since_offer(call: &DemoCall, at: Instant) -> Duration {
    at.saturating_duration_since(call.began_at())
}

impl Speech {
    fn find(spoken: &Track, received: &Track) -> Option<Self> {
        let later = ear::find(&spoken.pcm, spoken.sample_hz, &received.pcm, received.sample_hz, DELAY_MAX_MS);
        // The other way round: how far into the sent audio the recording begins.
        let sooner = ear::find(&received.pcm, received.sample_hz, &spoken.pcm, spoken.sample_hz, DELAY_MAX_MS);
        let offsets = [later, sooner.map(|found| ear::Match { delay_ms: -found.delay_ms, ..found })];
        let best = offsets.into_iter().flatten().max_by(|a, b| a.similarity.total_cmp(&b.similarity))?;
        if best.similarity < FOUND {
            return None;
        }
        let narrow = [narrow(spoken), narrow(received)];
        let offset = best.delay_ms * 8.0 + f64::from(finer(&narrow[0], &narrow[1], (best.delay_ms * 8.0) as i32));
        let offset_ms = offset / 8.0;
        let missing_ms = (-offset_ms).max(0.0);
        let aligned = aligned(&narrow[0], &narrow[1], offset as i32);
        let similarity = similarity(&narrow[0], &narrow[1], offset as i32).unwrap_or(best.similarity);
        Some(Self {
            similarity,
            delay_ms: (received.starts.as_secs_f64() - spoken.starts.as_secs_f64()) * 1e3 + offset_ms,
            missing_ms,
            first_word_ms: first_word_ms(&narrow[0]),
            said_dbov: ear::level_dbov(&narrow[0]),
            heard_dbov: ear::level_dbov(&aligned),
            hole_ms: hole_ms(&narrow[0], &aligned, missing_ms),
        })
    }
}

/// At 8 kHz.
fn narrow(track: &Track) -> Vec<i16> {
    let ratio = (track.sample_hz / 8_000) as usize;
    let mean = |chunk: &[i16]| (chunk.iter().map(|s| i32::from(*s)).sum::<i32>() / ratio as i32) as i16;
    track.pcm.chunks_exact(ratio).map(mean).collect()
}

/// The part of `received` that belongs to `spoken`, sample by sample, if it comes `offset` samples later there. Silence where
/// there is none.
fn aligned(spoken: &[i16], received: &[i16], offset: i32) -> Vec<i16> {
    let at = |n: usize| usize::try_from(n as i64 + i64::from(offset)).ok().and_then(|n| received.get(n));
    (0..spoken.len()).map(|n| at(n).copied().unwrap_or(0)).collect()
}

/// Samples at 8 kHz to be added to `coarse`: where the waves lie best upon each other, 8 ms around. 0 if they are not
/// alike, as a codec need not keep the wave.
fn finer(spoken: &[i16], received: &[i16], coarse: i32) -> i32 {
    const SECONDS: usize = 3;
    let spoken = &spoken[..spoken.len().min(SECONDS * 8_000)];
    let alike = |shift: i32| {
        let received = aligned(spoken, received, coarse + shift);
        let dot = |a: &[i16], b: &[i16]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        dot(spoken, &received) / (dot(spoken, spoken) * dot(&received, &received)).sqrt().max(1.0)
    };
    let best = (-64..=64).map(|shift| (alike(shift), shift)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(alike, _)| *alike > FOUND).map_or(0, |(_, shift)| shift)
}

/// How alike the two are, stretch by stretch, each where it fits best: a call that catches up with the speech from before it
/// could be sent is later at its beginning than at its end. `None` in silence.
fn similarity(spoken: &[i16], received: &[i16], offset: i32) -> Option<f64> {
    const STRETCH: usize = 8_000;
    const AROUND: i32 = 80 * 8;
    let alike = |(n, stretch): (usize, &[i16])| {
        let window = vec![0; stretch.len() + 2 * AROUND as usize];
        let window = aligned(&window, received, offset + (n * STRETCH) as i32 - AROUND);
        let whole = ear::find(stretch, 8_000, &window, 8_000, 2 * AROUND as u32 / 8)?;
        // Placed to the sample, so that the steps in which loudness is compared do not straddle.
        let coarse = (whole.delay_ms * 8.0) as i32;
        let placed = aligned(stretch, &window, coarse + finer(stretch, &window, coarse));
        Some(
            ear::find(stretch, 8_000, &placed, 8_000, 0)
                .map_or(whole.similarity, |m| m.similarity.max(whole.similarity)),
        )
    };
    let stretches = spoken.chunks_exact(STRETCH).enumerate().filter(|(_, s)| ear::level_dbov(s) > SILENCE_DBOV);
    let found: Vec<f64> = stretches.map(|stretch| alike(stretch).unwrap_or(0.0)).collect();
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}

fn first_word_ms(spoken: &[i16]) -> f64 {
    let window = spoken.chunks(80).position(|chunk| ear::level_dbov(chunk) >= SILENCE_DBOV);
    window.unwrap_or(0) as f64 * 10.0
}

/// How long speech was missing in the recording, in milliseconds, without the part missing at the beginning.
fn hole_ms(spoken: &[i16], aligned: &[i16], missing_ms: f64) -> u32 {
    let begin = (missing_ms / 10.0).ceil() as usize;
    let windows = spoken.chunks_exact(80).zip(aligned.chunks_exact(80)).skip(begin);
    windows.filter(|(s, h)| ear::level_dbov(s) > SPEECH_DBOV && ear::level_dbov(h) < SILENCE_DBOV).count() as u32 * 10
}

#[cfg(test)]
mod tests {
    use trestle_peers::speech;

    use super::*;

    fn track(pcm: &[i16], sample_hz: u32, starts_ms: u64) -> Track {
        Track { pcm: pcm.to_vec(), sample_hz, starts: Duration::from_millis(starts_ms) }
    }

    #[test]
    fn delay_and_missing_beginning_are_distinguished() {
        let clip = speech::agent();
        let spoken = track(&clip, 8_000, 100);
        // Recording starts, samples lost at the beginning or silence before it: expected delay and missing, in ms.
        for (starts_ms, lost, silent, delay_ms, missing_ms) in [
            (100, 0, 0, 0.0, 0.0),
            (107, 0, 0, 7.0, 0.0),
            (107, 0, 52, 13.5, 0.0),
            (190, 640, 0, 10.0, 80.0),
            (400, 2_000, 0, 50.0, 250.0),
        ] {
            let mut pcm = vec![0; silent];
            pcm.extend_from_slice(&clip[lost..]);
            let speech = Speech::find(&spoken, &track(&pcm, 8_000, starts_ms)).unwrap();
            assert!((speech.delay_ms - delay_ms).abs() < 0.2, "{speech:?}, {delay_ms} ms expected");
            assert!((speech.missing_ms - missing_ms).abs() < 0.2, "{speech:?}, {missing_ms} ms expected");
            assert_eq!((speech.first_word_ms, speech.hole_ms), (100.0, 0));
        }
    }

    #[test]
    fn a_hole_in_speech_is_measured_and_a_pause_is_none() {
        let clip = speech::agent();
        let mut pcm = clip.to_vec();
        pcm[8_000..8_800].fill(0);
        let speech = Speech::find(&track(&clip, 8_000, 0), &track(&pcm, 8_000, 0)).unwrap();
        assert!((80..=100).contains(&speech.hole_ms), "{speech:?}");
    }

    #[test]
    fn other_words_are_not_found() {
        let other = track(&speech::caller()[..16_000], 16_000, 0);
        let found = Speech::find(&track(&speech::agent()[..8_000], 8_000, 0), &other);
        assert!(found.is_none_or(|speech| speech.similarity < 0.8), "{found:?}");
        assert!(Speech::find(&track(&speech::agent(), 8_000, 0), &track(&[0; 16_000], 8_000, 0)).is_none());
    }
}
