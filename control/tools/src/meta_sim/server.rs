//! The edge towards the application: Graph's endpoint over HTTP on a thread of its own, and web hooks from another.

use std::future::IntoFuture as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::sync::oneshot;
use trestle_io::mailbox::Sender;

use super::graph::Refusal;

/// How long the sim may take to answer, and an application to take a web hook ("after ~20s" Meta gives up on one).
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// What comes in from outside.
#[derive(Debug)]
pub(super) enum SimInput {
    /// A request to Graph.
    GraphRequest { phone_number_id: String, body: Vec<u8>, answer: oneshot::Sender<(u16, Value)> },
    /// A web hook was taken, or not.
    Delivered(Result<u16, String>),
    /// The business' SDP was read.
    Sdp(Result<String, String>),
}

/// The listening Graph.
pub(super) struct GraphServer {
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct GraphRoute {
    news: Sender<SimInput>,
    token: Option<String>,
}

impl GraphServer {
    pub(super) fn start(address: SocketAddr, token: Option<String>, news: Sender<SimInput>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let routes = Router::new()
            .route("/{version}/{id}/calls", post(with_version))
            .route("/{id}/calls", post(without_version))
            .with_state(GraphRoute { news, token });
        let thread = thread::Builder::new().name("graph".to_owned()).spawn(move || {
            // Pending requests are answered before the server ends.
            let stopped = async { stopped.await.unwrap_or(()) };
            let served = axum::serve(listener, routes).with_graceful_shutdown(stopped);
            let _: io::Result<()> = runtime.block_on(served.into_future());
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for GraphServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; nothing is left to be done about it.
            let _: Result<(), _> = thread.join();
        }
    }
}

async fn with_version(
    State(door): State<GraphRoute>,
    Path((_version, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    calls(door, id, &headers, &body).await
}

async fn without_version(
    State(door): State<GraphRoute>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    calls(door, id, &headers, &body).await
}

async fn calls(door: GraphRoute, phone_number_id: String, headers: &HeaderMap, body: &[u8]) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bears = |token: &String| {
        authorization.and_then(|authorization| authorization.strip_prefix("Bearer ")) == Some(token.as_str())
    };
    if door.token.as_ref().is_some_and(|token| !bears(token)) {
        let refusal = Refusal { status: 401, code: 190, details: "the token is not the one of --token".into() };
        return answer(refusal.status, &refusal.body());
    }
    let (to_me, answered) = oneshot::channel();
    let request = SimInput::GraphRequest { phone_number_id, body: body.to_vec(), answer: to_me };
    let asked = door.news.send(request).is_ok();
    match tokio::time::timeout(ANSWER_WAIT, answered).await {
        Ok(Ok((status, body))) if asked => answer(status, &body),
        _ => answer(500, &Refusal { status: 500, code: 2, details: "the sim has ended".into() }.body()),
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Where web hooks go: `http://HOST:PORT/PATH`.
#[derive(Debug, Clone)]
pub(super) struct WebHookClient {
    host: String,
    path: String,
    secret: String,
}

impl WebHookClient {
    pub(super) fn new(url: &str, secret: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: only http:// is spoken here"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() || url.contains(|char: char| char.is_control() || char == ' ') {
            return Err(format!("{url:?} is no http://HOST:PORT/PATH"));
        }
        let host = if host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        Ok(Self { host, path: format!("/{path}"), secret: secret.to_owned() })
    }

    /// Starts the thread that delivers, one after another; dropping the sender ends it when all are delivered.
    pub(super) fn start(self, news: Sender<SimInput>) -> io::Result<(mpsc::Sender<Value>, JoinHandle<()>)> {
        let (hooks, waiting) = mpsc::channel::<Value>();
        let thread = thread::Builder::new().name("hooks".to_owned()).spawn(move || {
            for hook in waiting {
                let outcome = self.deliver(&hook.to_string()).map_err(|error| error.to_string());
                // The receiver is gone once the call is over.
                let _: Result<(), _> = news.send(SimInput::Delivered(outcome));
            }
        })?;
        Ok((hooks, thread))
    }

    /// The status with which it is taken.
    fn deliver(&self, body: &str) -> io::Result<u16> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature: String = hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let address = self.host.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        write!(
            stream,
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            self.host,
            body.len()
        )?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        let status = std::str::from_utf8(&head).ok().and_then(|head| head.get(9..12)?.parse().ok());
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
    }
}
