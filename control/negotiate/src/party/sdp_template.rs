//! SDP that Trestle writes, complete but for the ports.

use std::ops::Range;

use trestle_core::{LegId, LegPorts};
use trestle_sdp::Format;

/// Placeholder of the RTP port until the engine has bound it. A control character: the parser accepts none, so no text of a
/// peer contains it.
pub(crate) const RTP_PORT: char = '\u{1}';
/// Placeholder of the RTCP port.
pub(crate) const RTCP_PORT: char = '\u{2}';

/// The SDP for the peer of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdpTemplate {
    leg: LegId,
    text: String,
}

impl SdpTemplate {
    pub(crate) fn new(leg: LegId) -> Self {
        Self { leg, text: String::new() }
    }

    /// The leg whose peer gets this.
    pub fn leg(&self) -> LegId {
        self.leg
    }

    /// Adds one line. CR, LF and NUL in `line` are left out, so that it stays one line.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.extend(line.chars().filter(|char| !matches!(char, '\r' | '\n' | '\0')));
        self.text.push_str("\r\n");
    }

    /// Sets the version of `o=` by the description that the peer got before: the same if nothing else differs, a higher one if
    /// something does (RFC 3264 section 8). The version of the other side, which is passed on, does not count what Trestle changes.
    pub(crate) fn follow(&mut self, last: &Self) {
        let (Some((line, id, version)), Some((last_line, last_id, last_version))) = (self.origin(), last.origin())
        else {
            return;
        };
        let rest = |text: &str, line: &Range<usize>| [&text[..line.start], &text[line.end..]].concat();
        let differs = rest(&self.text, &line) != rest(&last.text, &last_line);
        let least = if differs { last_version.saturating_add(1) } else { last_version };
        if id != last_id || version >= least {
            return;
        }
        let mut words: Vec<&str> = self.text[line.clone()].split(' ').collect();
        let least = least.to_string();
        words[2] = &least;
        let origin = words.join(" ");
        self.text.replace_range(line, &origin);
    }

    /// Place of the `o=` line, its session id, and its version.
    fn origin(&self) -> Option<(Range<usize>, &str, u64)> {
        let start = self.text.find("\r\no=")? + 2;
        let end = start + self.text[start..].find("\r\n")?;
        let mut words = self.text[start..end].split(' ');
        let (id, version) = (words.nth(1)?, words.next()?.parse().ok()?);
        Some((start..end, id, version))
    }

    /// The SDP with the ports that the engine has bound. `None` if `ports` lacks the leg.
    pub fn write(&self, ports: &[(LegId, LegPorts)]) -> Option<String> {
        let (_, ports) = ports.iter().find(|(leg, _)| *leg == self.leg)?;
        let mut sdp = String::with_capacity(self.text.len() + 16);
        for char in self.text.chars() {
            match char {
                RTP_PORT => sdp.push_str(&ports.rtp.port().to_string()),
                RTCP_PORT => sdp.push_str(&ports.rtcp.port().to_string()),
                char => sdp.push(char),
            }
        }
        Some(sdp)
    }
}

/// The description that a party got last.
#[derive(Debug, Clone, Default)]
pub(crate) struct SentSdp {
    last: Option<SdpTemplate>,
    formats: Vec<Format>,
    /// Descriptions that replaced another one.
    changes: u64,
}

impl SentSdp {
    /// `None` before the first one.
    pub(crate) fn last(&self) -> Option<&SdpTemplate> {
        self.last.as_ref()
    }

    /// Formats of the last one: they give payload types without `a=rtpmap` in the party's reply their meaning.
    pub(crate) fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// `sess-version` of `o=` where that is ours.
    pub(crate) fn version(&self) -> u64 {
        1 + self.changes
    }

    /// True if `next` needs a higher version than the last one: it differs (RFC 3264 section 8), or `force` asks for it.
    pub(crate) fn needs_new_version(&self, next: &SdpTemplate, force: bool) -> bool {
        self.last.as_ref().is_some_and(|last| last != next || force)
    }

    pub(crate) fn increment_version(&mut self) {
        self.changes += 1;
    }

    /// `description` is sent.
    pub(crate) fn set(&mut self, description: SdpTemplate, formats: Vec<Format>) {
        (self.last, self.formats) = (Some(description), formats);
    }
}
