//! Shortens sound without changing its pitch: waveform-similarity overlap-add with one cut.
//!
//! Voiced sound repeats every pitch period. A cut removes one or more periods where the sound is most similar to what
//! follows them, and blends the two ends (WSOLA: Verhelst and Roelands, ICASSP 1993).

/// Lengths of cuts, in samples of one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLengths {
    /// The shortest cut: 2.5 ms, a period of a 400 Hz voice.
    pub min: usize,
    /// The longest cut: 15 ms, a period of a 67 Hz voice.
    pub max: usize,
    /// The two ends are compared and blended over this length: 10 ms.
    pub overlap: usize,
}

impl CutLengths {
    /// The lengths at `rate_hz`.
    pub const fn at(rate_hz: u32) -> Self {
        let rate = rate_hz as usize;
        Self { min: rate / 400, max: rate * 15 / 1_000, overlap: rate / 100 }
    }
}

/// Ends with a lower correlation than this are not joined: the seam would be audible.
const CORRELATION_MIN: f32 = 0.7;

/// The length of the best cut at the beginning of `pcm`, at most `cut_max`: the one after which `pcm` is most similar to
/// its beginning. `None` if no place is similar enough, or `pcm` is shorter than the overlap and the shortest cut.
pub fn find_cut(pcm: &[i16], cut_max: usize, lengths: &CutLengths) -> Option<usize> {
    let CutLengths { min, max, overlap } = *lengths;
    let longest = cut_max.min(max).min(pcm.len().checked_sub(overlap)?);
    let head = &pcm[..overlap];
    let head_energy = dot(head, head);
    let correlation = |cut: usize| {
        let behind = &pcm[cut..cut + overlap];
        let energy = head_energy * dot(behind, behind);
        if energy > 0.0 { dot(head, behind) / energy.sqrt() } else { 1.0 }
    };
    let best = (min..=longest).map(|cut| (cut, correlation(cut))).max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.filter(|(_, correlation)| *correlation >= CORRELATION_MIN).map(|(cut, _)| cut)
}

/// Removes `cut` samples at the beginning of `pcm`: the result is `pcm[cut..]`, whose first samples (the overlap) are
/// blended from the old beginning. `pcm` must have `cut` samples and the overlap.
pub fn blend_over(pcm: &mut [i16], cut: usize, lengths: &CutLengths) {
    let (weight, overlap) = (lengths.overlap as i32, lengths.overlap.min(pcm.len().saturating_sub(cut)));
    // From the end, since the two ends of a short cut overlap.
    for n in (0..overlap).rev() {
        let (old, new) = (i32::from(pcm[n]), i32::from(pcm[cut + n]));
        pcm[cut + n] = ((old * (weight - n as i32) + new * n as i32) / weight) as i16;
    }
}

fn dot(a: &[i16], b: &[i16]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f32::from(*a) * f32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tone;
    use crate::listen::{power_at, to_dbov};

    const LENGTHS: CutLengths = CutLengths::at(8_000);

    fn sine(hz: f64, samples: usize) -> Vec<i16> {
        let mut pcm = vec![0; samples];
        Tone::sine(hz, 8_000).fill(&mut pcm, 8_000);
        pcm
    }

    #[test]
    fn a_tone_that_is_shortened_stays_the_same_tone() {
        for hz in [80.0, 150.0, 233.0, 440.0, 1_000.0] {
            let mut pcm = sine(hz, 4_000);
            let mut at = 0;
            let mut cuts = 0;
            let mut kept: Vec<i16> = Vec::new();
            while pcm.len() - at >= LENGTHS.max + 400 {
                let cut = find_cut(&pcm[at..], LENGTHS.max, &LENGTHS).expect("a tone is like itself a period later");
                blend_over(&mut pcm[at..], cut, &LENGTHS);
                kept.extend(&pcm[at + cut..at + cut + 400]);
                at += cut + 400;
                cuts += cut;
            }
            assert!(cuts > 0);
            let whole = sine(hz, kept.len());
            let at_tone = |pcm: &[i16]| to_dbov(power_at(pcm, 8_000, hz));
            assert!((at_tone(&kept) - at_tone(&whole)).abs() < 1.0, "{hz} Hz: {} dB", at_tone(&kept) - at_tone(&whole));
        }
    }

    #[test]
    fn silence_can_be_cut_anywhere_and_noise_nowhere() {
        assert!(find_cut(&[0; 400], LENGTHS.max, &LENGTHS).is_some());
        let mut state = 1u32;
        let noise: Vec<i16> = (0..400)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as i16 / 4
            })
            .collect();
        assert_eq!(find_cut(&noise, LENGTHS.max, &LENGTHS), None);
        assert_eq!(find_cut(&[0; LENGTHS.overlap], LENGTHS.max, &LENGTHS), None, "too short");
    }
}
