//! `/metrics` and `/ping` over HTTP, on a thread of their own: no scraper can hold up a call.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;
use trestle_io::mailbox::Sender;

use crate::metrics::{self, Snapshot};

/// How long the control thread may take to collect the counters; it needs a millisecond.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(2);

/// A scrape: whoever takes it sends a snapshot back.
pub type Scrape = oneshot::Sender<Snapshot>;

/// The running HTTP server.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Binds and starts the thread. Scrapes go to `control`.
    ///
    /// # Errors
    /// The address cannot be bound, or the system gives no thread.
    pub fn start(address: SocketAddr, control: Sender<Scrape>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let routes = Router::new().route("/ping", get(|| async { "pong" })).route("/metrics", get(scrape));
        let thread = thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.spawn(async move { axum::serve(listener, routes.with_state(control)).await });
            // Sent or dropped, both mean the end; the runtime goes with its open connections.
            let _: Result<(), _> = runtime.block_on(stopped);
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread had died of a panic");
        }
    }
}

async fn scrape(State(control): State<Sender<Scrape>>) -> Response {
    let (reply, snapshot) = oneshot::channel();
    if control.send(reply).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "busy\n").into_response();
    }
    match tokio::time::timeout(SNAPSHOT_WAIT, snapshot).await {
        Ok(Ok(snapshot)) => {
            ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&snapshot)).into_response()
        }
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the control thread did not answer\n").into_response(),
    }
}
