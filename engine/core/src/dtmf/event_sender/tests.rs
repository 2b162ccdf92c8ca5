use super::*;
use crate::dtmf::{EventReceiver, EventUpdate};
use trestle_wire::{ExtSeq, RtpTime};

/// One instant to count from.
#[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn digit(name: char) -> Digit {
    Digit::from_char(name).unwrap()
}

/// The packets of a sender: milliseconds, digit with `M` before and `E` after it, ticks.
fn drain(sender: &mut EventSender, start: Instant, now: Instant, log: &mut Vec<String>) {
    while let Some(packet) = sender.poll_packet(now) {
        let event = TelephoneEvent::parse(&packet.payload).unwrap();
        log.push(format!(
            "{} {}{}{} {}",
            (now - start).as_millis(),
            if packet.first { "M" } else { "" },
            Digit::from_event(event.event).unwrap().to_char(),
            if event.end { "E" } else { "" },
            event.duration_ticks,
        ));
    }
}

/// Runs from deadline to deadline until `until`, or until there is none.
fn run(sender: &mut EventSender, start: Instant, until: Instant, log: &mut Vec<String>) {
    while let Some(at) = sender.poll_timeout().filter(|at| *at < until) {
        drain(sender, start, at.max(start), log);
    }
}

fn forever(start: Instant) -> Instant {
    start + Duration::from_secs(100_000)
}

#[test]
fn a_digit_grows_by_20_ms_and_ends_three_times() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.play(start, digit('5'), ms(100), 10);
    assert!(sender.is_active());
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log, ["0 M5 160", "20 5 320", "40 5 480", "60 5 640", "80 5E 800", "100 5E 800", "120 5E 800"]);
    assert!(!sender.is_active());
}

#[test]
fn a_duration_between_two_packets_is_sent_exactly() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.play(start, digit('5'), ms(45), 10);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log, ["0 M5 160", "20 5 320", "40 5E 360", "60 5E 360", "80 5E 360"]);
}

#[test]
fn digits_are_40_ms_at_least_and_40_ms_apart() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.play(start, digit('1'), ms(1), 10);
    sender.play(start, digit('1'), ms(1), 10);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(
        log,
        ["0 M1 160", "20 1E 320", "40 1E 320", "60 1E 320", "80 M1 160", "100 1E 320", "120 1E 320", "140 1E 320"]
    );
}

#[test]
fn a_live_digit_ends_with_its_release() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.start(start, digit('*'), 7);
    run(&mut sender, start, start + ms(65), &mut log);
    sender.end(start + ms(65), ms(72));
    drain(&mut sender, start, start + ms(65), &mut log);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log, ["0 M* 160", "20 * 320", "40 * 480", "60 * 640", "65 *E 640", "85 *E 640", "105 *E 640"]);
}

#[test]
fn a_live_digit_longer_than_the_time_since_its_start_continues() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    // The start was lost on its way and the end brings both.
    sender.start(start, digit('*'), 7);
    sender.end(start, ms(80));
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log, ["0 M* 160", "20 * 320", "40 * 480", "60 *E 640", "80 *E 640", "100 *E 640"]);
}

#[test]
fn a_live_digit_without_a_release_ends_after_5_s() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.start(start, digit('0'), 7);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log.last().unwrap(), "5040 0E 40000");
    sender.end(start + ms(9_000), ms(9_000));
    assert!(!sender.is_active());
}

#[test]
fn a_live_digit_waits_for_the_one_before_and_keeps_its_length() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.play(start, digit('1'), ms(60), 10);
    sender.start(start + ms(10), digit('2'), 7);
    run(&mut sender, start, start + ms(30), &mut log);
    sender.end(start + ms(30), ms(50));
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log[5..], ["100 M2 160", "120 2 320", "140 2E 400", "160 2E 400", "180 2E 400"]);
}

#[test]
fn a_second_key_releases_the_first_one() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.start(start, digit('1'), 7);
    run(&mut sender, start, start + ms(50), &mut log);
    sender.start(start + ms(50), digit('2'), 7);
    sender.end(start + ms(50), ms(40));
    run(&mut sender, start, forever(start), &mut log);
    let ends: Vec<&String> = log.iter().filter(|line| line.contains("E ")).collect();
    assert_eq!(ends.len(), 6);
    assert_eq!(log.iter().filter(|line| line.contains('M')).count(), 2);
}

#[test]
fn an_event_longer_than_16_bits_is_cut_into_segments() {
    let (mut sender, start) = (EventSender::default(), start());
    sender.play(start, digit('9'), ms(9_000), 10);
    let mut packets = Vec::new();
    while let Some(at) = sender.poll_timeout() {
        while let Some(packet) = sender.poll_packet(at) {
            packets.push((packet, TelephoneEvent::parse(&packet.payload).unwrap()));
        }
    }
    let cut = packets.iter().position(|(packet, _)| packet.offset > Duration::ZERO).unwrap();
    let (last, event) = packets[cut - 1];
    assert_eq!((event.duration_ticks, event.end, last.offset), (0xffff, false, Duration::ZERO));
    let (next, event) = packets[cut];
    // 8,200 ms have passed, 65,600 ticks.
    assert_eq!((event.duration_ticks, event.end, next.first), (65, false, false));
    assert_eq!(next.offset, ClockRate::HZ_8000.duration(0xffff));
    assert_eq!(packets.iter().filter(|(packet, _)| packet.first).count(), 1);
    let ends: Vec<u16> = packets.iter().filter(|(_, event)| event.end).map(|(_, event)| event.duration_ticks).collect();
    assert_eq!(ends, [6_465; 3]);
}

