//! Counts on disk, and what counts as grown.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

/// What one packet, or one message, of a case costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Instructions of ours and of the standard libraries.
    pub(crate) ours: u64,
    /// Instructions of libopus and AWS-LC.
    pub(crate) libraries: u64,
    /// Of both, those of `malloc`, `free` and their like.
    pub(crate) heap: u64,
}

/// Counts by the name of their case.
pub(crate) type Table = BTreeMap<String, Count>;

/// Growth that fails, in percent.
const GROWTH_MAX: u64 = 5;
/// A few instructions are no growth, whatever they are a share of.
const SLACK: u64 = 10;

/// Why `count` must not be taken; `None` if it may.
pub(crate) fn judge(before: Option<&Count>, count: &Count) -> Option<&'static str> {
    let has_grown = |before: u64, now: u64| now > before + (before * GROWTH_MAX / 100).max(SLACK);
    match before {
        None => Some("NEW"),
        Some(before) if has_grown(before.ours, count.ours) => Some("GROWN"),
        Some(before) if has_grown(before.libraries, count.libraries) => Some("LIBRARIES HAVE GROWN"),
        Some(before) if has_grown(before.heap, count.heap) => Some("ALLOCATES"),
        Some(_) => None,
    }
}

/// A change as people read it.
pub(crate) fn change(before: Option<u64>, now: u64) -> String {
    match before {
        Some(before) if before > 0 => format!("{:+.1} %", (now as f64 / before as f64 - 1.0) * 100.0),
        _ => String::new(),
    }
}

/// The table in `file`; an empty one if there is none.
pub(crate) fn read(file: &Path) -> anyhow::Result<Table> {
    if !file.exists() {
        return Ok(Table::new());
    }
    let value: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let cases = value.as_object().with_context(|| format!("{} holds no object", file.display()))?;
    cases
        .iter()
        .map(|(name, case)| {
            let number = |key: &str| case[key].as_u64().with_context(|| format!("{name}: no {key}"));
            let count = Count { ours: number("ours")?, libraries: number("libraries")?, heap: number("heap")? };
            Ok((name.clone(), count))
        })
        .collect()
}

/// Writes `table`, a line for each case.
pub(crate) fn write(file: &Path, table: &Table) -> anyhow::Result<()> {
    let lines: Vec<String> = table
        .iter()
        .map(|(name, Count { ours, libraries, heap })| {
            let case = json!({ "ours": ours, "libraries": libraries, "heap": heap });
            format!("{}: {case}", json!(name))
        })
        .collect();
    Ok(std::fs::write(file, format!("{{\n{}\n}}\n", lines.join(",\n")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_more_fails_and_a_few_instructions_do_not() {
        let count = |ours, libraries, heap| Count { ours, libraries, heap };
        let known = count(1_000, 10_000, 0);
        for (now, verdict) in [
            (count(1_050, 10_500, 0), None),
            (count(100, 100, 0), None),
            (count(1_051, 10_000, 0), Some("GROWN")),
            (count(1_000, 10_501, 0), Some("LIBRARIES HAVE GROWN")),
            (count(1_000, 10_000, 11), Some("ALLOCATES")),
        ] {
            assert_eq!(judge(Some(&known), &now), verdict, "{now:?}");
        }
        assert_eq!(judge(Some(&count(20, 0, 0)), &count(30, 10, 0)), None);
        assert_eq!(judge(None, &known), Some("NEW"));
    }
}
