//! Takes a little time out of sound without changing its pitch: a waveform-similarity overlap-add with one cut.
//!
//! Voiced sound repeats itself every pitch period. One or more periods are left out, where the sound is most like what
//! follows them, and the two ends are blended into each other (WSOLA: Verhelst and Roelands, ICASSP 1993).

use crate::BRIDGE_RATE_HZ;

/// The shortest piece worth taking out: 2.5 ms, a period of a 400 Hz voice.
pub const CUT_MIN: usize = BRIDGE_RATE_HZ as usize / 400;
/// The longest: 15 ms, a period of a 67 Hz voice.
pub const CUT_MAX: usize = BRIDGE_RATE_HZ as usize * 15 / 1_000;
/// The two ends are compared and blended over 10 ms.
pub const OVERLAP: usize = BRIDGE_RATE_HZ as usize / 100;

/// Ends that are less alike than this are not joined: the seam would be heard.
const LIKENESS_MIN: f32 = 0.7;

/// Where to cut: the length, up to `cut_max` samples, after which `pcm` is most like its beginning. `None` if it is
/// nowhere alike, or shorter than [`OVERLAP`] and the shortest cut.
pub fn find_cut(pcm: &[i16], cut_max: usize) -> Option<usize> {
    let longest = cut_max.min(CUT_MAX).min(pcm.len().checked_sub(OVERLAP)?);
    let head = &pcm[..OVERLAP];
    let head_energy = dot(head, head);
    let likeness = |cut: usize| {
        let behind = &pcm[cut..cut + OVERLAP];
        let energy = head_energy * dot(behind, behind);
        if energy > 0.0 { dot(head, behind) / energy.sqrt() } else { 1.0 }
    };
    let best = (CUT_MIN..=longest).map(|cut| (cut, likeness(cut))).max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.filter(|(_, likeness)| *likeness >= LIKENESS_MIN).map(|(cut, _)| cut)
}

/// Takes `cut` samples out of the beginning of `pcm`: what is left begins at `pcm[cut]`, and its first [`OVERLAP`] samples
/// lead over from the old beginning. `pcm` must be that long.
pub fn blend_over(pcm: &mut [i16], cut: usize) {
    let (weight, overlap) = (OVERLAP as i32, OVERLAP.min(pcm.len().saturating_sub(cut)));
    // From the end, since a short cut overlaps itself.
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

    fn sine(hz: f64, samples: usize) -> Vec<i16> {
        let mut pcm = vec![0; samples];
        Tone::sine(hz, 8_000).fill(&mut pcm, BRIDGE_RATE_HZ);
        pcm
    }

    #[test]
    fn a_tone_that_is_shortened_stays_the_same_tone() {
        for hz in [80.0, 150.0, 233.0, 440.0, 1_000.0] {
            let mut pcm = sine(hz, 4_000);
            let mut at = 0;
            let mut cuts = 0;
            let mut kept: Vec<i16> = Vec::new();
            while pcm.len() - at >= CUT_MAX + 400 {
                let cut = find_cut(&pcm[at..], CUT_MAX).expect("a tone is like itself a period later");
                blend_over(&mut pcm[at..], cut);
                kept.extend(&pcm[at + cut..at + cut + 400]);
                at += cut + 400;
                cuts += cut;
            }
            assert!(cuts > 0);
            let whole = sine(hz, kept.len());
            let at_tone = |pcm: &[i16]| to_dbov(power_at(pcm, BRIDGE_RATE_HZ, hz));
            assert!((at_tone(&kept) - at_tone(&whole)).abs() < 1.0, "{hz} Hz: {} dB", at_tone(&kept) - at_tone(&whole));
        }
    }

    #[test]
    fn silence_can_be_cut_anywhere_and_noise_nowhere() {
        assert!(find_cut(&[0; 400], CUT_MAX).is_some());
        let mut state = 1u32;
        let noise: Vec<i16> = (0..400)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as i16 / 4
            })
            .collect();
        assert_eq!(find_cut(&noise, CUT_MAX), None);
        assert_eq!(find_cut(&[0; OVERLAP], CUT_MAX), None, "too short");
    }
}
