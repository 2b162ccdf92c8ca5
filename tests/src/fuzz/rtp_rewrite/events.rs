//! Digits: whatever comes, keys go down and come up in turn; what is pressed is reported once; what is sent has the shape
//! of RFC 4733.

use std::time::Duration;

use trestle_core::dtmf::{EventReceiver, EventSender, EventUpdate};
use trestle_wire::telephone_event::{Digit, TelephoneEvent};
use trestle_wire::{ClockRate, ExtSeq, RtpTime};

use super::super::input::Input;
use trestle_world::instant_zero;

/// Keys go down and come up in turn, one at a time, for 40 ms to 10 s.
pub(super) fn receiver(input: &mut Input<'_>) -> usize {
    let mut now = instant_zero();
    let mut receiver = EventReceiver::default();
    let (mut seq, mut time) = (ExtSeq(1 << 16 | u64::from(input.u16())), RtpTime(input.u32()));
    let mut down: Option<Digit> = None;
    let mut ended = 0;
    while !input.is_empty() {
        now += Duration::from_millis(input.byte().into());
        let step = if input.below(4) == 0 { i64::from(input.byte() as i8) } else { 1 };
        seq = ExtSeq(seq.0.saturating_add_signed(step).max(1));
        let updates = match input.below(8) {
            0 => receiver.audio_resumed(seq),
            1 => receiver.handle_timeout(now),
            choice => {
                if choice == 2 {
                    time = time.plus(input.u16().into());
                }
                let clock = input.one_of(&[ClockRate::HZ_8000, ClockRate::HZ_48000]);
                receiver.observe(now, clock, seq, time, input.take(4)).unwrap_or_default()
            }
        };
        for update in updates {
            match update {
                EventUpdate::Started { digit, volume } => {
                    assert_eq!(down.replace(digit), None, "{digit:?} goes down beside another key");
                    assert!(volume < 64);
                }
                EventUpdate::Ended { digit, duration, .. } => {
                    assert_eq!(down.take(), Some(digit), "a key comes up that was not down");
                    assert!((40..=10_000).contains(&duration.as_millis()), "{duration:?}");
                    ended += 1;
                }
            }
        }
        assert_eq!(receiver.poll_timeout().is_some(), down.is_some(), "{down:?} is released some time");
    }
    ended
}

/// Digits of an honest phone over a network that loses, repeats and swaps packets: each of which anything has arrived is
/// reported once, in order.
pub(super) fn received_once(input: &mut Input<'_>) -> usize {
    let mut packets = Vec::new();
    let mut time = RtpTime(input.u32());
    let (mut seq, mut at_ms) = (1u64 << 16, 0u64);
    while !input.is_empty() && packets.len() < 1_000 {
        let event = input.byte() % 16;
        let updates = 2 + input.below(12) as u16;
        for n in 1..=updates + 2 {
            let end = n >= updates;
            let duration_ticks = 160 * n.min(updates);
            packets.push((at_ms, seq, time, TelephoneEvent { event, end, volume: 10, duration_ticks }));
            (at_ms, seq) = (at_ms + 20, seq + 1);
        }
        // A pause, with audio that is not shown here.
        let pause = 3 + u64::from(input.byte() % 8);
        (at_ms, seq) = (at_ms + 20 * pause, seq + pause);
        time = time.plus(160 * (u32::from(updates) + pause as u32));

        // What the network does to the event.
        let first = packets.len() - usize::from(updates) - 2;
        for at in (first..packets.len()).rev() {
            match input.below(8) {
                0 => drop(packets.remove(at)),
                1 => packets.insert(at, packets[at]),
                // The later of the two waits for the earlier, so that time goes forward.
                2 if at + 1 < packets.len() => {
                    let (this, next) = (packets[at], packets[at + 1]);
                    packets[at] = (this.0.max(next.0), next.1, next.2, next.3);
                    packets[at + 1] = (this.0.max(next.0), this.1, this.2, this.3);
                }
                _ => {}
            }
        }
    }
    let mut pressed = Vec::new();
    for (_, _, time, event) in &packets {
        if pressed.last().is_none_or(|(last, _)| last != time) {
            pressed.push((*time, Digit::from_event(event.event)));
        }
    }

    let start = instant_zero();
    let mut receiver = EventReceiver::default();
    let mut received = Vec::new();
    let mut note = |updates: trestle_core::dtmf::EventUpdates| {
        for update in updates {
            if let EventUpdate::Ended { digit, .. } = update {
                received.push(Some(digit));
            }
        }
    };
    for (at_ms, seq, time, event) in &packets {
        let now = start + Duration::from_millis(*at_ms);
        while let Some(due) = receiver.poll_timeout().filter(|due| *due <= now) {
            note(receiver.handle_timeout(due));
        }
        let updates = receiver.observe(now, ClockRate::HZ_8000, ExtSeq(*seq), *time, &event.write());
        note(updates.expect("four bytes"));
    }
    while let Some(due) = receiver.poll_timeout() {
        note(receiver.handle_timeout(due));
    }
    let pressed: Vec<_> = pressed.into_iter().map(|(_, digit)| digit).collect();
    assert_eq!(received, pressed, "of {} packets", packets.len());
    received.len()
}

