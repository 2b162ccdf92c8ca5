//! What one 20 ms frame costs in each codec: G.711, Opus at 8 kHz, and filling a hole.
//!
//! ```text
//! cargo bench -p trestle-bench --bench codecs
//! ```

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use trestle_audio::g711::Law;
use trestle_audio::opus::{self, PACKET_BYTES_MAX};
use trestle_audio::{Concealer, EncoderSettings, Packer, Tone, g711};

/// 20 ms at 8 kHz.
const FRAME: usize = 160;

/// Frames of a voice: 10 s, so that no codec sees the same frame often.
const FRAMES: usize = 500;

criterion_group!(benches, g711, opus_encode, opus_silence, opus_decode, holes, repacking);
criterion_main!(benches);

/// A voice that glides and pauses: sums of a pitch's harmonics, loud for one quarter of a second of two.
fn voice() -> Vec<i16> {
    let mut pcm = vec![0i16; FRAMES * FRAME];
    let mut part = [0i16; FRAME];
    for (n, frame) in pcm.chunks_mut(FRAME).enumerate() {
        let loudness = if n % 25 < 13 { 1.0 } else { 0.01 };
        let pitch_hz = 100.0 + 4.0 * (n % 13) as f64;
        for harmonic in 1..=20i16 {
            let amplitude = (f64::from(4_000 / harmonic) * loudness) as i16;
            Tone::sine(pitch_hz * f64::from(harmonic), amplitude).fill(&mut part, g711::RATE_HZ);
            frame.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
        }
    }
    pcm
}

/// Of a path that loses nothing.
fn settings(complexity: u8) -> EncoderSettings {
    EncoderSettings { complexity, expected_loss_percent: 0, ..EncoderSettings::default() }
}

/// Of one that does.
fn lossy() -> EncoderSettings {
    EncoderSettings { expected_loss_percent: 10, ..EncoderSettings::default() }
}

fn opus_packets() -> Vec<Vec<u8>> {
    let mut encoder = opus::OpusEncoder::new(g711::RATE_HZ, lossy()).expect("encoder");
    let mut out = [0; PACKET_BYTES_MAX];
    let pcm = voice();
    let encode = |frame| {
        let len = encoder.encode(frame, &mut out).expect("20 ms is a frame");
        out[..len].to_vec()
    };
    pcm.chunks(FRAME).map(encode).collect()
}

fn g711(criterion: &mut Criterion) {
    let pcm = voice();
    for (name, law) in [("pcmu", Law::Mu), ("pcma", Law::A)] {
        let mut codes = vec![0; pcm.len()];
        law.encode(&pcm, &mut codes);
        let mut frames = pcm.chunks(FRAME).cycle();
        let mut out = [0; FRAME];
        criterion.bench_function(&format!("{name}/encode"), |bencher| {
            bencher.iter(|| {
                law.encode(frames.next().expect("endless"), &mut out);
                black_box(&out);
            });
        });
        let mut payloads = codes.chunks(FRAME).cycle();
        let mut received = [0; FRAME];
        criterion.bench_function(&format!("{name}/decode"), |bencher| {
            bencher.iter(|| {
                law.decode(payloads.next().expect("endless"), &mut received);
                black_box(&received);
            });
        });
    }
}

fn opus_encode(criterion: &mut Criterion) {
    let pcm = voice();
    let mut group = criterion.benchmark_group("opus/encode_8k_20kbps");
    let clean = [0, 1, 5, 10].map(|complexity| (complexity.to_string(), settings(complexity)));
    for (name, settings) in clean.into_iter().chain([("lossy".to_owned(), lossy())]) {
        let mut encoder = opus::OpusEncoder::new(g711::RATE_HZ, settings).expect("encoder");
        let mut frames = pcm.chunks(FRAME).cycle();
        let mut out = [0; PACKET_BYTES_MAX];
        group.bench_function(BenchmarkId::new("complexity", name), |bencher| {
            bencher.iter(|| black_box(encoder.encode(frames.next().expect("endless"), &mut out).expect("a frame")));
        });
    }
}

