//! HTTP on a thread of its own, so that no scraper can delay a call: `GET /metrics`, the health checks `GET /ping`, `/healthz` and
//! `/readyz`, and ng by `POST /ng` (body and reply as in a datagram) and `POST /ng-plain` (without the cookie).
//!
//! ng may have no password, and every browser on this machine can reach the loopback address. A request that a web page can send
//! is therefore refused: one with `Origin`, or of a content type that needs no CORS preflight.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use trestle_calls::controller::{Origin, RefusalLog, ServiceState};
use trestle_io::mailbox::Sender;
use trestle_io::{Heartbeat, clock};

use super::connections::{Connections, DeadlineStream, Deadlines};
use super::stream_request::{self, NoReply, StreamRequest};
use crate::health::Health;
use crate::metrics::{self, Snapshot};
use crate::runtime_thread::{RuntimeThread, runtime, spawn_lasting};
use trestle_ng::stream::MESSAGE_BYTES_MAX;
use trestle_ng::{Encoding, frame, signature};

/// rtpengine's name for ng in a body; right for both encodings.
const NG: &str = "application/x-rtpengine-ng";
const JSON: &str = "application/json";

/// Cookie and signature of a request to `/ng-plain`, and of its reply.
const SIGNATURE: &str = "trestle-signature";

/// Scrapers keep their connection from one scrape to the next.
pub const DEADLINES: Deadlines = Deadlines { idle: Duration::from_secs(300), message: Duration::from_secs(10) };

/// How long the control thread may take to collect the counters; it needs a millisecond.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(2);

/// A scrape: takes the snapshot that the control thread collects for it.
pub type Scrape = oneshot::Sender<Snapshot>;

/// What the handlers of all routes share.
#[derive(Debug, Clone)]
struct HttpState {
    scrapes: Sender<Scrape>,
    requests: Sender<StreamRequest>,
    health: Health,
    /// Of all listeners, for the metrics.
    connections: Vec<Connections>,
    /// Number of the next cookie for a request without one.
    cookies: Arc<AtomicU64>,
}

/// The running HTTP server.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    _thread: RuntimeThread,
}

impl HttpServer {
    /// Starts the thread of `heartbeat`. Scrapes and ng requests go to the control thread. `others` are the connections
    /// of other listeners, for the metrics.
    ///
    /// # Errors
    /// The system starts no thread.
    pub fn start(
        (heartbeat, health): (Arc<Heartbeat>, Health),
        listener: std::net::TcpListener,
        connections: Connections,
        others: &[Connections],
        scrapes: Sender<Scrape>,
        requests: Sender<StreamRequest>,
    ) -> io::Result<Self> {
        let runtime = runtime()?;
        let address = listener.local_addr()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let counted = others.iter().chain([&connections]).cloned().collect();
        let routes = Router::new()
            .route("/ping", get(async |state| health_check(&state, "pong")))
            .route("/healthz", get(async |state| health_check(&state, "ok\n")))
            .route("/readyz", get(ready))
            .route("/metrics", get(scrape))
            .route("/ng", post(ng))
            .route("/ng-plain", post(ng_plain))
            .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
            .with_state(HttpState { scrapes, requests, health, connections: counted, cookies: Arc::default() })
            .into_make_service_with_connect_info::<Peer>();
        let refusals = RefusalLog::new(connections.listener());
        let listener = Limited { listener, connections, refusals };
        spawn_lasting(&runtime, &heartbeat, async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "listen-http: the server has ended");
            }
        });
        Ok(Self { address, _thread: RuntimeThread::start(heartbeat, runtime, async {})? })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A listener with a limit of connections, each with deadlines.
struct Limited {
    listener: TcpListener,
    connections: Connections,
    refusals: RefusalLog,
}

