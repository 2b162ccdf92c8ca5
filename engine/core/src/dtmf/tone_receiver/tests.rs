use trestle_audio::tone::Tone;
use trestle_audio::{Encoder, EncoderSettings};

use super::EventUpdate::{Ended, Started};
use super::*;

const SSRC: Ssrc = Ssrc(7);

/// One instant to count from.
#[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Sound in 20 ms frames: a digit, or silence.
fn sound(parts: &[(Option<char>, u64)]) -> Vec<i16> {
    let mut pcm = Vec::new();
    for (key, length_ms) in parts {
        let mut part = vec![0; *length_ms as usize * 8];
        if let Some(key) = key {
            Tone::dtmf_at(Digit::from_char(*key).unwrap().event(), -9.0).unwrap().fill(&mut part, 8_000);
        }
        pcm.extend(part);
    }
    pcm
}

fn encoded(codec: Codec, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec, RATE_HZ, EncoderSettings::default()).unwrap();
    let mut buf = [0; 1_500];
    let frame = |frame: &[i16]| {
        let len = encoder.encode(frame, &mut buf).unwrap();
        buf[..len].to_vec()
    };
    pcm.chunks_exact(160).map(frame).collect()
}

fn note(log: &mut String, updates: &[EventUpdate]) {
    for update in updates {
        match update {
            Started { digit, .. } => log.push_str(&format!("{}v ", digit.to_char())),
            Ended { digit, duration, .. } => {
                // To 20 ms: the precision of the detector has tests of its own.
                let ms = (duration.as_millis() + 10) / 20 * 20;
                log.push_str(&format!("{}={ms} ", digit.to_char()));
            }
        }
    }
}

/// Examines packets with these numbers, 20 ms apart.
fn examine(codec: Codec, packets: &[Vec<u8>], order: impl IntoIterator<Item = usize>) -> String {
    let (mut receiver, start, mut log) = (ToneReceiver::default(), start(), String::new());
    let ticks = codec.clock().hz() / 50;
    let mut last = 0;
    for n in order {
        let time = RtpTime(u32::MAX - 5_000).plus(n as u32 * ticks);
        note(&mut log, &receiver.observe(start + ms(20 * n as u64), SSRC, time, codec, &packets[n]));
        last = n;
    }
    if let Some(at) = receiver.poll_timeout() {
        assert_eq!(at, start + ms(20 * last as u64 + 200));
        log.push('~');
        note(&mut log, &receiver.handle_timeout(at));
    }
    log
}

#[test]
fn tones_are_presses_in_every_codec() {
    let pcm = sound(&[(None, 100), (Some('4'), 100), (None, 100), (Some('*'), 60), (None, 120)]);
    for codec in [Codec::Pcma, Codec::Pcmu, Codec::Opus] {
        let packets = encoded(codec, &pcm);
        assert_eq!(examine(codec, &packets, 0..packets.len()), "4v 4=100 *v *=60 ", "{codec}");
    }
}

#[test]
fn a_lost_or_overtaken_packet_neither_hides_nor_duplicates_a_digit() {
    let packets = encoded(Codec::Pcma, &sound(&[(None, 100), (Some('4'), 200), (None, 200)]));
    // Its first or last part is missing where it was lost, up to a window.
    let once = ["4v 4=160 ", "4v 4=180 ", "4v 4=200 ", "4v 4=220 "];
    for lost in 0..packets.len() {
        let log = examine(Codec::Pcma, &packets, (0..packets.len()).filter(|n| *n != lost));
        assert!(once.contains(&log.as_str()), "{lost}: {log}");
    }
    for early in 0..packets.len() - 1 {
        let mut order: Vec<usize> = (0..packets.len()).collect();
        order.swap(early, early + 1);
        let log = examine(Codec::Pcma, &packets, order);
        assert!(once.contains(&log.as_str()), "{early}: {log}");
    }
}

#[test]
fn the_end_of_a_stream_ends_its_digit_after_200_ms() {
    let packets = encoded(Codec::Pcma, &sound(&[(None, 100), (Some('4'), 200)]));
    assert_eq!(examine(Codec::Pcma, &packets, 0..packets.len()), "4v ~4=200 ");
}

#[test]
fn another_stream_ends_the_digit_of_the_one_before() {
    let packets = encoded(Codec::Pcma, &sound(&[(Some('4'), 200)]));
    let (mut receiver, now, mut log) = (ToneReceiver::default(), start(), String::new());
    for (n, packet) in packets.iter().enumerate() {
        note(&mut log, &receiver.observe(now, SSRC, RtpTime(160 * n as u32), Codec::Pcma, packet));
    }
    note(&mut log, &receiver.observe(now, Ssrc(8), RtpTime(0), Codec::Pcma, &packets[0]));
    assert_eq!(log, "4v 4=200 ");
}

#[test]
fn an_invalid_payload_has_no_sound() {
    let mut receiver = ToneReceiver::default();
    assert!(receiver.observe(start(), SSRC, RtpTime(0), Codec::Pcma, &[]).is_empty());
    assert!(receiver.observe(start(), SSRC, RtpTime(0), Codec::Opus, &[0xff; 3]).is_empty());
    assert_eq!(Codec::Opus.duration_samples(&[0xff; 3], RATE_HZ), None);
}
