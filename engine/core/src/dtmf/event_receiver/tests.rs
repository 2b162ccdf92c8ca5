use super::EventUpdate::{Ended, Started};
use super::*;

const RATE: ClockRate = ClockRate::HZ_8000;

/// One instant to count from.
#[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A packet in transit: arrival, number, timestamp, event, E bit and duration.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at_ms: u64,
    seq: u64,
    time: u32,
    digit: char,
    end: bool,
    ticks: u16,
}

fn sent(at_ms: u64, seq: u64, time: u32, digit: char, end: bool, ticks: u16) -> Sent {
    Sent { at_ms, seq, time, digit, end, ticks }
}

/// The packets of a press: an update every 20 ms, the end three times.
fn press(at_ms: u64, seq: u64, time: u32, digit: char, length_ms: u64) -> Vec<Sent> {
    let updates = length_ms / 20;
    let ticks = |n: u64| (n * 160) as u16;
    let update = |n: u64| sent(at_ms + 20 * (n - 1), seq + n - 1, time, digit, n >= updates, ticks(n.min(updates)));
    (1..=updates + 2).map(update).collect()
}

fn run(packets: &[Sent]) -> String {
    run_at(RATE, packets)
}

/// Started keys as they are, ended ones with their milliseconds.
fn run_at(clock: ClockRate, packets: &[Sent]) -> String {
    let (mut receiver, start) = (EventReceiver::default(), start());
    let mut log = String::new();
    for Sent { at_ms, seq, time, digit, end, ticks: duration_ticks } in packets.iter().copied() {
        let now = start + ms(at_ms);
        if receiver.poll_timeout().is_some_and(|at| at <= now) {
            write(&mut log, &receiver.handle_timeout(now));
        }
        let event = Digit::from_char(digit).unwrap().event();
        let payload = TelephoneEvent { event, end, volume: 10, duration_ticks }.write();
        let updates = receiver.observe(now, clock, ExtSeq(seq + 70_000), RtpTime(time), &payload).unwrap();
        write(&mut log, &updates);
    }
    if let Some(at) = receiver.poll_timeout() {
        write(&mut log, &receiver.handle_timeout(at - ms(1)));
        log.push('~');
        write(&mut log, &receiver.handle_timeout(at));
    }
    log
}

fn write(log: &mut String, updates: &[EventUpdate]) {
    for update in updates {
        match update {
            Started { digit, volume } => log.push_str(&format!("{}v{volume} ", digit.to_char())),
            Ended { digit, duration, .. } => log.push_str(&format!("{}={} ", digit.to_char(), duration.as_millis())),
        }
    }
}

#[test]
fn a_press_starts_once_and_ends_once_with_its_duration() {
    assert_eq!(run(&press(0, 0, 960, '5', 100)), "5v10 5=100 ");
}

#[test]
fn a_press_is_received_once_whatever_is_lost() {
    let whole = press(0, 0, 960, '#', 100);
    // Which of the seven packets arrive.
    let table: [(&str, &[usize], &str); 7] = [
        ("the start lost", &[1, 2, 3, 4, 5, 6], "#v10 #=100 "),
        ("only the last end arrives", &[6], "#v10 #=100 "),
        ("the first two ends lost", &[0, 1, 2, 3, 6], "#v10 #=100 "),
        ("all ends lost", &[0, 1, 2, 3], "#v10 ~#=80 "),
        ("only the start arrives", &[0], "#v10 ~#=40 "),
        ("duplicated", &[0, 0, 1, 1, 1, 4, 4, 4, 4, 5, 6, 6], "#v10 #=100 "),
        ("end before the rest", &[4, 0, 1, 5, 3, 2, 6], "#v10 #=100 "),
    ];
    for (name, arriving, expected) in table {
        let packets: Vec<Sent> = arriving.iter().map(|i| whole[*i]).collect();
        assert_eq!(run(&packets), expected, "{name}");
    }
}

#[test]
fn a_new_event_ends_the_one_before_whose_end_was_lost() {
    let mut packets = press(0, 0, 960, '1', 100);
    packets.truncate(4);
    packets.extend(press(140, 7, 960 + 1_120, '1', 100));
    assert_eq!(run(&packets), "1v10 1=80 1v10 1=100 ");
}

#[test]
fn the_same_key_twice_is_two_presses() {
    let mut packets = press(0, 0, 0, '7', 60);
    packets.extend(press(100, 5, 800, '7', 60));
    assert_eq!(run(&packets), "7v10 7=60 7v10 7=60 ");
}

#[test]
fn late_packets_of_an_ended_event_are_ignored_during_the_next() {
    let first = press(0, 0, 0, '1', 60);
    let second = press(100, 5, 800, '2', 60);
    let mut packets = first.clone();
    packets.push(second[0]);
    packets.extend(&first);
    packets.extend(&second[1..]);
    packets.extend(&first);
    assert_eq!(run(&packets), "1v10 1=60 2v10 2=60 ");
}

