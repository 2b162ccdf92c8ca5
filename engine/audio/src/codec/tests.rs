use super::*;
use crate::listen::{dominant_tone, level_dbov};
use crate::sounds::{Chance, sine, snr_db, speech, voiced};

const ALL: [Codec; 3] = [Codec::Pcmu, Codec::Pcma, Codec::Opus];
const RATE_HZ: u32 = 8_000;
const FRAME: usize = 160;

/// Opus' look-ahead at 8 kHz: 6.5 ms.
const OPUS_DELAY: usize = 52;

fn payloads(codec: Codec, pcm: &[i16], frame: usize) -> Vec<Vec<u8>> {
    let settings = EncoderSettings { bitrate_bps: 24_000, ..Default::default() };
    let mut encoder = Encoder::new(codec, RATE_HZ, settings).unwrap();
    let mut out = [0; 1_500];
    pcm.chunks_exact(frame)
        .map(|pcm| {
            let len = encoder.encode(pcm, &mut out).unwrap();
            out[..len].to_vec()
        })
        .collect()
}

fn decode_all(codec: Codec, payloads: &[Vec<u8>]) -> (Decoder, Vec<i16>) {
    let mut decoder = Decoder::new(codec, RATE_HZ).unwrap();
    let (mut pcm, mut decoded) = (Pcm::new(), Vec::new());
    for payload in payloads {
        decoder.decode(payload, &mut pcm).unwrap();
        assert_eq!(decoder.duration_samples(payload), Some(pcm.len()));
        decoded.extend_from_slice(pcm.as_slice());
    }
    (decoder, decoded)
}

#[test]
fn each_codec_decodes_what_it_encoded() {
    // G.712 requires 33 dB of G.711 for a tone. Opus preserves a sound rather than its waveform, above all for a voice, whose
    // phase its high-pass filter changes: there it is enough that 52 samples is the best delay to compare at.
    let table = [(Codec::Pcmu, 0, 33.0, 33.0), (Codec::Pcma, 0, 33.0, 33.0), (Codec::Opus, OPUS_DELAY, 9.0, 1.5)];
    for (codec, delay, tone_db, speech_db) in table {
        for (sent, least_db) in [(sine(440.0, 8_000), tone_db), (speech(8_000, 8_000), speech_db)] {
            let (_, decoded) = decode_all(codec, &payloads(codec, &sent, FRAME));
            assert_eq!(decoded.len(), sent.len());
            let (decoded, sent) = (&decoded[1_600 + delay..], &sent[1_600..8_000 - delay]);
            let snr = snr_db(sent, decoded);
            assert!(snr > least_db, "{codec:?}: SNR {snr:.1} dB, wanted {least_db}");
            for (decoded, sent) in decoded.chunks_exact(FRAME).zip(sent.chunks_exact(FRAME)) {
                let (decoded, sent) = (level_dbov(decoded), level_dbov(sent));
                let same = if sent > -40.0 { (decoded - sent).abs() < 2.5 } else { decoded < -40.0 };
                assert!(same, "{codec:?}: {decoded:.1} dBov of {sent:.1}");
            }
        }
    }
}

#[test]
fn any_packet_time_of_a_codec_is_encoded_and_decoded() {
    let sent = sine(440.0, 48 * 100);
    for codec in ALL {
        for ms in [10, 20, 30, 40, 50, 60] {
            let frame = ms * 8;
            if !codec.has_frame_of(frame, RATE_HZ) {
                assert!(codec == Codec::Opus && matches!(ms, 30 | 50), "{codec:?}, {ms} ms");
                continue;
            }
            let payloads = payloads(codec, &sent, frame);
            assert!(
                payloads.iter().all(|payload| codec.duration_samples(payload, RATE_HZ) == Some(frame)),
                "{codec:?}, {ms} ms"
            );
            let (_, decoded) = decode_all(codec, &payloads);
            let tone = dominant_tone(&decoded[1_600..], 8_000).unwrap();
            assert!((tone.hz - 440.0).abs() < 3.0 && tone.share > 0.9, "{codec:?}, {ms} ms: {tone:?}");
        }
    }
}

