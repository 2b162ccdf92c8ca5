//! An offer as a proxy sends it, and what it is negotiated with.

use serde_json::json;
use trestle_core::{AddressPolicy, LegId, LegPorts, OwnSsrcs};
use trestle_negotiate::{Environment, GatePolicy, OwnKeys};
use trestle_ng::command::{Request, Signal, Verb};
use trestle_ng::frame;

/// What Meta offers for a call from a WhatsApp user.
pub const META_OFFER: &str = include_str!("../../tests/vectors/meta/user_initiated.sip_webrtc.meta_offer.sdp");

/// The request in JSON, flags and all.
pub fn offer() -> Vec<u8> {
    let request = json!({
        "command": "offer", "call-id": "wacid.HBgLMTIxMjU1NTEyMTIVAgA", "from-tag": "whatsapp-7c1f", "via-branch": "z9hG4bK1",
        "sdp": META_OFFER, "ICE": "remove", "DTLS": "off", "transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"],
        "replace": ["origin"], "flags": ["trust-address"], "received-from": ["IP4", "198.51.100.9"],
        "codec": {"mask": ["opus"], "transcode": ["PCMA"]},
    });
    request.to_string().into_bytes()
}

/// The same, understood.
pub fn signal() -> Signal {
    let (_, dict) = frame::read(&offer()).expect("a request");
    match Request::read(&dict).expect("a request").verb {
        Verb::Offer(signal) => *signal,
        other => panic!("not an offer: {other:?}"),
    }
}

/// What it is negotiated with.
pub fn environment() -> Environment {
    Environment {
        interfaces: Environment::read_interfaces(&["192.0.2.1"]).expect("an address"),
        addresses: AddressPolicy::default(),
        fingerprint: [7; 32],
        default_tos: None,
        gate_policy: GatePolicy::default(),
        own_ssrcs: OwnSsrcs::new(5),
        own_keys: OwnKeys::new([5; 32]),
    }
}

/// The ports that a leg of it gets.
pub fn ports(leg: LegId) -> (LegId, LegPorts) {
    let port = 30_000 + 2 * leg.0;
    (leg, LegPorts { rtp: ([192, 0, 2, 1], port).into(), rtcp: ([192, 0, 2, 1], port + 1).into() })
}
