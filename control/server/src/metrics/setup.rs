//! The histogram of set-up times, which the controller keeps.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use trestle_calls::controller::{BOUNDS_MS, SetupTimes, Stage};

/// `trestle_setup_seconds`, as it stands.
#[derive(Debug)]
pub(super) struct SetupSeconds(pub(super) SetupTimes);

impl Collector for SetupSeconds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Stages of the set-up of legs";
        let mut metric = encoder.encode_descriptor("setup_seconds", help, None, MetricType::Histogram)?;
        for stage in Stage::ALL {
            let times = self.0.of(stage);
            let bounds = BOUNDS_MS.iter().map(|ms| *ms as f64 / 1_000.0).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(times.counts).collect();
            let count = times.counts.iter().sum();
            let labels = [("stage", stage.name())];
            let mut series = metric.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(times.sum.as_secs_f64(), count, &buckets, None)?;
        }
        Ok(())
    }
}
