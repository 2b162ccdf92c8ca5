//! The packet index: 48 bits, `ROC << 16 | seq` (RFC 3711 3.2.1). The only other index is SRTCP's counter of 31 bits.

use trestle_wire::Seq;

/// Indices an SRTP key has (RFC 3711 9.2).
pub(crate) const RTP_INDEX_END: u64 = 1 << 48;

/// Indices an SRTCP key has (RFC 3711 9.2); the 32nd bit on the wire is the E flag.
pub(crate) const RTCP_INDEX_END: u32 = 1 << 31;

/// The index of a packet with sequence number `seq` in a roll-over `roc`.
pub(crate) fn index(roc: u32, seq: Seq) -> u64 {
    u64::from(roc) << 16 | u64::from(seq.0)
}

/// The roll-over counter of an index.
pub(crate) fn roc(index: u64) -> u32 {
    (index >> 16) as u32
}

/// The most likely index of a packet with `seq`, given the highest index known (RFC 3711 3.3.1 and Appendix A).
///
/// `None` if that is beyond the last roll-over. If the rule yields a roll-over before the first one, which no packet can
/// have, the first one is assumed: a large gap near the start of a stream then causes no failure.
pub(crate) fn guess(highest: u64, seq: Seq) -> Option<u64> {
    const HALF: u32 = 1 << 15;
    let (highest_roc, highest_seq) = (roc(highest), highest as u32 & 0xffff);
    let seq_value = u32::from(seq.0);
    let guessed_roc = if highest_seq < HALF {
        if seq_value > highest_seq + HALF { highest_roc.saturating_sub(1) } else { highest_roc }
    } else if seq_value < highest_seq - HALF {
        highest_roc.checked_add(1)?
    } else {
        highest_roc
    };
    Some(index(guessed_roc, seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_takes_the_nearer_roll_over() {
        // highest, seq, guess
        let table: [(u64, u16, Option<u64>); 14] = [
            (0x0_0005, 6, Some(0x0_0006)),
            (0x0_fffe, 1, Some(0x1_0001)),
            (0x1_0001, 0xfffe, Some(0x0_fffe)),
            (0x1_0001, 0x8001, Some(0x1_8001)),
            (0x1_0001, 0x8002, Some(0x0_8002)),
            (0x1_7fff, 0xffff, Some(0x1_ffff)),
            (0x1_8000, 0, Some(0x1_0000)),
            (0x1_8001, 0, Some(0x2_0000)),
            (0x1_ffff, 0x7ffe, Some(0x2_7ffe)),
            (0x1_ffff, 0x8000, Some(0x1_8000)),
            // No roll-over before the first.
            (0x0_0005, 0xfffe, Some(0x0_fffe)),
            // The last index there is, and nothing after it.
            (RTP_INDEX_END - 2, 0xffff, Some(RTP_INDEX_END - 1)),
            (RTP_INDEX_END - 1, 0, None),
            (RTP_INDEX_END - 1, 0xfff0, Some(RTP_INDEX_END - 16)),
        ];
        for (highest, seq, expected) in table {
            assert_eq!(guess(highest, Seq(seq)), expected, "highest {highest:#x}, seq {seq:#x}");
        }
    }

    #[test]
    fn the_guess_is_the_pseudocode_of_the_rfc() {
        // RFC 3711 Appendix A, literally, in wide signed arithmetic.
        let appendix_a = |roc: i64, s_l: i64, seq: i64| -> i64 {
            let v = if s_l < 32_768 {
                if seq - s_l > 32_768 { roc - 1 } else { roc }
            } else if s_l - 32_768 > seq {
                roc + 1
            } else {
                roc
            };
            v * 65_536 + seq
        };
        for s_l in (0..65_536i64).step_by(251).chain([32_767, 32_768, 32_769, 65_535]) {
            for seq in (0..65_536i64).step_by(127).chain([0, 1, 32_767, 32_768, 32_769, 65_535]) {
                let expected = appendix_a(7, s_l, seq);
                assert_eq!(
                    guess((7 << 16 | s_l) as u64, Seq(seq as u16)),
                    Some(expected as u64),
                    "s_l {s_l} seq {seq}"
                );
            }
        }
    }
}
