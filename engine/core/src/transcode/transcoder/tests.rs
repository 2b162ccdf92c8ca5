use trestle_audio::Tone;
use trestle_audio::listen::{level_dbov, power_at, to_dbov};
use trestle_audio::{Decoder, Encoder, EncoderSettings, Pcm, opus};
use trestle_wire::{Pt, Ptime};

use super::*;
use crate::plan::OpusSettings;
use crate::transcode::FRAME_BYTES_MAX;

const RATE_HZ: u32 = 8_000;

/// One instant to count from.
#[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn format(codec: Codec, ptime_ms: u32) -> SendFormat {
    SendFormat {
        pt: Pt::new(96).unwrap(),
        codec,
        ptime: Ptime::new(ptime_ms).unwrap(),
        strict_ptime: false,
        opus: OpusSettings::default(),
        event: None,
    }
}

/// A source that sends a tone of 400 Hz, a packet of `ptime_ms` at a time.
struct Talker {
    codec: Codec,
    encoder: Encoder,
    tone: Tone,
    ptime_ms: u64,
    seq: u64,
    time: u32,
    at: Instant,
}

impl Talker {
    fn new(codec: Codec, ptime_ms: u64, at: Instant) -> Self {
        let encoder = Encoder::new(codec, RATE_HZ, EncoderSettings::default()).unwrap();
        Self { codec, encoder, tone: Tone::sine(400.0, 9_000), ptime_ms, seq: 65_530, time: u32::MAX - 3_000, at }
    }

    /// The next packet.
    fn packet(&mut self) -> Packet {
        let mut pcm = vec![0; self.ptime_ms as usize * 8];
        self.tone.fill(&mut pcm, RATE_HZ);
        let mut payload = vec![0; FRAME_BYTES_MAX];
        let len = self.encoder.encode(&pcm, &mut payload).unwrap();
        payload.truncate(len);
        let packet =
            Packet { at: self.at, seq: ExtSeq(self.seq), time: RtpTime(self.time), codec: self.codec, payload };
        self.seq += 1;
        self.time = self.time.wrapping_add(self.ptime_ms as u32 * self.codec.clock().hz() / 1_000);
        self.at += ms(self.ptime_ms);
        packet
    }
}

struct Packet {
    at: Instant,
    seq: ExtSeq,
    time: RtpTime,
    codec: Codec,
    payload: Vec<u8>,
}

/// The listener's end: its frames and their sound.
struct Listener {
    transcoder: Transcoder,
    decoder: Decoder,
    /// When each frame was made, its ticks and its PCM.
    frames: Vec<(Instant, u32, Vec<i16>)>,
}

impl Listener {
    fn new(codec: Codec, ptime_ms: u32) -> Self {
        let decoder = Decoder::new(codec, RATE_HZ).unwrap();
        Self { transcoder: Transcoder::new(&format(codec, ptime_ms)), decoder, frames: Vec::new() }
    }

    fn receive(&mut self, packet: &Packet) -> usize {
        self.wait_until(packet.at);
        let Packet { at, seq, time, codec, payload } = packet;
        let _ = self.transcoder.push(*at, 1, *seq, *time, *codec, payload);
        self.drain(*at)
    }

    fn receive_all(&mut self, talker: &mut Talker, packets: usize) {
        for _ in 0..packets {
            self.receive(&talker.packet());
        }
    }

    fn wait_until(&mut self, until: Instant) {
        while let Some(at) = self.transcoder.poll_timeout().filter(|at| *at < until) {
            self.transcoder.handle_timeout(at);
            self.drain(at);
        }
    }

    fn drain(&mut self, now: Instant) -> usize {
        let (mut out, mut count) = ([0; FRAME_BYTES_MAX], 0);
        while let Some(frame) = self.transcoder.poll_frame(&mut out, None) {
            let mut pcm = Pcm::new();
            self.decoder.decode(&out[..frame.len], &mut pcm).unwrap();
            self.frames.push((now, frame.duration_ticks, pcm.as_slice().to_vec()));
            count += 1;
        }
        count
    }

    fn sound(&self) -> Vec<i16> {
        self.frames.iter().flat_map(|(_, _, pcm)| pcm.clone()).collect()
    }
}

fn tone_dbov(pcm: &[i16]) -> f64 {
    to_dbov(power_at(pcm, 8_000, 400.0))
}

