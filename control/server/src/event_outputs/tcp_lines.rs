//! `listen-events`: every event as a line, to each connected client.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;

use trestle_calls::controller::RefusalLog;
use trestle_io::clock;

use super::EventOutputCounters;
use crate::allowed_sources::{AllowedSources, NOT_ALLOWED};
use crate::places::{Crowded, Places};
use crate::stream_io::ByteStream;

/// Readers at a time; further connections are closed.
const READERS_MAX: usize = 64;

/// Readers of one IP address at a time, so that no machine takes every place. A reader sends nothing, so none can be taken for idle.
const READERS_OF_ADDRESS_MAX: usize = 32;

/// Longest time of one write. A reader that takes no bytes for this long is too slow, however few events there are.
const WRITE_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn accept(
    (listener, allowed): (TcpListener, AllowedSources),
    lines: broadcast::Sender<Arc<str>>,
    counters: Arc<EventOutputCounters>,
    mut closed: watch::Receiver<bool>,
    writing: Sender<Infallible>,
) {
    let mut refusals = RefusalLog::new("listen-events");
    let places = Places::new(READERS_MAX, READERS_OF_ADDRESS_MAX, Crowded::Refuse);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.wait_for(|closed| *closed) => return,
        };
        match accepted {
            Ok((_, peer)) if !allowed.now().permits(peer.ip()) => {
                counters.not_allowed.fetch_add(1, Ordering::Relaxed);
                refusals.note(clock::now(), peer, NOT_ALLOWED);
            }
            Ok((stream, peer)) => {
                let Some((place, _)) = places.admit(peer.ip()) else {
                    tracing::warn!(%peer, "too many connections to listen-events; closed");
                    continue;
                };
                let (lines, counters, writing) = (lines.subscribe(), Arc::clone(&counters), writing.clone());
                let stream = ByteStream::Tcp(stream);
                tokio::spawn(async move {
                    if !write_lines(&stream, lines).await {
                        counters.slow_readers.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(%peer, "a reader of listen-events was too slow; closed");
                    }
                    drop((place, writing));
                });
            }
            // There are no file descriptors left, or the peer has closed the connection already.
            Err(error) => {
                tracing::debug!(%error, "listen-events: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Writes until the reader disconnects; false if it is too slow.
async fn write_lines(stream: &ByteStream, mut lines: Receiver<Arc<str>>) -> bool {
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            // Without this, a closed connection would count until the next event.
            () = disconnected(stream) => return true,
        };
        match line {
            Ok(line) => {
                let bytes = [line.as_bytes(), b"\n"].concat();
                match tokio::time::timeout(WRITE_WAIT, stream.write_all(&bytes)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return true,
                    Err(_) => return false,
                }
            }
            Err(RecvError::Lagged(_)) => return false,
            Err(RecvError::Closed) => return true,
        }
    }
}

/// Waits until the reader has closed its side. What it sends is discarded.
async fn disconnected(stream: &ByteStream) {
    let mut unread = [0; 256];
    while matches!(stream.read(&mut unread).await, Ok(1..)) {}
}
