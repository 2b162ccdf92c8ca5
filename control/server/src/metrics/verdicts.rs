//! Metrics of the verdicts on ended calls, which the controller keeps.

use std::fmt::Error;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use trestle_calls::histogram::Histogram;

/// `trestle_mos`.
#[derive(Debug)]
pub(super) struct Mos(pub(super) Histogram);

impl Collector for Mos {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Mean opinion score (G.107) of the party of a call with the lower one";
        let mut metric = encoder.encode_descriptor("mos", help, None, MetricType::Histogram)?;
        let bound = |tenths: Option<u64>| tenths.map_or(f64::INFINITY, |tenths| tenths as f64 / 10.0);
        let buckets: Vec<(f64, u64)> = self.0.buckets().map(|(tenths, count)| (bound(tenths), count)).collect();
        metric.encode_histogram::<NoLabelSet>(self.0.sum() as f64 / 10.0, self.0.count(), &buckets, None)
    }
}

/// `trestle_clipped_seconds_total`.
#[derive(Debug)]
pub(super) struct Clipped(pub(super) Duration);

impl Collector for Clipped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Audio that was lost because it arrived before it could be sent";
        let counter = ConstCounter::new(self.0.as_secs_f64());
        let metric = encoder.encode_descriptor("clipped_seconds", help, None, MetricType::Counter)?;
        counter.encode(metric)
    }
}
