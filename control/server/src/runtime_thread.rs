//! A thread with a tokio runtime of its own, for one listener or output: none of them can delay a call or another listener.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use trestle_io::heartbeat::{BEAT_EVERY, HeartbeatGuard};
use trestle_io::{Heartbeat, clock};

/// A runtime that runs on the thread that calls it, until [`RuntimeThread::start`] moves it to its own.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Spawns a task that is to run as long as the thread of `heartbeat`: if it ends or panics, that counts as the end of the thread.
pub(crate) fn spawn_lasting(
    runtime: &Runtime,
    heartbeat: &Arc<Heartbeat>,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let guard = HeartbeatGuard::new(Arc::clone(heartbeat));
    runtime.spawn(async move {
        let _guard = guard;
        task.await;
    });
}

/// The running thread. Dropping it stops it, with all tasks of its runtime and their connections.
#[derive(Debug)]
pub(crate) struct RuntimeThread {
    heartbeat: Arc<Heartbeat>,
    /// Takes the time that its work may take to finish.
    stop: Option<oneshot::Sender<Duration>>,
    thread: Option<JoinHandle<()>>,
}

impl RuntimeThread {
    /// Runs the tasks that were spawned on `runtime`. `finish` completes the work that is left when [`RuntimeThread::finish`] is
    /// called.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn start(
        heartbeat: Arc<Heartbeat>,
        runtime: Runtime,
        finish: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<Duration>();
        spawn_lasting(&runtime, &heartbeat, beat(Arc::clone(&heartbeat)));
        let guard = HeartbeatGuard::new(Arc::clone(&heartbeat));
        let thread = thread::Builder::new().name(heartbeat.name().to_owned()).spawn(move || {
            let _guard = guard;
            // A message and a dropped sender both mean the end.
            if let Ok(wait) = runtime.block_on(stopped) {
                let finished = runtime.block_on(async { tokio::time::timeout(wait, finish).await });
                if finished.is_err() {
                    tracing::warn!(?wait, "an output of events did not take all of them in time; the others are lost");
                }
            }
            // Does not wait for a name that is being looked up at this moment.
            runtime.shutdown_background();
        })?;
        Ok(Self { heartbeat, stop: Some(stop), thread: Some(thread) })
    }

    /// Completes the work that is left, for at most `wait`, and then stops the thread.
    pub(crate) fn finish(mut self, wait: Duration) {
        if let Some(stop) = self.stop.take() {
            // Fails if the thread has ended.
            let _: Result<(), Duration> = stop.send(wait);
        }
    }
}

async fn beat(heartbeat: Arc<Heartbeat>) {
    let mut interval = tokio::time::interval(BEAT_EVERY);
    loop {
        interval.tick().await;
        heartbeat.beat(clock::now());
    }
}

impl Drop for RuntimeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(thread = self.heartbeat.name(), "the thread has panicked");
        }
    }
}
