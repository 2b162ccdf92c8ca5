//! HTTP on a thread of its own, so that no scraper can hold up a call: `GET /metrics`, `GET /ping`, and ng by `POST /ng`
//! (body and reply as in a datagram) and `POST /ng-plain` (without the cookie).
//!
//! ng has no password, and every browser on this machine can reach the loopback address. So ng is refused to whatever a
//! web page can send: a request with `Origin`, or of a content type that needs no preflight.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use trestle_io::mailbox::Sender;

use crate::ask::{Ask, NoAnswer, ask};
use crate::connections::{Connections, Patience, Patient};
use crate::metrics::{self, Snapshot};
use trestle_ng::frame::{COOKIE_BYTES_MAX, DATAGRAM_BYTES_MAX};
use trestle_ng::{Encoding, frame};

/// rtpengine's name for ng in a body; right for both encodings.
const NG: &str = "application/x-rtpengine-ng";
const JSON: &str = "application/json";

/// Scrapers keep their connection from one scrape to the next.
pub const PATIENCE: Patience = Patience { idle: Duration::from_secs(300), message: Duration::from_secs(10) };

/// How long the control thread may take to collect the counters; it needs a millisecond.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(2);

/// A scrape: whoever takes it sends a snapshot back.
pub type Scrape = oneshot::Sender<Snapshot>;

/// What the routes need.
#[derive(Debug, Clone)]
struct Doors {
    scrapes: Sender<Scrape>,
    asks: Sender<Ask>,
    /// Of all listeners.
    connections: Vec<Connections>,
    /// Cookies of our own, for requests without one.
    cookies: Arc<AtomicU64>,
}

/// The running HTTP server.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Binds and starts the thread. Scrapes and ng requests go to the control thread. `others` are the connections of
    /// other listeners, for the metrics.
    ///
    /// # Errors
    /// The address cannot be bound, or the system gives no thread.
    pub fn start(
        address: SocketAddr,
        connections: Connections,
        others: &[Connections],
        scrapes: Sender<Scrape>,
        asks: Sender<Ask>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let counted = others.iter().chain([&connections]).cloned().collect();
        let routes = Router::new()
            .route("/ping", get(|| async { "pong" }))
            .route("/metrics", get(scrape))
            .route("/ng", post(ng))
            .route("/ng-plain", post(ng_plain))
            .layer(DefaultBodyLimit::max(COOKIE_BYTES_MAX + 1 + DATAGRAM_BYTES_MAX))
            .with_state(Doors { scrapes, asks, connections: counted, cookies: Arc::default() })
            .into_make_service_with_connect_info::<Peer>();
        let listener = Limited { listener, connections };
        let thread = thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.spawn(async move { axum::serve(listener, routes).await });
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

/// Takes so many connections and no more, and only patient ones.
struct Limited {
    listener: TcpListener,
    connections: Connections,
}

impl Listener for Limited {
    type Io = Patient;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Patient, SocketAddr) {
        loop {
            // Waits and tries again on errors.
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            if let Some(place) = self.connections.place(peer) {
                return (Patient::new(stream, self.connections.clone(), place), peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who has connected.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Limited>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        Self(*stream.remote_addr())
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

async fn ng(
    State(doors): State<Doors>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refusal(&headers) {
        return refusal;
    }
    if frame::split(&body).is_none() {
        let text = "the body is COOKIE SP DICTIONARY; post a dictionary alone to /ng-plain\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    match ask(&doors.asks, peer, body.to_vec()).await {
        Ok(answer) => ([(header::CONTENT_TYPE, NG)], answer).into_response(),
        Err(error) => unavailable(error),
    }
}

async fn ng_plain(
    State(doors): State<Doors>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refusal(&headers) {
        return refusal;
    }
    let cookie = format!("http-{} ", doors.cookies.fetch_add(1, Ordering::Relaxed));
    let content_type = if Encoding::of(&body) == Some(Encoding::Json) { JSON } else { NG };
    match ask(&doors.asks, peer, [cookie.as_bytes(), &body].concat()).await {
        Ok(answer) => ([(header::CONTENT_TYPE, content_type)], answer[cookie.len()..].to_vec()).into_response(),
        Err(error) => unavailable(error),
    }
}

/// What ng does not take; see the module.
fn refusal(headers: &HeaderMap) -> Option<Response> {
    if headers.contains_key(header::ORIGIN) {
        return Some((StatusCode::FORBIDDEN, "ng is not for web pages\n").into_response());
    }
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    let good = [NG, JSON].iter().any(|good| said.eq_ignore_ascii_case(good));
    (!good).then(|| {
        let text = format!("Content-Type must be {JSON} or {NG}\n");
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response()
    })
}

fn unavailable(error: NoAnswer) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}

async fn scrape(State(doors): State<Doors>) -> Response {
    let (reply, snapshot) = oneshot::channel();
    if doors.scrapes.send(reply).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "busy\n").into_response();
    }
    match tokio::time::timeout(SNAPSHOT_WAIT, snapshot).await {
        Ok(Ok(snapshot)) => {
            ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&snapshot, &doors.connections))
                .into_response()
        }
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the control thread did not answer\n").into_response(),
    }
}
