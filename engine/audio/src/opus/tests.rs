use super::*;
use crate::listen::{dominant_tone, level_dbov};
use crate::sounds::{Chance, sine, snr_db, speech};

const FRAME: usize = 160;

fn encode_all(pcm: &[i16], frame: usize, settings: EncoderSettings) -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(8_000, settings).unwrap();
    let mut out = [0; PACKET_BYTES_MAX];
    pcm.chunks_exact(frame)
        .map(|pcm| {
            let len = encoder.encode(pcm, &mut out).unwrap();
            out[..len].to_vec()
        })
        .collect()
}

/// Our reader of a packet against libopus', for packets of any shape: short random ones, where every rule of section 3.4
/// is broken, and long ones of zeroes, where only the header matters.
#[test]
fn our_reader_refuses_what_libopus_refuses_and_reads_the_same_duration() {
    let mut chance = Chance(11);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..200_000 {
        let len = match round % 8 {
            0 => [1_274, 1_275, 1_276, 1_277, 2_551, 2_552, 2_553, 4_000][chance.below(8) as usize],
            _ => chance.below(11) as usize,
        };
        let mut packet = vec![0; len];
        let random = if round % 16 == 8 { 2 } else { 10 };
        packet.iter_mut().take(random).for_each(|byte| *byte = (chance.next() >> 24) as u8);
        // Long padding is rare in random packets.
        if round % 3 == 0 {
            packet.iter_mut().take(6).skip(2).for_each(|byte| *byte |= 0xF0);
        }
        let theirs = libopus::packet::parse(&packet).ok().map(|parsed| {
            let frame = libopus::packet::get_samples_per_frame(&packet, 48_000).unwrap();
            frame * parsed.frames.len()
        });
        assert_eq!(packet_duration_samples(&packet, 48_000), theirs, "{packet:02x?}");
        match theirs {
            Some(_) => taken += 1,
            None => refused += 1,
        }
    }
    assert!(taken > 20_000 && refused > 20_000, "{taken} taken, {refused} refused: not much of a test");
}

#[test]
fn each_rule_of_section_3_4_refuses() {
    let table: [(&str, &[u8]); 12] = [
        ("R1: no TOC", &[]),
        ("R2: one byte too many", &[0x08; 1_277]),
        ("R3: two equal frames of 3 bytes together", &[0x09, 1, 2, 3]),
        ("R4: no length", &[0x0A]),
        ("R4: half a length", &[0x0A, 252]),
        ("R4: the first frame ends behind the packet", &[0x0A, 4, 1, 2, 3]),
        ("R5: no count", &[0x0B]),
        ("R5: no frame", &[0x0B, 0]),
        ("R5: 140 ms", &[0x0B, 7, 1, 2, 3, 4, 5, 6, 7]),
        ("R6: 2 frames in 3 bytes", &[0x0B, 2, 1, 2, 3]),
        ("R6: more padding than packet", &[0x0B, 0x41, 4, 1, 2]),
        ("R7: lengths beyond the packet", &[0x0B, 0x83, 2, 3, 1, 2, 3, 4]),
    ];
    for (rule, packet) in table {
        assert_eq!(packet_duration_samples(packet, 8_000), None, "{rule}");
        assert!(!packet_has_fec(packet), "{rule}");
        assert_eq!(OpusDecoder::new(8_000).unwrap().decode(packet, &mut [0; 960]), Err(OpusError::Malformed), "{rule}");
    }
}

#[test]
fn durations_of_well_formed_packets() {
    // (packet, samples at 8 kHz); 0x08 is SILK narrow-band of 20 ms.
    let table: [(&[u8], usize); 12] = [
        (&[0x08], 160),
        (&[0x00, 1], 80),
        (&[0x18, 1], 480),
        (&[0x60, 1], 80),
        (&[0x68, 1], 160),
        (&[0x80, 1], 20),
        (&[0xF8, 1], 160),
        (&[0x09, 1, 2], 320),
        (&[0x0A, 1, 2, 3], 320),
        (&[0x0B, 0x06, 1, 2, 3, 4, 5, 6], 960),
        (&[0x03, 0x83, 1, 2, 9, 9, 9, 8], 240),
        (&[0x0B, 0x42, 2, 1, 2, 0, 0], 320),
    ];
    for (packet, samples) in table {
        assert_eq!(packet_duration_samples(packet, 8_000), Some(samples), "{packet:02x?}");
        assert_eq!(packet_duration_samples(packet, 48_000), Some(samples * 6), "{packet:02x?}");
    }
    // 255 bytes of padding: 255 means 254 of them, and 1.
    let padded = [&[0x0B, 0x42, 255, 1][..], &[7; 4], &[0; 255]].concat();
    assert_eq!(packet_duration_samples(&padded, 8_000), Some(320));
}