#[test]
fn on_a_clean_path_a_frame_is_made_in_the_call_that_takes_the_packet_and_sounds_the_same() {
    use Codec::{Opus, Pcma, Pcmu};
    for (from, to, ticks) in
        [(Pcma, Opus, 960), (Pcmu, Opus, 960), (Opus, Pcma, 160), (Opus, Pcmu, 160), (Pcma, Pcmu, 160)]
    {
        let mut talker = Talker::new(from, 20, start());
        let mut listener = Listener::new(to, 20);
        for n in 0..100 {
            assert_eq!(listener.receive(&talker.packet()), 1, "{from:?} to {to:?}, packet {n}");
        }
        assert!(listener.frames.iter().all(|frame| frame.1 == ticks));
        let sound = listener.sound();
        let (whole, tone) = (level_dbov(&sound[4_000..]), tone_dbov(&sound[4_000..]));
        assert!(tone > -20.0 && whole - tone < 1.0, "{from:?} to {to:?}: {tone} of {whole} dBov");
        assert_eq!((listener.transcoder.counts().concealed, listener.transcoder.counts().transcoded), (0, 100));
    }
}

#[test]
fn packets_of_any_packet_time_become_frames_of_the_requested_one() {
    for codec in [Codec::Pcma, Codec::Opus] {
        for in_ms in [10, 20, 30, 40, 50, 60] {
            if !codec.has_frame_of(in_ms as usize * 8, RATE_HZ) {
                continue;
            }
            let to = [10, 20, 60].into_iter().flat_map(|ms| [(ms, Filler::Nothing), (ms, Filler::ComfortNoise)]);
            for (out_ms, filler) in to {
                let mut talker = Talker::new(codec, in_ms, start());
                let mut listener = Listener::new(Codec::Pcmu, out_ms);
                listener.transcoder.set_filler(filler);
                listener.receive_all(&mut talker, 60);
                let name = format!("{codec:?} of {in_ms} ms to {out_ms} ms with filler {filler:?}");
                assert!(listener.frames.iter().all(|(_, _, pcm)| pcm.len() == out_ms as usize * 8), "{name}");
                assert_eq!(listener.frames.len() as u64, 60 * in_ms / u64::from(out_ms), "{name}");
                let TranscoderCounts { concealed, filled, .. } = listener.transcoder.counts();
                assert_eq!((concealed, filled), (0, 0), "{name}");
            }
        }
    }
}

#[test]
fn for_a_packet_time_without_opus_frame_20_ms_is_used() {
    let mut talker = Talker::new(Codec::Pcma, 30, start());
    let mut listener = Listener::new(Codec::Opus, 30);
    listener.receive_all(&mut talker, 20);
    assert_eq!(listener.frames.len(), 30);
    assert!(listener.frames.iter().all(|frame| frame.1 == 960));
}

#[test]
fn a_lost_opus_frame_is_restored_from_the_copy_in_the_next_one_if_it_has_one() {
    let mut talker = Talker::new(Codec::Opus, 20, start());
    let mut listener = Listener::new(Codec::Pcma, 20);
    let (mut lost, mut copies) = (0, 0);
    for n in 0..400 {
        // Syllables: Opus copies only what sounds like speech.
        talker.tone =
            if n % 8 == 0 { Tone::sine(200.0 + f64::from(n), 9_000 * (n / 8 % 2) as i16) } else { talker.tone };
        let packet = talker.packet();
        if n % 10 == 3 {
            lost += 1;
            continue;
        }
        if n % 10 == 4 && opus::packet_has_fec(&packet.payload) {
            copies += 1;
        }
        listener.receive(&packet);
    }
    let transcoder = &listener.transcoder;
    assert!(copies >= 10, "{copies} copies are too few for a test");
    assert_eq!((transcoder.counts().recovered, transcoder.counts().concealed), (copies, lost - copies));
    assert_eq!(listener.frames.len(), 400);
}

#[test]
fn a_source_that_stops_fades_within_60_ms_and_silence_continues() {
    for codec in [Codec::Pcma, Codec::Opus] {
        let mut talker = Talker::new(codec, 20, start());
        let mut listener = Listener::new(Codec::Pcma, 20);
        listener.receive_all(&mut talker, 50);
        listener.wait_until(talker.at + ms(10_000));
        let count = listener.frames.len();
        assert!((548..=550).contains(&count), "{codec:?}: {count} frames in 11 s");
        let levels: Vec<f64> = listener.frames[49..].iter().map(|frame| level_dbov(&frame.2)).collect();
        assert!(levels[1] > levels[0] - 10.0, "{codec:?}: no hard edge, {:?}", &levels[..5]);
        assert!(levels[4..].iter().all(|level| *level < -70.0), "{codec:?}: silent after 60 ms, {:?}", &levels[..6]);
        assert_eq!(listener.transcoder.counts().concealed, 10, "{codec:?}: what comes after is silence, not loss");
        // And its audio is back at once.
        talker.at += ms(10_000);
        talker.time = talker.time.wrapping_add(10 * codec.clock().hz());
        listener.receive_all(&mut talker, 50);
        let sound = listener.sound();
        assert!(tone_dbov(&sound[sound.len() - 4_000..]) > -20.0, "{codec:?}");
    }
}

