//! Connections over TCP and HTTP: a limit of their number, and deadlines for their messages.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use trestle_calls::controller::RefusalLog;
use trestle_io::clock;

use crate::allowed_sources::{AllowedSources, NOT_ALLOWED};
use crate::metrics::ClosedConnections;
use crate::places::{Crowded, Place, Places};

/// Connections of one listener at a time. Each worker of a proxy has one. A further one takes the place of one that is idle.
pub const CONNECTIONS_MAX: usize = 256;

/// The share of one IP address in these: a quarter.
const ADDRESS_SHARE: usize = 4;

/// How long a listener waits for a peer.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Until a message begins, the first or the next.
    pub idle: Duration,
    /// From its first byte to its last, and until the peer has taken the reply.
    pub message: Duration,
}

/// The connections of one listener: limit, deadlines and counters. A clone refers to the same connections.
#[derive(Debug, Clone)]
pub struct Connections(Arc<ConnectionsState>);

#[derive(Debug)]
struct ConnectionsState {
    /// The listener's configuration key.
    listener: &'static str,
    deadlines: Deadlines,
    places: Places,
    allowed: AllowedSources,
    not_allowed: AtomicU64,
    refused: AtomicU64,
    displaced: AtomicU64,
    late: AtomicU64,
}

impl Connections {
    /// No connection yet. `listener` is the configuration key of the listener, `max` the number of connections at a time, and
    /// `allowed` the addresses that they may come from.
    pub(crate) fn new(listener: &'static str, max: usize, deadlines: Deadlines, allowed: AllowedSources) -> Self {
        Self::with_places(
            listener,
            Places::new(max, max.div_ceil(ADDRESS_SHARE), Crowded::Displace),
            deadlines,
            allowed,
        )
    }

    /// The same for a listener whose clients are all on this machine: they share all places, and each may connect.
    pub(crate) fn local(listener: &'static str, max: usize, deadlines: Deadlines) -> Self {
        Self::with_places(listener, Places::new(max, max, Crowded::Displace), deadlines, AllowedSources::default())
    }

    fn with_places(listener: &'static str, places: Places, deadlines: Deadlines, allowed: AllowedSources) -> Self {
        Self(Arc::new(ConnectionsState {
            listener,
            deadlines,
            places,
            allowed,
            not_allowed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            displaced: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }))
    }

    /// How many were closed so far, by reason.
    pub fn closed(&self) -> ClosedConnections {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClosedConnections {
            refused: read(&self.0.refused),
            not_allowed: read(&self.0.not_allowed),
            late: read(&self.0.late),
            displaced: read(&self.0.displaced),
        }
    }

    /// The listener's configuration key.
    pub fn listener(&self) -> &'static str {
        self.0.listener
    }

    pub(crate) fn deadlines(&self) -> Deadlines {
        self.0.deadlines
    }

    /// Admits a new connection: its place lasts until it is dropped. `None`, and counted, if its source is not allowed, or if there
    /// are too many. `refusals` is the log of this listener.
    pub(crate) fn admit(&self, peer: SocketAddr, refusals: &mut RefusalLog) -> Option<Place> {
        if !self.0.allowed.now().permits(peer.ip()) {
            self.0.not_allowed.fetch_add(1, Ordering::Relaxed);
            refusals.note(clock::now(), peer, NOT_ALLOWED);
            return None;
        }
        let admitted = self.0.places.admit(peer.ip());
        // Logged less and less often, so that a flood of connections does not fill the disk.
        let is_logged = |counter: &AtomicU64| (counter.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two();
        match &admitted {
            None if is_logged(&self.0.refused) => {
                tracing::warn!(%peer, listener = self.0.listener, "too many connections; closed");
            }
            Some((_, true)) if is_logged(&self.0.displaced) => {
                tracing::warn!(%peer, listener = self.0.listener, "many connections; an idle one is closed for a new one");
            }
            _ => {}
        }
        admitted.map(|(place, _)| place)
    }

    /// Counts a peer that took too long, and returns the error with which its connection ends.
    pub(crate) fn late(&self) -> io::Error {
        self.0.late.fetch_add(1, Ordering::Relaxed);
        io::ErrorKind::TimedOut.into()
    }
}

/// A connection that fails if its peer takes too long. A message begins with the first byte read and is over with the
/// first byte of its reply.
#[derive(Debug)]
pub(crate) struct DeadlineStream {
    stream: TcpStream,
    connections: Connections,
    deadline: Pin<Box<Sleep>>,
    begun: bool,
    place: Place,
}

impl DeadlineStream {
    pub(crate) fn new(stream: TcpStream, connections: Connections, place: Place) -> Self {
        let deadline = Box::pin(sleep(connections.deadlines().idle));
        Self { stream, connections, deadline, begun: false, place }
    }

    fn wait_until(&mut self, begun: bool) {
        let Deadlines { idle, message } = self.connections.deadlines();
        if self.begun != begun {
            self.place.set_busy(begun);
        }
        self.begun = begun;
        self.deadline.as_mut().reset(Instant::now() + if begun { message } else { idle });
    }

    /// Pending until the deadline, then the error of [`Connections::late`]; or until another connection has the place.
    fn or_late<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if !self.begun && Pin::new(&mut self.place.displaced).poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(self.connections.late()))
    }
}

impl AsyncRead for DeadlineStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buf) {
            Poll::Pending => self.or_late(context),
            read => {
                if !self.begun {
                    self.wait_until(true);
                }
                read
            }
        }
    }
}

impl AsyncWrite for DeadlineStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.or_late(context),
            written => {
                self.wait_until(false);
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
