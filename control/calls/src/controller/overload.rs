//! Overload: bounds for processor, load average and lateness of media threads, past which new calls are refused. Existing calls
//! are not affected; the bounds protect their quality.

use std::time::{Duration, Instant};

/// How often [`super::Controller::handle_load`] is called.
pub const LOAD_EVERY: Duration = Duration::from_millis(500);

/// A bound must be passed this many times in a row: one short stall of the machine refuses no call.
const PASSED_TIMES: u32 = 2;

/// All values must have been well below their bounds for this long before calls are accepted again.
const RELIEF: Duration = Duration::from_secs(2);

/// Well below: this share of the bound, in percent.
const BELOW_PERCENT: u32 = 80;

/// A number with two decimals, as rtpengine's `max-cpu` and `max-load` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Hundredths(pub u32);

impl TryFrom<f64> for Hundredths {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        let hundredths = (number * 100.0).round();
        // Above a million is a typing error, and so is what is no number.
        if (0.0..=100_000_000.0).contains(&hundredths) {
            Ok(Self(hundredths as u32))
        } else {
            Err("not a number from 0 up")
        }
    }
}

impl std::str::FromStr for Hundredths {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<f64>().map_err(|_| "not a number from 0 up").and_then(Self::try_from)
    }
}

impl std::fmt::Display for Hundredths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// The load of the machine since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Mean lateness of the latest media thread: timers after their time, datagrams that waited.
    pub lateness: Duration,
    /// Of all processors together, percent; `None` if it is not measured.
    pub cpu: Option<Hundredths>,
    /// The load average of the last minute.
    pub average: Option<Hundredths>,
}

/// Values at which offers for new calls are refused; `None` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadBounds {
    /// [`Load::lateness`].
    pub lateness: Option<Duration>,
    /// [`Load::cpu`].
    pub cpu: Option<Hundredths>,
    /// [`Load::average`].
    pub average: Option<Hundredths>,
}

/// Why an offer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// The limit of calls.
    Sessions,
    /// No free ports.
    Ports,
    /// The processors.
    Cpu,
    /// The load average.
    Average,
    /// Media threads are late.
    Lateness,
    /// A media thread's mailbox is full.
    Commands,
    /// The service drains.
    Draining,
}

impl Limit {
    /// Name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Ports => "ports",
            Self::Cpu => "cpu",
            Self::Average => "load",
            Self::Lateness => "lateness",
            Self::Commands => "commands",
            Self::Draining => "draining",
        }
    }

    /// The error texts on which Kamailio and OpenSIPS try another node; only OpenSIPS knows the last two.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Sessions | Self::Draining => "Parallel session limit reached",
            Self::Ports => "Ran out of ports",
            Self::Cpu => "CPU usage limit exceeded",
            Self::Average | Self::Lateness | Self::Commands => "Load limit exceeded",
        }
    }
}

/// Whether new calls are accepted.
#[derive(Debug, Default)]
pub(super) struct Overload {
    bounds: LoadBounds,
    /// The last report.
    pub(super) load: Load,
    /// Times in a row that a bound was passed.
    passed: u32,
    /// The limit for which calls are refused, and since when.
    refusing: Option<(Limit, Instant)>,
    /// Since when all values are well below their bounds.
    relieved: Option<Instant>,
}

/// A change of [`Overload`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadChange {
    /// From now on offers are refused.
    Overloaded(Limit),
    /// Offers are accepted again, after this long.
    Relieved(Limit, Duration),
}

