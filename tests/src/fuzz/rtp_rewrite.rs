//! Wire formats and the machines that number packets: what is written reads back, lengths add up, and no number is
//! given out or taken twice.

mod events;
mod playout;

use std::collections::BTreeSet;
use std::time::Duration;

use trestle_core::Discard;
use trestle_core::stream::{StreamRx, StreamTx};
use trestle_wire::demux::DatagramKind;
use trestle_wire::rtcp::{Compound, REPORT_BLOCKS_MAX, ReportBlock, RtcpPacket, RtcpReport, SenderInfo};
use trestle_wire::rtp::{self, Header};
use trestle_wire::telephone_event::TelephoneEvent;
use trestle_wire::{ClockRate, ExtSeq, NtpTime, Pt, RtpTime, Seq, Ssrc, stun};

use super::input::Input;
use trestle_world::instant_zero;

/// The first byte chooses the machine; the rest is its packet or its operations.
pub fn rtp_rewrite(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    match input.below(10) {
        0 => wire(input.rest()),
        1 => rtcp_report(&mut input),
        2 => stream_tx(&mut input),
        3 => stream_rx(&mut input),
        4 => events::receiver(&mut input),
        5 => events::sender(&mut input),
        6 => playout::playout(&mut input),
        7 => playout::transcoder(&mut input),
        8 => events::received_once(&mut input),
        _ => rtp_header(&mut input),
    }
}

/// RTCP: every reader on any bytes, and what we write read back.
pub fn rtcp(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    match input.below(3) {
        0 => wire(input.rest()),
        1 => {
            // A compound of packets whose lengths are right.
            let mut bytes = Vec::new();
            while !input.is_empty() && bytes.len() < 1_400 {
                let words = input.below(12);
                let kind = input.one_of(&[200, 201, 202, 203, 204, 205, 206, 207]);
                bytes.extend_from_slice(&[0x80 | input.byte() & 0x3f, kind, 0, words as u8]);
                let mut body = input.take(4 * words).to_vec();
                body.resize(4 * words, 0);
                bytes.extend_from_slice(&body);
            }
            wire(&bytes)
        }
        _ => rtcp_report(&mut input),
    }
}

/// Digits as telephone-events: received, sent, and received once over a bad network.
pub fn dtmf(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    match input.below(3) {
        0 => events::receiver(&mut input),
        1 => events::sender(&mut input),
        _ => events::received_once(&mut input),
    }
}

/// The jitter buffer, playout and concealment.
pub fn jitter_plc(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    if input.flag() { playout::playout(&mut input) } else { playout::transcoder(&mut input) }
}

/// Every reader on the same bytes.
fn wire(bytes: &[u8]) -> usize {
    let mut checked = 0;
    let kind = DatagramKind::of(bytes);
    if let Ok(packet) = rtp::RtpPacket::parse(bytes) {
        assert!(matches!(kind, Some(DatagramKind::Rtp | DatagramKind::Rtcp)), "{kind:?}");
        let payload = &bytes[packet.payload.clone()];
        assert!(rtp::header_len(bytes).is_ok_and(|len| len == packet.payload.start));
        let rewritten = [&packet.header.write()[..], payload].concat();
        assert_eq!(rewritten.len(), Header::LEN + payload.len());
        let again = rtp::RtpPacket::parse(&rewritten).expect("our own packet");
        assert_eq!((again.header, &rewritten[again.payload]), (packet.header, payload));
        checked += 1;
    }
    if let Ok(compound) = Compound::parse_reduced_size(bytes) {
        checked += 1;
        let packets: Vec<RtcpPacket<'_>> = compound.packets().collect();
        let mut lengths = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = 4 + 4 * usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            lengths.push(len);
            rest = &rest[len..];
        }
        assert_eq!(lengths.len(), packets.len(), "{packets:?}");
        for (packet, len) in packets.iter().zip(lengths) {
            match packet {
                RtcpPacket::SenderReport { reports, .. } => assert!(28 + 24 * reports.iter().count() <= len),
                RtcpPacket::ReceiverReport { reports, .. } => assert!(8 + 24 * reports.iter().count() <= len),
                RtcpPacket::SourceDescription { cname, .. } => assert!(cname.is_none_or(|cname| cname.len() < len)),
                RtcpPacket::Bye { ssrcs } => assert!(4 + 4 * ssrcs.iter().count() <= len),
                RtcpPacket::Other(_) => {}
            }
        }
    } else {
        assert!(Compound::parse(bytes).is_err(), "the stricter reader takes more");
    }
    if let Ok(event) = TelephoneEvent::parse(bytes) {
        checked += 1;
        assert_eq!(TelephoneEvent::parse(&event.write()), Ok(event));
        // All but the reserved bit comes back.
        assert_eq!(event.write(), [bytes[0], bytes[1] & 0xbf, bytes[2], bytes[3]]);
    }
    if let Ok(head) = stun::Head::parse(bytes) {
        checked += 1;
        assert_eq!(kind, Some(DatagramKind::Stun));
        assert_eq!(&head.transaction.0, &bytes[8..20]);
    }
    checked
}

