use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const AUDIO: Pt = Pt::new(111).unwrap();
const EVENT: Pt = Pt::new(126).unwrap();
const OPUS: ClockRate = ClockRate::HZ_48000;

/// One instant to count from.
#[expect(clippy::disallowed_methods, reason = "nothing but the clock makes an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Starts at sequence number 100 and timestamp 5,000.
fn stream(clock: ClockRate) -> StreamTx {
    StreamTx::new(Ssrc(9), 100, 5_000, AUDIO, clock)
}

fn brief(header: Header) -> (u16, u32, bool) {
    assert_eq!(header.ssrc, Ssrc(9));
    (header.seq.0, header.time.0, header.marker)
}

/// Forwards a packet whose number and timestamp both follow from `n`, 20 ms each.
fn forward(tx: &mut StreamTx, at: Instant, source: u64, n: u64) -> Option<(u16, u32, bool)> {
    let time = RtpTime(77 + n as u32 * 960);
    tx.forward(at, source, ExtSeq(70_000 + n), time, OPUS, false).map(brief)
}

#[test]
fn frames_follow_each_other_without_a_gap_at_any_jitter() {
    let (mut tx, now) = (stream(OPUS), start());
    assert_eq!(brief(tx.frame(now, 960)), (100, 5_000, true));
    assert_eq!(brief(tx.frame(now + ms(31), 960)), (101, 5_960, false));
    assert_eq!(brief(tx.frame(now + ms(31), 960)), (102, 6_920, false));
    assert_eq!(brief(tx.frame(now + ms(300), 480)), (103, 7_880, false));
    assert_eq!(brief(tx.frame(now + ms(310), 960)), (104, 8_360, false));
}

#[test]
fn the_first_number_leaves_room_before_the_wrap() {
    let mut tx = StreamTx::new(Ssrc(9), 0xffff, 0, AUDIO, OPUS);
    assert_eq!(tx.frame(start(), 960).seq.0, 0x7fff);
}

#[test]
fn forwarding_keeps_gaps_disorder_and_steps_of_the_source() {
    let (mut tx, now) = (stream(OPUS), start());
    let at = |n: u64| now + ms(20 * n);
    assert_eq!(forward(&mut tx, at(0), 1, 0), Some((100, 5_000, true)));
    assert_eq!(forward(&mut tx, at(1), 1, 1), Some((101, 5_960, false)));
    assert_eq!(forward(&mut tx, at(4), 1, 4), Some((104, 5_000 + 4 * 960, false)));
    assert_eq!(forward(&mut tx, at(5), 1, 3), Some((103, 5_000 + 3 * 960, false)), "late, into its gap");
    assert_eq!(forward(&mut tx, at(5), 1, 3), None, "its number is taken");
    assert_eq!(forward(&mut tx, at(5), 1, 5), Some((105, 5_000 + 5 * 960, false)));
}

#[test]
fn a_new_source_continues_with_the_next_number_and_wall_time() {
    let (mut tx, now) = (stream(OPUS), start());
    forward(&mut tx, now, 1, 0);
    forward(&mut tx, now + ms(20), 1, 1);
    assert_eq!(forward(&mut tx, now + ms(500), 2, 900), Some((102, 5_000 + 500 * 48, true)));
    assert_eq!(forward(&mut tx, now + ms(520), 2, 901), Some((103, 5_000 + 520 * 48, false)));
    assert_eq!(forward(&mut tx, now + ms(530), 2, 899), None, "before the change of source");
    // At once after a packet: never inside it.
    assert_eq!(forward(&mut tx, now + ms(521), 3, 0), Some((104, 5_000 + 540 * 48, true)));
}

