//! The leg of a cross-call link: SRTP over the machine's own network to the leg of another call.

use std::net::SocketAddr;

use trestle_core::plan::{LatchPolicy, RtpPeer, Transport};
use trestle_core::{CallId, LegId};
use trestle_srtp::KeyingMaterial;

/// What makes a party one end of a cross-call link.
#[derive(Debug, Clone)]
pub(crate) struct CrossCallLink {
    far: (CallId, LegId),
    /// `None` until the far end is bound.
    address: Option<SocketAddr>,
    send_key: KeyingMaterial,
    receive_key: KeyingMaterial,
}

impl CrossCallLink {
    pub(crate) fn new(far: (CallId, LegId), send_key: KeyingMaterial, receive_key: KeyingMaterial) -> Self {
        Self { far, address: None, send_key, receive_key }
    }

    /// Call and leg of the far end.
    pub(crate) fn far(&self) -> (CallId, LegId) {
        self.far
    }

    /// The far end is bound at `address`.
    pub(crate) fn set_address(&mut self, address: SocketAddr) {
        self.address = Some(address);
    }

    pub(super) fn transport(&self) -> Transport {
        Transport::Sdes {
            peer: RtpPeer { rtp: self.address, rtcp: self.address, latch: LatchPolicy::Exact, strict_source: false },
            send_key: Some(self.send_key.clone()),
            receive_key: Some(self.receive_key.clone()),
            receive_mki_len: 0,
        }
    }
}
