//! Who wrote a description, and which half it is, by the looks of it.

use super::{Role, Writer};
use crate::{Sdp, Setup};

/// Ports that Meta names for its relays; subject to change, and only a hint here.
const META_PORTS: [u16; 5] = [3478, 3480, 3482, 3484, 40012];

/// Meta is known by the names of its stream, or by an ICE-lite agent on one of its ports; a phone by plain RTP. What is left
/// is taken for what is handed to Meta, as that is what most people want judged.
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

/// `a=setup` shows it; SDES does not.
pub(super) fn role(sdp: &Sdp) -> Option<Role> {
    match sdp.setup(sdp.media.first()?).ok()?? {
        Setup::ActPass => Some(Role::Offer),
        Setup::Active | Setup::Passive => Some(Role::Answer),
    }
}
