use super::*;
use crate::listen::{dominant_tone, level_dbov};
use crate::sounds::{Chance, noise, sine, snr_db, voiced};

/// 20 ms.
const FRAME: usize = 160;

/// Plays `pcm` in 20 ms frames, losing those in `lost`; returns the output.
fn play(pcm: &[i16], lost: &[usize]) -> Vec<i16> {
    play_frames(pcm, FRAME, lost)
}

fn play_frames(pcm: &[i16], frame: usize, lost: &[usize]) -> Vec<i16> {
    let mut concealer = Concealer::new();
    let mut output = pcm.to_vec();
    for (n, frame) in output.chunks_mut(frame).enumerate() {
        if lost.contains(&n) {
            frame.fill(i16::MIN);
            concealer.conceal(frame);
        } else {
            concealer.good(frame);
        }
    }
    output
}

fn largest_step(pcm: &[i16]) -> i32 {
    pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
}

#[test]
fn frames_that_all_arrive_are_not_changed() {
    let pcm = voiced(110.0, 20 * FRAME);
    assert_eq!(play(&pcm, &[]), pcm);
}

#[test]
fn a_stream_that_begins_with_a_gap_begins_with_silence() {
    let output = play(&voiced(110.0, 4 * FRAME), &[0, 1]);
    assert_eq!(&output[..2 * FRAME], &[0; 2 * FRAME]);
}

/// One 20 ms frame lost from steady voices and tones: silence in its place would be an SNR of 0 dB.
#[test]
fn a_steady_sound_continues_through_one_lost_frame() {
    let table = [("low voice", voiced(70.0, 3_200)), ("man", voiced(110.0, 3_200)), ("woman", voiced(210.0, 3_200))]
        .into_iter()
        .chain([("child", voiced(320.0, 3_200)), ("tone", sine(440.0, 3_200)), ("high tone", sine(1_000.0, 3_200))]);
    for (name, pcm) in table {
        let output = play(&pcm, &[10]);
        let lost = 10 * FRAME..11 * FRAME;
        let snr = snr_db(&pcm[lost.clone()], &output[lost.clone()]);
        let level = level_dbov(&output[lost.clone()]) - level_dbov(&pcm[lost]);
        assert!(snr > 8.0, "{name}: SNR {snr:.1} dB");
        assert!((-2.0..1.0).contains(&level), "{name}: level {level:+.1} dB");
    }
}

/// Hum, whose period is too long to be found, and a sweep, which has none: the repetition does not match, and yet no step
/// exceeds those of the sound itself by more than an eighth of its peak.
#[test]
fn neither_end_of_a_gap_clicks() {
    let sweep: Vec<i16> = (0..20 * FRAME)
        .map(|n| n as f64 / 8_000.0)
        .map(|seconds| 8_000.0 * (std::f64::consts::TAU * (90.0 + 150.0 * seconds) * seconds).sin())
        .map(|sample| sample as i16)
        .collect();
    for (name, pcm) in [("40 Hz", sine(40.0, 3_200)), ("53 Hz", sine(53.0, 3_200)), ("sweep", sweep)] {
        for first in 5..15 {
            for lost in [&[first][..], &[first, first + 1], &[first, first + 2], &[first, first + 1, first + 2]] {
                let (whole, output) = (largest_step(&pcm), largest_step(&play(&pcm, lost)));
                assert!(output < whole + 2_000, "{name}, lost {lost:?}: a step of {output}, {whole} without loss");
            }
        }
    }
}

/// A second gap 10 ms after the first is filled from the output in the first, in phase with the voice.
#[test]
fn a_gap_soon_after_a_gap_is_filled_as_well() {
    for hz in [93.0, 110.0, 147.0] {
        let pcm = voiced(hz, 3_200);
        let output = play_frames(&pcm, 80, &[20, 22]);
        let snr = snr_db(&pcm[22 * 80..23 * 80], &output[22 * 80..23 * 80]);
        assert!(snr > 8.0, "{hz} Hz: SNR {snr:.1} dB");
    }
}

/// A repeated short piece of noise would be a buzz.
#[test]
fn noise_does_not_become_a_buzz() {
    for seed in 1..=20 {
        let output = play(&noise(seed, 3_200), &[10, 11]);
        let hole = &output[10 * FRAME..12 * FRAME];
        for lag in PITCH_MIN..=PITCH_MAX {
            let product: f64 = hole.iter().zip(&hole[lag..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let energy: f64 = hole[lag..].iter().map(|a| f64::from(*a).powi(2)).sum();
            assert!(product < 0.7 * energy, "seed {seed}: repeats itself every {lag} samples");
        }
    }
}

#[test]
fn a_long_gap_fades_and_is_silent_after_60_ms() {
    let pcm = voiced(110.0, 20 * FRAME);
    let output = play(&pcm, &[10, 11, 12, 13, 14]);
    let levels: Vec<f64> = output[10 * FRAME..].chunks(80).take(10).map(level_dbov).collect();
    for (n, pair) in levels[..6].windows(2).enumerate() {
        assert!(pair[1] < pair[0] + 0.5, "louder after {} ms: {levels:.1?}", (n + 1) * 10);
    }
    assert!(levels[3] < levels[0] - 3.0, "not fading: {levels:.1?}");
    assert!(output[13 * FRAME..15 * FRAME].iter().all(|sample| *sample == 0));
    assert!(level_dbov(&output[15 * FRAME + BLEND_MAX..16 * FRAME]) > -20.0, "sound comes back");
}

#[test]
fn a_tone_keeps_its_frequency_through_scattered_loss() {
    let pcm = sine(440.0, 100 * FRAME);
    let lost: Vec<usize> = (5..100).step_by(10).collect();
    let tone = dominant_tone(&play(&pcm, &lost), 8_000).unwrap();
    assert!((tone.hz - 440.0).abs() < 2.0 && tone.share > 0.95, "{tone:?}");
}

#[test]
fn noise_is_concealed_at_its_level() {
    let pcm = noise(1, 3_200);
    let output = play(&pcm, &[10]);
    let change = level_dbov(&output[1_600..1_760]) - level_dbov(&pcm[1_600..1_760]);
    assert!(change.abs() < 3.0, "{change:+.1} dB");
}

#[test]
fn the_loudest_sound_does_not_overflow() {
    let square: Vec<i16> = (0..3_200).map(|n| if n / 37 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
    let output = play(&square, &[8, 9, 11]);
    let turned_over = output.iter().zip(&square).skip(12 * FRAME + BLEND_MAX).filter(|(output, sent)| output != sent);
    assert_eq!(turned_over.count(), 0);
}

/// Any sequence of frame lengths, lost or not, from none to the longest: nothing panics, lengths need not match.
#[test]
fn frames_of_any_length_are_accepted() {
    let pcm = voiced(110.0, 960);
    let mut concealer = Concealer::new();
    let mut chance = Chance(7);
    for _ in 0..3_000 {
        let mut frame = pcm[..chance.below(961) as usize].to_vec();
        if chance.below(2) == 0 { concealer.good(&mut frame) } else { concealer.conceal(&mut frame) }
    }
}

#[test]
fn an_endless_gap_stays_silent() {
    let mut concealer = Concealer::new();
    concealer.good(&mut voiced(110.0, 960));
    let mut frame = [1; FRAME];
    for _ in 0..50_000 {
        concealer.conceal(&mut frame);
    }
    assert_eq!(frame, [0; FRAME]);
    let mut back = voiced(110.0, FRAME);
    concealer.good(&mut back);
    assert!(level_dbov(&back) > -20.0);
}
