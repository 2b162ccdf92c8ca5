//! How datagrams of one leg get to its peer and back: address, encryption, handshake.

use std::net::SocketAddr;
use std::time::Instant;

use trestle_srtp::{Context, KeyingMaterial, UnprotectError};
use trestle_wire::demux::Kind;
use trestle_wire::rtcp::Compound;
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

/// The SRTP contexts of a secured leg. The same key again, be it after others, finds its context as it was left:
/// roll-over counters and replay windows stay (RFC 3711 3.3.1), and no index is encrypted twice under a key.
#[derive(Debug, Default)]
pub(crate) struct Srtp {
    send: Keyring,
    receive: Keyring,
}

/// A context for each key of one direction; the last one is in use.
#[derive(Debug, Default)]
struct Keyring {
    contexts: Vec<(KeyingMaterial, Box<Context>)>,
}

/// Keys of one direction that are remembered. We have one per crypto suite, six at most, so that none of ours is ever
/// forgotten; a peer that takes new ones all the time loses only the replay window of the oldest.
const KEYS_MAX: usize = 16;

impl Keyring {
    fn current(&mut self) -> Option<&mut Context> {
        self.contexts.last_mut().map(|(_, context)| &mut **context)
    }

    /// Takes `key` into use. A new one gets the context that `make` gives, from the one in use before.
    fn take_up(&mut self, key: &KeyingMaterial, make: impl FnOnce(Option<&Context>) -> Context) {
        if let Some(position) = self.contexts.iter().position(|(known, _)| known == key) {
            self.contexts[position..].rotate_left(1);
            return;
        }
        let context = make(self.contexts.last().map(|(_, context)| &**context));
        if self.contexts.len() == KEYS_MAX {
            self.contexts.remove(0);
        }
        self.contexts.push((key.clone(), Box::new(context)));
    }
}

impl Srtp {
    pub(crate) fn set_send_key(&mut self, key: &KeyingMaterial) {
        self.send.take_up(key, |_| Context::new(key));
    }

    pub(crate) fn set_receive_key(&mut self, key: &KeyingMaterial, mki_len: u8) {
        self.receive.take_up(key, |before| {
            let context = Context::new(key).with_mki_len(usize::from(mki_len));
            // Some peers keep their roll-over counter under a new key: it may be where it was.
            match before.and_then(|old| old.ssrcs().filter_map(|ssrc| old.rtp_index(ssrc)).max()) {
                Some(index) => context.with_roc_hint((index >> 16) as u32),
                None => context,
            }
        });
    }

    fn is_ready(&self) -> bool {
        !self.send.contexts.is_empty()
    }

    fn unprotect(&mut self, kind: Kind, datagram: &mut [u8]) -> Result<usize, Discard> {
        let context = self.receive.current().ok_or(Discard::NotConnected)?;
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
        let context = self.send.current()?;
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

    /// True once we have sent a ClientHello although the peer was to send one.
    pub(crate) fn is_role_hedged(&self) -> bool {
        matches!(self, Self::WebRtc { webrtc, .. } if webrtc.is_role_hedged())
    }

    /// Takes an RTP packet: authenticate, then believe its source. What `datagram` begins with then is the plain packet.
    pub(crate) fn receive_rtp(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<rtp::Packet, Discard> {
        let parse = |bytes: &[u8]| rtp::Packet::parse(bytes).map_err(|_| Discard::Malformed);
        if let Self::Plain(latch) = self {
            // Nothing but a whole packet may fix the address.
            let packet = parse(datagram)?;
            let believed = latch.admit_plain(now, Flow::Rtp, source, Some((packet.header.ssrc, packet.header.seq)));
            return if believed { Ok(packet) } else { Err(Discard::ForeignSource) };
        }
        let len = self.authenticate(now, Flow::Rtp, source, Kind::Rtp, datagram)?;
        parse(&datagram[..len])
    }

    /// Takes an RTCP packet in the same way. Gives the length of the plain packet that `datagram` begins with then.
    pub(crate) fn receive_rtcp(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        datagram: &mut [u8],
    ) -> Result<usize, Discard> {
        if let Self::Plain(latch) = self {
            Compound::parse_reduced_size(datagram).map_err(|_| Discard::Malformed)?;
            let believed = latch.admit_plain(now, flow, source, None);
            return if believed { Ok(datagram.len()) } else { Err(Discard::ForeignSource) };
        }
        self.authenticate(now, flow, source, Kind::Rtcp, datagram)
    }

    /// Decrypts what comes on a secured path, and learns from where it came.
    fn authenticate(
        &mut self,
        now: Instant,
        flow: Flow,
        source: SocketAddr,
        kind: Kind,
        datagram: &mut [u8],
    ) -> Result<usize, Discard> {
        match self {
            Self::Plain(_) => Ok(datagram.len()),
            Self::Sdes { latch, srtp } => {
                if !latch.may_authenticate(flow, source) {
                    return Err(Discard::ForeignSource);
                }
                let len = srtp.unprotect(kind, datagram)?;
                latch.observe_authenticated(now, flow, source);
                Ok(len)
            }
            Self::WebRtc { webrtc, srtp } => {
                if !webrtc.is_valid_source(source) {
                    return Err(Discard::ForeignSource);
                }
                srtp.unprotect(kind, datagram)
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

#[cfg(test)]
mod tests {
    use super::*;
    use trestle_srtp::Profile;

    fn key(byte: u8) -> KeyingMaterial {
        KeyingMaterial::from_key_and_salt(Profile::AesCm128HmacSha1_80, &[byte; 30]).unwrap()
    }

    #[test]
    fn a_key_that_comes_back_goes_on_where_it_was_left() {
        let mut srtp = Srtp::default();
        let packet = |seq: u16| {
            let mut buf = [0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].to_vec();
            buf[2..4].copy_from_slice(&seq.to_be_bytes());
            buf.extend_from_slice(&[7; 20 + trestle_srtp::OVERHEAD_MAX]);
            buf
        };
        let send = |srtp: &mut Srtp, seq: u16| srtp.protect(Kind::Rtp, &mut packet(seq), 32);
        srtp.set_send_key(&key(1));
        assert!(send(&mut srtp, 5).is_some());
        srtp.set_send_key(&key(2));
        assert!(send(&mut srtp, 6).is_some());
        srtp.set_send_key(&key(1));
        assert!(send(&mut srtp, 5).is_none(), "this index was encrypted under this key before");
        assert!(send(&mut srtp, 7).is_some());
    }
}
