//! `trestle explain`: queries the verdict on a call from the running server and prints it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::ctl::{self, NgArgs};

/// Columns of a line of text.
const COLUMNS: usize = 100;

/// Prints the quality of a call and the reason of its end. The server keeps the last 1,000 calls that have ended.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The call-id.
    call_id: String,
    #[command(flatten)]
    ng: NgArgs,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
}

/// Queries the verdict and prints it.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let request = json!({"command": "query", "call-id": args.call_id, "flags": ["verdict"]});
    let reply = ctl::send(&args.ng, &request)?;
    if reply["result"] != "ok" {
        let reason = reply["error-reason"].as_str().unwrap_or("no reason given");
        bail!("{}: {reason}", args.call_id);
    }
    let verdict = reply.get("verdict").context("the reply has no verdict; the server is an older version")?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(verdict)?)?;
    } else {
        write!(out, "{}", text(&args.call_id, verdict))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The verdict as a page: grade and cause, the explanation, the timeline.
fn text(call_id: &str, verdict: &Value) -> String {
    let word = |key: &str| verdict[key].as_str().unwrap_or("?");
    let mut text = format!("{call_id}: {} ({})\n\n", word("grade"), word("cause"));
    // A verdict that was too long for a reply has only a summary.
    let explanation = verdict["explanation"].as_str().unwrap_or_else(|| word("summary"));
    let _ = writeln!(text, "{}", wrapped(explanation));
    let moments = verdict["timeline"].as_array().map_or(&[][..], Vec::as_slice);
    if !moments.is_empty() {
        text.push('\n');
    }
    let who = |moment: &Value| moment["who"].as_str().unwrap_or("").to_owned();
    let width = moments.iter().map(|moment| who(moment).chars().count()).max().unwrap_or(0);
    for moment in moments {
        let (ms, what) = (moment["ms"].as_u64().unwrap_or(0), moment["what"].as_str().unwrap_or(""));
        let _ = writeln!(text, "{:>8}.{:03} s  {:width$}  {what}", ms / 1_000, ms % 1_000, who(moment));
    }
    // Tags and labels come from the peers and can contain control characters.
    text.chars().map(|char| if char.is_control() && char != '\n' { '?' } else { char }).collect()
}

fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > COLUMNS {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += len;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_a_page_of_text() {
        let long = format!("{} end.", "seventeen letters".repeat(3)) + &" word".repeat(30);
        let verdict = json!({
            "grade": "bad", "cause": "one_way", "summary": "s", "explanation": long,
            "timeline": [{"ms": 0, "what": "offer applied"}, {"ms": 61_007, "who": "WhatsApp\u{1b}[2J", "what": "ICE connected"}],
        });
        let text = text("c1", &verdict);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "c1: bad (one_way)");
        assert_eq!(lines[lines.len() - 2], "       0.000 s                offer applied");
        assert_eq!(lines[lines.len() - 1], "      61.007 s  WhatsApp?[2J  ICE connected");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
        let words = lines[2..lines.len() - 3].join(" ");
        assert_eq!(words, long);
    }
}
