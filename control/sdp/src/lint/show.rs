//! Reports and rules as text, as JSON, and as the table of docs/TOOLS.md.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Finding, LintReport, Rule, Severity};

impl std::fmt::Display for Finding {
    /// One line: line number, text, fault, rule.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line} \"{}\": {} ({})", self.text, self.what, self.rule.id()),
            None => write!(f, "{} ({})", self.what, self.rule.id()),
        }
    }
}

impl LintReport {
    /// Text for operators: each finding with the rule, its reason and the correction, then the counts. `name` is the name of the
    /// description, for example of its file.
    pub fn text(&self, name: &str) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_text(&mut out, name);
        out
    }

    fn write_text(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let guessed = |guessed: bool| if guessed { " (guessed)" } else { "" };
        if let Some(writer) = self.writer {
            let role = self.role.map_or("offer or answer", |role| role.name());
            writeln!(
                out,
                "{name}: from {}{}, {role}{}",
                writer.name(),
                guessed(self.writer_guessed),
                guessed(self.role_guessed && self.role.is_some())
            )?;
        }
        for finding in &self.findings {
            let words = finding.rule.explain();
            let line = finding.line.map_or_else(String::new, |line| format!("line {line}: "));
            writeln!(out, "\n{}[{}] {line}{}", finding.rule.severity().name(), finding.rule.id(), finding.what)?;
            if !finding.text.is_empty() {
                writeln!(out, "    {}", finding.text)?;
            }
            writeln!(out, "  rule: {}", words.asks)?;
            writeln!(out, "  why:  {}", words.why)?;
            writeln!(out, "  fix:  {}", words.fix)?;
        }
        if self.findings.is_empty() {
            return writeln!(out, "no findings");
        }
        let sum = [Severity::Error, Severity::Warning, Severity::Hint].map(|severity| {
            let count = self.count(severity);
            format!("{count} {}{}", severity.name(), if count == 1 { "" } else { "s" })
        });
        writeln!(out, "\n{}", sum.join(", "))
    }

    /// JSON for programs.
    pub fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            let words = finding.rule.explain();
            json!({
                "rule": finding.rule.id(), "severity": finding.rule.severity().name(), "line": finding.line,
                "text": finding.text, "what": finding.what, "asks": words.asks, "why": words.why, "fix": words.fix,
                "meta_error": finding.rule.meta_error(),
            })
        };
        json!({
            "from": self.writer.map(|writer| writer.name()), "from_guessed": self.writer_guessed,
            "role": self.role.map(|role| role.name()), "role_guessed": self.role_guessed,
            "errors": self.count(Severity::Error), "warnings": self.count(Severity::Warning),
            "hints": self.count(Severity::Hint),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Rule {
    /// The rule in four lines.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.explain();
        let writers: Vec<&str> = self.writers().iter().map(|writer| writer.name()).collect();
        writeln!(f, "{} ({}; from {})", self.id(), self.severity().name(), writers.join(", "))?;
        writeln!(f, "  rule: {}", words.asks)?;
        writeln!(f, "  why:  {}", words.why)?;
        writeln!(f, "  fix:  {}", words.fix)
    }
}

/// The table of docs/TOOLS.md, a row for each rule.
pub fn table() -> String {
    let mut out = String::from("| rule | severity | from | requirement | reason |\n|---|---|---|---|---|\n");
    for rule in Rule::ALL {
        let writers: Vec<&str> = rule.writers().iter().map(|writer| writer.name()).collect();
        let words = rule.explain();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            rule.id(),
            rule.severity().name(),
            writers.join(", "),
            words.asks,
            words.why
        );
    }
    out
}
