//! ng over TCP (`listen-tcp-ng`), on a thread of its own. A connection's requests are done one after the other, each answered before
//! the next is looked at, so that answers come in the order of the requests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use trestle_io::mailbox::Sender;

use crate::ask::{Ask, NoAnswer, ask};
use crate::ng::{Encoding, Framer, Reply, frame};

/// Connections at a time; what comes beyond is closed. A proxy's workers have one each.
const CONNECTIONS_MAX: usize = 256;

/// The running TCP server.
#[derive(Debug)]
pub struct TcpServer {
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Binds all of `addresses` and starts the thread. Requests go to `control`.
    ///
    /// # Errors
    /// An address cannot be bound (it is named), or the system gives no thread.
    pub fn start(addresses: &[SocketAddr], control: &Sender<Ask>) -> Result<Self, (SocketAddr, io::Error)> {
        let any = addresses.first().copied().unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| (any, error))?;
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| (*address, error))?;
            listeners.push(listener);
        }
        let bound =
            listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>().map_err(|error| (any, error))?;
        let (stop, stopped) = oneshot::channel();
        let control = control.clone();
        let serve = move || {
            let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            for listener in listeners {
                runtime.spawn(accept(listener, control.clone(), Arc::clone(&room)));
            }
            // Sent or dropped, both mean the end; the runtime goes with its open connections.
            let _: Result<(), _> = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name("tcp-ng".to_owned()).spawn(serve).map_err(|error| (any, error))?;
        Ok(Self { addresses: bound, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the TCP thread had died of a panic");
        }
    }
}

async fn accept(listener: TcpListener, control: Sender<Ask>, room: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                    tracing::warn!(%peer, "too many connections to listen-tcp-ng; closed");
                    continue;
                };
                let control = control.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(&stream, peer, &control).await {
                        tracing::debug!(%error, %peer, "an ng connection has ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely; that passes, and looking again at once would not help.
                tracing::warn!(%error, "cannot take a connection to listen-tcp-ng");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: &TcpStream, peer: SocketAddr, control: &Sender<Ask>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut framer = Framer::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let len = read(stream, &mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        let mut segment = &buffer[..len];
        loop {
            match framer.push(segment) {
                Ok(None) => break,
                Ok(Some((message, taken))) => {
                    segment = &segment[taken..];
                    write(stream, &answer(control, peer, message).await).await?;
                }
                Err(error) => {
                    // Where the next message begins is anybody's guess.
                    let message = framer.into_rest();
                    if frame::split(&message).is_some() {
                        write(stream, &answer(control, peer, message).await).await?;
                    }
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }
}

/// The answer; in JSON with a line end, for readers that go by lines.
async fn answer(control: &Sender<Ask>, peer: SocketAddr, message: Vec<u8>) -> Vec<u8> {
    let (cookie, encoding) = match frame::split(&message) {
        Some((cookie, body)) => (cookie, Encoding::of(body).unwrap_or_default()),
        None => return Vec::new(),
    };
    let mut answer =
        ask(control, peer, message).await.unwrap_or_else(|error| cookie.frame(&no_answer(error, encoding)));
    if encoding == Encoding::Json {
        answer.push(b'\n');
    }
    answer
}

/// What is said in place of an answer, in the words on which proxies try another node.
pub(crate) fn no_answer(error: NoAnswer, encoding: Encoding) -> Vec<u8> {
    Reply::error(match error {
        NoAnswer::Busy => "Load limit exceeded",
        NoAnswer::Late => "Internal error: the control thread did not answer",
    })
    .write(encoding)
}

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
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