/// Sections 4.2.3 and 4.2.4: one VAD flag per 20 ms of the frame, then the LBRR flag; in stereo, twice.
#[test]
fn the_flag_of_a_copy_follows_the_vad_flags() {
    // (TOC, first byte of the frame, has a copy)
    let table = [
        ("SILK, 10 ms", 0x00, 0b0100_0000, true),
        ("SILK, 20 ms", 0x08, 0b0100_0000, true),
        ("SILK, 20 ms: all but", 0x08, 0b1011_1111, false),
        ("SILK, 40 ms", 0x10, 0b0010_0000, true),
        ("SILK, 60 ms", 0x18, 0b0001_0000, true),
        ("SILK, 60 ms: all but", 0x18, 0b1110_1111, false),
        ("hybrid, 20 ms", 0x68, 0b0100_0000, true),
        ("stereo, 20 ms: middle", 0x0C, 0b0100_0000, true),
        ("stereo, 20 ms: side", 0x0C, 0b0001_0000, true),
        ("stereo, 20 ms: all but", 0x0C, 0b1010_1111, false),
        ("stereo, 60 ms: side", 0x1C, 0b0000_0001, true),
        ("stereo, 60 ms: all but", 0x1C, 0b1110_1110, false),
        ("CELT, 20 ms", 0x98, 0b1111_1111, false),
    ];
    for (name, toc, first, has_copy) in table {
        assert_eq!(packet_has_fec(&[toc, first, 0, 0]), has_copy, "{name}");
        // The same as the first of two equal frames, and of two of unequal length.
        assert_eq!(packet_has_fec(&[toc | 1, first, 0, !first, 0]), has_copy, "{name}, code 1");
        assert_eq!(packet_has_fec(&[toc | 2, 1, first, !first, 0]), has_copy, "{name}, code 2");
    }
    assert!(!packet_has_fec(&[0x08]), "DTX");
}

/// Every length of 0 to 10 bytes, of random content: nothing panics, the audio has the duration of the packet, a refused packet
/// changes nothing, and the decoder still decodes.
#[test]
fn random_packets_do_not_harm_the_decoder() {
    let good = encode_all(&sine(440.0, 30 * FRAME), FRAME, EncoderSettings::default());
    let mut chance = Chance(5);
    let mut decoder = OpusDecoder::new(8_000).unwrap();
    for round in 0..30_000 {
        let packet: Vec<u8> = (0..round % 11).map(|_| (chance.next() >> 24) as u8).collect();
        let mut pcm = [0; 960];
        match packet_duration_samples(&packet, 8_000) {
            Some(samples) => assert_eq!(decoder.decode(&packet, &mut pcm), Ok(samples), "{packet:02x?}"),
            None => {
                assert_eq!(decoder.decode(&packet, &mut pcm), Err(OpusError::Malformed), "{packet:02x?}");
                assert_eq!(decoder.decode_fec(&packet, &mut pcm[..FRAME]), Err(OpusError::Malformed));
                assert_eq!(pcm, [0; 960]);
            }
        }
        if round % 7 == 0 && packet_has_fec(&packet) {
            decoder.decode_fec(&packet, &mut pcm[..FRAME]).unwrap();
        }
    }
    let decoded: Vec<i16> = good
        .iter()
        .flat_map(|packet| {
            let mut pcm = [0; FRAME];
            decoder.decode(packet, &mut pcm).unwrap();
            pcm
        })
        .collect();
    let tone = dominant_tone(&decoded[10 * FRAME..], 8_000).unwrap();
    assert!((tone.hz - 440.0).abs() < 3.0 && tone.share > 0.9, "{tone:?}");
}

#[test]
fn a_tone_keeps_its_pitch_and_level_from_and_to_every_rate() {
    for encode_hz in [8_000, 16_000, 48_000] {
        for decode_hz in [8_000, 16_000, 48_000] {
            let mut encoder = OpusEncoder::new(encode_hz, EncoderSettings::default()).unwrap();
            let mut decoder = OpusDecoder::new(decode_hz).unwrap();
            let mut tone = crate::Tone::sine(440.0, 8_000);
            let (mut pcm, mut out) = (vec![0; encode_hz as usize / 50], [0; PACKET_BYTES_MAX]);
            let mut decoded = Vec::new();
            for _ in 0..50 {
                tone.fill(&mut pcm, encode_hz);
                let len = encoder.encode(&pcm, &mut out).unwrap();
                let mut frame = vec![0; decode_hz as usize / 50];
                assert_eq!(decoder.decode(&out[..len], &mut frame), Ok(frame.len()));
                decoded.extend(frame);
            }
            let tone = dominant_tone(&decoded[decode_hz as usize / 2..], decode_hz).unwrap();
            let context = format!("{encode_hz} to {decode_hz}: {tone:?}");
            assert!((tone.hz - 440.0).abs() < 3.0 && (tone.dbov + 15.3).abs() < 2.0 && tone.share > 0.9, "{context}");
        }
    }
}

