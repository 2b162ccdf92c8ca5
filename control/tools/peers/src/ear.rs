//! What a recording contains: a tone, holes, clipping, and the position of a reference clip in it.

pub use trestle_audio::listen::{SILENCE_DBOV, dominant_tone, level_dbov, power, power_at};

/// The frequency that has at least half of the power in the middle second of `pcm`, between 100 and 3,600 Hz, to about
/// 2 Hz; `None` if there is none, in silence, or in less than 100 ms.
pub fn tone_hz(pcm: &[i16], sample_hz: u32) -> Option<f64> {
    let second = sample_hz as usize;
    let middle = pcm.len().saturating_sub(second) / 2;
    let recorded = &pcm[middle..pcm.len().min(middle + second)];
    (recorded.len() >= second / 10).then(|| dominant_tone(recorded, sample_hz)).flatten().map(|tone| tone.hz)
}

/// Stretches of at least `min_ms` in which no 10 ms reach `floor_dbov`: start and length in ms.
pub fn silences(pcm: &[i16], sample_hz: u32, floor_dbov: f64, min_ms: u32) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut since: Option<u32> = None;
    let window = sample_hz as usize / 100;
    let loud = pcm.chunks(window).map(|chunk| level_dbov(chunk) >= floor_dbov).chain([true]);
    for (n, loud) in loud.enumerate() {
        let at_ms = n as u32 * 10;
        match (loud, since) {
            (false, None) => since = Some(at_ms),
            (true, Some(start)) => {
                if at_ms - start >= min_ms {
                    found.push((start, at_ms - start));
                }
                since = None;
            }
            _ => {}
        }
    }
    found
}

/// Runs of three or more samples at full scale: each is a clipped peak.
pub fn clipped_peaks(pcm: &[i16]) -> usize {
    // The largest G.711 sample is 32,124 (A-law: 32,256), so that is its full scale.
    const FULL: u16 = 32_100;
    pcm.chunk_by(|a, b| (a.unsigned_abs() >= FULL) == (b.unsigned_abs() >= FULL))
        .filter(|run| run.len() >= 3 && run[0].unsigned_abs() >= FULL)
        .count()
}

/// Where a reference was found in a recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// How much later than in the reference the recording has it, in milliseconds.
    pub delay_ms: f64,
    /// How alike the loudness of the two runs, -1 to 1; over 0.9 is the same speech.
    pub similarity: f64,
}

/// Finds `reference` in `recorded` by the shape of its loudness in steps of 5 ms, which survives any codec. The two may
/// have different sample rates. The delay is looked for in 0 ..= `max_delay_ms`. `None` if one of them is silence or shorter
/// than half a second.
pub fn find(
    reference: &[i16],
    reference_hz: u32,
    recorded: &[i16],
    recorded_hz: u32,
    max_delay_ms: u32,
) -> Option<Match> {
    let reference = loudness(reference, reference_hz);
    let recorded = loudness(recorded, recorded_hz);
    let steps = 500 / LOUDNESS_STEP_MS as usize;
    let delays = 0..=(max_delay_ms / LOUDNESS_STEP_MS) as usize;
    delays
        .filter_map(|delay| {
            let recorded = recorded.get(delay..)?;
            let len = recorded.len().min(reference.len());
            let similarity = (len >= steps).then(|| correlation(&reference[..len], &recorded[..len]))??;
            Some(Match { delay_ms: (delay as u32 * LOUDNESS_STEP_MS).into(), similarity })
        })
        .max_by(|a, b| a.similarity.total_cmp(&b.similarity))
}

const LOUDNESS_STEP_MS: u32 = 5;

/// Level of each 5 ms above -55 dBov, in dB: pauses are all alike.
fn loudness(pcm: &[i16], sample_hz: u32) -> Vec<f64> {
    pcm.chunks_exact((sample_hz / 1_000 * LOUDNESS_STEP_MS) as usize).map(|c| level_dbov(c).max(-55.0) + 55.0).collect()
}

/// Pearson's; `None` if one side does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(hz: f64, peak: f64, sample_hz: u32, ms: u32) -> Vec<i16> {
        let step = TAU * hz / f64::from(sample_hz);
        (0..sample_hz / 1_000 * ms).map(|n| (peak * (step * f64::from(n)).sin()) as i16).collect()
    }

    /// Something like speech: a tone whose loudness wanders without repeating.
    fn babble(sample_hz: u32, ms: u32) -> Vec<i16> {
        let carrier = tone(300.0, 12_000.0, sample_hz, ms);
        let shape = |n: usize| {
            let t = n as f64 / f64::from(sample_hz);
            ((TAU * 1.3 * t).sin() + (TAU * 2.9 * t).sin() + (TAU * 0.37 * t).sin()).max(0.0) / 3.0
        };
        carrier.iter().enumerate().map(|(n, s)| (f64::from(*s) * shape(n)) as i16).collect()
    }

    #[test]
    fn the_frequency_of_a_tone_is_measured() {
        for sample_hz in [8_000, 16_000] {
            for hz in [123.0, 440.0, 999.0, 1_000.0, 2_345.0, 3_400.0] {
                for ms in [100, 500, 3_000] {
                    let pcm = tone(hz, 8_192.0, sample_hz, ms);
                    let recorded = tone_hz(&pcm, sample_hz).unwrap();
                    assert!((recorded - hz).abs() < 5.0, "{hz} Hz, {ms} ms at {sample_hz}: measured {recorded}");
                }
            }
        }
        assert_eq!(tone_hz(&[0; 8_000], 8_000), None, "silence has no tone");
        assert_eq!(tone_hz(&[5_000; 10], 8_000), None, "too short");
    }

    #[test]
    fn silences_are_found_where_they_are() {
        let mut pcm = tone(440.0, 8_000.0, 8_000, 300);
        pcm[800..1_600].fill(0);
        pcm[2_000..2_080].fill(0);
        assert_eq!(silences(&pcm, 8_000, -50.0, 20), [(100, 100)]);
        assert_eq!(silences(&pcm, 8_000, -50.0, 10), [(100, 100), (250, 10)]);
        pcm.extend_from_slice(&[0; 800]);
        assert_eq!(silences(&pcm, 8_000, -50.0, 20), [(100, 100), (300, 100)], "the end counts too");
    }

    #[test]
    fn clipping_is_flat_tops_not_loudness() {
        assert_eq!(clipped_peaks(&tone(440.0, 30_000.0, 8_000, 100)), 0);
        assert!(clipped_peaks(&tone(440.0, 60_000.0, 8_000, 100)) > 50);
        assert_eq!(clipped_peaks(&[]), 0);
    }

    #[test]
    fn a_clip_is_found_again_later_softer_and_at_another_rate() {
        let reference = babble(16_000, 4_000);
        let mut recorded = vec![0i16; 8 * 235];
        recorded.extend(babble(8_000, 4_000).iter().map(|s| s / 2));
        let found = find(&reference, 16_000, &recorded, 8_000, 1_000).unwrap();
        assert!((found.delay_ms - 235.0).abs() <= 5.0, "{found:?}");
        assert!(found.similarity > 0.95, "{found:?}");
        let other = find(&reference, 16_000, &tone(440.0, 9_000.0, 8_000, 4_000), 8_000, 1_000);
        assert!(other.is_none_or(|found| found.similarity < 0.5), "a tone is not speech: {other:?}");
        let mut backwards = babble(8_000, 4_000);
        backwards.reverse();
        let found = find(&reference, 16_000, &backwards, 8_000, 1_000).unwrap();
        assert!(found.similarity < 0.8, "{found:?}");
    }
}
