//! Histograms with bounds as data.

/// Counts of values by bucket. The unit is the caller's: microseconds, tenths of a MOS, ...
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One count per bound, and one for values above the last bound.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// An empty histogram. `bounds` are the inclusive upper bounds of the buckets, in rising order.
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// Counts a value in the first bucket whose bound is not below it.
    pub fn add(&mut self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// The buckets in rising order: the upper bound, `None` for the last, and the count between it and the bound before.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_first_bucket_whose_bound_is_not_below_it() {
        let mut histogram = Histogram::new(&[5, 10, 20]);
        for value in [0, 5, 6, 20, 21, 60_001] {
            histogram.add(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets, [(Some(5), 2), (Some(10), 1), (Some(20), 1), (None, 2)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 60_053));
    }
}
