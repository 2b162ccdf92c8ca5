//! How much later a sample arrives than it was spoken, where Opus becomes PCMA and PCMA Opus.
//!
//! The received audio is aligned with the spoken audio to the sample; that shift is the codecs' delay, Opus' look-ahead of 6.5 ms
//! above all. To it comes how long each packet took from its sender to the other's receiver. Packetisation, 20 ms in
//! any case, is not in it: a sample counts as spoken when the packet with it leaves, and as arrived when that with it arrives.

use std::thread;
use std::time::{Duration, Instant};

use trestle_peers::{Arrival, ear, speech};

use crate::calls::{self, Direction, Played};
use crate::figure::{Figure, Spread, Wanted};
use crate::ground;

/// Between the starts of two calls, so that not all speak at the same moment.
const STAGGER: Duration = Duration::from_millis(102);
/// Samples of 20 ms at 8 kHz.
const FRAME: i32 = 160;
/// How far into the spoken audio a recording may begin, or the other way round.
const SHIFT_MAX_MS: u32 = 1_000;
/// How similar the spoken and the received audio must be for their shift to mean anything.
const FOUND: f64 = 0.8;

pub(crate) fn run(count: u32, length: Duration) -> Vec<Figure> {
    let server = ground::trestle();
    let trestle = server.ng_addr();
    let start = trestle_io::clock::now();
    let mut played: Vec<Played> = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                scope.spawn(move || {
                    ground::sleep_until(start + STAGGER * n);
                    calls::play(trestle, 100 + u64::from(n), Direction::UserInitiated, Duration::ZERO, length)
                })
            })
            .collect();
        played.extend(threads.into_iter().map(|thread| thread.join().expect("a call to its end")));
    });
    server.stop();

    let caller = narrow(&speech::caller(), speech::CALLER_HZ);
    let agent = narrow(&speech::agent(), speech::AGENT_HZ);
    let to_phone = |call: &Played| through(&caller, &call.meta_sent, call.phone.recording(), call.phone.arrivals());
    let to_meta =
        |call: &Played| through(&agent, &call.phone_sent, &narrow(call.meta.recording(), 16_000), call.meta.arrivals());
    vec![
        figure(
            "transcoding path, Opus to PCMA",
            "10 calls, from a sample sent to the same sample received, Opus' look-ahead of 6.5 ms included; the load's \
             own threads are in it. Lost are calls in which the speech was not found again",
            played.iter().map(to_phone).collect(),
        ),
        figure("transcoding path, PCMA to Opus", "", played.iter().map(to_meta).collect()),
    ]
}

fn figure(name: &'static str, note: &'static str, calls: Vec<Option<Vec<f64>>>) -> Figure {
    let total = calls.len() as u64;
    let found: Vec<Vec<f64>> = calls.into_iter().flatten().collect();
    let lost = Some((total - found.len() as u64, total));
    let wanted = Some(Wanted { share: 0.99, below_ms: 8.0 });
    Figure { name, wanted, values_ms: Spread::of(found.concat()), lost, note }
}

/// The delay of every received packet, in ms; `None` if the spoken audio is not found in the received one. Both at 8 kHz.
fn through(spoken: &[i16], sent: &[Instant], arrived: &[i16], arrivals: &[Arrival]) -> Option<Vec<f64>> {
    let shift = shift(spoken, arrived)?;
    // Whole packets that the recording begins later than the speech, and the codecs' delay.
    let packets = (f64::from(shift) / f64::from(FRAME)).round() as i32;
    let codecs_ms = f64::from(shift - packets * FRAME) / 8.0;
    let first_at = arrivals.first()?.at;
    let delay = |arrival: &Arrival| {
        // Its place in the recording, by its timestamp.
        let place = ((ground::ms_between(first_at, arrival.at) - arrival.late_ms) / 20.0).round() as i32;
        let sent_at = sent.get(usize::try_from(place - packets).ok()?)?;
        Some(ground::ms_between(*sent_at, arrival.at) + codecs_ms)
    };
    Some(arrivals.iter().filter_map(delay).collect())
}

/// By how many samples `arrived` lies behind `spoken`; negative if its beginning is missing.
fn shift(spoken: &[i16], arrived: &[i16]) -> Option<i32> {
    let later = ear::find(spoken, 8_000, arrived, 8_000, SHIFT_MAX_MS).map(|found| (found.similarity, found.delay_ms));
    let sooner =
        ear::find(arrived, 8_000, spoken, 8_000, SHIFT_MAX_MS).map(|found| (found.similarity, -found.delay_ms));
    let (similarity, shift_ms) = [later, sooner].into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let coarse = (shift_ms * 8.0) as i32;
    // Loudness goes in steps of 5 ms; the waves themselves tell the rest.
    let fine =
        (coarse - 60..=coarse + 60).max_by(|a, b| alike(spoken, arrived, *a).total_cmp(&alike(spoken, arrived, *b)));
    fine.filter(|_| similarity > FOUND)
}

/// Cosine of the angle between the two, `arrived` taken `shift` samples later.
fn alike(spoken: &[i16], arrived: &[i16], shift: i32) -> f64 {
    let (spoken, arrived) = match usize::try_from(shift) {
        Ok(later) => (spoken, arrived.get(later..).unwrap_or(&[])),
        Err(_) => (spoken.get(shift.unsigned_abs() as usize..).unwrap_or(&[]), arrived),
    };
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (a, b) in spoken.iter().zip(arrived) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        both += a * b;
        one += a * a;
        other += b * b;
    }
    both / (one * other).sqrt().max(1.0)
}

/// At 8 kHz.
fn narrow(pcm: &[i16], sample_hz: u32) -> Vec<i16> {
    let ratio = (sample_hz / 8_000) as usize;
    let mean = |chunk: &[i16]| (chunk.iter().map(|sample| i32::from(*sample)).sum::<i32>() / ratio as i32) as i16;
    pcm.chunks_exact(ratio).map(mean).collect()
}