fn rtp_header(input: &mut Input<'_>) -> usize {
    let header = Header {
        marker: input.flag(),
        pt: Pt::new(input.byte() & 0x7f).expect("7 bits"),
        seq: Seq(input.u16()),
        time: RtpTime(input.u32()),
        ssrc: Ssrc(input.u32()),
    };
    let mut packet = header.write().to_vec();
    packet.extend_from_slice(input.rest());
    let read = rtp::RtpPacket::parse(&packet).expect("our own packet");
    assert_eq!((read.header, read.payload), (header, Header::LEN..packet.len()));
    1
}

/// A report of ours reads back as written, needs exactly the room it asks for, and writes nothing beyond it.
fn rtcp_report(input: &mut Input<'_>) -> usize {
    let ssrc = Ssrc(input.u32());
    let sender = input.flag().then(|| SenderInfo {
        ntp: NtpTime(input.u64()),
        rtp_time: RtpTime(input.u32()),
        packets: input.u32(),
        octets: input.u32(),
    });
    let blocks: Vec<ReportBlock> = (0..input.below(40))
        .map(|_| ReportBlock {
            ssrc: Ssrc(input.u32()),
            fraction_lost: input.byte(),
            cumulative_lost: input.u32() as i32 >> 8,
            highest_seq: input.u32(),
            jitter_ticks: input.u32(),
            last_sr: input.u32(),
            delay_since_last_sr: input.u32(),
        })
        .collect();
    let bye = input.flag();
    let cname = String::from_utf8_lossy(input.rest());
    let report = RtcpReport { ssrc, sender, reports: &blocks, cname: &cname, bye };

    let len = report.wire_len();
    let mut buf = vec![0xaa; len + 8];
    assert_eq!(report.write(&mut buf[..len - 1]), None, "it does not fit");
    assert_eq!(report.write(&mut buf), Some(len));
    assert!(buf[len..].iter().all(|byte| *byte == 0xaa), "written beyond its end");
    assert_eq!(DatagramKind::of(&buf), Some(DatagramKind::Rtcp));

    let packets: Vec<RtcpPacket<'_>> = Compound::parse(&buf[..len]).expect("our own report").packets().collect();
    let expected_blocks = &blocks[..blocks.len().min(REPORT_BLOCKS_MAX)];
    match packets[0] {
        RtcpPacket::SenderReport { ssrc: who, sender: what, reports } => {
            assert_eq!((who, Some(what)), (ssrc, sender));
            assert_eq!(reports.iter().collect::<Vec<_>>(), expected_blocks);
        }
        RtcpPacket::ReceiverReport { ssrc: who, reports } => {
            assert_eq!((who, None), (ssrc, sender));
            assert_eq!(reports.iter().collect::<Vec<_>>(), expected_blocks);
        }
        other => panic!("no report but {other:?}"),
    }
    match packets[1] {
        RtcpPacket::SourceDescription { ssrc: who, cname: Some(name) } => {
            assert_eq!(who, Some(ssrc));
            assert!(cname.as_bytes().starts_with(name) && std::str::from_utf8(name).is_ok());
        }
        other => panic!("no name but {other:?}"),
    }
    assert_eq!(packets.len(), if bye { 3 } else { 2 });
    1
}

