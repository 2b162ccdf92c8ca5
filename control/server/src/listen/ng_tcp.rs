//! ng over TCP (`listen-tcp-ng`), on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use trestle_calls::controller::{Origin, RefusalLog};
use trestle_io::Heartbeat;
use trestle_io::mailbox::Sender;

use super::connections::{Connections, Deadlines};
use super::ng_client::NgClient;
use super::stream_request::StreamRequest;
use crate::runtime_thread::{RuntimeThread, runtime, spawn_lasting};
use crate::stream_io::ByteStream;

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
                    let served = match stream.set_nodelay(true) {
                        Ok(()) => {
                            let client =
                                NgClient { stream: ByteStream::Tcp(stream), origin: Origin::Stream { peer }, place };
                            client.serve(&connections, &control).await
                        }
                        Err(error) => Err(error),
                    };
                    if let Err(error) = served {
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
