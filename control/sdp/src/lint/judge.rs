//! What every check needs, and the head of the description.

use super::envelope::Opened;
use super::{Finding, Role, Rule, Writer, text};
use crate::{Attribute, Line, MediaDescription, Sdp};

/// A description on trial.
pub(super) struct Judge<'a> {
    pub(super) sdp: &'a Sdp,
    /// The first audio. [`Judge::head`] sees to it that there is one; until then the first `m=` line, if any.
    pub(super) audio: Option<&'a MediaDescription>,
    pub(super) writer: Writer,
    pub(super) role: Option<Role>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(sdp: &'a Sdp, writer: Writer, role: Option<Role>) -> Self {
        let audio = sdp.media.iter().find(|media| media.media == "audio");
        Self { sdp, audio, writer, role, findings: Vec::new() }
    }

    /// Breaks `rule`, if it concerns the writer.
    pub(super) fn find(&mut self, rule: Rule, line: Option<&Line>, what: impl Into<String>) {
        if rule.concerns(self.writer) {
            let text = line.map_or_else(String::new, |line| text::shown(&format!("{}={}", line.letter, line.value)));
            self.findings.push(Finding { rule, line: line.map(|line| line.number), text, what: what.into() });
        }
    }

    /// All attributes of this name, those of the session first.
    pub(super) fn all(&self, name: &str) -> Vec<Attribute<'a>> {
        let media = self.audio.into_iter().flat_map(MediaDescription::attributes);
        self.sdp.attributes().chain(media).filter(|attribute| attribute.name == name).collect()
    }

    pub(super) fn first(&self, name: &str) -> Option<Attribute<'a>> {
        self.sdp.attribute(self.audio?, name)
    }

    /// True if the keys of this description come by DTLS.
    pub(super) fn is_dtls(&self) -> bool {
        self.audio.is_some_and(|audio| audio.proto.starts_with("UDP/TLS/"))
    }

    pub(super) fn is_answer(&self) -> bool {
        self.role == Some(Role::Answer)
    }

    /// Compares the envelope's type with the type that is needed.
    pub(super) fn sdp_type(&mut self, opened: &Opened) {
        match (opened.role, opened.role_named) {
            (Some(needed), Some(given)) if needed != given => {
                let what = format!("`sdp_type` is \"{}\", but this has to be an {}", given.name(), needed.name());
                self.find(Rule::SdpType, None, what);
            }
            (_, None) if opened.role_unsaid => self.find(Rule::SdpType, None, "`sdp_type` is missing"),
            _ => {}
        }
    }

    /// The session part, and the `m=` lines. False if there is no audio to go on with.
    pub(super) fn head(&mut self) -> bool {
        let session = &self.sdp.session;
        let letters: Vec<char> = session.iter().map(|line| line.letter).filter(|l| "vost".contains(*l)).collect();
        if letters != ['v', 'o', 's', 't'] {
            let missing: Vec<String> =
                ['s', 't'].iter().filter(|l| !letters.contains(l)).map(|letter| format!("{letter}=")).collect();
            let what = match missing.is_empty() {
                true => "v=, o=, s= and t= are not in this order, once each".to_owned(),
                false => format!("{} is missing", missing.join(" and ")),
            };
            self.find(Rule::SessionLines, None, what);
        }
        for line in session {
            let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
            let mut words = line.value.split_ascii_whitespace().skip(1);
            match line.letter {
                'o' if !(number(words.next()) && number(words.next())) => {
                    self.find(Rule::Origin, Some(line), "the session id or its version is no number of 64 bits");
                }
                't' if line.value.trim() != "0 0" => self.find(Rule::Time, Some(line), "is not t=0 0"),
                _ => {}
            }
        }
        let Some(audio) = self.audio else {
            self.find(Rule::OneMedia, self.sdp.media.first().map(|media| &media.line), "there is no audio");
            return false;
        };
        for other in self.sdp.media.iter().filter(|media| !std::ptr::eq(*media, audio) && media.port != 0) {
            self.find(Rule::OneMedia, Some(&other.line), format!("{} beside the audio", other.media));
        }
        self.bundle(audio);
        true
    }

    fn bundle(&mut self, audio: &'a MediaDescription) {
        let groups: Vec<Attribute<'_>> =
            self.all("group").into_iter().filter(|a| a.value.is_some_and(|v| v.starts_with("BUNDLE"))).collect();
        let mid = match audio.mid() {
            Ok(mid) => mid,
            Err(error) => {
                let line = audio.attribute("mid").map(|mid| mid.line);
                return self.find(Rule::Bundle, line, error.reason);
            }
        };
        match (groups.as_slice(), mid) {
            ([], _) | (_, None) if !self.is_dtls() => {}
            ([], _) => self.find(Rule::Bundle, None, "there is no a=group:BUNDLE"),
            (_, None) => self.find(Rule::Bundle, None, "there is no a=mid"),
            ([group], Some(mid)) => {
                let named = group.value.unwrap_or_default().split_ascii_whitespace().skip(1).any(|word| word == mid);
                if !named {
                    self.find(Rule::Bundle, Some(group.line), format!("does not name a=mid:{mid}"));
                }
            }
            ([_, second, ..], Some(_)) => self.find(Rule::Bundle, Some(second.line), "is a second group"),
        }
    }
}
