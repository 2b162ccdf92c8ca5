//! Outputs of events, on a thread of their own: JSON lines over TCP to each client that connects (`listen-events`), and POSTs to
//! one web hook (`event-webhook`). The control thread writes an event to a queue and never waits; a client that reads too slowly is
//! disconnected, and events for which a queue has no place are dropped and counted.

mod tcp_lines;
mod web_hook;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use trestle_io::Heartbeat;

use crate::allowed_sources::AllowedSources;
use crate::config::Webhook;
use crate::runtime_thread::{RuntimeThread, runtime, spawn_lasting};

/// Lines by which a reader can be late before it is disconnected: some seconds in which a thousand calls are set up.
const LINES_MAX: usize = 4_096;

/// Events that can wait for the web hook: those of a busy machine while an application restarts.
const QUEUE_MAX: usize = 10_000;

/// Outcomes of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventOutputCounts {
    /// Connections to `listen-events` that were closed because their reader was too slow.
    pub slow_readers: u64,
    /// Connections to `listen-events` that were closed because their source is not in `ng-allow`.
    pub not_allowed: u64,
    /// Events that the web hook has accepted.
    pub delivered: u64,
    /// Events that it did not accept, or for which the queue was full.
    pub dropped: u64,
    /// POSTs that were repeated.
    pub retries: u64,
}

#[derive(Debug, Default)]
struct EventOutputCounters {
    slow_readers: AtomicU64,
    not_allowed: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    retries: AtomicU64,
}

/// The control thread's end of the queues.
#[derive(Debug, Clone, Default)]
pub struct EventOutputSender {
    lines: Option<broadcast::Sender<Arc<str>>>,
    hook: Option<mpsc::Sender<Arc<str>>>,
    counters: Arc<EventOutputCounters>,
}

impl EventOutputSender {
    /// Writes an event to each queue. Never waits.
    pub fn send(&self, line: Arc<str>) {
        if let Some(hook) = &self.hook
            && hook.try_send(Arc::clone(&line)).is_err()
        {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(lines) = &self.lines {
            // Fails only if no reader is connected.
            let _: Result<usize, _> = lines.send(line);
        }
    }

    /// Outcomes of the events so far.
    pub fn counts(&self) -> EventOutputCounts {
        let EventOutputCounters { slow_readers, not_allowed, delivered, dropped, retries } = &*self.counters;
        let [slow_readers, not_allowed, delivered, dropped, retries] =
            [slow_readers, not_allowed, delivered, dropped, retries].map(|counter| counter.load(Ordering::Relaxed));
        EventOutputCounts { slow_readers, not_allowed, delivered, dropped, retries }
    }
}

/// The running thread. Dropping it stops it; events that wait for a reader or the web hook are then lost.
#[derive(Debug)]
pub struct EventOutputs {
    address: Option<SocketAddr>,
    thread: RuntimeThread,
}

impl EventOutputs {
    /// Starts the thread. Readers connect to `listen`, from addresses that are `allowed`.
    ///
    /// # Errors
    /// The system has no root certificates for an `https` hook, or it starts no thread.
    pub(crate) fn start(
        heartbeat: Arc<Heartbeat>,
        listen: Option<(TcpListener, AllowedSources)>,
        webhook: Option<&Webhook>,
    ) -> io::Result<(Self, EventOutputSender)> {
        let runtime = runtime()?;
        let mut sender = EventOutputSender::default();
        let counters = &sender.counters;
        // Each task that writes events has a clone of `writing`; when all are done, `written` has no sender.
        let (writing, mut written) = mpsc::channel::<Infallible>(1);
        let (closing, closed) = watch::channel(false);
        let mut address = None;
        if let Some((listener, allowed)) = listen {
            address = Some(listener.local_addr()?);
            let listener = {
                let _inside = runtime.enter();
                tokio::net::TcpListener::from_std(listener)?
            };
            let (lines, _) = broadcast::channel(LINES_MAX);
            spawn_lasting(
                &runtime,
                &heartbeat,
                tcp_lines::accept((listener, allowed), lines.clone(), Arc::clone(counters), closed, writing.clone()),
            );
            sender.lines = Some(lines);
        }
        if let Some(webhook) = webhook {
            let (hook, events) = mpsc::channel(QUEUE_MAX);
            web_hook::start(&runtime, &heartbeat, webhook.clone(), events, Arc::clone(counters), writing.clone())?;
            sender.hook = Some(hook);
        }
        drop(writing);
        let finish = async move {
            // No reader is accepted any more. The queues end as soon as `EventOutputSender` is dropped.
            closing.send_replace(true);
            written.recv().await;
        };
        let thread = RuntimeThread::start(heartbeat, runtime, finish)?;
        Ok((Self { address, thread }, sender))
    }

    /// Stops the thread when all events are written and accepted, after `wait` at the latest. All [`EventOutputSender`]s must have been
    /// dropped.
    pub fn finish(self, wait: Duration) {
        self.thread.finish(wait);
    }

    /// The address for readers of lines.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}
