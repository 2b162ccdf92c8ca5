use proptest::prelude::*;

use super::*;

/// One instant to count from.
#[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
fn start() -> Instant {
    Instant::now()
}

/// A packet of 20 ms, as received. `n` is its place in the source's time, `id` its payload.
#[derive(Debug, Clone, Copy)]
struct Packet {
    at_us: i64,
    source: u64,
    seq: u64,
    time: u32,
    id: u32,
    duration_us: i64,
}

const FRAME: i64 = 20_000;

/// Packet `n` of a source that begins just before both wraps, on time.
fn packet(n: i64) -> Packet {
    Packet {
        at_us: n * FRAME,
        source: 1,
        seq: (65_530 + n) as u64,
        time: (u32::MAX - 500).wrapping_add((n * 160) as u32),
        id: n as u32,
        duration_us: FRAME,
    }
}

fn packets(range: std::ops::Range<i64>) -> Vec<Packet> {
    range.map(packet).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Frame(u32),
    Dropped(u32),
    Missing,
}

#[derive(Debug, Default)]
struct Log {
    due: Vec<(i64, i64, What)>,
    discards: Vec<Discard>,
    longest_wait_us: i64,
}

/// Runs a playout through the packets, which are put in order of arrival, and further until `until_us`.
fn run(mut packets: Vec<Packet>, until_us: i64) -> Log {
    packets.sort_by_key(|packet| packet.at_us);
    let mut log = Log::default();
    let (mut playout, start) = (Playout::default(), start());
    let at = |us: i64| start + Duration::from_micros(us as u64);
    playout.start_epoch(start);
    for packet in packets.iter().take_while(|packet| packet.at_us < until_us) {
        log.idle(&mut playout, start, packet.at_us);
        let arrival = SourceFrame {
            source: packet.source,
            seq: ExtSeq(packet.seq),
            time: RtpTime(packet.time),
            codec: Codec::Pcma,
            duration_us: packet.duration_us,
            payload: &packet.id.to_be_bytes(),
        };
        log.discards.extend(playout.push(at(packet.at_us), &arrival).err());
        log.drain(&mut playout, packet.at_us);
    }
    log.idle(&mut playout, start, until_us);
    log
}

impl Playout {
    fn start_epoch(&mut self, start: Instant) {
        self.epoch = Some(start);
    }
}

impl Log {
    fn idle(&mut self, playout: &mut Playout, start: Instant, until_us: i64) {
        while let Some(at) = playout.poll_timeout() {
            let us = (at - start).as_micros() as i64;
            if us >= until_us {
                break;
            }
            playout.handle_timeout(at);
            let before = self.due.len();
            self.drain(playout, us);
            assert!(self.due.len() > before, "woken for nothing at {us}");
        }
    }

    fn drain(&mut self, playout: &mut Playout, now_us: i64) {
        while let Some(due) = playout.poll() {
            let (length_us, what) = match due {
                PlayoutOutput::Frame { payload, skip_us, drop, .. } => {
                    let id = u32::from_be_bytes(payload.try_into().unwrap());
                    if drop { (0, What::Dropped(id)) } else { (FRAME - skip_us, What::Frame(id)) }
                }
                PlayoutOutput::Missing { length_us, .. } => (length_us, What::Missing),
            };
            let since = self.due.last().map_or(now_us, |(at, ..)| *at);
            self.longest_wait_us = self.longest_wait_us.max(now_us - since);
            self.due.push((now_us, length_us, what));
        }
    }

    fn frames(&self) -> Vec<u32> {
        self.due
            .iter()
            .filter_map(|(_, _, what)| match what {
                What::Frame(id) => Some(*id),
                _ => None,
            })
            .collect()
    }

    fn missing(&self) -> usize {
        self.due.iter().filter(|(_, _, what)| *what == What::Missing).count()
    }

    /// All output for the listener, in milliseconds.
    fn total_ms(&self) -> i64 {
        self.due.iter().map(|(_, length_us, _)| length_us).sum::<i64>() / 1_000
    }

