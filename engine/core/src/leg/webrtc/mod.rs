//! The WebRTC side of a leg: ICE finds the pair, DTLS makes the keys, and both keep the pair alive.
//!
//! Media does not pass through here. The result is an address and two SRTP keys; media of the leg then runs through the
//! same SRTP contexts as that of any other secured leg.

mod dtls;
mod dtls_identity;
mod flight;
mod ice;
mod peer_flight;

use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::digest;
pub use dtls_identity::{DtlsIdentity, IdentityError};
use trestle_srtp::KeyingMaterial;
use trestle_wire::demux::DatagramKind;

use self::dtls::{Dtls, DtlsOutput};
use self::ice::{Ice, IceOutput};
use crate::plan::{IceCredentials, WebRtcPlan};
use crate::time::soonest;
use crate::{CommandError, Discard, LegFailure, Milestone, limits};

/// ICE and DTLS of one leg.
#[derive(Debug)]
pub(crate) struct WebRtc {
    ice: Ice,
    dtls: Dtls,
    /// A DTLS datagram that arrived before the check that makes its source valid; only the latest is kept.
    early: Option<(SocketAddr, Vec<u8>)>,
    /// ICE or DTLS has got input, and may have output.
    needs_poll: bool,
    /// When ICE or DTLS is to be called, while neither has output.
    wake_at: Option<Instant>,
}

/// Output of a WebRTC leg besides media.
pub(crate) enum WebRtcOutput {
    /// Send the first `len` bytes of the buffer to `to`.
    Transmit {
        /// Destination address.
        to: SocketAddr,
        /// Length in bytes.
        len: usize,
    },
    /// A point of the timeline is reached.
    Milestone(Milestone),
    /// Keys: the first to encrypt, the peer's to decrypt.
    Keys(Box<(KeyingMaterial, KeyingMaterial)>),
    /// The leg has failed.
    Failed(LegFailure),
}

impl WebRtc {
    /// A leg on the bound address `local`.
    ///
    /// # Errors
    /// [`CommandError::BadPlan`] if `local` cannot be an ICE candidate.
    pub(crate) fn new(
        now: Instant,
        local: SocketAddr,
        plan: &WebRtcPlan,
        identity: &DtlsIdentity,
    ) -> Result<Self, CommandError> {
        let ice = Ice::new(local, &plan.local)?;
        let dtls = Dtls::new(now, identity, seed_of(&plan.local), plan.dtls_role);
        let mut webrtc = Self { ice, dtls, early: None, needs_poll: true, wake_at: None };
        webrtc.apply(now, plan);
        Ok(webrtc)
    }

    /// Applies what is new in `plan`: the peer's credentials, candidates, fingerprint and role.
    pub(crate) fn apply(&mut self, now: Instant, plan: &WebRtcPlan) {
        self.needs_poll = true;
        if let Some(remote) = &plan.remote {
            self.dtls.set_remote(now, plan.dtls_role, &remote.fingerprints);
            self.ice.set_remote(now, &plan.local, remote);
        }
    }

