use super::*;

const LAWS: [Law; 2] = [Law::Mu, Law::A];

fn decode(law: Law, code: u8) -> i16 {
    let mut pcm = [0];
    law.decode(&[code], &mut pcm);
    pcm[0]
}

fn encode(law: Law, sample: i16) -> u8 {
    let mut code = [0];
    law.encode(&[sample], &mut code);
    code[0]
}

/// The decision values of ITU-T G.711, tables 1a and 2a, as 16-bit magnitudes: the n-th is where the n-th interval
/// begins. Intervals are of equal width within a segment, and twice as wide in the next.
fn decision_values(law: Law) -> Vec<i32> {
    let (mut values, scale) = match law {
        // 0, 1, 3 .. 31, then 35 .. 95, and on: the first interval of all is half as wide.
        Law::Mu => (vec![0, 1], 4),
        // 0, 2 .. 64 by 2 for two segments, then by 4, and on. Scaled to 16 bits, 8 units each.
        Law::A => (vec![0], 8),
    };
    let mut last = *values.last().unwrap();
    for segment in 0..8 {
        let width = match law {
            Law::Mu => 2 << segment,
            Law::A => 2 << i32::max(segment - 1, 0),
        };
        while values.len() < 16 * (segment as usize + 1) {
            last += width;
            values.push(last);
        }
        last += width;
        values.push(last);
    }
    values.truncate(128);
    values.iter().map(|value| value * scale).collect()
}

/// The n-th interval's code: mu-law counts down from 0xFF, A-law up from 0x80, then even bits are inverted.
fn code_of(law: Law, interval: usize, negative: bool) -> u8 {
    let sign = if negative { 0 } else { 0x80 };
    match law {
        Law::Mu => sign | (0x7F - interval as u8),
        Law::A => (sign | interval as u8) ^ 0x55,
    }
}

#[test]
fn well_known_codes() {
    let table = [
        (Law::Mu, 0xFF, 0),
        (Law::Mu, 0x7F, 0),
        (Law::Mu, 0x80, 32_124),
        (Law::Mu, 0x00, -32_124),
        (Law::Mu, 0xFE, 8),
        (Law::Mu, 0x7E, -8),
        (Law::A, 0xD5, 8),
        (Law::A, 0x55, -8),
        (Law::A, 0xAA, 32_256),
        (Law::A, 0x2A, -32_256),
        (Law::A, 0x80, 5_504),
    ];
    for (law, code, sample) in table {
        assert_eq!(decode(law, code), sample, "{law:?} {code:#04x}");
    }
}

/// All 256 codes of each law against the tables of G.711: a code's value lies in the middle of its interval.
#[test]
fn every_code_decodes_to_the_middle_of_its_interval() {
    for law in LAWS {
        let mut edges = decision_values(law);
        edges.push(match law {
            Law::Mu => 8_159 * 4,
            Law::A => 4_096 * 8,
        });
        for interval in 0..128 {
            let middle = match (law, interval) {
                // Mu-law's first interval extends to both sides of zero.
                (Law::Mu, 0) => 0,
                _ => (edges[interval] + edges[interval + 1]) / 2,
            };
            for negative in [false, true] {
                let code = code_of(law, interval, negative);
                let wanted = if negative { -middle } else { middle };
                assert_eq!(i32::from(decode(law, code)), wanted, "{law:?} {code:#04x}");
            }
        }
    }
}

/// All 65,536 samples of each law against the decision values of G.711. A negative sample is compared by its ones'
/// complement, as in the ITU's own program.
#[test]
fn every_sample_encodes_to_the_interval_it_lies_in() {
    for law in LAWS {
        let edges = decision_values(law);
        for sample in i16::MIN..=i16::MAX {
            let magnitude = if sample < 0 { !sample } else { sample };
            let interval = edges.partition_point(|edge| *edge <= i32::from(magnitude)) - 1;
            assert_eq!(encode(law, sample), code_of(law, interval, sample < 0), "{law:?} {sample}");
        }
    }
}

#[test]
fn a_code_decoded_and_encoded_is_the_same_code() {
    for law in LAWS {
        for code in 0..=255 {
            // Mu-law has two zeros; linear PCM has one.
            let wanted = if law == Law::Mu && code == 0x7F { 0xFF } else { code };
            assert_eq!(encode(law, decode(law, code)), wanted, "{law:?}");
        }
    }
}

#[test]
fn a_larger_sample_never_decodes_to_a_smaller_one() {
    for law in LAWS {
        let decoded: Vec<i16> = (i16::MIN..=i16::MAX).map(|sample| decode(law, encode(law, sample))).collect();
        assert!(decoded.is_sorted(), "{law:?}");
    }
}

#[test]
fn the_shorter_slice_limits_the_conversion() {
    for law in LAWS {
        let mut pcm = [1; 4];
        law.decode(&[0xD5; 2], &mut pcm);
        assert_eq!(pcm[2..], [1, 1]);
        law.decode(&[0xD5; 9], &mut pcm);
        let mut codes = [1; 4];
        law.encode(&pcm[..2], &mut codes);
        assert_eq!(codes[2..], [1, 1]);
        law.encode(&[0; 9], &mut codes);
        law.encode(&[], &mut []);
    }
}