    fn assert_order(&self, name: &str) {
        let frames = self.frames();
        assert!(frames.windows(2).all(|pair| pair[0] < pair[1]), "{name}: a frame twice or out of order");
    }

    /// Longest run of filled pieces, in milliseconds.
    fn longest_fill_ms(&self) -> i64 {
        let (mut longest, mut run) = (0, 0);
        for (_, length_us, what) in &self.due {
            run = if *what == What::Missing { run + length_us } else { 0 };
            longest = longest.max(run);
        }
        longest / 1_000
    }
}

/// Numbers from a seed, for jitter and loss.
fn dice(seed: u64) -> impl FnMut(i64) -> i64 {
    println!("seed {seed:#x}");
    let mut state = seed;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as i64
    }
}

#[test]
fn on_a_clean_path_every_frame_is_due_as_it_arrives() {
    let log = run(packets(0..3_000), 3_000 * FRAME);
    let expected: Vec<_> = (0..3_000).map(|n| (n * FRAME, FRAME, What::Frame(n as u32))).collect();
    assert_eq!(log.due, expected);
    assert_eq!(log.discards, []);
}

#[test]
fn jitter_costs_few_frames_and_keeps_the_order_and_the_listener_gets_one_per_20_ms() {
    // Milliseconds of jitter, share of pieces filled at most in the first ten seconds and afterwards, per mille.
    for (jitter_ms, first, later) in [(20, 30, 10), (50, 40, 10), (100, 40, 15), (200, 60, 30)] {
        let mut random = dice(0xa5a5 + jitter_ms as u64);
        let jittered: Vec<Packet> = (0..6_000)
            .map(|n| Packet { at_us: packet(n).at_us + 1_000 * random(jitter_ms + 1), ..packet(n) })
            .collect();
        let log = run(jittered, 6_000 * FRAME);
        let name = format!("{jitter_ms} ms of jitter");
        log.assert_order(&name);
        let filled = |from: i64, to: i64| {
            let span = |at: &i64| (from * 1_000_000..to * 1_000_000).contains(at);
            let missing = log.due.iter().filter(|(at, _, what)| span(at) && *what == What::Missing).count();
            missing as i64 * 1_000 / ((to - from) * 50)
        };
        println!("{name}: {} and {} per mille filled", filled(0, 10), filled(10, 120));
        assert!(filled(0, 10) <= first && filled(10, 120) <= later, "{name}: {} {}", filled(0, 10), filled(10, 120));
        let short = 120_000 - log.total_ms();
        assert!((-20..=jitter_ms + 20).contains(&short), "{name}: {short} ms too few");
    }
}

#[test]
fn a_lost_frame_is_filled_once_and_nothing_else_is_late() {
    let mut sent = packets(0..500);
    sent.retain(|packet| packet.id % 25 != 7);
    let log = run(sent, 500 * FRAME);
    assert_eq!(log.missing(), 20);
    assert_eq!(log.frames().len(), 480);
    assert_eq!(log.total_ms(), 10_000);
}

#[test]
fn two_frames_out_of_order_cost_nothing() {
    let mut sent = packets(0..100);
    for n in (10..90).step_by(10) {
        sent[n].at_us += FRAME + 2_000;
    }
    let log = run(sent, 100 * FRAME);
    assert_eq!((log.missing(), log.frames().len()), (0, 100));
    log.assert_order("swapped pairs");
}

#[test]
fn after_a_freeze_of_a_second_the_delayed_frames_are_not_played_late() {
    let mut sent = packets(0..1_000);
    for packet in &mut sent[200..250] {
        packet.at_us = 250 * FRAME;
    }
    let log = run(sent, 1_000 * FRAME);
    log.assert_order("freeze");
    assert_eq!(log.total_ms(), 20_000);
    assert!((40..=50).contains(&log.missing()), "{} filled", log.missing());
    assert!(log.longest_wait_us <= FILL_SPACING_MAX_US, "the listener waits {} us", log.longest_wait_us);
    // No waiting any more.
    assert!(log.due[960..].iter().all(|(at, _, what)| *what == What::Frame((at / FRAME) as u32)));
}

