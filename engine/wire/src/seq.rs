//! RTP sequence numbers: wrap-aware order, and extension from 16 to 64 bits (RFC 3550 A.1).

/// A 16-bit RTP sequence number. It has no `Ord`, since it wraps: see [`Seq::is_before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u16);

impl Seq {
    /// The next sequence number, wrapping at 65,535.
    #[inline]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// How far `other` is ahead of `self`, in -32,768..=32,767.
    #[inline]
    pub fn distance_to(self, other: Self) -> i16 {
        other.0.wrapping_sub(self.0) as i16
    }

    /// True if `self` was sent before `other`: the shorter of the two distances counts.
    pub fn is_before(self, other: Self) -> bool {
        self.distance_to(other) > 0
    }
}

/// A sequence number that has been extended with the number of wraps seen: `wraps << 16 | seq`.
/// The first packet of a stream starts at `1 << 16 | seq`, so that a late predecessor of it stays positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ExtSeq(pub u64);

impl ExtSeq {
    /// The 16 bits of the packet's header.
    #[inline]
    pub fn wire(self) -> Seq {
        Seq(self.0 as u16)
    }

    /// `self + n`.
    #[inline]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0 + n)
    }
}

/// Extends sequence numbers of one stream by always choosing the value nearest to the highest one seen.
#[derive(Debug, Clone, Default)]
pub struct SeqExtender {
    highest: Option<ExtSeq>,
}

impl SeqExtender {
    /// Extends `seq` and remembers it if it is the highest yet.
    pub fn extend(&mut self, seq: Seq) -> ExtSeq {
        let extended = self.peek(seq);
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// Extends `seq` without remembering it.
    pub fn peek(&self, seq: Seq) -> ExtSeq {
        match self.highest {
            None => ExtSeq(1 << 16 | u64::from(seq.0)),
            Some(highest) => {
                let distance = i64::from(highest.wire().distance_to(seq));
                ExtSeq(highest.0.saturating_add_signed(distance))
            }
        }
    }

    /// The highest extended sequence number seen.
    pub fn highest(&self) -> Option<ExtSeq> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_follows_the_shorter_distance() {
        assert!(Seq(65_535).is_before(Seq(0)));
        assert!(!Seq(0).is_before(Seq(65_535)));
        assert!(!Seq(7).is_before(Seq(7)));
        assert!(Seq(1).is_before(Seq(32_768)));
    }

    #[test]
    fn numbers_are_extended_across_wraps_and_for_late_packets() {
        let mut extender = SeqExtender::default();
        let sent = [65_534u16, 65_535, 0, 65_533, 1, 2];
        let extended: Vec<u64> = sent.iter().map(|s| extender.extend(Seq(*s)).0 - (1 << 16)).collect();
        assert_eq!(extended, [65_534, 65_535, 65_536, 65_533, 65_537, 65_538]);
        assert_eq!(extender.highest(), Some(ExtSeq((1 << 16) + 65_538)));
    }

    #[test]
    fn a_packet_before_the_first_one_does_not_underflow() {
        let mut extender = SeqExtender::default();
        assert_eq!(extender.extend(Seq(0)), ExtSeq(1 << 16));
        assert_eq!(extender.extend(Seq(65_530)), ExtSeq((1 << 16) - 6));
    }
}
