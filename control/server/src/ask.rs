//! Requests that do not come as datagrams: from the threads that serve HTTP and TCP to the control thread, and back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use trestle_io::mailbox::Sender;

/// An answer takes some milliseconds; a request that waits behind others of its call, a few more.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// A request on its way to the control thread.
#[derive(Debug)]
pub struct Ask {
    /// Who asks; a cookie is his alone.
    pub peer: SocketAddr,
    /// `COOKIE SP DICT`
    pub message: Vec<u8>,
    /// Takes `COOKIE SP DICT` of the answer.
    pub answer: oneshot::Sender<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Too many requests wait already.
    #[error("busy")]
    Busy,
    /// The control thread did not answer.
    #[error("no answer")]
    Late,
}

/// Asks the control thread. The message must have a cookie, as nothing else is answered.
pub(crate) async fn ask(control: &Sender<Ask>, peer: SocketAddr, message: Vec<u8>) -> Result<Vec<u8>, NoAnswer> {
    let (answer, answered) = oneshot::channel();
    control.send(Ask { peer, message, answer }).map_err(|_busy| NoAnswer::Busy)?;
    match tokio::time::timeout(ANSWER_WAIT, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(NoAnswer::Late),
    }
}
