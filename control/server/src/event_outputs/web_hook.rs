//! `event-webhook`: events by POST, in order, each repeated until the hook accepts it or the attempts are exhausted.
//!
//! A POST carries the events since the start of the last one, so that a slow hook receives fewer and longer ones.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender};
use trestle_io::Heartbeat;

use super::EventOutputCounters;
use crate::config::{Secret, Webhook};
use crate::runtime_thread::spawn_lasting;

/// Events in one POST.
const BATCH_MAX: usize = 64;

/// Longest time from a POST to its response.
const RESPONSE_WAIT: Duration = Duration::from_secs(10);

/// Attempts for one batch, about two minutes in all.
const ATTEMPTS_MAX: u32 = 10;

/// Pause after the first failure; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Header with `sha256=` and the HMAC of the body in hexadecimal, as in Meta's web hooks.
pub(super) const SIGNATURE: &str = "x-trestle-signature-256";

/// Spawns the task that posts `events`.
pub(super) fn start(
    runtime: &Runtime,
    heartbeat: &Arc<Heartbeat>,
    webhook: Webhook,
    events: Receiver<Arc<str>>,
    counters: Arc<EventOutputCounters>,
    writing: Sender<Infallible>,
) -> io::Result<()> {
    let Webhook { url, secret } = webhook;
    let client = Client::builder(TokioExecutor::new());
    if url.scheme_str() == Some("https") {
        let https = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
        let hook = EventPoster { client: client.build(https), url, secret, counters, _writing: writing };
        spawn_lasting(runtime, heartbeat, hook.deliver(events));
    } else {
        let hook = EventPoster { client: client.build(HttpConnector::new()), url, secret, counters, _writing: writing };
        spawn_lasting(runtime, heartbeat, hook.deliver(events));
    }
    Ok(())
}

struct EventPoster<C> {
    client: Client<C, Full<Bytes>>,
    url: Uri,
    secret: Option<Secret>,
    counters: Arc<EventOutputCounters>,
    /// Dropped when all events are delivered.
    _writing: Sender<Infallible>,
}

/// PostOutcome of one POST.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PostOutcome {
    /// The hook has accepted it.
    Accepted,
    /// A repetition can succeed.
    Failed,
    /// A repetition would be refused as well.
    Refused,
}

impl<C: Connect + Clone + Send + Sync + 'static> EventPoster<C> {
    async fn deliver(self, mut events: Receiver<Arc<str>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while events.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let counter = if self.post(body(&batch)).await { &self.counters.delivered } else { &self.counters.dropped };
            counter.fetch_add(batch.len() as u64, Ordering::Relaxed);
            batch.clear();
        }
    }

    /// Posts until the hook accepts it; false after a refusal or the last attempt.
    async fn post(&self, body: Bytes) -> bool {
        for attempt in 1..=ATTEMPTS_MAX {
            match self.post_once(body.clone()).await {
                PostOutcome::Accepted => return true,
                PostOutcome::Refused => return false,
                PostOutcome::Failed if attempt == ATTEMPTS_MAX => {}
                PostOutcome::Failed => {
                    self.counters.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause(attempt)).await;
                }
            }
        }
        tracing::warn!(
            attempts = ATTEMPTS_MAX,
            "event-webhook: no attempt succeeded; the events of this POST are dropped"
        );
        false
    }

    async fn post_once(&self, body: Bytes) -> PostOutcome {
        let mut request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("trestle/", env!("CARGO_PKG_VERSION")));
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, signature(secret, &body));
        }
        let request = match request.body(Full::new(body)) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%error, "event-webhook: cannot form a request");
                return PostOutcome::Refused;
            }
        };
        match tokio::time::timeout(RESPONSE_WAIT, self.client.request(request)).await {
            Ok(Ok(response)) => {
                let outcome = outcome(response.status());
                if outcome != PostOutcome::Accepted {
                    tracing::warn!(
                        status = response.status().as_u16(),
                        ?outcome,
                        "event-webhook: the response is not a success"
                    );
                }
                outcome
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "event-webhook: cannot connect");
                PostOutcome::Failed
            }
            Err(_) => {
                tracing::warn!("event-webhook: no response in time");
                PostOutcome::Failed
            }
        }
    }
}

/// The outcome for a status: after 5xx, 408 and 429 a repetition can succeed (RFC 9110 section 15).
pub(super) fn outcome(status: StatusCode) -> PostOutcome {
    match status {
        _ if status.is_success() => PostOutcome::Accepted,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => PostOutcome::Failed,
        _ if status.is_server_error() => PostOutcome::Failed,
        _ => PostOutcome::Refused,
    }
}

/// Pause after this many failures.
pub(super) fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

fn body(batch: &[Arc<str>]) -> Bytes {
    format!("{{\"events\":[{}]}}", batch.join(",")).into()
}

/// The value of [`SIGNATURE`].
pub(super) fn signature(secret: &Secret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}