impl Listener for Limited {
    type Io = DeadlineStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DeadlineStream, SocketAddr) {
        loop {
            // Waits and tries again on errors.
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            if let Some(permit) = self.connections.admit(peer, &mut self.refusals) {
                return (DeadlineStream::new(stream, self.connections.clone(), permit), peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Address of the client.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Limited>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        Self(*stream.remote_addr())
    }
}

async fn ng(
    State(state): State<HttpState>,
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
    forward(&state, peer, body.to_vec(), NG, false).await
}

async fn ng_plain(
    State(state): State<HttpState>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refusal(&headers) {
        return refusal;
    }
    let drawn;
    let prefix = match headers.get(SIGNATURE) {
        Some(value) => value.as_bytes(),
        None => {
            drawn = format!("http-{}", state.cookies.fetch_add(1, Ordering::Relaxed));
            drawn.as_bytes()
        }
    };
    let content_type = if Encoding::of(&body) == Some(Encoding::Json) { JSON } else { NG };
    let message = [prefix, b" ", &body].concat();
    let is_good = frame::split(&message).is_some_and(|(_, signed)| signature::split(signed).1 == &body[..]);
    if !is_good {
        return (StatusCode::BAD_REQUEST, "Trestle-Signature is COOKIE SP hmac1:TIME:MAC\n").into_response();
    }
    forward(&state, peer, message, content_type, true).await
}

/// Sends a message to the control thread; the response is the reply, without cookie and signature if it is to be `plain`.
async fn forward(
    state: &HttpState,
    peer: SocketAddr,
    message: Vec<u8>,
    content_type: &'static str,
    plain: bool,
) -> Response {
    let reply = match stream_request::send(&state.requests, Origin::Stream { peer }, message).await {
        Ok(reply) => reply,
        Err(NoReply::Refused) => {
            let text = "the request has no good signature; see ng-secret-file\n";
            return (StatusCode::UNAUTHORIZED, text).into_response();
        }
        Err(error) => return unavailable(error),
    };
    if !plain {
        return ([(header::CONTENT_TYPE, content_type)], reply).into_response();
    }
    let signed = frame::split(&reply).map_or(&reply[..], |(_, signed)| signed);
    let (signature, body) = signature::split(signed);
    let mut response = ([(header::CONTENT_TYPE, content_type)], body.to_vec()).into_response();
    let prefix = &reply[..reply.len() - body.len()];
    if !signature.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(prefix.trim_ascii_end())
    {
        response.headers_mut().insert(SIGNATURE, value);
    }
    response
}

/// The response to a request that a web page could have sent, or of a content type that is not ng's.
fn refusal(headers: &HeaderMap) -> Option<Response> {
    if headers.contains_key(header::ORIGIN) {
        return Some((StatusCode::FORBIDDEN, "ng is not for web pages\n").into_response());
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let good = [NG, JSON].iter().any(|good| content_type.eq_ignore_ascii_case(good));
    (!good).then(|| {
        let text = format!("Content-Type must be {JSON} or {NG}\n");
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response()
    })
}

fn unavailable(error: NoReply) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}

/// `healthy` if every thread makes its turns, else 503 and the name of one that does not.
fn health_check(State(state): &State<HttpState>, healthy: &'static str) -> Response {
    match state.health.check(clock::now()) {
        Ok(()) => healthy.into_response(),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")).into_response(),
    }
}

/// As [`health_check`], and 503 while offers for new calls are refused.
async fn ready(state: State<HttpState>) -> Response {
    let refusal = match state.health.service() {
        ServiceState::Accepting => return health_check(&state, "ready\n"),
        ServiceState::Refusing => "new calls are refused: a limit is reached\n",
        ServiceState::Draining | ServiceState::Drained => "draining\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, refusal).into_response()
}

async fn scrape(State(state): State<HttpState>) -> Response {
    let (reply, snapshot) = oneshot::channel();
    if state.scrapes.send(reply).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "busy\n").into_response();
    }
    match tokio::time::timeout(SNAPSHOT_WAIT, snapshot).await {
        Ok(Ok(snapshot)) => {
            let closed: Vec<_> = state.connections.iter().map(|of| (of.listener(), of.closed())).collect();
            ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&snapshot, &closed)).into_response()
        }
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the control thread did not answer\n").into_response(),
    }
}
