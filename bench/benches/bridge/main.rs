//! What the bridge costs over its codecs: calls between WhatsApp (ICE, DTLS-SRTP, Opus) and a phone (SDES, PCMA) on one shard,
//! packets in and packets out without sockets, against nothing but decoding and encoding the same frames with the same
//! settings in the same run.
//!
//! ```text
//! cargo bench -p trestle-bench --bench bridge [-- CALLS]
//! ```
//!
//! Time is the CPU's for this thread. The two take turns, two seconds of all calls at a time, so that a busy machine is busy
//! for both; the least of the turns counts.

mod peers;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use trestle_audio::opus::PACKET_BYTES_MAX;
use trestle_audio::{Codec, Decoder, Encoder, EncoderSettings, Pcm};

use peers::{Ground, Said};

/// What one turn lasts in the calls' time, in frames of 20 ms.
const TURN_FRAMES: usize = 100;
const TURNS: usize = 12;

fn main() {
    let calls = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(50);
    println!("{calls} calls, us of CPU per call and 20 ms, both directions\n");
    println!("| speech | engine | decode + encode alone | ratio |\n|---|---|---|---|");
    for (name, announced) in
        [("all the time", Said::Speech), ("half the time", Said::HalfSilence), ("never", Said::Silence)]
    {
        let mut ground = Ground::new(calls, announced);
        let mut codecs = Codecs::new(calls, &ground);
        let (mut engine_us, mut codecs_us) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            let turn = ground.prepare(TURN_FRAMES);
            let before = cpu();
            let sent = ground.run(&turn);
            let between = cpu();
            codecs.run(&ground, TURN_FRAMES);
            let after = cpu();
            assert_eq!(sent, 2 * calls * TURN_FRAMES, "one packet in makes one packet out");
            let us = |time: Duration| time.as_secs_f64() * 1e6 / (calls * TURN_FRAMES) as f64;
            engine_us = engine_us.min(us(between - before));
            codecs_us = codecs_us.min(us(after - between));
        }
        println!("| {name} | {engine_us:.1} | {codecs_us:.1} | {:.2} |", engine_us / codecs_us);
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The least that transcoding takes, per call: a decoder and an encoder for each direction.
struct Codecs {
    calls: Vec<[(Decoder, Encoder); 2]>,
    frame: usize,
}

impl Codecs {
    fn new(calls: usize, ground: &Ground) -> Self {
        let settings = EncoderSettings { bitrate_bps: 20_000, expected_loss_percent: 0, ..EncoderSettings::default() };
        let pair = |from, to| {
            (Decoder::new(from, 8_000).expect("a decoder"), Encoder::new(to, 8_000, settings).expect("an encoder"))
        };
        let call = || [pair(Codec::Opus, Codec::Pcma), pair(Codec::Pcma, Codec::Opus)];
        Self { calls: (0..calls).map(|_| call()).collect(), frame: ground.frame() }
    }

    fn run(&mut self, ground: &Ground, frames: usize) {
        let (mut pcm, mut out) = (Pcm::new(), [0; PACKET_BYTES_MAX]);
        for frame in self.frame..self.frame + frames {
            for (call, directions) in self.calls.iter_mut().enumerate() {
                for ((decoder, encoder), payload) in directions.iter_mut().zip(ground.payloads(call, frame)) {
                    decoder.decode(payload, &mut pcm).expect("a packet");
                    std::hint::black_box(encoder.encode(pcm.as_slice(), &mut out).expect("a frame"));
                }
            }
        }
        self.frame += frames;
    }
}
