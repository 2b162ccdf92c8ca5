use super::*;
use crate::Tone;
use crate::sounds::{noise, sine, speech};

#[test]
fn levels_are_relative_to_a_full_scale_square_wave() {
    let square: Vec<i16> = (0..800).map(|n| if n % 2 == 0 { 32_767 } else { -32_768 }).collect();
    let mut full_sine = vec![0; 800];
    Tone::sine(1_000.0, 32_767).fill(&mut full_sine, 8_000);
    let table = [("square", square, 0.0), ("sine", full_sine, -3.01), ("silence", vec![0; 800], SILENCE_DBOV)];
    for (name, pcm, dbov) in table {
        assert!((level_dbov(&pcm) - dbov).abs() < 0.02, "{name}: {}", level_dbov(&pcm));
    }
    assert_eq!(level_dbov(&[]), SILENCE_DBOV);
}

#[test]
fn the_strongest_tone_is_found_at_any_rate_and_length() {
    for rate_hz in [8_000, 16_000, 48_000] {
        for hz in [110.0, 440.0, 697.0, 1_004.0, 1_633.0, 3_333.0] {
            for ms in [100, 500] {
                let mut pcm = vec![0; (rate_hz * ms / 1_000) as usize];
                Tone::sine(hz, 8_000).fill(&mut pcm, rate_hz);
                let tone = dominant_tone(&pcm, rate_hz).unwrap();
                assert!((tone.hz - hz).abs() < 3.0, "{hz} Hz at {rate_hz}: {tone:?}");
                assert!((tone.dbov + 15.26).abs() < 0.3 && tone.share > 0.95, "{hz} Hz at {rate_hz}: {tone:?}");
            }
        }
    }
}

#[test]
fn a_tone_is_found_in_noise_but_noise_is_not_a_tone() {
    let noise = noise(3, 1_600);
    let both: Vec<i16> = sine(440.0, 1_600).iter().zip(&noise).map(|(tone, noise)| tone + noise).collect();
    assert!((dominant_tone(&both, 8_000).unwrap().hz - 440.0).abs() < 3.0);
    assert_eq!(dominant_tone(&noise, 8_000), None);
    assert_eq!(dominant_tone(&[0; 800], 8_000), None);
    assert_eq!(dominant_tone(&[], 8_000), None);
}

#[test]
fn every_digit_is_distinguished_from_every_other_and_from_speech() {
    for event in 0..16 {
        for samples in [320, 800] {
            let mut pcm = vec![0; samples];
            Tone::dtmf(event).unwrap().fill(&mut pcm, 8_000);
            assert_eq!(dtmf_event(&pcm, 8_000), Some(event));
            assert_eq!(clipped(&pcm), 0);
        }
    }
    assert!(Tone::dtmf(16).is_none());
    for frame in speech(16_000, 8_000).chunks(320).chain([&sine(697.0, 320)[..], &[0; 320]]) {
        assert_eq!(dtmf_event(frame, 8_000), None);
    }
}

#[test]
fn a_tone_is_continuous_between_two_fills() {
    let mut whole = vec![0; 960];
    Tone::sine(443.0, 8_000).fill(&mut whole, 8_000);
    let mut parts = vec![0; 960];
    let mut tone = Tone::sine(443.0, 8_000);
    parts.chunks_mut(7).for_each(|part| tone.fill(part, 8_000));
    assert_eq!(whole, parts);
}

#[test]
fn gaps_are_counted_but_not_the_silence_around() {
    // (quiet, sound, quiet ..) in ms; gaps of 20 ms or more, and their duration in ms.
    let table: [(&[usize], usize, usize); 6] = [
        (&[500], 0, 0),
        (&[500, 1_000, 500], 0, 0),
        (&[0, 300, 40, 300], 1, 40),
        (&[100, 300, 10, 300, 0], 0, 0),
        (&[100, 300, 20, 300, 60, 300, 500], 2, 80),
        (&[0, 300, 20, 300, 20, 300, 20, 300], 3, 60),
    ];
    for (pattern, gaps, gap_ms) in table {
        let mut counter = GapCounter::new(40, 160, -50.0);
        for (n, ms) in pattern.iter().enumerate() {
            let samples = ms * 8;
            counter.process(&if n % 2 == 0 { vec![0; samples] } else { sine(440.0, samples) });
        }
        assert_eq!((counter.gaps(), counter.gap_samples()), (gaps, gap_ms * 8), "{pattern:?}");
        assert_eq!(counter.has_sound(), pattern.len() > 1, "{pattern:?}");
    }
}

#[test]
fn samples_at_either_end_of_the_scale_are_clipped() {
    assert_eq!(clipped(&[0, 32_766, 32_767, -32_766, -32_767, -32_768]), 3);
}
