//! DTMF digits: from one leg's telephone-events (RFC 4733) or tones to another's events or tones.
//!
//! Between two legs a digit is a key that goes down and is released, with its real duration. Payload types, timestamps,
//! clocks, segments and retransmissions belong to each leg alone.

pub mod event_receiver;
pub mod event_sender;
pub mod tone_receiver;
pub mod tone_sender;

pub use event_receiver::{EventReceiver, EventUpdate, EventUpdates};
pub use event_sender::{EventPacket, EventSender};
pub use tone_receiver::ToneReceiver;
pub use tone_sender::ToneSender;

use std::time::Duration;

use crate::limits;

/// Shortest digit that is reported or sent: every receiver must detect it (ITU-T Q.24).
pub const DIGIT_MIN: Duration = Duration::from_millis(40);

/// Longest digit that is reported or sent.
pub const DIGIT_MAX: Duration = Duration::from_secs(10);

/// A key whose release does not arrive is released after this.
const LIVE_MAX: Duration = Duration::from_secs(5);

/// Silence behind a digit, as the queues reckon it.
const PAUSE_RECKONED: Duration = Duration::from_millis(50);

/// True if a digit of `duration` fits into a queue of digits of these durations; `None` is a key that is still down.
fn has_room(waiting: impl ExactSizeIterator<Item = Option<Duration>>, duration: Option<Duration>) -> bool {
    let reckoned = |duration: Option<Duration>| duration.unwrap_or(LIVE_MAX) + PAUSE_RECKONED;
    let is_one_more = waiting.len() < limits::DIGITS_MAX;
    is_one_more && waiting.map(reckoned).sum::<Duration>() + reckoned(duration) <= longest_queue(duration)
}

/// A digit of any length fits into an empty queue.
fn longest_queue(duration: Option<Duration>) -> Duration {
    limits::DIGITS_WAITING_MAX.max(duration.unwrap_or_default() + PAUSE_RECKONED)
}