#[test]
fn a_late_packet_of_an_unknown_event_does_not_split_the_next_one() {
    let first = press(0, 0, 0, '1', 60);
    let mut packets = press(100, 5, 800, '2', 60);
    packets.insert(1, first[4]);
    assert_eq!(run(&packets), "2v10 2=60 ");
}

#[test]
fn events_of_a_new_stream_count_though_its_numbers_and_timestamps_are_lower() {
    let mut packets = press(0, 60_000, 90_000, '1', 60);
    packets.extend(press(500, 200, 400, '2', 60));
    assert_eq!(run(&packets), "1v10 1=60 2v10 2=60 ");
}

#[test]
fn a_long_event_in_segments_is_one_press() {
    // 9 s: one full segment and 6,465 ticks, whose timestamps count at 8000 (RFC 4733) or in a 48 kHz audio clock.
    for segment_ahead in [0xffff, 6 * 0xffff] {
        let mut packets: Vec<Sent> = (1..=409).map(|n| sent(20 * n, n, 960, '9', false, (n * 160) as u16)).collect();
        packets.push(sent(8_200, 410, 960, '9', false, 0xffff));
        packets.extend(
            (1..=40).map(|n| sent(8_200 + 20 * n, 410 + n, 960 + segment_ahead, '9', n >= 40, (n * 160 + 65) as u16)),
        );
        assert_eq!(run(&packets), "9v10 9=9000 ", "segments {segment_ahead} ticks apart");
        // The packets around the cut lost, and one of the first segment late.
        let straggler = packets[300];
        packets.drain(405..412);
        packets.insert(420, straggler);
        assert_eq!(run(&packets), "9v10 9=9000 ", "segments {segment_ahead} ticks apart, with loss");
    }
}

#[test]
fn durations_counted_at_48_khz_and_announced_as_8_khz_are_corrected() {
    // As libwebrtc sends beside Opus: one packet, and 40 ms later three ends.
    let chromium = |at_ms, seq, time| {
        let end = sent(at_ms + 40, seq + 1, time, '4', true, 1_920);
        let again = |n| Sent { seq: seq + n, ..end };
        [sent(at_ms, seq, time, '4', false, 480), end, again(2), again(3)]
    };
    let first = chromium(0, 0, 48_000);
    assert_eq!(run(&first), "4v10 4=40 ");
    // Once known it stays known: here only an end of the second press arrives.
    let second = sent(600, 20, 96_000, '4', true, 9_600);
    assert_eq!(run(&[first.as_slice(), &[second]].concat()), "4v10 4=40 4v10 4=200 ");
}

#[test]
fn they_are_corrected_with_audio_packets_in_between() {
    // As baresip sends beside Opus: an event packet after each audio packet, 960 ticks further each time.
    let (mut receiver, start) = (EventReceiver::default(), start());
    let mut log = String::new();
    for n in 0..12 {
        let (now, seq) = (start + ms(20 * n), 70_000 + 2 * n);
        write(&mut log, &receiver.audio_resumed(ExtSeq(seq)));
        let duration_ticks = 960 * (n + 1).min(9) as u16;
        let payload = TelephoneEvent { event: 7, end: n >= 9, volume: 10, duration_ticks }.write();
        write(&mut log, &receiver.observe(now, RATE, ExtSeq(seq + 1), RtpTime(48_000), &payload).unwrap());
    }
    assert_eq!(log, "7v10 7=180 ");
}

#[test]
fn jitter_does_not_make_an_8_khz_peer_look_fast() {
    // The start is 70 ms late and all later packets arrive together after it.
    let mut packets = press(0, 0, 0, '3', 100);
    packets.iter_mut().for_each(|packet| packet.at_ms = packet.at_ms.max(70));
    packets.extend(press(400, 7, 3_200, '3', 100));
    assert_eq!(run(&packets), "3v10 3=100 3v10 3=100 ");
    // A sparse sender, whose two packets come at their proper distance.
    let sparse = [sent(0, 0, 0, '3', false, 160), sent(120, 1, 0, '3', true, 1_120)];
    assert_eq!(run(&sparse), "3v10 3=140 ");
}

#[test]
fn a_peer_wrongly_taken_for_a_fast_one_is_corrected() {
    let (mut receiver, start) = (EventReceiver::default(), start());
    receiver.counts_audio_ticks = true;
    let mut log = String::new();
    for packet in press(0, 0, 0, '8', 200) {
        let payload = TelephoneEvent { event: 8, end: packet.end, volume: 0, duration_ticks: packet.ticks }.write();
        let now = start + ms(packet.at_ms);
        write(&mut log, &receiver.observe(now, RATE, ExtSeq(packet.seq), RtpTime(packet.time), &payload).unwrap());
    }
    assert_eq!(log, "8v0 8=200 ");
}