#[test]
fn a_bad_payload_gives_no_sound_and_does_not_change_the_decoder() {
    let sent = payloads(Codec::Opus, &voiced(110.0, 20 * FRAME), FRAME);
    let table: [(Codec, &[u8]); 5] = [
        (Codec::Pcmu, &[]),
        (Codec::Pcma, &[0xD5; 961]),
        (Codec::Opus, &[]),
        (Codec::Opus, &[0x09, 1, 2, 3]),
        (Codec::Opus, &[0x0B, 0]),
    ];
    for (codec, bad) in table {
        let mut decoder = Decoder::new(codec, RATE_HZ).unwrap();
        let mut pcm = Pcm::new();
        pcm.resize(80);
        assert_eq!(decoder.duration_samples(bad), None);
        assert_eq!(decoder.decode(bad, &mut pcm), Err(CodecError::Malformed(bad.len())), "{codec:?}");
        assert!(pcm.is_empty());
        assert!(!decoder.recover(bad, FRAME, &mut pcm));
    }
    let [mut disturbed, mut calm] = [0; 2].map(|_| Decoder::new(Codec::Opus, RATE_HZ).unwrap());
    let (mut a, mut b) = (Pcm::new(), Pcm::new());
    for payload in &sent {
        disturbed.decode(&[0x0B, 0], &mut a).unwrap_err();
        disturbed.decode(payload, &mut a).unwrap();
        calm.decode(payload, &mut b).unwrap();
        assert_eq!(a.as_slice(), b.as_slice());
    }
}

/// Speech that stops in the middle of a syllable.
#[test]
fn every_codec_conceals_at_the_level_before_and_fades() {
    let sent = speech(107 * FRAME, 8_000);
    for codec in ALL {
        let (mut decoder, decoded) = decode_all(codec, &payloads(codec, &sent, FRAME));
        let mut pcm = Pcm::new();
        let levels: Vec<f64> = (0..10)
            .map(|_| {
                decoder.conceal(FRAME, &mut pcm);
                assert_eq!(pcm.len(), FRAME);
                level_dbov(pcm.as_slice())
            })
            .collect();
        let before = level_dbov(&decoded[106 * FRAME..]);
        assert!((levels[0] - before).abs() < 3.0, "{codec:?}: {before:.0} dBov, then {levels:.0?}");
        assert!(levels.is_sorted_by(|a, b| a >= b) && levels[9] < -60.0, "{codec:?}: {levels:.0?}");
    }
}

#[test]
fn a_gap_longer_than_any_packet_is_cut_to_120_ms() {
    for codec in ALL {
        let mut pcm = Pcm::new();
        Decoder::new(codec, RATE_HZ).unwrap().conceal(usize::MAX, &mut pcm);
        assert_eq!(pcm.len(), Pcm::CAPACITY);
    }
}

#[test]
fn only_an_opus_packet_with_a_copy_restores_the_one_before_it() {
    let sent = speech(100 * FRAME, 8_000);
    let mut pcm = Pcm::new();
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut decoder = Decoder::new(codec, RATE_HZ).unwrap();
        assert!(!decoder.recover(&payloads(codec, &sent, FRAME)[0], FRAME, &mut pcm));
    }
    let packets = payloads(Codec::Opus, &sent, FRAME);
    let mut decoder = Decoder::new(Codec::Opus, RATE_HZ).unwrap();
    let mut restored = 0;
    for packet in &packets {
        let has_copy = opus::packet_has_fec(packet);
        assert_eq!(decoder.recover(packet, FRAME, &mut pcm), has_copy);
        if has_copy {
            restored += 1;
            assert_eq!(pcm.len(), FRAME);
        }
        assert!(!decoder.recover(packet, Pcm::CAPACITY + 1, &mut pcm));
        decoder.decode(packet, &mut pcm).unwrap();
    }
    assert!(restored > 10, "{restored}");
}

