//! Times by the million in a few kilobytes: their quantiles to 3 %, their largest exactly.

/// Buckets within each power of two: a value is known to one part in 32.
const PER_OCTAVE: u64 = 32;
const BUCKETS: usize = 60 * PER_OCTAVE as usize;

/// How often which time was seen. Nanoseconds, or whatever else grows from zero.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, sum: 0, max: 0 }
    }
}

impl Histogram {
    /// Sees `value` once more.
    pub fn add(&mut self, value: u64) {
        self.buckets[bucket(value)] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.max = self.max.max(value);
    }

    /// Sees all that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *ours += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// Values seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value seen; 0 of none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean; 0 of none.
    pub fn mean(&self) -> u64 {
        (self.sum / u128::from(self.count.max(1))) as u64
    }

    /// The value that `share` (0 to 1) of all do not exceed, rounded up by no more than 1/32; 0 of none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (n, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(n).min(self.max);
            }
        }
        self.max
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram").field("count", &self.count).field("max", &self.max).finish_non_exhaustive()
    }
}

fn bucket(value: u64) -> usize {
    if value < PER_OCTAVE {
        return value as usize;
    }
    let octave = u64::from(value.ilog2()) - u64::from(PER_OCTAVE.ilog2());
    let index = (octave + 1) * PER_OCTAVE + (value >> octave) - PER_OCTAVE;
    (index as usize).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PER_OCTAVE {
        return bucket;
    }
    let (octave, step) = (bucket / PER_OCTAVE - 1, bucket % PER_OCTAVE);
    (((PER_OCTAVE + step + 1) << octave) - 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_no_wider_than_a_32nd_of_it() {
        for value in (0..5_000).chain([10_000, 123_456, 20_000_000, 5_000_000_000, 1 << 50]) {
            let upper = upper(bucket(value));
            assert!(upper >= value && upper - value <= value / 32, "{value}: {upper}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::default();
        let mut values: Vec<u64> = (0..10_000u64).map(|n| n * n % 7_919 * 100).collect();
        values.iter().for_each(|value| histogram.add(*value));
        values.sort_unstable();
        for share in [0.5, 0.9, 0.99, 0.999] {
            let exact = values[(values.len() as f64 * share).ceil() as usize - 1];
            let found = histogram.quantile(share);
            assert!(found >= exact && found <= exact + exact / 32, "{share}: {found}, not {exact}");
        }
        assert_eq!((histogram.quantile(1.0), histogram.max()), (values[9_999], values[9_999]));
        assert_eq!(histogram.mean(), values.iter().sum::<u64>() / 10_000);
    }

    #[test]
    fn two_together_are_as_if_one_had_seen_all() {
        let (mut one, mut two, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for n in 0..1_000u64 {
            if n % 3 == 0 {
                one.add(n * 17)
            } else {
                two.add(n * 17)
            }
            both.add(n * 17);
        }
        one.merge(&two);
        assert_eq!((one.count(), one.max(), one.mean()), (both.count(), both.max(), both.mean()));
        assert_eq!(one.quantile(0.9), both.quantile(0.9));
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
