//! The part of STUN that is read outside the ICE agent: the transaction of a message, and whether it nominates
//! (RFC 8489 section 5, RFC 8445 section 7.1.2).

use crate::Malformed;

/// A STUN transaction id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionId(pub [u8; 12]);

/// Class of a Binding message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A connectivity check.
    Request,
    /// A success response.
    Success,
    /// An error response, e.g. 487 Role Conflict.
    Error,
    /// A keepalive without a response.
    Indication,
}

/// The head of a Binding message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Class of the message.
    pub class: Class,
    /// Transaction.
    pub transaction: TransactionId,
    /// USE-CANDIDATE is present: the controlling agent nominates this pair.
    pub use_candidate: bool,
}

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USE_CANDIDATE: u16 = 0x0025;

impl Head {
    /// Reads the head of a Binding message. It is not authenticated here.
    ///
    /// # Errors
    /// [`Malformed`] if it is not a Binding message, or its length is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let header: &[u8; 20] = bytes.first_chunk().ok_or(Malformed)?;
        let class = match [header[0], header[1]] {
            [0x00, 0x01] => Class::Request,
            [0x01, 0x01] => Class::Success,
            [0x01, 0x11] => Class::Error,
            [0x00, 0x11] => Class::Indication,
            _ => return Err(Malformed),
        };
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[4..8] != MAGIC_COOKIE || bytes.len() != 20 + length {
            return Err(Malformed);
        }
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&header[8..20]);
        let use_candidate = Attributes(&bytes[20..]).any(|kind| kind == USE_CANDIDATE);
        Ok(Self { class, transaction: TransactionId(transaction), use_candidate })
    }
}

/// Attribute types, in order; ends at the first whose length is wrong.
struct Attributes<'a>(&'a [u8]);

impl Iterator for Attributes<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let head: &[u8; 4] = self.0.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        // Values are padded to a multiple of four bytes (RFC 8489 section 14).
        self.0 = self.0.get(4 + length.next_multiple_of(4)..)?;
        Some(u16::from_be_bytes([head[0], head[1]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: [u8; 2], attributes: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&MAGIC_COOKIE);
        bytes.extend_from_slice(&[7; 12]);
        bytes.extend_from_slice(attributes);
        bytes
    }

    #[test]
    fn use_candidate_is_found_after_padded_attributes() {
        let check = message([0, 1], &[0, 6, 0, 3, b'a', b':', b'b', 0, 0, 0x25, 0, 0]);
        let head = Head::parse(&check).unwrap();
        assert_eq!(head, Head { class: Class::Request, transaction: TransactionId([7; 12]), use_candidate: true });
        assert!(!Head::parse(&message([0, 1], &[0, 6, 0, 1, b'a', 0, 0, 0])).unwrap().use_candidate);
    }

    #[test]
    fn other_messages_are_malformed() {
        let good = message([1, 1], &[]);
        assert_eq!(Head::parse(&good).map(|head| head.class), Ok(Class::Success));
        for len in 0..20 {
            assert_eq!(Head::parse(&good[..len]), Err(Malformed), "length {len}");
        }
        assert_eq!(Head::parse(&message([0, 3], &[])), Err(Malformed), "Allocate");
        let mut lying = good.clone();
        lying[3] = 4;
        assert_eq!(Head::parse(&lying), Err(Malformed), "length field beyond the datagram");
    }
}
