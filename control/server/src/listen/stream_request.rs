//! Requests over HTTP, TCP and the Unix socket: from the threads of the listeners to the control thread, and the replies back.

use std::time::Duration;

use tokio::sync::oneshot;
use trestle_calls::controller::Origin;
use trestle_io::mailbox::Sender;

/// A reply takes some milliseconds; a request that waits behind others of its call, a few more.
const REPLY_WAIT: Duration = Duration::from_secs(5);

/// A request on its way to the control thread.
#[derive(Debug)]
pub struct StreamRequest {
    /// Where it came from: a connection. A cookie is unique among the requests of one sender.
    pub origin: Origin,
    /// `COOKIE SP DICT`
    pub message: Vec<u8>,
    /// Takes `COOKIE SP DICT` of the reply.
    pub reply: oneshot::Sender<Vec<u8>>,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// Too many requests wait already.
    #[error("busy")]
    Busy,
    /// The request is refused without a reply.
    #[error("refused")]
    Refused,
    /// The control thread did not reply in time.
    #[error("no answer")]
    Late,
}

/// Sends a request to the control thread and waits for the reply. A message without a cookie gets none.
///
/// # Errors
/// [`NoReply`].
pub(crate) async fn send(
    control: &Sender<StreamRequest>,
    origin: Origin,
    message: Vec<u8>,
) -> Result<Vec<u8>, NoReply> {
    let (reply, replied) = oneshot::channel();
    control.send(StreamRequest { origin, message, reply }).map_err(|_busy| NoReply::Busy)?;
    match tokio::time::timeout(REPLY_WAIT, replied).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(_)) => Err(NoReply::Refused),
        Err(_) => Err(NoReply::Late),
    }
}
