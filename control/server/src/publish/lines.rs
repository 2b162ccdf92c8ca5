//! `listen-events`: every event as a line, to whoever connects, from then on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};

use super::Counters;

/// Readers at a time; what comes beyond is closed.
const READERS_MAX: usize = 64;

/// How long one line may take. A reader that stands still so long is too slow, however little there is to say.
const WRITE_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn accept(listener: TcpListener, lines: broadcast::Sender<Arc<str>>, counters: Arc<Counters>) {
    let room = Arc::new(Semaphore::new(READERS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                    tracing::warn!(%peer, "too many connections to listen-events; closed");
                    continue;
                };
                let (lines, counters) = (lines.subscribe(), Arc::clone(&counters));
                tokio::spawn(async move {
                    if !tell(&stream, lines).await {
                        counters.slow_readers.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(%peer, "a reader of listen-events was too slow; closed");
                    }
                    drop(place);
                });
            }
            // Out of descriptors, or the peer has left; the next may do.
            Err(error) => {
                tracing::debug!(%error, "listen-events");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Writes until the reader leaves; false if it is too slow.
async fn tell(stream: &TcpStream, mut lines: Receiver<Arc<str>>) -> bool {
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            // Or its place would be taken until there is something to say.
            () = gone(stream) => return true,
        };
        match line {
            Ok(line) => {
                let bytes = [line.as_bytes(), b"\n"].concat();
                match tokio::time::timeout(WRITE_WAIT, write(stream, &bytes)).await {
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

/// Waits until the reader has closed its side. What it says is not looked at.
async fn gone(stream: &TcpStream) {
    let mut unread = [0; 256];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut unread) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
