//! Health of a running server: the heartbeats of its threads, and whether it takes new calls. `/ping`, `/healthz` and `/readyz`
//! are answered from it, and the service manager's watchdog is fed from it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use trestle_calls::controller::ServiceState;
use trestle_io::{Heartbeat, ThreadState};

/// What is checked.
#[derive(Debug, Clone, Default)]
pub struct Health {
    threads: Arc<[Arc<Heartbeat>]>,
    service: Arc<SharedServiceState>,
}

/// A thread that does not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadFault {
    /// The name of the thread.
    pub thread: String,
    /// Its state; never [`ThreadState::Running`].
    pub state: ThreadState,
}

impl ThreadFault {
    /// True if the thread will never work again.
    pub fn is_final(&self) -> bool {
        matches!(self.state, ThreadState::Ended | ThreadState::Panicked)
    }
}

impl fmt::Display for ThreadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = &self.thread;
        match self.state {
            ThreadState::Running => write!(f, "the thread {thread} is running"),
            ThreadState::Stuck(since) => write!(f, "the thread {thread} has made no turn for {} s", since.as_secs()),
            ThreadState::Ended => write!(f, "the thread {thread} has ended"),
            ThreadState::Panicked => write!(f, "the thread {thread} has panicked"),
        }
    }
}

/// The [`ServiceState`] as the control thread writes and others read it.
#[derive(Debug)]
pub(crate) struct SharedServiceState(watch::Sender<ServiceState>);

impl Default for SharedServiceState {
    fn default() -> Self {
        Self(watch::Sender::new(ServiceState::Accepting))
    }
}

impl SharedServiceState {
    /// Notes the state. Costs a lock only if it has changed.
    pub(crate) fn set(&self, known: &mut ServiceState, state: ServiceState) {
        if std::mem::replace(known, state) != state {
            self.0.send_replace(state);
        }
    }
}

impl Health {
    pub(crate) fn new(threads: Vec<Arc<Heartbeat>>, service: Arc<SharedServiceState>) -> Self {
        Self { threads: threads.into(), service }
    }

    /// Checks that every thread makes its turns.
    ///
    /// # Errors
    /// The first thread that has panicked, else the first that has ended, else the first that is stuck: the end of one thread ends
    /// others.
    pub fn check(&self, now: Instant) -> Result<(), ThreadFault> {
        let mut worst: Option<(u8, &Arc<Heartbeat>, ThreadState)> = None;
        for thread in self.threads.iter() {
            let state = thread.state(now);
            let rank = match state {
                ThreadState::Running => continue,
                ThreadState::Stuck(_) => 1,
                ThreadState::Ended => 2,
                ThreadState::Panicked => 3,
            };
            if worst.is_none_or(|(known, ..)| known < rank) {
                worst = Some((rank, thread, state));
            }
        }
        worst.map_or(Ok(()), |(_, thread, state)| Err(ThreadFault { thread: thread.name().to_owned(), state }))
    }

    /// Whether new calls are accepted.
    pub fn service(&self) -> ServiceState {
        *self.service.0.borrow()
    }

    /// Waits until the server has begun to drain.
    pub async fn draining(&self) {
        self.wait_for(|state| matches!(state, ServiceState::Draining | ServiceState::Drained)).await;
    }

    /// Waits until the server drains and its last call has ended.
    pub async fn drained(&self) {
        self.wait_for(|state| *state == ServiceState::Drained).await;
    }

    async fn wait_for(&self, is_so: impl FnMut(&ServiceState) -> bool) {
        // The sender is in `self`, so this does not fail.
        let _: Result<_, watch::error::RecvError> = self.service.0.subscribe().wait_for(is_so).await;
    }
}

#[cfg(test)]
mod tests {
    use trestle_io::clock;
    use trestle_io::heartbeat::{HeartbeatGuard, STUCK_AFTER};

    use super::*;

    #[test]
    fn the_thread_that_does_not_work_is_named_and_one_that_is_the_cause_of_others_first() {
        let threads = ["control", "media-0", "media-1"].map(Heartbeat::new);
        let health = Health::new(threads.to_vec(), Arc::default());
        let now = clock::now();
        assert_eq!(health.check(now), Ok(()));

        threads[2].beat(now + STUCK_AFTER);
        let fault = health.check(now + STUCK_AFTER).unwrap_err();
        assert_eq!((fault.thread.as_str(), fault.is_final()), ("control", false));
        assert!(fault.to_string().starts_with("the thread control has made no turn for 10 s"), "{fault}");

        drop(HeartbeatGuard::new(Arc::clone(&threads[1])));
        let fault = health.check(now + STUCK_AFTER).unwrap_err();
        assert_eq!((fault.to_string().as_str(), fault.is_final()), ("the thread media-0 has ended", true));

        let guard = HeartbeatGuard::new(Arc::clone(&threads[2]));
        let panicking = std::thread::Builder::new().spawn(move || {
            let _guard = guard;
            panic!("as the test intends");
        });
        assert!(panicking.unwrap().join().is_err());
        assert_eq!(health.check(now).unwrap_err().to_string(), "the thread media-1 has panicked");
    }
}
