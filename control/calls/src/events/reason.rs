//! What a risk means, in a sentence for whoever is woken by it.

use trestle_core::Milestone;

use super::RiskName;
use trestle_ng::command::flags::ProfileName;

/// What is wrong, and where to look. `reached` is the last point of the leg's set-up.
pub fn reason(risk: RiskName, reached: Milestone, profile: ProfileName) -> String {
    let who = match profile {
        ProfileName::Whatsapp => "WhatsApp",
        ProfileName::Webrtc => "the browser",
        ProfileName::Sip => "the SIP side",
    };
    match risk {
        RiskName::NothingSent => {
            let why = match reached {
                Milestone::Opened => "its SDP is not known yet",
                Milestone::RemoteKnown | Milestone::FirstCheck => "there is no path to it yet",
                Milestone::IceConnected => "DTLS is not up yet",
                _ => "there is a path, but nothing to send: the other side sends nothing and filler is none",
            };
            let end = if profile == ProfileName::Whatsapp { "; it ends a call after 20 s without media" } else { "" };
            format!("{who} gets no media: {why}{end}")
        }
        RiskName::NothingReceived => {
            format!(
                "{who} has sent no media: its packets do not get here (address in our SDP, NAT, firewall), or it sends none"
            )
        }
        RiskName::FellSilent => {
            format!("{who} has stopped sending media: its network is gone, or it has hung up unheard")
        }
        RiskName::SipGone => {
            format!("{who} has stopped sending media and has not said that it holds: the phone or its network is gone")
        }
        RiskName::IceStuck => {
            format!(
                "no connectivity check with {who} has succeeded: its UDP does not reach us, or ours does not reach it"
            )
        }
        RiskName::DtlsStuck => {
            format!(
                "there is a path to {who}, but the DTLS handshake does not end: large packets are lost, or it has not taken our SDP"
            )
        }
        RiskName::OneWay => format!("one-way audio: the other side is heard, {who} is not"),
    }
}
