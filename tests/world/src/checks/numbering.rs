//! Sequence numbers and SSRCs of one leg, received and sent.

use std::collections::BTreeMap;

use trestle_wire::rtp::Header;
use trestle_wire::{SeqExtender, Ssrc};

/// Steps beyond this are no loss: the sender has begun anew (RFC 3550 A.1, `MAX_DROPOUT`).
const DROPOUT_MAX: u64 = 3_000;

/// A set of extended sequence numbers, near each other.
#[derive(Debug, Default)]
struct NumberSet {
    first: u64,
    words: Vec<u64>,
}

impl NumberSet {
    /// False if `number` was in the set already, or lies below the first one by more than a word.
    fn insert(&mut self, number: u64) -> bool {
        if self.words.is_empty() {
            // Some room below, for packets that overtook the first one.
            self.first = number.saturating_sub(640) / 64 * 64;
        }
        let Some(at) = number.checked_sub(self.first) else { return false };
        let (word, bit) = ((at / 64) as usize, 1 << (at % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }
}

/// What one leg has sent.
#[derive(Debug, Default)]
pub(crate) struct SentNumbers {
    ssrc: Option<Ssrc>,
    extender: SeqExtender,
    numbers: NumberSet,
    newest: Option<u64>,
    skipped: u64,
}

impl SentNumbers {
    /// Checks a sent packet: its SSRC is that of all others, its number is new, and no more numbers have been skipped than
    /// `skips_allowed`. True if its number is the highest so far.
    ///
    /// The lower 16 bits of an SRTP index are the sequence number and a leg keeps its key at least until it is renewed, so a
    /// number that is never used twice on a leg is an index that is never used twice under a key (RFC 3711 section 9.1).
    pub(crate) fn check(&mut self, header: Header, skips_allowed: u64) -> Result<bool, String> {
        let ssrc = *self.ssrc.get_or_insert(header.ssrc);
        if ssrc != header.ssrc {
            return Err(format!("a second SSRC, {:08x} after {:08x}", header.ssrc.0, ssrc.0));
        }
        let number = self.extender.extend(header.seq).0;
        if !self.numbers.insert(number) {
            return Err(format!("index {number} of SSRC {:08x} is sent twice", ssrc.0));
        }
        let Some(newest) = self.newest.replace(number) else { return Ok(true) };
        if number < newest {
            self.newest = Some(newest);
            self.skipped = self.skipped.saturating_sub(1);
            return Ok(false);
        }
        self.skipped += number - newest - 1;
        if self.skipped > skips_allowed {
            return Err(format!("{} numbers skipped before {number}, {skips_allowed} were missing in", self.skipped));
        }
        Ok(true)
    }

    pub(crate) fn has_skipped(&self) -> bool {
        self.skipped > 0
    }
}

/// What one leg has received, by SSRC.
#[derive(Debug, Default)]
pub(crate) struct ReceivedNumbers {
    streams: BTreeMap<Ssrc, (SeqExtender, u64)>,
    missing: u64,
    withheld: u64,
}

impl ReceivedNumbers {
    pub(crate) fn note(&mut self, header: Header) {
        let (extender, newest) = self.streams.entry(header.ssrc).or_default();
        let number = extender.extend(header.seq).0;
        if *newest > 0 && number > *newest && number - *newest <= DROPOUT_MAX {
            self.missing += number - *newest - 1;
        }
        *newest = (*newest).max(number);
    }

    /// The last packet is not forwarded: the signalled direction, a mute, a gate, its size or its payload type forbids it.
    pub(crate) fn withhold(&mut self) {
        self.withheld += 1;
    }

    /// Numbers that did not come in their turn, or whose packets were withheld.
    pub(crate) fn missing(&self) -> u64 {
        self.missing + self.withheld
    }
}

#[cfg(test)]
mod tests {
    use trestle_wire::{Pt, RtpTime, Seq};

    use super::*;

    fn packet(seq: u16, ssrc: u32) -> Header {
        Header { marker: false, pt: Pt::PCMA, seq: Seq(seq), time: RtpTime(0), ssrc: Ssrc(ssrc) }
    }

    fn check(sent: &[(u16, u32)], skips_allowed: u64) -> Result<(), String> {
        let mut numbers = SentNumbers::default();
        sent.iter().try_for_each(|(seq, ssrc)| numbers.check(packet(*seq, *ssrc), skips_allowed).map(|_| ()))
    }

    #[test]
    fn an_index_that_is_sent_twice_is_refused() {
        assert_eq!(check(&[(65_534, 7), (65_535, 7), (0, 7), (1, 7)], 0), Ok(()), "a wrap is no repetition");
        assert!(check(&[(65_534, 7), (65_535, 7), (0, 7), (65_535, 7)], 0).is_err());
        assert!(check(&[(5, 7), (5, 7)], 0).is_err());
    }

    #[test]
    fn a_second_ssrc_is_refused() {
        assert!(check(&[(5, 7), (6, 8)], 0).is_err());
    }

    #[test]
    fn a_gap_without_a_gap_in_the_input_is_refused() {
        assert!(check(&[(5, 7), (7, 7)], 0).is_err());
        assert_eq!(check(&[(5, 7), (7, 7)], 1), Ok(()));
        assert_eq!(check(&[(5, 7), (7, 7), (6, 7), (9, 7)], 1), Ok(()), "a number that comes late is not missing");
        assert!(check(&[(5, 7), (7, 7), (9, 7)], 1).is_err());
    }

    #[test]
    fn numbers_that_are_missing_in_the_input_are_counted() {
        let mut received = ReceivedNumbers::default();
        for (seq, ssrc) in [(65_534, 1), (65_535, 1), (2, 1), (40_000, 2), (40_002, 2), (50_000, 2)] {
            received.note(packet(seq, ssrc));
        }
        assert_eq!(received.missing(), 3);
        received.withhold();
        assert_eq!(received.missing(), 4);
    }
}
