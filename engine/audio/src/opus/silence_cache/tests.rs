use super::super::{EncoderSettings, OpusDecoder, OpusEncoder};
use super::*;
use crate::g711::Law;
use crate::listen::level_dbov;
use crate::sounds::{Chance, snr_db, speech};

const FRAME: usize = 160;
/// Speech, a pause and speech again, in frames.
const SPEECH: usize = 56;
const PAUSE: usize = 100;
/// The delay of encoder and decoder: 6.5 ms.
const DELAY: usize = 52;

/// A pause as it occurs in calls, in samples of A-law: a muted microphone, idle codes, and faint noise.
fn pauses() -> [(&'static str, Vec<i16>); 4] {
    let mut chance = Chance(3);
    let mut noise = |peak: u32| -> Vec<i16> {
        let pcm: Vec<i16> =
            (0..PAUSE * FRAME).map(|_| (chance.below(2 * peak + 1) as i32 - peak as i32) as i16).collect();
        let (mut codes, mut decoded) = (vec![0; pcm.len()], vec![0; pcm.len()]);
        Law::A.encode(&pcm, &mut codes);
        Law::A.decode(&codes, &mut decoded);
        decoded
    };
    [
        ("nought", vec![0; PAUSE * FRAME]),
        ("idle codes", vec![8; PAUSE * FRAME]),
        ("hiss", noise(7)),
        ("noise", noise(24)),
    ]
}

fn speech_with(pause: &[i16]) -> Vec<i16> {
    // Both in the loudest part of a syllable, after 1.12 s and from 1.6 s on.
    let speech = speech(200 * FRAME, 8_000);
    [&speech[..SPEECH * FRAME], pause, &speech[80 * FRAME..][..SPEECH * FRAME]].concat()
}

/// Packets of our encoder, and of one that encodes everything.
fn both(pcm: &[i16]) -> [Vec<Vec<u8>>; 2] {
    let settings = EncoderSettings { expected_loss_percent: 0, ..EncoderSettings::default() };
    [true, false].map(|sparing| {
        let mut encoder = OpusEncoder::new(8_000, settings).unwrap();
        let mut out = [0; PACKET_BYTES_MAX];
        let mut encode = |frame: &[i16]| {
            let len = match sparing {
                true => encoder.encode(frame, &mut out).unwrap(),
                false => encoder.state.encode(frame, &mut out).unwrap(),
            };
            out[..len].to_vec()
        };
        pcm.chunks_exact(FRAME).map(&mut encode).collect()
    })
}

fn decode(packets: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = OpusDecoder::new(8_000).unwrap();
    let mut pcm = [0; FRAME];
    let mut decode = |packet: &Vec<u8>| {
        decoder.decode(packet, &mut pcm).unwrap();
        pcm
    };
    packets.iter().flat_map(&mut decode).collect()
}

/// The largest step from one sample to the next: a click has a large one.
fn step(pcm: &[i16]) -> u16 {
    pcm.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap_or(0)
}

#[test]
fn start_and_end_of_stored_packets_are_not_audible() {
    for (name, pause) in pauses() {
        let pcm = speech_with(&pause);
        let [sparing, plain] = both(&pcm).map(|packets| decode(&packets));
        let quiet = (SPEECH + 6) * FRAME..(SPEECH + PAUSE) * FRAME;
        let (ours, theirs) = (&sparing[quiet.clone()], &plain[quiet]);
        let context = format!("{name}: steps of {} and {}", step(ours), step(theirs));
        assert!(step(ours) <= step(theirs).max(8) * 5 / 4, "{context}");
        let (ours, theirs) = (level_dbov(ours), level_dbov(theirs));
        assert!((ours - theirs).abs() < 1.0 || ours.max(theirs) < -80.0, "{name}: {ours:.1} and {theirs:.1} dBov");
        // The next word, from its first sample on, and what follows.
        for frames in [1, 5, 40] {
            let again = (SPEECH + PAUSE) * FRAME;
            let wanted = &pcm[again..again + frames * FRAME];
            let [ours, theirs] = [&sparing, &plain].map(|pcm| snr_db(wanted, &pcm[again + DELAY..][..frames * FRAME]));
            assert!(ours > theirs - 1.0, "{name}, {frames} frames: {ours:.1} dB and {theirs:.1} dB");
        }
        // The transition itself: the last of the pause and the first of the word.
        let seam = (SPEECH + PAUSE) * FRAME - FRAME..(SPEECH + PAUSE) * FRAME + 2 * FRAME;
        let (ours, theirs) = (step(&sparing[seam.clone()]), step(&plain[seam]));
        assert!(ours <= theirs * 5 / 4, "{name}: {ours} where {theirs} would do");
    }
}

#[test]
fn a_long_silence_is_hardly_ever_encoded_and_does_not_loop() {
    for (name, pause) in pauses() {
        let mut encoder = OpusEncoder::new(8_000, EncoderSettings::default()).unwrap();
        let (mut out, mut encoded, mut packets) = ([0; PACKET_BYTES_MAX], 0, Vec::new());
        for n in 0..2_000 {
            let count = encoder.silence.count;
            let len = encoder.encode(&pause[n % PAUSE * FRAME..][..FRAME], &mut out).unwrap();
            encoded += u32::from(count < KEPT);
            packets.push(out[..len].to_vec());
        }
        assert!(encoded <= 4 * (SETTLED + KEPT as u32 + 1), "{name}: {encoded} frames of 2000 were encoded");
        let again = |after: usize| packets[100..400].windows(after + 1).filter(|part| part[0] == part[after]).count();
        let loops = (1..20).filter(|after| again(*after) == 300 - after).count();
        assert!(loops == 0 || name == "nought" || name == "idle codes", "{name}");
    }
}

#[test]
fn a_single_louder_sample_is_a_sound() {
    let mut encoder = OpusEncoder::new(8_000, EncoderSettings::default()).unwrap();
    let mut out = [0; PACKET_BYTES_MAX];
    for _ in 0..50 {
        encoder.encode(&[8; FRAME], &mut out).unwrap();
    }
    assert_eq!(encoder.silence.count, KEPT);
    let mut frame = [8; FRAME];
    frame[100] = i16::MIN;
    encoder.encode(&frame, &mut out).unwrap();
    assert_eq!(encoder.silence.count, 0);
    // Another packet time has its own packets.
    for samples in [FRAME; 20].into_iter().chain([2 * FRAME, FRAME]) {
        let len = encoder.encode(&[8; 2 * FRAME][..samples], &mut out).unwrap();
        assert_eq!(super::super::packet_duration_samples(&out[..len], 8_000), Some(samples));
    }
}

#[test]
fn no_packet_with_a_copy_of_speech_is_stored() {
    let settings = EncoderSettings { expected_loss_percent: 20, ..EncoderSettings::default() };
    let mut encoder = OpusEncoder::new(8_000, settings).unwrap();
    let mut out = [0; PACKET_BYTES_MAX];
    let mut copies = 0;
    for (n, frame) in speech_with(&[8; PAUSE * FRAME]).chunks_exact(FRAME).enumerate() {
        let len = encoder.encode(frame, &mut out).unwrap();
        let copy = super::super::packet_has_fec(&out[..len]);
        copies += usize::from(copy && n < SPEECH);
        assert!(!copy || !(SPEECH + 6..SPEECH + PAUSE).contains(&n), "frame {n}");
    }
    assert!(copies > 10, "{copies}: not much of a test");
}