#[test]
fn forwarding_and_frames_alternate_on_one_line() {
    let (mut tx, now) = (stream(OPUS), start());
    forward(&mut tx, now, 1, 0);
    assert_eq!(brief(tx.frame(now + ms(100), 960)), (101, 5_000 + 100 * 48, true));
    assert_eq!(brief(tx.frame(now + ms(120), 960)), (102, 5_000 + 120 * 48, false));
    assert_eq!(forward(&mut tx, now + ms(140), 1, 7), Some((103, 5_000 + 140 * 48, true)));
}

/// A packet of a source: when it arrives in microseconds, its number, and its timestamp in milliseconds.
type Arrival = (u64, u64, u64);

/// What became of a source.
#[derive(Debug, Default)]
struct Passage {
    lost: usize,
    frames: usize,
    /// How far the timestamps were ahead of wall time at most, and how far the last one was.
    ahead_ms: (i64, i64),
}

/// Forwards a source, with frames in its place as a leg with filler sends them: 40 ms after its last packet, or later.
fn pass(mut arrivals: Vec<Arrival>) -> Passage {
    let (mut tx, begun) = (stream(OPUS), start());
    let mut passage = Passage::default();
    let mut frame_at = u64::MAX;
    arrivals.sort_unstable();
    for (us, n, time_ms) in arrivals {
        let mut sent = Vec::new();
        while frame_at <= us {
            sent.push((frame_at, tx.frame(begun + Duration::from_micros(frame_at), 960)));
            frame_at += 20_000;
        }
        passage.frames += sent.len();
        let (seq, time) = (ExtSeq(70_000 + n), RtpTime(time_ms as u32 * 48));
        if tx.is_behind_frames(1, seq) {
            passage.lost += 1;
        } else {
            let header = tx.forward(begun + Duration::from_micros(us), 1, seq, time, OPUS, false);
            passage.lost += usize::from(header.is_none());
            sent.extend(header.map(|header| (us, header)));
            frame_at = us + 40_000 + tx.filler_delay().as_micros() as u64;
        }
        for (us, header) in sent {
            let stamped_ms = i64::from(RtpTime(5_000).distance_to(header.time)) / 48;
            let ahead_ms = stamped_ms - (us / 1_000) as i64;
            passage.ahead_ms = (passage.ahead_ms.0.max(ahead_ms), ahead_ms);
        }
    }
    passage
}

/// Up to `max` microseconds, not the same twice.
fn jitter_us(state: &mut u32, max: u64) -> u64 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    u64::from(*state >> 8) % (max + 1)
}

/// Talk of 60 packets, and pauses of `pause_ms`; in these, timestamps move on or not.
fn with_pauses(pause_ms: u64, pauses: u64, jitter_max_us: u64, move_on: bool) -> Vec<Arrival> {
    let mut random = 1;
    let packet = |n: u64| {
        let paused_ms = n / 60 * pause_ms;
        let time_ms = 20 * n + if move_on { paused_ms } else { 0 };
        let jitter = if n == 0 { 0 } else { jitter_us(&mut random, jitter_max_us) };
        (1_000 * (20 * n + paused_ms) + jitter, n, time_ms)
    };
    (0..60 * pauses).map(packet).collect()
}

#[test]
fn a_source_that_pauses_without_moving_its_timestamps_loses_nothing_to_the_frames_in_its_place() {
    for pause_ms in [40, 60, 150, 190, 400, 1_000, 3_000] {
        for jitter_max_us in [0, 15_000] {
            let passage = pass(with_pauses(pause_ms, 30, jitter_max_us, false));
            let what = format!("{pause_ms} ms, jitter {jitter_max_us} us: {passage:?}");
            assert_eq!(passage.lost, 0, "{what}");
            assert!(passage.frames > 0 && passage.ahead_ms.0 <= 40, "{what}");
        }
    }
}

#[test]
fn a_source_that_is_silent_while_its_timestamps_move_on_stays_at_wall_time() {
    for pause_ms in [100, 400, 2_000] {
        let passage = pass(with_pauses(pause_ms, 30, 15_000, true));
        assert!(passage.lost == 0 && passage.ahead_ms.0 <= 40, "{pause_ms} ms: {passage:?}");
    }
}

