//! Decides which SSRC of the peer is accepted.

use trestle_wire::{Seq, Ssrc};

/// Follows the SSRC of a peer's stream.
///
/// The first SSRC is accepted at once, so that no first word is lost. On a path without authentication a later one must have two
/// packets in order (RFC 3550 A.1, `MIN_SEQUENTIAL`) with none of the current stream between them: a stray packet changes nothing, and
/// of two simultaneous streams the first one stays.
///
/// An authenticated packet is the peer's, so that a new SSRC of it is accepted at once as well. If the one before continues with its next
/// packet, the two are simultaneous, and it stays. After that, one that was current before must have two packets in order: a late packet
/// from before the change does not change it back.
///
/// Telephone-events have the SSRC of the audio and are accepted like any other packet of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SsrcFilter {
    current: Option<Ssrc>,
    /// An SSRC on probation, and the sequence number that confirms it.
    candidate: Option<(Ssrc, Seq)>,
    /// The last SSRCs that were current before, the newest first.
    before: [Option<Ssrc>; BEFORE_MAX],
    /// The next number of the current stream.
    next: Seq,
    /// The stream that the current one has replaced with its only packet so far, and that stream's next number.
    replaced: Option<(Ssrc, Seq)>,
}

/// SSRCs before the current one that are still recognised: more than a peer has at the same time.
const BEFORE_MAX: usize = 4;

/// What a packet is to the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SsrcStatus {
    /// Of the current stream.
    Current,
    /// A stream begins with this packet: start a new [`super::StreamRx`].
    New,
    /// Its SSRC is on probation; discard the packet.
    Probation,
}

impl SsrcFilter {
    /// Classifies a packet. `is_authenticated` is true if it has proved to be the peer's.
    pub fn admit(&mut self, ssrc: Ssrc, seq: Seq, is_authenticated: bool) -> SsrcStatus {
        if self.current == Some(ssrc) {
            (self.candidate, self.replaced) = (None, None);
            self.next = seq.next();
            return SsrcStatus::Current;
        }
        let continues = self.candidate == Some((ssrc, seq)) || self.replaced == Some((ssrc, seq));
        let is_new = is_authenticated && !self.before.contains(&Some(ssrc));
        if self.current.is_none() || continues || is_new {
            let replaced = self.current.replace(ssrc);
            self.replaced = replaced.filter(|_| !continues).map(|replaced| (replaced, self.next));
            self.before.rotate_right(1);
            self.before[0] = replaced;
            (self.candidate, self.next) = (None, seq.next());
            return SsrcStatus::New;
        }
        self.candidate = Some((ssrc, seq.next()));
        SsrcStatus::Probation
    }

    /// The accepted SSRC, if there is one.
    pub fn current(&self) -> Option<Ssrc> {
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::SsrcStatus::{Current, New, Probation};
    use super::*;

    fn verdicts(packets: &[(u32, u16)], is_authenticated: bool) -> Vec<SsrcStatus> {
        let mut gate = SsrcFilter::default();
        packets.iter().map(|(ssrc, seq)| gate.admit(Ssrc(*ssrc), Seq(*seq), is_authenticated)).collect()
    }

    #[test]
    fn the_first_ssrc_is_taken_at_once_and_a_second_one_after_two_packets_in_order() {
        type Row = (&'static str, &'static [(u32, u16)], &'static [SsrcStatus]);
        let table: [Row; 6] = [
            ("one stream", &[(1, 9), (1, 10), (1, 5)], &[New, Current, Current]),
            ("a change", &[(1, 9), (2, 70), (2, 71), (2, 72)], &[New, Probation, New, Current]),
            ("a change across the wrap", &[(1, 9), (2, 65_535), (2, 0)], &[New, Probation, New]),
            ("a stray packet", &[(1, 9), (2, 70), (1, 10), (2, 71)], &[New, Probation, Current, Probation]),
            ("random SSRCs", &[(1, 9), (2, 70), (3, 71), (4, 72)], &[New, Probation, Probation, Probation]),
            ("the same packet again", &[(1, 9), (2, 70), (2, 70), (2, 71)], &[New, Probation, Probation, New]),
        ];
        for (name, packets, expected) in table {
            assert_eq!(verdicts(packets, false), expected, "{name}");
        }
    }

    #[test]
    fn a_new_ssrc_that_is_authenticated_is_taken_at_once_and_the_one_before_it_after_two_packets_in_order() {
        type Row = (&'static str, &'static [(u32, u16)], &'static [SsrcStatus]);
        let table: [Row; 6] = [
            ("a change", &[(1, 9), (2, 70), (2, 71)], &[New, New, Current]),
            ("two at a time", &[(1, 9), (2, 70), (1, 10), (2, 71), (1, 11)], &[New, New, New, Probation, Current]),
            ("a gap", &[(1, 9), (2, 70), (1, 12), (2, 71)], &[New, New, Probation, Current]),
            ("every packet another", &[(1, 9), (2, 70), (3, 5), (4, 72)], &[New, New, New, New]),
            ("a late packet", &[(1, 9), (2, 70), (1, 8), (2, 71)], &[New, New, Probation, Current]),
            ("a return", &[(1, 9), (2, 70), (2, 71), (1, 10), (1, 11)], &[New, New, Current, Probation, New]),
        ];
        for (name, packets, expected) in table {
            assert_eq!(verdicts(packets, true), expected, "{name}");
        }
    }
}
