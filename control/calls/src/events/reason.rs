//! A risk as a sentence for the operator.

use trestle_core::Milestone;
use trestle_ng::command::flags::ProfileName;

use super::RiskName;

/// What is wrong, and the likely reason. `reached` is the last milestone of the leg.
pub fn reason(risk: RiskName, reached: Milestone, profile: ProfileName) -> String {
    let party = match profile {
        ProfileName::Whatsapp => "WhatsApp",
        ProfileName::Webrtc => "the browser",
        ProfileName::Sip => "the SIP side",
    };
    match risk {
        RiskName::NothingSent => {
            let why = match reached {
                Milestone::Opened => "its SDP is not known yet",
                Milestone::RemoteKnown | Milestone::FirstCheck => "ICE is not connected yet",
                Milestone::IceConnected => "DTLS is not connected yet",
                _ => {
                    "the path is up, but there is nothing to send: the other side sends no media and `filler` is `none`"
                }
            };
            let end =
                if profile == ProfileName::Whatsapp { "; WhatsApp ends a call after 20 s without media" } else { "" };
            format!("no media is sent to {party}: {why}{end}")
        }
        RiskName::NothingReceived => format!(
            "no media received from {party}: its packets do not arrive (address in our SDP, NAT, firewall), or it sends none"
        ),
        RiskName::FellSilent => format!(
            "media from {party} has stopped: its network is lost, or it has hung up and the signalling has not arrived"
        ),
        RiskName::SipGone => {
            format!("media from {party} has stopped without a hold: the phone or its network is gone")
        }
        RiskName::IceStuck => format!(
            "no connectivity check with {party} has succeeded: its UDP does not reach us, or ours does not reach it"
        ),
        RiskName::DtlsStuck => format!(
            "ICE with {party} is connected, but the DTLS handshake is not complete: large packets are lost, or it does not use our SDP"
        ),
        RiskName::Flood => format!(
            "{party} sends more audio than a call has; Trestle discards what is too much: two senders, a loop of media, or an attack"
        ),
        RiskName::Ring => format!(
            "media that Trestle itself has sent comes back from {party}: two legs or two calls send to each other, or a relay sends \
             our media back to us; Trestle discards it"
        ),
        RiskName::Unproven => format!(
            "no packet has ever come from {party}, so that Trestle sends one packet a second to the address in its SDP: the address \
             is wrong, its packets do not arrive, or it sends neither RTP nor RTCP"
        ),
        RiskName::OneWay => format!("one-way audio: media is received from the other side, but not from {party}"),
    }
}
