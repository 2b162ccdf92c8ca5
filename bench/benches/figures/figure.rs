//! A measured figure, and how figures are shown.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Values of one kind, in milliseconds.
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// In any order.
    pub(crate) fn of(mut values_ms: Vec<f64>) -> Self {
        values_ms.sort_by(f64::total_cmp);
        Self(values_ms)
    }

    /// The smallest value that `share` of all values do not exceed; `None` if there are none.
    fn at(&self, share: f64) -> Option<f64> {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied()
    }
}

/// What is to be reached: this share of all values lies below the limit.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) share: f64,
    pub(crate) below_ms: f64,
}

/// One line of the table.
pub(crate) struct Figure {
    /// Indented if it explains the figure above.
    pub(crate) name: &'static str,
    /// `None` for what is measured to understand the others.
    pub(crate) wanted: Option<Wanted>,
    pub(crate) values_ms: Spread,
    /// Packets or commands that came to nothing, of how many; `None` where that cannot be.
    pub(crate) lost: Option<(u64, u64)>,
    /// What has to be known to read it.
    pub(crate) note: &'static str,
}

/// What the machine was like.
pub(crate) struct Conditions {
    pub(crate) optimised: bool,
    pub(crate) trial: bool,
    pub(crate) processors: usize,
    pub(crate) load_before: String,
    pub(crate) load_after: String,
}

const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Figure {
    /// `None` where nothing is wanted or nothing was measured.
    fn is_met(&self) -> Option<bool> {
        let wanted = self.wanted?;
        Some(self.values_ms.at(wanted.share)? < wanted.below_ms)
    }

    fn verdict(&self) -> &'static str {
        match (self.wanted, self.is_met()) {
            (None, _) => "",
            (Some(_), None) => "nothing measured",
            (Some(_), Some(true)) => "reached",
            (Some(_), Some(false)) => "not reached",
        }
    }

    fn wanted_text(&self) -> String {
        let name = |share: f64| SHARES.iter().find(|(_, known)| *known == share).map_or("", |(name, _)| name);
        self.wanted.map_or_else(String::new, |wanted| format!("{} < {} ms", name(wanted.share), wanted.below_ms))
    }
}

/// For a reader: figure, wanted, measured.
pub(crate) fn table(conditions: &Conditions, figures: &[Figure]) -> String {
    let Conditions { optimised, trial, processors, load_before, load_after } = conditions;
    let mut text = format!(
        "\n{}, {processors} processors, load average {load_before} before and {load_after} after{}\n\n",
        if *optimised { "optimised build" } else { "development build" },
        if *trial { "; a trial, too short to mean anything" } else { "" },
    );
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<38} {:>13} {:>7} {:>9} {:>9} {:>9} {:>9} {:>12}  verdict",
        "figure (ms)", "wanted", "n", "p50", "p99", "p99.9", "max", "lost"
    );
    for figure in figures {
        let _ = write!(text, "{:<38} {:>13} {:>7}", figure.name, figure.wanted_text(), figure.values_ms.0.len());
        for (_, share) in SHARES {
            let _ = match figure.values_ms.at(share) {
                Some(ms) => write!(text, " {ms:>9.3}"),
                None => write!(text, " {:>9}", "-"),
            };
        }
        let lost = figure.lost.map_or_else(String::new, |(lost, of)| format!("{lost}/{of}"));
        let _ = writeln!(text, " {lost:>12}  {}", figure.verdict());
    }
    text.push('\n');
    for figure in figures.iter().filter(|figure| !figure.note.is_empty()) {
        let _ = writeln!(text, "{}: {}.", figure.name.trim_start(), figure.note);
    }
    text
}

/// For a program.
pub(crate) fn json(conditions: &Conditions, figures: &[Figure]) -> String {
    let one = |figure: &Figure| {
        let measured: serde_json::Map<String, Value> =
            SHARES.iter().map(|(name, share)| ((*name).to_owned(), figure.values_ms.at(*share).into())).collect();
        json!({
            "figure": figure.name.trim_start(),
            "wanted": figure.wanted.map(|wanted| json!({"share": wanted.share, "below_ms": wanted.below_ms})),
            "reached": figure.is_met(),
            "n": figure.values_ms.0.len(),
            "measured_ms": measured,
            "lost": figure.lost.map(|(lost, _)| lost),
            "of": figure.lost.map(|(_, of)| of),
            "note": figure.note,
        })
    };
    let all = json!({
        "optimised": conditions.optimised,
        "trial": conditions.trial,
        "processors": conditions.processors,
        "load_average_before": conditions.load_before,
        "load_average_after": conditions.load_after,
        "figures": figures.iter().map(one).collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}
