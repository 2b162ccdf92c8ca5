//! ng over TCP (`listen-tcp-ng`), on a thread of its own. The requests of a connection are processed one after the other, so that
//! replies come in the order of the requests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use trestle_calls::controller::RefusalLog;
use trestle_io::Heartbeat;
use trestle_io::mailbox::Sender;

use super::connections::{Connections, Deadlines};
use super::stream_request::{self, NoReply, StreamRequest};
use crate::places::Place;
use crate::runtime_thread::{RuntimeThread, runtime, spawn_lasting};
use crate::stream_io;
use trestle_ng::{Encoding, Framer, Reply, frame, signature};

/// A proxy can be idle for a night, and connects again after its connection is closed; it sends a message in one piece.
pub const DEADLINES: Deadlines = Deadlines { idle: Duration::from_secs(3_600), message: Duration::from_secs(10) };

/// The running TCP server.
#[derive(Debug)]
pub struct TcpServer {
    addresses: Vec<SocketAddr>,
    _thread: RuntimeThread,
}

impl TcpServer {
    /// Starts the thread. Requests go to `control`; all listeners share `connections`.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn start(
        heartbeat: Arc<Heartbeat>,
        listeners: Vec<std::net::TcpListener>,
        connections: &Connections,
        control: &Sender<StreamRequest>,
    ) -> io::Result<Self> {
        let runtime = runtime()?;
        let addresses = listeners.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<_>>()?;
        for listener in listeners {
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener)?
            };
            spawn_lasting(&runtime, &heartbeat, accept(listener, connections.clone(), control.clone()));
        }
        Ok(Self { addresses, _thread: RuntimeThread::start(heartbeat, runtime, async {})? })
    }

    /// The addresses on which it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

async fn accept(listener: TcpListener, connections: Connections, control: Sender<StreamRequest>) {
    let mut refusals = RefusalLog::new(connections.listener());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = connections.admit(peer, &mut refusals) else { continue };
                let (connections, control) = (connections.clone(), control.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(&stream, peer, place, &connections, &control).await {
                        tracing::debug!(%error, %peer, "an ng connection has ended");
                    }
                });
            }
            Err(error) => {
                // Most likely there are no file descriptors left. To try again at once would not help.
                tracing::warn!(%error, "listen-tcp-ng: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(
    stream: &TcpStream,
    peer: SocketAddr,
    mut place: Place,
    connections: &Connections,
    control: &Sender<StreamRequest>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Deadlines { idle, message: limit } = connections.deadlines();
    let late = |_| connections.late();
    let write = async |bytes: Vec<u8>| timeout(limit, stream_io::write_all(stream, &bytes)).await.map_err(late)?;
    let mut framer = Framer::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut deadline = Instant::now() + idle;
    loop {
        let between = framer.is_between();
        let len = tokio::select! {
            len = timeout_at(deadline, stream_io::read(stream, &mut buffer)) => len.map_err(late)??,
            _ = &mut place.displaced, if between => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        if len == 0 {
            return Ok(());
        }
        if between {
            place.set_busy(true);
            deadline = Instant::now() + limit;
        }
        let mut segment = &buffer[..len];
        loop {
            match framer.push(segment) {
                Ok(None) => break,
                Ok(Some((message, taken))) => {
                    segment = &segment[taken..];
                    write(reply(control, peer, message).await?).await?;
                    deadline = Instant::now() + limit;
                }
                Err(error) => {
                    // It is unknown where the next message begins.
                    let message = framer.into_rest();
                    if frame::split(&message).is_some() {
                        write(reply(control, peer, message).await?).await?;
                    }
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
        if framer.is_between() {
            place.set_busy(false);
            deadline = Instant::now() + idle;
        }
    }
}

/// The reply; in JSON with a line end, for clients that read lines.
///
/// # Errors
/// The request gets no reply.
async fn reply(control: &Sender<StreamRequest>, peer: SocketAddr, message: Vec<u8>) -> io::Result<Vec<u8>> {
    let (cookie, encoding) = match frame::split(&message) {
        Some((cookie, body)) => (cookie, Encoding::of(signature::split(body).1).unwrap_or_default()),
        None => return Ok(Vec::new()),
    };
    let mut reply = match stream_request::send(control, peer, message).await {
        Ok(reply) => reply,
        Err(NoReply::Refused) => return Err(io::ErrorKind::PermissionDenied.into()),
        Err(error) => cookie.frame(&no_reply(error, encoding)),
    };
    if encoding == Encoding::Json {
        reply.push(b'\n');
    }
    Ok(reply)
}

/// The error reply in place of a reply, with the texts on which proxies try another node.
pub(crate) fn no_reply(error: NoReply, encoding: Encoding) -> Vec<u8> {
    Reply::error(match error {
        NoReply::Busy => "Load limit exceeded",
        NoReply::Late | NoReply::Refused => "Internal error: the control thread did not answer",
    })
    .write(encoding)
}