#[test]
fn a_machine_that_was_held_up_does_not_make_a_48_khz_peer_look_slow() {
    // An update of 960 ticks every 20 ms, all but the first read together 500 ms later.
    let at_ms = |n: u64| if n == 0 { 0 } else { 500 };
    let packets: Vec<Sent> =
        (0..7).map(|n| sent(at_ms(n), n, 48_000, '4', n >= 4, 960 * (n.min(4) + 1) as u16)).collect();
    let (mut receiver, start) = (EventReceiver::default(), start());
    receiver.counts_audio_ticks = true;
    let mut log = String::new();
    for Sent { at_ms, seq, time, end, ticks: duration_ticks, .. } in packets {
        let payload = TelephoneEvent { event: 4, end, volume: 10, duration_ticks }.write();
        let updates = receiver.observe(start + ms(at_ms), RATE, ExtSeq(seq), RtpTime(time), &payload).unwrap();
        write(&mut log, &updates);
    }
    assert_eq!(log, "4v10 4=100 ");
}

#[test]
fn an_announced_48_khz_clock_is_used_as_announced() {
    let packets = [sent(0, 0, 0, '6', false, 960), sent(100, 1, 0, '6', true, 4_800)];
    assert_eq!(run_at(ClockRate::HZ_48000, &packets), "6v10 6=100 ");
}

#[test]
fn durations_stay_between_40_ms_and_10_s() {
    assert_eq!(run(&[sent(0, 0, 0, 'A', true, 8)]), "Av10 A=40 ");
    let slow = ClockRate::new(1_000).unwrap();
    assert_eq!(run_at(slow, &[sent(0, 0, 0, 'A', true, 60_000)]), "Av10 A=10000 ");
}

#[test]
fn events_that_are_not_digits_and_short_payloads_give_no_update() {
    let (mut receiver, now) = (EventReceiver::default(), start());
    let flash = TelephoneEvent { event: 16, end: false, volume: 0, duration_ticks: 160 }.write();
    assert!(receiver.observe(now, RATE, ExtSeq(1), RtpTime(0), &flash).unwrap().is_empty());
    assert_eq!(receiver.observe(now, RATE, ExtSeq(2), RtpTime(0), &[1, 2, 3]), Err(Malformed));
    assert_eq!(receiver.poll_timeout(), None);
}

#[test]
fn later_audio_ends_a_key_whose_end_was_lost() {
    let (mut receiver, now) = (EventReceiver::default(), start());
    let payload = TelephoneEvent { event: 1, end: false, volume: 0, duration_ticks: 480 }.write();
    receiver.observe(now, RATE, ExtSeq(100), RtpTime(0), &payload).unwrap();
    assert!(receiver.audio_resumed(ExtSeq(99)).is_empty(), "older than the event");
    assert!(receiver.audio_resumed(ExtSeq(101)).is_empty());
    assert!(receiver.audio_resumed(ExtSeq(102)).is_empty());
    assert_eq!(receiver.audio_resumed(ExtSeq(103)).len(), 1);
    assert!(receiver.audio_resumed(ExtSeq(104)).is_empty(), "once");
    assert!(receiver.observe(now, RATE, ExtSeq(105), RtpTime(0), &payload).unwrap().is_empty(), "late");
}

#[test]
fn updates_lost_with_the_ends_are_estimated() {
    // A key of 140 ms is seven updates, the last of them sent three times; audio continues after it.
    for arriving in [6, 5, 3, 1] {
        let (mut receiver, start) = (EventReceiver::default(), start());
        let mut log = String::new();
        for n in 0..arriving {
            let payload = TelephoneEvent { event: 2, end: false, volume: 10, duration_ticks: 160 * (n + 1) }.write();
            let (now, seq) = (start + ms(20 * u64::from(n)), ExtSeq(70_000 + u64::from(n)));
            write(&mut log, &receiver.observe(now, RATE, seq, RtpTime(0), &payload).unwrap());
        }
        for audio in 0..3 {
            write(&mut log, &receiver.audio_resumed(ExtSeq(70_009 + audio)));
        }
        assert_eq!(log, "2v10 2=140 ", "{arriving} updates arrive");
    }
}

#[test]
fn audio_beside_the_event_does_not_end_it() {
    let (mut receiver, now) = (EventReceiver::default(), start());
    let mut updates = Vec::new();
    let mut seq = 0;
    // A packet of each kind every 20 ms, then a stretch with updates lost.
    for ticks in (160..=4_000).step_by(160) {
        let payload = TelephoneEvent { event: 1, end: ticks == 4_000, volume: 0, duration_ticks: ticks }.write();
        let lost = (1_600..3_200).contains(&ticks);
        if !lost {
            updates.extend(receiver.observe(now, RATE, ExtSeq(seq), RtpTime(0), &payload).unwrap());
        }
        updates.extend(receiver.audio_resumed(ExtSeq(seq + 1)));
        seq += 2;
    }
    let digit = Digit::from_event(1).unwrap();
    assert_eq!(updates, [Started { digit, volume: 0 }, Ended { digit, duration: ms(500), volume: 0 }]);
}
