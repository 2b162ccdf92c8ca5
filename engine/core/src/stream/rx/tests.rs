use trestle_wire::Pt;

use super::*;

/// One instant to count from.
#[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn header(seq: u16, time: u32) -> Header {
    Header { marker: false, pt: Pt::PCMA, seq: Seq(seq), time: RtpTime(time), ssrc: Ssrc(7) }
}

/// Accepts G.711 packets of 20 ms, all on time.
fn feed(rx: &mut StreamRx, seqs: impl IntoIterator<Item = u16>) -> Vec<Result<u64, Discard>> {
    let start = start();
    seqs.into_iter()
        .map(|seq| {
            // Numbers from 32,768 lie before the wrap.
            let n = i32::from(seq as i16);
            let at = start + Duration::from_millis(20) * n.unsigned_abs();
            let time = (n * 160) as u32;
            rx.accept(at, &header(seq, time), ClockRate::HZ_8000).map(|ext| ext.0 - (1 << 16))
        })
        .collect()
}

#[test]
fn numbers_grow_across_a_wrap_and_late_ones_get_their_place() {
    let mut rx = StreamRx::new(Ssrc(7));
    let numbers = feed(&mut rx, [65_534, 0, 65_535, 1]);
    assert_eq!(numbers, [Ok(65_534), Ok(65_536), Ok(65_535), Ok(65_537)]);
    assert_eq!((rx.expected(), rx.received(), rx.lost()), (4, 4, 0));
}

#[test]
fn a_packet_that_arrives_again_is_a_duplicate_however_late() {
    let mut rx = StreamRx::new(Ssrc(7));
    feed(&mut rx, (0..=100).filter(|seq| *seq != 1));
    assert_eq!(
        feed(&mut rx, [0, 100, 50, 1, 1]),
        [Err(Discard::Duplicate), Err(Discard::Duplicate), Err(Discard::Duplicate), Ok(1), Err(Discard::Duplicate),]
    );
    assert_eq!(rx.duplicates(), 4);
    assert_eq!(rx.lost(), -4, "RFC 3550 A.3 counts duplicates as received");
}

