//! Session descriptions judged: by what WhatsApp takes, what Meta has been seen to write, and what a phone must say.
//!
//! [`lint`] reads more than [`Sdp::parse`] does. It takes a description out of the JSON around it, undoes escapes, mends
//! line ends, and reports what it mended; then it checks every rule of [`Rule::ALL`] that concerns the writer of the
//! description. It is a pure function, and what we write towards WhatsApp ourselves must pass it without a word.

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

/// Who wrote a description, and thereby which rules it has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writer {
    /// The business: it is handed to Meta.
    Us,
    /// Meta: it comes from WhatsApp.
    Meta,
    /// The SIP side.
    Phone,
}

impl Writer {
    /// Every writer.
    pub const ALL: [Self; 3] = [Self::Us, Self::Meta, Self::Phone];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Meta => "meta",
            Self::Phone => "phone",
        }
    }
}

/// Which half of the exchange a description is (RFC 3264).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It opens.
    Offer,
    /// It answers.
    Answer,
}

impl Role {
    /// As on the command line, and in Graph's `sdp_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }

    /// From a word of the command line or of Graph's `sdp_type`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Offer, Self::Answer].into_iter().find(|role| role.name() == name)
    }
}

/// What is known beside the text. What is not is guessed from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// Who wrote it.
    pub writer: Option<Writer>,
    /// Which half it is.
    pub role: Option<Role>,
    /// The offer that it answers; read as leniently as the description itself.
    pub offer: Option<&'a str>,
}

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Line of the description, from 1; `None` if it is about a line that is missing, or about the whole.
    pub line: Option<usize>,
    /// That line without what is secret in it; empty without a line.
    pub text: String,
    /// What is wrong here, in one sentence.
    pub what: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintReport {
    /// Who wrote it; `None` if nothing could be read.
    pub writer: Option<Writer>,
    /// The writer is a guess.
    pub writer_guessed: bool,
    /// Which half it is; `None` if unknown.
    pub role: Option<Role>,
    /// The half is a guess.
    pub role_guessed: bool,
    /// In the order of the lines; what has no line comes first.
    pub findings: Vec<Finding>,
}

impl LintReport {
    /// How many findings there are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.rule.severity() == severity).count()
    }

    /// True if a peer would refuse this.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

/// Judges `text`: a description, or JSON with one in it.
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
    // Negotiation may refuse a description for a reason that no rule has; the result must not be "good" then.
    let broken = |finding: &Finding| finding.rule.severity() == Severity::Error;
    if !found.iter().any(broken)
        && let Err(error) = PeerDescription::read(&cleaned.text, &[], false)
    {
        found.push(Finding { rule: Rule::Bridgeable, line: None, text: String::new(), what: error.to_string() });
    }
    for finding in &mut found {
        finding.line = finding.line.map(|line| cleaned.original(line));
    }
    // Line ends matter only in descriptions that are handed to Meta.
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
