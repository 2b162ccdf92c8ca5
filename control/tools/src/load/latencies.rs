//! Latencies by the million in a few kilobytes.

use hdrhistogram::Histogram;

/// Significant decimal digits that a latency keeps.
const DIGITS: u8 = 2;

/// The distribution of a latency in nanoseconds: quantiles to 1 %, the largest exactly.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>, u64);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).expect("2 digits are within the library's 0 to 5"), 0)
    }
}

impl Latencies {
    /// Adds one latency, in nanoseconds.
    pub fn add(&mut self, ns: u64) {
        self.1 = self.1.max(ns);
        self.0 += ns;
    }

    /// Adds all latencies of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.1 = self.1.max(other.1);
        self.0 += &other.0;
    }

    /// Number of latencies.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The largest latency in nanoseconds; 0 of none.
    pub fn max(&self) -> u64 {
        self.1
    }

    /// The mean in nanoseconds; 0 of none.
    pub fn mean(&self) -> u64 {
        self.0.mean() as u64
    }

    /// The latency in nanoseconds that `share` (0 to 1) of all do not exceed, at most 1 % too high; 0 of none.
    pub fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share).min(self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut latencies = Latencies::default();
        let mut values: Vec<u64> = (0..10_000u64).map(|n| n * n % 7_919 * 100).collect();
        values.iter().for_each(|value| latencies.add(*value));
        values.sort_unstable();
        for share in [0.5, 0.9, 0.99, 0.999] {
            let exact = values[(values.len() as f64 * share).ceil() as usize - 1];
            let found = latencies.quantile(share);
            assert!(found >= exact && found <= exact + exact / 100, "{share}: {found}, not {exact}");
        }
        assert_eq!((latencies.quantile(1.0), latencies.max()), (values[9_999], values[9_999]));
        let mean = values.iter().sum::<u64>() / 10_000;
        assert!(latencies.mean().abs_diff(mean) <= mean / 100);
    }

    #[test]
    fn merged_distributions_equal_one_distribution_of_all_values() {
        let (mut one, mut two, mut both) = (Latencies::default(), Latencies::default(), Latencies::default());
        for n in 0..1_000u64 {
            let part = if n % 3 == 0 { &mut one } else { &mut two };
            part.add(n * 17);
            both.add(n * 17);
        }
        one.merge(&two);
        assert_eq!((one.count(), one.max(), one.mean()), (both.count(), both.max(), both.mean()));
        assert_eq!(one.quantile(0.9), both.quantile(0.9));
    }

    #[test]
    fn an_empty_distribution_has_zero_everywhere() {
        let none = Latencies::default();
        assert_eq!((none.count(), none.max(), none.mean(), none.quantile(0.5)), (0, 0, 0, 0));
    }
}