/// Every digit that begins has one marked first packet, a duration that never shrinks, and three end packets.
pub(super) fn sender(input: &mut Input<'_>) -> usize {
    let start = instant_zero();
    let mut now = start;
    let mut sender = EventSender::default();
    let (mut queued, mut refused) = (0, 0);
    let mut sounding: Option<(Digit, Duration, u32)> = None;
    let mut finished = 0;
    let mut steps = 0;
    loop {
        let is_over = input.is_empty();
        if !is_over {
            let digit = Digit::from_event(input.byte() % 16).expect("a key");
            let was_active = sender.is_active();
            let taken = match input.below(5) {
                0 => Some(sender.start(now, digit, input.byte() & 0x3f)),
                1 => Some(sender.play(now, digit, Duration::from_millis(u64::from(input.u16()) * 4), 10)),
                2 => {
                    sender.end(now, Duration::from_millis(input.u16().into()));
                    None
                }
                _ => None,
            };
            assert!(taken != Some(false) || was_active, "a digit is refused although none waits");
            queued += u64::from(taken.is_some());
            refused += u64::from(taken == Some(false));
        } else if !sender.is_active() {
            break;
        }
        let clock = if input.flag() { ClockRate::HZ_48000 } else { ClockRate::HZ_8000 };
        if !is_over && sounding.is_none() {
            sender.set_clock(clock);
        }
        steps += 1;
        assert!(steps < 1_000_000, "digits never end");
        let wait = Duration::from_millis(u64::from(input.byte()).max(1));
        now = if is_over { sender.poll_timeout().map_or(now, |at| at.max(now)) } else { now + wait };
        while let Some(packet) = sender.poll_packet(now) {
            let event = TelephoneEvent::parse(&packet.payload).expect("four bytes");
            let digit = Digit::from_event(event.event).expect("a key");
            if packet.first {
                assert_eq!(sounding, None, "{digit:?} begins within another");
                assert_eq!(packet.offset, Duration::ZERO);
                sounding = Some((digit, Duration::ZERO, 0));
            }
            let (sounds, offset, ends) = sounding.expect("a packet of no digit");
            assert_eq!(digit, sounds);
            assert!(packet.offset >= offset, "segments go back");
            let ends = ends + u32::from(event.end);
            assert!(ends == 0 || event.end, "an end that is taken back");
            sounding = Some((digit, packet.offset, ends));
            if ends == 3 {
                sounding = None;
                finished += 1;
            }
        }
    }
    assert_eq!(sounding, None, "a digit without its three ends");
    assert_eq!(finished as u64 + refused, queued, "digits sent and refused");
    finished
}
