//! What Meta says and has not been seen to say before: nobody is refused for it, but whoever operates this shall know.

use super::Controller;
use super::call::ReplyTo;
use trestle_negotiate::Step;
use trestle_ng::command::Signal;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::lint::{Context, Role, Severity, Writer, lint};

impl Controller {
    /// Looks at an SDP that was taken, if it is WhatsApp's: what breaks a rule is told in the reply, logged and counted.
    pub(super) fn check_meta_sdp(&mut self, reply_to: &mut ReplyTo, step: &Step, signal: &Signal, is_answer: bool) {
        let metas = step.session.parties().iter().any(|party| {
            let wrote = party.remote().is_some_and(|remote| remote.text == signal.sdp);
            wrote && party.profile() == ProfileName::Whatsapp
        });
        // What it said before is handed in again whenever the other side is held or moves.
        let known = self.table.by_name(&signal.call_id).is_some_and(|call| {
            call.session.parties().iter().any(|party| party.remote().is_some_and(|remote| remote.text == signal.sdp))
        });
        if !metas || known {
            return;
        }
        let role = if is_answer { Role::Answer } else { Role::Offer };
        let verdict = lint(&signal.sdp, &Context { writer: Some(Writer::Meta), role: Some(role), offer: None });
        for finding in verdict.findings.iter().filter(|finding| finding.rule.severity() > Severity::Hint) {
            tracing::info!(call_id = ?signal.call_id, rule = finding.rule.id(), %finding, "WhatsApp's SDP is unusual");
            self.counters.sdp_anomalies.add(finding.rule.id());
            reply_to.warnings.push(format!("WhatsApp's SDP is unusual: {finding}"));
        }
    }
}
