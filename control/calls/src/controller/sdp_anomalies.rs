//! Anomalies in Meta's SDP. They do not stop a call, but the operator is to know of them: Meta may have changed its format.

use trestle_negotiate::{NegotiationStep, Party};
use trestle_ng::command::Signal;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::lint::{Context, Role, Severity, Writer, lint};

use super::call::CallRecord;

/// Checks an SDP that was taken, if WhatsApp wrote it and the call does not have it yet. Returns the name of each rule that
/// it breaks, with a warning for the reply.
pub(super) fn check_meta_sdp(
    call: &CallRecord,
    step: &NegotiationStep,
    signal: &Signal,
    is_answer: bool,
) -> Vec<(&'static str, String)> {
    let is_metas = |party: &Party| party.has_sent(&signal.sdp) && party.profile() == ProfileName::Whatsapp;
    let from_meta = step.session.parties().iter().any(is_metas);
    // The application hands in Meta's earlier SDP again whenever the other side is held or transferred.
    let known = call.parties().iter().any(|party| party.has_sent(&signal.sdp));
    if !from_meta || known {
        return Vec::new();
    }
    let role = if is_answer { Role::Answer } else { Role::Offer };
    let report = lint(&signal.sdp, &Context { writer: Some(Writer::Meta), role: Some(role), offer: None });
    let anomalies = report.findings.iter().filter(|finding| finding.rule.severity() > Severity::Hint);
    anomalies
        .map(|finding| {
            tracing::info!(call_id = ?signal.call_id, rule = finding.rule.id(), %finding, "WhatsApp's SDP is unusual");
            (finding.rule.id(), format!("WhatsApp's SDP is unusual: {finding}"))
        })
        .collect()
}
