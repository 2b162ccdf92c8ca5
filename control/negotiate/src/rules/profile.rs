//! The profile of a peer: which rules apply to it.

use crate::NegotiationError;
use crate::error::FlagsError;
use crate::party::PartyKind;
use trestle_ng::command::Flags;
use trestle_ng::command::flags::{DtlsFlag, IceFlag, ProfileName};
use trestle_sdp::Protocol;
use trestle_sdp::{PeerDescription, Security};

/// The profile of the writer of this SDP.
///
/// Meta's descriptions are recognised by the names of a secured stream (`a=msid:... WhatsAppTrack1`, `cname:WhatsAppAudioStream1`), or
/// by an ICE-lite agent with `UDP/TLS/RTP/SAVPF`: no other peer that calls a bridge is lite. Meta sends no plain RTP.
pub(crate) fn of_sender(remote: &PeerDescription) -> ProfileName {
    let names = [("msid", "WhatsAppTrack"), ("ssrc", "cname:WhatsAppAudioStream")];
    let is_name = |word: &str, name: &str| {
        word.strip_prefix(name)
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let named = remote.security != Security::Plain
        && remote.media().attributes().any(|attribute| {
            let words = attribute.value.unwrap_or_default().split_ascii_whitespace();
            names.iter().any(|(key, name)| *key == attribute.name && words.clone().any(|word| is_name(word, name)))
        });
    let lite = remote.ice.as_ref().is_some_and(|ice| ice.lite) && remote.protocol == Protocol::UdpTlsRtpSavpf;
    match remote.security {
        _ if named || lite => ProfileName::Whatsapp,
        Security::Dtls => ProfileName::Webrtc,
        Security::Plain | Security::Sdes => ProfileName::Sip,
    }
}

/// What the leg of a party becomes by its re-offer, or by a later offer before the first answer: as it is, but with the protocol and the
/// security of `remote`. WhatsApp is recognised in a first offer only, since a leg cannot get its rules later.
pub(crate) fn of_re_offer(kind: PartyKind, remote: &PeerDescription) -> PartyKind {
    if remote.is_ended() {
        return kind;
    }
    let profile = match remote.security {
        security if security == kind.security => kind.profile,
        Security::Dtls => ProfileName::Webrtc,
        Security::Plain | Security::Sdes => ProfileName::Sip,
    };
    PartyKind { profile, protocol: remote.protocol, security: remote.security }
}

/// What the leg of an answered party becomes by a re-offer to it: as it is, unless `transport-protocol` asks for another protocol. `derived`
/// is what the message would make of a new party.
pub(crate) fn of_re_offered(
    kind: PartyKind,
    flags: &Flags,
    derived: Result<PartyKind, NegotiationError>,
) -> Result<PartyKind, NegotiationError> {
    if kind.profile == ProfileName::Whatsapp || flags.transport_protocol.is_none_or(|named| named == kind.protocol) {
        return Ok(kind);
    }
    let derived = derived?;
    let profile = if derived.security == kind.security { kind.profile } else { derived.profile };
    // A leg that has a stream already cannot become WhatsApp's.
    Ok(if profile == ProfileName::Whatsapp { kind } else { PartyKind { profile, ..derived } })
}

/// Derives the receiver's side of an offer.
///
/// `profile` names the receiver. One exception: on Meta's own offer `profile=whatsapp` can only mean the sender, as
/// WhatsApp does not call WhatsApp through a bridge; it changes nothing. Without `profile`, the transport decides: DTLS or
/// `ICE=force` is WebRTC; any other protocol is SIP; without flags the receiver has the sender's profile, but the other side
/// of WhatsApp is SIP.
///
/// Without `transport-protocol`, a SIP receiver is offered the sender's protocol, and SDES in place of DTLS: media that is
/// protected on one side is sent in the clear on the other side only if the flags ask for it.
pub(crate) fn of_receiver(
    sender: &PeerDescription,
    sender_profile: ProfileName,
    flags: &Flags,
) -> Result<PartyKind, NegotiationError> {
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
    let refuse = |error: FlagsError| Err(NegotiationError::Flags(error));
    if security == Security::Dtls && no_dtls {
        return refuse(if protocol.is_dtls() {
            FlagsError::DtlsForbidden(protocol)
        } else {
            FlagsError::NoKeyExchange(protocol)
        });
    }
    let is_metas = matches!(
        (protocol, security),
        (Protocol::UdpTlsRtpSavpf, Security::Dtls) | (Protocol::RtpSavp, Security::Sdes)
    );
    if profile == ProfileName::Whatsapp && !is_metas {
        return refuse(FlagsError::NotForWhatsapp(protocol));
    }
    if profile == ProfileName::Webrtc && security != Security::Dtls {
        return refuse(FlagsError::NotForWebrtc(protocol));
    }
    Ok(PartyKind { profile, protocol, security })
}
