use super::*;

const US: Ssrc = Ssrc(0x0102_0304);
const THEM: Ssrc = Ssrc(0xa0b0_c0d0);

const SENDER: SenderInfo =
    SenderInfo { ntp: NtpTime(0xb44d_b705_2000_0000), rtp_time: RtpTime(1_600), packets: 10, octets: 1_600 };

const BLOCK: ReportBlock = ReportBlock {
    ssrc: THEM,
    fraction_lost: 64,
    cumulative_lost: -2,
    highest_seq: 0x0001_0005,
    jitter_ticks: 17,
    last_sr: 0xb705_2000,
    delay_since_last_sr: 0x0005_4000,
};

fn written(report: &RtcpReport<'_>) -> Vec<u8> {
    let mut buf = vec![0xee; report.wire_len()];
    assert_eq!(report.write(&mut buf), Some(report.wire_len()));
    buf
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn a_sender_report_with_name_and_bye_byte_for_byte() {
    let report = RtcpReport { ssrc: US, sender: Some(SENDER), reports: &[BLOCK], cname: "ear", bye: true };
    let expected = hex("81c8000c 01020304 b44db705 20000000 00000640 0000000a 00000640
         a0b0c0d0 40fffffe 00010005 00000011 b7052000 00054000
         81ca0003 01020304 01036561 72000000
         81cb0001 01020304");
    assert_eq!(written(&report), expected);
}

#[test]
fn a_report_reads_back_as_written() {
    for sender in [None, Some(SENDER)] {
        for blocks in [0, 1, 2, REPORT_BLOCKS_MAX] {
            for cname in ["", "a", "ab", "abc", "abcd", "abcde", &"x".repeat(CNAME_BYTES_MAX)] {
                for leaves in [false, true] {
                    let blocks: Vec<_> = (0..blocks as u32).map(|n| ReportBlock { ssrc: Ssrc(n), ..BLOCK }).collect();
                    let report = RtcpReport { ssrc: US, sender, reports: &blocks, cname, bye: leaves };
                    let bytes = written(&report);
                    let compound = Compound::parse(&bytes).unwrap();
                    let mut packets = compound.packets();
                    let read = match packets.next().unwrap() {
                        RtcpPacket::SenderReport { ssrc, sender, reports } => (ssrc, Some(sender), reports),
                        RtcpPacket::ReceiverReport { ssrc, reports } => (ssrc, None, reports),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!((read.0, read.1), (US, sender));
                    assert!(read.2.iter().eq(blocks.iter().copied()));
                    let name = RtcpPacket::SourceDescription { ssrc: Some(US), cname: Some(cname.as_bytes()) };
                    assert_eq!(packets.next(), Some(name));
                    if leaves {
                        let Some(RtcpPacket::Bye { ssrcs }) = packets.next() else { panic!("no BYE") };
                        assert!(ssrcs.iter().eq([US]));
                    }
                    assert_eq!(packets.next(), None);
                }
            }
        }
    }
}

#[test]
fn a_report_that_does_not_fit_is_truncated_or_not_written() {
    let blocks = [BLOCK; 40];
    let long = "é".repeat(200);
    let report = RtcpReport { ssrc: US, sender: None, reports: &blocks, cname: &long, bye: false };
    let bytes = written(&report);
    let mut packets = Compound::parse(&bytes).unwrap().packets();
    let Some(RtcpPacket::ReceiverReport { reports, .. }) = packets.next() else { panic!("no RR") };
    assert_eq!(reports.iter().count(), REPORT_BLOCKS_MAX);
    let Some(RtcpPacket::SourceDescription { cname: Some(cname), .. }) = packets.next() else { panic!("no CNAME") };
    assert_eq!(cname, "é".repeat(127).as_bytes());

    let mut short = vec![0xee; bytes.len() - 1];
    assert_eq!(report.write(&mut short), None);
    assert!(short.iter().all(|byte| *byte == 0xee), "nothing written");
}

#[test]
fn cumulative_loss_saturates_at_24_bits() {
    // value, as written and read back
    let table = [
        (0, 0),
        (1, 1),
        (-1, -1),
        (0x7f_ffff, 0x7f_ffff),
        (0x80_0000, 0x7f_ffff),
        (i32::MAX, 0x7f_ffff),
        (-0x80_0000, -0x80_0000),
        (-0x80_0001, -0x80_0000),
        (i32::MIN, -0x80_0000),
    ];
    for (value, expected) in table {
        let block = ReportBlock { cumulative_lost: value, ..BLOCK };
        let read = ReportBlock::read(&block.write());
        assert_eq!(read, ReportBlock { cumulative_lost: expected, ..BLOCK }, "{value}");
    }
}

#[test]
fn the_round_trip_of_the_rfc() {
    // RFC 3550 6.4.1, figure 2: 0xb710:8000 - 0xb705:2000 - 0x0005:4000 = 0x0006:2000, 6.125 s.
    let arrival = NtpTime(0xb710_8000 << 16);
    assert_eq!(BLOCK.round_trip(arrival), Some(Duration::from_millis(6_125)));
    assert_eq!(ReportBlock { last_sr: 0, ..BLOCK }.round_trip(arrival), None, "no sender report yet");
    let too_long = ReportBlock { delay_since_last_sr: 0x000c_0000, ..BLOCK };
    assert_eq!(too_long.round_trip(arrival), None, "held for longer than it is old");
    let over_the_wrap = ReportBlock { last_sr: 0xffff_ffff, delay_since_last_sr: 1, ..BLOCK };
    assert_eq!(over_the_wrap.round_trip(NtpTime(0x0000_8000 << 16)), Some(Duration::from_millis(500)));
}

#[test]
fn packets_of_other_types_are_skipped() {
    let bytes = hex("80c90001 01020304  82ce0002 01020304 a0b0c0d0  80cf0001 01020304");
    let compound = Compound::parse(&bytes).unwrap();
    let kinds: Vec<_> = compound.packets().skip(1).collect();
    assert_eq!(kinds, [RtcpPacket::Other(206), RtcpPacket::Other(207)]);
}

#[test]
fn a_profile_extension_after_the_blocks_is_skipped() {
    let bytes = hex("80c90003 01020304 11111111 22222222");
    let compound = Compound::parse(&bytes).unwrap();
    let Some(RtcpPacket::ReceiverReport { ssrc: US, reports }) = compound.packets().next() else { panic!("no RR") };
    assert_eq!(reports.iter().count(), 0);
    assert_eq!(reports.about(THEM), None);
}

#[test]
fn a_description_gives_the_first_chunk() {
    // body of the SDES, its count of chunks, and the result
    type Expected = Result<(Option<u32>, Option<&'static [u8]>), Malformed>;
    let table: [(&str, usize, Expected); 14] = [
        ("", 0, Ok((None, None))),
        ("01020304 0102aabb 00000000", 1, Ok((Some(0x0102_0304), Some(&[0xaa, 0xbb])))),
        ("01020304 0103aabb cc000000", 1, Ok((Some(0x0102_0304), Some(&[0xaa, 0xbb, 0xcc])))),
        ("01020304 00000000", 1, Ok((Some(0x0102_0304), None))),
        // Another item comes first; another CNAME comes later.
        ("01020304 0201ff01 01dd0100", 1, Ok((Some(0x0102_0304), Some(&[0xdd])))),
        ("01020304 0101aa01 01bb0000", 1, Ok((Some(0x0102_0304), Some(&[0xaa])))),
        // Two chunks; the second has none.
        ("01020304 0101aa00 0a0b0c0d 00000000", 2, Ok((Some(0x0102_0304), Some(&[0xaa])))),
        // The end of the packet ends the last chunk.
        ("01020304 0102aabb", 1, Ok((Some(0x0102_0304), Some(&[0xaa, 0xbb])))),
        ("01020304", 1, Ok((Some(0x0102_0304), None))),
        // An item longer than the packet, a type without length, a missing chunk.
        ("01020304 0103aabb", 1, Err(Malformed)),
        ("01020304 0101aa01", 1, Err(Malformed)),
        ("", 1, Err(Malformed)),
        ("01020304 0101aa00", 2, Err(Malformed)),
        ("01020304 0101aa00 0a0b0c0d 01ff0000", 2, Err(Malformed)),
    ];
    for (body, count, expected) in table {
        let body = hex(body);
        let mut bytes = vec![0x80 | count as u8, 202, 0, (body.len() / 4) as u8];
        bytes.extend_from_slice(&body);
        let read = Compound::parse_reduced_size(&bytes).map(|compound| match compound.packets().next() {
            Some(RtcpPacket::SourceDescription { ssrc, cname }) => (ssrc.map(|ssrc| ssrc.0), cname),
            other => panic!("{other:?}"),
        });
        assert_eq!(read, expected, "{count} chunks in {body:02x?}");
    }
}

#[test]
fn a_bye_has_no_ssrc_or_many_and_a_reason() {
    // packet, SSRCs
    let table: [(&str, Option<&[u32]>); 7] = [
        ("80cb0000", Some(&[])),
        ("81cb0001 00000001", Some(&[1])),
        ("82cb0002 00000001 00000002", Some(&[1, 2])),
        ("81cb0002 00000001 03627965", Some(&[1])),
        ("82cb0001 00000001", None),
        ("81cb0002 00000001 04627965", None),
        ("80cb0001 ff000000", None),
    ];
    for (packet, expected) in table {
        let bytes = hex(packet);
        let read = Compound::parse_reduced_size(&bytes).ok().map(|compound| match compound.packets().next() {
            Some(RtcpPacket::Bye { ssrcs }) => ssrcs.iter().map(|ssrc| ssrc.0).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        });
        assert_eq!(read.as_deref(), expected, "{packet}");
    }
}

#[test]
fn the_validity_checks_of_appendix_a_2() {
    // packet, good as a compound, good where reduced size was agreed to
    let table = [
        ("80c90001 01020304", true, true, "the shortest"),
        ("80c80006 01020304 00000000 00000000 00000000 00000000 00000000", true, true, "an SR without blocks"),
        ("", false, false, "nothing"),
        ("80c900", false, false, "less than a header"),
        ("80c90001 010203", false, false, "shorter than its length"),
        ("80c90001 01020304 00", false, false, "bytes left over"),
        ("80c90001 01020304 80ca", false, false, "half a header after it"),
        ("40c90001 01020304", false, false, "version 1"),
        ("80c90001 01020304 40ca0000", false, false, "version 1 in the second"),
        ("80ca0000", false, true, "a description first"),
        ("80ce0001 01020304", false, true, "feedback alone"),
        ("80c90000", false, false, "an RR without SSRC"),
        ("81c90001 01020304", false, false, "a block that is not there"),
        (
            "9fc90007 01020304 00000000 00000000 00000000 00000000 00000000 00000000",
            false,
            false,
            "31 blocks, one there",
        ),
        ("80c80001 01020304", false, false, "an SR without sender info"),
        ("80c9ffff 01020304", false, false, "256 KiB announced"),
        ("a0c90002 01020304 00000004", false, true, "padding in the only packet"),
        ("80c90001 01020304 a0ca0001 00000004", true, true, "padding in the last"),
        ("a0c90002 01020304 00000004 80ca0000", false, false, "padding before the last"),
        ("80c90001 01020304 a0ca0001 00000000", false, false, "no padding"),
        ("80c90001 01020304 a0ca0001 00000003", false, false, "padding of three"),
        ("80c90001 01020304 a0ca0001 00000008", false, false, "padding longer than the body"),
        ("80c90001 01020304 a0ca0000", false, false, "padding without a body"),
        ("80c90001 01020304 a1cb0001 01020304", false, false, "a BYE whose SSRC is padding"),
    ];
    for (packet, compound, reduced, what) in table {
        let bytes = hex(packet);
        assert_eq!(Compound::parse(&bytes).is_ok(), compound, "{what}");
        assert_eq!(Compound::parse_reduced_size(&bytes).is_ok(), reduced, "{what}, reduced size");
    }
}

#[test]
fn an_accepted_compound_is_read_to_its_end_and_nothing_panics() {
    let report = RtcpReport { ssrc: US, sender: Some(SENDER), reports: &[BLOCK; 2], cname: "trestle", bye: true };
    let good = written(&report);
    // Every byte takes every value, and every length is truncated.
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = value;
            for end in [good.len(), at] {
                if let Ok(compound) = Compound::parse_reduced_size(&bytes[..end]) {
                    assert_eq!(walk(compound), end, "byte {at} = {value}, {end} bytes");
                }
            }
        }
    }
}

/// Reads everything and adds up the packets' lengths.
fn walk(compound: Compound<'_>) -> usize {
    let mut at = 0;
    for packet in compound.packets() {
        if let RtcpPacket::SenderReport { reports, .. } | RtcpPacket::ReceiverReport { reports, .. } = packet {
            assert!(reports.iter().count() <= REPORT_BLOCKS_MAX);
        }
        at += 4 + 4 * usize::from(u16::from_be_bytes([compound.bytes[at + 2], compound.bytes[at + 3]]));
    }
    at
}