#[test]
fn a_late_timer_costs_packets_but_not_duration() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.play(start, digit('5'), ms(200), 10);
    drain(&mut sender, start, start, &mut log);
    drain(&mut sender, start, start + ms(105), &mut log);
    drain(&mut sender, start, start + ms(300), &mut log);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log, ["0 M5 160", "105 5 1000", "300 5E 1600", "320 5E 1600", "340 5E 1600"]);
}

#[test]
fn a_machine_that_was_held_up_does_not_lengthen_a_live_digit() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.start(start, digit('5'), 7);
    drain(&mut sender, start, start, &mut log);
    // 400 ms later all packets that arrived meanwhile are read, the end of the key last.
    drain(&mut sender, start, start + ms(400), &mut log);
    sender.end(start + ms(400), ms(100));
    drain(&mut sender, start, start + ms(400), &mut log);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log, ["0 M5 160", "400 5 320", "400 5E 800", "420 5E 800", "440 5E 800"]);
}

#[test]
fn the_announced_event_clock_is_used() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    sender.set_clock(ClockRate::HZ_48000);
    sender.play(start, digit('5'), ms(40), 10);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log[..2], ["0 M5 960", "20 5E 1920"]);
}

#[test]
fn the_queue_of_digits_is_bounded() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    let taken = (0..limits::DIGITS_MAX + 10).filter(|_| sender.play(start, digit('5'), ms(40), 10)).count();
    assert_eq!(taken, limits::DIGITS_MAX);
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log.iter().filter(|line| line.contains('M')).count(), limits::DIGITS_MAX);
}

#[test]
fn the_queue_of_digits_is_bounded_by_their_duration() {
    let (mut sender, start, mut log) = (EventSender::default(), start(), Vec::new());
    assert!(sender.play(start, digit('1'), ms(5_000), 10));
    drain(&mut sender, start, start, &mut log);
    let taken = (0..1_000).filter(|_| sender.play(start, digit('5'), ms(5_000), 10)).count();
    assert_eq!(taken, 1, "one is sent, one waits, and two would last longer than 10 s");
    assert!(!sender.start(start, digit('6'), 10), "keys of the source, too");
    sender.end(start, ms(100));
    run(&mut sender, start, forever(start), &mut log);
    assert_eq!(log.iter().filter(|line| line.contains('M')).count(), 2);
    assert!(sender.start(start + ms(60_000), digit('6'), 10), "there is room again");
}

#[test]
fn the_longest_digit_fits_into_an_empty_queue() {
    let (mut sender, start) = (EventSender::default(), start());
    assert!(sender.play(start, digit('5'), crate::dtmf::DIGIT_MAX, 10));
    assert!(!sender.play(start, digit('5'), ms(40), 10));
}

/// A thousand digits over a path that loses a fifth of the packets, duplicates some and reorders some: each arrives
/// once, in order, and its duration is right unless all its ends were lost.
#[test]
fn a_thousand_digits_arrive_once_each_through_20_percent_loss() {
    let seed = 0x5eed_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let start = start();
    let (mut sender, mut now) = (EventSender::default(), start);
    let mut arrivals = Vec::new();
    let (mut pressed, mut seq, mut time) = (Vec::new(), 0, 0);
    for n in 0..1_000 {
        let (key, length) = (Digit::from_event(random(16) as u8).unwrap(), ms(40 + random(25) * 20));
        pressed.push((key, length));
        sender.play(now, key, length, 10);
        let sent_before = arrivals.len();
        while let Some(at) = sender.poll_timeout() {
            now = at;
            while let Some(packet) = sender.poll_packet(now) {
                seq += 1;
                if packet.first {
                    time = (now - start).as_millis() as u32 * 48;
                }
                if random(5) != 0 {
                    arrivals.push((now + ms(random(30)), seq, time, packet.payload));
                }
                if random(50) == 0 {
                    arrivals.push((now + ms(random(60)), seq, time, packet.payload));
                }
            }
        }
        if arrivals.len() == sent_before {
            println!("digit {n} was lost whole");
            pressed.pop();
        }
        now += ms(60);
    }
    arrivals.sort_by_key(|arrival| arrival.0);
    let mut receiver = EventReceiver::default();
    let mut received = Vec::new();
    let mut down = None;
    for (at, seq, time, payload) in arrivals {
        let mut updates = receiver.handle_timeout(at);
        updates.extend(receiver.observe(at, ClockRate::HZ_8000, ExtSeq(seq), RtpTime(time), &payload).unwrap());
        for update in updates {
            match update {
                EventUpdate::Started { digit, .. } => assert_eq!(down.replace(digit), None, "started before the end"),
                EventUpdate::Ended { digit, duration, .. } => {
                    assert_eq!(down.take(), Some(digit));
                    received.push((digit, duration));
                }
            }
        }
    }
    for update in receiver.handle_timeout(now + ms(1_000)) {
        if let EventUpdate::Ended { digit, duration, .. } = update {
            received.push((digit, duration));
        }
    }
    let keys = |list: &[(Digit, Duration)]| list.iter().map(|(digit, _)| digit.to_char()).collect::<String>();
    assert_eq!(keys(&received), keys(&pressed));
    let wrong = pressed.iter().zip(&received).filter(|((_, sent), (_, got))| sent.abs_diff(*got) > ms(20)).count();
    // All three ends are lost in 0.8 percent of the presses.
    assert!(wrong <= 25, "{wrong} durations are off");
}
