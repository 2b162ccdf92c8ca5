//! Messages to the service manager over the socket `NOTIFY_SOCKET` (sd_notify(3)): ready, reloading, stopping, and that every
//! thread makes its turns.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// The connection to the service manager. Without one, nothing is sent.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
    has_watchdog: bool,
}

impl ServiceManager {
    /// Connects as the environment describes it.
    pub(crate) fn connect() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let socket = variable("NOTIFY_SOCKET").and_then(|name| {
            let failed = |error: &io::Error| tracing::warn!(%error, name, "cannot reach the service manager");
            connect(&name).inspect_err(failed).ok()
        });
        // The watchdog of another process: the service manager has started a wrapper.
        let is_ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        Self { socket, has_watchdog: is_ours && variable("WATCHDOG_USEC").is_some() }
    }

    /// Calls are accepted.
    pub(crate) fn ready(&self) {
        self.send("READY=1\nSTATUS=Accepting calls");
    }

    /// The settings are read again. [`ServiceManager::ready`] is to follow.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1_000));
    }

    /// The process ends.
    pub(crate) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// A line for `systemctl status`.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// Every thread makes its turns.
    pub(crate) fn feed_watchdog(&self) {
        if self.has_watchdog {
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, message: &str) {
        // A service manager that does not read is not waited for; the next message comes.
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(message.as_bytes())) {
            tracing::debug!(%error, "the service manager did not take a message");
        }
    }
}

/// A path, or a name of the abstract namespace that begins with `@`.
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