#[test]
fn an_hour_of_drift_neither_starves_nor_floods_the_listener() {
    for ppm in [-100, 100] {
        let sent: Vec<Packet> =
            (0..180_000).map(|n| Packet { at_us: n * FRAME + n * FRAME / 1_000_000 * ppm, ..packet(n) }).collect();
        let log = run(sent, 3_600_000_000 + 400_000);
        assert_eq!(log.frames().len(), 180_000, "{ppm} ppm");
        assert!(log.missing() <= 40, "{ppm} ppm: {} filled, the last 400 ms among them", log.missing());
        assert!(log.due.iter().all(|(at, _, what)| match what {
            What::Frame(n) => *at == packet((*n).into()).at_us + i64::from(*n) * FRAME / 1_000_000 * ppm,
            _ => true,
        }));
    }
}

#[test]
fn pauses_that_the_source_does_not_send_are_filled_at_the_same_pace() {
    // Two seconds of speech, three without packets, repeated.
    let sent: Vec<Packet> = packets(0..15_000)
        .into_iter()
        .filter(|packet| packet.id % 250 < 100)
        .enumerate()
        .map(|(sent, packet)| Packet { seq: 65_530 + sent as u64, ..packet })
        .collect();
    let talk = sent.len();
    let log = run(sent, 15_000 * FRAME);
    log.assert_order("DTX");
    assert_eq!(log.frames().len(), talk);
    assert!((300_000 - log.total_ms()).abs() <= 40, "{} ms", log.total_ms());
    assert!(log.longest_wait_us <= 2 * FRAME, "the listener waits {} us", log.longest_wait_us);
}

#[test]
fn when_the_source_stops_the_listener_still_gets_frames() {
    let log = run(packets(0..50), 60_000_000);
    assert!((60_000 - log.total_ms()).abs() <= 60, "{} ms", log.total_ms());
    let fills: Vec<i64> = log.due[51..].windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(fills.iter().all(|spacing| *spacing == FRAME), "an even pace");
}

#[test]
fn a_started_playout_is_silent_until_the_first_frame() {
    let (mut playout, now) = (Playout::default(), start());
    playout.start(now);
    let mut log = Log::default();
    log.drain(&mut playout, 0);
    assert_eq!(log.due, [(0, FRAME, What::Missing)], "at once");
    log.idle(&mut playout, now, 110_000);
    assert_eq!(log.due.len(), 6);
    let Packet { source, time, duration_us, .. } = packet(0);
    let arrival = SourceFrame {
        source,
        seq: ExtSeq(65_530),
        time: RtpTime(time),
        codec: Codec::Pcma,
        duration_us,
        payload: &[0; 4],
    };
    playout.push(now + Duration::from_millis(110), &arrival).unwrap();
    log.drain(&mut playout, 110_000);
    assert_eq!(log.due[6..], [(110_000, FRAME, What::Frame(0))]);
    playout.stop();
    assert_eq!((playout.poll_timeout(), playout.poll()), (None, None));
}

#[test]
fn a_slower_path_is_followed_and_a_recovered_one_leaves_no_delay() {
    for slower_ms in [60, 150, 300, 800] {
        // Ten seconds each way, five times.
        let mut sent = packets(0..5_000);
        for packet in sent.iter_mut().filter(|packet| packet.id / 500 % 2 == 1) {
            packet.at_us += slower_ms * 1_000;
        }
        let log = run(sent, 5_000 * FRAME);
        log.assert_order("slower");
        let error = log.total_ms() - 100_000;
        assert!((-300 - slower_ms..=60).contains(&error), "{slower_ms} ms slower: {error} ms too much");
        let played = log.frames().len();
        let lost = 5_000 - played as i64;
        // Each slow interval costs its additional delay, and a little to notice; each recovery the same, to catch up.
        assert!(lost <= 5 * (2 * slower_ms / 20 + 15), "{slower_ms} ms slower: {lost} frames not played");
        assert!(log.longest_fill_ms() <= slower_ms + 200, "{slower_ms}: {} ms filled", log.longest_fill_ms());
    }
}

