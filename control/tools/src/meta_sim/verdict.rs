//! The verdict on a call, as text.

use std::time::Instant;

use trestle_peers::{GaveUp, ear};

use super::call::{CallEnding, SdpFindings, SimulatedCall};
use trestle_sdp::lint::Severity;

/// Below this a recording is silence.
const SILENCE_DBOV: f64 = -60.0;

/// The judgement on a call.
#[derive(Debug, Clone, PartialEq)]
pub struct SimVerdict {
    /// Nothing mandatory was broken, and the call ended because one side hung up.
    pub good: bool,
    /// How it ended and what was measured.
    pub account: Vec<String>,
    /// What is wrong, the worst first.
    pub faults: Vec<String>,
    /// What could be better.
    pub remarks: Vec<String>,
}

impl SimVerdict {
    /// Of a call that is over.
    pub fn of(call: &SimulatedCall) -> Self {
        let report = call.report();
        let mut judgement = Self { good: true, account: Vec::new(), faults: Vec::new(), remarks: Vec::new() };
        let (accepted_at, lost) = call.account();
        judgement.end(call);
        let SdpFindings { lints, refusals } = &call.sdp_findings;
        judgement.faults.extend(refusals.iter().cloned());
        for violation in report.violations() {
            if violation.mandatory { &mut judgement.faults } else { &mut judgement.remarks }.push(violation.what);
        }
        for finding in lints.iter().flat_map(|verdict| &verdict.findings) {
            // Errors were refused above.
            if finding.rule.severity() != Severity::Error {
                judgement.remarks.push(format!("SDP: {finding}"));
            }
        }
        let stream = &report.stream;
        if let (Some(accepted), Some(first)) = (accepted_at, stream.first_rtp_at) {
            let ms = |at: Instant| at.saturating_duration_since(accepted).as_secs_f64() * 1e3;
            judgement.account.push(format!(
                "received {} packets, the first {:.0} ms after the acceptance; {} lost, jitter {:.1} ms, longest gap {} ms",
                stream.packets,
                ms(first),
                stream.lost,
                stream.jitter_ms,
                stream.longest_gap.as_millis()
            ));
            let level = ear::level_dbov(call.recording());
            if level < SILENCE_DBOV {
                judgement.remarks.push("the user received only silence".to_owned());
            } else {
                judgement.account.push(format!("received speech or tones at {level:.0} dBov on average"));
            }
        }
        if !stream.digits.is_empty() {
            judgement.account.push(format!("received the digits {}", stream.digits_received()));
        }
        judgement.account.push(format!(
            "sent {} packets{}",
            call.meta.packets_sent(),
            if call.speaks() { "" } else { " of silence" }
        ));
        if lost != [0, 0] {
            judgement
                .account
                .push(format!("the network lost {} media packets to the business, {} from it", lost[0], lost[1]));
        }
        judgement.good = judgement.faults.is_empty();
        judgement
    }

    fn end(&mut self, call: &SimulatedCall) {
        let accepted = if call.is_accepted() { "" } else { " before it was accepted" };
        match call.ended() {
            None => self.faults.push("the call is not over".to_owned()),
            Some(CallEnding::UserHungUp) => self.account.push("the user hung up, as planned".to_owned()),
            Some(CallEnding::BusinessHungUp) => self.account.push(format!("the business hung up{accepted}")),
            Some(CallEnding::Rejected) => self.account.push("the business rejected the call".to_owned()),
            Some(CallEnding::NotAnswered) => {
                self.faults
                    .push("the call was not answered within 60 s: the user reads \"Not answered\" (138007)".to_owned());
            }
            Some(CallEnding::Refused) => self.account.push("there was no call".to_owned()),
            Some(CallEnding::GaveUp(why)) => {
                let code = why.code();
                self.faults.push(match why {
                    GaveUp::NoConnection => {
                        format!("WhatsApp hung up ({code}): {} and so no media, for 20 s after the acceptance", stage(call))
                    }
                    GaveUp::NoMedia => {
                        format!("WhatsApp hung up ({code}): the transport was connected, but no RTP came for 20 s after the acceptance")
                    }
                    GaveUp::MediaStopped => {
                        format!("WhatsApp hung up ({code}): neither RTP nor RTCP came for 30 s; send silence during pauses")
                    }
                });
            }
        }
    }

    /// As lines.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |head: &str, text: &str| {
            out.push_str(head);
            out.push_str(text);
            out.push('\n');
        };
        self.account.iter().for_each(|text| line("  ", text));
        self.faults.iter().for_each(|text| line("  FAULT   ", text));
        self.remarks.iter().for_each(|text| line("  remark  ", text));
        line("", if self.good { "verdict: good" } else { "verdict: not good" });
        out
    }
}

/// Up to where the transport came.
fn stage(call: &SimulatedCall) -> &'static str {
    let ice = call.report().ice;
    match ice {
        _ if !call.has_theirs() => "no answer was taken",
        None => "no address was known",
        Some(ice) => match (ice.first_check_at, ice.nominated_at) {
            (None, _) => "no connectivity check came,",
            (Some(_), None) => "checks came, but no pair was nominated,",
            (Some(_), Some(_)) => "a pair was nominated, but the DTLS handshake did not end,",
        },
    }
}
