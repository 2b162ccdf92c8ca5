//! Checks session descriptions against the rules in [`Rule::ALL`]: what Meta accepts, what Meta is known to write, and what a
//! phone must write.
//!
//! [`lint`] accepts more than [`Sdp::parse`] does. It takes a description out of the JSON around it, undoes escapes, repairs line
//! ends, and reports these repairs. Then it checks each rule that concerns the writer of the description. It is a pure function.
//! The SDP that Trestle writes for WhatsApp must have no finding.

mod envelope;
mod formats;
mod guess;
mod media;
mod pair;
mod rule;
mod run;
mod session;
mod show;
mod text;
mod transport;

#[cfg(test)]
mod tests;

pub use rule::{Explanation, Rule, Severity};
pub use show::table;

use crate::PeerDescription;
use crate::Sdp;
use run::LintRun;

/// The writer of a description. It selects the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writer {
    /// The business, or Trestle for it: the description is sent to Meta.
    Us,
    /// Meta: the description comes from WhatsApp.
    Meta,
    /// The SIP side.
    Phone,
}

impl Writer {
    /// All writers.
    pub const ALL: [Self; 3] = [Self::Us, Self::Meta, Self::Phone];

    /// Value of `--from` on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Meta => "meta",
            Self::Phone => "phone",
        }
    }
}

/// Offer or answer (RFC 3264).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The first description of an exchange.
    Offer,
    /// The answer to an offer.
    Answer,
}

impl Role {
    /// Value of `--role` on the command line, and of Graph's `sdp_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }

    /// The role of a [`Role::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Offer, Self::Answer].into_iter().find(|role| role.name() == name)
    }
}

/// What the caller knows about a description. [`lint`] guesses what is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The writer.
    pub writer: Option<Writer>,
    /// Offer or answer.
    pub role: Option<Role>,
    /// The offer that the description answers: SDP, or JSON with SDP in it.
    pub offer: Option<&'a str>,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Line number of the description, from 1; `None` if a line is missing, or if the whole description is concerned.
    pub line: Option<usize>,
    /// The text of that line without keys and passwords; empty if `line` is `None`.
    pub text: String,
    /// The fault, in one sentence.
    pub what: String,
}

/// The result of [`lint`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintReport {
    /// The writer; `None` if it is not known and the text cannot be parsed.
    pub writer: Option<Writer>,
    /// The writer is a guess.
    pub writer_guessed: bool,
    /// Offer or answer; `None` if unknown.
    pub role: Option<Role>,
    /// The role is a guess.
    pub role_guessed: bool,
    /// Ordered by line; findings without a line are first.
    pub findings: Vec<Finding>,
}

impl LintReport {
    /// The number of findings of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.rule.severity() == severity).count()
    }

    /// True if there is a finding of [`Severity::Error`].
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

/// Checks `text`: a description, or JSON with a description in it.
pub fn lint(text: &str, context: &Context<'_>) -> LintReport {
    let mut findings = Vec::new();
    let opened = envelope::open(text, &mut findings);
    let cleaned = text::clean(&opened.sdp, &mut findings);
    let offer = context.offer.map(|offer| text::clean(&envelope::open(offer, &mut Vec::new()).sdp, &mut Vec::new()));
    let offer = offer.and_then(|offer| Sdp::parse(&offer.text).ok());
    let known_role = context.role.or(context.offer.map(|_| Role::Answer)).or(opened.role);
    let known_writer = context.writer.or(opened.writer);
    let sdp = match Sdp::parse(&cleaned.text) {
        Ok(sdp) => sdp,
        Err(error) => {
            let line = error.line.map(|line| cleaned.original(line));
            let finding = Finding { rule: Rule::Readable, line, text: error.text, what: error.reason };
            findings.retain(|finding| finding.rule.concerns(known_writer.unwrap_or(Writer::Phone)));
            return report(known_writer, None, known_role, None, vec![finding], findings);
        }
    };
    let guessed_writer = guess::writer(&sdp);
    let guessed_role = guess::role(&sdp);
    let writer = known_writer.unwrap_or(guessed_writer);
    let role = known_role.or(guessed_role);
    let mut run = LintRun::new(&sdp, writer, role);
    // Calls work without these lines, but Meta may refuse a description that has them.
    run.findings.extend(sdp.skipped.iter().map(|error| Finding {
        rule: Rule::Readable,
        line: error.line,
        text: error.text.clone(),
        what: error.reason.clone(),
    }));
    session::check_sdp_type(&mut run, &opened);
    if session::check(&mut run) {
        transport::check(&mut run);
        formats::check(&mut run);
        media::check(&mut run);
        if let Some(offer) = &offer {
            pair::check(&mut run, offer);
        }
    }
    let mut found = run.findings;
    // Negotiation may refuse a description for a reason that no rule covers. The report must have an error then too.
    let broken = |finding: &Finding| finding.rule.severity() == Severity::Error;
    if !found.iter().any(broken)
        && let Err(error) = PeerDescription::read(&cleaned.text, &[], false)
    {
        found.push(Finding { rule: Rule::Bridgeable, line: None, text: String::new(), what: error.to_string() });
    }
    for finding in &mut found {
        finding.line = finding.line.map(|line| cleaned.original(line));
    }
    // The repairs that concern this writer: line ends matter only in descriptions for Meta.
    findings.retain(|finding| finding.rule.concerns(writer));
    report(known_writer, Some(guessed_writer), known_role, guessed_role, found, findings)
}

fn report(
    known_writer: Option<Writer>,
    guessed_writer: Option<Writer>,
    known_role: Option<Role>,
    guessed_role: Option<Role>,
    found: Vec<Finding>,
    mut findings: Vec<Finding>,
) -> LintReport {
    findings.extend(found);
    findings.sort_by_key(|finding| finding.line);
    LintReport {
        writer: known_writer.or(guessed_writer),
        writer_guessed: known_writer.is_none(),
        role: known_role.or(guessed_role),
        role_guessed: known_role.is_none(),
        findings,
    }
}