#[test]
fn a_source_that_jumps_costs_at_most_200_ms() {
    let second = 8_000i64;
    let forth = |ticks: i64| move |n: i64| if n >= 250 { ticks } else { 0 };
    type Jump = Box<dyn Fn(i64) -> i64>;
    // The jump of the timestamp, and of the number, of packet n.
    let table: Vec<(&str, Jump, i64)> = vec![
        ("+1 s", Box::new(forth(second)), 0),
        ("-1 s", Box::new(forth(-second)), 0),
        ("+1 h", Box::new(forth(3_600 * second)), 0),
        ("-1 h", Box::new(forth(-3_600 * second)), 0),
        ("half the range", Box::new(forth(1 << 31)), 0),
        ("stuck", Box::new(|n| if n >= 250 { (250 - n) * 160 } else { 0 }), 0),
        ("backwards", Box::new(|n| if n >= 250 { (250 - n) * 320 } else { 0 }), 0),
        ("too fast", Box::new(|n| if n >= 250 { (n - 250) * 800 } else { 0 }), 0),
        ("number +100", Box::new(|_| 0), 100),
        ("number +3,000", Box::new(|_| 0), 3_000),
        ("number of the next cycle", Box::new(|_| 0), 65_536),
        ("both", Box::new(forth(-3_600 * second)), 32_767),
    ];
    for (name, ticks, numbers) in table {
        let mut sent = packets(0..500);
        for packet in &mut sent {
            packet.time = packet.time.wrapping_add(ticks(packet.id.into()) as u32);
            packet.seq += if packet.id >= 250 { numbers as u64 } else { 0 };
        }
        let log = run(sent, 500 * FRAME);
        log.assert_order(name);
        assert!(log.longest_fill_ms() <= 200, "{name}: {} ms filled", log.longest_fill_ms());
        assert!(log.frames().len() >= 490, "{name}: {} frames played", log.frames().len());
        assert!((10_000 - log.total_ms()).abs() <= 40, "{name}: {} ms", log.total_ms());
        assert!(log.longest_wait_us <= FILL_SPACING_MAX_US, "{name}: waits {} us", log.longest_wait_us);
    }
}

#[test]
fn a_change_of_source_is_played_at_once_however_often() {
    // A new source every 990 ms, each with its own numbers; 10 ms out of phase with the one before.
    let mut sent = Vec::new();
    for spell in 0..100i64 {
        for n in 0..49 {
            sent.push(Packet {
                at_us: spell * 990_000 + n * FRAME,
                source: spell as u64,
                seq: (100_000 + n - spell * 500) as u64,
                time: (spell * 1_234_567 + n * 160) as u32,
                id: (spell * 49 + n) as u32,
                duration_us: FRAME,
            });
        }
    }
    let count = sent.len();
    let log = run(sent, 99_000_000);
    log.assert_order("sources");
    assert!(log.frames().len() >= count - 60, "{} of {count}", log.frames().len());
    assert!((99_000 - log.total_ms()).abs() <= 60, "{} ms", log.total_ms());
    let begins: Vec<_> = log.due.iter().filter(|(_, _, what)| matches!(what, What::Frame(n) if n % 49 == 0)).collect();
    assert!(begins.iter().all(|(at, ..)| at % 990_000 == 0));
}

