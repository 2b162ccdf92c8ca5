//! The UDP sockets for ng commands, and which sources no request is accepted from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::event::Event;
use mio::net::UdpSocket;
use mio::{Interest, Poll, Token};
use trestle_calls::controller::{DroppedRequest, Origin, RefusalLog};
use trestle_io::{BoundPorts, clock, socket};

use crate::allowed_sources::{AllowList, AllowedSources, NOT_ALLOWED};
use crate::config::Config;
use crate::server::ServeError;

/// The sockets of `listen-ng`, in the order of the configuration.
pub(crate) struct NgSockets {
    sockets: Vec<NgSocket>,
    bound_ports: Arc<BoundPorts>,
    allowed: AllowedSources,
    /// The list as of the last [`NgSockets::reload`].
    allow_list: AllowList,
    refusals: RefusalLog,
}

struct NgSocket {
    udp: UdpSocket,
    address: SocketAddr,
    /// Bound to the unspecified address: the kernel reports to which address each datagram was sent.
    is_wildcard: bool,
    /// Reported readable and not read to its end.
    readable: bool,
}

/// The result of a read.
pub(super) enum NgDatagram {
    /// A datagram of this length.
    Request(usize, Origin),
    /// A datagram that is no request, because of its source.
    Dropped(DroppedRequest),
    /// No datagram is waiting.
    Empty,
    /// The system reports an error; the next read may succeed.
    Failed,
}

impl NgSockets {
    /// Binds the sockets, and watches them. A datagram from one of `bound_ports` is no request, nor is one from a source that is not
    /// `allowed`.
    ///
    /// # Errors
    /// An address of `listen-ng` cannot be bound.
    pub(crate) fn bind(
        config: &Config,
        poll: &Poll,
        bound_ports: Arc<BoundPorts>,
        allowed: AllowedSources,
    ) -> Result<Self, ServeError> {
        let listen = &config.settings.listen;
        let addresses = if listen.ng_udp { listen.listen_ng.as_slice() } else { &[] };
        let mut sockets = Vec::with_capacity(addresses.len());
        for (index, &address) in addresses.iter().enumerate() {
            let listen = || {
                let mut udp = socket::bind(address, socket::CONTROL_BUFFER_BYTES)?;
                poll.registry().register(&mut udp, Token(index), Interest::READABLE)?;
                let is_wildcard = address.ip().is_unspecified();
                if is_wildcard {
                    socket::report_destination(&udp, address.is_ipv6())?;
                }
                let address = udp.local_addr()?;
                Ok(NgSocket { udp, address, is_wildcard, readable: false })
            };
            sockets.push(listen().map_err(|source| ServeError::Listen { key: "listen-ng", address, source })?);
        }
        let allow_list = allowed.now();
        Ok(Self { sockets, bound_ports, allowed, allow_list, refusals: RefusalLog::new("listen-ng") })
    }

    /// Takes the list of allowed sources as it is now.
    pub(super) fn reload(&mut self) {
        self.allow_list = self.allowed.now();
    }

    /// The bound addresses.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|socket| socket.address).collect()
    }

    /// Number of sockets.
    pub(super) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// True if a socket was not read to its end.
    pub(super) fn has_more(&self) -> bool {
        self.sockets.iter().any(|socket| socket.readable)
    }

    /// Notes that a socket is readable.
    pub(super) fn note_ready(&mut self, event: &Event) {
        if let Some(socket) = self.sockets.get_mut(event.token().0) {
            socket.readable = true;
        }
    }

    /// Reads one datagram from the socket of this index.
    pub(super) fn receive(&mut self, index: usize, buffer: &mut [u8]) -> NgDatagram {
        let socket = &mut self.sockets[index];
        if !socket.readable {
            return NgDatagram::Empty;
        }
        let received = if socket.is_wildcard {
            socket::receive_addressed(&socket.udp, buffer)
        } else {
            socket.udp.recv_from(buffer).map(|(len, peer)| (len, peer, None))
        };
        match received {
            Ok((_, peer, _)) if !self.allow_list.permits(peer.ip()) => {
                self.refusals.note(clock::now(), peer, NOT_ALLOWED);
                NgDatagram::Dropped(DroppedRequest::NotAllowed)
            }
            // Audio that a peer makes Trestle send to this port.
            Ok((_, peer, _)) if self.bound_ports.contains(peer) => NgDatagram::Dropped(DroppedRequest::OwnMediaPort),
            Ok((len, peer, local)) => NgDatagram::Request(len, Origin::Udp { listener: index, local, peer }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.readable = false;
                NgDatagram::Empty
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read a control socket");
                NgDatagram::Failed
            }
        }
    }

    /// Sends a reply or an event from the socket of this index, and from the address `local` if it has several.
    pub(super) fn send(&self, index: usize, bytes: &[u8], local: Option<IpAddr>, peer: SocketAddr) {
        if let Err(error) = socket::send_from(&self.sockets[index].udp, bytes, local, peer) {
            // The client repeats the request and gets the reply from the cache.
            tracing::debug!(%error, %peer, "cannot send a reply to an ng request");
        }
    }
}