#[test]
fn a_source_that_the_network_holds_up_never_puts_the_timestamps_far_ahead_of_wall_time() {
    for held_up_ms in [60, 160, 300, 1_000, 3_000] {
        // A hundred times: packets of this time arrive at once, behind the frames in their place.
        let held_up = held_up_ms / 20;
        let arrival = |n: u64| {
            let (round, of_round) = (n / (60 + held_up), n % (60 + held_up));
            let time_ms = 20 * n;
            let until_ms = 20 * (round + 1) * (60 + held_up);
            (1_000 * if of_round < 60 { time_ms } else { until_ms }, n, time_ms)
        };
        let passage = pass((0..100 * (60 + held_up)).map(arrival).collect());
        assert!(passage.ahead_ms.0 <= 80, "{held_up_ms} ms: {passage:?}");
        assert!(passage.lost <= passage.frames, "{held_up_ms} ms: no more is lost than was replaced: {passage:?}");
    }
}

#[test]
fn an_hour_of_jitter_does_not_move_the_timestamps_away_from_wall_time() {
    for jitter_ms in [10, 30, 45, 60, 80] {
        let mut random = 1;
        let arrival = |n: u64| (20_000 * n + jitter_us(&mut random, 1_000 * jitter_ms), n, 20 * n);
        let passage = pass((0..180_000).map(arrival).collect());
        let most_ms = 80 + jitter_ms as i64;
        assert!(passage.ahead_ms.0 <= most_ms && passage.ahead_ms.1.abs() <= most_ms, "{jitter_ms} ms: {passage:?}");
        assert!(passage.lost <= 180_000 / 40, "{jitter_ms} ms: {passage:?}");
    }
}

#[test]
fn a_surplus_is_won_back_from_a_pause_between_two_packets_of_the_source() {
    let held_up = |n: u64| (1_000 * if (60..64).contains(&n) { 1_275 } else { 20 * n }, n, 20 * n);
    let talk: Vec<Arrival> = (0..100).map(held_up).collect();
    assert_eq!(pass(talk.clone()).ahead_ms.1, 80, "three frames, and the 20 ms before them");
    // Timestamps move on by 90 ms with one number. Frames are due after that.
    let after = (100..130).map(|n| (1_000 * (20 * n + 70), n, 20 * n + 70));
    let passage = pass(talk.into_iter().chain(after).collect());
    assert_eq!((passage.lost, passage.frames, passage.ahead_ms.1), (0, 3, 10));
}

#[test]
fn a_packet_from_before_the_frames_that_comes_after_them_does_not_end_them() {
    let (mut tx, now) = (stream(OPUS), start());
    forward(&mut tx, now, 1, 0);
    forward(&mut tx, now + ms(20), 1, 2);
    tx.frame(now + ms(60), 960);
    assert!(tx.is_behind_frames(1, ExtSeq(70_001)) && tx.is_behind_frames(1, ExtSeq(70_002)));
    assert!(!tx.is_behind_frames(1, ExtSeq(70_003)) && !tx.is_behind_frames(2, ExtSeq(70_001)));
}

#[test]
fn withheld_audio_uses_no_numbers_however_much_of_it_is_lost() {
    let (mut tx, now) = (stream(OPUS), start());
    forward(&mut tx, now, 1, 0);
    let mut last = 0;
    // 4.4 h, every twentieth packet is lost.
    for n in (1..800_000).filter(|n| n % 20 != 0) {
        tx.withheld(1, ExtSeq(70_000 + n));
        last = n;
    }
    let header = forward(&mut tx, now + ms(20 * (last + 1)), 1, last + 1);
    assert_eq!(header.map(|(seq, ..)| seq), Some(101));
}

