//! Events on their way out, on a thread of their own: JSON lines over TCP to whoever connects (`listen-events`), and POSTs to
//! one web hook (`event-webhook`). The control thread hands a line over and never waits; who reads too slowly loses.

mod hook;
mod lines;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::config::Webhook;

/// Lines that a reader may be behind before it is let go: some seconds of a thousand calls being set up.
const LINES_MAX: usize = 4_096;

/// Events that may wait for the web hook: what a busy machine says while an application restarts.
const QUEUE_MAX: usize = 10_000;

/// What became of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishCounts {
    /// Connections to `listen-events` that were closed because their reader was too slow.
    pub slow_readers: u64,
    /// Events that the web hook has taken.
    pub delivered: u64,
    /// Events that it did not take, or for which there was no room.
    pub dropped: u64,
    /// POSTs that were made again.
    pub retries: u64,
}

#[derive(Debug, Default)]
struct Counters {
    slow_readers: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    retries: AtomicU64,
}

/// Takes events from the control thread.
#[derive(Debug, Clone, Default)]
pub struct Publisher {
    lines: Option<broadcast::Sender<Arc<str>>>,
    hook: Option<mpsc::Sender<Arc<str>>>,
    counters: Arc<Counters>,
}

impl Publisher {
    /// Hands an event on. Never waits.
    pub fn publish(&self, line: Arc<str>) {
        if let Some(hook) = &self.hook
            && hook.try_send(Arc::clone(&line)).is_err()
        {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(lines) = &self.lines {
            // Fails only if nobody is connected.
            let _: Result<usize, _> = lines.send(line);
        }
    }

    /// What became of events so far.
    pub fn counts(&self) -> PublishCounts {
        let Counters { slow_readers, delivered, dropped, retries } = &*self.counters;
        let [slow_readers, delivered, dropped, retries] =
            [slow_readers, delivered, dropped, retries].map(|counter| counter.load(Ordering::Relaxed));
        PublishCounts { slow_readers, delivered, dropped, retries }
    }
}

/// The running thread. Dropping it stops it; what waits for the web hook is lost then.
#[derive(Debug)]
pub struct PublishServer {
    address: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PublishServer {
    /// Binds, and starts the thread.
    ///
    /// # Errors
    /// The address cannot be bound, there are no certificates by which an `https` hook could be known, or the system gives no
    /// thread.
    pub fn start(listen: Option<SocketAddr>, webhook: Option<&Webhook>) -> io::Result<(Self, Publisher)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut publisher = Publisher::default();
        let counters = &publisher.counters;
        let mut address = None;
        if let Some(listen) = listen {
            let listener = runtime.block_on(tokio::net::TcpListener::bind(listen))?;
            address = Some(listener.local_addr()?);
            let (lines, _) = broadcast::channel(LINES_MAX);
            runtime.spawn(lines::accept(listener, lines.clone(), Arc::clone(counters)));
            publisher.lines = Some(lines);
        }
        if let Some(webhook) = webhook {
            let (hook, events) = mpsc::channel(QUEUE_MAX);
            hook::start(&runtime, webhook.clone(), events, Arc::clone(counters))?;
            publisher.hook = Some(hook);
        }
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("events".to_owned()).spawn(move || {
            // Sent or dropped, both mean the end; the runtime goes with its open connections.
            let _: Result<(), _> = runtime.block_on(stopped);
            // A name that is being looked up at this moment is not waited for.
            runtime.shutdown_background();
        })?;
        Ok((Self { address, stop: Some(stop), thread: Some(thread) }, publisher))
    }

    /// Where lines can be read.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl Drop for PublishServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread for events had died of a panic");
        }
    }
}
