//! The log on its way to standard error: a bounded queue, and a thread that writes. The threads that log never wait. A log that
//! cannot be written (disk full, reader gone, reader that does not read) costs log lines, which are counted.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use trestle_io::clock;

/// Lines that can wait: those of some seconds in which a thousand calls are set up and ended.
const LINES_MAX: usize = 16_384;

/// Octets of these lines. A usual line has 200; at level trace a line can contain an SDP.
const BYTES_MAX: usize = 8 << 20;

/// How long [`LogQueue::flush`] waits before it tries again to queue its message.
const FULL_RETRY: Duration = Duration::from_millis(10);

/// Lines of this process that were not written.
static LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// Lines of this process that were not written since its start.
pub fn log_lines_lost() -> u64 {
    LINES_LOST.load(Ordering::Relaxed)
}

enum Message {
    Line(Box<[u8]>),
    /// All lines before it are written, or lost.
    Flush(SyncSender<()>),
}

/// The writing end of the queue. Each write is a line.
#[derive(Debug, Clone)]
pub struct LogQueue {
    messages: SyncSender<Message>,
    bytes: Arc<AtomicUsize>,
}

impl LogQueue {
    /// Starts the thread that writes to standard error.
    ///
    /// # Errors
    /// The system provides no file or thread.
    pub fn to_standard_error() -> io::Result<Self> {
        // A descriptor of its own: the lock of `std::io::stderr` is not held while a write waits.
        let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::start(file)
    }

    fn start(file: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, lines) = mpsc::sync_channel(LINES_MAX);
        let bytes = Arc::new(AtomicUsize::new(0));
        let writer = LogWriter { file, bytes: Arc::clone(&bytes), reported: log_lines_lost(), is_mid_line: false };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&lines))?;
        Ok(Self { messages, bytes })
    }

    /// Waits until the lines so far are written, at most until `wait` has passed. False if they are not.
    pub fn flush(&self, wait: Duration) -> bool {
        let deadline = clock::now() + wait;
        let (done, flushed) = mpsc::sync_channel(1);
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            match self.messages.try_send(Message::Flush(done.clone())) {
                Ok(()) => return flushed.recv_timeout(left).is_ok(),
                Err(TrySendError::Disconnected(_)) => return false,
                // The channel is empty: this waits.
                Err(TrySendError::Full(_)) if !left.is_zero() => drop(flushed.recv_timeout(left.min(FULL_RETRY))),
                Err(TrySendError::Full(_)) => return false,
            }
        }
    }

    fn line(&self, line: &[u8]) {
        let queued = self.bytes.fetch_add(line.len(), Ordering::Relaxed);
        if queued + line.len() <= BYTES_MAX && self.messages.try_send(Message::Line(line.into())).is_ok() {
            return;
        }
        self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        LINES_LOST.fetch_add(1, Ordering::Relaxed);
    }
}

impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread's end of the queue.
struct LogWriter<F> {
    file: F,
    bytes: Arc<AtomicUsize>,
    /// Lost lines of which the log has a line.
    reported: u64,
    /// The last write has failed within a line.
    is_mid_line: bool,
}

impl<F: Write> LogWriter<F> {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Line(line) => {
                    self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                    match self.write(&line) {
                        Ok(()) => self.report_lost(),
                        Err(_) => drop(LINES_LOST.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                // Fails if the other thread no longer waits.
                Message::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_mid_line {
            self.file.write_all(b"\n")?;
            self.is_mid_line = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => rest = &rest[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_mid_line = rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The log can be written again: logs how many lines are missing. This line goes to the end of the queue.
    fn report_lost(&mut self) {
        let lost = log_lines_lost();
        if lost > self.reported {
            let lines = lost - self.reported;
            self.reported = lost;
            tracing::warn!(lines, "the log could not be written; these lines are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT_MAX: Duration = Duration::from_secs(20);

    /// A file that takes `room` bytes and then fails, until it is given more.
    struct SmallDisk {
        room: Arc<AtomicUsize>,
        text: mpsc::Sender<Vec<u8>>,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.room.load(Ordering::SeqCst));
            if len == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room.fetch_sub(len, Ordering::SeqCst);
            self.text.send(bytes[..len].to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A file whose write never returns.
    struct StuckPipe;

    impl Write for StuckPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_find_the_disk_full_are_counted_and_later_ones_are_written_whole() {
        let room = Arc::new(AtomicUsize::new(10));
        let (text, written) = mpsc::channel();
        let queue = LogQueue::start(SmallDisk { room: Arc::clone(&room), text }).unwrap();
        let before = log_lines_lost();
        for line in ["first\n", "second\n", "third\n"] {
            (&queue).write_all(line.as_bytes()).unwrap();
        }
        assert!(queue.flush(WAIT_MAX));
        assert!(log_lines_lost() >= before + 2, "second and third; tests beside this one can lose lines too");
        room.store(100, Ordering::SeqCst);
        (&queue).write_all(b"fourth\n").unwrap();
        assert!(queue.flush(WAIT_MAX));
        drop(queue);
        assert_eq!(String::from_utf8(written.iter().flatten().collect()).unwrap(), "first\nseco\nfourth\n");
    }

    #[test]
    fn a_pipe_that_is_never_read_costs_lines_and_neither_time_nor_memory() {
        let queue = LogQueue::start(StuckPipe).unwrap();
        let before = log_lines_lost();
        let long = vec![b'x'; 16 * 1024];
        for _ in 0..2 * BYTES_MAX / long.len() {
            (&queue).write_all(&long).unwrap();
        }
        assert!(queue.bytes.load(Ordering::Relaxed) <= BYTES_MAX);
        for _ in 0..2 * LINES_MAX {
            (&queue).write_all(b"x\n").unwrap();
        }
        assert!(log_lines_lost() - before >= LINES_MAX as u64);
        assert!(!queue.flush(Duration::from_millis(20)), "the wait has an end");
    }
}
