//! The telephone-event payload (RFC 4733 section 2.3).
//!
//! ```text
//! |     event     |E|R| volume    |          duration             |
//! ```

use crate::Malformed;

/// A DTMF digit: 0-9, `*`, `#`, A-D, which are events 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(u8);

impl Digit {
    const NAMES: &'static [u8; 16] = b"0123456789*#ABCD";

    /// The digit of an RFC 4733 event code; `None` for events that are not digits.
    pub fn from_event(event: u8) -> Option<Self> {
        (event < 16).then_some(Self(event))
    }

    /// The digit of a name, upper or lower case; `None` for another character.
    pub fn from_char(name: char) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        Self::NAMES.iter().position(|n| char::from(*n) == name).map(|event| Self(event as u8))
    }

    /// The event code, 0 to 15.
    pub fn event(self) -> u8 {
        self.0
    }

    /// Its name: `0`-`9`, `*`, `#`, `A`-`D`.
    pub fn to_char(self) -> char {
        char::from(Self::NAMES[usize::from(self.0)])
    }
}

/// One telephone-event packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code; 0 to 15 are digits.
    pub event: u8,
    /// The E bit: the event has ended.
    pub end: bool,
    /// Power of the tone, expressed in -dBm0, 0 to 63.
    pub volume: u8,
    /// Duration of the event so far, in ticks of the payload type's clock.
    pub duration_ticks: u16,
}

impl TelephoneEvent {
    /// Bytes on the wire.
    pub const LEN: usize = 4;

    /// Reads the first event of a payload; redundant copies after it are ignored.
    ///
    /// # Errors
    /// [`Malformed`] if there are fewer than 4 bytes.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; Self::LEN] = payload.first_chunk().ok_or(Malformed)?;
        Ok(Self {
            event: bytes[0],
            end: bytes[1] & 0x80 != 0,
            volume: bytes[1] & 0x3f,
            duration_ticks: u16::from_be_bytes([bytes[2], bytes[3]]),
        })
    }

    /// The four bytes on the wire.
    pub fn write(&self) -> [u8; Self::LEN] {
        let duration = self.duration_ticks.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | self.volume & 0x3f, duration[0], duration[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_the_names_of_rfc_4733() {
        let names: String = (0..=20).filter_map(Digit::from_event).map(Digit::to_char).collect();
        assert_eq!(names, "0123456789*#ABCD");
        assert_eq!(Digit::from_char('d').map(Digit::event), Some(15));
        assert_eq!(Digit::from_char('x'), None);
    }

    #[test]
    fn an_event_reads_back_as_written() {
        let event = TelephoneEvent { event: 11, end: true, volume: 10, duration_ticks: 4_000 };
        assert_eq!(event.write(), [11, 0x8a, 0x0f, 0xa0]);
        assert_eq!(TelephoneEvent::parse(&event.write()), Ok(event));
        assert_eq!(TelephoneEvent::parse(&[1, 2, 3]), Err(Malformed));
    }
}
