//! The histogram of set-up times, which the controller keeps.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use trestle_calls::controller::{SetupStage, SetupTimes};

/// `trestle_setup_seconds`.
#[derive(Debug)]
pub(super) struct SetupSeconds(pub(super) SetupTimes);

impl Collector for SetupSeconds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Stages of the set-up of legs";
        let mut metric = encoder.encode_descriptor("setup_seconds", help, None, MetricType::Histogram)?;
        for stage in SetupStage::ALL {
            let times = self.0.of(stage);
            let seconds = |us: u64| us as f64 / 1e6;
            let bound = |us: Option<u64>| us.map_or(f64::INFINITY, seconds);
            let buckets: Vec<(f64, u64)> = times.buckets().map(|(us, count)| (bound(us), count)).collect();
            let labels = [("stage", stage.name())];
            let mut series = metric.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(seconds(times.sum()), times.count(), &buckets, None)?;
        }
        Ok(())
    }
}
