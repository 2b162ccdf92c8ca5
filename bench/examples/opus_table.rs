//! Encodes and decodes voices with Opus at 8 kHz, with several complexities, bit rates and packet losses. It prints the processor
//! time and writes the decoded audio. `bench/opus/table.py` makes the voices and rates the decoded audio.
//!
//! ```text
//! opus_table DIR      reads DIR/*.s16 (8 kHz, mono, raw), writes DIR/out/*.s16, and a line of CSV for each
//! ```

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use trestle_audio::opus::{self, EncoderSettings, PACKET_BYTES_MAX};
use trestle_audio::{g711, opus::packet_has_fec};

/// Samples of a frame: 20 ms at 8 kHz.
const FRAME: usize = 160;
/// Runs of each measurement. The shortest time is the result.
const RUNS: usize = 3;
const COMPLEXITIES: [u8; 7] = [0, 1, 2, 3, 5, 8, 10];
const BIT_RATES_BPS: [u32; 4] = [12_000, 16_000, 20_000, 24_000];
const LOSSES_PERCENT: [u8; 2] = [0, 5];

fn main() {
    let dir = std::env::args().nth(1).expect("a directory of *.s16");
    let mut files: Vec<_> =
        fs::read_dir(&dir).expect("the directory").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    fs::create_dir_all(Path::new(&dir).join("out")).expect("a directory to write to");
    println!("voice,complexity,bit_rate_bps,loss_percent,encode_us,decode_us,kbps,file");
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "s16")) {
        let voice = file.file_stem().expect("a name").to_string_lossy();
        let bytes = fs::read(file).expect("a voice");
        let pcm: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        for complexity in COMPLEXITIES {
            for bitrate_bps in BIT_RATES_BPS {
                for loss in LOSSES_PERCENT {
                    let settings = EncoderSettings {
                        bitrate_bps,
                        inband_fec: true,
                        expected_loss_percent: loss,
                        dtx: false,
                        complexity,
                    };
                    let (encode_us, packets) = encode(&pcm, settings);
                    let (decode_us, received) = decode(&packets, loss);
                    let bits: usize = packets.iter().map(|packet| packet.len() * 8).sum();
                    let kbps = bits as f64 / (packets.len() as f64 * 20.0);
                    let name = format!("out/{voice}-{complexity}-{bitrate_bps}-{loss}.s16");
                    let bytes: Vec<u8> = received.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                    fs::write(Path::new(&dir).join(&name), bytes).expect("cannot write the decoded audio");
                    println!(
                        "{voice},{complexity},{bitrate_bps},{loss},{encode_us:.2},{decode_us:.2},{kbps:.2},{name}"
                    );
                }
            }
        }
    }
}

/// Microseconds per frame, and the packets.
fn encode(pcm: &[i16], settings: EncoderSettings) -> (f64, Vec<Vec<u8>>) {
    let mut packets = Vec::new();
    let us = least(pcm.len() / FRAME, || {
        let mut encoder = opus::OpusEncoder::new(g711::RATE_HZ, settings).expect("an encoder");
        let mut out = [0; PACKET_BYTES_MAX];
        packets.clear();
        for frame in pcm.chunks_exact(FRAME) {
            let len = encoder.encode(frame, &mut out).expect("20 ms is a frame");
            packets.push(out[..len].to_vec());
        }
    });
    (us, packets)
}

/// Microseconds per frame, and the decoded audio. Lost frames are restored from FEC, or concealed.
fn decode(packets: &[Vec<u8>], loss_percent: u8) -> (f64, Vec<i16>) {
    // The same packets are lost with each setting.
    let mut dice = 5u32;
    let lost: Vec<bool> = packets
        .iter()
        .map(|_| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (dice >> 16) % 100 < u32::from(loss_percent)
        })
        .collect();
    let mut received = vec![0; packets.len() * FRAME];
    let us = least(packets.len(), || {
        let mut decoder = opus::OpusDecoder::new(g711::RATE_HZ).expect("a decoder");
        for (n, frame) in received.chunks_mut(FRAME).enumerate() {
            match packets.get(n + 1) {
                _ if !lost[n] => {
                    decoder.decode(&packets[n], frame).expect("a packet");
                }
                Some(next) if !lost[n + 1] && packet_has_fec(next) => {
                    decoder.decode_fec(next, frame).expect("a packet");
                }
                _ => decoder.conceal(frame),
            }
        }
    });
    (us, received)
}

/// Processor time per frame, microseconds: the minimum of [`RUNS`] runs.
fn least(frames: usize, mut work: impl FnMut()) -> f64 {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let mut run = || {
        let before = cpu();
        work();
        (cpu() - before).as_secs_f64() * 1e6 / frames.max(1) as f64
    };
    (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min)
}