#[test]
fn the_packet_time_may_change_in_mid_stream() {
    let (mut sent, mut at_us, mut seq) = (Vec::new(), 0, 65_530);
    for (count, duration_us) in [(100, 20_000), (50, 40_000), (200, 10_000), (40, 60_000), (66, 30_000)] {
        for _ in 0..count {
            let time = (u32::MAX - 500).wrapping_add((at_us / 125) as u32);
            // A longer packet is sent later, after all of its audio.
            sent.push(Packet { at_us: at_us + duration_us, source: 1, seq, time, id: seq as u32, duration_us });
            at_us += duration_us;
            seq += 1;
        }
    }
    let log = run(sent.clone(), at_us);
    log.assert_order("packet times");
    assert!(sent.len() - log.frames().len() <= 4, "{} of {} played", log.frames().len(), sent.len());
}

#[test]
fn a_frame_half_of_which_was_filled_gives_its_other_half() {
    // 60 ms each; one is 50 ms late, after its first 20 ms have been filled.
    let mut sent: Vec<Packet> = (0..100)
        .map(|n| Packet { at_us: n * 60_000, time: (n * 480) as u32, duration_us: 60_000, ..packet(n) })
        .collect();
    sent[90].at_us += 25_000;
    let (mut playout, start) = (Playout::default(), start());
    let mut skipped = Vec::new();
    for packet in sent {
        let now = start + Duration::from_micros(packet.at_us as u64);
        while playout.poll_timeout().is_some_and(|at| at < now) {
            playout.handle_timeout(playout.poll_timeout().unwrap());
            while playout.poll().is_some() {}
        }
        let Packet { source, seq, time, duration_us, .. } = packet;
        let (seq, time) = (ExtSeq(seq), RtpTime(time));
        playout
            .push(now, &SourceFrame { source, seq, time, codec: Codec::Pcma, duration_us, payload: &[0; 480] })
            .unwrap();
        while let Some(due) = playout.poll() {
            if let PlayoutOutput::Frame { skip_us, .. } = due {
                skipped.push(skip_us);
            }
        }
    }
    assert_eq!(skipped.iter().sum::<i64>(), 20_000);
    assert_eq!(skipped[90], 20_000);
}

#[test]
fn a_late_timer_does_not_fill_over_frames_that_have_arrived() {
    let (mut playout, start) = (Playout::default(), start());
    let push = |playout: &mut Playout, at_us: i64, n: i64| {
        let Packet { source, seq, time, duration_us, id, .. } = packet(n);
        let payload = &id.to_be_bytes();
        let arrival =
            SourceFrame { source, seq: ExtSeq(seq), time: RtpTime(time), codec: Codec::Pcma, duration_us, payload };
        playout.push(start + Duration::from_micros(at_us as u64), &arrival)
    };
    let mut log = Log::default();
    for n in 0..100 {
        push(&mut playout, n * FRAME, n).unwrap();
        log.drain(&mut playout, n * FRAME);
    }
    // The thread gets no time for 300 ms; its timer is served before the socket.
    let woken = 115 * FRAME;
    playout.handle_timeout(start + Duration::from_micros(woken as u64));
    log.drain(&mut playout, woken);
    for n in 100..116 {
        let _ = push(&mut playout, woken, n);
        log.drain(&mut playout, woken);
    }
    assert_eq!((log.missing(), log.frames().len()), (0, 116));
}

