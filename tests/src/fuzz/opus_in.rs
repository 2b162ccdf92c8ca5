//! Opus packets from a peer with the right keys: what libopus gets conforms to RFC 6716, has the duration that its head
//! announces, and a decoder can be used after any of it.

use trestle_audio::opus::{EncoderSettings, OpusDecoder, OpusEncoder, packet_duration_samples, packet_has_fec};

use super::input::{Input, mutate};

const RATES_HZ: [u32; 3] = [8_000, 16_000, 48_000];
const OPS_MAX: usize = 64;

/// The first byte chooses the rate; then come packets until the input ends. Gives the number of packets that were decoded.
pub fn opus_in(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let rate_hz = input.one_of(&RATES_HZ);
    let longest = rate_hz as usize * 120 / 1_000;
    let mut decoder = OpusDecoder::new(rate_hz).expect("a rate of Opus");
    let real = real_packets();
    let mut pcm = vec![0; longest];
    let (mut decoded, mut ops) = (0, 0);
    while !input.is_empty() && ops < OPS_MAX {
        ops += 1;
        let packet = match input.below(4) {
            0 => input.bytes().to_vec(),
            1 => [&[input.byte()], input.bytes()].concat(),
            choice => {
                let mut packet = real[input.below(real.len())].clone();
                if choice == 2 {
                    mutate(&mut input, &mut packet);
                }
                packet
            }
        };
        let samples = packet_duration_samples(&packet, rate_hz);
        match input.below(8) {
            0 => {
                let lost = &mut pcm[..longest / 6];
                let outcome = decoder.decode_fec(&packet, lost);
                assert!(samples.is_some() || outcome.is_err(), "libopus gets a malformed packet");
            }
            1 => decoder.conceal(&mut pcm[..longest / 6]),
            2 => {
                // A packet longer than the room for it is refused before libopus gets it.
                let room = longest / 12;
                let outcome = decoder.decode(&packet, &mut pcm[..room]);
                assert!(samples.is_some_and(|samples| samples <= room) || outcome.is_err(), "{samples:?} in {room}");
            }
            _ => match (samples, decoder.decode(&packet, &mut pcm)) {
                (Some(samples), Ok(got)) => {
                    assert_eq!(got, samples, "another duration than the head announces: {packet:02x?}");
                    let units = samples * 400 / rate_hz as usize;
                    assert!((1..=48).contains(&units), "{units} x 2.5 ms");
                    decoded += 1;
                }
                (Some(_), Err(_)) => {}
                (None, outcome) => assert!(outcome.is_err(), "a malformed packet is decoded: {packet:02x?}"),
            },
        }
        let _ = packet_has_fec(&packet);
    }
    // Whatever came, the next real packets are decoded.
    for packet in &real {
        let samples = packet_duration_samples(packet, rate_hz).expect("our own packet");
        assert_eq!(decoder.decode(packet, &mut pcm).ok(), Some(samples), "the decoder is of no more use");
    }
    decoded
}

/// Five packets of a tone, with copies of the audio before.
fn real_packets() -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(8_000, EncoderSettings::default()).expect("a rate of Opus");
    let tone: Vec<i16> = (0..160).map(|n| if n / 10 % 2 == 0 { 6_000 } else { -6_000 }).collect();
    (0..5)
        .map(|_| {
            let mut packet = vec![0; 1_275];
            let len = encoder.encode(&tone, &mut packet).expect("20 ms");
            packet.truncate(len);
            packet
        })
        .collect()
}
