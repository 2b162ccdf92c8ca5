//! The stream: both ways, one source, RTCP beside it.

use std::collections::BTreeSet;

use super::Rule;
use super::judge::Judge;
use crate::Direction;

impl Judge<'_> {
    pub(super) fn media(&mut self) {
        let Some(audio) = self.audio else { return };
        if self.is_dtls() && !audio.rtcp_mux() {
            self.find(Rule::RtcpMux, None, "there is no a=rtcp-mux");
        }
        let direction = self.sdp.direction(audio);
        if direction != Direction::SendRecv {
            let line = self.first(direction.as_str()).map(|attribute| attribute.line);
            self.find(Rule::SendRecv, line, "keeps one side silent");
        }
        let mut ssrcs = BTreeSet::new();
        let mut second = None;
        for attribute in audio.attributes().filter(|attribute| attribute.name == "ssrc") {
            let ssrc = attribute.value.and_then(|value| value.split_ascii_whitespace().next());
            if ssrcs.insert(ssrc) && ssrcs.len() == 2 {
                second = Some(attribute.line);
            }
        }
        match (ssrcs.len(), second) {
            (0, _) if self.is_dtls() => self.find(Rule::SsrcUnsaid, None, "there is no a=ssrc"),
            (count, Some(line)) => self.find(Rule::OneSsrc, Some(line), format!("{count} SSRCs are announced")),
            _ => {}
        }
    }
}
