//! Checks of `a=rtcp-mux`, the direction, and the number of SSRCs.

use std::collections::BTreeSet;

use super::Rule;
use super::run::LintRun;
use crate::Direction;

pub(super) fn check(run: &mut LintRun<'_>) {
    let Some(audio) = run.audio else { return };
    if run.is_dtls() && !audio.rtcp_mux() {
        run.report(Rule::RtcpMux, None, "there is no a=rtcp-mux");
    }
    let direction = run.sdp.direction(audio);
    if direction != Direction::SendRecv {
        let line = run.first(direction.as_str()).map(|attribute| attribute.line);
        run.report(Rule::SendRecv, line, format!("the direction is a={}", direction.as_str()));
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
        (0, _) if run.is_dtls() => run.report(Rule::SsrcAnnounced, None, "there is no a=ssrc"),
        (count, Some(line)) => run.report(Rule::OneSsrc, Some(line), format!("{count} SSRCs are announced")),
        _ => {}
    }
}
