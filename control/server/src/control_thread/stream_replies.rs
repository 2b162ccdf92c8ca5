//! Requests over HTTP, TCP and the Unix socket that wait for their replies.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;
use trestle_calls::controller::Origin;
use trestle_ng::{Cookie, frame};

use crate::listen::stream_request::StreamRequest;

type ReplySender = oneshot::Sender<Vec<u8>>;

/// The mailbox of these requests, and the senders of their replies.
pub(super) struct StreamReplies {
    requests: Receiver<StreamRequest>,
    /// By address of the client and cookie; several if the same request was repeated.
    waiting: HashMap<(SocketAddr, Vec<u8>), Vec<ReplySender>>,
}

impl StreamReplies {
    pub(super) fn new(requests: Receiver<StreamRequest>) -> Self {
        Self { requests, waiting: HashMap::new() }
    }

    /// The next request with a cookie: origin and message. `None` if there is none at present; clients that have disconnected
    /// are then removed. A message without a cookie gets no reply: its sender is dropped.
    pub(super) fn next(&mut self) -> Option<(Origin, Vec<u8>)> {
        while let Ok(StreamRequest { origin, message, reply }) = self.requests.try_recv() {
            if let Some((cookie, _)) = frame::split(&message) {
                self.waiting.entry((origin.peer(), cookie.as_bytes().to_vec())).or_default().push(reply);
                return Some((origin, message));
            }
        }
        self.waiting.retain(|_, replies| replies.iter().any(|reply| !reply.is_closed()));
        None
    }

    /// Leaves the requests of this cookie from `peer` without a reply.
    pub(super) fn refuse(&mut self, peer: SocketAddr, cookie: &Cookie) {
        drop(self.waiting.remove(&(peer, cookie.as_bytes().to_vec())));
    }

    /// Sends the reply `bytes` to all requests of its cookie from `peer`.
    pub(super) fn send(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let Some((cookie, _)) = frame::split(bytes) else { return };
        for reply in self.waiting.remove(&(peer, cookie.as_bytes().to_vec())).into_iter().flatten() {
            // Fails if the client has disconnected.
            let _: Result<(), Vec<u8>> = reply.send(bytes.to_vec());
        }
    }
}
