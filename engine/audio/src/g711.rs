//! G.711: 64 kbit/s companded PCM at 8 kHz, mu-law (PCMU) and A-law (PCMA). One code is one sample.
//!
//! Both laws are a sign, a 3-bit segment and a 4-bit step inside it. Tables are computed at compile time: a code costs
//! one look-up in either direction.

#[cfg(test)]
mod tests;

/// Rate of G.711 PCM, in Hz.
pub const RATE_HZ: u32 = 8_000;

/// A companding law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// Mu-law: PCMU, North America and Japan. 14-bit magnitude and sign, silence is 0xFF.
    Mu,
    /// A-law: PCMA, everywhere else. 13-bit magnitude and sign, silence is 0xD5.
    A,
}

impl Law {
    /// Decodes codes to samples, as many as the shorter slice has.
    pub fn decode(self, codes: &[u8], pcm: &mut [i16]) {
        let table = match self {
            Self::Mu => &MU_TO_LINEAR,
            Self::A => &A_TO_LINEAR,
        };
        for (sample, code) in pcm.iter_mut().zip(codes) {
            *sample = table[usize::from(*code)];
        }
    }

    /// Encodes samples to codes, as many as the shorter slice has.
    pub fn encode(self, pcm: &[i16], codes: &mut [u8]) {
        // An arithmetic shift is the law's own rounding: it takes the ones' complement of a negative sample as its
        // magnitude, so that the two halves of the scale mirror each other (ITU-T G.191, as G.711 is specified there).
        match self {
            Self::Mu => {
                for (code, sample) in codes.iter_mut().zip(pcm) {
                    *code = LINEAR_TO_MU[usize::from((*sample as u16) >> MU_SHIFT)];
                }
            }
            Self::A => {
                for (code, sample) in codes.iter_mut().zip(pcm) {
                    *code = LINEAR_TO_A[usize::from((*sample as u16) >> A_SHIFT)];
                }
            }
        }
    }
}

/// Mu-law has 14 significant bits of a 16-bit sample.
const MU_SHIFT: u32 = 2;
/// A-law's finest step is 2 of 13 bits, so that 12 of 16 bits decide the code.
const A_SHIFT: u32 = 4;

/// Added to a 14-bit magnitude so that every mu-law segment begins at a power of two (32 << segment).
const MU_BIAS: i32 = 33;
/// The largest biased magnitude that still has a code.
const MU_BIASED_MAX: i32 = 0x1FFF;

static MU_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = mu_to_linear(code as u8);
        code += 1;
    }
    table
};

static A_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = a_to_linear(code as u8);
        code += 1;
    }
    table
};

static LINEAR_TO_MU: [u8; 1 << (16 - MU_SHIFT)] = {
    let mut table = [0; 1 << (16 - MU_SHIFT)];
    let mut index = 0;
    while index < table.len() {
        table[index] = linear_to_mu(((index << MU_SHIFT) as u16) as i16);
        index += 1;
    }
    table
};

static LINEAR_TO_A: [u8; 1 << (16 - A_SHIFT)] = {
    let mut table = [0; 1 << (16 - A_SHIFT)];
    let mut index = 0;
    while index < table.len() {
        table[index] = linear_to_a(((index << A_SHIFT) as u16) as i16);
        index += 1;
    }
    table
};

/// Middle of the code's interval, in 16-bit units.
const fn mu_to_linear(code: u8) -> i16 {
    let bits = !code;
    let segment = (bits >> 4) & 7;
    let step = (bits & 0x0F) as i32;
    // 14-bit magnitude, biased, at the middle of the step: (16 + step + 1/2) << (segment + 1).
    let magnitude = ((2 * step + 33) << segment) - MU_BIAS;
    let linear = magnitude << MU_SHIFT;
    (if code & 0x80 == 0 { -linear } else { linear }) as i16
}

const fn linear_to_mu(sample: i16) -> u8 {
    let (magnitude, sign) = if sample < 0 { (!sample, 0x00) } else { (sample, 0x80) };
    let biased = (magnitude as i32 >> MU_SHIFT) + MU_BIAS;
    let biased = if biased > MU_BIASED_MAX { MU_BIASED_MAX } else { biased };
    // The leading one is bit 5 in segment 0 and bit 12 in segment 7; the step is the four bits behind it.
    let segment = (biased as u32).ilog2() - 5;
    let step = (biased as u32 >> (segment + 1)) & 0x0F;
    // All but the sign is sent inverted, so that silence has many ones on the line.
    sign | (!((segment << 4 | step) as u8) & 0x7F)
}

/// Middle of the code's interval, in 16-bit units.
const fn a_to_linear(code: u8) -> i16 {
    // Even bits are sent inverted.
    let bits = code ^ 0x55;
    let segment = (bits >> 4) & 7;
    let step = (bits & 0x0F) as i32;
    // Segment 0 is linear like segment 1 but begins at zero, without the leading one.
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    (if code & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

const fn linear_to_a(sample: i16) -> u8 {
    let (magnitude, sign) = if sample < 0 { (!sample, 0x00) } else { (sample, 0x80) };
    let magnitude = magnitude as u32 >> A_SHIFT;
    let bits = if magnitude < 16 {
        magnitude
    } else {
        let segment = magnitude.ilog2() - 3;
        segment << 4 | (magnitude >> (segment - 1)) & 0x0F
    };
    (sign | bits as u8) ^ 0x55
}
