//! One connection of an ng client, over TCP or the Unix socket. Its requests are processed one after the other, so that replies come in
//! the order of the requests.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Instant, timeout, timeout_at};
use trestle_calls::controller::Origin;
use trestle_io::mailbox::Sender;
use trestle_ng::{Encoding, Framer, Reply, frame, signature, stream};

use super::connections::{Connections, Deadlines};
use super::stream_request::{self, NoReply, StreamRequest};
use crate::places::Place;
use crate::stream_io::ByteStream;

/// Number of the next cookie for a request without one.
static COOKIES: AtomicU64 = AtomicU64::new(0);

/// A client and its place among the connections of its listener.
pub(super) struct NgClient {
    pub(super) stream: ByteStream,
    pub(super) origin: Origin,
    pub(super) place: Place,
}

impl NgClient {
    /// Answers its requests until it disconnects.
    ///
    /// # Errors
    /// Those of the connection; it was closed because the client is too slow, another one needs the place, its bytes are no messages, or a
    /// request gets no reply.
    pub(super) async fn serve(mut self, connections: &Connections, control: &Sender<StreamRequest>) -> io::Result<()> {
        let Deadlines { idle, message: limit } = connections.deadlines();
        let late = |_| connections.late();
        let (stream, origin) = (&self.stream, self.origin);
        let write = async |bytes: Vec<u8>| timeout(limit, stream.write_all(&bytes)).await.map_err(late)?;
        let mut framer = if origin == Origin::Unix { Framer::with_plain() } else { Framer::default() };
        let mut buffer = vec![0; 16 * 1024];
        let mut deadline = Instant::now() + idle;
        loop {
            let between = framer.is_between();
            let len = tokio::select! {
                len = timeout_at(deadline, stream.read(&mut buffer)) => len.map_err(late)??,
                _ = &mut self.place.displaced, if between => return Err(io::ErrorKind::ConnectionAborted.into()),
            };
            if len == 0 {
                return Ok(());
            }
            if between {
                self.place.set_busy(true);
                deadline = Instant::now() + limit;
            }
            let mut segment = &buffer[..len];
            loop {
                match framer.push(segment) {
                    Ok(None) => break,
                    Ok(Some((message, taken))) => {
                        segment = &segment[taken..];
                        write(reply(control, origin, message).await?).await?;
                        deadline = Instant::now() + limit;
                    }
                    Err(error) => {
                        // It is unknown where the next message begins.
                        write(reply(control, origin, framer.into_rest()).await?).await?;
                        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                    }
                }
            }
            if framer.is_between() {
                self.place.set_busy(false);
                deadline = Instant::now() + idle;
            }
        }
    }
}

/// The reply, without a cookie if the message has none; in JSON with a line end, for clients that read lines. Empty for bytes that are no
/// message.
///
/// # Errors
/// The request gets no reply.
async fn reply(control: &Sender<StreamRequest>, origin: Origin, message: Vec<u8>) -> io::Result<Vec<u8>> {
    // Kamailio and OpenSIPS send no cookie over a Unix socket, and expect none.
    let is_plain = origin == Origin::Unix && stream::is_plain(&message);
    let message = if is_plain {
        let cookie = format!("unix-{} ", COOKIES.fetch_add(1, Ordering::Relaxed));
        [cookie.as_bytes(), &message].concat()
    } else {
        message
    };
    let (cookie, encoding) = match frame::split(&message) {
        Some((cookie, body)) => (cookie, Encoding::of(signature::split(body).1).unwrap_or_default()),
        None => return Ok(Vec::new()),
    };
    let mut reply = match stream_request::send(control, origin, message).await {
        Ok(reply) => reply,
        Err(NoReply::Refused) => return Err(io::ErrorKind::PermissionDenied.into()),
        Err(error) => cookie.frame(&no_reply(error, encoding)),
    };
    if is_plain {
        reply.drain(..=cookie.as_bytes().len());
    }
    if encoding == Encoding::Json {
        reply.push(b'\n');
    }
    Ok(reply)
}

/// The error reply in place of a reply, with the texts on which proxies try another node.
fn no_reply(error: NoReply, encoding: Encoding) -> Vec<u8> {
    Reply::error(match error {
        NoReply::Busy => "Load limit exceeded",
        NoReply::Late | NoReply::Refused => "Internal error: the control thread did not answer",
    })
    .write(encoding)
}
