//! How soon each side gets its first packet once both can be spoken to.

use std::thread;
use std::time::{Duration, Instant};

use crate::calls::{self, Direction, Played};
use crate::figure::{Figure, Spread, Wanted};
use crate::ground;

/// Calls at the same time.
const AT_ONCE: u32 = 2;
/// How long WhatsApp's side of the handshake is held up at least.
const HOLD: Duration = Duration::from_millis(40);
/// How long the first audio is waited for.
const LENGTH: Duration = Duration::from_millis(400);

pub(crate) fn run(count: u32) -> Vec<Figure> {
    let server = ground::trestle();
    let trestle = server.ng_addr();
    // On the loopback a handshake always takes the same, so that it would always end at the same point between two
    // packets of the phone. Held up a little differently in each call, it ends anywhere.
    let hold = |n: u32| HOLD + Duration::from_millis(20) * n / count;
    let mut played: Vec<Played> = Vec::new();
    for round in 0..count / AT_ONCE {
        let calls = [Direction::UserInitiated, Direction::BusinessInitiated];
        thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE)
                .map(|n| {
                    let call = AT_ONCE * round + n;
                    let (direction, hold) = (calls[n as usize % calls.len()], hold(call));
                    scope.spawn(move || calls::play(trestle, call.into(), direction, hold, LENGTH))
                })
                .collect();
            played.extend(threads.into_iter().map(|thread| thread.join().expect("a call to its end")));
        });
    }
    server.stop();
    let ready = |call: &Played| call.ready_at;
    // The packet that the first audio was made of.
    let last_sent_before_arrival = |call: &Played| {
        let arrived_at = call.meta.report().stream.first_rtp_at?;
        call.phone_sent.iter().rev().find(|at| **at <= arrived_at).copied()
    };
    let at_meta = |call: &Played| call.meta.report().stream.first_rtp_at;
    let at_phone = |call: &Played| call.phone.report().first_rtp_at;
    let wanted = Some(Wanted { share: 1.0, below_ms: 20.0 });
    vec![
        figure(
            "first audio towards WhatsApp",
            wanted,
            "from DTLS up at WhatsApp and the answer handed over, in either direction of call. The phone has been \
             speaking every 20 ms, so that waiting for its next packet takes 10 ms on average and 20 at most",
            times(&played, ready, at_meta),
        ),
        figure("  of it, since the phone's packet", None, "", times(&played, last_sent_before_arrival, at_meta)),
        figure(
            "first audio towards the phone",
            wanted,
            "from the same moment, in which WhatsApp begins to speak",
            times(&played, ready, at_phone),
        ),
    ]
}

/// From one moment of each call to another; a call that lacks one of them is left out.
fn times(
    calls: &[Played],
    from: impl Fn(&Played) -> Option<Instant>,
    to: impl Fn(&Played) -> Option<Instant>,
) -> (Vec<f64>, usize) {
    let took = |call: &Played| Some(ground::ms_between(from(call)?, to(call)?));
    (calls.iter().filter_map(took).collect(), calls.len())
}

fn figure(
    name: &'static str,
    wanted: Option<Wanted>,
    note: &'static str,
    (values, calls): (Vec<f64>, usize),
) -> Figure {
    let lost = Some(((calls - values.len()) as u64, calls as u64));
    Figure { name, wanted, values_ms: Spread::of(values), lost, note }
}
