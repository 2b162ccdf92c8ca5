//! [`LintRun`]: the description under check and the findings so far. The checks are functions of the other files.

use super::{Finding, Role, Rule, Writer, text};
use crate::{Attribute, Line, MediaDescription, Sdp};

/// One description under check.
pub(super) struct LintRun<'a> {
    pub(super) sdp: &'a Sdp,
    /// The first audio stream. [`super::session::check`] reports its absence.
    pub(super) audio: Option<&'a MediaDescription>,
    pub(super) writer: Writer,
    pub(super) role: Option<Role>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> LintRun<'a> {
    pub(super) fn new(sdp: &'a Sdp, writer: Writer, role: Option<Role>) -> Self {
        let audio = sdp.media.iter().find(|media| media.media == "audio");
        Self { sdp, audio, writer, role, findings: Vec::new() }
    }

    /// Records that `rule` is broken, if it concerns the writer.
    pub(super) fn report(&mut self, rule: Rule, line: Option<&Line>, what: impl Into<String>) {
        if rule.concerns(self.writer) {
            let text = line.map_or_else(String::new, |line| text::shown(&format!("{}={}", line.letter, line.value)));
            self.findings.push(Finding { rule, line: line.map(|line| line.number), text, what: what.into() });
        }
    }

    /// All attributes with this name, those of the session part first.
    pub(super) fn all(&self, name: &str) -> Vec<Attribute<'a>> {
        let media = self.audio.into_iter().flat_map(MediaDescription::attributes);
        self.sdp.attributes().chain(media).filter(|attribute| attribute.name == name).collect()
    }

    /// The first attribute with this name: of the audio stream, else of the session part.
    pub(super) fn first(&self, name: &str) -> Option<Attribute<'a>> {
        self.sdp.attribute(self.audio?, name)
    }

    /// True if the protocol is DTLS-SRTP.
    pub(super) fn is_dtls(&self) -> bool {
        self.audio.is_some_and(|audio| audio.proto.starts_with("UDP/TLS/"))
    }

    pub(super) fn is_answer(&self) -> bool {
        self.role == Some(Role::Answer)
    }
}