#[test]
fn a_jump_is_accepted_when_the_next_packet_follows_it() {
    use Discard::SequenceJump;
    type Row = (&'static str, &'static [u16], &'static [Result<u64, Discard>]);
    let table: [Row; 6] = [
        ("+100 is loss", &[10, 110], &[Ok(10), Ok(110)]),
        ("+3,001", &[10, 3_011, 3_012], &[Ok(10), Err(SequenceJump), Ok(65_536 + 3_012)]),
        ("+32,767", &[10, 32_777, 32_778], &[Ok(10), Err(SequenceJump), Ok(65_536 + 32_778)]),
        ("+32,768", &[10, 32_778, 32_779], &[Ok(10), Err(SequenceJump), Ok(65_536 + 32_779)]),
        ("-101", &[500, 399, 400], &[Ok(500), Err(SequenceJump), Ok(65_536 + 400)]),
        ("one stray", &[10, 9_000, 11, 9_001], &[Ok(10), Err(SequenceJump), Ok(11), Err(SequenceJump)]),
    ];
    for (name, seqs, expected) in table {
        let mut rx = StreamRx::new(Ssrc(7));
        assert_eq!(feed(&mut rx, seqs.iter().copied()), expected, "{name}");
    }
}

#[test]
fn numbers_that_restart_while_time_increases_are_a_jump_and_not_late() {
    let mut rx = StreamRx::new(Ssrc(7));
    let start = start();
    let mut numbers = Vec::new();
    for (n, seq) in [500, 501, 502, 402, 403, 404, 404, 405].into_iter().enumerate() {
        let at = start + Duration::from_millis(20) * n as u32;
        let number = rx.accept(at, &header(seq, n as u32 * 160), ClockRate::HZ_8000);
        numbers.push(number.map(|ext| ext.0 - (1 << 16)));
    }
    let (jump, next) = (Err(Discard::SequenceJump), 65_536);
    assert_eq!(numbers[..6], [Ok(500), Ok(501), Ok(502), jump, Ok(next + 403), Ok(next + 404)]);
    assert_eq!(numbers[6..], [jump, Ok(next + 405)], "a number that does not increase is not accepted");
}

#[test]
fn a_jump_counts_no_loss() {
    let mut rx = StreamRx::new(Ssrc(7));
    feed(&mut rx, 0..10);
    feed(&mut rx, 20_000..20_010);
    // The first packet after the jump was discarded as its confirmation.
    assert_eq!((rx.expected(), rx.received(), rx.lost()), (19, 19, 0));
}

#[test]
fn a_report_counts_loss_since_the_one_before() {
    let mut rx = StreamRx::new(Ssrc(7));
    let now = start();
    assert_eq!(rx.report(now), None);
    feed(&mut rx, (0..100).filter(|seq| seq % 4 != 3));
    let first = rx.report(now).unwrap();
    // 98 is the highest number received: 24 of 99 are lost.
    assert_eq!((first.fraction_lost, first.cumulative_lost, first.highest_seq), (62, 24, 98));
    feed(&mut rx, 100..200);
    let second = rx.report(now).unwrap();
    assert_eq!((second.fraction_lost, second.cumulative_lost, second.highest_seq), (2, 25, 199));
    assert_eq!(rx.report(now).unwrap().fraction_lost, 0);
}

#[test]
fn duplicates_do_not_make_the_fraction_lost_negative() {
    let mut rx = StreamRx::new(Ssrc(7));
    feed(&mut rx, [0, 0, 0, 1, 1]);
    let report = rx.report(start()).unwrap();
    assert_eq!((report.fraction_lost, report.cumulative_lost), (0, -3));
}

#[test]
fn lsr_and_dlsr_come_from_the_last_sender_report() {
    let mut rx = StreamRx::new(Ssrc(7));
    feed(&mut rx, [0]);
    let now = start();
    let report = rx.report(now).unwrap();
    assert_eq!((report.last_sr, report.delay_since_last_sr), (0, 0));
    let ntp = NtpTime::from_unix(Duration::from_millis(1_250));
    rx.sender_report(now, ntp);
    let report = rx.report(now + Duration::from_millis(500)).unwrap();
    assert_eq!((report.last_sr, report.delay_since_last_sr), (ntp.middle(), 32_768));
}

#[test]
fn jitter_is_that_of_rfc_3550() {
    // Every second packet 10 ms late: |D| is 10 ms each time, and J settles there.
    let mut rx = StreamRx::new(Ssrc(7));
    let start = start();
    for n in 0..500u32 {
        let at = start + Duration::from_millis(u64::from(20 * n + 10 * (n % 2)));
        rx.accept(at, &header(n as u16, n * 160), ClockRate::HZ_8000).unwrap();
    }
    assert_eq!(rx.jitter().as_millis(), 10);
    assert_eq!(rx.report(start).unwrap().jitter_ticks, 80);
}

#[test]
fn events_jumps_and_codec_changes_are_no_jitter() {
    let mut rx = StreamRx::new(Ssrc(7));
    let start = start();
    let ms = |ms| start + Duration::from_millis(ms);
    rx.accept(ms(0), &header(0, 0), ClockRate::HZ_48000).unwrap();
    for n in 1..=10u16 {
        rx.accept_event(&header(n, 960)).unwrap();
    }
    rx.accept(ms(220), &header(11, 220 * 48), ClockRate::HZ_48000).unwrap();
    rx.accept(ms(240), &header(12, 5), ClockRate::HZ_8000).unwrap();
    rx.accept(ms(260), &header(13, 165), ClockRate::HZ_8000).unwrap();
    rx.accept(ms(280), &header(14, 165 + 8_000 * 3_600), ClockRate::HZ_8000).unwrap();
    assert_eq!(rx.jitter(), Duration::ZERO);
}
