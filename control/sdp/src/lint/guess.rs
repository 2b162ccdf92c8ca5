//! Guesses the writer and the role of a description from its contents.

use super::{Role, Writer};
use crate::{Sdp, Setup};

/// Ports of Meta's relays. Meta may change them; here they only support a guess.
const META_PORTS: [u16; 5] = [3478, 3480, 3482, 3484, 40012];

/// Meta: the name `WhatsApp` in `a=msid` or `a=ssrc`, or ICE-lite on a port of Meta's relays. A phone: plain RTP. Otherwise
/// [`Writer::Us`], since most descriptions that are checked are for Meta.
pub(super) fn writer(sdp: &Sdp) -> Writer {
    let Some(audio) = sdp.media.first() else { return Writer::Us };
    let named = audio.attributes().any(|attribute| {
        matches!(attribute.name, "msid" | "ssrc") && attribute.value.is_some_and(|value| value.contains("WhatsApp"))
    });
    if named || (sdp.ice_lite(audio) && META_PORTS.contains(&audio.port)) {
        return Writer::Meta;
    }
    match audio.proto.as_str() {
        "RTP/AVP" | "RTP/AVPF" => Writer::Phone,
        _ => Writer::Us,
    }
}

/// The role that `a=setup` implies; `None` with SDES, which has no `a=setup`.
pub(super) fn role(sdp: &Sdp) -> Option<Role> {
    match sdp.setup(sdp.media.first()?).ok()?? {
        Setup::ActPass => Some(Role::Offer),
        Setup::Active | Setup::Passive => Some(Role::Answer),
    }
}
