//! The log of `trestle serve`: lines on standard error, by way of a queue, so that no thread waits for the log.

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, filter::Targets, fmt, reload};
use trestle_server::{LogQueue, log_filter};

/// How long the end of the process waits for the log.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// The log of this process.
pub(crate) struct Log {
    queue: Arc<LogQueue>,
    level: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Starts the log of this process. Panics are logged too.
    ///
    /// # Errors
    /// The system provides no thread.
    pub(crate) fn start(level: LevelFilter) -> io::Result<Self> {
        let queue = Arc::new(LogQueue::to_standard_error()?);
        let (filter, level) = reload::Layer::new(log_filter(level));
        let lines = fmt::layer()
            .with_writer(Arc::clone(&queue))
            .with_ansi(io::stderr().is_terminal())
            // It would be printed to standard error by the thread that logs.
            .log_internal_errors(false);
        tracing_subscriber::registry().with(filter).with(lines).init();
        // The hook of the standard library writes to standard error and waits for it.
        std::panic::set_hook(Box::new(log_panic));
        Ok(Self { queue, level })
    }

    /// Sets the level.
    pub(crate) fn set_level(&self, level: LevelFilter) {
        if let Err(error) = self.level.reload(log_filter(level)) {
            tracing::error!(%error, "log-level is not changed");
        }
    }

    /// Waits until the lines so far are written, but not for long.
    pub(crate) fn flush(&self) {
        self.queue.flush(FLUSH_WAIT);
    }
}

impl Drop for Log {
    /// The lines before an error must not come after it.
    fn drop(&mut self) {
        self.flush();
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message");
    let at = info.location().map(tracing::field::display);
    tracing::error!(thread = thread.name().unwrap_or("?"), at, "panic: {message}");
}