#[test]
fn stereo_is_mixed_down_to_mono() {
    let mut stereo = libopus::Encoder::new(48_000, libopus::Channels::Stereo, libopus::Application::Audio).unwrap();
    stereo.set_force_channels(Some(libopus::Channels::Stereo)).unwrap();
    stereo.set_bitrate(libopus::Bitrate::Bits(64_000)).unwrap();
    let (mut left, mut right) = (crate::Tone::sine(440.0, 8_000), crate::Tone::sine(1_000.0, 8_000));
    let mut decoder = OpusDecoder::new(8_000).unwrap();
    let mut decoded = Vec::new();
    for _ in 0..50 {
        let (mut l, mut r) = ([0; 960], [0; 960]);
        left.fill(&mut l, 48_000);
        right.fill(&mut r, 48_000);
        let both: Vec<i16> = l.into_iter().zip(r).flat_map(|(l, r)| [l, r]).collect();
        let packet = stereo.encode_vec(&both, 1_000).unwrap();
        assert_ne!(packet[0] & 0x04, 0, "not a stereo packet");
        let mut pcm = [0; FRAME];
        assert_eq!(decoder.decode(&packet, &mut pcm), Ok(FRAME));
        decoded.extend(pcm);
    }
    // Half of each: 6 dB less than -15.3 dBov.
    for hz in [440.0, 1_000.0] {
        let dbov = crate::listen::to_dbov(crate::listen::power_at(&decoded[4_000..], 8_000, hz));
        assert!((dbov + 21.3).abs() < 1.5, "{hz} Hz at {dbov:.1} dBov");
    }
}

/// The frames that a lossy path lost, restored from the next packet where that arrived.
#[test]
fn fec_beats_concealment_on_a_lossy_trace() {
    let pcm = speech(500 * FRAME, 8_000);
    let packets = encode_all(&pcm, FRAME, EncoderSettings { expected_loss_percent: 20, ..Default::default() });
    let mut chance = Chance(42);
    let lost: Vec<bool> = packets.iter().map(|_| chance.below(5) == 0).collect();

    let listen = |use_fec: bool| {
        let mut decoder = OpusDecoder::new(8_000).unwrap();
        let mut decoded = vec![0; pcm.len()];
        for (n, frame) in decoded.chunks_mut(FRAME).enumerate() {
            match packets.get(n + 1) {
                _ if !lost[n] => assert_eq!(decoder.decode(&packets[n], frame), Ok(FRAME)),
                Some(next) if use_fec && !lost[n + 1] && packet_has_fec(next) => {
                    decoder.decode_fec(next, frame).unwrap();
                }
                _ => decoder.conceal(frame),
            }
        }
        decoded
    };
    let reference = {
        let mut decoder = OpusDecoder::new(8_000).unwrap();
        let mut whole = vec![0; pcm.len()];
        for (packet, frame) in packets.iter().zip(whole.chunks_mut(FRAME)) {
            decoder.decode(packet, frame).unwrap();
        }
        whole
    };
    let of_lost = |decoded: &[i16]| -> Vec<i16> {
        decoded.chunks(FRAME).zip(&lost).filter(|(_, lost)| **lost).flat_map(|(frame, _)| frame.to_vec()).collect()
    };
    let wanted = of_lost(&reference);
    let (fec, plc) = (snr_db(&wanted, &of_lost(&listen(true))), snr_db(&wanted, &of_lost(&listen(false))));
    assert!(fec > plc + 3.0, "seed 42: FEC {fec:.1} dB, concealment {plc:.1} dB");
}

#[test]
fn copies_are_sent_only_where_loss_is_expected_and_fec_was_agreed() {
    let pcm = speech(100 * FRAME, 8_000);
    for (inband_fec, expected_loss_percent, expected) in [(true, 15, true), (true, 0, false), (false, 15, false)] {
        let settings = EncoderSettings { inband_fec, expected_loss_percent, ..Default::default() };
        let copies = encode_all(&pcm, FRAME, settings).iter().filter(|packet| packet_has_fec(packet)).count();
        assert_eq!(copies > 10, expected, "FEC {inband_fec}, {expected_loss_percent} %: {copies} copies");
    }
}

/// Loss reported after the start switches the copies on.
#[test]
fn expected_loss_may_change_in_mid_stream() {
    let settings = EncoderSettings { expected_loss_percent: 0, ..Default::default() };
    let mut encoder = OpusEncoder::new(8_000, settings).unwrap();
    let mut out = [0; PACKET_BYTES_MAX];
    let mut copies = [0; 2];
    for (n, frame) in speech(200 * FRAME, 8_000).chunks(FRAME).enumerate() {
        if n == 100 {
            encoder.set_expected_loss_percent(15).unwrap();
        }
        let len = encoder.encode(frame, &mut out).unwrap();
        copies[n / 100] += usize::from(packet_has_fec(&out[..len]));
    }
    assert!(copies[0] == 0 && copies[1] > 10, "{copies:?}");
}