    /// Takes a STUN or DTLS datagram.
    ///
    /// # Errors
    /// [`Discard::Malformed`], [`Discard::ForeignSource`] or [`Discard::HandshakeRefused`] if it has no effect.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        kind: DatagramKind,
        bytes: &[u8],
    ) -> Result<(), Discard> {
        self.needs_poll = true;
        match kind {
            DatagramKind::Stun => {
                self.ice.handle_stun(now, source, bytes)?;
                if let Some((early_source, early)) = self.early.take_if(|(s, _)| self.ice.is_valid_source(*s)) {
                    tracing::debug!(%early_source, "DTLS datagram from before its check is taken now");
                    // The result of a stale datagram does not matter; the peer repeats its flight.
                    let _ = self.dtls.handle_datagram(now, &early);
                }
                Ok(())
            }
            DatagramKind::Dtls if self.ice.is_valid_source(source) => {
                self.dtls.handle_datagram(now, bytes).map_err(|()| Discard::HandshakeRefused)
            }
            DatagramKind::Dtls => {
                // Before our first flight the peer can send nothing else. A forged HelloVerifyRequest would make us answer a request
                // that the peer has never sent.
                if dtls::is_client_hello(bytes) && bytes.len() <= limits::DATAGRAM_BYTES_MAX {
                    self.early = Some((source, bytes.to_vec()));
                }
                Err(Discard::ForeignSource)
            }
            DatagramKind::Rtp | DatagramKind::Rtcp => Err(Discard::NotConnected),
        }
    }

    /// Processes deadlines up to `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.ice.poll_timeout().is_some_and(|at| at <= now) {
            self.needs_poll = true;
            self.ice.handle_timeout(now);
        }
        if self.ice.selected().is_some() && self.dtls.poll_timeout().is_some_and(|at| at <= now) {
            self.needs_poll = true;
            self.dtls.handle_timeout(now);
        }
    }

    /// Ends the DTLS association: its last output is close_notify.
    pub(crate) fn close(&mut self, now: Instant) {
        self.needs_poll = true;
        self.dtls.close(now);
    }

    /// True until there are keys, and after that from each input until [`WebRtc::poll_output`] gives none.
    pub(crate) fn needs_poll(&self) -> bool {
        self.needs_poll
    }

    /// When [`WebRtc::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        if self.needs_poll { self.machines_timeout() } else { self.wake_at }
    }

    fn machines_timeout(&mut self) -> Option<Instant> {
        let dtls = self.ice.selected().and_then(|_| self.dtls.poll_timeout());
        soonest(self.ice.poll_timeout(), dtls)
    }

    /// The next output; datagrams are written to the front of `buf`.
    pub(crate) fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Option<WebRtcOutput> {
        let output = self.machines_output(now, buf);
        if output.is_none() {
            // Until there are keys, the handshake is polled each time.
            self.needs_poll = !self.dtls.is_connected();
            self.wake_at = self.machines_timeout();
        }
        output
    }

    fn machines_output(&mut self, now: Instant, buf: &mut [u8]) -> Option<WebRtcOutput> {
        while let Some(output) = self.ice.poll_output(buf) {
            match output {
                IceOutput::Transmit { to, len } => return Some(WebRtcOutput::Transmit { to, len }),
                // The nomination is sent, so the ClientHello follows directly; to wait for its response would cost a round trip.
                IceOutput::Selected => self.dtls.start(now),
                IceOutput::Established => {
                    self.dtls.expect_hello(now, self.ice.peer_is_lite());
                    return Some(WebRtcOutput::Milestone(Milestone::IceConnected));
                }
                IceOutput::Disconnected => return Some(WebRtcOutput::Failed(LegFailure::IceDisconnected)),
            }
        }
        let to = self.ice.selected()?;
        match self.dtls.poll_output(now, buf)? {
            DtlsOutput::Transmit(len) => Some(WebRtcOutput::Transmit { to, len }),
            DtlsOutput::Keys(keys) => Some(WebRtcOutput::Keys(keys)),
            DtlsOutput::Failed(failure) => Some(WebRtcOutput::Failed(failure)),
        }
    }

    /// True once a connectivity check has been sent.
    pub(crate) fn has_checked(&self) -> bool {
        self.ice.has_checked()
    }

    /// Destination of media.
    pub(crate) fn selected(&self) -> Option<SocketAddr> {
        self.ice.selected()
    }

    /// True once we have sent a ClientHello although the peer was to send one.
    pub(crate) fn is_role_hedged(&self) -> bool {
        self.dtls.is_role_hedged()
    }

    /// True if `source` has passed a check, so that media from it is accepted.
    pub(crate) fn is_valid_source(&self, source: SocketAddr) -> bool {
        self.ice.is_valid_source(source)
    }
}

/// A number that is different for each leg, as its ICE password is.
fn seed_of(local: &IceCredentials) -> u64 {
    let digest = digest::digest(&digest::SHA256, local.pwd.as_bytes());
    digest.as_ref().iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