impl Overload {
    pub(super) fn new(bounds: LoadBounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Sets other bounds.
    pub(super) fn set_bounds(&mut self, bounds: LoadBounds) {
        self.bounds = bounds;
    }

    /// The limit for which offers for new calls are refused.
    pub(super) fn refusing(&self) -> Option<Limit> {
        self.refusing.map(|(limit, _)| limit)
    }

    /// Takes the load of the machine.
    pub(super) fn take(&mut self, now: Instant, load: Load) -> Option<LoadChange> {
        self.load = load;
        let Some((limit, since)) = self.refusing else {
            let passed = self.passed_by(100);
            self.passed = if passed.is_some() { self.passed + 1 } else { 0 };
            let limit = passed.filter(|_| self.passed >= PASSED_TIMES)?;
            self.refusing = Some((limit, now));
            return Some(LoadChange::Overloaded(limit));
        };
        if self.passed_by(BELOW_PERCENT).is_some() {
            self.relieved = None;
            return None;
        }
        let relieved = *self.relieved.get_or_insert(now);
        if now.saturating_duration_since(relieved) < RELIEF {
            return None;
        }
        (self.refusing, self.relieved, self.passed) = (None, None, 0);
        Some(LoadChange::Relieved(limit, now.saturating_duration_since(since)))
    }

    /// The first bound of which this share, in percent, is reached.
    fn passed_by(&self, percent: u32) -> Option<Limit> {
        let share = |bound: Hundredths| Hundredths((u64::from(bound.0) * u64::from(percent) / 100) as u32);
        let reached = |is: Option<Hundredths>, bound: Option<Hundredths>| {
            is.zip(bound).is_some_and(|(is, bound)| is >= share(bound))
        };
        if self.bounds.lateness.is_some_and(|bound| self.load.lateness >= bound * percent / 100) {
            Some(Limit::Lateness)
        } else if reached(self.load.cpu, self.bounds.cpu) {
            Some(Limit::Cpu)
        } else if reached(self.load.average, self.bounds.average) {
            Some(Limit::Average)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overload(bounds: LoadBounds) -> (Overload, Instant) {
        #[expect(clippy::disallowed_methods, reason = "a fixed start of virtual time")]
        let start = Instant::now();
        (Overload::new(bounds), start)
    }

    fn late(ms: u64) -> Load {
        Load { lateness: Duration::from_millis(ms), ..Load::default() }
    }

    #[test]
    fn one_late_report_refuses_no_call_and_lasting_lateness_does() {
        let (mut overload, now) =
            overload(LoadBounds { lateness: Some(Duration::from_millis(20)), ..Default::default() });
        for (ms, turn) in
            [(900, None), (19, None), (20, None), (20, Some(LoadChange::Overloaded(Limit::Lateness))), (90, None)]
        {
            assert_eq!(overload.take(now, late(ms)), turn, "{ms} ms");
        }
        assert_eq!(overload.refusing(), Some(Limit::Lateness));
    }

    #[test]
    fn calls_are_accepted_again_after_two_seconds_well_below_the_bound_and_not_before() {
        let (mut overload, start) =
            overload(LoadBounds { lateness: Some(Duration::from_millis(20)), ..Default::default() });
        // Every half second: the lateness, and whether calls are refused from then on.
        let reports = [
            (25, false),
            (25, true),
            // Just below the bound is not well below it.
            (16, true),
            (18, true),
            (15, true),
            (1, true),
            (1, true),
            // Time starts anew.
            (17, true),
            (1, true),
            (1, true),
            (1, true),
            (1, true),
            (1, false),
            (25, false),
            (1, false),
        ];
        for (n, (ms, refused)) in (0..).zip(reports) {
            overload.take(start + LOAD_EVERY * n, late(ms));
            assert_eq!(overload.refusing().is_some(), refused, "at {n}: {ms} ms");
        }
    }

    #[test]
    fn each_bound_has_its_own_error_text_and_without_bounds_no_call_is_refused() {
        let some = |number: f64| Some(Hundredths::try_from(number).unwrap());
        let busy = Load { lateness: Duration::from_secs(1), cpu: some(99.5), average: some(7.25) };
        for (bounds, limit) in [
            (LoadBounds::default(), None),
            (LoadBounds { cpu: some(99.51), average: some(7.26), ..Default::default() }, None),
            (LoadBounds { cpu: some(99.5), ..Default::default() }, Some("CPU usage limit exceeded")),
            (LoadBounds { average: some(7.25), ..Default::default() }, Some("Load limit exceeded")),
            (LoadBounds { lateness: Some(Duration::from_secs(1)), ..Default::default() }, Some("Load limit exceeded")),
        ] {
            let (mut overload, now) = overload(bounds);
            overload.take(now, busy);
            overload.take(now, busy);
            assert_eq!(overload.refusing().map(Limit::words), limit, "{bounds:?}");
        }
    }

    #[test]
    fn numbers_have_two_decimals() {
        for (text, number) in
            [("0", Some("0.00")), ("90", Some("90.00")), ("4.256", Some("4.26")), ("-1", None), ("x", None)]
        {
            assert_eq!(text.parse::<Hundredths>().ok().map(|number| number.to_string()).as_deref(), number, "{text}");
        }
        assert!("NaN".parse::<Hundredths>().is_err());
    }
}
