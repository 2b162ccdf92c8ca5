use trestle_audio::{DigitDetection, DigitDetector};

use super::*;
use crate::limits;

const FRAME: usize = 160;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn digit(name: char) -> Digit {
    Digit::from_char(name).unwrap()
}

/// The next `frames` frames of a peer whose other audio is a constant.
fn frames(sender: &mut ToneSender, frames: usize) -> Vec<i16> {
    let mut pcm = vec![1_000; frames * FRAME];
    pcm.chunks_mut(FRAME).for_each(|frame| sender.fill(8_000, frame));
    pcm
}

/// The digits detected in `pcm`, each with its milliseconds.
fn digits(pcm: &[i16]) -> Vec<(char, u64)> {
    let (mut detector, mut list) = (DigitDetector::default(), Vec::new());
    let mut note = |detection| {
        if let DigitDetection::Ended { event, samples, .. } = detection {
            list.push((Digit::from_event(event).unwrap().to_char(), samples / 8));
        }
    };
    detector.process(pcm, &mut note);
    detector.finish(&mut note);
    list
}

fn assert_digits(pcm: &[i16], expected: &[(char, u64)]) {
    let found = digits(pcm);
    let close = |((one, length), (other, expected)): (&(char, u64), &(char, u64))| {
        one == other && length.abs_diff(*expected) <= 10
    };
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(close), "{found:?}, not {expected:?}");
}

#[test]
fn a_digit_sounds_for_its_time_and_then_the_source_continues() {
    let mut sender = ToneSender::default();
    sender.play(digit('5'), ms(100), 10);
    let pcm = frames(&mut sender, 10);
    assert_digits(&pcm, &[('5', 100)]);
    assert!(pcm[800..1_200].iter().all(|sample| *sample == 0), "a pause of 50 ms");
    assert!(pcm[1_200..].iter().all(|sample| *sample == 1_000));
    assert!(!sender.is_active());
}

#[test]
fn all_sixteen_keys_are_sent_in_order() {
    let mut sender = ToneSender::default();
    for key in "0123456789*#ABCD".chars() {
        sender.play(digit(key), ms(50), 10);
    }
    let names: String = digits(&frames(&mut sender, 110)).iter().map(|(key, _)| *key).collect();
    assert_eq!(names, "0123456789*#ABCD");
}

#[test]
fn a_short_digit_sounds_for_70_ms() {
    let mut sender = ToneSender::default();
    sender.play(digit('#'), ms(40), 10);
    assert_digits(&frames(&mut sender, 10), &[('#', 70)]);
}

#[test]
fn a_live_digit_sounds_until_its_release() {
    let mut sender = ToneSender::default();
    sender.start(digit('9'), 10);
    let mut pcm = frames(&mut sender, 10);
    // Its end arrives 60 ms later, since the peer's stream is that much behind.
    sender.end(ms(140));
    pcm.extend(frames(&mut sender, 10));
    assert_digits(&pcm, &[('9', 202)]);
}

#[test]
fn a_live_digit_that_began_late_keeps_its_length() {
    let mut sender = ToneSender::default();
    sender.start(digit('9'), 10);
    let mut pcm = frames(&mut sender, 1);
    sender.end(ms(200));
    pcm.extend(frames(&mut sender, 20));
    assert_digits(&pcm, &[('9', 200)]);
}

#[test]
fn a_live_digit_without_a_release_ends_after_5_s() {
    let mut sender = ToneSender::default();
    sender.start(digit('0'), 10);
    assert_digits(&frames(&mut sender, 300), &[('0', 5_000)]);
    assert!(!sender.is_active());
}

#[test]
fn a_second_key_releases_the_first_one() {
    let mut sender = ToneSender::default();
    sender.start(digit('1'), 10);
    let mut pcm = frames(&mut sender, 5);
    sender.start(digit('2'), 10);
    sender.end(ms(80));
    pcm.extend(frames(&mut sender, 20));
    assert_digits(&pcm, &[('1', 102), ('2', 80)]);
}

#[test]
fn each_tone_is_between_7_and_10_db_below_the_reference_and_neither_clicks_nor_clips() {
    for (volume, level) in [(0, -7.0), (4, -7.0), (5, -8.0), (7, -10.0), (10, -10.0), (63, -10.0)] {
        let mut sender = ToneSender::default();
        sender.play(digit('1'), ms(200), volume);
        let pcm = frames(&mut sender, 10);
        let power = trestle_audio::listen::power_at(&pcm[160..1_440], 8_000, 697.0);
        let dbm0 = 10.0 * (2.0 * power).log10() + trestle_audio::tone::FULL_SCALE_DBM0;
        assert!((dbm0 - level).abs() < 0.3, "{dbm0:.1} dBm0 at volume {volume}");
        assert!(pcm.iter().all(|sample| sample.unsigned_abs() < 32_767));
        assert!(pcm[0].abs() < 500 && pcm[1_599].abs() < 500, "it swells and fades");
    }
}

#[test]
fn muted_audio_is_silent_until_the_mute_ends() {
    let mut sender = ToneSender::default();
    sender.mute(true);
    assert!(sender.is_active());
    assert!(frames(&mut sender, 3).iter().all(|sample| *sample == 0));
    sender.mute(false);
    assert!(!sender.is_active());
    assert!(frames(&mut sender, 3).iter().all(|sample| *sample == 1_000));
}

#[test]
fn the_queue_of_digits_is_bounded() {
    let mut sender = ToneSender::default();
    let taken = (0..limits::DIGITS_MAX + 10).filter(|_| sender.play(digit('5'), ms(70), 10)).count();
    assert_eq!(taken, limits::DIGITS_MAX);
    assert_eq!(digits(&frames(&mut sender, 500)).len(), limits::DIGITS_MAX);
}

#[test]
fn the_queue_of_digits_is_bounded_by_their_duration() {
    let mut sender = ToneSender::default();
    let taken = (0..1_000).filter(|_| sender.play(digit('5'), ms(5_000), 10)).count();
    assert_eq!(taken, 1, "two would last longer than 10 s with their pauses");
    assert!(!sender.start(digit('6'), 10), "keys of the source, too");
    sender.end(ms(100));
    assert_eq!(digits(&frames(&mut sender, 600)).len(), 1);
    assert!(sender.start(digit('6'), 10), "there is room again");
}
