//! A thread with a tokio runtime of its own, for one listener or output: none of them can delay a call or another listener.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// A runtime that runs on the thread that calls it, until [`RuntimeThread::start`] moves it to its own.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The running thread. Dropping it stops it, with all tasks of its runtime and their connections.
#[derive(Debug)]
pub(crate) struct RuntimeThread {
    name: &'static str,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RuntimeThread {
    /// Runs the tasks that were spawned on `runtime`.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn start(name: &'static str, runtime: Runtime) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // A message and a dropped sender both mean the end.
            let _: Result<(), _> = runtime.block_on(stopped);
            // Does not wait for a name that is being looked up at this moment.
            runtime.shutdown_background();
        })?;
        Ok(Self { name, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for RuntimeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(thread = self.name, "the thread has panicked");
        }
    }
}
