//! Which events of the log are written.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Trestle's own events up to `level`. Events of other crates up to `info` at most: beyond that the ICE library logs the passwords of
/// both sides.
pub fn log_filter(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_target("trestle", level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn other_crates_log_no_details_at_any_level() {
        for level in [LevelFilter::ERROR, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE] {
            let filter = log_filter(level);
            for event in [Level::ERROR, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert_eq!(filter.would_enable("trestle_core::leg", &event), event <= level, "{level} {event}");
                let others = event <= level && event <= Level::INFO;
                assert_eq!(filter.would_enable("is::agent", &event), others, "{level} {event}");
            }
        }
    }
}
