//! Whose rules apply to a peer.

use super::NegotiationError;
use trestle_ng::command::Flags;
use trestle_ng::command::flags::{DtlsFlag, IceFlag, ProfileName};
use trestle_sdp::Protocol;
use trestle_sdp::{Remote, Security};

/// The profile of whoever wrote this SDP.
///
/// Meta's descriptions are known by the names it gives its stream (`WhatsAppTrack1`, `WhatsAppAudioStream1`), or by an
/// ICE-lite agent with `UDP/TLS/RTP/SAVPF`: nobody else who calls a bridge is lite.
pub(crate) fn of_sender(remote: &Remote) -> ProfileName {
    let named = remote.media().attributes().any(|attribute| {
        matches!(attribute.name, "msid" | "ssrc") && attribute.value.is_some_and(|value| value.contains("WhatsApp"))
    });
    let lite = remote.ice.as_ref().is_some_and(|ice| ice.lite) && remote.protocol == Protocol::UdpTlsRtpSavpf;
    match remote.security {
        _ if named || lite => ProfileName::Whatsapp,
        Security::Dtls => ProfileName::Webrtc,
        Security::Plain | Security::Sdes => ProfileName::Sip,
    }
}

/// What the receiver of an offer is taken for, and the transport it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) profile: ProfileName,
    pub(crate) protocol: Protocol,
    pub(crate) security: Security,
}

/// Derives the receiver's side of an offer.
///
/// `profile` names the receiver. One exception: on Meta's own offer `profile=whatsapp` can only mean the sender, as
/// WhatsApp does not call WhatsApp through a bridge, and says nothing new. Without `profile`, the transport tells: DTLS or
/// `ICE=force` is WebRTC; any other protocol is SIP; nothing said keeps the sender's kind, but WhatsApp's other side is SIP.
///
/// Without `transport-protocol`, a SIP receiver is offered the sender's protocol, and SDES in place of DTLS: what was
/// protected on one side is not sent in the clear on the other unless somebody says so.
pub(crate) fn of_receiver(
    sender: &Remote,
    sender_profile: ProfileName,
    flags: &Flags,
) -> Result<Outgoing, NegotiationError> {
    let named =
        flags.profile.filter(|named| (*named, sender_profile) != (ProfileName::Whatsapp, ProfileName::Whatsapp));
    let profile = named.unwrap_or(match flags.transport_protocol {
        Some(protocol) if protocol.is_dtls() => ProfileName::Webrtc,
        Some(protocol) if protocol.is_secure() && flags.ice == IceFlag::Force && flags.sdes.off => ProfileName::Webrtc,
        Some(_) => ProfileName::Sip,
        None if flags.ice == IceFlag::Force => ProfileName::Webrtc,
        None if flags.ice == IceFlag::Remove || flags.dtls.mode == DtlsFlag::Off => ProfileName::Sip,
        None if sender_profile == ProfileName::Whatsapp => ProfileName::Sip,
        None => sender_profile,
    });
    let protocol = flags.transport_protocol.unwrap_or(match (profile, sender.security) {
        (ProfileName::Whatsapp | ProfileName::Webrtc, _) => Protocol::UdpTlsRtpSavpf,
        (ProfileName::Sip, Security::Dtls) => Protocol::RtpSavp,
        (ProfileName::Sip, _) => sender.protocol,
    });
    let no_dtls = flags.ice == IceFlag::Remove || flags.dtls.mode == DtlsFlag::Off;
    let security = match protocol {
        _ if !protocol.is_secure() => Security::Plain,
        _ if protocol.is_dtls() || flags.sdes.off => Security::Dtls,
        _ => Security::Sdes,
    };
    let refuse = |reason: String| Err(NegotiationError::Flags(reason));
    let name = protocol.as_str();
    if security == Security::Dtls && no_dtls {
        return refuse(if protocol.is_dtls() {
            format!("{name} needs DTLS and ICE, but the flags say DTLS=off or ICE=remove")
        } else {
            format!("SDES=off and DTLS=off (or ICE=remove) leave {name} without keys; for plain RTP say RTP/AVP")
        });
    }
    let metas = matches!(
        (protocol, security),
        (Protocol::UdpTlsRtpSavpf, Security::Dtls) | (Protocol::RtpSavp, Security::Sdes)
    );
    if profile == ProfileName::Whatsapp && !metas {
        return refuse(format!(
            "WhatsApp takes UDP/TLS/RTP/SAVPF with DTLS or RTP/SAVP with SDES, not {name} as the flags have it"
        ));
    }
    if profile == ProfileName::Webrtc && security != Security::Dtls {
        return refuse(format!("profile webrtc needs DTLS-SRTP, but the flags say {name}"));
    }
    Ok(Outgoing { profile, protocol, security })
}
