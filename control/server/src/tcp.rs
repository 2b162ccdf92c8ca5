//! ng over TCP (`listen-tcp-ng`), on a thread of its own. A connection's requests are done one after the other, each answered before
//! the next is looked at, so that answers come in the order of the requests.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use trestle_io::mailbox::Sender;

use crate::ask::{Ask, NoAnswer, ask};
use crate::connections::{Connections, Patience};
use trestle_ng::{Encoding, Framer, Reply, frame};

/// A proxy may have nothing to say all night, and connects again if it is closed; a message of its comes in one piece.
pub const PATIENCE: Patience = Patience { idle: Duration::from_secs(3_600), message: Duration::from_secs(10) };

/// The running TCP server.
#[derive(Debug)]
pub struct TcpServer {
    addresses: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Binds all of `addresses` and starts the thread. Requests go to `control`; all addresses share `connections`.
    ///
    /// # Errors
    /// An address cannot be bound (it is named), or the system gives no thread.
    pub fn start(
        addresses: &[SocketAddr],
        connections: &Connections,
        control: &Sender<Ask>,
    ) -> Result<Self, (SocketAddr, io::Error)> {
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
        let (connections, control) = (connections.clone(), control.clone());
        let serve = move || {
            for listener in listeners {
                runtime.spawn(accept(listener, connections.clone(), control.clone()));
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

async fn accept(listener: TcpListener, connections: Connections, control: Sender<Ask>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = connections.place(peer) else { continue };
                let (connections, control) = (connections.clone(), control.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(&stream, peer, &connections, &control).await {
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

async fn serve(
    stream: &TcpStream,
    peer: SocketAddr,
    connections: &Connections,
    control: &Sender<Ask>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Patience { idle, message: patience } = connections.patience();
    let late = |_| connections.late();
    let write = async |bytes: Vec<u8>| timeout(patience, write(stream, &bytes)).await.map_err(late)?;
    let mut framer = Framer::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut deadline = Instant::now() + idle;
    loop {
        let between = framer.is_between();
        let len = timeout_at(deadline, read(stream, &mut buffer)).await.map_err(late)??;
        if len == 0 {
            return Ok(());
        }
        if between {
            deadline = Instant::now() + patience;
        }
        let mut segment = &buffer[..len];
        loop {
            match framer.push(segment) {
                Ok(None) => break,
                Ok(Some((message, taken))) => {
                    segment = &segment[taken..];
                    write(answer(control, peer, message).await).await?;
                    deadline = Instant::now() + patience;
                }
                Err(error) => {
                    // Where the next message begins is anybody's guess.
                    let message = framer.into_rest();
                    if frame::split(&message).is_some() {
                        write(answer(control, peer, message).await).await?;
                    }
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
        if framer.is_between() {
            deadline = Instant::now() + idle;
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
