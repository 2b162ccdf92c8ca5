//! Classifies a datagram on a media port by its first bytes (RFC 7983, RFC 5761 section 4).

/// The protocols that share one media port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    /// First byte 0 to 3.
    Stun,
    /// First byte 20 to 63.
    Dtls,
    /// First byte 128 to 191, and not RTCP.
    Rtp,
    /// First byte 128 to 191 and a packet type of 192 to 223, which RTP payload types must not use.
    Rtcp,
}

impl DatagramKind {
    /// Classifies `datagram`; `None` if it belongs to none of the four protocols.
    #[inline]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match (datagram.first()?, datagram.get(1)) {
            (0..=3, _) => Some(Self::Stun),
            (20..=63, _) => Some(Self::Dtls),
            (128..=191, Some(192..=223)) => Some(Self::Rtcp),
            (128..=191, _) => Some(Self::Rtp),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides() {
        let table = [
            (&[0u8, 1][..], Some(DatagramKind::Stun)),
            (&[22, 254], Some(DatagramKind::Dtls)),
            (&[0x80, 111], Some(DatagramKind::Rtp)),
            (&[0x80, 0x80 | 8], Some(DatagramKind::Rtp)),
            (&[0x80, 200], Some(DatagramKind::Rtcp)),
            (&[0x80], Some(DatagramKind::Rtp)),
            (&[64, 0], None),
            (&[255, 0], None),
            (&[], None),
        ];
        for (datagram, kind) in table {
            assert_eq!(DatagramKind::of(datagram), kind, "{datagram:?}");
        }
    }
}
