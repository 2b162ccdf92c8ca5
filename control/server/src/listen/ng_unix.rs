//! ng over a Unix socket (`listen-ng-unix`), on a thread of its own. Who may connect is decided by the rights of the socket file.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;
use trestle_calls::controller::{Origin, RefusalLog};
use trestle_io::Heartbeat;
use trestle_io::mailbox::Sender;

use super::bound::BACKLOG;
use super::connections::Connections;
use super::ng_client::NgClient;
use super::stream_request::StreamRequest;
use crate::runtime_thread::{RuntimeThread, runtime, spawn_lasting};
use crate::stream_io::ByteStream;

/// The user and the group of Trestle.
const MODE: u32 = 0o660;

/// A bound socket and its file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct BoundUnixSocket {
    listener: std::os::unix::net::UnixListener,
    file: SocketFile,
}

/// The file of a socket.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have put its own socket there.
    identity: (u64, u64),
}

impl BoundUnixSocket {
    /// Binds a socket. A socket file that no process listens on is replaced.
    ///
    /// # Errors
    /// The error of the system; `AddrInUse` if a process listens there, `AlreadyExists` if the file is not a socket.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // Linux gives the file the mode of the socket, less the umask: there is no moment at which others can connect.
        let socket = File::from(OwnedFd::from(socket));
        socket.set_permissions(Permissions::from_mode(MODE))?;
        let socket = Socket::from(OwnedFd::from(socket));
        socket.bind(&SockAddr::unix(path)?)?;
        let identity = fs::symlink_metadata(path).map(|of| (of.dev(), of.ino()))?;
        let file = SocketFile { path: path.to_owned(), identity };
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        socket.listen(BACKLOG)?;
        Ok(Self { listener: socket.into(), file })
    }
}

/// Removes a socket file that a process has left behind.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(of) => of.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the file is not a socket; remove it, or write another path",
        ));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A process that listens and does not accept must not delay this one.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|of| (of.dev(), of.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            // The user of the process may have no right to do so. The next start removes it.
            tracing::debug!(%error, path = %self.path.display(), "listen-ng-unix: cannot remove the socket file");
        }
    }
}

/// The running server of the Unix socket.
#[derive(Debug)]
pub(crate) struct UnixServer {
    // Before the file is removed, no connection is accepted any more.
    _thread: RuntimeThread,
    file: SocketFile,
}

impl UnixServer {
    /// Starts the thread. Requests go to `control`.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn start(
        heartbeat: Arc<Heartbeat>,
        bound: BoundUnixSocket,
        connections: &Connections,
        control: &Sender<StreamRequest>,
    ) -> io::Result<Self> {
        let runtime = runtime()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::from_std(bound.listener)?
        };
        spawn_lasting(&runtime, &heartbeat, accept(listener, connections.clone(), control.clone()));
        Ok(Self { _thread: RuntimeThread::start(heartbeat, runtime, async {})?, file: bound.file })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }
}

async fn accept(listener: UnixListener, connections: Connections, control: Sender<StreamRequest>) {
    let mut refusals = RefusalLog::new(connections.listener());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(place) = connections.admit(Origin::Unix.peer(), &mut refusals) else { continue };
                let client = NgClient { stream: ByteStream::Unix(stream), origin: Origin::Unix, place };
                let (connections, control) = (connections.clone(), control.clone());
                tokio::spawn(async move {
                    if let Err(error) = client.serve(&connections, &control).await {
                        tracing::debug!(%error, "an ng connection over the Unix socket has ended");
                    }
                });
            }
            Err(error) => {
                // Most likely there are no file descriptors left. To try again at once would not help.
                tracing::warn!(%error, "listen-ng-unix: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_file_is_replaced_only_if_no_process_listens_on_it_and_removed_at_the_end() {
        let directory = std::env::temp_dir().join(format!("trestle-unix-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("ng.sock");
        let first = BoundUnixSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
        assert_eq!(BoundUnixSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // Its process is killed: the file remains.
        let BoundUnixSocket { listener, file } = first;
        drop(listener);
        std::mem::forget(file);
        let second = BoundUnixSocket::bind(&path).unwrap();
        // Another process has replaced the file: it is not this one's to remove.
        fs::remove_file(&path).unwrap();
        let third = BoundUnixSocket::bind(&path).unwrap();
        drop(second);
        assert!(path.exists());
        drop(third);
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        assert_eq!(BoundUnixSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"text");
        fs::remove_dir_all(directory).unwrap();
    }
}