/// libopus makes no copies at the default complexity: see [`FEC_COMPLEXITY_MIN`].
#[test]
fn any_loss_brings_copies_at_the_bit_rate_of_whatsapp_unless_cpu_is_short() {
    let pcm = speech(100 * FRAME, 8_000);
    for expected_loss_percent in 1..=30 {
        for (complexity, expected) in [(DEFAULT_COMPLEXITY, true), (5, true), (0, false)] {
            let settings = EncoderSettings { expected_loss_percent, complexity, ..Default::default() };
            let copies = encode_all(&pcm, FRAME, settings).iter().filter(|packet| packet_has_fec(packet)).count();
            assert_eq!(copies > 10, expected, "{expected_loss_percent} %, complexity {complexity}: {copies} copies");
        }
    }
}

#[test]
fn the_bit_rate_is_kept() {
    let pcm = speech(500 * FRAME, 8_000);
    for bitrate_bps in [12_000, 20_000, 32_000] {
        let packets = encode_all(&pcm, FRAME, EncoderSettings { bitrate_bps, ..Default::default() });
        let bps = packets.iter().map(Vec::len).sum::<usize>() as u32 * 8 / 10;
        assert!(bps < bitrate_bps * 11 / 10, "{bps} bit/s where {bitrate_bps} were asked for");
        assert!(packets.iter().all(|packet| packet[0] >> 3 == 1), "not all are SILK narrow-band of 20 ms");
    }
}

#[test]
fn settings_outside_the_range_are_limited_to_it() {
    let settings = EncoderSettings {
        bitrate_bps: u32::MAX,
        inband_fec: true,
        expected_loss_percent: 255,
        dtx: true,
        complexity: 255,
    };
    let mut encoder = OpusEncoder::new(48_000, settings).unwrap();
    encoder.set_bitrate_bps(0).unwrap();
    assert!(encoder.encode(&[0; 960], &mut [0; PACKET_BYTES_MAX]).unwrap() > 0);
}

#[test]
fn silence_with_dtx_is_tiny_and_still_decodes() {
    let packets = encode_all(&[0; 100 * FRAME], FRAME, EncoderSettings { dtx: true, ..Default::default() });
    assert!(packets[50..].iter().filter(|packet| packet.len() <= 2).count() > 30);
    let mut decoder = OpusDecoder::new(8_000).unwrap();
    for packet in &packets {
        let mut pcm = [1; FRAME];
        assert_eq!(decoder.decode(packet, &mut pcm), Ok(FRAME));
        assert!(level_dbov(&pcm) < -60.0);
    }
}

#[test]
fn lengths_that_opus_has_no_frame_for_are_refused() {
    let mut encoder = OpusEncoder::new(8_000, EncoderSettings::default()).unwrap();
    let mut out = [0; PACKET_BYTES_MAX];
    for samples in [20, 40, 80, 160, 320, 480, 640, 800, 960] {
        let len = encoder.encode(&vec![0; samples], &mut out).unwrap();
        assert_eq!(packet_duration_samples(&out[..len], 8_000), Some(samples));
    }
    for samples in [0, 1, 19, 159, 161, 240, 400, 1_120] {
        assert_eq!(encoder.encode(&vec![0; samples], &mut out), Err(OpusError::Samples(samples)));
    }
    assert!(encoder.encode(&[0; FRAME], &mut []).is_err());

    let mut decoder = OpusDecoder::new(8_000).unwrap();
    let packet = &encode_all(&sine(440.0, FRAME), FRAME, EncoderSettings::default())[0];
    assert_eq!(decoder.decode(packet, &mut [0; 159]), Err(OpusError::Samples(159)));
    assert_eq!(decoder.decode_fec(packet, &mut [0; 159]), Err(OpusError::Samples(159)));
    assert_eq!(decoder.decode_fec(packet, &mut []), Err(OpusError::Samples(0)));
    let mut odd = [7; 159];
    decoder.conceal(&mut odd);
    assert_eq!(odd, [0; 159]);
    decoder.conceal(&mut []);
}

#[test]
fn other_rates_are_refused() {
    for rate_hz in [0, 8_001, 11_025, 12_000, 24_000, 44_100, 96_000] {
        assert_eq!(OpusDecoder::new(rate_hz).unwrap_err(), OpusError::Rate(rate_hz));
        assert_eq!(OpusEncoder::new(rate_hz, EncoderSettings::default()).unwrap_err(), OpusError::Rate(rate_hz));
    }
}