#[test]
fn frames_of_silence_are_made_from_the_start_on() {
    let (mut listener, start) = (Listener::new(Codec::Opus, 20), start());
    listener.transcoder.start(start);
    listener.drain(start);
    assert_eq!(listener.frames.len(), 1);
    listener.wait_until(start + ms(1_000));
    assert_eq!(listener.frames.len(), 50);
    assert!(level_dbov(&listener.sound()) < -70.0);
    assert_eq!(listener.transcoder.counts().concealed, 0);
    listener.transcoder.stop();
    assert_eq!(listener.transcoder.poll_timeout(), None);
}

#[test]
fn the_source_may_change_its_codec_in_mid_stream() {
    let mut listener = Listener::new(Codec::Pcma, 20);
    let mut talker = Talker::new(Codec::Pcmu, 20, start());
    for codec in [Codec::Pcmu, Codec::Opus, Codec::Pcma, Codec::Pcmu] {
        talker = Talker { at: talker.at, seq: talker.seq, time: talker.time, ..Talker::new(codec, 20, talker.at) };
        (0..50).for_each(|_| assert_eq!(listener.receive(&talker.packet()), 1, "{codec:?}"));
        let sound = listener.sound();
        assert!(tone_dbov(&sound[sound.len() - 4_000..]) > -20.0, "{codec:?}");
    }
    assert_eq!(listener.transcoder.counts().concealed, 0);
}

#[test]
fn an_invalid_payload_is_undecodable_and_its_time_is_concealed() {
    let mut talker = Talker::new(Codec::Opus, 20, start());
    let mut listener = Listener::new(Codec::Pcma, 20);
    listener.receive_all(&mut talker, 20);
    let Packet { at, seq, time, codec, .. } = talker.packet();
    for payload in [&[][..], &[0xff][..], &[0x7b, 63, 1, 2][..]] {
        let pushed = listener.transcoder.push(at, 1, seq, time, codec, payload);
        assert_eq!(pushed, Err(Discard::Undecodable), "{payload:?}");
    }
    listener.receive_all(&mut talker, 20);
    assert_eq!(listener.frames.len(), 41);
}

#[test]
fn random_payloads_are_silence_or_noise_and_the_pace_stays() {
    let mut state = 0x9e37_79b9_u64;
    println!("seed {state:#x}");
    let start = start();
    let mut listener = Listener::new(Codec::Pcma, 20);
    for n in 0..2_000u64 {
        let payload: Vec<u8> = (0..state % 90)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        state = state.rotate_left(7) ^ n;
        let (at, seq, time) = (start + ms(20 * n), ExtSeq(70_000 + n), RtpTime(n as u32 * 960));
        listener.receive(&Packet { at, seq, time, codec: Codec::Opus, payload });
    }
    // A payload that states 60 ms in packets 20 ms apart counts as 60 ms.
    assert!((1_900..8_000).contains(&listener.frames.len()), "{} frames", listener.frames.len());
}

#[test]
fn the_packet_time_of_a_payload_is_known_if_sdp_can_state_it() {
    let opus = |toc: u8| vec![toc, 0xff, 0xfe];
    let table = [
        (Codec::Pcma, vec![0; 160], Some(20)),
        (Codec::Pcmu, vec![0; 240], Some(30)),
        (Codec::Pcmu, vec![0; 161], None),
        (Codec::Pcmu, vec![0; 960], None),
        (Codec::Pcmu, vec![], None),
        // SILK narrow band: 10, 20, 40, 60 ms; CELT 2.5 ms.
        (Codec::Opus, opus(0x00), Some(10)),
        (Codec::Opus, opus(0x08), Some(20)),
        (Codec::Opus, opus(0x10), Some(40)),
        (Codec::Opus, opus(0x18), Some(60)),
        (Codec::Opus, opus(0x80), None),
        (Codec::Opus, vec![], None),
    ];
    for (codec, payload, expected) in table {
        assert_eq!(codec.packet_ptime(&payload), expected.and_then(Ptime::new), "{codec:?} {payload:?}");
    }
}
