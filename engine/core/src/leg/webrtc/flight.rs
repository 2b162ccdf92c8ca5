//! When a flight of the DTLS handshake is sent again (RFC 6347 4.2.4). Trestle has its own times instead of dimpl's: the longest
//! is short enough for the first word of a call, whatever the peer repeats, and they are the same in every run.

use std::time::{Duration, Instant};

/// The first interval; each further one is twice as long. The default of 1 s (RFC 6347 4.2.4.1) is a second of lost speech.
const FIRST: Duration = Duration::from_millis(50);
/// The longest interval: a flight is only about a kilobyte, and the first word of the call waits for it.
const LONGEST: Duration = Duration::from_millis(400);

/// The flight that was sent last.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// `message_seq` of its first message (RFC 6347 4.2.2): a resent flight has the same one.
    message_seq: Option<u16>,
    wait: Duration,
    resend_at: Option<Instant>,
}

impl Flight {
    /// Notes a datagram that is sent. The first of a new flight starts the first interval.
    pub(super) fn sent(&mut self, now: Instant, datagram: &[u8]) {
        let Some(seq) = message_seq(datagram) else { return };
        if self.message_seq.is_none_or(|last| last < seq) {
            *self = Self { message_seq: Some(seq), wait: FIRST, resend_at: Some(now + FIRST) };
        }
    }

    /// True when it is time to send the flight again; true once for each interval.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        if self.resend_at.is_none_or(|at| at > now) {
            return false;
        }
        self.wait = (self.wait * 2).min(LONGEST);
        self.resend_at = Some(now + self.wait);
        true
    }

    /// True while the peer has not completed the answer to our first flight.
    pub(super) fn is_first(&self) -> bool {
        self.message_seq.is_none_or(|seq| seq == 0)
    }

    /// The handshake is complete, or restarts.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.resend_at
    }
}

/// `message_seq` of the first handshake message in a datagram, if it is not encrypted (epoch 0).
fn message_seq(datagram: &[u8]) -> Option<u16> {
    // Record header: type, version (2), epoch (2), sequence number (6), length (2); then msg_type, length (3), message_seq.
    let clear_handshake = datagram.first() == Some(&22) && datagram.get(3..5) == Some(&[0, 0]);
    let seq = datagram.get(17..19).filter(|_| clear_handshake)?;
    Some(u16::from_be_bytes([seq[0], seq[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(content_type: u8, epoch: u8, message_seq: u8) -> Vec<u8> {
        let record = [content_type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0, 0, 20];
        [&record[..], &[1, 0, 0, 8, 0, message_seq, 0, 0, 0, 0, 0, 8]].concat()
    }

    #[test]
    fn a_flight_is_sent_again_after_50_100_200_and_then_every_400_ms_until_the_next_one() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let mut flight = Flight::default();
        flight.sent(start, &datagram(22, 0, 0));
        let due = |flight: &mut Flight, range: std::ops::Range<u64>| -> Vec<u64> {
            range.filter(|n| flight.take_due(ms(*n))).collect()
        };
        assert_eq!(due(&mut flight, 0..1_600), [50, 150, 350, 750, 1_150, 1_550]);
        // The flight itself, sent again, is not a new one.
        flight.sent(ms(1_600), &datagram(22, 0, 0));
        assert_eq!(flight.poll_timeout(), Some(ms(1_950)));
        flight.sent(ms(1_700), &datagram(22, 0, 1));
        assert_eq!(due(&mut flight, 1_700..2_100), [1_750, 1_850, 2_050]);
        flight.stop();
        assert_eq!(flight.poll_timeout(), None);
    }

    #[test]
    fn alerts_and_encrypted_records_start_no_interval() {
        let mut flight = Flight::default();
        for datagram in [datagram(21, 0, 0), datagram(20, 0, 0), datagram(22, 1, 0), vec![22; 4]] {
            flight.sent(Instant::now(), &datagram);
        }
        assert_eq!(flight.poll_timeout(), None);
    }
}