#[test]
fn the_time_of_a_stall_is_left_out_whether_or_not_a_timer_comes_first() {
    for (stall_ms, timer_first, is_source_silent) in [
        (1_000, false, false),
        (1_000, true, false),
        (5_000, false, false),
        (5_000, true, false),
        (600_000, true, false),
        (5_000, false, true),
        (5_000, true, true),
    ] {
        let (mut playout, start) = (Playout::default(), start());
        playout.start_epoch(start);
        let at = |us: i64| start + Duration::from_micros(us as u64);
        let mut log = Log::default();
        let push = |playout: &mut Playout, log: &mut Log, at_us: i64, n: i64| {
            let Packet { source, seq, time, duration_us, id, .. } = packet(n);
            let payload = &id.to_be_bytes();
            let arrival =
                SourceFrame { source, seq: ExtSeq(seq), time: RtpTime(time), codec: Codec::Pcma, duration_us, payload };
            log.discards.extend(playout.push(at(at_us), &arrival).err());
            log.drain(playout, at_us);
        };
        for n in 0..200 {
            log.idle(&mut playout, start, n * FRAME);
            push(&mut playout, &mut log, n * FRAME, n);
        }
        let silence = if is_source_silent { 50 } else { 0 };
        log.idle(&mut playout, start, (199 + silence) * FRAME + 1);
        let woken = 199 + silence + stall_ms / 20;
        let before = log.due.len();
        if timer_first {
            playout.handle_timeout(at(woken * FRAME));
            log.drain(&mut playout, woken * FRAME);
        }
        let first = if is_source_silent { woken } else { woken - 9 };
        for n in first..woken + 100 {
            if n > woken {
                log.idle(&mut playout, start, n * FRAME);
            }
            push(&mut playout, &mut log, n.max(woken) * FRAME, n);
        }
        let after = &log.due[before..];
        let filled_us: i64 = after.iter().filter(|(.., what)| *what == What::Missing).map(|(_, us, _)| us).sum();
        let frames = after.iter().filter(|(.., what)| matches!(what, What::Frame(_))).count();
        let case = format!("{stall_ms} ms, timer first {timer_first}, source silent {is_source_silent}");
        assert!(filled_us <= 60_000, "{case}: {filled_us} us filled");
        assert!(frames >= 100, "{case}: {frames} frames, {:?}", log.discards);
        // The last frames are due when they arrive.
        let (due_us, _, what) = after[after.len() - 1];
        assert_eq!((due_us, what), ((woken + 99) * FRAME, What::Frame((woken + 99) as u32)), "{case}");
    }
}

#[test]
fn late_and_repeated_frames_are_discarded_by_reason() {
    let mut sent = packets(0..100);
    sent[50].at_us += 90_000;
    sent.push(Packet { at_us: 80 * FRAME + 1_000, ..packet(80) });
    let log = run(sent, 100 * FRAME);
    assert_eq!(log.discards, [Discard::Late, Discard::Late]);
    assert_eq!(log.frames().len(), 99);
}

proptest! {
    /// For any numbers, timestamps and arrivals: each frame is due at most once, and the listener is neither flooded with
    /// pieces nor left without.
    #[test]
    fn no_packets_flood_or_starve_the_listener(
        steps in prop::collection::vec((
            0..60_000i64,
            prop_oneof![9 => Just(0u64), 1 => 0..3u64],
            prop_oneof![6 => Just(1i64), 3 => -5..5i64, 1 => any::<i16>().prop_map(i64::from)],
            prop_oneof![6 => Just(160i32), 2 => -2_000..2_000, 1 => any::<i32>()],
            prop_oneof![6 => Just(FRAME), 1 => Just(2_500i64), 1 => Just(60_000), 1 => Just(120_000)],
        ), 1..300),
    ) {
        let (mut at_us, mut seq, mut time) = (0, 1_000_000i64, 0u32);
        let sent: Vec<Packet> = (0..).zip(steps).map(|(id, (wait, source, seq_step, time_step, duration_us))| {
            at_us += wait;
            seq += seq_step;
            time = time.wrapping_add_signed(time_step);
            Packet { at_us, source, seq: seq as u64, time, id, duration_us }
        }).collect();
        let (first_us, count) = (sent[0].at_us, sent.len());
        let log = run(sent, at_us + 1_000_000);
        let mut frames = log.frames();
        frames.sort_unstable();
        frames.dedup();
        prop_assert_eq!(frames.len(), log.frames().len());
        prop_assert!(frames.len() <= count);
        let filled_us: i64 = log.due.iter().filter(|(_, _, what)| *what == What::Missing).map(|(_, us, _)| us).sum();
        prop_assert!(filled_us <= at_us + 1_000_000 - first_us + 500_000, "{filled_us} us filled");
        prop_assert!(log.longest_wait_us <= DELAY_MAX_US + 130_000, "waited {} us", log.longest_wait_us);
    }
}