/// Whatever feeds it, the outgoing stream keeps its SSRC, uses no number twice, and new audio never goes back in time.
fn stream_tx(input: &mut Input<'_>) -> usize {
    let mut now = instant_zero();
    let (ssrc, clocks) = (Ssrc(input.u32()), [ClockRate::HZ_8000, ClockRate::HZ_48000]);
    let mut tx = StreamTx::new(ssrc, input.u16(), input.u32(), Pt::PCMA, input.one_of(&clocks));
    let mut sent = BTreeSet::new();
    let mut last_audio: Option<RtpTime> = None;
    let mut source = (0, ClockRate::HZ_8000);
    let (mut seq, mut time) = (ExtSeq(1 << 16 | u64::from(input.u16())), RtpTime(input.u32()));
    while !input.is_empty() {
        now += Duration::from_millis(u64::from(input.byte()) * if input.flag() { 1 } else { 20 });
        let before = tx.highest();
        let (header, is_audio) = match input.below(8) {
            0 => (Some(tx.frame(now, input.one_of(&[80, 160, 960]))), true),
            1..=3 => {
                // Mostly the next packet; sometimes any.
                let (step, ticks) = match input.below(4) {
                    0 => (i64::from(input.u16() as i16), input.u32()),
                    1 => (i64::from(input.byte() as i8), 160),
                    _ => (1, 160),
                };
                seq = ExtSeq(seq.0.saturating_add_signed(step).max(1));
                time = time.plus(ticks);
                // Mostly one source, for only what is mapped already can repeat itself.
                if input.below(16) == 0 {
                    source = (input.below(3) as u64, input.one_of(&clocks));
                }
                let (source, clock) = source;
                (tx.forward(now, source, seq, time, clock, input.flag()), true)
            }
            4 => {
                let first = input.flag();
                let offset = Duration::from_millis(input.u16().into());
                (Some(tx.event(now, Pt::new(101).expect("7 bits"), first, offset)), false)
            }
            5 => {
                tx.absorbed(input.below(3) as u64, seq.plus(input.byte().into()));
                (None, false)
            }
            6 => {
                tx.skip(160);
                (None, false)
            }
            _ => {
                tx.set_audio(now, Pt::PCMU, input.one_of(&clocks));
                last_audio = None;
                (None, false)
            }
        };
        assert!(tx.highest() >= before, "numbers go back");
        let Some(header) = header else { continue };
        assert_eq!(header.ssrc, ssrc);
        let behind = header.seq.distance_to(tx.highest().wire());
        assert!((0..128).contains(&behind), "{behind} behind the highest");
        let number = tx.highest().0 - behind as u64;
        assert!(sent.insert(number), "{number} is sent twice");
        if is_audio && behind == 0 {
            if let Some(last) = last_audio {
                assert!(last.distance_to(header.time) >= 0, "audio goes back from {last:?} to {:?}", header.time);
            }
            last_audio = Some(header.time);
        }
    }
    sent.len()
}

/// Each number is taken once, is the one on the wire, and is not far behind the highest.
fn stream_rx(input: &mut Input<'_>) -> usize {
    let mut now = instant_zero();
    let ssrc = Ssrc(1);
    let mut rx = StreamRx::new(ssrc);
    let mut taken = BTreeSet::new();
    let (mut seq, mut time) = (input.u16(), input.u32());
    while !input.is_empty() {
        now += Duration::from_millis(input.byte().into());
        match input.below(4) {
            0 => (seq, time) = (input.u16(), input.u32()),
            1 => seq = seq.wrapping_add_signed((input.byte() as i8).into()),
            _ => (seq, time) = (seq.wrapping_add(1), time.wrapping_add(160)),
        }
        let header = Header { marker: false, pt: Pt::PCMA, seq: Seq(seq), time: RtpTime(time), ssrc };
        let (highest, received) = (taken.last().copied(), rx.received());
        let outcome =
            if input.below(8) == 0 { rx.accept_event(&header) } else { rx.accept(now, &header, ClockRate::HZ_8000) };
        match outcome {
            Ok(number) => {
                assert_eq!(number.wire(), Seq(seq));
                assert!(taken.insert(number), "{number:?} is taken twice");
                assert!(highest.is_none_or(|highest| number.0 + 100 >= highest.0), "{number:?} after {highest:?}");
                assert_eq!(rx.received(), received + 1);
            }
            Err(Discard::Duplicate) => assert_eq!(rx.received(), received + 1, "duplicates count as received"),
            Err(Discard::SequenceJump) => assert_eq!(rx.received(), received),
            Err(other) => panic!("{other:?}"),
        }
        if input.below(16) == 0 {
            let report = rx.report(now).expect("something was received");
            assert_eq!(report.ssrc, ssrc);
            assert_eq!(rx.lost(), rx.expected() as i64 - rx.received() as i64);
        }
    }
    taken.len()
}
