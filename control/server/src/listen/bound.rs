//! The stream sockets of all listeners, bound before any thread starts: the filter of addresses must know their ports, also those that
//! the system chooses.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

use super::ng_unix::BoundUnixSocket;
use crate::config::Config;
use crate::server::ServeError;

/// Connections that wait to be accepted.
pub(super) const BACKLOG: i32 = 1_024;

/// Listening sockets by the settings that name their addresses.
#[derive(Debug)]
pub(crate) struct BoundListeners {
    /// `listen-tcp-ng`
    pub(crate) ng_tcp: Vec<TcpListener>,
    /// `listen-http`
    pub(crate) http: Option<TcpListener>,
    /// `listen-events`
    pub(crate) events: Option<TcpListener>,
    /// `listen-ng-unix`
    pub(crate) ng_unix: Option<BoundUnixSocket>,
}

impl BoundListeners {
    /// Binds all of them.
    ///
    /// # Errors
    /// [`ServeError::Listen`] or [`ServeError::ListenUnix`]: an address cannot be bound.
    pub(crate) fn bind(config: &Config) -> Result<Self, ServeError> {
        let (listen, events) = (&config.settings.listen, &config.settings.events);
        let bind = |key, address| bind(address).map_err(|source| ServeError::Listen { key, address, source });
        Ok(Self {
            ng_tcp: listen.listen_tcp_ng.iter().map(|at| bind("listen-tcp-ng", *at)).collect::<Result<_, _>>()?,
            http: listen.listen_http.map(|at| bind("listen-http", at)).transpose()?,
            events: events.listen_events.map(|at| bind("listen-events", at)).transpose()?,
            ng_unix: listen.listen_ng_unix.as_deref().map(bind_unix).transpose()?,
        })
    }

    /// The bound IP addresses.
    ///
    /// # Errors
    /// The error of the system.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.ng_tcp.iter().chain(&self.http).chain(&self.events).map(TcpListener::local_addr).collect()
    }
}

fn bind_unix(path: &Path) -> Result<BoundUnixSocket, ServeError> {
    BoundUnixSocket::bind(path).map_err(|source| ServeError::ListenUnix { path: path.to_owned(), source })
}

/// Binds a non-blocking listener. One on `::` takes IPv4 connections too, unless the system is configured otherwise.
///
/// # Errors
/// The error of the system.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a process that has ended keep no port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
