//! Where a request came from, and how its reply is written.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use trestle_ng::signature::Signed;
use trestle_ng::{Cookie, Encoding};

/// Where a request came from. Its reply goes back there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A datagram.
    Udp {
        /// The socket that received it, as numbered by the edge.
        listener: usize,
        /// The address that it was sent to, if the socket has several: a client that is connected to it receives from no other.
        local: Option<IpAddr>,
        /// The sender.
        peer: SocketAddr,
    },
    /// A request over HTTP or TCP. Only its reply can go back there.
    Stream {
        /// The remote end of the connection.
        peer: SocketAddr,
    },
    /// A request over the Unix socket. All its connections are one sender, so that a request that is repeated over another connection is
    /// executed once.
    Unix,
}

impl Origin {
    /// The address of the sender; the unspecified one with port 0 for the Unix socket.
    pub fn peer(self) -> SocketAddr {
        match self {
            Self::Udp { peer, .. } | Self::Stream { peer } => peer,
            Self::Unix => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        }
    }
}

/// A request that has no reply yet.
#[derive(Debug)]
pub(super) struct ReplyTo {
    pub(super) origin: Origin,
    pub(super) cookie: Cookie,
    pub(super) encoding: Encoding,
    /// How the reply is signed; `None` if the request was not.
    pub(super) signed: Option<Signed>,
    /// Added to the reply.
    pub(super) warnings: Vec<String>,
    /// The request allows a long reply.
    pub(super) verbose: bool,
    /// Name of the operation, for the counters; empty if the request was not understood.
    pub(super) verb: &'static str,
}

impl ReplyTo {
    pub(super) fn new(origin: Origin, cookie: Cookie, encoding: Encoding) -> Self {
        Self { origin, cookie, encoding, signed: None, warnings: Vec::new(), verbose: false, verb: "" }
    }
}