#[test]
fn a_jump_of_the_source_does_not_move_the_line() {
    let hour = 3_600 * 48_000u32;
    // Advance of the third packet's timestamp and number over the second's, and the result.
    type Row = (&'static str, u32, u64, (u16, u32, bool));
    let table: [Row; 8] = [
        ("no jump", 960, 1, (102, 6_920, false)),
        ("+1 s", 48_000, 1, (102, 53_960, false)),
        ("-1 s", 0u32.wrapping_sub(48_000), 1, (102, 6_920, true)),
        ("+1 h", hour, 1, (102, 6_920, true)),
        ("-1 h", 0u32.wrapping_sub(hour), 1, (102, 6_920, true)),
        ("number +3,000", 960, 3_000, (3_101, 6_920, false)),
        ("number +3,001", 960, 3_001, (102, 6_920, true)),
        ("both", hour, 9_000, (102, 6_920, true)),
    ];
    for (name, ticks, numbers, expected) in table {
        let (mut tx, now) = (stream(OPUS), start());
        forward(&mut tx, now, 1, 0);
        forward(&mut tx, now + ms(20), 1, 1);
        let (seq, time) = (ExtSeq(70_001 + numbers), RtpTime((77u32 + 960).wrapping_add(ticks)));
        let header = tx.forward(now + ms(40), 1, seq, time, OPUS, false).unwrap();
        assert_eq!(brief(header), expected, "{name}");
    }
}

#[test]
fn a_source_that_paused_its_timestamps_on_hold_continues_at_wall_time() {
    let (mut tx, now) = (stream(OPUS), start());
    forward(&mut tx, now, 1, 0);
    assert_eq!(forward(&mut tx, now + ms(60_000), 1, 1), Some((101, 5_000 + 60_000 * 48, true)));
}

#[test]
fn a_pause_that_the_source_does_not_send_stays_a_step_of_its_timestamp() {
    let (mut tx, now) = (stream(OPUS), start());
    forward(&mut tx, now, 1, 0);
    let header = tx.forward(now + ms(30_010), 1, ExtSeq(70_001), RtpTime(77 + 30_000 * 48), OPUS, true);
    assert_eq!(header.map(brief), Some((101, 5_000 + 30_000 * 48, true)));
}

#[test]
fn an_absorbed_packet_leaves_no_gap_but_a_lost_one_does() {
    let (mut tx, now) = (stream(OPUS), start());
    let at = |n: u64| now + ms(20 * n);
    forward(&mut tx, at(0), 1, 0);
    tx.absorbed(1, ExtSeq(70_001));
    tx.absorbed(1, ExtSeq(70_002));
    assert_eq!(forward(&mut tx, at(3), 1, 3), Some((101, 5_000 + 3 * 960, false)));
    // 4 is lost, 5 absorbed.
    tx.absorbed(1, ExtSeq(70_005));
    assert_eq!(forward(&mut tx, at(6), 1, 6), Some((103, 5_000 + 6 * 960, false)));
    assert_eq!(forward(&mut tx, at(6), 1, 4), None, "which number would be its own is no longer known");
}

#[test]
fn an_event_has_one_timestamp_on_the_audio_line_and_one_marker() {
    let (mut tx, now) = (stream(OPUS), start());
    tx.frame(now, 960);
    tx.frame(now + ms(20), 960);
    let mut seen = Vec::new();
    for n in 0..5 {
        let header = tx.event(now + ms(40 + 20 * n), EVENT, n == 0, Duration::ZERO);
        assert_eq!(header.pt, EVENT);
        seen.push(brief(header));
        tx.skip(960);
    }
    assert_eq!(
        seen,
        [(102, 6_920, true), (103, 6_920, false), (104, 6_920, false), (105, 6_920, false), (106, 6_920, false),]
    );
    assert_eq!(
        brief(tx.frame(now + ms(140), 960)),
        (107, 5_000 + 140 * 48, false),
        "audio has the timestamp it would have had"
    );
}

#[test]
fn an_event_among_forwarded_packets_shifts_their_numbers_and_not_their_time() {
    let (mut tx, now) = (stream(OPUS), start());
    forward(&mut tx, now, 1, 0);
    assert_eq!(brief(tx.event(now + ms(10), EVENT, true, Duration::ZERO)), (101, 5_480, true));
    assert_eq!(brief(tx.event(now + ms(30), EVENT, false, Duration::ZERO)), (102, 5_480, false));
    tx.absorbed(1, ExtSeq(70_001));
    assert_eq!(forward(&mut tx, now + ms(40), 1, 2), Some((103, 5_000 + 40 * 48, false)));
    assert_eq!(forward(&mut tx, now + ms(60), 1, 3), Some((104, 5_000 + 60 * 48, false)));
}

#[test]
fn frames_that_are_behind_an_event_after_a_stall_continue_behind_it() {
    let (mut tx, now) = (stream(OPUS), start());
    tx.frame(now, 960);
    // For 606 ms nothing is sent.
    let event = tx.event(now + ms(606), EVENT, true, Duration::ZERO);
    assert_eq!(event.time.0, 5_000 + 606 * 48);
    tx.skip(960);
    let frame = tx.frame(now + ms(640), 960);
    assert!(event.time.distance_to(frame.time) > 0, "{event:?} {frame:?}");
}

#[test]
fn the_second_segment_of_a_long_event_begins_where_the_first_ended() {
    let (mut tx, now) = (stream(OPUS), start());
    let first = tx.event(now, EVENT, true, Duration::ZERO);
    let second = tx.event(now + ms(8_200), EVENT, false, ClockRate::HZ_8000.duration(0xffff));
    assert_eq!(first.time.distance_to(second.time), 0xffff * 6);
    assert!(!second.marker);
}

#[test]
fn two_events_never_share_a_timestamp_even_if_nothing_else_is_sent() {
    let (mut tx, now) = (stream(OPUS), start());
    let mut times: Vec<u32> = (0..5).map(|n| tx.event(now + ms(140 * n), EVENT, true, Duration::ZERO).time.0).collect();
    assert_eq!(times, [5_000, 5_000 + 6_720, 5_000 + 2 * 6_720, 5_000 + 3 * 6_720, 5_000 + 4 * 6_720]);
    times.push(tx.event(now + ms(560), EVENT, true, Duration::ZERO).time.0);
    assert_eq!(times[5], times[4] + 1);
}

#[test]
fn a_change_of_clock_continues_from_the_present_timestamp() {
    let (mut tx, now) = (stream(OPUS), start());
    tx.frame(now, 960);
    tx.frame(now + ms(20), 960);
    tx.set_audio(now + ms(40), Pt::PCMA, ClockRate::HZ_8000);
    let at_change = 5_000 + 40 * 48;
    let header = tx.frame(now + ms(40), 160);
    assert_eq!((header.pt, brief(header)), (Pt::PCMA, (102, at_change, true)));
    assert_eq!(brief(tx.frame(now + ms(60), 160)), (103, at_change + 160, false));
    tx.set_audio(now + ms(80), AUDIO, OPUS);
    assert_eq!(brief(tx.frame(now + ms(80), 960)), (104, at_change + 320, true));
}

#[test]
fn frames_after_a_long_pause_continue_at_wall_time() {
    let now = start();
    let late = |ms_late: u64| {
        let mut tx = stream(OPUS);
        tx.frame(now, 960);
        brief(tx.frame(now + ms(20 + ms_late), 960))
    };
    assert_eq!(late(900), (101, 5_960, false), "late, not paused");
    assert_eq!(late(9_000), (101, 5_000 + 9_020 * 48, true));
}

#[test]
fn the_line_of_a_sender_report_is_neither_moved_by_jitter_nor_left_behind_by_drift() {
    let (mut tx, now) = (stream(OPUS), start());
    // A source whose clock is 200 ppm slow, with up to 30 ms of jitter, for ten minutes.
    let mut random = 1u32;
    let mut jitter = 0;
    for n in 0..30_000u64 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        jitter = u64::from(random >> 16) % 30_000;
        let at = now + Duration::from_micros(n * 20_004 + jitter);
        tx.forward(at, 1, ExtSeq(70_000 + n), RtpTime(n as u32 * 960), OPUS, false).unwrap();
    }
    let end = now + Duration::from_micros(30_000 * 20_004 + jitter);
    let error = RtpTime(5_000 + 30_000 * 960).distance_to(tx.time_at(end));
    assert!(error.abs() < 48 * 35, "{error} ticks off");
}

