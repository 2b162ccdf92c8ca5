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

/// Shortest digit that is reported or sent: every receiver must detect it (ITU-T Q.24).
pub const DIGIT_MIN: Duration = Duration::from_millis(40);

/// Longest digit that is reported or sent.
pub const DIGIT_MAX: Duration = Duration::from_secs(10);
