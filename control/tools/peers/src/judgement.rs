//! The rules of Meta's that a call broke.

use std::time::Duration;

use crate::MetaReport;

/// A longer pause between two packets is audible.
const GAP_MAX: Duration = Duration::from_millis(150);

/// A rule that the other side broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// True if Meta's documentation forbids it. False if it breaks a recommendation or is only audible.
    pub mandatory: bool,
    /// One sentence.
    pub what: String,
}

impl MetaReport {
    /// Everything that breaks a rule, what is mandatory first.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut rule = |mandatory: bool, kept: bool, what: String| {
            if !kept {
                found.push(Violation { mandatory, what });
            }
        };
        let stream = &self.stream;
        let early = stream.early_packets;
        rule(
            true,
            early == 0,
            format!(
                "{early} RTP or RTCP packets came before the call was accepted: the user misses them, and they start the caller's clock"
            ),
        );
        let ssrcs = stream.ssrcs.len();
        rule(true, ssrcs <= 1, format!("{ssrcs} SSRCs came: audio must use a single one"));
        let unknown = stream.unknown_pt;
        rule(true, unknown == 0, format!("{unknown} packets had a payload type that was not agreed on"));
        let lengths = stream.ptime_violations;
        rule(true, lengths == 0, format!("{lengths} packets were not of 20 ms"));
        let garbled = stream.undecodable;
        rule(true, garbled == 0, format!("{garbled} packets could not be decoded"));
        let forged = stream.auth_failures;
        rule(true, forged == 0, format!("{forged} packets did not authenticate: other keys, or sent twice"));
        if let Some(ice) = &self.ice {
            rule(
                true,
                ice.controlling != Some(false),
                "a check claimed the controlled role: Meta is ICE-lite".to_owned(),
            );
            let before = ice.media_before_nomination;
            rule(
                true,
                before == 0,
                format!("{before} packets came before an ICE pair was nominated; they were dropped"),
            );
            let early = ice.media_before_keys;
            rule(
                false,
                early == 0,
                format!("{early} packets came before the DTLS handshake was complete; they were dropped"),
            );
            let switches = ice.switches;
            rule(false, switches == 0, format!("the ICE pair was switched {switches} times in the middle of the call"));
            rule(false, ice.regular_nomination != Some(false), "nomination was aggressive, not regular".to_owned());
            let gaps = ice.consent_gaps;
            rule(false, gaps == 0, format!("consent was not renewed in time {gaps} times (RFC 7675)"));
        }
        rule(false, self.ssrc_as_signalled != Some(false), "the SSRC is not the one of a=ssrc".to_owned());
        let gap = stream.longest_gap;
        rule(false, gap <= GAP_MAX, format!("for {} ms no packet came: send silence, not nothing", gap.as_millis()));
        found.sort_by_key(|violation| !violation.mandatory);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IceReport, Report};

    #[test]
    fn each_violation_is_reported_and_a_good_call_has_none() {
        assert_eq!(MetaReport::default().violations(), []);
        let ice = |ice: IceReport| MetaReport { ice: Some(ice), ..MetaReport::default() };
        let stream = |stream: Report| MetaReport { stream, ..MetaReport::default() };
        for (report, mandatory, word) in [
            (stream(Report { early_packets: 3, ..Report::default() }), true, "3 RTP or RTCP packets came before"),
            (stream(Report { ssrcs: vec![1, 2], ..Report::default() }), true, "2 SSRCs"),
            (stream(Report { unknown_pt: 1, ..Report::default() }), true, "payload type"),
            (stream(Report { ptime_violations: 1, ..Report::default() }), true, "20 ms"),
            (stream(Report { undecodable: 1, ..Report::default() }), true, "decoded"),
            (stream(Report { auth_failures: 1, ..Report::default() }), true, "authenticate"),
            (stream(Report { longest_gap: Duration::from_secs(1), ..Report::default() }), false, "1000 ms"),
            (ice(IceReport { controlling: Some(false), ..IceReport::default() }), true, "controlled role"),
            (ice(IceReport { media_before_nomination: 1, ..IceReport::default() }), true, "nominated"),
            (ice(IceReport { media_before_keys: 1, ..IceReport::default() }), false, "handshake"),
            (ice(IceReport { switches: 1, ..IceReport::default() }), false, "switched"),
            (ice(IceReport { regular_nomination: Some(false), ..IceReport::default() }), false, "aggressive"),
            (ice(IceReport { consent_gaps: 1, ..IceReport::default() }), false, "consent"),
            (MetaReport { ssrc_as_signalled: Some(false), ..MetaReport::default() }, false, "a=ssrc"),
        ] {
            let found = report.violations();
            assert_eq!(found.len(), 1, "{word}: {found:?}");
            assert!(found[0].what.contains(word) && found[0].mandatory == mandatory, "{word}: {found:?}");
        }
    }
}
