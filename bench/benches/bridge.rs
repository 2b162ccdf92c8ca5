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

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use trestle_audio::g711::Law;
use trestle_audio::opus::{OpusEncoder, PACKET_BYTES_MAX};
use trestle_audio::{Codec, Decoder, Encoder, EncoderSettings, Pcm};
use trestle_bench::{Calls, Script, Side, unmetered};
use trestle_io::clock;
use trestle_peers::speech;

/// What one turn lasts in the calls' time, in frames of 20 ms.
const TURN_FRAMES: usize = 100;
const TURNS: usize = 12;

fn main() {
    let calls = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(50);
    println!("{calls} calls, us of CPU per call and 20 ms, both directions\n");
    println!("| speech | engine | decode + encode alone | ratio |\n|---|---|---|---|");
    for (name, pauses) in [("all the time", Pauses::None), ("half the time", Pauses::Half), ("never", Pauses::All)] {
        let payloads = [opus_of(pauses), pcma_of(pauses)];
        let mut bridge = Calls::new(clock::now(), [Side::META, Side::SECURE_PHONE]);
        bridge.open(calls, &mut unmetered);
        bridge.follow([Script { speaks: true, ..Script::default() }; 2]);
        (0..2).for_each(|leg| bridge.set_audio(leg, &payloads[leg]));
        // A second for everything to settle.
        bridge.pass(50);
        let mut codecs = Codecs::new(calls);
        let (mut engine_us, mut codecs_us) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            let mut turn = bridge.prepare(TURN_FRAMES);
            let before = cpu();
            let sent = bridge.run(&mut turn);
            let between = cpu();
            codecs.run(&payloads, TURN_FRAMES);
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
    fn new(calls: usize) -> Self {
        let settings = EncoderSettings { bitrate_bps: 20_000, expected_loss_percent: 0, ..EncoderSettings::default() };
        let pair = |from, to| {
            (Decoder::new(from, 8_000).expect("a decoder"), Encoder::new(to, 8_000, settings).expect("an encoder"))
        };
        let call = || [pair(Codec::Opus, Codec::Pcma), pair(Codec::Pcma, Codec::Opus)];
        Self { calls: (0..calls).map(|_| call()).collect(), frame: 0 }
    }

    fn run(&mut self, payloads: &[Vec<Vec<u8>>; 2], frames: usize) {
        let (mut pcm, mut out) = (Pcm::new(), [0; PACKET_BYTES_MAX]);
        for frame in self.frame..self.frame + frames {
            for (call, directions) in self.calls.iter_mut().enumerate() {
                for ((decoder, encoder), payload) in directions.iter_mut().zip(payloads) {
                    let payload = &payload[(frame + call * 37) % payload.len()];
                    decoder.decode(payload, &mut pcm).expect("a packet");
                    std::hint::black_box(encoder.encode(pcm.as_slice(), &mut out).expect("a frame"));
                }
            }
        }
        self.frame += frames;
    }
}

/// How much of the audio is a muted microphone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pauses {
    None,
    /// Two seconds of speech, two seconds of pause, in turns.
    Half,
    All,
}

/// 20 s of a clip with pauses.
fn voice(clip: &[i16], sample_hz: usize, pauses: Pauses) -> Vec<i16> {
    let turn = 2 * sample_hz;
    let speech = clip.iter().cycle().take(20 * sample_hz).enumerate();
    speech
        .map(|(n, sample)| match pauses {
            Pauses::None => *sample,
            Pauses::Half if (n / turn).is_multiple_of(2) => *sample,
            Pauses::Half | Pauses::All => 0,
        })
        .collect()
}

/// WhatsApp's Opus: 16 kHz, 20 kbit/s.
fn opus_of(pauses: Pauses) -> Vec<Vec<u8>> {
    let settings = EncoderSettings { expected_loss_percent: 0, complexity: 9, ..EncoderSettings::default() };
    let mut encoder = OpusEncoder::new(speech::CALLER_HZ, settings).expect("an encoder");
    let mut out = [0; PACKET_BYTES_MAX];
    let mut encode = |frame: &[i16]| {
        let len = encoder.encode(frame, &mut out).expect("20 ms is a frame");
        out[..len].to_vec()
    };
    voice(&speech::caller(), speech::CALLER_HZ as usize, pauses).chunks_exact(320).map(&mut encode).collect()
}

fn pcma_of(pauses: Pauses) -> Vec<Vec<u8>> {
    let encode = |frame: &[i16]| {
        let mut payload = vec![0; frame.len()];
        Law::A.encode(frame, &mut payload);
        payload
    };
    voice(&speech::agent(), speech::AGENT_HZ as usize, pauses).chunks_exact(160).map(encode).collect()
}