#[test]
fn a_payload_that_does_not_fit_is_not_written() {
    for codec in ALL {
        let mut encoder = Encoder::new(codec, RATE_HZ, EncoderSettings::default()).unwrap();
        assert!(encoder.encode(&[], &mut [0; 1_500]).is_err(), "{codec:?}");
        assert!(encoder.encode(&[0; FRAME], &mut []).is_err(), "{codec:?}");
        assert!(encoder.encode(&[0; Pcm::CAPACITY + 80], &mut [0; 1_500]).is_err(), "{codec:?}");
    }
}

/// Random bytes as payloads of each codec, with losses in between: nothing panics, lengths are as announced.
#[test]
fn no_sequence_of_random_payloads_panics() {
    let mut chance = Chance(9);
    for codec in ALL {
        let mut decoder = Decoder::new(codec, RATE_HZ).unwrap();
        let mut pcm = Pcm::new();
        for _ in 0..10_000 {
            let payload: Vec<u8> = (0..chance.below(40)).map(|_| (chance.next() >> 24) as u8).collect();
            let announced = decoder.duration_samples(&payload);
            match chance.below(4) {
                0 => decoder.conceal(chance.below(1_000) as usize, &mut pcm),
                1 => _ = decoder.recover(&payload, chance.below(1_000) as usize, &mut pcm),
                _ => match decoder.decode(&payload, &mut pcm) {
                    Ok(()) => assert_eq!(Some(pcm.len()), announced, "{codec:?} {payload:02x?}"),
                    Err(_) => assert_eq!(announced, None, "{codec:?} {payload:02x?}"),
                },
            }
        }
    }
}

#[test]
fn each_row_of_the_registry_is_found_by_its_codec_its_name_and_its_payload_type() {
    for info in &CODECS {
        assert_eq!(info.codec.info(), info);
        assert_eq!(CodecInfo::by_name(info.name, info.clock, info.channels), Some(info));
        let is_static = matches!(info.pt, PtAssignment::Static(_));
        assert_eq!(CodecInfo::by_static_pt(info.pt.preferred()).is_some(), is_static);
        assert_eq!(
            CODECS.iter().filter(|other| other.pt.preferred() == info.pt.preferred()).count(),
            1,
            "{}",
            info.name
        );
        assert!(info.pcm_rates_hz.contains(&crate::dtmf::RATE_HZ), "{info:?}");
        for rate_hz in info.pcm_rates_hz {
            assert_eq!(Decoder::new(info.codec, *rate_hz).unwrap().rate_hz(), *rate_hz);
            Encoder::new(info.codec, *rate_hz, EncoderSettings::default()).unwrap();
        }
        assert_eq!(Decoder::new(info.codec, 11_025).err(), Some(CodecError::Rate(11_025)));
    }
    let codec =
        |name, hz, channels| CodecInfo::by_name(name, ClockRate::new(hz).unwrap(), channels).map(|info| info.codec);
    assert_eq!(codec("pcmu", 8_000, 1), Some(Codec::Pcmu));
    assert_eq!(codec("OPUS", 48_000, 1), Some(Codec::Opus), "without the 2 of RFC 7587");
    assert_eq!(codec("opus", 8_000, 2), None);
    assert_eq!(codec("PCMA", 8_000, 2), None);
    assert_eq!(CodecInfo::by_static_pt(Pt::COMFORT_NOISE), None);
}

#[test]
fn between_the_codecs_of_today_pcm_has_8_khz() {
    for one in ALL {
        for other in ALL {
            assert_eq!(one.bridge_rate_hz(other), 8_000, "{one} and {other}");
        }
    }
}