#[test]
fn a_sender_report_counts_packets_and_payload() {
    let mut tx = stream(OPUS);
    tx.count(160);
    tx.count(40);
    assert_eq!((tx.packets(), tx.octets()), (2, 200));
}

#[derive(Debug, Clone)]
enum Step {
    Frame(u32),
    Skip(u32),
    Forward { source: u64, seq_ahead: i64, time_ahead: i32 },
    Absorbed { source: u64, seq_ahead: i64 },
    Event { first: bool },
    Clock(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let ahead = || prop_oneof![8 => Just(1i64), 4 => -5i64..5, 1 => -200i64..5_000];
    let ticks = || prop_oneof![6 => Just(960i32), 1 => any::<i32>()];
    prop_oneof![
        2 => prop_oneof![Just(480u32), Just(960), Just(2_880)].prop_map(Step::Frame),
        1 => Just(Step::Skip(960)),
        8 => (0..3u64, ahead(), ticks())
            .prop_map(|(source, seq_ahead, time_ahead)| Step::Forward { source, seq_ahead, time_ahead }),
        2 => (0..3u64, ahead()).prop_map(|(source, seq_ahead)| Step::Absorbed { source, seq_ahead }),
        2 => any::<bool>().prop_map(|first| Step::Event { first }),
        1 => any::<bool>().prop_map(Step::Clock),
    ]
}

proptest! {
    #[test]
    fn no_number_is_used_twice(steps in prop::collection::vec((step(), 0..200u64), 1..400)) {
        let (mut tx, mut now) = (stream(OPUS), start());
        let mut sources = [(70_000i64, 0u32); 3];
        let mut used = BTreeSet::new();
        let first = tx.highest();
        for (step, wait) in steps {
            now += ms(wait);
            let header = match step {
                Step::Frame(ticks) => Some(tx.frame(now, ticks)),
                Step::Skip(ticks) => { tx.skip(ticks); None }
                Step::Forward { source, seq_ahead, time_ahead } => {
                    let (seq, time) = &mut sources[source as usize];
                    *seq += seq_ahead;
                    *time = time.wrapping_add_signed(time_ahead);
                    tx.forward(now, source, ExtSeq(*seq as u64), RtpTime(*time), OPUS, false)
                }
                Step::Absorbed { source, seq_ahead } => {
                    let (seq, _) = &mut sources[source as usize];
                    *seq += seq_ahead;
                    tx.absorbed(source, ExtSeq(*seq as u64));
                    None
                }
                Step::Event { first } => Some(tx.event(now, EVENT, first, Duration::ZERO)),
                Step::Clock(opus) => {
                    tx.set_audio(now, AUDIO, if opus { OPUS } else { ClockRate::HZ_8000 });
                    None
                }
            };
            if let Some(header) = header {
                // The number with its wraps, as an SRTP index has them: the nearest to the highest.
                let distance = tx.highest().wire().distance_to(header.seq);
                let number = tx.highest().0.saturating_add_signed(distance.into());
                prop_assert!(number > first.0 && number <= tx.highest().0);
                prop_assert!(used.insert(number), "{number} again");
            }
        }
    }
}