/// A muted microphone, as G.711 has it.
fn opus_silence(criterion: &mut Criterion) {
    let mut encoder = opus::OpusEncoder::new(g711::RATE_HZ, settings(opus::DEFAULT_COMPLEXITY)).expect("encoder");
    let mut out = [0; PACKET_BYTES_MAX];
    criterion.bench_function("opus/encode_silence", |bencher| {
        bencher.iter(|| black_box(encoder.encode(black_box(&[8; FRAME]), &mut out).expect("a frame")));
    });
}

fn opus_decode(criterion: &mut Criterion) {
    let packets = opus_packets();
    let mut received = [0; FRAME];

    let mut decoder = opus::OpusDecoder::new(g711::RATE_HZ).expect("decoder");
    let mut stream = packets.iter().cycle();
    criterion.bench_function("opus/decode_8k", |bencher| {
        bencher.iter(|| black_box(decoder.decode(stream.next().expect("endless"), &mut received).expect("a packet")));
    });

    let with_fec: Vec<_> = packets.iter().filter(|packet| opus::packet_has_fec(packet)).collect();
    assert!(!with_fec.is_empty(), "the encoder made no FEC");
    let mut stream = with_fec.iter().cycle();
    criterion.bench_function("opus/decode_fec_8k", |bencher| {
        bencher.iter(|| decoder.decode_fec(stream.next().expect("endless"), &mut received).expect("a packet"));
    });

    // Each time the second frame of a loud stretch: a long hole costs less and less.
    let mut stream = packets.iter().cycle();
    criterion.bench_function("opus/conceal_8k", |bencher| {
        bencher.iter_batched(
            || decoder_after(&packets[..5]),
            |mut decoder| {
                decoder.conceal(&mut received);
                decoder
            },
            BatchSize::SmallInput,
        );
    });

    criterion.bench_function("opus/packet_check", |bencher| {
        bencher.iter(|| {
            let packet = stream.next().expect("endless");
            black_box((opus::packet_duration_samples(packet, g711::RATE_HZ), opus::packet_has_fec(packet)))
        });
    });
}

fn decoder_after(packets: &[Vec<u8>]) -> opus::OpusDecoder {
    let mut decoder = opus::OpusDecoder::new(g711::RATE_HZ).expect("decoder");
    let mut received = [0; FRAME];
    for packet in packets {
        decoder.decode(packet, &mut received).expect("a packet");
    }
    decoder
}

fn holes(criterion: &mut Criterion) {
    let pcm = voice();
    let mut received = [0; FRAME];

    let mut concealer = Concealer::new();
    let mut frames = pcm.chunks_exact(FRAME).cycle();
    criterion.bench_function("plc/good", |bencher| {
        bencher.iter(|| {
            received.copy_from_slice(frames.next().expect("endless"));
            concealer.good(black_box(&mut received));
        });
    });

    // The first frame of a hole finds the pitch, the frame after it is blended.
    let mut frames = pcm.chunks_exact(FRAME).cycle();
    criterion.bench_function("plc/conceal_then_good", |bencher| {
        bencher.iter(|| {
            concealer.conceal(black_box(&mut received));
            received.copy_from_slice(frames.next().expect("endless"));
            concealer.good(black_box(&mut received));
        });
    });
}

fn repacking(criterion: &mut Criterion) {
    let pcm = voice();
    let mut packer = Packer::new();
    let mut frames = pcm.chunks_exact(240).cycle();
    criterion.bench_function("packer/30_ms_to_20_ms", |bencher| {
        bencher.iter(|| {
            packer.push(frames.next().expect("endless"));
            while let Some(frame) = packer.pop(FRAME) {
                black_box(frame);
            }
        });
    });
}
