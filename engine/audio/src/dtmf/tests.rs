use std::f64::consts::TAU;

use super::*;
use crate::g711::Law;
use crate::sounds::{Chance, noise, speech, voiced};
use crate::tone::dtmf_frequencies_hz;

/// Peak of a sine of so many dBm0.
fn peak(dbm0: f64) -> f64 {
    32_768.0 * 10f64.powf((dbm0 - f64::from(FULL_SCALE_DBM0)) / 20.0)
}

/// Two sines; `level` in dBm0 of each, `off` as a share of the frequency.
#[derive(Debug, Clone, Copy)]
struct Key {
    event: u8,
    level: (f64, f64),
    off: (f64, f64),
}

fn key(event: u8) -> Key {
    Key { event, level: (-9.0, -7.0), off: (0.0, 0.0) }
}

impl Key {
    fn sound(self, samples: usize) -> Vec<i16> {
        let (low, high) = dtmf_frequencies_hz(self.event).unwrap();
        let sine = |hz: f64, off: f64, level: f64, n: f64| peak(level) * (TAU * hz * (1.0 + off) / 8_000.0 * n).sin();
        (0..samples)
            .map(|n| n as f64)
            .map(|n| sine(low, self.off.0, self.level.0, n) + sine(high, self.off.1, self.level.1, n))
            .map(|sample| sample as i16)
            .collect()
    }
}

fn silence(samples: usize) -> Vec<i16> {
    vec![0; samples]
}

/// The digits detected in packets of 20 ms through A-law: `+5` where a digit begins, `-5=40` where it ends, with its milliseconds.
fn detect(pcm: &[i16]) -> String {
    let (mut detector, mut log) = (DigitDetector::default(), String::new());
    for packet in pcm.chunks(160) {
        detector.process(&through_a_law(packet), |detected| note(&mut log, detected));
    }
    detector.finish(|detected| note(&mut log, detected));
    log
}

fn through_a_law(pcm: &[i16]) -> Vec<i16> {
    let mut bytes = vec![0; pcm.len()];
    Law::A.encode(pcm, &mut bytes);
    let mut detected = vec![0; pcm.len()];
    Law::A.decode(&bytes, &mut detected);
    detected
}

fn note(log: &mut String, detected: DigitDetection) {
    match detected {
        DigitDetection::Began { event, .. } => log.push_str(&format!("+{event} ")),
        DigitDetection::Ended { event, samples, .. } => log.push_str(&format!("-{event}={} ", samples / 8)),
    }
}

/// The digits detected.
fn events(pcm: &[i16]) -> Vec<u8> {
    let (mut detector, mut list) = (DigitDetector::default(), Vec::new());
    for packet in pcm.chunks(160) {
        detector.process(&through_a_law(packet), |detected| {
            if let DigitDetection::Began { event, .. } = detected {
                list.push(event);
            }
        });
    }
    list
}

/// A digit that begins at each of many places in a packet: how many times it was detected correctly, and not at all.
fn detected_at_any_place(key: Key, samples: usize) -> (usize, usize) {
    let found: Vec<Vec<u8>> = (0..102)
        .step_by(3)
        .map(|lead| events(&[silence(400 + lead), key.sound(samples), silence(400)].concat()))
        .collect();
    (found.iter().filter(|found| **found == [key.event]).count(), found.iter().filter(|found| found.is_empty()).count())
}

const PLACES: usize = 34;

#[test]
fn each_of_the_sixteen_digits_is_detected_once_with_its_duration() {
    for event in 0..16 {
        for (length_ms, lead) in [(40, 800), (50, 817), (50, 860), (70, 834), (100, 851), (500, 868)] {
            let log = detect(&[silence(lead), key(event).sound(length_ms * 8), silence(800)].concat());
            let ended = log.strip_prefix(&format!("+{event} -{event}=")).unwrap_or_else(|| panic!("{event}: {log}"));
            let measured_ms: usize = ended.trim().parse().unwrap();
            assert!(measured_ms.abs_diff(length_ms) <= 8, "{event}: {measured_ms}, not {length_ms} ms");
        }
    }
}

#[test]
fn a_tone_of_40_ms_is_a_digit_wherever_it_begins_and_one_of_20_ms_is_not() {
    for event in 0..16 {
        assert_eq!(detected_at_any_place(key(event), 320).0, PLACES, "{event} of 40 ms");
        assert_eq!(detected_at_any_place(key(event), 160).1, PLACES, "{event} of 20 ms");
    }
}

#[test]
fn levels_twist_and_frequencies_are_accepted_within_the_limits_of_q24() {
    // Level of row and column, frequency error, accepted or not.
    let table = [
        ("as loud as a phone may", (-3.0, -3.0), (0.0, 0.0), true),
        ("after a lossy line", (-27.0, -27.0), (0.0, 0.0), true),
        ("too quiet", (-40.0, -40.0), (0.0, 0.0), false),
        ("column 4 dB over the row", (-12.0, -8.0), (0.0, 0.0), true),
        ("row 8 dB over the column", (-8.0, -16.0), (0.0, 0.0), true),
        ("column 8 dB over the row", (-16.0, -8.0), (0.0, 0.0), false),
        ("row 14 dB over the column", (-8.0, -22.0), (0.0, 0.0), false),
        ("1.5 % high", (-9.0, -7.0), (0.015, 0.015), true),
        ("1.5 % low", (-9.0, -7.0), (-0.015, -0.015), true),
        ("row high, column low", (-9.0, -9.0), (0.015, -0.015), true),
        ("row 3.5 % high", (-9.0, -7.0), (0.035, 0.0), false),
        ("row 3.5 % low", (-9.0, -7.0), (-0.035, 0.0), false),
        ("column 3.5 % high", (-9.0, -7.0), (0.0, 0.035), false),
        ("column 3.5 % low", (-9.0, -7.0), (0.0, -0.035), false),
    ];
    for (name, level, off, taken) in table {
        for event in 0..16 {
            let (detected, silent) = detected_at_any_place(Key { event, level, off }, 640);
            let expected = if taken { detected } else { silent };
            assert_eq!(expected, PLACES, "{name}: {event}");
        }
    }
}

