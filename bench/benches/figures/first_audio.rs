//! How soon each side gets its first packet once both can be spoken to.

use std::thread;
use std::time::{Duration, Instant};

use crate::calls::{self, Direction, Played};
use crate::figure::{Figure, Spread, Wanted};
use crate::ground;

/// Calls at the same time.
const AT_ONCE: u32 = 2;
/// How long they are listened to. Whoever hears nothing till then hears nothing.
const LENGTH: Duration = Duration::from_millis(400);

pub(crate) fn run(count: u32) -> Vec<Figure> {
    let server = ground::trestle();
    let trestle = server.ng_addr();
    let mut played: Vec<Played> = Vec::new();
    for round in 0..count / AT_ONCE {
        let calls = [Direction::UserInitiated, Direction::BusinessInitiated];
        thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE)
                .map(|n| {
                    let seed = u64::from(AT_ONCE * round + n);
                    scope.spawn(move || calls::play(trestle, seed, calls[n as usize % calls.len()], LENGTH))
                })
                .collect();
            played.extend(threads.into_iter().map(|thread| thread.join().expect("a call to its end")));
        });
    }
    server.stop();

    let figure = |name, note, first: fn(&Played) -> Option<Instant>| {
        let after = |call: &Played| Some(ground::ms_between(call.ready_at?, first(call)?));
        let values: Vec<f64> = played.iter().filter_map(after).collect();
        let total = played.len() as u64;
        let lost = Some((total - values.len() as u64, total));
        let wanted = Some(Wanted { share: 1.0, below_ms: 20.0 });
        Figure { name, wanted, values_ms: Spread::of(values), lost, note }
    };
    vec![
        figure(
            "first audio towards WhatsApp",
            "from DTLS up at WhatsApp and the answer handed over, in either direction of call. The phone speaks every \
             20 ms since it answered, so that waiting for its next packet takes 10 ms on average",
            |call| call.meta.report().stream.first_rtp_at,
        ),
        figure(
            "first audio towards the phone",
            "the same; WhatsApp begins to speak the moment it is ready. Negative: before WhatsApp knew itself ready",
            |call| call.phone.report().first_rtp_at,
        ),
    ]
}
