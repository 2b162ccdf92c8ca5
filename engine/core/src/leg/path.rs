//! How datagrams of one leg get to its peer and back: address, encryption, handshake.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use trestle_srtp::{Context, KeyingMaterial, UnprotectError};
use trestle_wire::demux::Kind;
use trestle_wire::rtp;

use super::latch::{Flow, Latch};
use super::webrtc::{DtlsIdentity, WebRtc};
use crate::plan::Transport;
use crate::{CommandError, Discard};

/// The transport of a leg, in action.
#[derive(Debug)]
pub(crate) enum Path {
    Plain(Latch),
    Sdes { latch: Latch, srtp: Srtp },
    WebRtc { webrtc: Box<WebRtc>, srtp: Srtp },
}

/// The two SRTP contexts of a secured leg, each with the key it was made from: the same key again keeps roll-over
/// counters and replay windows (RFC 3711 3.3.1), a new key starts afresh (RFC 4568 7.1.4) or goes on counting.
#[derive(Debug, Default)]
pub(crate) struct Srtp {
    send: Option<(KeyingMaterial, Box<Context>)>,
    receive: Option<(KeyingMaterial, Box<Context>)>,
}

impl Srtp {
    pub(crate) fn set_send_key(&mut self, key: &KeyingMaterial) {
        if self.send.as_ref().is_none_or(|(known, _)| known != key) {
            self.send = Some((key.clone(), Box::new(Context::new(key))));
        }
    }

    pub(crate) fn set_receive_key(&mut self, key: &KeyingMaterial, mki_len: u8) {
        if self.receive.as_ref().is_none_or(|(known, _)| known != key) {
            let mut context = Context::new(key).with_mki_len(usize::from(mki_len));
            // Some peers keep their roll-over counter under a new key (RFC 3711 3.3.1): it may be where it was.
            if let Some((_, old)) = &self.receive
                && let Some(index) = old.ssrcs().filter_map(|ssrc| old.rtp_index(ssrc)).max()
            {
                context = context.with_roc_hint((index >> 16) as u32);
            }
            self.receive = Some((key.clone(), Box::new(context)));
        }
    }

    fn is_ready(&self) -> bool {
        self.send.is_some()
    }

    fn unprotect(&mut self, kind: Kind, datagram: &mut [u8]) -> Result<usize, Discard> {
        let (_, context) = self.receive.as_mut().ok_or(Discard::NotConnected)?;
        let plain = match kind {
            Kind::Rtcp => context.unprotect_rtcp(datagram),
            _ => context.unprotect_rtp(datagram),
        };
        plain.map_err(|error| match error {
            UnprotectError::Malformed => Discard::Malformed,
            UnprotectError::AuthFailed => Discard::AuthFailed,
            UnprotectError::Replay => Discard::Replay,
            UnprotectError::TooManySsrcs => Discard::ForeignSsrc,
        })
    }

    fn protect(&mut self, kind: Kind, buf: &mut [u8], len: usize) -> Option<usize> {
        let (_, context) = self.send.as_mut()?;
        let protected = match kind {
            Kind::Rtcp => context.protect_rtcp(buf, len),
            _ => context.protect_rtp(buf, len),
        };
        // Only a bug of ours gets here (an index used twice, a buffer too small): the packet is not sent.
        protected.inspect_err(|error| tracing::error!(%error, "packet not encrypted, not sent")).ok()
    }
}

impl Path {
    pub(crate) fn new(
        now: Instant,
        local: SocketAddr,
        transport: &Transport,
        identity: &DtlsIdentity,
    ) -> Result<Self, CommandError> {
        let mut path = match transport {
            Transport::Plain(peer) => Self::Plain(Latch::new(peer)),
            Transport::Sdes { peer, .. } => Self::Sdes { latch: Latch::new(peer), srtp: Srtp::default() },
            Transport::WebRtc(plan) => {
                Self::WebRtc { webrtc: Box::new(WebRtc::new(now, local, plan, identity)?), srtp: Srtp::default() }
            }
        };
        path.apply(now, local, transport, identity)?;
        Ok(path)
    }

    /// Brings the path to what `transport` says. Another kind of transport (a re-offer that turns SRTP off, say) starts
    /// a new path on the same ports.
    pub(crate) fn apply(
        &mut self,
        now: Instant,
        local: SocketAddr,
        transport: &Transport,
        identity: &DtlsIdentity,
    ) -> Result<(), CommandError> {
        match (&mut *self, transport) {
            (Self::Plain(latch), Transport::Plain(peer)) => latch.apply(peer),
            (Self::Sdes { latch, srtp }, Transport::Sdes { peer, send_key, receive_key, receive_mki_len }) => {
                latch.apply(peer);
                send_key.iter().for_each(|key| srtp.set_send_key(key));
                receive_key.iter().for_each(|key| srtp.set_receive_key(key, *receive_mki_len));
            }
            (Self::WebRtc { webrtc, .. }, Transport::WebRtc(plan)) => webrtc.apply(now, plan)?,
            _ => *self = Self::new(now, local, transport, identity)?,
        }
        Ok(())
    }

    /// Where `flow` goes, once that is known and we may send.
    pub(crate) fn destination(&self, flow: Flow) -> Option<SocketAddr> {
        let latched = |latch: &Latch| match flow {
            Flow::Rtp => latch.rtp(),
            Flow::Rtcp => latch.rtcp(),
        };
        match self {
            Self::Plain(latch) => latched(latch),
            Self::Sdes { latch, srtp } => latched(latch).filter(|_| srtp.is_ready()),
            Self::WebRtc { webrtc, srtp } => webrtc.selected().filter(|_| srtp.is_ready()),
        }
    }

    /// True once the peer's address was learnt from its packets, or found by ICE.
    pub(crate) fn is_latched(&self) -> bool {
        match self {
            Self::Plain(latch) | Self::Sdes { latch, .. } => latch.is_latched(),
            Self::WebRtc { webrtc, .. } => webrtc.selected().is_some(),
        }
    }

    /// Takes an RTP or RTCP datagram: authenticate, then believe its source. Gives the octets of `datagram` that are the
    /// plain packet.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        kind: Kind,
        datagram: &mut [u8],
    ) -> Result<Range<usize>, Discard> {
        match self {
            Self::Plain(latch) => {
                let stream = match kind {
                    Kind::Rtp => {
                        let header = rtp::read_header(datagram).map_err(|_| Discard::Malformed)?;
                        Some((header.ssrc, header.seq))
                    }
                    _ => None,
                };
                let believed = latch.admit_plain(now, flow, source, stream);
                believed.then_some(0..datagram.len()).ok_or(Discard::ForeignSource)
            }
            Self::Sdes { latch, srtp } => {
                if !latch.may_authenticate(flow, source) {
                    return Err(Discard::ForeignSource);
                }
                let len = srtp.unprotect(kind, datagram)?;
                latch.observe_authenticated(now, flow, source);
                Ok(0..len)
            }
            Self::WebRtc { webrtc, srtp } => {
                if !webrtc.is_valid_source(source) {
                    return Err(Discard::ForeignSource);
                }
                Ok(0..srtp.unprotect(kind, datagram)?)
            }
        }
    }

    /// Encrypts the plain packet `buf[..len]` in place, if the leg is secured. `None` if it must not be sent.
    pub(crate) fn protect(&mut self, kind: Kind, buf: &mut [u8], len: usize) -> Option<usize> {
        match self {
            Self::Plain(_) => Some(len),
            Self::Sdes { srtp, .. } | Self::WebRtc { srtp, .. } => srtp.protect(kind, buf, len),
        }
    }
}