#[test]
fn a_pause_of_40_ms_separates_two_digits_and_a_gap_of_10_ms_does_not() {
    for lead in 0..102 {
        let keys = |pause: usize| {
            let sound = [silence(lead), key(5).sound(400), silence(pause), key(5).sound(400), silence(400)].concat();
            events(&sound).len()
        };
        assert_eq!(keys(320), 2, "40 ms, {lead} samples in");
        assert_eq!(keys(80), 1, "10 ms, {lead} samples in");
    }
}

#[test]
fn a_digit_is_detected_above_noise_15_db_below_it() {
    let noise_peak = 2_048.0;
    for seed in 0..20 {
        let event = seed as u8 % 16;
        // White noise of that peak has a power of a third of its square.
        let level = 20.0 * (noise_peak / 32_768.0f64).log10() - 10.0 * 3f64.log10() + 15.0 + f64::from(FULL_SCALE_DBM0);
        let tone = Key { level: (level, level), ..key(event) }.sound(400);
        let sound: Vec<i16> = noise(seed + 1, 1_600)
            .iter()
            .zip([silence(600), tone, silence(600)].concat())
            .map(|(a, b)| a + b)
            .collect();
        assert_eq!(events(&sound), [event], "noise {seed}");
    }
}

#[test]
fn noise_voices_tones_and_dial_tone_are_not_digits() {
    let minute = 60 * 8_000;
    assert_eq!(detect(&noise(7, minute)), "");
    assert_eq!(detect(&speech(minute, 8_000)), "");
    for pitch_hz in 80..400 {
        assert_eq!(detect(&voiced(f64::from(pitch_hz), 2_400)), "", "{pitch_hz} Hz");
    }
    for hz in (300..3_400).step_by(10) {
        let mut sine = silence(1_600);
        crate::Tone::sine(f64::from(hz), 8_000).fill(&mut sine, 8_000);
        assert_eq!(detect(&sine), "", "{hz} Hz");
    }
    // Two tones that are not a digit: dial tone, ringing, two rows, two columns.
    for (one, other) in [(350.0, 440.0), (440.0, 480.0), (697.0, 941.0), (1_209.0, 1_477.0), (480.0, 620.0)] {
        let sound: Vec<i16> = (0..4_000)
            .map(|n| [one, other].map(|hz: f64| 8_000.0 * (TAU * hz / 8_000.0 * f64::from(n)).sin()))
            .map(|[a, b]| (a + b) as i16)
            .collect();
        assert_eq!(detect(&sound), "", "{one} and {other} Hz");
    }
}

#[test]
fn a_lost_packet_neither_ends_a_digit_nor_splits_it() {
    let sound = [silence(320), key(8).sound(1_600), silence(640)].concat();
    for lost in 0..sound.len() / 160 {
        let (mut detector, mut log) = (DigitDetector::default(), String::new());
        for (n, packet) in sound.chunks(160).enumerate() {
            if n == lost {
                detector.skip(packet.len(), |detected| note(&mut log, detected));
            } else {
                detector.process(packet, |detected| note(&mut log, detected));
            }
        }
        let ended = log.strip_prefix("+8 -8=").unwrap_or_else(|| panic!("{lost} lost: {log}"));
        let measured_ms: usize = ended.trim().parse().unwrap();
        assert!((170..=210).contains(&measured_ms), "{lost} lost: {measured_ms} ms");
    }
}

#[test]
fn the_end_of_a_stream_ends_its_digit() {
    let (mut detector, mut log) = (DigitDetector::default(), String::new());
    detector.process(&key(3).sound(800), |detected| note(&mut log, detected));
    assert!(detector.is_down());
    detector.skip(8_000, |detected| note(&mut log, detected));
    assert!(!detector.is_down());
    assert!(log.starts_with("+3 -3="), "{log}");
}

#[test]
fn volume_is_the_power_of_both_tones() {
    let mut volumes = Vec::new();
    let mut detector = DigitDetector::default();
    detector.process(&Key { level: (-13.0, -13.0), ..key(1) }.sound(800), |detected| {
        if let DigitDetection::Began { volume, .. } = detected {
            volumes.push(volume);
        }
    });
    assert_eq!(volumes, [10]);
}

/// Ten thousand digits of the shortest duration and pause, at levels, twists and frequencies drawn from what Q.24 allows.
#[test]
fn digits_drawn_from_all_that_q24_allows_are_detected() {
    let seed = 20_240_u32;
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let mut share = |least: f64, most: f64| least + (most - least) * f64::from(chance.below(1_001)) / 1_000.0;
    let (mut sound, mut pressed) = (silence(400), Vec::new());
    for _ in 0..1_000 {
        let event = share(0.0, 15.99) as u8;
        let row = share(-22.0, -5.0);
        let drawn =
            Key { event, level: (row, row + share(-8.0, 4.0)), off: (share(-0.015, 0.015), share(-0.015, 0.015)) };
        sound.extend(drawn.sound(share(320.0, 800.0) as usize));
        sound.extend(silence(share(320.0, 800.0) as usize));
        pressed.push(event);
    }
    sound.extend(silence(400));
    let detected = events(&sound);
    let wrong = detected.iter().zip(&pressed).position(|(detected, pressed)| detected != pressed);
    assert_eq!(detected.len(), pressed.len(), "first wrong: {wrong:?}");
    assert_eq!(wrong, None);
}
