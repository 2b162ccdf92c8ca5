//! Connections over TCP and HTTP: so many at a time, and none that takes for ever to say something.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at a time; what comes beyond is closed. A proxy's workers have one each.
pub const CONNECTIONS_MAX: usize = 256;

/// How long is waited for a peer.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until a message begins, the first or the next.
    pub idle: Duration,
    /// From its first byte to its last, and until an answer is taken.
    pub message: Duration,
}

/// What a listener's connections have in common. Clones are about the same connections.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The listener's configuration key.
    listener: &'static str,
    patience: Patience,
    places: Arc<Semaphore>,
    refused: AtomicU64,
    late: AtomicU64,
}

/// Connections that were closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Closed {
    /// There were too many already.
    pub refused: u64,
    /// The peer took too long.
    pub late: u64,
}

impl Connections {
    /// None yet, of the listener with this configuration key, and at most `max`.
    pub fn new(listener: &'static str, max: usize, patience: Patience) -> Self {
        let places = Arc::new(Semaphore::new(max));
        Self(Arc::new(Shared { listener, patience, places, refused: AtomicU64::new(0), late: AtomicU64::new(0) }))
    }

    /// How many were closed so far, and why.
    pub fn closed(&self) -> Closed {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Closed { refused: read(&self.0.refused), late: read(&self.0.late) }
    }

    /// The listener's configuration key.
    pub fn listener(&self) -> &'static str {
        self.0.listener
    }

    pub(crate) fn patience(&self) -> Patience {
        self.0.patience
    }

    /// A place for a new connection, until it is dropped.
    pub(crate) fn place(&self, peer: SocketAddr) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok();
        // Logged less and less often: whoever floods us shall not fill the disk as well.
        if place.is_none() && (self.0.refused.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two() {
            tracing::warn!(%peer, listener = self.0.listener, "too many connections; closed");
        }
        place
    }

    /// Counts a peer that took too long; the error with which its connection ends.
    pub(crate) fn late(&self) -> io::Error {
        self.0.late.fetch_add(1, Ordering::Relaxed);
        io::ErrorKind::TimedOut.into()
    }
}

/// A connection that fails if its peer takes too long. A message begins with the first byte read and is over with the
/// first byte of its answer.
#[derive(Debug)]
pub(crate) struct Patient {
    stream: TcpStream,
    connections: Connections,
    deadline: Pin<Box<Sleep>>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream, connections: Connections, place: OwnedSemaphorePermit) -> Self {
        let deadline = Box::pin(sleep(connections.patience().idle));
        Self { stream, connections, deadline, begun: false, _place: place }
    }

    fn wait_until(&mut self, begun: bool) {
        let Patience { idle, message } = self.connections.patience();
        self.begun = begun;
        self.deadline.as_mut().reset(Instant::now() + if begun { message } else { idle });
    }

    /// Goes on waiting, unless that has taken too long.
    fn or_late<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(self.connections.late()))
    }
}

impl AsyncRead for Patient {
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

impl AsyncWrite for Patient {
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

#[cfg(test)]
mod tests;
